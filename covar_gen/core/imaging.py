"""Pixels: lossless masters, and the one function that moves pixels.

cv2 is imported inside functions: the command line answers before it would be loaded.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Mask, Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

PNG_LEVEL = 1
"""zlib level of every stored PNG: the masters are for exactness; export compresses harder."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_FRAME = 12  # length, kind and checksum of a chunk: bytes

Interpolation = Literal["exact", "resize", "lanczos", "cubic"]
"""exact: pixels are copied (flips, whole-pixel shifts). resize: a rectangle of whole pixels
enlarged to the canvas, its edge pixels continued beyond it (OpenCV's cubic resize, what a crop
is). lanczos: antialiased, axis-aligned scaling to positions in double precision (Pillow). cubic:
any affine or projective transform (OpenCV)."""


def encode_png(image: Image) -> bytes:
    """The lossless master of an image, the same bytes on every machine with the same OpenCV."""
    import cv2

    done, data = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
    )
    if not done:
        msg = f"OpenCV could not encode an image of shape {image.shape}"
        raise ValueError(msg)
    return data.tobytes()


def decode_png(data: bytes) -> Image:
    """Decode a master.

    Raises:
        ValueError: the bytes are no whole image.
    """
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        msg = "not a whole PNG"
        raise ValueError(msg)
    return cast("Image", image)


def encode_mask(mask: Mask) -> bytes:
    """A mask as PNG with one bit per pixel, white on the object."""
    import cv2

    levels = mask.astype(np.uint8) * np.uint8(255)
    done, data = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_BILEVEL, 1])
    if not done:
        msg = f"OpenCV could not encode a mask of shape {mask.shape}"
        raise ValueError(msg)
    return data.tobytes()


def decode_mask(data: bytes) -> Mask:
    """Decode a stored mask.

    Raises:
        ValueError: the bytes are no whole image.
    """
    import cv2

    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if levels is None:
        msg = "not a whole PNG"
        raise ValueError(msg)
    return np.asarray(levels) > 127  # noqa: PLR2004


def is_whole_png(data: bytes) -> bool:
    """True if a PNG has every chunk up to its end, each with its checksum, and nothing more."""
    place = len(_PNG_SIGNATURE)
    if data[:place] != _PNG_SIGNATURE:
        return False
    while len(data) - place >= _PNG_FRAME:
        length = int.from_bytes(data[place : place + 4], "big")
        kind_and_body = data[place + 4 : place + 8 + length]
        checksum = data[place + 8 + length : place + _PNG_FRAME + length]
        if int.from_bytes(checksum, "big") != zlib.crc32(kind_and_body):
            return False
        place += _PNG_FRAME + length
        if kind_and_body[:4] == b"IEND":
            return place == len(data)
    return False


def pixels_sha256(image: Image) -> str:
    """SHA-256 of an image's decoded pixels, row by row, RGB; its shape is hashed first."""
    height, width = image.shape[:2]
    digest = hashlib.sha256(f"{height} {width}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def object_box(mask: Mask) -> tuple[int, int, int, int] | None:
    """Bounding box (left, top, right, bottom) of the object, right and bottom exclusive."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if not columns.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def dilated(mask: Mask, share: float) -> Mask:
    """A mask grown on all sides.

    Args:
        mask: bool (H, W).
        share: by how much, as a fraction of the shortest edge; at least one pixel.

    Returns:
        bool (H, W).
    """
    import cv2

    radius = max(round(share * min(mask.shape)), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc), np.bool_)


def warp(
    image: Image, transform: Matrix, size: tuple[int, ...], interpolation: Interpolation
) -> tuple[Image, Mask]:
    """Move an image's pixels; the only place where pixels are moved.

    A pixel of the result is known where the interpolation's support lies wholly inside `image`;
    unknown pixels are zero.

    Args:
        image: uint8 (H, W, 3), the parent.
        transform: float64 (3, 3), parent pixels -> result pixels, pixel centres at integers.
        size: (height, width) of the result.
        interpolation: how values between pixels are found, see `Interpolation`.

    Returns:
        The result, uint8 (height, width, 3), and what is known of it, bool (height, width).

    Raises:
        ValueError: the transform is not of the kind that the interpolation serves.
    """
    height, width = size[:2]
    if interpolation == "exact":
        return _copy(image, transform, (height, width))
    if interpolation == "resize":
        return _resize(image, transform, (height, width))
    if interpolation == "lanczos":
        return _scale(image, transform, (height, width))
    return _project(image, transform, (height, width))


def warp_mask(mask: Mask, transform: Matrix, size: tuple[int, ...]) -> Mask:
    """A mask under a transform: True where at least half of the pixel's footprint is object.

    Shrinking averages over each pixel's footprint first, so that thin parts fade instead of
    flickering; outside the parent there is no object.
    """
    import cv2

    height, width = size[:2]
    if _is_exact(transform):
        moved, known = _copy(mask.view(np.uint8), transform, (height, width))
        return (moved > 0) & known
    levels = mask.astype(np.float32)
    shrink = 1 / np.sqrt(_area_factor(transform, mask.shape))
    if shrink > 1:
        levels = cv2.blur(levels, (int(shrink) | 1,) * 2, borderType=cv2.BORDER_CONSTANT)
    if _is_affine(transform):
        levels = cv2.warpAffine(levels, transform[:2], (width, height), flags=cv2.INTER_LINEAR)
    else:
        levels = cv2.warpPerspective(levels, transform, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(levels >= 0.5)  # noqa: PLR2004


def _area_factor(transform: Matrix, size: tuple[int, ...]) -> float:
    """By what a transform multiplies areas; for a projective one, at the parent's centre."""
    depth = float(transform[2] @ [(size[1] - 1) / 2, (size[0] - 1) / 2, 1.0])
    return float(abs(np.linalg.det(transform) / depth**3))


def _is_affine(transform: Matrix) -> bool:
    return bool(np.array_equal(transform[2], [0, 0, 1]))


def _is_exact(transform: Matrix) -> bool:
    linear, shift = transform[:2, :2], transform[:2, 2]
    return bool(
        np.array_equal(np.abs(linear), np.eye(2))
        and np.array_equal(shift, np.rint(shift))
        and _is_affine(transform)
    )


def _copy(image: NDArray[np.uint8], transform: Matrix, size: tuple[int, int]) -> tuple[Image, Mask]:
    import cv2

    if not _is_exact(transform):
        msg = f"interpolation 'exact' moves by whole pixels and flips, got {transform.tolist()}"
        raise ValueError(msg)
    # Turn first, so that what remains is a shift; OpenCV mirrors far faster than slices do.
    turned, flips = image, (transform[1, 1] < 0, transform[0, 0] < 0)
    if any(flips):
        turned = cv2.flip(image, {(True, False): 0, (False, True): 1, (True, True): -1}[flips])
    shifts = [
        int(transform[row, 2]) - (image.shape[axis] - 1 if flips[axis] else 0)
        for axis, row in ((0, 1), (1, 0))
    ]
    if shifts == [0, 0] and image.shape[:2] == size:
        return turned.copy() if turned is image else turned, np.ones(size, np.bool_)
    result = np.zeros((*size, *image.shape[2:]), np.uint8)
    known = np.zeros(size, np.bool_)
    (rows, to_rows), (columns, to_columns) = (
        _spans(shifts[axis], image.shape[axis], size[axis]) for axis in (0, 1)
    )
    result[to_rows, to_columns] = turned[rows, columns]
    known[to_rows, to_columns] = True
    return result, known


def _spans(shift: int, edge: int, canvas: int) -> tuple[slice, slice]:
    """Which pixels of an edge land on a canvas when shifted, and where."""
    start, stop = max(0, -shift), min(edge, canvas - shift)
    stop = max(start, stop)
    return slice(start, stop), slice(start + shift, stop + shift)


def _resize(image: Image, transform: Matrix, size: tuple[int, int]) -> tuple[Image, Mask]:
    import cv2

    height, width = size
    back = np.linalg.inv(transform)
    corners = back @ np.array([[-0.5, width - 0.5], [-0.5, height - 0.5], [1.0, 1.0]])
    edges = corners[:2] + 0.5
    whole = np.rint(edges)
    (left, right), (top, bottom) = whole.astype(int)
    straight = np.allclose(transform, np.diag(np.diag(transform)) + _shift_of(transform))
    inside = 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]
    if not (straight and inside and np.allclose(edges, whole, atol=1e-6)):
        msg = f"interpolation 'resize' takes a rectangle of whole pixels, got {transform.tolist()}"
        raise ValueError(msg)
    region = image[top:bottom, left:right]
    resized = cv2.resize(region, (width, height), interpolation=cv2.INTER_CUBIC)
    return cast("Image", resized), np.ones(size, np.bool_)


def _shift_of(transform: Matrix) -> Matrix:
    shift = np.zeros((3, 3))
    shift[:2, 2] = transform[:2, 2]
    return shift


def _scale(image: Image, transform: Matrix, size: tuple[int, int]) -> tuple[Image, Mask]:
    scale_x, scale_y = transform[0, 0], transform[1, 1]
    rest = transform - np.diag(np.diag(transform)) - _shift_of(transform)
    if scale_x <= 0 or scale_y <= 0 or rest.any() or transform[2, 2] != 1:
        msg = f"interpolation 'lanczos' scales along the axes, got {transform.tolist()}"
        raise ValueError(msg)
    result = np.zeros((*size, 3), np.uint8)
    known = np.zeros(size, np.bool_)
    spans, box = [], []
    for axis, row in ((0, 1), (1, 0)):
        scale, shift = transform[row, row], transform[row, 2]
        # Lanczos-3 reaches 3 source pixels, or 3 result pixels when shrinking.
        reach = 3 / min(scale, 1)
        edge = image.shape[axis]
        # Result pixel t looks at parent coordinate (t - shift) / scale; Pillow's coordinates
        # have pixel centres at halves, hence the 0.5.
        low = int(np.ceil((reach - 0.5) * scale + shift))
        high = int(np.floor((edge - 0.5 - reach) * scale + shift))
        low, high = max(low, 0), min(high, size[axis] - 1)
        if high < low:
            return result, known
        spans.append(slice(low, high + 1))
        box.append(((low - 0.5 - shift) / scale + 0.5, (high + 0.5 - shift) / scale + 0.5))
    (top, bottom), (left, right) = box
    rows, columns = spans
    moved = Pillow.fromarray(image).resize(
        (columns.stop - columns.start, rows.stop - rows.start),
        Pillow.Resampling.LANCZOS,
        box=(left, top, right, bottom),
    )
    result[rows, columns] = np.asarray(moved)
    known[rows, columns] = True
    return result, known


def _project(image: Image, transform: Matrix, size: tuple[int, int]) -> tuple[Image, Mask]:
    import cv2

    height, width = size
    if _is_affine(transform):
        moved = cv2.warpAffine(image, transform[:2], (width, height), flags=cv2.INTER_CUBIC)
    else:
        moved = cv2.warpPerspective(image, transform, (width, height), flags=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    back = np.linalg.inv(transform)
    depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
    # Cubic interpolation reads pixels floor(u) - 1 .. floor(u) + 2; the margin covers the
    # 1/32 pixel to which some OpenCV builds round coordinates.
    margin = 1 / 32
    # What lies on the parent's side of the horizon; the parent's centre says which that is.
    front = transform[2] @ [(image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2, 1.0]
    known = depth * np.sign(front) > 0
    for row, edge in ((0, image.shape[1]), (1, image.shape[0])):
        at = (back[row, 0] * x + back[row, 1] * y + back[row, 2]) / np.where(depth == 0, 1, depth)
        known &= (at >= 1 + margin) & (at < edge - 2 - margin)
    result = np.where(known[..., None], moved, np.uint8(0))
    return cast("Image", result), known
