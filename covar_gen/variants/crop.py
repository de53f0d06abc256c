"""Centred crop of 60-90% of the area, resized back; cubic."""

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

    The share of the area is uniform. The same number of whole pixels is cut from opposite sides,
    so the crop is exactly centred; the share recorded is that of the pixels kept.
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
        height, width = mask.shape
        area = uniform(rng, self.options.least, self.options.most)
        kept = self._kept(width, height, area)
        margins = [(edge - keep) // 2 for edge, keep in zip((width, height), kept, strict=True)]
        transform = np.array(
            [
                [width / kept[0], 0.0, (0.5 - margins[0]) * width / kept[0] - 0.5],
                [0.0, height / kept[1], (0.5 - margins[1]) * height / kept[1] - 0.5],
                [0.0, 0.0, 1.0],
            ]
        )
        share = kept[0] * kept[1] / (width * height)
        return warped(image, mask, transform, "resize", crop_area=share)

    def _kept(self, width: int, height: int, area: float) -> tuple[int, int]:
        """Width and height kept, whole pixels, nearest to the area drawn and inside the range."""
        exact = [edge * (1 - math.sqrt(area)) / 2 for edge in (width, height)]
        sizes = [
            (width - 2 * left, height - 2 * top)
            for left in {math.floor(exact[0]), math.ceil(exact[0])}
            for top in {math.floor(exact[1]), math.ceil(exact[1])}
        ]
        total = width * height
        least, most = self.options.least * total, self.options.most * total
        inside = [size for size in sizes if least <= size[0] * size[1] <= most]
        return min(inside or sizes, key=lambda size: (abs(size[0] * size[1] - area * total), size))
