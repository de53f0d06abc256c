"""What an image has that its parent does not predict: enough to make it again from its parent.

A patch is an RGBA picture of the image's size. Where a pixel is what the parent's pixels, moved by
the row's transform, predict, it is wholly transparent and black; where it is the parent's pixel of
the same place, whatever the transform, it is black with an alpha of 1, and with another low one
where it is the parent's pixels moved with another interpolation; elsewhere it has the image's own
colour, or, where a tool changed much of the parent by a few grey levels, those levels alone. An
image without a parent is its own patch. So a release of patches holds no pixel of a photograph
that its variants merely carry along, and none that a tool left where it was without saying so.
What a tool moved without saying so is found by `release.carried`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Image, Mask, Matrix
from covar_gen.core.imaging import Interpolation, warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDER: tuple[Interpolation, ...] = ("exact", "resize", "lanczos", "cubic")
"""Ways to move pixels, each tried before those that serve more transforms."""

LEVEL = 4
"""zlib level of a patch, which is stored once and read seldom."""
SAID, IN_PLACE, WAYS, OWN = 0, 1, 2, 255
"""Alpha of a pixel that the transform predicts; that is the parent's of the same place; that is
moved by the first of `ORDER` (by the second 3, and so on); and that the patch itself holds."""
NEAR_SAID, NEAR_PLACE = 254, 253
"""Alpha of a pixel that is the one said, or the parent's of the same place, but for some grey
levels: the patch holds by how many, plus `CLOSE`."""
CLOSE = 4
"""Grey levels by which a pixel may differ and still be the parent's."""
MISSED = 0.01
"""Share of an image's pixels on which the usual way has to fail for the others to be tried."""


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
    moved = (_moved(parent, transform, size, way) for way in ORDER)
    return next((found for found in moved if found is not None), nothing)


def _moved(
    parent: Image, transform: Sequence[float], size: tuple[int, int], way: Interpolation
) -> tuple[Image, Mask] | None:
    """The parent's pixels, moved in one way; None where that does not serve the transform."""
    matrix: Matrix = np.asarray(transform, np.float64).reshape(3, 3)
    if way == "lanczos" and max(matrix[0, 0], matrix[1, 1]) >= 1:
        return None
    try:
        return warp(parent, matrix, size, way)
    except ValueError:
        return None


def _other_ways(
    parent: Image, transform: Sequence[float], size: tuple[int, int]
) -> Iterator[tuple[int, Image, Mask]]:
    """Alpha, image and known pixels of each way after the one that `predicted` takes."""
    taken = False
    for alpha, way in enumerate(ORDER, WAYS):
        found = _moved(parent, transform, size, way)
        if taken and found is not None:
            yield alpha, *found
        # Whole pixels are the same however they are moved.
        if found is not None and way == "exact":
            return
        taken = taken or found is not None


def difference(
    image: Image,
    said: Image,
    known: Mask,
    parent: Image | None = None,
    transform: Sequence[float] | None = None,
) -> NDArray[np.uint8]:
    """The patch that makes an image of what is predicted of it, and of its parent.

    Args:
        image: uint8 (H, W, 3), RGB.
        said: uint8 (H, W, 3), what is predicted.
        known: bool (H, W), where that says something.
        parent: uint8 (h, w, 3), RGB; one of another size has no pixels of the same place. None:
            there is none.
        transform: as for `predicted`.

    Returns:
        uint8 (H, W, 4), RGBA.
    """
    own = ~(known & _equal(image, said))
    patch = np.zeros((*image.shape[:2], 4), np.uint8)
    if parent is not None and parent.shape == image.shape:
        in_place = own & _equal(image, parent)
        patch[..., 3][in_place] = IN_PLACE
        own &= ~in_place
    if parent is not None and transform is not None and (own & known).mean() > MISSED:
        for alpha, moved, there in _other_ways(parent, transform, image.shape[:2]):
            carried = own & there & _equal(image, moved)
            patch[..., 3][carried] = alpha
            own &= ~carried
    # A product is several times quicker than to choose pixels.
    patch[..., :3] = image * own[..., None]
    patch[..., 3][own] = OWN
    return patch


def _equal(one: Image, other: Image) -> Mask:
    """Where two pictures of one size have the same colour, bool (H, W)."""
    red, green, blue = (one[..., channel] == other[..., channel] for channel in range(3))
    return np.asarray(red & green & blue)


def lessened(
    patch: NDArray[np.uint8], image: Image, said: Image, known: Mask, parent: Image
) -> NDArray[np.uint8]:
    """A patch without pixels that are the parent's but for a few grey levels.

    Args:
        patch: uint8 (H, W, 4), RGBA, of `difference`.
        image: uint8 (H, W, 3), RGB.
        said: uint8 (H, W, 3), what is predicted.
        known: bool (H, W), where that says something.
        parent: uint8 (h, w, 3), RGB; one of another size has no pixels of the same place.

    Returns:
        uint8 (H, W, 4), RGBA: of such pixels it holds what they differ by, at most `CLOSE` levels.
    """
    found = patch.copy()
    own = patch[..., 3] == OWN
    places = [(NEAR_SAID, said, known)]
    if parent.shape == image.shape:
        places.append((NEAR_PLACE, parent, np.ones(known.shape, np.bool_)))
    for alpha, source, there in places:
        levels = image.astype(np.int16) - source
        near = own & there & (np.abs(levels) <= CLOSE).all(axis=2)
        found[near, :3] = levels[near] + CLOSE
        found[near, 3] = alpha
        own &= ~near
    return found


def restored(
    patch: NDArray[np.uint8],
    said: Image,
    parent: Image | None = None,
    transform: Sequence[float] | None = None,
) -> Image:
    """The image of a patch, of what is predicted of it, and of its parent.

    Args:
        patch: uint8 (H, W, 4), RGBA.
        said: uint8 (H, W, 3).
        parent: uint8 (h, w, 3), RGB; None: there is none.
        transform: as for `predicted`.

    Raises:
        ValueError: the patch has pixels of a parent, or of a transform, that is another one.
    """
    image = np.where(patch[..., 3:] == OWN, patch[..., :3], said)
    for alpha in np.unique(patch[..., 3]):
        if alpha in (SAID, OWN):
            continue
        source = said if alpha == NEAR_SAID else _source(int(alpha), image.shape, parent, transform)
        if source is None or source.shape != image.shape:
            msg = "the patch has pixels of another parent or transform"
            raise ValueError(msg)
        there = patch[..., 3] == alpha
        image[there] = source[there]
        if alpha in (NEAR_SAID, NEAR_PLACE):
            levels = patch[there, :3].astype(np.int16) - CLOSE
            image[there] = (source[there] + levels).clip(0, 255)
    return image


def _source(
    alpha: int,
    shape: tuple[int, ...],
    parent: Image | None,
    transform: Sequence[float] | None,
) -> Image | None:
    """The picture that pixels of an alpha are taken from; None where there is none."""
    if parent is None or alpha in (IN_PLACE, NEAR_PLACE):
        return parent
    if transform is None or not WAYS <= alpha < WAYS + len(ORDER):
        return None
    found = _moved(parent, transform, (shape[0], shape[1]), ORDER[alpha - WAYS])
    return found and found[0]


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
