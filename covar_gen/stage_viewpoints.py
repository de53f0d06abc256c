"""Show every background-varied image from new camera positions.

Reads:  backgrounds, masks_backgrounds
Writes: viewpoints (subset viewpoint), images/viewpoints/<key>.png and, where the viewer knows
        them, masks/viewpoints/<key>.png
Launch: accelerate launch covar_gen/stage_viewpoints.py --run RUN

Of the viewer's poses a few are drawn for each image by its seed; the key names the pose.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from covar_gen.core import plugins
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.errors import RecipeError
from covar_gen.core.launch import stage_main
from covar_gen.core.recipe import needed, without_paths
from covar_gen.core.rows import Row
from covar_gen.core.seeds import choose, generator, seed_of
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.viewers.base import View, Viewer, ViewRequest


class ViewpointsStage(Stage):
    """Some of the viewer's poses of each image."""

    table = "viewpoints"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        section = needed(run.recipe.viewpoints, "viewpoints")
        self.tool = section.viewer
        self.count = section.views
        options = section.options.get(section.viewer)
        self.viewer = plugins.make("viewers", section.viewer, Viewer, options, "viewpoints.viewer")
        self.follow(self.viewer)
        poses = len(self.viewer.poses)
        if self.count > poses:
            what = f"{self.count} views asked for, {section.viewer} has {poses}"
            raise RecipeError(what, where="viewpoints.views", mend=f"Ask for at most {poses}")

    def identity(self) -> dict[str, Json]:
        """The viewer, how many poses, and the run's seed."""
        return {
            "viewer": without_paths(self.viewer.identity()),
            "views": self.count,
            "seed": self.run.recipe.seed,
        }

    def setup(self) -> None:
        """Load the viewer."""
        self.viewer.setup()

    def outputs(self, parent: str) -> list[str]:
        """CLASS/PHOTO/07/viewpoint_2 for the viewer's pose 2, counted from 0."""
        rng = generator(seed_of(self.run.recipe.seed, "viewpoints/poses", parent))
        chosen = choose(rng, len(self.viewer.poses), self.count)
        return [f"{parent}/viewpoint_{pose}" for pose in chosen]

    def subset(self, key: str) -> str:  # noqa: ARG002 - all alike
        """All of them are viewpoint."""
        return "viewpoint"

    def columns(self, key: str) -> Row:
        """The pose."""
        pose = self.viewer.poses[_pose(key)]
        return {"azimuth_deg": pose.azimuth_deg, "elevation_deg": pose.elevation_deg}

    def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
        """One request per parent: a viewer makes all its poses of an image at once."""
        siblings: dict[str, list[Work]] = {}
        for work in batch:
            siblings.setdefault(work.parent["key"], []).append(work)
        requests = [
            ViewRequest(
                key=key,
                image=works[0].image,
                mask=works[0].known_mask,
                wanted=tuple(_pose(work.key) for work in works),
                seed=seed_of(self.run.recipe.seed, self.table, key, works[0].attempt),
            )
            for key, works in siblings.items()
        ]
        found: dict[str, Made | Rejected] = {}
        answers = self.viewer.views(requests)
        for request, works, views in zip(requests, siblings.values(), answers, strict=True):
            for work, view in zip(works, views, strict=True):
                found[work.key] = self._made(request, view)
        return [found[work.key] for work in batch]

    def _made(self, request: ViewRequest, view: View | Rejected) -> Made | Rejected:
        if isinstance(view, Rejected):
            return view
        return Made(
            view.image,
            view.mask,
            self.tool,
            self.viewer.model,
            view.transform,
            {"seed": request.seed, "known_pixel_max_diff": view.known_pixel_max_diff},
            view.params,
        )


def _pose(key: str) -> int:
    return int(key.rpartition("_")[2])


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, _given: ViewpointsStage(run), __doc__)


if __name__ == "__main__":
    sys.exit(main())
