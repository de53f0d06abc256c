"""Outlines the most prominent object of a photograph with GrabCut, without any model.

The class name plays no part: what stands out from the photograph's border is outlined. Three
steps, each on a larger copy of the photograph: a prior of where the object is (from colours,
edges and the centre), GrabCut from two readings of that prior, and one GrabCut step in a narrow
band around the better outline at full size.

Where a person has drawn boxes around a photograph's object, they take the place of the prior:

    photograph,left,top,right,bottom,core
    n02123045/chelsea,0.08,0,0.8,1,0.8

in a CSV named by the option `hints`. The photograph is the first two parts of its key; the sides
are fractions of width and height. The object lies inside its boxes and holds the core of each: the
ellipse inscribed in it, shrunk to the fraction `core` (0.5 if left out, 0 for none). Several lines
for one photograph are several parts of one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Json, Mask, Rejected, check_image
from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.core.seeds import generator
from covar_gen.segmenters._hints import Box, Hints, drawn, read_hints
from covar_gen.segmenters._prior import (
    NOTICEABLE,
    Labels,
    Plane,
    centre,
    edges,
    frame,
    lab,
    readings,
    shrunk,
)
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_BOX = (0, 0, 0, 0)
"""GrabCut's rectangle, which is not read when it starts from labels."""

CERTAIN_BACKGROUND, CERTAIN_OBJECT, ANYTHING = np.arange(3, dtype=np.uint8)
"""GrabCut's labels of what is known, and one for where nothing is."""


class Grabcut(Segmenter):
    """Outlines what stands out from the border of a photograph."""

    class Options(PluginOptions):
        """How the outline is found.

        Attributes:
            hints: a CSV of boxes drawn around objects, relative to the recipe: photograph, left,
                top, right, bottom, core; left out: no photograph has any.
            working_edge: shortest edge, in pixels, of the copy on which GrabCut runs.
            iterations: GrabCut iterations on that copy.
            margin: width of the frame that is taken for background unless it stands out, as a
                fraction of the shortest edge.
            support: of two outlines the fuller one is taken, if the share of it that lies on
                edges of the photograph is at least this fraction of the other's.
            part: connected parts are kept whose weight (area, more at the centre) is at least
                this fraction of the heaviest part's.
            hole: holes up to this fraction of the object's area are closed.
            smooth: radius over which the outline is smoothed, as a fraction of the shortest edge.
        """

        hints: RecipePath | None = None
        working_edge: int = Field(default=160, ge=32, le=1024)
        iterations: int = Field(default=2, ge=1, le=20)
        margin: float = Field(default=0.025, ge=0, le=0.25)
        support: float = Field(default=0.85, ge=0, le=1)
        part: float = Field(default=0.25, ge=0, le=1)
        hole: float = Field(default=0.01, ge=0, le=1)
        smooth: float = Field(default=0.004, ge=0, le=0.1)

    options: Options
    reads_names = False
    version = "2"
    requires = ("cv2", "skimage")

    @cached_property
    def hints(self) -> Hints | None:
        """The boxes that were drawn, read when they are first needed.

        Raises:
            RecipeError: the file cannot be read or holds something else.
        """
        return None if self.options.hints is None else read_hints(Path(self.options.hints))

    def check(self) -> None:
        """Read the file of boxes.

        Raises:
            RecipeError: it cannot be read or holds something else.
        """
        _ = self.hints

    def identity(self) -> dict[str, Json]:
        """Name, version and options; for the file of boxes, its content's digest.

        Raises:
            RecipeError: the file cannot be read or holds something else.
        """
        options = self.options.model_dump(mode="json")
        options["hints"] = self.hints and self.hints.digest
        return {**super().identity(), "options": options}

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """One answer per request, each found on its own.

        Returns:
            The mask, or no_object, with the param `hinted`: boxes were drawn on the photograph.
        """
        return [self._outline(request) for request in batch]

    def _outline(self, request: SegmentRequest) -> Segmentation | Rejected:
        image = check_image(request.image, f"image of {request.key}")
        cv_seed = int(generator(request.seed).bit_generator.random_raw()) & 0x7FFFFFFF
        boxes = self._boxes(request.key)
        mask = self._find(image, boxes, cv_seed)
        params: dict[str, Json] = {"hinted": bool(boxes)}
        return Segmentation(mask, params) if mask.any() else Rejected("no_object", params)

    def _boxes(self, key: str) -> Sequence[Box]:
        # Boxes are drawn on photographs: in what is made of one, the object may lie elsewhere.
        photograph, _, image = key.rpartition("/")
        if self.hints is None or image != "original":
            return ()
        return self.hints.boxes.get(photograph, ())

    def _find(self, image: Image, boxes: Sequence[Box], cv_seed: int) -> Mask:
        options = self.options
        work = shrunk(image, options.working_edge)
        nothing = np.zeros(image.shape[:2], np.bool_)
        if (work == work[0, 0]).all():
            return nothing
        if boxes:
            starts = [drawn(boxes, work.shape)]
        else:
            starts = readings(image, work.shape, options.margin, cv_seed)
        found = self._best(work, starts, boxes, cv_seed)
        if found is None:
            return nothing
        limits = drawn(boxes, image.shape) if boxes else np.full(nothing.shape, ANYTHING)
        refined = _refined(image, *found, limits)
        return self._tidied(_smoothed(refined, options.smooth * min(nothing.shape)), boxes)

    def _best(
        self, work: Image, starts: Sequence[Labels], boxes: Sequence[Box], cv_seed: int
    ) -> tuple[Mask, NDArray[np.float64]] | None:
        """The better of the outlines found from some labels, with its colours."""
        found: list[tuple[Mask, NDArray[np.float64]]] = []
        for labels in starts:
            mask, models = _grabcut(work, labels, self.options.iterations, cv_seed)
            mask = self._tidied(mask, boxes)
            if mask.any() and not mask.all():
                found.append((mask, models))
        if not found:
            return None
        # Readings come in the order (close, full). The full one shows whole objects where the
        # close one shows their brightest part, but may take a smooth ground for the object:
        # then much of its outline lies on no edge.
        strength = edges(lab(work))
        supports = [_support(mask, strength) for mask, _ in found]
        return found[-1 if supports[-1] >= self.options.support * supports[0] else 0]

    def _tidied(self, mask: Mask, boxes: Sequence[Box]) -> Mask:
        part, hole = self.options.part, self.options.hole
        if not boxes:
            return _tidy(mask, centre(mask.shape), part, hole)
        limits = drawn(boxes, mask.shape)
        core = limits == CERTAIN_OBJECT
        tidy = _tidy(mask | core, np.ones(mask.shape, np.float32), part, hole, core)
        return np.asarray(tidy & (limits != CERTAIN_BACKGROUND))


def _grabcut(
    image: Image, labels: Labels, iterations: int, cv_seed: int
) -> tuple[Mask, NDArray[np.float64]]:
    """GrabCut from labels: the mask, and the colours of background and object, (2, 1, 65)."""
    import cv2

    models = np.zeros((2, 1, 65))
    is_object = (labels & 1) == 1
    if is_object.all() or not is_object.any():
        return np.zeros(labels.shape, np.bool_), models
    labels = labels.copy()
    cv2.setRNGSeed(cv_seed)
    cv2.grabCut(image, labels, NO_BOX, models[0], models[1], iterations, cv2.GC_INIT_WITH_MASK)
    return (labels & 1) == 1, models


def _refined(image: Image, mask: Mask, models: NDArray[np.float64], limits: Labels) -> Mask:
    """The outline found on a smaller copy, moved onto the edges of the photograph itself."""
    import cv2

    height, width = image.shape[:2]
    reach = 1 + 2 * round(height / mask.shape[0])
    # The cubic enlargement of the mask rounds off the corners of the copy's pixels.
    soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    rough = (soft > 0.5).astype(np.uint8)  # noqa: PLR2004
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    labels = np.where(rough, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[cv2.dilate(rough, disc) == 0] = cv2.GC_BGD
    labels[cv2.erode(rough, disc) == 1] = cv2.GC_FGD
    certain = limits <= CERTAIN_OBJECT
    labels[certain] = limits[certain]
    cv2.grabCut(image, labels, NO_BOX, models[0], models[1], 1, cv2.GC_EVAL_FREEZE_MODEL)
    cut = cv2.medianBlur((labels & 1).astype(np.uint8), reach)
    return np.asarray(cut, np.bool_)


def _smoothed(mask: Mask, radius: float) -> Mask:
    """The mask without the teeth of its outline; radius in pixels, 0 for the mask itself."""
    import cv2

    if not radius:
        return mask
    soft = cv2.GaussianBlur(
        mask.astype(np.float32), (0, 0), radius, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(soft > 0.5)  # noqa: PLR2004


def _tidy(
    mask: Mask, weights: Plane, part: float, hole: float, certain: Mask | None = None
) -> Mask:
    """The connected parts that are heavy or hold something certain, small holes closed."""
    parts, areas = _parts(mask)
    if not areas.size:
        return mask
    heavy = np.bincount(parts.ravel(), weights.ravel())[1:]
    chosen = 1 + np.flatnonzero(heavy >= part * heavy.max())
    if certain is not None:
        chosen = np.union1d(chosen, parts[certain & mask])
    kept = np.isin(parts, chosen)
    holes, areas = _parts(~kept)
    open_ones = np.unique(holes[frame(mask.shape, 1)])
    small = np.setdiff1d(1 + np.flatnonzero(areas <= hole * kept.sum()), open_ones)
    return np.asarray(kept | np.isin(holes, small))


def _parts(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Connected parts: int32 (H, W) with 0 elsewhere and 1.. on the parts; their areas."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return parts, stats[1:, cv2.CC_STAT_AREA]


def _support(mask: Mask, strength: Plane) -> float:
    """Share of the outline, where it is not the photograph's border, that lies on edges."""
    import cv2

    line = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    line &= ~frame(mask.shape, 2)
    strong = strength > max(float(np.percentile(strength, 75)), 1.5 * NOTICEABLE)
    return float(strong[line].mean()) if line.any() else 0.0
