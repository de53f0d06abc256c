"""Outlines the most prominent object of a photograph with GrabCut, without any model.

The class name plays no part: what stands out from the photograph's border is outlined. Three
steps, each on a larger copy of the photograph: a prior of where the object is (from colours,
edges and the centre), GrabCut from two readings of that prior, and one GrabCut step in a narrow
band around the better outline at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from covar_gen.core.arrays import Image, Mask, Rejected, check_image
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import generator
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Labels = NDArray[np.uint8]

PRIOR_EDGE = 80
"""Shortest edge of the copy on which the prior is computed: texture must be gone, parts not."""

COLOURS = 14
"""Colours by which a photograph is described for the prior."""

NOTICEABLE = 4.0
"""Difference in CIE Lab that counts as an edge or another colour, a little above noise."""

NO_BOX = (0, 0, 0, 0)
"""GrabCut's rectangle, which is not read when it starts from labels."""


@dataclass(frozen=True)
class _Prior:
    """Evidence for the object at every pixel of the small copy, each float32 (H, W) in [0, 1]."""

    centre: Plane
    rare: Plane
    inner: Plane
    enclosed: Plane


class Grabcut(Segmenter):
    """Outlines what stands out from the border of a photograph."""

    class Options(PluginOptions):
        """How the outline is found.

        Attributes:
            working_edge: shortest edge, in pixels, of the copy on which GrabCut runs.
            iterations: GrabCut iterations on that copy.
            margin: width of the frame that is taken for background unless it stands out, as a
                fraction of the shortest edge.
            support: of two outlines the fuller one is taken, if the share of it that lies on
                edges of the photograph is at least this fraction of the other's.
            part: connected parts are kept whose weight (area, more at the centre) is at least
                this fraction of the heaviest part's.
            hole: holes up to this fraction of the object's area are closed.
            min_area: smallest object, as a fraction of the photograph.
            max_area: largest object, as a fraction of the photograph.
        """

        working_edge: int = Field(default=160, ge=32, le=1024)
        iterations: int = Field(default=2, ge=1, le=20)
        margin: float = Field(default=0.025, ge=0, le=0.25)
        support: float = Field(default=0.85, ge=0, le=1)
        part: float = Field(default=0.25, ge=0, le=1)
        hole: float = Field(default=0.01, ge=0, le=1)
        min_area: float = Field(default=0.005, ge=0, lt=1)
        max_area: float = Field(default=0.9, gt=0, le=1)

        @model_validator(mode="after")
        def _areas_in_order(self) -> Self:
            if self.min_area >= self.max_area:
                msg = "min_area must be smaller than max_area"
                raise ValueError(msg)
            return self

    options: Options
    requires = ("cv2", "skimage")

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """One answer per request, each found on its own.

        Returns:
            The mask with params `area_fraction`, `components` (connected parts) and
            `touches_border`; or no_object, object_too_small, object_covers_image, each with
            the params `area_fraction`.
        """
        return [self._outline(request) for request in batch]

    def _outline(self, request: SegmentRequest) -> Segmentation | Rejected:
        image = check_image(request.image, f"image of {request.key}")
        cv_seed = int(generator(request.seed).bit_generator.random_raw()) & 0x7FFFFFFF
        mask = self._find(image, cv_seed)
        area = float(mask.mean())
        if not area:
            return Rejected("no_object", {"area_fraction": area})
        if area < self.options.min_area:
            return Rejected("object_too_small", {"area_fraction": area})
        if area > self.options.max_area:
            return Rejected("object_covers_image", {"area_fraction": area})
        return Segmentation(
            mask,
            {
                "area_fraction": area,
                "components": len(_parts(mask)[1]),
                "touches_border": bool(mask[_frame(mask.shape, 1)].any()),
            },
        )

    def _find(self, image: Image, cv_seed: int) -> Mask:
        options = self.options
        work = _shrunk(image, options.working_edge)
        nothing = np.zeros(image.shape[:2], np.bool_)
        if (work == work[0, 0]).all():
            return nothing
        prior = _prior(_shrunk(image, PRIOR_EDGE), cv_seed)
        centre = _enlarged(prior.centre, work.shape)
        edges = _edges(_lab(work))
        found: list[tuple[Mask, NDArray[np.float64]]] = []
        for labels in self._readings(prior, work.shape):
            mask, models = _grabcut(work, labels, options.iterations, cv_seed)
            mask = _tidy(mask, centre, options.part, options.hole)
            if mask.any() and not mask.all():
                found.append((mask, models))
        if not found:
            return nothing
        # Readings come in the order (close, full). The full one shows whole objects where the
        # close one shows their brightest part, but may take a smooth ground for the object:
        # then much of its outline lies on no edge.
        supports = [_support(mask, edges) for mask, _ in found]
        best = len(found) - 1 if supports[-1] >= options.support * supports[0] else 0
        refined = _refined(image, *found[best])
        return _tidy(refined, _enlarged(prior.centre, image.shape), options.part, options.hole)

    def _readings(self, prior: _Prior, size: tuple[int, ...]) -> list[Labels]:
        """GrabCut labels of the two readings of the prior, close and full."""
        close = prior.enclosed * (0.25 + 0.75 * prior.centre) * (0.5 + 0.5 * prior.rare)
        full = prior.centre + prior.rare + 2 * prior.inner + prior.enclosed
        margin = round(self.options.margin * min(size[:2]))
        close, full = (_stretched(_enlarged(plane, size)) for plane in (close, full))
        return [
            _labels(close, _otsu(close), 0.7, 0.15, margin),
            _labels(full, 0.4, 0.8, 0.2, margin),
        ]


def _prior(small: Image, cv_seed: int) -> _Prior:
    height, width = small.shape[:2]
    lab = _lab(small)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = (2 * x - width + 1) / width, (2 * y - height + 1) / height
    centre = np.exp((u**2 + v**2) / -0.72)
    border = np.maximum(abs(u), abs(v)) ** 6
    inner, rare = _colour_evidence(lab, centre, border, cv_seed)
    return _Prior(centre, rare, inner, _stretched(_enclosed(lab)))


def _colour_evidence(lab: Plane, centre: Plane, border: Plane, cv_seed: int) -> tuple[Plane, Plane]:
    """How much more a pixel's colour occurs at the centre, and how rare it is at the border.

    Args:
        lab: float32 (H, W, 3), CIE Lab.
        centre: float32 (H, W), weights.
        border: float32 (H, W), weights.
        cv_seed: seed of OpenCV's generator.

    Returns:
        Two float32 (H, W) in [0, 1].
    """
    import cv2

    pixels = lab.reshape(-1, 3)
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 12, 0.5)
    cv2.setRNGSeed(cv_seed)
    count = min(COLOURS, len(pixels))
    colours = cv2.kmeans(pixels, count, None, stop, 4, cv2.KMEANS_PP_CENTERS)[2]
    squared = ((pixels[:, None] - colours[None]) ** 2).sum(2)
    # Soft membership: a smooth ground split over two colours must not show the split.
    member = np.exp((squared.min(1, keepdims=True) - squared) / 128)
    member /= member.sum(1, keepdims=True)
    at_centre = (member * centre.reshape(-1, 1)).sum(0) / centre.sum()
    at_border = (member * border.reshape(-1, 1)).sum(0) / border.sum()
    inner = (member * (at_centre / (at_centre + at_border + 1e-9))).sum(1)
    # A colour with a small share of the border may belong to an object that is cut off there.
    distance = np.sqrt(squared) + 25 * (1 - np.clip(at_border / 0.08, 0, 1))
    rare = _stretched(np.maximum(distance.min(1) - NOTICEABLE, 0))
    size = lab.shape[:2]
    return inner.reshape(size).astype(np.float32), rare.reshape(size)


def _enclosed(lab: Plane) -> Plane:
    """Edges that must be crossed to come from the border to a pixel, float32 (H, W)."""
    from skimage.graph import MCP_Geometric

    height, width = lab.shape[:2]
    cost = np.pad(np.maximum(_edges(lab) - NOTICEABLE, 0) + 0.1, 1)
    ring = np.argwhere(_frame(cost.shape, 1)).tolist()
    costs, _ = MCP_Geometric(cost).find_costs(ring)
    return np.asarray(costs[1 : height + 1, 1 : width + 1], np.float32)


def _labels(plane: Plane, threshold: float, certain: float, never: float, margin: int) -> Labels:
    """A prior as GrabCut's labels: certain and probable object and background."""
    import cv2

    labels = np.where(plane > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[_frame(plane.shape, margin) & (plane <= 0.5 * threshold)] = cv2.GC_BGD
    labels[plane < never * threshold] = cv2.GC_BGD
    labels[plane > threshold + certain * (1 - threshold)] = cv2.GC_FGD
    return labels


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


def _refined(image: Image, mask: Mask, models: NDArray[np.float64]) -> Mask:
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
    cv2.grabCut(image, labels, NO_BOX, models[0], models[1], 1, cv2.GC_EVAL_FREEZE_MODEL)
    cut = cv2.medianBlur((labels & 1).astype(np.uint8), reach)
    return np.asarray(cut, np.bool_)


def _tidy(mask: Mask, centre: Plane, part: float, hole: float) -> Mask:
    """The heavy connected parts, small holes closed."""
    parts, areas = _parts(mask)
    if not areas.size:
        return mask
    weights = np.bincount(parts.ravel(), centre.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(weights >= part * weights.max()))
    holes, areas = _parts(~kept)
    open_ones = np.unique(holes[_frame(mask.shape, 1)])
    small = np.setdiff1d(1 + np.flatnonzero(areas <= hole * kept.sum()), open_ones)
    return np.asarray(kept | np.isin(holes, small))


def _parts(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Connected parts: int32 (H, W) with 0 elsewhere and 1.. on the parts; their areas."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return parts, stats[1:, cv2.CC_STAT_AREA]


def _support(mask: Mask, edges: Plane) -> float:
    """Share of the outline, where it is not the photograph's border, that lies on edges."""
    import cv2

    line = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    line &= ~_frame(mask.shape, 2)
    strong = edges > max(float(np.percentile(edges, 75)), 1.5 * NOTICEABLE)
    return float(strong[line].mean()) if line.any() else 0.0


def _edges(lab: Plane) -> Plane:
    """Range of each pixel's 3x3 neighbourhood, summed over L, a and b, float32 (H, W)."""
    import cv2

    square = np.ones((3, 3), np.uint8)
    # Wider than one pixel: a path cannot slip diagonally through it.
    return np.asarray((cv2.dilate(lab, square) - cv2.erode(lab, square)).sum(2))


def _lab(image: Image) -> Plane:
    import cv2

    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.bilateralFilter(lab, 5, 20, 3))


def _otsu(plane: Plane) -> float:
    import cv2

    levels = (plane * 255).astype(np.uint8)
    return float(cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0]) / 255


def _stretched(plane: Plane) -> Plane:
    """Linearly to [0, 1]; the outermost 2% of the values on both sides are cut off."""
    low, high = np.percentile(plane, (2, 98))
    scaled = (plane - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(scaled, 0, 1), np.float32)


def _shrunk(image: Image, edge: int) -> Image:
    import cv2

    factor = edge / min(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(edge, round(side * factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _enlarged(plane: Plane, size: tuple[int, ...]) -> Plane:
    import cv2

    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


def _frame(size: tuple[int, ...], width: int) -> Mask:
    """True in a frame of that many pixels along the border."""
    frame = np.ones(size[:2], np.bool_)
    frame[width : size[0] - width, width : size[1] - width] = False
    return frame
