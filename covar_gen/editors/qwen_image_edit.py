"""Edits a photograph as a sentence tells it to, with Qwen-Image-Edit; or repaints its background.

Qwen team, arXiv:2508.02324. Form `edit` is that of the first model, form `plus` that of the later
ones (2509, 2511); both redraw the whole picture. Form `inpaint` repaints everything but the object
with the first model and puts the object's own pixels back.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from covar_gen.core.plugins import WeightsName
from covar_gen.editors._instruction import RepaintingEditor
from covar_gen.neural.fitting import Size
from covar_gen.neural.instructing import Manner

_EDIT, _INPAINT = "QwenImageEditPipeline", "QwenImageEditInpaintPipeline"
_PLUS = "QwenImageEditPlusPipeline"
_FORMS = {"edit": _EDIT, "inpaint": _INPAINT, "plus": _PLUS}
_FIRST, _LATER = "Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit-2511"

NATIVE, MULTIPLE = 1024, 32
"""The classes bring every photograph to this area, and to multiples of so many pixels."""


def own_size(photograph: Size, native: int, multiple: int) -> Size:
    """The canvas that the classes choose for a photograph and then leave as it is.

    They round to multiples, and would round the rounded size again to another: the photograph
    would be shown at one size and painted at another, which shifts it.

    Args:
        photograph: its size.
        native: edge of the square whose area it is given.
        multiple: of which its edges are multiples.
    """
    height, width = photograph
    before: Size | None = None
    while before != (height, width):
        before = (height, width)
        ratio = width / height
        exact = math.sqrt(native * native * ratio)
        # As the classes do it: the height is of the exact width.
        across, down = (round(edge / multiple) for edge in (exact, exact / ratio))
        height, width = down * multiple, across * multiple
    return height, width


class QwenImageEdit(RepaintingEditor):
    """Forms edit and inpaint edit photographs of one canvas together, form plus one at a time.

    The class of form plus refuses more than one sentence, and takes a list of pictures for several
    references of one answer.
    """

    class Options(RepaintingEditor.Options):
        """Which model and how it edits: see also RepaintingEditor and AlignmentOptions.

        Attributes:
            weights: a folder or repository of Qwen-Image-Edit; left out: the first model or, for
                form plus, that of November 2025.
            form: edit: the first model; plus: those that followed; inpaint: the first model
                repaints the background.
            steps: of denoising.
            guidance: how strongly the sentence is followed, against what to avoid; 1: the model
                is not told what to avoid.
            native: always 1024: the classes bring every photograph to this area themselves.
            avoid: what is not painted; a blank, as the authors have it, for nothing.
        """

        weights: WeightsName = _FIRST
        form: Literal["edit", "plus", "inpaint"] = "edit"
        steps: int = Field(default=50, ge=1, le=1000)
        guidance: float = Field(default=4.0, ge=1, le=100)
        native: int = Field(default=NATIVE, ge=NATIVE, le=NATIVE)
        avoid: str = " "

        @model_validator(mode="before")
        @classmethod
        def _weights_of_form(cls, given: Any) -> Any:
            if isinstance(given, dict) and given.get("form") == "plus":
                return {"weights": _LATER, **given}
            return given

    options: Options

    def manner(self) -> Manner:
        """Guided against what to avoid; on the canvas that the classes choose themselves."""
        plus = self.options.form == "plus"
        return Manner(
            _FORMS[self.options.form],
            (_PLUS,) if plus else (_EDIT, _INPAINT),
            {"true_cfg_scale": self.options.guidance},
            negative_prompt=self.options.avoid,
            strength=self.options.strength,
            together="one" if plus else "all",
            multiple=MULTIPLE,
            canvas=own_size,
        )
