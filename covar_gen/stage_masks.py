"""Outline the object of every image of a table.

Reads:  sources | backgrounds | viewpoints   (--of)
Writes: masks_sources | masks_backgrounds | masks_viewpoints, masks/<table>/<key>.png
Launch: accelerate launch covar_gen/stage_masks.py --run RUN --of sources

An image whose maker knew its mask by construction keeps that mask; the segmenter runs only where
there is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.launch import stage_main
from covar_gen.core.recipe import needed, without_paths
from covar_gen.core.rows import BY_CONSTRUCTION, OK, Row, mask_table
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

TABLES = ("sources", "backgrounds", "viewpoints")


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
        self.names = {c.folder: c.class_name for c in run.recipe.class_list}
        self.segmenter = plugins.make(
            "segmenters",
            section.segmenter,
            Segmenter,
            section.options.get(section.segmenter),
            "masks.segmenter",
        )

    def identity(self) -> dict[str, Json]:
        """The segmenter and the run's seed."""
        return {"segmenter": without_paths(self.segmenter.identity()), "seed": self.run.recipe.seed}

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
        if isinstance(answer, Rejected):
            return answer
        if not answer.mask.any():
            return Rejected("empty_mask", answer.params)
        return Made(None, answer.mask, self.tool, self.segmenter.model, params=answer.params)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--of", choices=TABLES, default="sources", help="whose objects")


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, given: Masks(run, given.of), __doc__, _arguments)


if __name__ == "__main__":
    sys.exit(main())
