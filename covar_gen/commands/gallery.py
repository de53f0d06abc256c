"""A contact sheet of a run: one HTML page that needs neither server nor network.

Reads: a manifest (a run's manifest.parquet) and the images and masks that it names.
Writes: index.html and thumbs/ into a folder of their own. The page holds its style, its script
and its data, packed column by column; thumbnails and full images are loaded when looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.commands import gallery_thumbs as thumbs
from covar_gen.commands.gallery_packing import choices, field, packed, script_text
from covar_gen.commands.gallery_rows import ORDER, Layout, lay_out
from covar_gen.core.errors import DamagedRunError
from covar_gen.core.flow import steps
from covar_gen.core.store import Run

PAGE = "index.html"
THUMBS = "thumbs"

_OF_MASKS = ("tool", "model", "scores", "phrases", "boxes", "border", "components", "params")
_NEEDED = ("key", "parent", "subset", "image", "status", "reason")
_ASSETS = {"style": "gallery.css", "reading": "gallery_data.js", "drawing": "gallery.js"}
_TEMPLATES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class GalleryResult:
    """What was written.

    Attributes:
        page: the HTML file.
        rows_shown: base images with a row in the page.
        rows_total: base images in the manifest.
        images_shown: images in these rows, source photographs included, rejected ones too.
        missing: images and masks among them whose file is missing or damaged.
    """

    page: Path
    rows_shown: int
    rows_total: int
    images_shown: int
    missing: int


def make_gallery(
    manifest: pa.Table,
    root: Path,
    out: Path,
    *,
    title: str,
    rows: int | None = 2000,
    thumb: int = 144,
    workers: int | None = None,
) -> GalleryResult:
    """Write a run's gallery; the same manifest and files give the same page, byte for byte.

    A row per base image (an image before a changed background, or a source photograph without
    any), its source photograph first, then every variant made of it, rejected ones with their
    reason. Full images are linked by their path relative to `out`.

    Args:
        manifest: one row per image, columns as in a run's manifest.parquet; columns that are not
            known here are shown with the others.
        root: the folder to which the columns image and mask are relative.
        out: the folder for the page and its thumbnails; made if it is not there. Thumbnails of
            an earlier gallery are used again where the file is the same, and removed otherwise.
        title: the run's name.
        rows: most base images to show; beyond that an even sample over classes and backgrounds
            is shown and the page says so. None shows all.
        thumb: longest edge of a thumbnail in pixels.
        workers: threads that make thumbnails; one per processor, at most 8, by default.

    Raises:
        DamagedRunError: the manifest lacks a column.
        OSError: the folder cannot be written.
        ValueError: rows or thumb is below 1.
    """
    if thumb < 1 or (rows is not None and rows < 1):
        msg = f"rows and thumb must be at least 1, got {rows} and {thumb}"
        raise ValueError(msg)
    lacking = [name for name in _NEEDED if name not in manifest.column_names]
    if lacking:
        raise DamagedRunError(
            f"the manifest has no column {', '.join(lacking)}",
            where=root / "manifest.parquet",
            mend="Make it again: remove it, then covar-gen run RECIPE --run RUN --stage manifest",
        )
    manifest = _decoded(manifest)
    layout = lay_out(manifest, rows)
    shown = manifest.take(pa.array(layout.images))
    out.mkdir(parents=True, exist_ok=True)
    pictures = _files(shown, "image", "sha256")
    masks = _files(shown, "mask", "mask_sha256")
    wanted = [item for item in (*pictures, *masks) if item is not None]
    made = thumbs.make_thumbnails(wanted, root, out / THUMBS, thumb, workers)
    data = _data(shown, layout, thumb)
    data["root"] = Path(os.path.relpath(root, out)).as_posix()
    for name, files in (("image", pictures), ("mask", masks)):
        data[f"{name}_trouble"] = {
            str(place): made[item].trouble
            for place, item in enumerate(files)
            if item is not None and made[item].trouble is not None
        }
        names = [None if item is None else made[item].sha256 for item in files]
        data[f"{name}_thumb"] = packed([name and thumbs.name_of(name) for name in names])
    page = _page(manifest, layout, data, title)
    thumbs.write_atomically(out / PAGE, page.encode())
    return GalleryResult(
        page=out / PAGE,
        rows_shown=len(layout.base),
        rows_total=layout.total,
        images_shown=len(layout.images),
        missing=len(data["image_trouble"]) + len(data["mask_trouble"]),
    )


def with_masks(run: Run) -> pa.Table:
    """A run's manifest with what is known of the masks of its images, in columns `mask_...`.

    Raises:
        IncompleteInputError: there is no manifest yet.
    """
    manifest = run.manifest()
    tables = [step.table for step in steps(run.recipe) if step.table.startswith("masks_")]
    columns = ["key", *_OF_MASKS]
    if not tables:
        return manifest
    masks = pa.concat_tables([run.table(table, columns) for table in tables])
    place = pc.index_in(manifest["key"], value_set=masks["key"].combine_chunks())
    for name in _OF_MASKS:
        manifest = manifest.append_column(f"mask_{name}", masks[name].take(place))
    return manifest


def _decoded(manifest: pa.Table) -> pa.Table:
    """The table without dictionary encoding, which not every Arrow function takes."""
    fields = [
        one.with_type(one.type.value_type) if pa.types.is_dictionary(one.type) else one
        for one in manifest.schema
    ]
    return manifest.cast(pa.schema(fields))


def _files(shown: pa.Table, name: str, sha256: str) -> list[thumbs.Wanted | None]:
    paths = _column(shown, name)
    digests = _column(shown, sha256)
    return [
        None if path is None else thumbs.Wanted(path, digest, is_mask=name == "mask")
        for path, digest in zip(paths, digests, strict=True)
    ]


def _column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


def _data(shown: pa.Table, layout: Layout, thumb: int) -> dict[str, Any]:
    """Everything that the page's script draws from, but for what became of the files."""
    place = {int(image): number for number, image in enumerate(layout.images)}
    keys = shown["key"].to_pylist()
    bases = [place[int(image)] for image in layout.base]
    labels = {
        kind: _labels(_column(shown, text), _column(shown, first), _column(shown, second))
        for kind, text, first, second in (
            ("class", "class_name", "wnid", "class_id"),
            ("background", "background", "background_id", "background_id"),
        )
    }
    return {
        "columns": [[c.name, c.subset, c.label] for c in layout.columns],
        "row": layout.row.tolist(),
        "column": layout.column.tolist(),
        "base": bases,
        "reference": [place.get(int(image), -1) for image in layout.reference],
        "class": packed([labels["class"][base] for base in bases]),
        "background": packed([labels["background"][base] for base in bases]),
        "fields": [
            [name, column]
            for name in shown.column_names
            if (column := field(name, shown[name], keys)) != {"all": None}
        ],
        "image_end": thumbs.ending(thumb, is_mask=False),
        "mask_end": thumbs.ending(thumb, is_mask=True),
    }


def _labels(texts: list[Any], first: list[Any], second: list[Any]) -> list[str | None]:
    """What a class or background is called; two of the same name are told apart by their id."""
    ids = [one if one is not None else other for one, other in zip(first, second, strict=True)]
    used: dict[Any, set[Any]] = {}
    for text, number in zip(texts, ids, strict=True):
        used.setdefault(text, set()).add(number)
    return [
        (None if number is None else str(number))
        if text is None
        else (f"{text} ({number})" if len(used[text]) > 1 else str(text))
        for text, number in zip(texts, ids, strict=True)
    ]


def _page(manifest: pa.Table, layout: Layout, data: dict[str, Any], title: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = {
        name: Markup((_TEMPLATES / file).read_text(encoding="utf-8"))  # noqa: S704
        for name, file in _ASSETS.items()
    }
    return environment.get_template("gallery.html").render(
        title=title,
        data=Markup(script_text(data)),  # noqa: S704
        images=manifest.num_rows,
        images_shown=len(layout.images),
        rows=layout.total,
        rows_shown=len(layout.base),
        missing=len(data["image_trouble"]) + len(data["mask_trouble"]),
        subsets=_by_subset(manifest),
        reasons=_by_reason(manifest),
        classes=choices(data["class"]),
        backgrounds=choices(data["background"]),
        **assets,
    )


def _by_subset(manifest: pa.Table) -> list[tuple[str, int, int]]:
    """Subset, images in all, images rejected, in the order of the columns."""
    counted = manifest.group_by(["subset", "status"]).aggregate([("key", "count")]).to_pylist()
    found: dict[str, list[int]] = {}
    for row in counted:
        both = found.setdefault(str(row["subset"]), [0, 0])
        both[0] += row["key_count"]
        both[1] += row["key_count"] * (row["status"] == "rejected")
    known = {name: place for place, name in enumerate(ORDER)}
    names = sorted(found, key=lambda name: (known.get(name, len(known)), name))
    return [(name, found[name][0], found[name][1]) for name in names]


def _by_reason(manifest: pa.Table) -> list[tuple[str, int]]:
    """Reason slug and how often it stands in the manifest, the most frequent first."""
    counted = manifest["reason"].drop_null().value_counts().to_pylist()
    pairs = [(str(row["values"]), int(row["counts"])) for row in counted]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
