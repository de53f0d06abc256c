"""What a variant is: one controlled change of an image, with its mask and its factors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from covar_gen.core.arrays import Image, Json, Mask, Matrix
from covar_gen.core.imaging import Interpolation, warp, warp_mask
from covar_gen.core.plugins import Plugin


@dataclass(frozen=True)
class Varied:
    """An image changed, before its unknown pixels are filled.

    Attributes:
        image: uint8 (H, W, 3), RGB; zero where unknown.
        mask: bool (H, W), True on the object.
        known: bool (H, W), True where the change decides the pixel; the rest is inpainted.
        transform: float64 (3, 3), parent pixels -> this image's pixels; None if there is none.
        keeps_pixels: True if every known pixel is the parent's, moved by the transform; False
            for a change of the values themselves, such as a blur.
        factors: manifest columns of this variant: angle_deg, shift_x, shift_y, crop_area.
        params: its own further factors.
    """

    image: Image
    mask: Mask
    known: Mask
    transform: Matrix | None = None
    keeps_pixels: bool = True
    factors: dict[str, float] = field(default_factory=dict)
    params: dict[str, Json] = field(default_factory=dict)


class Variant(Plugin, ABC):
    """One controlled change. Its file's name is its subset's name."""

    @abstractmethod
    def vary(self, image: Image, mask: Mask, rng: np.random.Generator) -> Varied:
        """Change one image.

        Args:
            image: uint8 (H, W, 3), RGB, the parent.
            mask: bool (H, W), True on the parent's object.
            rng: the only randomness allowed; draw with `core.seeds.uniform` and `choose`.
        """


def warped(
    image: Image,
    mask: Mask,
    transform: Matrix,
    interpolation: Interpolation,
    **factors: float,
) -> Varied:
    """The parent and its mask under one transform, as a variant; the size stays."""
    moved, known = warp(image, transform, image.shape[:2], interpolation)
    return Varied(
        image=moved,
        mask=warp_mask(mask, transform, mask.shape),
        known=known,
        transform=transform,
        factors=factors,
    )
