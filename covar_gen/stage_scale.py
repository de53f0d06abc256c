"""Shrink every background-varied image and paint its surroundings.

Reads:  backgrounds, masks_backgrounds
Writes: scale (subset scale), images/scale/<key>.png, masks/scale/<key>.png
Launch: accelerate launch covar_gen/stage_scale.py --run RUN

At factor 8 the parent fills 1/8 of the side; the canvas keeps the parent's size, with the
centre of the object's box at its centre. The parent is shrunk once (Lanczos), straight to its
size; everything around it is outpainted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Mask, Matrix, Rejected
from covar_gen.core.imaging import object_box, warp, warp_mask
from covar_gen.core.launch import stage_main
from covar_gen.core.recipe import needed, without_paths
from covar_gen.core.rows import Row
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.inpainters.base import FillRequest, Inpainter


class ScaleStage(Stage):
    """Each image at each factor of the recipe."""

    table = "scale"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        section = needed(run.recipe.scale, "scale")
        self.tool = section.inpainter
        self.factors = {f"scale_{factor:g}": factor for factor in section.factors}
        self.names = {c.folder: c.class_name for c in run.recipe.class_list}
        self.backgrounds = {b.background_id: b.description for b in run.recipe.background_list}
        options = section.options.get(section.inpainter)
        where = "scale.inpainter"
        self.inpainter = plugins.make("inpainters", section.inpainter, Inpainter, options, where)
        self.follow(self.inpainter)

    def identity(self) -> dict[str, Json]:
        """The inpainter, the factors and the run's seed."""
        return {
            "inpainter": without_paths(self.inpainter.identity()),
            "factors": list(self.factors.values()),
            "seed": self.run.recipe.seed,
        }

    def setup(self) -> None:
        """Load the inpainter."""
        self.inpainter.setup()

    def outputs(self, parent: str) -> list[str]:
        """CLASS/PHOTO/07/scale_8 for factor 8."""
        return [f"{parent}/{name}" for name in sorted(self.factors)]

    def columns(self, key: str) -> Row:
        """The factor."""
        return {"scale_factor": self.factors[key.rpartition("/")[2]]}

    def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
        """Shrink each parent, outpaint the batch."""
        requests, masks, transforms = [], [], []
        for work in batch:
            transform = shrink(work.known_mask, self.factors[work.name])
            image, known = warp(work.image, transform, work.image.shape, "lanczos")
            mask = warp_mask(work.known_mask, transform, work.image.shape)
            class_name = self.names[work.key.partition("/")[0]]
            background = self.backgrounds.get(work.parent["background_id"], "")
            requests.append(
                FillRequest(work.key, image, known, mask, background, class_name, work.seed)
            )
            masks.append(mask)
            transforms.append(transform)
        answers = self.inpainter.fill(requests)
        return [
            answer
            if isinstance(answer, Rejected)
            else Rejected("object_vanished", {"factor": self.factors[work.name]})
            if not mask.any()
            else Made(
                answer.image,
                mask,
                self.tool,
                self.inpainter.model,
                transform,
                {
                    "prompt": request.prompt,
                    "known_pixel_max_diff": answer.known_pixel_max_diff,
                },
                answer.params,
            )
            for work, request, mask, transform, answer in zip(
                batch, requests, masks, transforms, answers, strict=True
            )
        ]


def shrink(mask: Mask, factor: float) -> Matrix:
    """The transform that shrinks by a factor and brings the object's box to the centre.

    Args:
        mask: bool (H, W), True on the object.
        factor: linear, greater than 1.

    Returns:
        float64 (3, 3), parent pixels -> canvas pixels.
    """
    height, width = mask.shape
    left, top, right, bottom = object_box(mask) or (0, 0, width, height)
    box_x, box_y = (left + right - 1) / 2, (top + bottom - 1) / 2
    return np.array(
        [
            [1 / factor, 0.0, (width - 1) / 2 - box_x / factor],
            [0.0, 1 / factor, (height - 1) / 2 - box_y / factor],
            [0.0, 0.0, 1.0],
        ]
    )


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, _given: ScaleStage(run), __doc__)


if __name__ == "__main__":
    sys.exit(main())
