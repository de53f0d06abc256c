"""What is measured of a map that explains an error: how it lies on the object and behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Mask
from covar_gen.evaluation.metrics.regions import MARGIN, THRESHOLD, iou, mass_share, region
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
    values = maps[:, visible]
    on = mask[visible]
    background = 1 - on.mean() if on.size else np.nan
    called = np.zeros((len(THRESHOLDS), len(MARGINS)))
    excess = 0
    for each in values:
        difference = np.array([_difference(each, on, threshold) for threshold in THRESHOLDS])
        called += (difference[:, None] >= MARGINS) & (difference[:, None] > 0)
        excess += float(mass_share(each[None], ~on[None])) > background
    each_way = (called / len(maps)).astype(np.float32)
    return {
        "chance": float(each_way[THRESHOLDS.index(THRESHOLD), MARGINS.index(MARGIN)]),
        "chance_each": each_way.ravel(),
        "chance_excess": excess / len(maps),
    }


def _difference(values: NDArray[np.float32], on: Mask, threshold: float) -> float:
    """By how much a region overlaps the background more; NaN where there is no region."""
    found = region(values[None], threshold)
    return float(iou(found, ~on[None]) - iou(found, on[None]))
