"""Rotation by up to 45 degrees either way; cubic, borders inpainted."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import uniform
from covar_gen.variants.base import Variant, Varied, warped


class Rotation(Variant):
    """Rotation about the image's centre, the angle uniform (paper, A.6)."""

    class Options(PluginOptions):
        """Options of rotation.

        Attributes:
            most_deg: largest angle either way, degrees.
        """

        most_deg: float = Field(default=45.0, gt=0, le=180)

    options: Options

    def vary(self, image: Image, mask: Mask, rng: np.random.Generator) -> Varied:
        """Turn counter-clockwise as seen for positive angles."""
        angle = uniform(rng, -self.options.most_deg, self.options.most_deg)
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        centre_x, centre_y = (mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2
        # y points down, so counter-clockwise as seen has the sine's signs this way round.
        transform = np.array(
            [
                [cosine, sine, centre_x - cosine * centre_x - sine * centre_y],
                [-sine, cosine, centre_y + sine * centre_x - cosine * centre_y],
                [0.0, 0.0, 1.0],
            ]
        )
        return warped(image, mask, transform, "cubic", angle_deg=angle)
