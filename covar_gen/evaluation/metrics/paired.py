"""Is one model better than another on the same images?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.metrics.clusters import distinct

FLIPS = 9999
SEED = 0
EXACT = 12
"""Clusters up to which every assignment of signs is tried: 2**12 of them."""

_COIN = 60
"""How many coins (bits) are tossed in the time of one binomial number."""

_CELLS = 4_000_000
_SLACK = 1e-9
"""Sums that differ by less, relative to the largest possible, count as equal."""


def sign_flip(
    sums: NDArray[np.float64],
    pairs: NDArray[np.integer],
    *,
    flips: int = FLIPS,
    seed: int = SEED,
) -> NDArray[np.float64]:
    """Randomisation test of the differences between models, clustered by source photograph.

    If two models are alike, then within each photograph it is a coin's toss which of them has
    which result: the difference of each cluster may change its sign. The p-value is the share of
    assignments of signs whose summed difference is at least as far from 0 as the one seen, with
    the one seen among them; for up to 12 clusters that differ it is over all assignments, exactly
    (M. D. Ernst, *Permutation methods: a basis for exact inference*, Statist. Sci. 19, 2004).

    Args:
        sums: float64 (S, M), for each cluster and model what is compared, summed over the
            cluster's images: right answers, or their share in an average over subsets.
        pairs: int (P, 2), which models to compare.
        flips: assignments of signs to draw.
        seed: of the draws.

    Returns:
        float64 (P,), two-sided p-values in (0, 1].
    """
    first, second = pairs[:, 0], pairs[:, 1]
    # What all models have in common cancels; clusters in which all are equal have no sign.
    sums = sums - sums.mean(axis=1, keepdims=True)
    sums = sums[np.abs(sums).max(axis=1, initial=0.0) > 0]
    seen = np.abs(sums[:, first].sum(axis=0) - sums[:, second].sum(axis=0))
    reach = np.array([np.abs(sums[:, a] - sums[:, b]).sum() for a, b in pairs])
    seen -= _SLACK * reach
    rows, counts = distinct(_upright(sums))
    if len(rows) * _COIN > len(sums):
        rows, counts = sums, np.ones(len(sums), np.int64)
    rng = np.random.Generator(np.random.PCG64(seed))
    extreme = np.zeros(len(pairs), np.int64)
    step = max(1, _CELLS // max(len(rows), len(pairs), 1))
    for start in range(0, flips, step):
        # A sum of signs is twice the number of heads, less the number of coins.
        heads = _heads(rng, min(step, flips - start), counts)
        drawn = 2 * (heads @ rows) - counts @ rows
        extreme += (np.abs(drawn[:, first] - drawn[:, second]) >= seen).sum(axis=0)
    found: NDArray[np.float64] = (1 + extreme) / (1 + flips)
    for place, (a, b) in enumerate(pairs):
        differences = sums[:, a] - sums[:, b]
        differences = differences[np.abs(differences) > _SLACK * reach[place]]
        if len(differences) <= EXACT:
            found[place] = _every_assignment(differences)
    return found


def _upright(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row or its negative, so that the first number that is not 0 is positive."""
    leading = np.take_along_axis(sums, (sums != 0).argmax(axis=1)[:, None], axis=1)
    found: NDArray[np.float64] = sums * np.sign(leading)
    return found


def _heads(rng: np.random.Generator, flips: int, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Heads among `counts` fair coins: float64 (flips, len(counts))."""
    if len(counts) and counts.max() > 1:
        return rng.binomial(counts, 0.5, (flips, len(counts))).astype(np.float64)
    data = rng.integers(0, 256, (flips, (len(counts) + 7) // 8), dtype=np.uint8)
    return np.unpackbits(data, axis=1, count=len(counts)).astype(np.float64)


def _every_assignment(differences: NDArray[np.float64]) -> float:
    count = len(differences)
    coins = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    reached = np.abs((coins * 2.0 - 1) @ differences)
    slack = _SLACK * float(np.abs(differences).sum())
    return float((reached >= abs(float(differences.sum())) - slack).mean())


def mcnemar(
    only_first: NDArray[np.integer], only_second: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Exact test of McNemar: images as if they were independent of each other.

    Args:
        only_first: int (P,), images that only the first model gets right.
        only_second: int (P,), images that only the second model gets right.

    Returns:
        float64 (P,), two-sided p-values; 1 where the models never differ.
    """
    from scipy.special import bdtr

    differing = only_first + only_second
    less = np.minimum(only_first, only_second)
    found: NDArray[np.float64] = np.minimum(1.0, 2 * bdtr(less.astype(float), differing, 0.5))
    return found


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's correction of the p-values of a family of tests (S. Holm, Scand. J. Statist., 1979).

    Args:
        p_values: float64 (P,); NaN where a test could not be made.

    Returns:
        float64 (P,), adjusted p-values; NaN stays and does not count as a test.
    """
    found = np.full(len(p_values), np.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return found
