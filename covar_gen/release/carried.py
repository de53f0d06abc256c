"""How much of its parent a patch still shows: pixels that a tool carried along without saying so.

Looked for is what can be told from pixels alone: places that are the parent's but for a few grey
levels, where they were or where the transform says (patches then hold those levels alone); and
whole-pixel copies of them anywhere, mirrored and turned by quarters too. These are no painting.
What merely looks like the parent in its place (blurred, recoloured, after JPEG, or drawn again
with care) is measured by `alike`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.release.patches import CLOSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 8
"""Edge of the squares that are compared, pixels."""
DETAIL = 16
"""Grey levels that the pixels of a square have to span: sky is like any sky."""
ALIKE = 0.9
"""Correlation of a square's grey levels with the parent's from which on it is alike."""
FEWEST = 4
"""Squares with detail that a parent has to have for their share to say anything."""
PART = 0.25
"""Share of a square that has to be the patch's own for the square to count: of a picture that was
changed a little, many a pixel is the parent's by chance, and left out."""
MOST = 0.05
"""Share of the parent's squares that a patch may show: chance, and rims."""
_PRIMES = (0x9E3779B1, 0x85EBCA77)
"""Odd, of 32 bits, for rows and columns. Source: xxHash's first two."""
_LEAST = 10
"""Lowest bits of a square's number, which a table that tells most squares apart leaves out."""


def carried(image: Image, own: Mask, parent: Image, said: Image) -> float:
    """The share of a parent's detail that a patch shows as it was, or all but.

    Args:
        image: uint8 (H, W, 3), RGB.
        own: bool (H, W), True where the patch holds the image's own colour.
        parent: uint8 (h, w, 3), RGB.
        said: uint8 (H, W, 3), what the transform predicts of the image.

    Returns:
        Of the parent's squares of `EDGE` pixels that have detail, those found in the patch,
        fraction: the largest of those in their place, where the transform says, and copied
        anywhere. 0 where the parent has no detail, or the patch too few pixels for `MOST`.
    """
    detailed = _detailed(parent)
    total = int(detailed.sum())
    if total < FEWEST or own.sum() < PART * MOST * total * EDGE**2:
        return 0.0
    told = _squares(own[..., None]).mean(axis=(1, 3, 4)) >= PART
    shown = [_copied(image, own, parent, detailed)]
    for other in (parent, said):
        if other.shape == image.shape:
            close = np.maximum(image, other) - np.minimum(image, other) <= CLOSE
            there = told & _squares(close).all(axis=(1, 3, 4))
            shown.append(int((there & _detailed(other)).sum()))
    return min(max(shown) / total, 1.0)


def alike(image: Image, own: Mask, parent: Image) -> float:
    """The share of a parent's detail that a patch shows in its place, however coloured.

    Args:
        image: uint8 (H, W, 3), RGB.
        own: bool (H, W), True where the patch holds the image's own colour.
        parent: uint8 (h, w, 3), RGB.

    Returns:
        Of the parent's squares with detail those whose grey levels correlate with the image's by
        `ALIKE` or more, fraction; 0 where the sizes differ or the parent has no detail.
    """
    detailed = _detailed(parent)
    if image.shape != parent.shape or not detailed.any():
        return 0.0
    told = _squares(own[..., None]).mean(axis=(1, 3, 4)) >= PART
    one, other = (_centred(each) for each in (image, parent))
    product = (one * other).sum(axis=(1, 3))
    strength = np.sqrt((one**2).sum(axis=(1, 3)) * (other**2).sum(axis=(1, 3)))
    same = product >= ALIKE * np.maximum(strength, 1e-6)
    return float((told & detailed & same).sum() / detailed.sum())


def _centred(image: Image) -> NDArray[np.float32]:
    """Grey levels in squares, each less its mean, float32 (rows, EDGE, columns, EDGE)."""
    grey = _squares(image.mean(axis=2, dtype=np.float32)[..., None])[..., 0]
    return np.asarray(grey - grey.mean(axis=(1, 3), keepdims=True))


def _squares(image: NDArray[Any]) -> NDArray[Any]:
    """An image in squares, (rows, EDGE, columns, EDGE, channels); what is left over is left out."""
    rows, columns = (edge // EDGE for edge in image.shape[:2])
    cut = image[: rows * EDGE, : columns * EDGE]
    return cut.reshape(rows, EDGE, columns, EDGE, image.shape[2])


def _detailed(image: Image) -> Mask:
    """Squares whose pixels span `DETAIL` in a channel, bool (rows, columns)."""
    squares = _squares(image)
    # Rows first: neighbours in memory are compared at once.
    high, low = squares.max(axis=1).max(axis=2), squares.min(axis=1).min(axis=2)
    return np.asarray((high - low >= DETAIL).any(axis=2))


def _copied(image: Image, own: Mask, parent: Image, detailed: Mask) -> int:
    """How many of the parent's detailed squares the patch shows somewhere, pixel by pixel."""
    if min(image.shape[:2]) < EDGE:
        return 0
    squares = _squares(_packed(parent)[..., None])[..., 0].swapaxes(1, 2)[detailed]
    turned = [np.rot90(side, turns, (1, 2)) for side in (squares, squares[:, :, ::-1])
              for turns in range(4)]  # fmt: skip
    wanted = np.concatenate([_numbers(side)[:, 0, 0] for side in turned])
    there = _numbers(_packed(image)[None])[0][_shares(own) >= PART]
    # A table tells nearly all squares of the image from those looked for.
    table = np.zeros(1 << (32 - _LEAST), np.bool_)
    table[wanted >> np.uint32(_LEAST)] = True
    likely = there[table[there >> np.uint32(_LEAST)]]
    return int(np.isin(wanted, likely).reshape(len(turned), -1).any(axis=0).sum())


def _shares(own: Mask) -> NDArray[np.float32]:
    """The share of the square that begins at each pixel, (H - EDGE + 1, W - EDGE + 1)."""
    sums = np.zeros((own.shape[0] + 1, own.shape[1] + 1), np.int32)
    sums[1:, 1:] = own.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    ends = sums[EDGE:, EDGE:] - sums[:-EDGE, EDGE:] - sums[EDGE:, :-EDGE] + sums[:-EDGE, :-EDGE]
    return np.asarray(ends / np.float32(EDGE**2), np.float32)


def _packed(image: Image) -> NDArray[np.uint32]:
    """The three channels of each pixel as one number."""
    wide = image.astype(np.uint32)
    red, green, blue = wide[..., 0] << 16, wide[..., 1] << 8, wide[..., 2]
    return np.asarray(red | green | blue, np.uint32)


def _numbers(pixels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A number for the square that begins at each pixel, (N, H - EDGE + 1, W - EDGE + 1).

    Args:
        pixels: uint32 (N, H, W).
    """
    found = np.ascontiguousarray(pixels)
    for axis, prime in ((2, _PRIMES[0]), (1, _PRIMES[1])):
        length = found.shape[axis] - EDGE + 1
        parts = (found[:, :, step : step + length] if axis == 2 else found[:, step : step + length]  # noqa: PLR2004 - the last axis
                 for step in range(EDGE))  # fmt: skip
        total = np.array(next(parts))
        for part in parts:
            # Numbers wrap: only whether two are equal matters.
            total *= np.uint32(prime)
            total += part
        # Stirred, so that the sums of the other axis do not cancel these.
        total ^= total >> np.uint32(15)
        total *= np.uint32(_PRIMES[1])
        found = total
    return found
