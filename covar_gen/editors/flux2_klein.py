"""Edits a photograph as a sentence tells it to, with FLUX.2 klein; or repaints its background.

Form `edit` redraws the whole picture. Form `inpaint` repaints everything but the object and puts
the object's own pixels back. The model of 4 billion parameters is free, that of 9 billion not for
commercial use; both were distilled to four steps.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from covar_gen.core.plugins import WeightsName
from covar_gen.editors._instruction import RepaintingEditor
from covar_gen.neural.instructing import Manner

_EDIT, _INPAINT = "Flux2KleinPipeline", "Flux2KleinInpaintPipeline"


class Flux2Klein(RepaintingEditor):
    """Form inpaint repaints photographs of one canvas together.

    To form edit, a list of pictures means several references for one answer: only the edits of one
    photograph, each to its own background, are made together; another photograph waits.
    """

    class Options(RepaintingEditor.Options):
        """Which model and how it edits: see also RepaintingEditor and AlignmentOptions.

        Attributes:
            weights: a folder or repository of FLUX.2 klein.
            form: edit: the whole picture is redrawn; inpaint: its background is repainted.
            steps: of denoising.
            guidance: how strongly the sentence is followed; distilled models are not told.
            native: edge of the square whose area the canvas has at most; 1024 is the most that the
                model is shown of a photograph.
        """

        weights: WeightsName = "black-forest-labs/FLUX.2-klein-4B"
        form: Literal["edit", "inpaint"] = "edit"
        steps: int = Field(default=4, ge=1, le=1000)
        guidance: float = Field(default=1.0, ge=0, le=100)
        native: int = Field(default=1024, ge=64, le=1024)

    options: Options

    def manner(self) -> Manner:
        """Guided by the sentence; latents, and with them the mask, are joined two by two."""
        edit = self.options.form == "edit"
        return Manner(
            _EDIT if edit else _INPAINT,
            (_EDIT, _INPAINT),
            {"guidance_scale": self.options.guidance},
            strength=self.options.strength,
            together="photograph" if edit else "all",
            cell=16,
        )
