"""What a mask measures, whoever drew it: how much it covers, its border, its parts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from covar_gen.core.arrays import Mask


class Outline(NamedTuple):
    """Measurements of one mask.

    Attributes:
        coverage: share of the image that is object, fraction.
        border: share of the image's outermost pixels that are object, fraction.
        components: connected parts of the object; pixels are connected by their sides.
    """

    coverage: float
    border: float
    components: int


def measured(mask: Mask) -> Outline:
    """Measure a mask.

    Args:
        mask: bool (H, W), True on the object.
    """
    import cv2

    outermost = np.ones(mask.shape, np.bool_)
    outermost[1:-1, 1:-1] = False
    labels, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return Outline(float(mask.mean()), float(mask[outermost].mean()), labels - 1)
