"""Change every background-varied image geometrically, one variant at a time.

Reads:  backgrounds, masks_backgrounds
Writes: geometry (subsets: the variants' names), images/geometry/<key>.png, masks/geometry/<key>.png
Launch: accelerate launch covar_gen/stage_geometry.py --run RUN

A variant decides every pixel that the parent determines; what it leaves unknown (the borders of
a rotation or a translation) is inpainted, and the known pixels stay exactly as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.launch import stage_main
from covar_gen.core.recipe import needed, without_paths
from covar_gen.core.seeds import generator, seed_of
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.inpainters.base import Filled, FillRequest, Inpainter
from covar_gen.variants.base import Variant, Varied


class GeometryStage(Stage):
    """Each image under each variant of the recipe."""

    table = "geometry"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        section = needed(run.recipe.geometry, "geometry")
        self.tool = section.inpainter
        self.classes = {c.folder: c.class_name for c in run.recipe.class_list}
        self.backgrounds = {b.background_id: b.description for b in run.recipe.background_list}
        self.variants = {
            name: plugins.make(
                "variants", name, Variant, section.options.get(name), "geometry.variants"
            )
            for name in section.variants
        }
        options = section.options.get(section.inpainter)
        where = "geometry.inpainter"
        self.inpainter = plugins.make("inpainters", section.inpainter, Inpainter, options, where)
        self.follow(self.inpainter)

    def identity(self) -> dict[str, Json]:
        """The variants, the inpainter and the run's seed."""
        return {
            "variants": {name: v.identity() for name, v in self.variants.items()},
            "inpainter": without_paths(self.inpainter.identity()),
            "seed": self.run.recipe.seed,
        }

    def setup(self) -> None:
        """Load the inpainter."""
        self.inpainter.setup()

    def outputs(self, parent: str) -> list[str]:
        """CLASS/PHOTO/07/rotation for the variant rotation."""
        return [f"{parent}/{name}" for name in sorted(self.variants)]

    def subset(self, key: str) -> str:
        """The variant's name."""
        return key.rpartition("/")[2]

    def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
        """Vary each parent, inpaint what is unknown in one batch."""
        # An image that is painted again is still turned and moved as the first time.
        varied = [
            self.variants[w.name].vary(
                w.image,
                w.known_mask,
                generator(seed_of(self.run.recipe.seed, self.table, w.key)),
            )
            for w in batch
        ]
        answers = self.inpainter.fill(
            [self._request(work, change) for work, change in zip(batch, varied, strict=True)]
        )
        return [
            self._made(work, change, answer)
            for work, change, answer in zip(batch, varied, answers, strict=True)
        ]

    def _request(self, work: Work, varied: Varied) -> FillRequest:
        class_name = self.classes[work.key.partition("/")[0]]
        background = self.backgrounds.get(work.parent["background_id"], "")
        # The variant has drawn from the row's own seed; the fill must not repeat its numbers.
        seed = seed_of(work.seed, "fill", work.key)
        return FillRequest(
            work.key, varied.image, varied.known, varied.mask, background, class_name, seed
        )

    def _made(self, work: Work, varied: Varied, answer: Filled | Rejected) -> Made | Rejected:
        if isinstance(answer, Rejected):
            return answer
        if not varied.mask.any():
            return Rejected("object_out_of_frame", dict(varied.factors))
        filled = not varied.known.all()
        promised = varied.transform is not None and varied.keeps_pixels
        return Made(
            answer.image,
            varied.mask,
            self.tool if filled else work.name,
            self.inpainter.model if filled else None,
            varied.transform,
            {
                **varied.factors,
                "known_pixel_max_diff": answer.known_pixel_max_diff if promised else None,
            },
            {**varied.params, **answer.params},
        )


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, _given: GeometryStage(run), __doc__)


if __name__ == "__main__":
    sys.exit(main())
