"""One image for many models: decoded once, resized once per distinct grid of pixels.

The results are those of Pillow and torchvision, which open_clip's own transforms are made of, with
two exceptions: photographs are turned upright first, and colours are converted before the resize,
not after it, so that a palette or transparency is not resized as if it were colours.

All of it is computed in the calling thread and lets other threads run meanwhile, so a few threads
prepare a few images at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.imaging import is_whole_png
from covar_gen.core.photographs import open_photograph, upright_rgb
from covar_gen.evaluation.preprocessing import Grid, Halves
from covar_gen.evaluation.resampling import Axis, Window, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

MAX_EDGE = 65_535
"""Images with a longer edge (the longest that JPEG has) are rejected: crafted ones of a pixel's
height would need gigabytes of weights."""

_ORIENTATION = 0x0112
_TURNED = range(2, 9)
"""Values of the EXIF orientation that turn or mirror a picture."""

_PLAIN_CHUNKS = {b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME"}
"""Chunks of a PNG that leave no doubt how its pixels are meant."""


def decode(data: bytes) -> Image | Rejected:
    """Decode an image file: upright RGB, pixel by pixel what Pillow makes of it.

    As covar_gen.core.photographs.read_photograph decodes it at its original size, but of any size
    from one pixel on: small images are what some data sets consist of. JPEG and PNG files of the
    ordinary kinds take faster decoders that give the same pixels; what these refuse, Pillow judges.

    Args:
        data: the encoded file.

    Returns:
        uint8 (H, W, 3), or the reason: empty_file, not_an_image, truncated, too_large.
    """
    opened = open_photograph(data, min_edge=1)
    if isinstance(opened, Rejected):
        return opened
    if max(opened.size) > MAX_EDGE:
        return Rejected("too_large", {"width": opened.width, "height": opened.height})
    quick = _QUICK.get(opened.format or "")
    image = quick(data, opened) if quick else None
    if image is not None and image.shape == (opened.height, opened.width, 3):
        return image
    picture = upright_rgb(opened)
    return picture if isinstance(picture, Rejected) else np.asarray(picture)


def make_grids(image: Image, grids: Sequence[Grid]) -> dict[Grid, NDArray[np.uint8]]:
    """Resize an image to every grid.

    Args:
        image: uint8 (H, W, 3).
        grids: what is wanted.

    Returns:
        uint8 (3, height, width) for each grid.
    """
    batch = {grid: np.empty((1, 3, grid.height, grid.width), np.uint8) for grid in grids}
    fill(image, batch, 0)
    return {grid: pixels[0] for grid, pixels in batch.items()}


def fill(image: Image, batch: Mapping[Grid, NDArray[np.uint8]], row: int) -> None:
    """Write an image, resized to every grid, into a row of each grid's batch.

    Grids of which an image makes the same (of a square one: cropped or squashed) share one resize.
    Several threads can fill rows of the same batch.

    Args:
        image: uint8 (H, W, 3).
        batch: uint8 (B, 3, height, width) for each grid; a tensor's own memory is
            `tensor.numpy()`.
        row: which of the B.
    """
    done: dict[Window, NDArray[np.uint8]] = {}
    copies = []
    for grid, pixels in batch.items():
        target = pixels[row]
        window, top, left = _window(grid, *image.shape[:2])
        height, width = (axis.stop - axis.start for axis in window[:2])
        if (height, width) != (grid.height, grid.width):
            target[...] = grid.fill
        part = target[:, top : top + height, left : left + width]
        if window in done:
            copies.append((part, window))
        else:
            done[window] = part
    resample(image, list(done), list(done.values()))
    for part, window in copies:
        part[...] = done[window]


def _window(grid: Grid, height: int, width: int) -> tuple[Window, int, int]:
    """What of a resized image a grid shows, and at which row and column of the grid it begins."""
    sizes = _sizes(grid, height, width)
    rows, top = _centred(height, sizes[0], grid.height, grid.halves)
    columns, left = _centred(width, sizes[1], grid.width, grid.halves)
    return Window(rows, columns, grid.interpolation), top, left


def _sizes(grid: Grid, height: int, width: int) -> tuple[int, int]:
    """Height and width that an image is resized to, before the crop or the padding.

    Sources: `_compute_resized_output_size` of torchvision cuts off, `ResizeKeepRatio` of open_clip
    rounds.
    """
    if grid.resize == "squash":
        return grid.height, grid.width
    edge = grid.edge or (grid.height if grid.height == grid.width else 0)
    if grid.resize == "shortest" and edge:
        if width <= height:
            return int(edge * height / width), edge
        return edge, int(edge * width / height)
    ratios = height / (edge or grid.height), width / (edge or grid.width)
    ratio = max(ratios) if grid.resize == "longest" else min(ratios)
    # open_clip fails where the shorter edge would vanish.
    return max(round(height / ratio), 1), max(round(width / ratio), 1)


def _centred(source: int, size: int, wanted: int, halves: Halves) -> tuple[Axis, int]:
    """The middle `wanted` pixels of an edge resized to `size`, and where among them it begins.

    Source: `center_crop` of torchvision, whose padding is open_clip's too.
    """
    if size <= wanted:
        return Axis(source, size, 0, size), (wanted - size) // 2
    rest = size - wanted
    start = round(rest / 2) if halves == "even" else rest // 2
    return Axis(source, size, start, start + wanted), 0


def _quick_jpeg(data: bytes, opened: Picture) -> Image | None:
    """A whole, upright JPEG of one or three channels; Pillow's libjpeg-turbo without Pillow."""
    import simplejpeg

    if opened.mode not in {"RGB", "L"}:
        return None
    try:
        if opened.getexif().get(_ORIENTATION) in _TURNED:
            return None
        return cast("Image", simplejpeg.decode_jpeg(data, "RGB"))
    except Exception:  # noqa: BLE001 - Pillow says what is wrong with the file, if anything is
        return None


def _quick_png(data: bytes, opened: Picture) -> Image | None:
    """A whole PNG of 8-bit RGB that says nothing else about its pixels."""
    import cv2

    plain = opened.mode == "RGB" and data[24] == 8 and _chunks(data) <= _PLAIN_CHUNKS  # noqa: PLR2004
    if not plain or not is_whole_png(data):
        return None
    try:
        return cast("Image", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))
    except cv2.error:
        return None


def _chunks(data: bytes) -> set[bytes]:
    """Kinds of the chunks of a PNG."""
    found, place = set(), 8
    while place < len(data):
        found.add(data[place + 4 : place + 8])
        place += int.from_bytes(data[place : place + 4], "big") + 12
    return found


_QUICK: dict[str, Callable[[bytes, Picture], Image | None]] = {
    "JPEG": _quick_jpeg,
    "PNG": _quick_png,
}
"""Format -> its faster decoder, which returns None where Pillow has to decode."""
