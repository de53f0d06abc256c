"""What comparing masks has shown: a row per image, a row per class, and the means."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from covar_gen.commands.mask_comparison import Judged, References, own_id
from covar_gen.commands.mask_files import Kind
from covar_gen.commands.mask_notes import notes
from covar_gen.core.errors import RunFolderError
from covar_gen.core.files import Staging
from covar_gen.core.imagenet import by_wnid
from covar_gen.core.journal import parquet_bytes
from covar_gen.evaluation.metrics.intervals import bootstrap, ratio
from covar_gen.evaluation.metrics.mask_overlap import IGNORE, LabelMaps, means


def _fields(**columns: tuple[pa.DataType, str]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, metadata={"meaning": said}) for name, (kind, said) in columns.items()]
    )


TEXT, WHOLE, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

IMAGES: pa.Schema = _fields(
    name=(TEXT, "what pairs the files: path without ending"),
    class_name=(TEXT, "the image's class in words, or as its folder or list calls it"),
    label=(TEXT, "the image's class as its folder or the list of classes calls it"),
    key=(TEXT, "of the photograph, where the predicted masks are a run's"),
    predicted=(TEXT, "path of the predicted mask in its run or folder; null: there is none"),
    reference=(TEXT, "path of the reference in its folder; null: there is none"),
    reason=(TEXT, "why there is no IoU, or no predicted mask; null: both masks are there"),
    missed=(FLAG, "the segmenter gave no mask: 0 in one figure, left out of the other"),
    iou=(REAL, "intersection over union, in [0, 1]; null where the two were not compared"),
    common_pixels=(WHOLE, "of both masks"),
    union_pixels=(WHOLE, "of either mask"),
    predicted_pixels=(WHOLE, "of the predicted mask, those left aside that are ignored"),
    reference_pixels=(WHOLE, "of the reference's object"),
    ignored_pixels=(WHOLE, "annotated as ignored"),
    height=(WHOLE, "of the reference, pixels"),
    width=(WHOLE, "of the reference, pixels"),
    resized=(FLAG, "the predicted mask was brought to the reference's size"),
    object=(TEXT, "what the object is: class, largest, any, or mask (a plain one)"),
    ids=(pa.list_(WHOLE), "that the reference holds, 0 (other) and 1000 (ignored) too"),
    pixels=(pa.list_(WHOLE), "of each of the ids"),
)
CLASSES: pa.Schema = _fields(
    label=(TEXT, "the class as its folder or the list of classes calls it"),
    class_name=(TEXT, "the class in words"),
    images=(WHOLE, "compared, with those without a mask"),
    missed=(WHOLE, "images without a mask"),
    mean_iou=(REAL, "mean over images that have a mask"),
    mean_iou_zero=(REAL, "mean over images; no mask counts as 0"),
    pooled_iou=(REAL, "sum of intersections over sum of unions, of images that have a mask"),
    pooled_iou_zero=(REAL, "likewise of all images; no mask is an empty one"),
)
SUMMARY: pa.Schema = _fields(
    statistic=(TEXT, "images, classes, pooled (means), or label_maps (as ImageNet-S counts)"),
    no_mask=(TEXT, "left_out or zero: what becomes of images for which there is no mask"),
    images=(WHOLE, "that count"),
    iou=(REAL, "in [0, 1]"),
    low=(REAL, "lower end of the 95% bootstrap interval over images; null where none is made"),
    high=(REAL, "upper end"),
)  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """Everything that was found.

    Attributes:
        images: a row per image, see `IMAGES`.
        classes: a row per class, see `CLASSES`.
        summary: the means, see `SUMMARY`.
        kind: what the references' pixels mean.
        notes: what a reader has to know, a line each.
    """

    images: pa.Table
    classes: pa.Table
    summary: pa.Table
    kind: Kind
    notes: tuple[str, ...]


def agreement(
    judged: Sequence[Judged], references: References, predicted: Path, *, by_file_name: bool
) -> Agreement:
    """Tables and notes from what was compared.

    Args:
        judged: every image.
        references: how the references were read.
        predicted: what the masks are called in the notes.
        by_file_name: pairs were told by file names alone.
    """
    rows = [_row(item) for item in judged]
    images = pa.Table.from_pylist(rows, schema=IMAGES)
    counted = [item for item in judged if item.found is not None]
    by_label: dict[str, list[Judged]] = {}
    for item in counted:
        assert item.found is not None
        by_label.setdefault(item.found.label, []).append(item)
    labels = sorted(by_label)
    columns = {
        there: _means([item for item in counted if not (there and item.missed)], labels)
        for there in (True, False)
    }
    classes = []
    for place, label in enumerate(labels):
        own = by_label[label]
        classes.append({
            "label": label,
            "class_name": _words(label),
            "images": len(own),
            "missed": sum(item.missed for item in own),
            "mean_iou": _real(columns[True][1][place]),
            "mean_iou_zero": _real(columns[False][1][place]),
            "pooled_iou": _real(columns[True][2][place]),
            "pooled_iou_zero": _real(columns[False][2][place]),
        })  # fmt: skip
    summary = []
    for there, name in ((True, "left_out"), (False, "zero")):
        chosen = [item for item in counted if not (there and item.missed)]
        summary += _summary(chosen, columns[there][0], name, references)
    return Agreement(
        images,
        pa.Table.from_pylist(classes, schema=CLASSES),
        pa.Table.from_pylist(summary, schema=SUMMARY),
        references.kind,
        notes(judged, references, predicted, by_file_name=by_file_name),
    )


def _means(items: Sequence[Judged], labels: Sequence[str]) -> tuple[Any, Any, Any]:
    """Means of some images, and both figures of every class, NaN where it has none of them."""
    place = {label: number for number, label in enumerate(labels)}
    found = [item.found for item in items if item.found is not None]
    common = np.array([f.overlap.common for f in found], np.int64)
    union = np.array([f.overlap.union for f in found], np.int64)
    whose = np.array([place[f.label] for f in found], np.int64)
    total, by_class, pooled = means(common, union, whose)
    wide = [np.full(len(labels), np.nan) for _ in range(2)]
    for array, short in zip(wide, (by_class, pooled), strict=True):
        array[: len(short)] = short
    return total, wide[0], wide[1]


def _summary(
    items: Sequence[Judged], found: Any, name: str, references: References
) -> list[dict[str, Any]]:
    each = np.array([i.found.overlap.iou for i in items if i.found and i.found.overlap.union])
    number = len(each)
    sums = np.stack([each, np.ones(number)], axis=1) if number else np.zeros((0, 2))
    spread = bootstrap(sums, lambda total: ratio(total[:, 0], total[:, 1]))
    rows = [
        {"statistic": statistic, "no_mask": name, "images": number, "iou": _real(value)}
        for statistic, value in found._asdict().items()
    ]
    rows[0] |= {"low": _real(float(spread.low)), "high": _real(float(spread.high))}
    if references.kind is Kind.IMAGENET_S and references.of == "class":
        maps, used = LabelMaps(), 0
        for item in items:
            own = own_id(references, item.found) if item.found else None
            if item.found is not None and own is not None:
                maps.add(item.found.counts(), own)
                used += 1
        row = {"statistic": "label_maps", "no_mask": name, "images": used}
        rows.append({**row, "iou": _real(maps.mean())})
    return rows


def _row(item: Judged) -> dict[str, Any]:
    found, mask = item.found, item.mask
    row: dict[str, Any] = {
        "name": item.name,
        "key": mask.key if mask else None,
        "predicted": mask.file if mask else None,
        "reference": item.reference,
        "reason": item.reason,
        "missed": item.missed,
        "iou": item.iou,
    }
    if found is None:
        return row
    height, width = found.size
    return row | {
        "label": found.label,
        "class_name": _words(found.label),
        "common_pixels": found.overlap.common,
        "union_pixels": found.overlap.union,
        "predicted_pixels": found.overlap.predicted,
        "reference_pixels": found.overlap.reference,
        "ignored_pixels": found.pixels.get(IGNORE, 0),
        "height": height,
        "width": width,
        "resized": found.resized,
        "object": found.taken,
        "ids": list(found.pixels),
        "pixels": list(found.pixels.values()),
    }


def _words(label: str) -> str:
    known = by_wnid().get(label)
    return label if known is None else known.name


def _real(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def make_folder(out: Path, masks: Mapping[str, Path]) -> None:
    """Make the folder for the tables and the picture, before the work begins.

    Args:
        out: the folder; may be there.
        masks: folders of which every PNG is a mask, by what they are called: the picture must not
            become one of them.

    Raises:
        RunFolderError: it cannot be made, or lies among the masks.
    """
    mend = "Choose another --out"
    for name, folder in masks.items():
        if out.resolve().is_relative_to(folder.resolve()):
            what = f"the picture would lie among the {name}"
            raise RunFolderError(what, where=out, mend=mend)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RunFolderError("a file, not a folder", where=out, mend=mend) from error
    except FileNotFoundError as error:
        raise RunFolderError("the folder cannot be made", where=out, mend=mend) from error


def write(found: Agreement, out: Path, picture: bytes | None) -> None:
    """Write the tables as Parquet and CSV, and the picture.

    Args:
        found: what was found.
        out: the folder.
        picture: a PNG; None where no two masks were compared.
    """
    staging = Staging(out)
    try:
        tables = {"iou": found.images, "iou_classes": found.classes, "iou_summary": found.summary}
        for name, table in tables.items():
            staging.replace(out / f"{name}.parquet", parquet_bytes(table))
            staging.replace(out / f"{name}.csv", _csv(table))
        if picture is not None:
            staging.replace(out / "iou.png", picture)
    finally:
        staging.close()


def _csv(table: pa.Table) -> bytes:
    """A table as CSV; the numbers of a list are separated by blanks."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow([" ".join(map(str, v)) if isinstance(v, list) else v for v in row.values()])
    return stream.getvalue().encode()
