"""Outline the object of every image of a table.

Reads:  sources | backgrounds | viewpoints   (--of)
Writes: masks_sources | masks_backgrounds | masks_viewpoints, masks/<table>/<key>.png
Launch: accelerate launch covar_gen/stage_masks.py --run RUN --of sources

An image whose maker knew its mask by construction keeps that mask; the segmenter runs only where
there is none. Each mask that it finds is measured, and refused where the recipe's [masks.accept]
says that it is too poor to be used; what was detected and measured stands on refused rows too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.launch import stage_main
from covar_gen.core.outlines import Outline, measured
from covar_gen.core.recipe import Accept, needed, without_paths
from covar_gen.core.rows import BY_CONSTRUCTION, OK, Row, mask_table
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

TABLES = ("sources", "backgrounds", "viewpoints")

DETECTED = ("scores", "boxes", "phrases")
"""Params of a segmenter's answer that are columns of the table."""


class Masks(Stage):
    """Masks of one table's images, under the same keys."""

    reads_masks = False

    def __init__(self, run: Run, of: str = "sources") -> None:
        super().__init__(run)
        section = needed(run.recipe.masks, "masks")
        if of != "sources":
            needed(getattr(run.recipe, of), of)
        self.of = of
        self.table = mask_table(of)
        self.tool = section.segmenter
        self.accept = section.accept
        self.names = {c.folder: c.class_name for c in run.recipe.class_list}
        self.segmenter = plugins.make(
            "segmenters",
            section.segmenter,
            Segmenter,
            section.options.get(section.segmenter),
            "masks.segmenter",
        )
        self.batch = self.segmenter.batch
        self.segmenter.check_names(self.names.values())

    def identity(self) -> dict[str, Json]:
        """The segmenter, what of its masks is accepted, and the run's seed."""
        return {
            "segmenter": without_paths(self.segmenter.identity()),
            "accept": self.accept.model_dump(mode="json"),
            "seed": self.run.recipe.seed,
        }

    def setup(self) -> None:
        """Load the segmenter."""
        self.segmenter.setup()

    def outputs(self, parent: str) -> list[str]:
        """The image's own key."""
        return [parent]

    def ready(self, parent: dict[str, Any]) -> Row | None:
        """The mask that the image's maker knew."""
        if parent["mask"] is None:
            return None
        known = {name: parent[name] for name in ("mask", "mask_sha256", "object_coverage")}
        return {"status": OK, "tool": BY_CONSTRUCTION, **known}

    def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
        """Segment a batch."""
        requests = [
            SegmentRequest(w.key, w.image, self.names[w.key.partition("/")[0]], w.seed)
            for w in batch
        ]
        return [self._made(answer) for answer in self.segmenter.segment(requests)]

    def _made(self, answer: Segmentation | Rejected) -> Made | Rejected:
        detected, params = _detected(answer.params)
        if isinstance(answer, Rejected):
            return Rejected(answer.reason, params, {**answer.columns, **detected})
        outline = measured(answer.mask)
        columns: Row = {
            **detected,
            "object_coverage": outline.coverage,
            "border": outline.border,
            "components": outline.components,
        }
        model = self.segmenter.model
        made = Made(None, answer.mask, self.tool, model, columns=columns, params=params)
        return judged(made, self.accept, outline, widest(detected["boxes"], answer.mask.shape))


def _detected(params: dict[str, Json]) -> tuple[dict[str, Any], dict[str, Json]]:
    """What a segmenter detected, by column, and its other params."""
    columns = {name: params.get(name) for name in DETECTED}
    return columns, {name: value for name, value in params.items() if name not in DETECTED}


def widest(boxes: Sequence[Sequence[float]] | None, size: tuple[int, ...]) -> float:
    """Share of an image of that height and width that its largest box covers, fraction.

    Args:
        boxes: left, top, right, bottom of each, pixels; what lies outside the image is not
            counted. None or none: 0.
        size: height and width of the image.
    """
    height, width = size
    shares = [
        max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(bottom, height) - max(top, 0))
        for left, top, right, bottom in boxes or ()
    ]
    return max(shares, default=0.0) / (height * width)


def judged(made: Made, accept: Accept, outline: Outline, box: float) -> Made | Rejected:
    """A mask that is good enough to be used, or why it is not.

    Args:
        made: the mask and its columns.
        accept: the recipe's [masks.accept].
        outline: of the mask.
        box: share of the image that the largest detected box covers, fraction.
    """
    if not outline.coverage:
        return Rejected("empty_mask", made.params, made.columns)
    if box > accept.max_box:
        return Rejected("box_covers_image", made.params, made.columns)
    if outline.coverage < accept.min_area:
        return Rejected("object_too_small", made.params, made.columns)
    if outline.coverage > accept.max_area:
        return Rejected("object_covers_image", made.params, made.columns)
    if outline.border > accept.max_border:
        return Rejected("object_touches_border", made.params, made.columns)
    return made


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--of", choices=TABLES, default="sources", help="whose objects")


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, given: Masks(run, given.of), __doc__, _arguments)


if __name__ == "__main__":
    sys.exit(main())
