"""Mask files that others drew: plain masks and ImageNet-S annotations, as PNG."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import LabelsError
from covar_gen.core.imaging import is_whole_png
from covar_gen.evaluation.metrics.mask_overlap import IGNORE, annotation_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        LabelsError: no such folder, it holds none, or one below it cannot be opened.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise LabelsError(what, where=folder, mend=f"Check {option}")
    found = [path for path in _walk(folder) if path.lower().endswith(".png")]
    if not found:
        mend = f"Give the folder that holds the masks as PNG files with {option}"
        raise LabelsError("no PNG file below it", where=folder, mend=mend)
    return sorted(found)


def _walk(folder: Path) -> Iterator[str]:
    """Relative paths of the files below a folder, without hidden ones.

    A folder that holds itself, by a link, is not entered again.
    """

    def refuse(error: OSError) -> None:
        what = f"the folder cannot be opened: {error.strerror}"
        mend = "Give read permission on it, or take it out"
        raise LabelsError(what, where=error.filename, mend=mend) from error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not (here / name).is_symlink()
            or not here.resolve().is_relative_to((here / name).resolve())
        ]
        start = os.path.relpath(place, folder)
        for name in names:
            if not name.startswith("."):
                yield PurePosixPath(start, name).as_posix()


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
            mend = "Give the list that the ids are of: --classes 919, 300, 50, or a file"
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
