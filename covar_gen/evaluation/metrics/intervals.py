"""Bootstrap intervals clustered by source photograph.

Images made from one photograph are right and wrong together: a benchmark of 396,000 images from
1,650 photographs knows an accuracy about as well as 1,650 photographs allow. So photographs are
drawn with replacement, each with all of its images (cluster bootstrap; A. C. Davison and
D. V. Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8), and the interval
spans the middle 95% of what the statistic becomes.

A statistic here is a function of sums over images (right answers, images, ...), so that a
replicate is the matrix product of how often each cluster was drawn with the clusters' sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.metrics.clusters import distinct

LEVEL = 0.95
REPLICATES = 1000
SEED = 0
Seed = int | tuple[int, ...]
"""Of a random generator; a tuple where several are wanted."""

_CELLS = 2_000_000
"""Draws held in memory at once."""

Sums = NDArray[np.float64]
Statistic = Callable[[Sums], NDArray[np.float64]]
"""float64 (R, K), sums of R replicates -> float64 (R, ...), the statistic of each."""


class Estimate(NamedTuple):
    """A statistic with its interval; arrays of one shape.

    Attributes:
        value: of the data itself.
        low: lower end of the 95% interval; NaN where it cannot be said.
        high: its upper end.
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def without(self, places: NDArray[np.bool_]) -> Estimate:
        """The same without intervals at these places: bool, of a shape that broadcasts."""
        return Estimate(
            self.value,
            np.where(places, np.nan, self.low),
            np.where(places, np.nan, self.high),
        )


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, NaN where the divisor is 0."""
    there = below != 0
    # The dividend's NaN stays; only a division by zero is kept from warning.
    found: NDArray[np.float64] = np.where(there, above, np.nan) / np.where(there, below, 1.0)
    return found


def resample(sums: Sums, *, replicates: int = REPLICATES, seed: Seed = SEED) -> Sums:
    """Sums over clusters drawn with replacement, as many as there are.

    Clusters of equal sums are drawn as one, with their joint probability, which is the same
    distribution and makes 50,000 clusters of one image as cheap as a handful. The result depends
    on the clusters' sums, not on their order or names.

    Args:
        sums: float64 (S, K), sums over the images of each cluster.
        replicates: how many times to draw, R.
        seed: of the draws.

    Returns:
        float64 (R, K).
    """
    rows, counts = distinct(sums)
    total = int(counts.sum())
    found = np.empty((replicates, sums.shape[1]))
    if not total:
        found[:] = 0.0
        return found
    rng = np.random.Generator(np.random.PCG64(seed))
    few = len(rows) * 4 < total
    step = max(1, _CELLS // (len(rows) if few else total))
    owner = np.repeat(np.arange(len(rows)), counts)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        if few:
            drawn = rng.multinomial(total, counts / total, size=size)
        else:
            picks = owner[rng.integers(0, total, (size, total), dtype=np.uint32)]
            picks += np.arange(size)[:, None] * len(rows)
            drawn = np.bincount(picks.ravel(), minlength=size * len(rows)).reshape(size, -1)
        found[start : start + size] = drawn.astype(np.float64) @ rows
    return found


def interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle 95% of the replicates, by linear interpolation between them.

    Args:
        values: float64 (R, ...), the statistic in each replicate; a NaN says that it is not
            defined there, and is left out.

    Returns:
        Lower and upper ends, float64 (...); NaN where no replicate is defined.
    """
    ordered = np.sort(values, axis=0)
    last = np.maximum((~np.isnan(ordered)).sum(axis=0) - 1, 0)
    ends = []
    for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        place = share * last
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, last)
        left = np.take_along_axis(ordered, below[None], axis=0)[0]
        right = np.take_along_axis(ordered, above[None], axis=0)[0]
        ends.append(left + (place - below) * (right - left))
    return ends[0], ends[1]


def bootstrap(
    sums: Sums, statistic: Statistic, *, replicates: int = REPLICATES, seed: Seed = SEED
) -> Estimate:
    """A statistic of sums over clusters, with its interval.

    Args:
        sums: float64 (S, K), sums over the images of each cluster.
        statistic: of sums, for many replicates at once.
        replicates: how many times to draw.
        seed: of the draws.

    Returns:
        The statistic of all clusters and its ends; without interval for fewer than two clusters,
        which say nothing about how clusters differ.
    """
    value = statistic(sums.sum(axis=0, keepdims=True))[0]
    if len(sums) < 2:  # noqa: PLR2004 - two is the least that can differ
        nothing = np.full_like(value, np.nan)
        return Estimate(value, nothing, nothing)
    return Estimate(value, *interval(statistic(resample(sums, replicates=replicates, seed=seed))))
