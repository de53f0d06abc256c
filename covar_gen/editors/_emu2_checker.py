"""Stable Diffusion's safety checker, asked for its verdict; it blackens nothing here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from covar_gen.neural.quiet import quiet

if TYPE_CHECKING:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from numpy.typing import NDArray

EDGE = 224
"""Of the square that it sees, pixels: the middle of a picture."""


@dataclass(frozen=True)
class Checker:
    """Tells which pictures it would have blackened.

    Attributes:
        network: of diffusers, on its device.
    """

    network: StableDiffusionSafetyChecker

    def flags(self, pictures: NDArray[np.float32]) -> list[bool]:
        """The verdict on each picture of a batch.

        Args:
            pictures: float32 (B, H, W, 3), RGB in [0, 1]; what is no number counts as black.

        Returns:
            True where it sees what it was made to find.
        """
        from PIL import Image
        from transformers import CLIPImageProcessorPil

        levels = np.rint(np.nan_to_num(pictures) * 255).astype(np.uint8)
        shown = [Image.fromarray(each) for each in levels]
        pixels = CLIPImageProcessorPil()(shown, return_tensors="pt").pixel_values
        weight = self.network.visual_projection.weight
        # It blackens the pictures that it is given beside what it looks at: these stand for them.
        nothing: list[Any] = [np.zeros((1, 1, 3), np.float32) for _ in shown]
        with quiet(("diffusers",)):
            _, found = self.network(
                clip_input=pixels.to(weight.device, weight.dtype), images=nothing
            )
        return [bool(each) for each in found]
