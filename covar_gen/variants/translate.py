"""Translation by up to 20% of width and height; whole pixels, borders inpainted."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import uniform
from covar_gen.variants.base import Variant, Varied, warped


class Translate(Variant):
    """A shift (paper, A.6) by whole pixels, so that they are copied; each is equally likely."""

    class Options(PluginOptions):
        """Options of translate.

        Attributes:
            most: largest shift either way, fraction of the width and of the height.
        """

        most: float = Field(default=0.2, gt=0, lt=1)

    options: Options

    def vary(self, image: Image, mask: Mask, rng: np.random.Generator) -> Varied:
        """Shift right and down for positive fractions."""
        height, width = mask.shape
        furthest = (int(self.options.most * edge) for edge in (width, height))
        shift_x, shift_y = (math.floor(uniform(rng, -most, most + 1)) for most in furthest)
        transform = np.array([[1.0, 0.0, shift_x], [0.0, 1.0, shift_y], [0.0, 0.0, 1.0]])
        return warped(
            image, mask, transform, "exact", shift_x=shift_x / width, shift_y=shift_y / height
        )
