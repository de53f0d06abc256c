"""`covar-gen explain`: the map of one image and one text, as a picture or as numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from covar_gen.core.errors import RecipeError
from covar_gen.evaluation.attribute import Attribution, attribute
from covar_gen.evaluation.attribution.pictures import clusters, overlay
from covar_gen.evaluation.models.base import Precision

ENDINGS = (".png", ".npy")
FLAT = "the map is flat: it says nothing, because no part of the image counts more than another"


def explain(
    model: str,
    method: str,
    image: Path,
    text: str,
    out: Path,
    *,
    options: dict[str, Any] | None = None,
    device: str | None = None,
    precision: Precision | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> list[Path]:
    """Draw a map over its image (red where it speaks for the text), or save its numbers.

    Args:
        model: a model's name.
        method: an attribution method.
        image: an image file.
        text: what the image is compared with.
        out: `.png` for a picture, beside it `-clusters.png` where the method makes clusters;
            `.npy` for the raw map, float32 (H, W).
        options: the method's own.
        device: a torch device.
        precision: of the towers.
        say: is told if the map says nothing.

    Returns:
        The files written.

    Raises:
        RecipeError: another ending, or a place where no file can be.
    """
    if out.suffix.lower() not in ENDINGS:
        mend = "Give a name that ends with .png or .npy"
        raise RecipeError(
            f"cannot write {out.suffix or 'a file without ending'}", where=out, mend=mend
        )
    _make_room(out)
    found = attribute(
        model, method, image, text, options=options, device=device, precision=precision or "fp32"
    )
    if found.flat:
        say(FLAT)
    if out.suffix.lower() == ".npy":
        stream = io.BytesIO()
        np.save(stream, found.heat)
        out.write_bytes(stream.getvalue())
        return [out]
    return _pictures(found, out)


def _make_room(out: Path) -> None:
    """Make the folder of a file; better now than when the map is there."""
    mend = "Give another name with --out"
    if out.is_dir():
        raise RecipeError("a folder, not a file", where=out, mend=mend)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise RecipeError("no folder can be made there", where=out.parent, mend=mend) from error


def _pictures(found: Attribution, out: Path) -> list[Path]:
    overlay(found.image, found.heat, found.visible).save(out)
    if found.labels is None:
        return [out]
    second = out.with_name(f"{out.stem}-clusters.png")
    clusters(found.image, found.labels, found.visible).save(second)
    return [out, second]
