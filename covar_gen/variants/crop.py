"""Centred crop of 60-90% of the area, resized back; Lanczos."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import uniform
from covar_gen.variants.base import Variant, Varied, warped


class Crop(Variant):
    """A region about the centre with the image's own aspect ratio (paper, A.6).

    The share of the area is uniform. The region need not begin at a whole pixel: the crop is
    exactly centred and exactly as large as recorded, and pixels beyond its edge, which the
    photograph has, take part in the interpolation.
    """

    class Options(PluginOptions):
        """Options of crop.

        Attributes:
            least: smallest share of the area kept, fraction.
            most: largest share of the area kept, fraction.
        """

        least: float = Field(default=0.6, gt=0, lt=1)
        most: float = Field(default=0.9, gt=0, lt=1)

        @model_validator(mode="after")
        def _in_order(self) -> Crop.Options:
            if self.least > self.most:
                raise ValueError("least is larger than most")
            return self

    options: Options

    def vary(self, image: Image, mask: Mask, rng: np.random.Generator) -> Varied:
        """Keep the centre, enlarge it to the image's size."""
        area = uniform(rng, self.options.least, self.options.most)
        height, width = mask.shape
        zoom = 1 / math.sqrt(area)
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        transform = np.array(
            [
                [zoom, 0.0, centre_x * (1 - zoom)],
                [0.0, zoom, centre_y * (1 - zoom)],
                [0.0, 0.0, 1.0],
            ]
        )
        return warped(image, mask, transform, "lanczos", crop_area=area)
