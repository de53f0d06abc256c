"""Small pictures for the page, as data: URIs: images, and maps over their images."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.evaluation.attribution.alignment import pixel_map, seen
from covar_gen.evaluation.attribution.pictures import overlay
from covar_gen.evaluation.preprocessing import Grid

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from covar_gen.evaluation.data import Data

EDGE = 176
"""Longest edge of a picture, pixels."""
QUALITY = 82


def read(data: Data, row: int) -> Image | None:
    """An image of the data: uint8 (H, W, 3); None where it cannot be read."""
    from covar_gen.evaluation.images import decode

    try:
        image = decode(data.read(row))
    except OSError:
        return None
    return None if isinstance(image, Rejected) else image


def thumbnail(data: Data, row: int) -> str | None:
    """An image as a small JPEG in a data: URI; None where it cannot be read."""
    from PIL import Image as Pictures

    image = read(data, row)
    if image is None:
        return None
    picture = Pictures.fromarray(image)
    picture.thumbnail((EDGE, EDGE), Pictures.Resampling.LANCZOS)
    return as_uri(picture)


def as_uri(picture: Picture, *, sharp: bool = False) -> str:
    """A picture as a JPEG in a data: URI.

    Args:
        picture: RGB.
        sharp: its colours are stored as finely as its brightness, as drawn lines need it.
    """
    stream = io.BytesIO()
    sampling = "4:4:4" if sharp else "4:2:0"
    picture.save(stream, "JPEG", quality=QUALITY, optimize=True, subsampling=sampling)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def explained_pair(
    image: Image, mask: Mask | None, values: NDArray[np.float32] | None, grid: Grid | None
) -> tuple[str, str | None]:
    """An image and its map over it, small, the object's outline on both.

    Args:
        image: uint8 (H, W, 3).
        mask: bool (H, W), True on the object; None where there is none.
        values: float32 (h, w), the map on the patch grid; None where there is none.
        grid: of the model's preprocessing; None where it is not known.

    Returns:
        Two data: URIs; the second is None without a map or without its grid.
    """
    from PIL import Image as Pictures

    height, width = image.shape[:2]
    scale = EDGE / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = np.asarray(Pictures.fromarray(image).resize(size, Pictures.Resampling.LANCZOS))
    shape = None if mask is None else _resized(mask.astype(np.float32), size) >= 0.5  # noqa: PLR2004
    picture = _outlined(small, shape)
    if values is None or grid is None:
        return picture, None
    inside = seen(grid, height, width, (values.shape[0], values.shape[1])).astype(np.float32)
    share = _resized(inside, size)
    # The map is zero where the model saw nothing: that must not leak into the pixels beside it.
    heat = _resized(pixel_map(values, grid, height, width), size) / np.maximum(share, 1e-6)
    if np.ptp(values) == 0:
        # Rounding must not make a picture of a map that says nothing.
        heat = np.zeros_like(heat)
    visible = share >= 0.5  # noqa: PLR2004 - half of the pixel
    return picture, _outlined(np.asarray(overlay(small, heat, visible)), shape)


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Numbers (H, W) as (size[1], size[0])."""
    from PIL import Image as Pictures

    found = Pictures.fromarray(values).resize(size, Pictures.Resampling.BILINEAR)
    return np.asarray(found, np.float32)


def _outlined(image: Image, shape: Mask | None) -> str:
    """A data: URI of an image; the outline is light inside the object and dark outside of it."""
    from PIL import Image as Pictures

    drawn = image.copy()
    if shape is not None:
        drawn[~shape & _grown(shape)] = 20
        drawn[shape & _grown(~shape)] = 255
    return as_uri(Pictures.fromarray(drawn), sharp=True)


def _grown(mask: Mask) -> Mask:
    """The pixels of a mask and those that touch one of its edges."""
    found = mask.copy()
    found[1:] |= mask[:-1]
    found[:-1] |= mask[1:]
    found[:, 1:] |= mask[:, :-1]
    found[:, :-1] |= mask[:, 1:]
    return found
