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

import numpy as np

from covar_gen.core import plugins
from covar_gen.core.arrays import Image, Json, Rejected
from covar_gen.core.errors import RecipeError
from covar_gen.core.imaging import dilated
from covar_gen.core.launch import stage_main
from covar_gen.core.recipe import Viewpoints, needed, without_paths
from covar_gen.core.rows import Row
from covar_gen.core.seeds import choose, generator, seed_of
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run
from covar_gen.inpainters.base import FillRequest, Inpainter
from covar_gen.viewers.base import View, Viewer, ViewRequest

HALO = 0.01
"""How far beyond its mask an object is painted over, as a fraction of the shortest edge: its soft
edge and what of its shadow touches it go with it."""


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
        self.inpainter = self._inpainter(section)
        poses = len(self.viewer.poses)
        if self.count > poses:
            what = f"{self.count} views asked for, {section.viewer} has {poses}"
            raise RecipeError(what, where="viewpoints.views", mend=f"Ask for at most {poses}")

    def _inpainter(self, section: Viewpoints) -> Inpainter | None:
        """What takes the object out of an image, for viewers that want that."""
        if not self.viewer.wants_background:
            return None
        if section.inpainter is None:
            what = f"{section.viewer} places the object before its own background"
            mend = "Name an inpainter that fills in what the object hides, such as telea"
            raise RecipeError(what, where="viewpoints.inpainter", mend=mend)
        options = section.options.get(section.inpainter)
        self.backgrounds = {b.background_id: b.description for b in self.run.recipe.background_list}
        self.names = {c.folder: c.class_name for c in self.run.recipe.class_list}
        where = "viewpoints.inpainter"
        return plugins.make("inpainters", section.inpainter, Inpainter, options, where)

    def identity(self) -> dict[str, Json]:
        """The viewer, how many poses, the inpainter if one is needed, and the run's seed."""
        found: dict[str, Json] = {
            "viewer": without_paths(self.viewer.identity()),
            "views": self.count,
            "seed": self.run.recipe.seed,
        }
        if self.inpainter is not None:
            found["inpainter"] = without_paths(self.inpainter.identity())
        return found

    def setup(self) -> None:
        """Load the viewer, and the inpainter if one is needed."""
        self.viewer.setup()
        if self.inpainter is not None:
            self.inpainter.setup()

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
        seeds = {
            key: seed_of(self.run.recipe.seed, self.table, key, works[0].attempt)
            for key, works in siblings.items()
        }
        backgrounds = self._without_object([works[0] for works in siblings.values()], seeds)
        requests = [
            ViewRequest(
                key=key,
                image=works[0].image,
                mask=works[0].known_mask,
                wanted=tuple(_pose(work.key) for work in works),
                seed=seeds[key],
                background=backgrounds.get(key),
            )
            for key, works in siblings.items()
        ]
        found: dict[str, Made | Rejected] = {}
        answers = self.viewer.views(requests)
        for request, works, views in zip(requests, siblings.values(), answers, strict=True):
            for work, view in zip(works, views, strict=True):
                found[work.key] = self._made(request, view)
        return [found[work.key] for work in batch]

    def _painted_by(self) -> dict[str, Json]:
        return {} if self.inpainter is None else {"background_by": self.inpainter.name()}

    def _without_object(self, works: Sequence[Work], seeds: dict[str, int]) -> dict[str, Image]:
        """The images with their objects painted over, by the parents' keys.

        One that the inpainter refuses is left out, and so are its views.
        """
        if self.inpainter is None:
            return {}
        requests = []
        for work in works:
            hidden = dilated(work.known_mask, HALO)
            key = work.parent["key"]
            requests.append(
                FillRequest(
                    key,
                    work.image,
                    ~hidden,
                    np.zeros_like(hidden),
                    self.backgrounds.get(work.parent["background_id"], ""),
                    self.names[key.partition("/")[0]],
                    seed_of(seeds[key], "background", ""),
                )
            )
        found = {}
        for request, answer in zip(requests, self.inpainter.fill(requests), strict=True):
            if not isinstance(answer, Rejected):
                found[request.key] = answer.image
        return found

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
            {**view.params, **self._painted_by()},
        )


def _pose(key: str) -> int:
    return int(key.rpartition("_")[2])


def main() -> int:
    """Run the stage from the command line."""
    return stage_main(lambda run, _given: ViewpointsStage(run), __doc__)


if __name__ == "__main__":
    sys.exit(main())
