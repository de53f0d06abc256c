"""Do the judges agree on which classes look alike? Cohen's kappa between each two."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import REAL, TEXT, WHOLE, columns, stack
from covar_gen.evaluation.analyses.error_sources import drivers
from covar_gen.evaluation.explained import explained
from covar_gen.evaluation.judgements import Judgement, judgements
from covar_gen.evaluation.metrics.consistency import error_consistency
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, bootstrap, ratio
from covar_gen.evaluation.results import Results

_END = "end of its 95% interval, pairs of classes drawn with replacement, both orders together"

JUDGE_AGREEMENT = columns(
    judge_a=(TEXT, "who judged: name, and model, version or threshold"),
    judge_b=(TEXT, "the other judge"),
    n_pairs=(WHOLE, "pairs (true class, predicted class) that were put to both"),
    n_scored=(WHOLE, "of these, pairs on which both have a verdict; only these count"),
    similar_a=(REAL, "pairs that judge_a calls similar, percent"),
    similar_b=(REAL, "pairs that judge_b calls similar, percent"),
    agreement=(REAL, "pairs on which they agree, percent"),
    kappa=(REAL, "Cohen's kappa: 1 = always, 0 = as often as by chance"),
    kappa_low=(REAL, f"lower {_END}"),
    kappa_high=(REAL, f"upper {_END}"),
    n_errors=(WHOLE, "object-driven errors (of the default options) that confuse these pairs"),
    agreement_errors=(REAL, "agreement where each pair counts once for each such error, percent"),
    kappa_errors=(REAL, "kappa counted the same way"),
)
"""Pairs of one name, about which no judge is asked, are left out."""

_SUMS = 4
"""Pairs, those similar for the one, for the other, and for both."""


def judge_agreement(
    results: Results, *, replicates: int = REPLICATES, seed: int = SEED
) -> pa.Table:
    """How far each two judges agree on the classes that were put to both.

    Args:
        results: an evaluation whose confused classes were judged by `covar-gen judge`.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of JUDGE_AGREEMENT; no rows for fewer than two judges.
    """
    found = judgements(results)
    errors = _errors(results) if found else Counter()
    rows = [_row(a, b, errors, replicates, seed) for a, b in combinations(found, 2)]
    return stack(JUDGE_AGREEMENT, [{key: [value] for key, value in row.items()} for row in rows])


def _errors(results: Results) -> Counter[tuple[int, int]]:
    """Object-driven errors of the default options by (true class, predicted class)."""
    counts: Counter[tuple[int, int]] = Counter()
    for found in explained(results):
        if found.default:
            chosen = drivers(found)[1]
            labels, predicted = found.labels[chosen].tolist(), found.predicted[chosen].tolist()
            counts.update(zip(labels, predicted, strict=True))
    return counts


def _row(
    a: Judgement, b: Judgement, errors: Counter[tuple[int, int]], replicates: int, seed: int
) -> dict[str, Any]:
    common = sorted(a.similar.keys() & b.similar.keys())
    verdicts = [(pair, a.similar[pair], b.similar[pair]) for pair in common]
    scored = [(pair, x, y) for pair, x, y in verdicts if x is not None and y is not None]
    clusters = {place: n for n, place in enumerate(sorted({_either(p) for p, _, _ in scored}))}
    once, each = np.zeros((len(clusters), _SUMS)), np.zeros((len(clusters), _SUMS))
    for pair, x, y in scored:
        counted = np.array([1, x, y, x and y], np.float64)
        once[clusters[_either(pair)]] += counted
        each[clusters[_either(pair)]] += counted * errors[pair]
    kappa = bootstrap(once, _kappa, replicates=replicates, seed=seed)
    total, weighted = once.sum(axis=0), each.sum(axis=0)[None]
    return {
        "judge_a": a.judge,
        "judge_b": b.judge,
        "n_pairs": len(common),
        "n_scored": len(scored),
        "similar_a": 100 * float(ratio(total[1], total[0])),
        "similar_b": 100 * float(ratio(total[2], total[0])),
        "agreement": float(_agreement(total[None])[0]),
        "kappa": float(kappa.value),
        "kappa_low": float(kappa.low),
        "kappa_high": float(kappa.high),
        "n_errors": int(weighted[0, 0]),
        "agreement_errors": float(_agreement(weighted)[0]),
        "kappa_errors": float(_kappa(weighted)[0]),
    }


def _either(pair: tuple[int, int]) -> tuple[int, int]:
    """A pair whatever its order: most judges say the same of both."""
    return min(pair), max(pair)


def _agreement(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the pairs on which two judges agree: (R, 4) -> (R,)."""
    pairs, one, other, both = sums.T
    return 100 * ratio(pairs - one - other + 2 * both, pairs)


def _kappa(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa: (R, 4) -> (R,); NaN without a pair."""
    return error_consistency(*sums.T).kappa
