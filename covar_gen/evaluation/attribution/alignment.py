"""From the patch grid back to the original image, through the model's own resize and crop.

A model sees its image resized, and cropped or padded. A map drawn over the original has to undo
that, or it lies beside what it is about: by a quarter of the width for a photograph of 2 : 1.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covar_gen.core.arrays import Mask
from covar_gen.evaluation.images import _window
from covar_gen.evaluation.preprocessing import Grid

Upsampling = Literal["bilinear", "nearest"]


def pixel_map(
    maps: ArrayLike,
    grid: Grid,
    height: int,
    width: int,
    upsampling: Upsampling = "bilinear",
) -> NDArray[np.float32]:
    """Maps on the patch grid as maps of the original image's pixels.

    Every pixel's centre is followed through the resize and the crop to the patch grid. Values are
    interpolated between the patches' centres and constant beyond the outermost ones.

    Args:
        maps: numbers (..., h, w) on the patch grid: an array, or a tensor on any device.
        grid: of the model's preprocessing.
        height: of the original image, pixels.
        width: of the original image, pixels.
        upsampling: bilinear between patches' centres; nearest: the patch that a pixel is in.

    Returns:
        float32 (..., height, width); 0 where the model saw nothing (`seen`).
    """
    values = _array(maps)
    rows, columns = _positions(grid, height, width, values.shape[-2:])
    # A value and a share of the difference to the next one, so that between equal values there is
    # exactly that value: weights that sum to 1 but for rounding draw a pattern into clusters. The
    # matrices are sparse, but small; of each sum all products but one are 0, so nothing rounds.
    whole, share = _weights(rows, values.shape[-2], upsampling)
    down = whole @ values + share @ np.diff(values, axis=-2)
    whole, share = _weights(columns, values.shape[-1], upsampling)
    return np.asarray(down @ whole.T + np.diff(down, axis=-1) @ share.T, np.float32)


def seen(grid: Grid, height: int, width: int, patches: tuple[int, int] | None = None) -> Mask:
    """Which pixels of an original image the model saw.

    Args:
        grid: of the model's preprocessing.
        height: of the original image, pixels.
        width: of the original image, pixels.
        patches: rows and columns of the patch grid, where whole patches do not cover the model's
            pixels; None if they do.

    Returns:
        bool (height, width), False where the crop cut the pixel off.
    """
    rows, columns = _positions(grid, height, width, patches or (1, 1))
    down, across = (~np.isnan(each) for each in (rows, columns))
    return np.logical_and.outer(down, across)


def patch_size(pixels: int, patches: int) -> int:
    """Pixels of a patch's edge; a remainder at the end, narrower than a patch, is in no patch."""
    return pixels // patches


def _array(maps: Any) -> NDArray[np.float32]:
    if hasattr(maps, "detach"):
        maps = maps.detach().float().cpu().numpy()
    found = np.asarray(maps, np.float32)
    if found.ndim < 2:  # noqa: PLR2004 - rows and columns
        msg = f"expected maps (..., h, w), got {found.shape}"
        raise ValueError(msg)
    return found


def _positions(
    grid: Grid, height: int, width: int, patches: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the centres of rows and columns of pixels lie on the patch grid.

    Returns:
        float64 (height,) and (width,), in patches from the grid's edge; NaN where not seen.
    """
    window, top, left = _window(grid, height, width)
    found = []
    for axis, offset, pixels, count in zip(
        window[:2], (top, left), (grid.height, grid.width), patches, strict=True
    ):
        resized = (np.arange(axis.source) + 0.5) * (axis.size / axis.source)
        inside = resized - axis.start + offset
        edge = patch_size(pixels, count)
        cut = (resized < axis.start) | (resized > axis.stop) | (inside > edge * count)
        found.append(np.where(cut, np.nan, inside / edge))
    return found[0], found[1]


def _weights(
    positions: NDArray[np.float64], count: int, upsampling: Upsampling
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Which patch a pixel begins with, and how much it gets of the difference to the next one.

    Returns:
        float32 (pixels, count), of a row one is 1; float32 (pixels, count - 1). Rows of zeros if
        not seen.
    """
    known = ~np.isnan(positions)
    place = np.where(known, positions, 0)
    whole = np.zeros((len(positions), count), np.float32)
    share = np.zeros((len(positions), count - 1), np.float32)
    every = np.arange(len(positions))
    if upsampling == "nearest":
        whole[every, np.clip(np.floor(place).astype(int), 0, count - 1)] = 1
    else:
        between = np.clip(place - 0.5, 0, count - 1)
        first = np.floor(between).astype(int)
        whole[every, first] = 1
        inner = first < count - 1
        share[every[inner], first[inner]] = (between - first)[inner]
    whole[~known] = share[~known] = 0
    return whole, share
