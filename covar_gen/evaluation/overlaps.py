"""What is measured of a map that explains an error: how it lies on the object and behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Mask
from covar_gen.evaluation.metrics.regions import (
    MARGIN,
    ROUNDING,
    THRESHOLD,
    iou,
    mass_share,
    region,
)
from covar_gen.evaluation.rows import MARGINS, THRESHOLDS


def overlaps(values: NDArray[np.float32], mask: Mask, visible: Mask) -> dict[str, Any]:
    """How a map lies on the object and on the background.

    Args:
        values: float32 (H, W), on the original image.
        mask: bool (H, W), True on the object.
        visible: bool (H, W), True where the model saw the image: nothing else counts.

    Returns:
        Columns iou_object and iou_background, one value per threshold; mass_background and
        object_coverage, shares of what the model saw.
    """
    on, off = mask & visible, ~mask & visible
    regions = np.stack([region(values, threshold) for threshold in THRESHOLDS]) & visible
    return {
        "iou_object": iou(regions, on[None]).tolist(),
        "iou_background": iou(regions, off[None]).tolist(),
        "mass_background": float(mass_share(values * visible, off)),
        "object_coverage": float(on.sum() / max(int(visible.sum()), 1)),
    }


def chances(maps: NDArray[np.float32], mask: Mask, visible: Mask) -> dict[str, Any]:
    """What would be said of random maps.

    Args:
        maps: float32 (C, H, W), on the original image.
        mask: bool (H, W), True on the object.
        visible: bool (H, W), True where the model saw the image: nothing else counts.

    Returns:
        Columns chance, chance_each and chance_excess; NaN where the image has no visible pixel.
    """
    on = mask[visible]
    off = ~on
    sizes = np.array([on.sum(), off.sum()])
    with np.errstate(invalid="ignore"):
        filled = np.true_divide(sizes[1], sizes.sum())
        called = np.zeros((len(THRESHOLDS), len(MARGINS)))
        excess = 0
        for values in np.compress(visible.ravel(), maps.reshape(len(maps), -1), axis=1):
            # The same as `iou` of `region`, from counts: a pixel is on the object or off it.
            found = _counts(values, on)
            overlap = found / (found.sum(1, keepdims=True) + sizes - found)
            difference = (overlap[:, 1] - overlap[:, 0])[:, None]
            called += (difference >= MARGINS) & (difference > 0)
            mass = np.maximum(values, 0).astype(np.float64)
            excess += bool(np.true_divide(mass @ off, mass.sum()) > filled + ROUNDING)
    each_way = (called / len(maps)).astype(np.float32)
    return {
        "chance": float(each_way[THRESHOLDS.index(THRESHOLD), MARGINS.index(MARGIN)]),
        "chance_each": each_way.ravel(),
        "chance_excess": excess / len(maps),
    }


def _counts(values: NDArray[np.float32], on: Mask) -> NDArray[np.int64]:
    """Pixels of the region on the object and off it, for each threshold: int64 (P, 2).

    Args:
        values: float32 (N,), visible pixels of a map.
        on: bool (N,), True on the object.
    """
    found = np.zeros((len(THRESHOLDS), 2), np.int64)
    top = values.max(initial=0)
    for place, threshold in enumerate(THRESHOLDS if top > 0 else ()):
        within = values >= threshold * top
        inside = np.count_nonzero(within & on)
        found[place] = inside, np.count_nonzero(within) - inside
    return found
