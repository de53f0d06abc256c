"""Paints a new background around the object with an inpainting model; the object stays as it is.

Every pixel of the object is the photograph's: nothing but the background can explain a change of a
model's answer. The background's description is the prompt, the class's name is what not to paint,
since these models like to repeat the object. The paper uses an instruction editor instead, which
redraws everything: see emu2, and instruct_pix2pix for a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Json, Mask, Rejected, check_image, check_mask
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.neural.inpainting import Hole, InpaintingOptions
from covar_gen.neural.plugins import PaintingPlugin

if TYPE_CHECKING:
    from covar_gen.neural.inpainting import Filling


class Masked(PaintingPlugin, Editor):
    """The object of the photograph before a painted background."""

    class Options(InpaintingOptions):
        """Which model, and how it paints: see InpaintingOptions.

        Attributes:
            text: what is painted; `{background}` and `{class_name}` are filled in. The recipe's
                instruction is for editors that are told what to change; this one is told what
                to paint.
            avoid: what is not painted, likewise.
            erode: by how many pixels the kept object is smaller than its mask: removes a rim of
                the old background where masks are generous.
        """

        text: str = "{background}"
        avoid: str = "{class_name}"
        erode: int = Field(default=0, ge=0, le=64)

    options: Options
    knows_masks = True
    reads_prompt = False

    def edit(self, batch: Sequence[EditRequest]) -> list[Edit | Rejected]:
        """One answer per request; photographs of one size are painted together.

        Returns:
            Edits whose mask is the kept object, whose transform is the identity and whose
            known_pixel_max_diff is 0, with the params of `neural.inpainting.Filling` and `text`;
            or empty_mask; no_background_left, where the object covers everything; bad_output (no
            numbers, or black), which is made again.
        """
        found: list[Edit | Rejected] = [Rejected("empty_mask") for _ in batch]
        holes: list[tuple[int, Mask, Hole]] = []
        for place, request in enumerate(batch):
            image = check_image(request.image, f"image of {request.key}")
            mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
            kept = self._kept(mask)
            if kept.all():
                found[place] = Rejected("no_background_left")
            elif kept.any():
                text, avoid = (self._filled(each, request) for each in self._texts())
                hole = Hole(request.key, image, ~kept, kept, text, avoid, request.seed)
                holes.append((place, kept, hole))
        answers = self.painter.paint([hole for _, _, hole in holes])
        for (place, kept, hole), answer in zip(holes, answers, strict=True):
            found[place] = answer if isinstance(answer, Rejected) else _edit(hole, kept, answer)
        return found

    def _texts(self) -> tuple[str, str]:
        return self.options.text, self.options.avoid

    def _kept(self, mask: Mask) -> Mask:
        import cv2

        size = 2 * self.options.erode + 1
        if size == 1:
            return mask
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        # What lies beyond the frame counts as object: an object that the frame cuts keeps its cut.
        worn = cv2.erode(mask.astype(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1)
        return np.asarray(worn, np.bool_)

    @staticmethod
    def _filled(text: str, request: EditRequest) -> str:
        named = text.replace("{background}", request.background)
        return named.replace("{class_name}", request.class_name)


def _edit(hole: Hole, kept: Mask, answer: Filling) -> Edit:
    changed = np.abs(answer.image[kept].astype(np.int16) - hole.image[kept])
    params: dict[str, Json] = {**answer.params, "text": hole.prompt}
    return Edit(
        answer.image,
        kept,
        np.eye(3),
        int(changed.max(initial=0)),
        params,
    )
