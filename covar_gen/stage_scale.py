"""Shrink every background-varied image and paint its surroundings.

Reads:  backgrounds, masks_backgrounds
Writes: scale (subset scale), images/scale/<key>.png, masks/scale/<key>.png
Launch: accelerate launch covar_gen/stage_scale.py --run RUN

At factor 8 the parent fills 1/8 of the side; the canvas keeps the parent's size, with the
centre of the object's box at its centre. The parent is shrunk once (Lanczos), straight to its
size; everything around it is outpainted. With keep = "object" only the object's pixels stay, and
the rest of the parent is painted anew. With chain = "shared" each factor's canvas is painted
around that of the factor before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.imaging import warp_mask
from covar_gen.core.launch import stage_main
from covar_gen.core.recipe import needed, without_paths
from covar_gen.core.rows import Row
from covar_gen.core.seeds import seed_of
from covar_gen.core.shrinking import shrink
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.inpainters.base import Filled, Inpainter, OutpaintRequest, Shrunk


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
        self.keep = section.keep or "photograph"
        self.chain = section.chain or "separate"
        self.inpainter = plugins.make("inpainters", section.inpainter, Inpainter, options, where)
        self.follow(self.inpainter)

    def identity(self) -> dict[str, Json]:
        """The inpainter, the factors, what else the recipe says of them, and the run's seed."""
        section = needed(self.run.recipe.scale, "scale")
        said: dict[str, Json] = {"keep": section.keep, "chain": section.chain}
        return {
            "inpainter": without_paths(self.inpainter.identity()),
            "factors": list(self.factors.values()),
            "seed": self.run.recipe.seed,
            **{name: value for name, value in said.items() if value is not None},
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
        siblings: dict[str, list[Work]] = {}
        for work in batch:
            siblings.setdefault(work.parent["key"], []).append(work)
        requests = [self._request(key, works) for key, works in siblings.items()]
        answers = self.inpainter.outpaint(requests)
        found = {
            work.key: self._made(work, request, answer)
            for (works, request, canvases) in zip(siblings.values(), requests, answers, strict=True)
            for work, answer in zip(works, canvases, strict=True)
        }
        return [found[work.key] for work in batch]

    def _request(self, key: str, works: list[Work]) -> OutpaintRequest:
        first = works[0]
        return OutpaintRequest(
            key=key,
            image=first.image,
            mask=first.known_mask,
            prompt=self.backgrounds.get(first.parent["background_id"], ""),
            negative_prompt=self.names[key.partition("/")[0]],
            wanted=tuple(Shrunk(w.key, self.factors[w.name], w.seed) for w in works),
            factors=tuple(self.factors.values()),
            seed=seed_of(self.run.recipe.seed, self.table, key, first.attempt),
            keep=self.keep,
            chain=self.chain,
        )

    def _made(
        self, work: Work, request: OutpaintRequest, answer: Filled | Rejected
    ) -> Made | Rejected:
        if isinstance(answer, Rejected):
            return answer
        factor = self.factors[work.name]
        transform = shrink(request.mask, factor)
        mask = warp_mask(request.mask, transform, request.image.shape)
        if not mask.any():
            return Rejected("object_vanished", {"factor": factor})
        columns: Row = {
            "prompt": request.prompt,
            "known_pixel_max_diff": answer.known_pixel_max_diff,
        }
        return Made(
            answer.image,
            mask,
            self.tool,
            self.inpainter.model,
            transform,
            columns,
            answer.params,
        )


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, _given: ScaleStage(run), __doc__)


if __name__ == "__main__":
    sys.exit(main())
