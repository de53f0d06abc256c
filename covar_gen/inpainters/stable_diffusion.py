"""Fills and outpaints with a diffusion model: Stable Diffusion 1.5 or XL, FLUX fill, and others.

The paper's tool for the borders of rotations and translations and for scale: guidance 7.5, 30
steps. The row's background is the prompt; the class's name is what not to paint, since these
models like to repeat the object. No safety checker is loaded: it would blacken images unasked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covar_gen.core.arrays import Rejected, check_image, check_mask
from covar_gen.inpainters.base import Filled, FillRequest, Inpainter
from covar_gen.neural.inpainting import Hole, InpaintingOptions
from covar_gen.neural.plugins import PaintingPlugin


class StableDiffusion(PaintingPlugin, Inpainter):
    """Paints what is unknown with a diffusion model."""

    class Options(InpaintingOptions):
        """Which model, and how it paints: see InpaintingOptions."""

    options: Options
    reach = 2.0

    def paint(self, batch: Sequence[FillRequest]) -> list[Filled | Rejected]:
        """One completed image per request; images of one size are painted together.

        Returns:
            Images with params `steps`, `guidance`, `strength`, `scheduler`, `dtype`, `device`,
            `canvas` (height and width at which the model painted) and, if less than the batch
            fitted into memory, `batch`. Rejected are: nothing_known; bad_output (no numbers, or
            black), which is made again.
        """
        holes = [_hole(request) for request in batch if request.known.any()]
        answers = iter(self.painter.paint(holes))
        found: list[Filled | Rejected] = []
        for request in batch:
            answer = next(answers) if request.known.any() else Rejected("nothing_known")
            if isinstance(answer, Rejected):
                found.append(answer)
            else:
                found.append(Filled(answer.image, params=answer.params))
        return found


def _hole(request: FillRequest) -> Hole:
    image = check_image(request.image, f"image of {request.key}")
    known = check_mask(request.known, image.shape, f"known pixels of {request.key}")
    mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
    prompts = (request.prompt, request.negative_prompt)
    return Hole(request.key, image, np.logical_not(known), mask, *prompts, request.seed)
