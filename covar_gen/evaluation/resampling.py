"""Antialiased resizing that gives Pillow's pixels, several times faster than Pillow.

The arithmetic is Pillow's (`Image.resize`): every result pixel is a weighted mean of the source
pixels in reach, along one axis and then along the other, rounded to 8 bits after each. What differs
is how the means are found: a band of consecutive result pixels reaches few source pixels, so each
band is one small matrix product, which BLAS does with the whole width of the processor. Only the
part that is wanted is computed, so a crop costs what it keeps.

Bilinear results are exact. Bicubic sums are 32-bit floats where Pillow's are integers, which
decides a pixel only where a sum lies within about 0.0001 of a half. The second axis of a bicubic
resize is left to torch's kernel for 8-bit images where its coarser weights serve the sizes at hand:
faster still, and a level off in up to 0.4 % of values.

The processor's BLAS should have one thread (`covar_gen.core.threads.fix_threads`): the products are
small, and threads that resize several images at once are what makes many cores useful.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import PIL

from covar_gen.core.arrays import Image
from covar_gen.evaluation.preprocessing import Interpolation

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BAND = 8
"""Result pixels per matrix product: the fastest of 6, 8, 12, 16 and 24."""

_OFF = 0.004
"""Largest share of values that may come out a level off where exactness would cost time."""

_WASTE = 1.6
"""How many times as large as what is kept a thing may be that torch makes as a whole."""

_TOGETHER = 8
"""Bands whose sums are rounded together, while the processor still has them at hand."""

_AT_ONCE = 2**23
"""Values of a larger image are made floats in parts of this many (32 MiB)."""

_KEPT_BYTES = 2**25
"""A thread keeps up to this much memory for each of its steps."""

_NEXT = 1 + 2.0**-23
"""Makes a 32-bit float the next larger one: OpenCV rounds halves to even levels, Pillow up."""

_REACH = {"bicubic": 2.0, "bilinear": 1.0}
"""Pixels on either side that a filter weighs when enlarging."""

_EXACT: dict[str, Any] = {"bicubic": np.float32, "bilinear": np.float64}
"""Two pixels weighed bilinearly meet in the middle often enough for exactness to matter."""

_TALL_FIRST = 13
"""Version of Pillow that began to treat columns first where they shrink most (its #9549)."""

_STEPS = 2.0**22
"""Pillow's weights are whole multiples of 1 / this; so are these."""


class Axis(NamedTuple):
    """What becomes of one edge of an image.

    Attributes:
        source: pixels of the edge.
        size: pixels that it is resized to.
        start: first of these that is kept.
        stop: the one after the last that is kept.
    """

    source: int
    size: int
    start: int
    stop: int


class Window(NamedTuple):
    """A part of a resized image.

    Attributes:
        rows: from top to bottom.
        columns: from left to right.
        interpolation: bicubic and bilinear are antialiased, nearest copies pixels.
    """

    rows: Axis
    columns: Axis
    interpolation: Interpolation


class _Band(NamedTuple):
    """Consecutive result pixels (n), the source pixels that they reach (k), weights (n, k)."""

    result: slice
    source: slice
    weights: NDArray[np.floating]


def resample(image: Image, windows: Sequence[Window], results: Sequence[NDArray[np.uint8]]) -> None:
    """Write windows of an image, resized, where they are wanted.

    Args:
        image: uint8 (H, W, 3).
        windows: what is wanted of it.
        results: for each window uint8 (3, rows kept, columns kept), any strides; overwritten.
    """
    upright, turned = _Source(image, turned=False), _Source(image, turned=True)
    for (rows, columns, interpolation), result in zip(windows, results, strict=True):
        if rows.source == rows.size and columns.source == columns.size:
            pixels = image[rows.start : rows.stop, columns.start : columns.stop]
        elif interpolation == "nearest":
            pixels = image[_nearest(rows)[:, None], _nearest(columns)]
        elif _columns_first(rows, columns):
            pixels = _twice(upright, rows, columns, interpolation)
        else:
            pixels = _twice(turned, columns, rows, interpolation)
        _write(pixels, result)


def _write(pixels: Image, result: NDArray[np.uint8]) -> None:
    """Pixels (h, w, 3) where they are wanted, (3, h, w) of any strides."""
    import cv2

    if result.strides[2] == 1:
        cv2.split(pixels, list(result))  # several times faster than what numpy does
    else:
        np.copyto(result, pixels.transpose(2, 0, 1))


class _Source:
    """An image whose one edge is to be resized: floats, that edge first."""

    def __init__(self, image: Image, *, turned: bool) -> None:
        """An upright image has its height first, one turned about its diagonal its width."""
        self.image = image
        self.turned = turned
        self.small = image.size <= _AT_ONCE
        self._whole: dict[Any, NDArray[np.floating]] = {}

    def floats(self, start: int, stop: int, kind: Any) -> NDArray[np.floating]:
        """The whole edge by a part of the other, (edge, 3 (stop - start))."""
        if not self.small:
            return self._floats(start, stop, kind)
        if kind not in self._whole:
            self._whole[kind] = self._floats(0, self.image.shape[not self.turned], kind)
        return self._whole[kind][:, 3 * start : 3 * stop]

    def _floats(self, start: int, stop: int, kind: Any) -> NDArray[np.floating]:
        part = _turn(self.image[start:stop]) if self.turned else self.image[:, start:stop]
        name = f"source {self.turned} {np.dtype(kind)}"
        found = _scratch(name, (len(part), 3 * (stop - start)), kind)
        np.copyto(found.reshape(part.shape), part)
        return found


def _twice(source: _Source, first: Axis, second: Axis, interpolation: Interpolation) -> Image:
    """Resize one edge, then the other: uint8 (height, width, 3), in memory of the thread."""
    # Asked first: a trial uses the memory in which the pixels will be.
    by_torch = interpolation == "bicubic" and _torch_serves(second)
    bands = _bands(second, interpolation)
    start, stop = second.start, second.stop
    if by_torch:
        start, stop = 0, second.source
    elif bands:
        start, stop = bands[0].source.start, bands[-1].source.stop
    halfway = _first_edge(source, first, interpolation, start, stop)
    if not bands:
        return _turn(halfway) if source.turned else halfway
    kept = slice(second.start, second.stop)
    if by_torch and source.turned:
        return _by_torch(_turn(halfway), second.size, first.stop - first.start)[kept]
    if by_torch:
        return _by_torch(halfway, first.stop - first.start, second.size)[:, kept]
    halfway = _turn(halfway)
    floats = _scratch("again", (stop - start, halfway[0].size), _EXACT[interpolation])
    np.copyto(floats, halfway.reshape(floats.shape))
    found = _average(floats, bands, start).reshape(-1, *halfway.shape[1:])
    return found if source.turned else _turn(found)


def _first_edge(
    source: _Source, first: Axis, interpolation: Interpolation, start: int, stop: int
) -> Image:
    """The first edge resized, of the other what is needed: uint8 (first, stop - start, 3)."""
    kept = first.stop - first.start
    step = stop - start if source.small else max(_BAND, _AT_ONCE // (3 * first.source))
    parts = []
    for low in range(start, stop, step):
        high = min(low + step, stop)
        floats = source.floats(low, high, _EXACT[interpolation])
        if bands := _bands(first, interpolation):
            part = _average(floats, bands, 0)
        else:
            part = floats[first.start : first.stop].astype(np.uint8)
        part = part.reshape(kept, high - low, 3)
        if high - low == stop - start:
            return part
        parts.append(part.copy())
    return np.concatenate(parts, axis=1)


def _by_torch(image: Image, height: int, width: int) -> Image:
    """An image of which one edge is resized."""
    import torch

    # Rows of interleaved channels are what its fast kernel wants, and leaves.
    pixels = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        pixels, (height, width), mode="bicubic", antialias=True
    )
    return cast("Image", resized[0].permute(1, 2, 0).numpy())


def _torch_serves(axis: Axis) -> bool:
    """True if torch's kernel for 8-bit images, which crops nothing, is to resize this edge."""
    little_is_lost = axis.size <= _WASTE * (axis.stop - axis.start)
    return little_is_lost and _torch_is_close(axis.source, axis.size)


@lru_cache(maxsize=1024)
def _torch_is_close(source: int, size: int) -> bool:
    """True if torch's kernel for 8-bit images resizes an edge of these pixels well enough.

    Its weights have 15 bits where Pillow's have 22. How often that decides a pixel depends on the
    two sizes: it is tried on a strip of noise and of gentle slopes, which often end in halves.
    """
    if source == size:
        return False
    strip = _strip(source)
    width = strip.shape[1]
    bands = _bands(Axis(source, size, 0, size), "bicubic")
    exact = _average(strip.reshape(source, -1).astype(np.float32), bands, 0)
    off = _by_torch(strip, size, width) != exact.reshape(size, width, 3)
    noise, slopes = off[:, : width // 2].mean(), off[:, width // 2 :].mean()
    return bool(max(noise, slopes) <= _OFF)


def _strip(height: int) -> Image:
    """uint8 (height, 32, 3), the same every time: half of it noise, half of it slopes."""
    draw = np.random.default_rng(0)
    noise = draw.integers(96, 224, (height, 16, 3))
    start, slope = draw.uniform(0, 510, (16, 3)), draw.uniform(-0.8, 0.8, (16, 3))
    slopes = np.abs((start + slope * np.arange(height)[:, None, None]) % 510 - 255)
    return np.concatenate([noise, slopes], axis=1).astype(np.uint8)


def _average(floats: NDArray[np.floating], bands: Sequence[_Band], start: int) -> NDArray[np.uint8]:
    """Resize the first axis: uint8 (result, n) of floats (source from `start` on, n)."""
    width = floats.shape[1]
    levels: NDArray[np.uint8] = _scratch("levels", (bands[-1].result.stop, width), np.uint8)
    memory = _scratch("sums", (_BAND * _TOGETHER, width), floats.dtype)
    for first in range(0, len(bands), _TOGETHER):
        group = bands[first : first + _TOGETHER]
        top, bottom = group[0].result.start, group[-1].result.stop
        sums = memory[: bottom - top]
        for kept, reached, weights in group:
            seen = floats[reached.start - start : reached.stop - start]
            np.dot(weights, seen, out=sums[kept.start - top : kept.stop - top])
        _round(sums, levels[top:bottom])
    return levels


def _round(sums: NDArray[np.floating], levels: NDArray[np.uint8]) -> None:
    """To the nearest levels, halves up; the sums are spoilt."""
    import cv2

    if sums.dtype == np.float32:
        cv2.threshold(sums, 0, 0, cv2.THRESH_TOZERO, dst=sums)
        cv2.convertScaleAbs(sums, dst=levels, alpha=_NEXT)
    else:
        np.add(sums, 0.5, out=sums)
        np.clip(sums, 0, 255, out=sums)
        np.copyto(levels, sums, casting="unsafe")


def _turn(image: Image) -> Image:
    """The image turned about its diagonal, in memory of the thread."""
    import cv2

    height, width = image.shape[:2]
    return cast("Image", cv2.transpose(image, dst=_scratch("turned", (width, height, 3), np.uint8)))


_KEPT = threading.local()
"""Each thread's memory of the images before: fresh memory costs more than what is done in it."""


def _scratch(name: str, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """An array that the thread has only one of under this name; it holds whatever it held."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    if size > _KEPT_BYTES:
        return np.empty(shape, kind)
    memory = getattr(_KEPT, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, np.uint8)
        setattr(_KEPT, name, memory)
    found: NDArray[Any] = memory[:size].view(kind).reshape(shape)
    return found


def _columns_first(rows: Axis, columns: Axis) -> bool:
    """True if Pillow averages along columns before it averages along rows."""
    if _pillow() < _TALL_FIRST or columns.source == columns.size:
        return False
    lost, lost_across = rows.source - rows.size, columns.source - columns.size
    return lost > max(0, 2 * lost_across)


@cache
def _pillow() -> int:
    return int(PIL.__version__.partition(".")[0])


def _nearest(axis: Axis) -> NDArray[np.intp]:
    """Source pixels at the centres of the result's pixels, added up one by one as Pillow does."""
    scale = axis.source / axis.size
    steps = np.full(axis.size, scale)
    steps[0] = scale / 2
    return np.add.accumulate(steps)[axis.start : axis.stop].astype(np.intp)


@lru_cache(maxsize=256)
def _bands(axis: Axis, interpolation: Interpolation) -> tuple[_Band, ...]:
    """How the kept pixels of an edge are weighed together; nothing where the size is kept."""
    if axis.source == axis.size:
        return ()
    first, weights = _weights(axis, interpolation)
    taps = np.arange(weights.shape[1])
    bands = []
    for start in range(0, len(first), _BAND):
        stop = min(start + _BAND, len(first))
        low = int(first[start])
        reached = int(first[stop - 1]) - low + len(taps)
        spread = np.zeros((stop - start, reached), weights.dtype)
        np.put_along_axis(spread, first[start:stop, None] - low + taps, weights[start:stop], 1)
        # At the far border a row's last weights stand for no pixel, and are 0.
        high = min(low + reached, axis.source)
        kept = np.ascontiguousarray(spread[:, : high - low])
        bands.append(_Band(slice(start, stop), slice(low, high), kept))
    return tuple(bands)


def _weights(
    axis: Axis, interpolation: Interpolation
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """First source pixel of each kept pixel, and (kept, taps) weights from there on.

    The filter is as wide as the pixel it makes where the edge shrinks. Source: `resize` of Pillow,
    Resample.c; the cubic is that of R. Keys (1981) with a = -0.5.
    """
    scale = axis.source / axis.size
    stretch = max(scale, 1.0)
    reach = _REACH[interpolation] * stretch
    centres = (np.arange(axis.start, axis.stop) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.intp), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.intp), axis.source)
    pixels = first[:, None] + np.arange((last - first).max())
    distance = np.abs(pixels - centres[:, None] + 0.5) / stretch
    values = _cubic(distance) if interpolation == "bicubic" else np.maximum(1 - distance, 0.0)
    values[pixels >= last[:, None]] = 0
    values /= values.sum(axis=1, keepdims=True)
    return first, (np.rint(values * _STEPS) / _STEPS).astype(_EXACT[interpolation])


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))  # noqa: PLR2004
