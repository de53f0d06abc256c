"""Horizontal flip: left becomes right; an exact copy of the pixels."""

from __future__ import annotations

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.variants.base import Variant, Varied, warped


class HFlip(Variant):
    """Standard left-right flip (paper, A.6)."""

    def vary(self, image: Image, mask: Mask, rng: np.random.Generator) -> Varied:  # noqa: ARG002 - nothing is drawn
        """Mirror about the vertical axis."""
        transform = np.array([[-1.0, 0.0, image.shape[1] - 1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        return warped(image, mask, transform, "exact")
