"""Mask files that others drew: plain masks and ImageNet-S annotations, as PNG."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import LabelsError
from covar_gen.core.imaging import is_whole_png
from covar_gen.core.shipped import shipped
from covar_gen.evaluation.metrics.mask_overlap import IGNORE, annotation_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = ("919", "300", "50")
"""Numbers of classes of ImageNet-S's three class lists, which number the same wnids differently."""

MERGED = {
    "n04356056": "n04355933",
    "n04493381": "n02808440",
    "n03642806": "n03832673",
    "n04008634": "n03773504",
    "n03887697": "n15075141",
}
"""Classes of ImageNet that ImageNet-S annotates as another one. Source: its README."""

_IMAGES = {
    ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
_GREY, _RGB, _PALETTE = 0, 2, 3
_WORDS = {_GREY: "grey", _RGB: "RGB", _PALETTE: "palette", 4: "grey with alpha", 6: "RGBA"}
"""Colour types of a PNG. Source: ISO/IEC 15948:2004, 11.2.2."""
_BYTE = 8


class Kind(StrEnum):
    """What the values of a reference's pixels mean."""

    IMAGENET_S = "imagenet-s"
    BINARY = "binary"


class Head(NamedTuple):
    """What a PNG's header says: bits of a channel, and the colour type."""

    depth: int
    colours: int


def name_of(path: str) -> str:
    """What pairs a file with another: its path without the ending of an image.

    In a run's folders a photograph's files are called CLASS/PHOTO/original.png: there the name is
    CLASS/PHOTO.
    """
    found = PurePosixPath(path)
    if found.suffix.lower() in _IMAGES:
        found = found.with_suffix("")
    if found.name == "original" and found.parent.name:
        found = found.parent
    return found.as_posix()


def listed(folder: Path, option: str) -> list[str]:
    """Relative paths of the PNG files below a folder, sorted; links are followed.

    Raises:
        LabelsError: no such folder, or it holds none.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise LabelsError(what, where=folder, mend=f"Check {option}")
    found = [
        os.path.relpath(os.path.join(place, name), folder)  # noqa: PTH118 - quick for 50,000 files
        for place, folders, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(".png") and not name.startswith(".")
    ]
    if not found:
        mend = f"Give the folder that holds the masks as PNG files with {option}"
        raise LabelsError("no PNG file below it", where=folder, mend=mend)
    return sorted(PurePosixPath(path).as_posix() for path in found)


def read_mask(path: Path) -> Mask:
    """A plain mask: any pixel that is not zero is object.

    Where there is transparency, a pixel is object unless it is wholly transparent; a file that is
    opaque everywhere is judged by its colours.

    Returns:
        bool (H, W).

    Raises:
        LabelsError: no whole PNG, or one whose values need not be a mask (palette, 16 bits).
    """
    pixels, _ = _decode(path)
    if pixels.ndim == 2:  # noqa: PLR2004 - rows and columns
        return np.asarray(pixels > 0)
    if pixels.shape[2] == 4 and (pixels[..., 3] < 255).any():  # noqa: PLR2004 - BGRA, opaque
        return np.asarray(pixels[..., 3] > 0)
    return np.asarray(pixels[..., :3].any(axis=2))


def read_annotation(path: Path, known: frozenset[int] | None = None) -> NDArray[np.uint16]:
    """An ImageNet-S annotation.

    Args:
        path: the file.
        known: the ids that its list of classes has; None: any.

    Returns:
        uint16 (H, W), ids in [0, IGNORE].

    Raises:
        LabelsError: it is none, or has an id that is not in the list.
    """
    pixels, head = _decode(path)
    mend = "Give --kind binary for plain masks, or the folder that holds the annotations"
    if head.colours != _RGB:
        what = f"a PNG of {_WORDS[head.colours]} values, where ImageNet-S's annotations are RGB"
        raise LabelsError(what, where=path, mend=mend)
    if pixels[..., 0].any():
        what = "no ImageNet-S annotation: its blue values are not all 0"
        raise LabelsError(what, where=path, mend=mend)
    ids = annotation_ids(pixels[..., ::-1])
    top = int(ids.max(initial=0))
    if top > IGNORE:
        what = f"no ImageNet-S annotation: it has the id {top}, and {IGNORE} is the last"
        raise LabelsError(what, where=path, mend=mend)
    if known is not None:
        there = np.flatnonzero(np.bincount(ids.ravel()))
        strange = sorted(set(there.tolist()) - known - {0, IGNORE})
        if strange:
            what = f"it has the id {strange[0]}, which is not in the list of classes"
            mend = f"Give the list that the ids are of: --classes {'|'.join(SIZES)}, or a file"
            raise LabelsError(what, where=path, mend=mend)
    return ids


def found_kind(paths: Sequence[Path]) -> Kind:
    """The kind of some references, told from their pixels.

    Raises:
        LabelsError: they are of different kinds, or of none.
    """
    kinds = {found: path for path in paths if (found := _kind_of(path)) is not None}
    if len(kinds) == 1:
        return next(iter(kinds))
    mend = "Say what they are: --kind imagenet-s or --kind binary"
    if not kinds:
        what = f"the kind of the references cannot be told: {len(paths)} of them hold no object"
        raise LabelsError(what, where=paths[0].parent, mend=mend)
    binary, annotation = kinds[Kind.BINARY].name, kinds[Kind.IMAGENET_S].name
    what = f"{binary} looks like a plain mask and {annotation} like an ImageNet-S annotation"
    raise LabelsError(what, where=paths[0].parent, mend=mend)


def _kind_of(path: Path) -> Kind | None:
    """What a file looks like; None for one in which nothing is drawn."""
    pixels, head = _decode(path)
    if head.colours != _RGB:
        return Kind.BINARY
    if not pixels.any():
        return None
    grey = np.array_equal(pixels[..., 0], pixels[..., 1])
    if grey and np.array_equal(pixels[..., 1], pixels[..., 2]):
        return Kind.BINARY
    if not pixels[..., 0].any() and int(annotation_ids(pixels[..., ::-1]).max()) <= IGNORE:
        return Kind.IMAGENET_S
    what = "neither a plain mask (it has colours) nor an ImageNet-S annotation"
    raise LabelsError(what, where=path, mend="Give --kind binary if every colour is object")


def _decode(path: Path) -> tuple[NDArray[np.uint8], Head]:
    """Pixels: uint8 (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; and the header.

    Raises:
        LabelsError: not a whole PNG, or one with a palette or 16 bits.
    """
    import cv2

    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise LabelsError("a link to nothing", where=path, mend="Mend the link") from error
    if not is_whole_png(data):
        mend = "Copy the file again, or take it out of the folder"
        raise LabelsError("not a whole PNG", where=path, mend=mend)
    head = Head(data[24], data[25])
    if head.colours == _PALETTE or head.depth > _BYTE:
        form = "a palette" if head.colours == _PALETTE else f"{head.depth} bits per channel"
        what = f"a PNG with {form}: its values need not be those of a mask"
        mend = "Save masks as 8-bit grey (0 and 255), ImageNet-S annotations as they came, in RGB"
        raise LabelsError(what, where=path, mend=mend)
    # Without this flag a chunk with an orientation would turn the pixels.
    plain = {
        _GREY: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
        _RGB: cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    }
    how = plain.get(head.colours, cv2.IMREAD_UNCHANGED)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    if pixels is None:
        mend = "Copy the file again, or take it out of the folder"
        raise LabelsError("not a PNG that can be decoded", where=path, mend=mend)
    return pixels, head


def class_lists(asked: str | None) -> dict[str, dict[str, int]]:
    """Lists of classes with their ids: the one that is asked for, or ImageNet-S's three.

    Args:
        asked: 919, 300, 50, or a CSV with the columns `class` (or `wnid`) and `id`; None: all
            three of ImageNet-S.

    Returns:
        Name -> class -> id, from 1 to 999. Of classes that share an id, those that ImageNet-S
        merged, the first is the one that it is annotated as.

    Raises:
        LabelsError: no such list, or the file is none.
    """
    if asked is not None and asked not in SIZES:
        return {asked: _own_list(Path(asked))}
    with (shipped("manifests") / "imagenet" / "imagenet-s.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lists = {}
    for size in SIZES if asked is None else [asked]:
        numbers = {row["wnid"]: int(row[f"id_{size}"]) for row in rows if row[f"id_{size}"]}
        merged = {old: numbers[new] for old, new in MERGED.items() if new in numbers}
        lists[size] = {**numbers, **merged}
    return lists


def _own_list(path: Path) -> dict[str, int]:
    mend = "Give 919, 300 or 50, or a CSV with the columns class and id"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            column = next((n for n in ("class", "wnid") if n in (reader.fieldnames or ())), None)
            if column is None or "id" not in (reader.fieldnames or ()):
                raise LabelsError("no columns class and id", where=path, mend=mend)
            rows = [(str(row[column]).strip(), str(row["id"]).strip()) for row in reader]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise LabelsError("no such list of classes", where=path, mend=mend) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelsError("not a CSV in UTF-8", where=path, mend=mend) from error
    found: dict[str, int] = {}
    for name, number in rows:
        if not number.isascii() or not number.isdigit() or not 0 < int(number) < IGNORE:
            what = f"class {name!r} has the id {number!r}"
            raise LabelsError(what, where=path, mend=f"Give whole numbers from 1 to {IGNORE - 1}")
        if found.setdefault(name, int(number)) != int(number):
            what = f"class {name!r} has two ids"
            raise LabelsError(what, where=path, mend="Give each class one line")
    if not found:
        raise LabelsError("the list of classes is empty", where=path, mend=mend)
    return found


def fitting_list(
    lists: Mapping[str, Mapping[str, int]],
    examples: Sequence[tuple[Path, str | None]],
    read: Callable[[Path], NDArray[np.uint16]] = read_annotation,
) -> str:
    """The list under which most annotations hold the class that their image is known by.

    Args:
        lists: name -> class -> id.
        examples: annotations, each with its image's class where that is known.
        read: gives an annotation's ids.

    Raises:
        LabelsError: no list fits any of them.
    """
    fits = dict.fromkeys(lists, 0)
    told = 0
    for path, label in examples:
        if label is None:
            continue
        told += 1
        there = set(np.flatnonzero(np.bincount(read(path).ravel())).tolist())
        for name, ids in lists.items():
            fits[name] += ids.get(label) in there
    best = max(fits, key=lambda name: fits[name])
    if len(lists) > 1 and told and not fits[best]:
        what = f"none of {told} annotations holds its image's class under any list of ImageNet-S"
        mend = "Say which list the ids are of: --classes 919, 300, 50, or a CSV of class and id"
        raise LabelsError(what, where=examples[0][0].parent, mend=mend)
    return best
