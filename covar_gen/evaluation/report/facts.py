"""What a report says of an evaluation beside its numbers: what was evaluated, with what, on what.

All of it stands in the evaluation folder; nothing is said of the machine that makes the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from covar_gen.core.rows import OK
from covar_gen.evaluation.analyses.marks import images_of
from covar_gen.evaluation.report.sheets import Cell, Column, Sheet, count
from covar_gen.evaluation.results import Results, read_json

DIGITS = 12
"""Of a hash that is shown; the folder has all of them."""


def what_was_evaluated(results: Results) -> tuple[tuple[str, str], ...]:
    """Terms and what is said of them: the data, the classes, the templates."""
    about = results.about
    images = results.images(["subset", "source"])
    numbers = Counter(images["subset"].to_pylist())
    sources = len(images["source"].unique())
    listed = ", ".join(f"{name} {numbers[name]:,}" for name in images_of(results).subsets)
    classes, templates = about.get("classes", {}), about.get("templates", {})
    place = about.get("place") or {}
    facts = [
        ("Images", f"{results.count:,} of {sources:,} photographs"),
        ("Subsets", listed),
        ("Data", _pairs(about.get("data", {}))),
        ("Read from", _pairs(place) if set(place) - {"place"} else str(place.get("place", ""))),
        ("Images by content", _short(about.get("images", ""))),
        ("Classes", f"{classes.get('count', len(results.classes.names)):,}, {_pairs(classes)}"),
        ("Templates", f"{templates.get('count', 0):,}, {_pairs(templates)}"),
    ]
    return tuple((term, said) for term, said in facts if said)


def models_sheet(results: Results, models: Sequence[str]) -> Sheet:
    """The models: weights by hash, preprocessing, precision, and what they ran on."""
    body = []
    for model in models:
        folder = results.folder(model)
        made: dict[str, Any] = results.made_with(folder)["model"]
        ran = [read_json(path) for path in sorted(folder.glob("made_with-*.json"))]
        devices = sorted({str(one["device"]) for one in ran if one.get("device")})
        batches = sorted({int(one["batch"]) for one in ran if one.get("batch")})
        pixels = made.get("preprocessing") or {}
        grid = f"{pixels['width']} x {pixels['height']}" if "width" in pixels else ""
        said = (
            *(_short((made.get(tower) or {}).get("weights", "")) for tower in ("image", "text")),
            f"{grid} {pixels.get('resize', '')}".strip(),
            str(made.get("precision", "")),
            ", ".join(devices),
            ", ".join(map(str, batches)),
        )
        body.append((Cell(model), *(Cell(text or "\N{EN DASH}") for text in said)))
    heads = ("model", "image tower", "text tower", "pixels", "precision", "device", "batch")
    notes = ("Towers by the first digits of the SHA-256 of their weights.",)
    return Sheet("Models", tuple(Column(head) for head in heads), tuple(body), notes)


def versions(results: Results, models: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Versions that the predictions were made with, and revisions of the code."""
    found: dict[str, set[str]] = {}
    for model in models:
        for path in sorted(results.folder(model).glob("made_with-*.json")):
            record = read_json(path)
            for name, version in (record.get("packages") or {}).items():
                found.setdefault(name, set()).add(str(version))
            if record.get("revision"):
                dirty = " with changes" if record.get("dirty") else ""
                found.setdefault("revision", set()).add(f"{record['revision'][:DIGITS]}{dirty}")
    said = ", ".join(f"{name} {' / '.join(sorted(some))}" for name, some in sorted(found.items()))
    return (("Made with", said),) if said else ()


def rejected_sheet(results: Results, models: Sequence[str]) -> Sheet | None:
    """Images that could not be read, by subset and reason; None where there are none."""
    reasons: dict[int, str] = {}
    for model in models:
        rows = results.table(model, ["status", "reason"])
        places = np.flatnonzero(pc.not_equal(rows["status"], OK).to_numpy())
        for place, said in zip(places, rows["reason"].take(places).to_pylist(), strict=True):
            reasons.setdefault(int(place), said or "unknown")
    if not reasons:
        return None
    subsets = results.images(["subset"])["subset"].to_pylist()
    counted = Counter((subsets[place], reason) for place, reason in reasons.items())
    body = tuple(
        (Cell(subset), Cell(reason), count(number))
        for (subset, reason), number in sorted(counted.items(), key=lambda item: (-item[1], item))
    )
    columns = (Column("subset"), Column("reason"), Column("images", number=True))
    notes = ("These images are in no number of this report.",)
    return Sheet("Images that could not be read", columns, body, notes)


def _pairs(values: dict[str, Any]) -> str:
    """A small dictionary in words; hashes are cut short."""
    kept = {key: value for key, value in values.items() if key != "count" and value is not None}
    return ", ".join(f"{key} {_short(str(value))}" for key, value in sorted(kept.items()))


def _short(text: str) -> str:
    is_hash = len(text) >= 40 and not set(text.lower()) - set("0123456789abcdef")  # noqa: PLR2004 - SHA-1's
    return text[:DIGITS] if is_hash else text
