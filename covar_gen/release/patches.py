"""What an image has that its parent does not predict: enough to make it again from its parent.

A patch is an RGBA picture of the image's size. Where a pixel is what the parent's pixels, moved by
the row's transform, predict, it is wholly transparent and black; elsewhere it has the image's own
colour. An image without a transform, or without a parent, is its own patch. So a release of
patches holds no pixel of a photograph that its variants merely carry along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Image, Mask, Matrix
from covar_gen.core.imaging import Interpolation, warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDER: tuple[Interpolation, ...] = ("exact", "resize", "lanczos", "cubic")
"""Ways to move pixels, each tried before those that serve more transforms. Which one the variant
took does not matter to what is restored, only to how small its patch is."""

LEVEL = 4
"""zlib level of a patch, which is stored once and read seldom."""


def predicted(
    parent: Image | None, transform: Sequence[float] | None, size: tuple[int, int]
) -> tuple[Image, Mask]:
    """What the parent says of an image.

    Args:
        parent: uint8 (H, W, 3), RGB; None: there is none.
        transform: 9 numbers, row by row: parent pixels -> the image's pixels; None: not known.
        size: (height, width) of the image.

    Returns:
        uint8 (height, width, 3), and bool (height, width): True where it says something.
    """
    nothing = np.zeros((*size, 3), np.uint8), np.zeros(size, np.bool_)
    if parent is None or transform is None:
        return nothing
    matrix: Matrix = np.asarray(transform, np.float64).reshape(3, 3)
    for interpolation in ORDER:
        if interpolation == "lanczos" and max(matrix[0, 0], matrix[1, 1]) >= 1:
            continue
        try:
            return warp(parent, matrix, size, interpolation)
        except ValueError:
            continue
    return nothing


def difference(image: Image, said: Image, known: Mask) -> NDArray[np.uint8]:
    """The patch that makes an image of what is predicted of it.

    Args:
        image: uint8 (H, W, 3), RGB.
        said: uint8 (H, W, 3), what is predicted.
        known: bool (H, W), where that says something.

    Returns:
        uint8 (H, W, 4), RGBA.
    """
    own = ~known | (image != said).any(axis=2)
    patch = np.zeros((*image.shape[:2], 4), np.uint8)
    patch[..., :3][own] = image[own]
    patch[..., 3][own] = 255
    return patch


def restored(patch: NDArray[np.uint8], said: Image) -> Image:
    """The image of a patch and of what is predicted of it.

    Args:
        patch: uint8 (H, W, 4), RGBA.
        said: uint8 (H, W, 3).
    """
    return np.where(patch[..., 3:] > 0, patch[..., :3], said)


def encode_patch(patch: NDArray[np.uint8]) -> bytes:
    """A patch as PNG; the same bytes with the same OpenCV."""
    import cv2

    bgra = cv2.cvtColor(patch, cv2.COLOR_RGBA2BGRA)
    done, data = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, LEVEL])
    if not done:
        msg = f"OpenCV could not encode a patch of shape {patch.shape}"
        raise ValueError(msg)
    return data.tobytes()


def decode_patch(data: bytes) -> NDArray[np.uint8]:
    """A patch from its PNG, uint8 (H, W, 4), RGBA.

    Raises:
        ValueError: the bytes are no whole picture with transparency.
    """
    import cv2

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if found is None or found.ndim != 3 or found.shape[2] != 4:  # noqa: PLR2004
        msg = "not a whole patch"
        raise ValueError(msg)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGRA2RGBA), np.uint8)
