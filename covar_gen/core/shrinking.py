"""How a parent gets smaller on a canvas of its own size: the transforms, and the passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from covar_gen.core.arrays import Mask, Matrix
from covar_gen.core.imaging import object_box


def shrink(mask: Mask, factor: float) -> Matrix:
    """The transform that shrinks by a factor and brings the object's box to the centre.

    Args:
        mask: bool (H, W), True on the object.
        factor: linear, greater than 1.

    Returns:
        float64 (3, 3), parent pixels -> canvas pixels.
    """
    height, width = mask.shape
    left, top, right, bottom = object_box(mask) or (0, 0, width, height)
    box_x, box_y = (left + right - 1) / 2, (top + bottom - 1) / 2
    return np.array(
        [
            [1 / factor, 0.0, (width - 1) / 2 - box_x / factor],
            [0.0, 1 / factor, (height - 1) / 2 - box_y / factor],
            [0.0, 0.0, 1.0],
        ]
    )


def between(inner: float, outer: float, size: tuple[int, ...]) -> Matrix:
    """The transform from a parent's canvas at one factor to its canvas at a larger one.

    Both have the object's box at their centre, so it shrinks about the centre.

    Args:
        inner: factor of the canvas that becomes a part of the other.
        outer: factor of the other.
        size: (height, width) of both.

    Returns:
        float64 (3, 3).
    """
    ratio = inner / outer
    found = np.diag([ratio, ratio, 1.0])
    found[:2, 2] = [(edge - 1) / 2 * (1 - ratio) for edge in (size[1], size[0])]
    return found


def passes(factors: Sequence[float], reach: float) -> list[float]:
    """The canvases by which all factors are reached, each at most `reach` times the one before.

    Args:
        factors: linear, greater than 1; each of them is one of the canvases.
        reach: greater than 1.

    Returns:
        Factors, ascending; those in between divide what is between two evenly.
    """
    found: list[float] = []
    for inner, outer in pairwise([1.0, *sorted(factors)]):
        ratio = outer / inner
        # Rounding must not make one pass of exactly `reach` into two.
        count = max(1, math.ceil(math.log(ratio) / math.log(reach) - 1e-9))
        found += [inner * ratio ** (place / count) for place in range(1, count)]
        found.append(outer)
    return found
