"""Do two judges agree? Cohen's kappa, and the threshold at which scores agree best with verdicts.

J. Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological
Measurement 20(1), 1960.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.metrics.consistency import error_consistency


class Agreement(NamedTuple):
    """How far two judges agree on the pairs that both have judged.

    Attributes:
        kappa: (observed - expected) / (1 - expected), in [-1, 1]; NaN without a common pair.
        observed: share of the pairs on which they agree, in [0, 1].
        expected: the share if their verdicts were independent, in [0, 1].
        judged: number (or weight) of the pairs that both have judged.
    """

    kappa: float
    observed: float
    expected: float
    judged: float


def cohens_kappa(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> Agreement:
    """Cohen's kappa of two judges' verdicts; pairs that one of them left unscored do not count.

    Where both give one and the same verdict to every pair, kappa would be 0/0 and is 1.

    Args:
        first: float (N,): 1 similar, 0 different, NaN unscored.
        second: the same of the other judge.
        weights: float (N,), how often each pair counts; None: once.
    """
    both = ~(np.isnan(first) | np.isnan(second))
    weight = (np.ones(len(first)) if weights is None else np.asarray(weights, float))[both]
    one, other = first[both] == 1, second[both] == 1
    counts = [weight.sum(), weight[one].sum(), weight[other].sum(), weight[one & other].sum()]
    found = error_consistency(*(np.array([count]) for count in counts))
    return Agreement(
        float(found.kappa[0]), float(found.observed[0]), float(found.expected[0]), float(counts[0])
    )


def best_threshold(
    scores: NDArray[np.floating], verdicts: NDArray[np.floating]
) -> tuple[float, float]:
    """The threshold at and above which scores agree best with verdicts, by Cohen's kappa.

    It lies half-way between two neighbouring scores, so that rounding decides nothing; of several
    equally good ones it is the highest.

    Args:
        scores: float (N,); NaN does not count.
        verdicts: float (N,): 1 similar, 0 different, NaN unscored.

    Returns:
        Threshold and kappa.

    Raises:
        ValueError: not both verdicts are among those with a score, or all scores are equal.
    """
    known = ~(np.isnan(scores) | np.isnan(verdicts))
    score, similar = scores[known].astype(float), verdicts[known]
    levels = np.unique(score)
    if not ((similar == 1).any() and (similar == 0).any() and len(levels) > 1):
        msg = "a threshold needs pairs judged similar, pairs judged different, and several scores"
        raise ValueError(msg)
    between = ((levels[:-1] + levels[1:]) / 2)[::-1]
    kappas = [cohens_kappa((score >= level).astype(float), similar).kappa for level in between]
    best = int(np.argmax(kappas))
    return float(between[best]), float(kappas[best])
