"""Edits a photograph as a sentence tells it to, with FLUX.1 Kontext; or repaints its background.

Black Forest Labs, arXiv:2506.15742. Form `edit` redraws the whole picture. Form `inpaint` repaints
everything but the object and puts the object's own pixels back. The weights are gated and not for
commercial use.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from covar_gen.core.plugins import WeightsName
from covar_gen.editors._instruction import RepaintingEditor
from covar_gen.neural.instructing import Manner

_EDIT, _INPAINT = "FluxKontextPipeline", "FluxKontextInpaintPipeline"


class FluxKontext(RepaintingEditor):
    """Photographs of one canvas are edited together, in either form.

    The canvas keeps the photograph's shape. diffusers would take the nearest of 17 sizes, all of
    about a million pixels, which stretches the photograph by up to 8.5%.
    """

    class Options(RepaintingEditor.Options):
        """Which model and how it edits: see also RepaintingEditor and AlignmentOptions.

        Attributes:
            weights: a folder or repository of FLUX.1 Kontext.
            form: edit: the whole picture is redrawn; inpaint: its background is repainted.
            steps: of denoising.
            guidance: how strongly the sentence is followed; a number that the model is told.
            avoid: what is not painted, told by a second pass; `true_guidance` must be above 1.
            true_guidance: how strongly what to avoid is avoided; 1: there is no second pass.
        """

        weights: WeightsName = "black-forest-labs/FLUX.1-Kontext-dev"
        form: Literal["edit", "inpaint"] = "edit"
        steps: int = Field(default=28, ge=1, le=1000)
        guidance: float = Field(default=3.5, ge=0, le=100)
        avoid: str = ""
        true_guidance: float = Field(default=1.0, ge=1, le=100)

        @model_validator(mode="after")
        def _avoids(self) -> Self:
            if self.avoid and self.true_guidance == 1:
                raise ValueError("avoid is told by a second pass: true_guidance must be above 1")
            return self

    options: Options

    def manner(self) -> Manner:
        """Guided by a number; latents are joined two by two."""
        return Manner(
            _EDIT if self.options.form == "edit" else _INPAINT,
            (_EDIT, _INPAINT),
            {
                "guidance_scale": self.options.guidance,
                "true_cfg_scale": self.options.true_guidance,
            },
            negative_prompt=self.options.avoid,
            strength=self.options.strength,
        )
