"""Edits a photograph as a sentence tells it to, with InstructPix2Pix.

Brooks, Holynski and Efros, CVPR 2023. The whole picture is redrawn, so the object may change too;
what holds it is the guidance by the photograph. The defaults are the authors'.
"""

from __future__ import annotations

from pydantic import Field

from covar_gen.core.plugins import WeightsName
from covar_gen.editors._instruction import InstructionEditor
from covar_gen.neural.instructing import Manner

_KIND = "StableDiffusionInstructPix2PixPipeline"


class InstructPix2Pix(InstructionEditor):
    """Photographs of one canvas are edited together."""

    class Options(InstructionEditor.Options):
        """Which model and how it edits: see also AlignmentOptions.

        Attributes:
            weights: a folder or repository of InstructPix2Pix.
            steps: of denoising.
            guidance: how strongly the sentence is followed; at 1 the model would not be guided
                by the photograph either.
            image_guidance: how strongly the photograph is.
            native: edge of the square that the model was trained on.
            avoid: what is not painted.
        """

        weights: WeightsName = "timbrooks/instruct-pix2pix"
        steps: int = Field(default=100, ge=1, le=1000)
        guidance: float = Field(default=7.5, gt=1, le=100)
        image_guidance: float = Field(default=1.5, ge=1, le=100)
        native: int = Field(default=512, ge=64, le=4096)
        avoid: str = ""

    options: Options

    def manner(self) -> Manner:
        """Guided by the sentence and by the photograph; any multiple of a latent's size."""
        guidance = {
            "guidance_scale": self.options.guidance,
            "image_guidance_scale": self.options.image_guidance,
        }
        return Manner(_KIND, (_KIND,), guidance, negative_prompt=self.options.avoid, multiple=8)
