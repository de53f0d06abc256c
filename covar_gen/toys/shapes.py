"""Silhouettes of the toy world's classes: where a point of the plane belongs to the object.

Coordinates are the object's own: u to the right, v upwards, the object within the square from -1
to 1, or two hundredths beyond. Each function takes two float arrays of one shape and answers a bool
array of that shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from covar_gen.core.arrays import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane: TypeAlias = NDArray[np.float32]
    Silhouette: TypeAlias = Callable[[Plane, Plane], Mask]


def polygon(u: Plane, v: Plane, corners: list[tuple[float, float]]) -> Mask:
    """True inside a polygon, by the number of edges that a ray to the right crosses.

    Args:
        u: float32, any shape.
        v: float32, the same shape.
        corners: (u, v) of the corners in order; the last is joined to the first.
    """
    inside = np.zeros(u.shape, np.bool_)
    for (u1, v1), (u2, v2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if v1 == v2:
            continue
        spans = (v1 > v) != (v2 > v)
        inside ^= spans & (u < (u2 - u1) * (v - v1) / (v2 - v1) + u1)
    return inside


def ring(u: Plane, v: Plane) -> Mask:
    """A flat ring with a wide hole."""
    radius = u * u + v * v
    return np.asarray((radius < 0.95**2) & (radius > 0.52**2))


def star(u: Plane, v: Plane) -> Mask:
    """A star with five points, one of them up."""
    turns = [np.pi * (0.5 + step / 5) for step in range(10)]
    lengths = [1.0, 0.42] * 5
    corners = [
        (float(length * np.cos(turn)), float(length * np.sin(turn)))
        for length, turn in zip(lengths, turns, strict=True)
    ]
    return polygon(u, v, corners)


def cross(u: Plane, v: Plane) -> Mask:
    """Two bars across each other, of the same length."""
    wide = (abs(u) < 0.92) & (abs(v) < 0.27)  # noqa: PLR2004 - the drawing
    high = (abs(v) < 0.92) & (abs(u) < 0.27)  # noqa: PLR2004 - the drawing
    return np.asarray(wide | high)


def heart(u: Plane, v: Plane) -> Mask:
    """A heart, its point down: the curve (x^2 + y^2 - 1)^3 = x^2 y^3."""
    x, y = u * 1.18, v * 1.12 + 0.1
    return np.asarray((x * x + y * y - 1) ** 3 < x * x * y**3)


def crescent(u: Plane, v: Plane) -> Mask:
    """A crescent moon, open to the right."""
    outer = (u + 0.1) ** 2 + v * v < 0.92**2
    return np.asarray(outer & ((u - 0.4) ** 2 + v * v > 0.74**2))


def fish(u: Plane, v: Plane) -> Mask:
    """A fish that swims to the left."""
    body = ((u + 0.25) / 0.72) ** 2 + (v / 0.46) ** 2 < 1
    tail = polygon(u, v, [(0.25, 0.0), (0.97, 0.58), (0.8, 0.0), (0.97, -0.58)])
    fin = polygon(u, v, [(-0.45, 0.35), (-0.05, 0.8), (0.1, 0.3)])
    return np.asarray(body | tail | fin)


def mushroom(u: Plane, v: Plane) -> Mask:
    """A round cap on a stem."""
    cap = (u / 0.95) ** 2 + ((v + 0.02) / 0.9) ** 2 < 1
    stem = polygon(u, v, [(-0.24, 0.05), (0.24, 0.05), (0.32, -0.92), (-0.32, -0.92)])
    return np.asarray((cap & (v > -0.02)) | stem)  # noqa: PLR2004 - the drawing


def bolt(u: Plane, v: Plane) -> Mask:
    """A flash of lightning."""
    corners = [
        (0.3, 0.97), (-0.55, -0.12), (-0.08, -0.12), (-0.35, -0.97), (0.6, 0.22), (0.1, 0.22),
        (0.6, 0.97),
    ]  # fmt: skip
    return polygon(u, v, corners)


SILHOUETTES: dict[str, Silhouette] = {
    "ring": ring,
    "star": star,
    "cross": cross,
    "heart": heart,
    "crescent": crescent,
    "fish": fish,
    "mushroom": mushroom,
    "bolt": bolt,
}
"""Name of a class -> its silhouette, in the order of the world's classes."""
