"""Photographs with pixels taken away, or given, in the order of a map, as a model sees them.

The pixels are those of the photograph itself, at its own size; each perturbed photograph then goes
through the model's own resize and crop, as any other image does. Pixels that the crop cuts off are
changed last: nothing is known of them, and the model does not see them.

A photograph's noise and the order of equal values are drawn by its key, so that all maps of it,
whatever made them, are compared under the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covar_gen.core.arrays import Image, Json
from covar_gen.core.seeds import seed_of
from covar_gen.evaluation.attribution.alignment import Upsampling, pixel_map, seen
from covar_gen.evaluation.images import fill
from covar_gen.evaluation.metrics.deletion_insertion import (
    POINTS,
    SHARE,
    STEPS,
    Ties,
    area,
    counts,
    measured_steps,
    mixtures,
    noise,
    order,
)
from covar_gen.evaluation.preprocessing import Grid

DELETION, INSERTION = 0, 1
"""Which of the two a perturbed photograph is for: the first axis of what `perturbed` gives."""


@dataclass(frozen=True)
class Perturbation:
    """How curves of deletion and insertion are measured.

    Attributes:
        points: of each curve, P, evenly over the steps, the first before any step.
        steps: of the whole curve.
        share: of the pixels, changed by each step.
        ties: how pixels of equal value are ordered.
        seed: of the noise, and of a random order.
    """

    points: int = POINTS
    steps: int = STEPS
    share: float = SHARE
    ties: Ties = "random"
    seed: int = 0

    @property
    def at(self) -> NDArray[np.int64]:
        """After which steps the curves are measured: int64 (P,)."""
        return measured_steps(self.points, self.steps)

    def changed(self, pixels: int) -> NDArray[np.int64]:
        """How many pixels are changed at each point: int64 (P,)."""
        return counts(pixels, self.steps, self.share)[self.at]

    def area(self, curves: NDArray[np.floating]) -> NDArray[np.float64]:
        """Trapezoid area under curves (..., P), on an axis of length 1: float64 (...)."""
        return area(curves, at=self.at)

    def as_json(self) -> dict[str, Json]:
        """What decides the perturbed photographs."""
        return dict(vars(self))


def pixel_order(
    maps: ArrayLike,
    grid: Grid,
    height: int,
    width: int,
    key: str,
    how: Perturbation,
    upsampling: Upsampling = "bilinear",
) -> NDArray[np.int64]:
    """Pixels of a photograph from the most to the least important.

    Args:
        maps: numbers (..., h, w) on the patch grid, larger where more important.
        grid: of the model's preprocessing.
        height: of the photograph, pixels.
        width: of the photograph, pixels.
        key: of the photograph.
        how: the curves are measured.
        upsampling: of the maps.

    Returns:
        int64 (..., height * width); pixels that the model did not see are last.
    """
    heat = pixel_map(maps, grid, height, width, upsampling)
    patches = (int(np.shape(maps)[-2]), int(np.shape(maps)[-1]))
    heat[..., ~seen(grid, height, width, patches)] = -np.inf
    return order(heat, how.ties, seed_of(how.seed, "ties", key))


def perturbed(
    image: Image, ranked: NDArray[np.int64], grid: Grid, key: str, how: Perturbation
) -> NDArray[np.uint8]:
    """A photograph at every point of both curves, resized and cropped for a model.

    Args:
        image: uint8 (H, W, 3), the photograph.
        ranked: int64 (H * W,), from `pixel_order`.
        grid: of the model's preprocessing.
        key: of the photograph.
        how: the curves are measured.

    Returns:
        uint8 (2, P, 3, h, w): deletion, whose pixels become uniform noise, and insertion, which
        begins with black; the first point of deletion is the photograph itself.
    """
    height, width = image.shape[:2]
    changed = how.changed(height * width)
    random = noise(height, width, seed_of(how.seed, "noise", key))
    made = np.empty((2, len(changed), 3, grid.height, grid.width), np.uint8)
    for kind, (start, other) in enumerate(((image, random), (np.zeros_like(image), image))):
        target = {grid: made[kind]}
        for point, each in enumerate(mixtures(start, other, ranked, changed)):
            fill(each, target, point)
    return made
