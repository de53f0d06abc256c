"""Deletion and insertion: pixels taken away, or given, in the order of a map.

As the paper measures them (its section on faithfulness, after Petsiuk et al. 2018): 0.5 % of the
pixels per step, 100 steps. Deletion replaces pixels by noise, insertion begins with a black canvas.
The area is under the curve on an axis brought to [0, 1]; both the trapezoid and the plain mean of
the points are offered, since publications use either. The script that Grad-ECLIP released measures
every tenth step; its insertion leaves the black canvas out and ends with the intact image, which is
the first point of deletion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

STEPS = 100
SHARE = 0.005
"""Share of the pixels per step."""
POINTS = 11
"""Points of a curve that are measured: the untouched image and every tenth step."""

Ties = Literal["random", "stable", "centre"]
"""How equal values are ordered. A map of K clusters has K values, so ties decide the curve: drawn
by a seed (they scatter over the cluster), row by row, or from the image's centre outwards."""


def order(values: NDArray[np.floating], ties: Ties = "random", seed: int = 0) -> NDArray[np.int64]:
    """Pixels from the most to the least important.

    Args:
        values: float (..., H, W), maps without NaN; -inf where a pixel comes last whatever the
            others are.
        ties: how equal values are ordered.
        seed: of the random order, which is the same for all maps of a size.

    Returns:
        int64 (..., H * W), positions in the flattened image.
    """
    height, width = values.shape[-2:]
    first = _tie_order(height, width, ties, seed)
    flat = values.reshape(*values.shape[:-2], height * width)
    return first[_falling(flat[..., first])]


def _falling(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Places (..., N) of values from the largest to the smallest; equals keep their order."""
    if values.dtype != np.float32:
        return np.asarray(np.argsort(-values, axis=-1, kind="stable"), np.int64)
    # As whole numbers of the same order, float32 takes numpy's radix sort, half by half: a sixth of
    # the time. 0 is added since -0 equals 0.
    bits = (np.float32(0) - values).view(np.uint32)
    keys = bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    low = np.argsort((keys & 0xFFFF).astype(np.uint16), axis=-1, kind="stable")
    upper = np.take_along_axis((keys >> 16).astype(np.uint16), low, axis=-1)
    high = np.argsort(upper, axis=-1, kind="stable")
    return np.asarray(np.take_along_axis(low, high, axis=-1), np.int64)


def _tie_order(height: int, width: int, ties: Ties, seed: int) -> NDArray[np.int64]:
    """Positions in the order that equal values get: int64 (H * W,)."""
    if ties == "stable":
        return np.arange(height * width, dtype=np.int64)
    if ties == "random":
        return np.random.default_rng(seed).permutation(height * width)
    y, x = np.ogrid[:height, :width]
    # Whole numbers: equal distances stay equal.
    distance = ((2 * y - height + 1) ** 2 + (2 * x - width + 1) ** 2).ravel()
    return np.asarray(np.argsort(distance, kind="stable"), np.int64)


def counts(pixels: int, steps: int = STEPS, share: float = SHARE) -> NDArray[np.int64]:
    """How many pixels are changed after each step: int64 (steps + 1,), from 0 on.

    Every step changes the same number, floor(share * pixels), so that the last point may lie a
    little below steps * share; in an image too small for that, one pixel, while there are any.
    """
    each = max(1, int(np.floor(share * pixels + 1e-9)))
    return np.minimum(np.arange(steps + 1, dtype=np.int64) * each, pixels)


def measured_steps(points: int = POINTS, steps: int = STEPS) -> NDArray[np.int64]:
    """After which steps a curve is measured: int64 (points,), from 0 to the last, evenly.

    Args:
        points: how many, from 2 to steps + 1; 11 of 100 are every tenth step.
        steps: of the whole curve.
    """
    if not 2 <= points <= steps + 1:  # noqa: PLR2004 - an area needs two
        msg = f"{points} points of {steps} steps"
        raise ValueError(msg)
    return np.rint(np.linspace(0, steps, points)).astype(np.int64)


def noise(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """What deletion puts in the place of pixels: uint8 (H, W, 3), uniform."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mixtures(
    image: NDArray[np.uint8],
    other: NDArray[np.uint8],
    ranked: NDArray[np.int64],
    changed: NDArray[np.int64],
) -> Iterator[NDArray[np.uint8]]:
    """An image whose most important pixels come from another one, more and more of them.

    Deletion: `image` is the picture and `other` the noise. Insertion: `image` is the canvas and
    `other` the picture. Only what a point adds is copied.

    Args:
        image: uint8 (H, W, 3).
        other: uint8 (H, W, 3).
        ranked: int64 (H * W,), from `order`.
        changed: int64 (P,), rising: how many pixels come from `other` at each point.

    Yields:
        uint8 (H, W, 3), P times the same array, which the next point changes.
    """
    found = np.array(image, order="C")
    flat, source = found.reshape(-1, 3), other.reshape(-1, 3)
    before = 0
    for count in changed.tolist():
        chosen = ranked[before:count]
        flat[chosen] = source[chosen]
        before = count
        yield found


def area(
    curve: NDArray[np.floating],
    rule: Literal["trapezoid", "mean"] = "trapezoid",
    at: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """Area under curves, on an axis of length 1.

    Args:
        curve: float (..., P), P >= 2 points.
        rule: the trapezoid rule, or the mean of the points.
        at: int (P,), where the points lie on the axis, rising, on any scale; None: evenly. The mean
            of the points takes no notice of it.

    Returns:
        float64 (...).
    """
    if curve.shape[-1] < 2:  # noqa: PLR2004
        msg = f"a curve has two points or more, got {curve.shape}"
        raise ValueError(msg)
    values = curve.astype(np.float64)
    if rule == "mean":
        return np.asarray(values.mean(axis=-1))
    middles = (values[..., 1:] + values[..., :-1]) / 2
    if at is None:
        return np.asarray(middles.mean(axis=-1))
    return np.asarray((middles * (np.diff(at) / (at[-1] - at[0]))).sum(axis=-1))
