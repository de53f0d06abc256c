"""Deletion and insertion: pixels taken away, or given, in the order of a map.

As the paper measures them (its section on faithfulness, after Petsiuk et al. 2018): 0.5 % of the
pixels per step, 100 steps. Deletion replaces pixels by noise, insertion begins with a blank canvas.
The area is under the curve on an axis brought to [0, 1]; both the trapezoid and the plain mean of
the points are offered, since publications use either.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

STEPS = 100
SHARE = 0.005
"""Share of the pixels per step."""

Ties = Literal["random", "stable", "centre"]
"""How equal values are ordered. A map of K clusters has K values, so ties decide the curve: drawn
by a seed (they scatter over the cluster), row by row, or from the image's centre outwards."""


def order(values: NDArray[np.floating], ties: Ties = "random", seed: int = 0) -> NDArray[np.int64]:
    """Pixels from the most to the least important.

    Args:
        values: float (H, W), a map.
        ties: how equal values are ordered.
        seed: of the random order.

    Returns:
        int64 (H * W,), positions in the flattened image.
    """
    height, width = values.shape
    if ties == "random":
        second = np.random.default_rng(seed).random(height * width)
    elif ties == "centre":
        y, x = np.mgrid[:height, :width]
        second = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2).ravel()
    else:
        second = np.arange(height * width, dtype=np.float64)
    found: NDArray[np.int64] = np.asarray(
        np.lexsort((second, -values.ravel().astype(np.float64))), np.int64
    )
    return found


def counts(pixels: int, steps: int = STEPS, share: float = SHARE) -> NDArray[np.int64]:
    """How many pixels are changed at each point of a curve: int64 (steps + 1,), from 0 on."""
    found: NDArray[np.int64] = np.floor(np.arange(steps + 1) * share * pixels + 1e-9).astype(
        np.int64
    )
    return found


def noise(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """What deletion puts in the place of pixels: uint8 (H, W, 3), uniform."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mixed(
    image: NDArray[np.uint8],
    other: NDArray[np.uint8],
    ranked: NDArray[np.int64],
    count: int,
) -> NDArray[np.uint8]:
    """An image whose `count` most important pixels come from another one.

    Deletion: `image` is the picture and `other` the noise. Insertion: `image` is the canvas and
    `other` the picture.

    Args:
        image: uint8 (H, W, 3).
        other: uint8 (H, W, 3).
        ranked: int64 (H * W,), from `order`.
        count: pixels to change.
    """
    found = image.copy()
    chosen = ranked[:count]
    found.reshape(-1, 3)[chosen] = other.reshape(-1, 3)[chosen]
    return found


def area(
    curve: NDArray[np.floating], rule: Literal["trapezoid", "mean"] = "trapezoid"
) -> NDArray[np.float64]:
    """Area under curves of evenly spaced points, on an axis of length 1.

    Args:
        curve: float (..., P), P >= 2 points.
        rule: the trapezoid rule, or the mean of the points.

    Returns:
        float64 (...).
    """
    if curve.shape[-1] < 2:  # noqa: PLR2004
        msg = f"a curve has two points or more, got {curve.shape}"
        raise ValueError(msg)
    values = curve.astype(np.float64)
    if rule == "mean":
        return np.asarray(values.mean(axis=-1))
    return np.asarray((values[..., 1:] + values[..., :-1]).mean(axis=-1) / 2)
