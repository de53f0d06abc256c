"""What a map covers: regions, overlap with object and background, and the verdict on an error.

An error is called background-driven where the region that explains the (wrong) prediction overlaps
the background more than the object (the paper's BG-Er). The paper leaves open what a region is and
what happens at a tie; here a region is everything at or above a share of the map's maximum, and a
thin margin is `UNDECIDED`. Beside the verdict stands a figure without any threshold: the share of
the map's positive mass that lies on the background.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5
"""Share of the maximum from which on a pixel belongs to the region."""
MARGIN = 0.02
"""Difference of the two overlaps below which nothing is decided."""

ROUNDING = 1e-6
"""Shares of the mass and of the pixels that differ by no more are the same."""


class Driver(StrEnum):
    """What an error is driven by."""

    BACKGROUND = "background"
    FOREGROUND = "foreground"
    UNDECIDED = "undecided"


def region(values: NDArray[np.floating], threshold: float = THRESHOLD) -> NDArray[np.bool_]:
    """The pixels that explain: those at or above a share of the map's maximum.

    Args:
        values: float (..., H, W), a map; negative values explain nothing.
        threshold: share of the maximum, in (0, 1].

    Returns:
        bool (..., H, W); empty where no value is positive.
    """
    top = values.max(axis=(-2, -1), keepdims=True)
    found: NDArray[np.bool_] = (values >= threshold * top) & (values > 0)
    return found


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union.

    Args:
        first: bool (..., H, W).
        second: bool (..., H, W).

    Returns:
        float64 (...), in [0, 1]; NaN where both are empty.
    """
    common = (first & second).sum(axis=(-2, -1))
    either = (first | second).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.true_divide(common, either)
    return found


def mass_share(values: NDArray[np.floating], background: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of a map's positive mass that lies on the background.

    Args:
        values: float (..., H, W), a map.
        background: bool (..., H, W).

    Returns:
        float64 (...), in [0, 1]; NaN where no value is positive.
    """
    positive = np.maximum(values, 0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (positive * background).sum(axis=(-2, -1)) / positive.sum(
            axis=(-2, -1)
        )
    return found


def verdict(on_object: float, on_background: float, margin: float = MARGIN) -> Driver:
    """What an error is driven by.

    Args:
        on_object: IoU of the region with the object's mask.
        on_background: IoU of the region with the background.
        margin: smallest difference that decides.
    """
    difference = on_background - on_object
    if not np.isfinite(difference) or abs(difference) < margin:
        return Driver.UNDECIDED
    return Driver.BACKGROUND if difference > 0 else Driver.FOREGROUND
