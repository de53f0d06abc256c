"""Models against each other on the same images: differences with tests, and error consistency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.accuracy import names, source_counts, too_few, with_average
from covar_gen.evaluation.analyses.columns import (
    N_SOURCES,
    REAL,
    SUBSET,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import Images, images_of, marks_of
from covar_gen.evaluation.metrics.consistency import error_consistency
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, bootstrap, ratio
from covar_gen.evaluation.metrics.paired import FLIPS, holm, mcnemar, sign_flip
from covar_gen.evaluation.results import Results

_PAIR = {
    "model_a": (TEXT, "name of the first model"),
    "model_b": (TEXT, "name of the second model"),
}

PAIRS = columns(
    **_PAIR,
    subset=(TEXT, SUBSET),
    n_images=(WHOLE, "images that all models compared were evaluated on"),
    n_sources=(WHOLE, N_SOURCES),
    accuracy_a=(REAL, "top-1 accuracy of the first model, percent"),
    accuracy_b=(REAL, "top-1 accuracy of the second model, percent"),
    **measured("difference", "first minus second, percentage points"),
    p_value=(REAL, "sign-flip test of the photographs' differences, two-sided; null: no images"),
    p_holm=(REAL, "the same after Holm's correction over all pairs of the subset"),
    only_a=(WHOLE, "images that only the first model gets right; null for the average"),
    only_b=(WHOLE, "images that only the second model gets right; null for the average"),
    mcnemar=(REAL, "exact McNemar test, images as if independent; null for the average"),
    mcnemar_holm=(REAL, "the same after Holm's correction over all pairs of the subset"),
)

CONSISTENCY = columns(
    **_PAIR,
    subset=(TEXT, "which variation"),
    n_images=(WHOLE, "images that all models compared were evaluated on"),
    n_sources=(WHOLE, N_SOURCES),
    observed=(REAL, "share of the images on which both are right or both wrong, percent"),
    expected=(REAL, "that share if the errors were independent, percent"),
    **measured("kappa", "error consistency: Cohen's kappa of right and wrong, in [-1, 1]"),
)


@dataclass(frozen=True)
class _Shared:
    """What is compared: the images that every model was evaluated on.

    Attributes:
        models: names of the M models.
        pairs: int64 (P, 2), indices of the models of each pair.
        ok: bool (N,), images that every model was evaluated on.
        right: bool (M, N), where each model is right.
        evaluated: float64 (S, T), images per source and subset.
    """

    models: tuple[str, ...]
    pairs: NDArray[np.int64]
    ok: NDArray[np.bool_]
    right: NDArray[np.bool_]
    evaluated: NDArray[np.float64]

    def named(self) -> dict[str, list[str]]:
        return {
            "model_a": [self.models[a] for a in self.pairs[:, 0]],
            "model_b": [self.models[b] for b in self.pairs[:, 1]],
        }


def _shared(results: Results, images: Images, chosen: Sequence[str] | None) -> _Shared | None:
    models = tuple(chosen or results.models())
    if len(models) < 2:  # noqa: PLR2004 - a pair
        return None
    marks = [marks_of(results, model) for model in models]
    ok = np.logical_and.reduce([one.ok for one in marks])
    right = np.stack([one.top1 & ok for one in marks])
    pairs = np.array(list(combinations(range(len(models)), 2)), np.int64)
    return _Shared(models, pairs, ok, right, images.counts(ok))


def pairs(
    results: Results,
    *,
    models: Sequence[str] | None = None,
    replicates: int = REPLICATES,
    flips: int = FLIPS,
    seed: int = SEED,
) -> pa.Table:
    """Differences of accuracy between models, with paired tests clustered by photograph.

    Args:
        results: an evaluation.
        models: those to compare; None: all. The corrections are over the pairs of these.
        replicates: of the bootstrap.
        flips: of the sign-flip test.
        seed: of both.

    Returns:
        The columns of PAIRS, one row per pair and subset or average; none for fewer than two
        models.
    """
    images = images_of(results)
    shared = _shared(results, images, models)
    if shared is None:
        return stack(PAIRS, [])
    first, second = shared.pairs.T
    right = np.stack([images.counts(one) for one in shared.right], axis=1)
    count, width = len(shared.models), len(images.subsets)

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = sums.reshape(len(sums), 1 + count, width)
        accuracy = with_average(100 * ratio(counts[:, 1:], counts[:, :1]), images)
        return accuracy[:, first] - accuracy[:, second]

    whole = np.concatenate([shared.evaluated[:, None], right], axis=1)
    found = bootstrap(
        whole.reshape(len(whole), -1), statistic, replicates=replicates, seed=seed
    ).without(too_few(shared.evaluated, images))
    total = shared.evaluated.sum(axis=0)
    # Averages over subsets are compared by each photograph's part of them.
    parts_of = with_average(ratio(right, total[None, None, :]), images)
    accuracy = with_average(100 * ratio(right.sum(axis=0), total[None]), images)
    sources = source_counts(shared.evaluated, images)
    parts = []
    for place, name in enumerate(names(images)):
        plain = place < width
        scored = right[:, :, place] if plain else parts_of[:, :, place]
        p_values = np.full(len(shared.pairs), np.nan)
        if not np.isnan(accuracy[:, place]).any():
            p_values = sign_flip(scored, shared.pairs, flips=flips, seed=seed)
        some = total[place] if plain else total[images.eight].sum()
        parts.append(
            {
                **shared.named(),
                "subset": name,
                "n_images": int(some),
                "n_sources": sources[place],
                "accuracy_a": accuracy[first, place],
                "accuracy_b": accuracy[second, place],
                "difference": found.value[:, place],
                "difference_low": found.low[:, place],
                "difference_high": found.high[:, place],
                "p_value": p_values,
                "p_holm": holm(p_values),
                **_unclustered(shared, shared.ok & (images.subset == place) if plain else None),
            }
        )
    return stack(PAIRS, parts)


def _unclustered(shared: _Shared, inside: NDArray[np.bool_] | None) -> dict[str, Any]:
    """Columns of McNemar's test; null where there is no one set of images."""
    if inside is None:
        nothing = {"only_a": [None] * len(shared.pairs), "only_b": [None] * len(shared.pairs)}
        return {**nothing, "mcnemar": np.nan, "mcnemar_holm": np.nan}
    both = _both_right(shared.right[:, inside])
    first, second = shared.pairs.T
    alone = both.diagonal()
    only_a = alone[first] - both[first, second]
    only_b = alone[second] - both[first, second]
    # Without images there is nothing to test, which is not the same as no difference.
    p_values = mcnemar(only_a, only_b) if inside.any() else np.full(len(first), np.nan)
    return {
        "only_a": only_a,
        "only_b": only_b,
        "mcnemar": p_values,
        "mcnemar_holm": holm(p_values),
    }


def _both_right(right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Images that two models both get right: int64 (M, M)."""
    numbers = right.astype(np.float64)
    found: NDArray[np.int64] = np.rint(numbers @ numbers.T).astype(np.int64)
    return found


def consistency(
    results: Results,
    *,
    models: Sequence[str] | None = None,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> pa.Table:
    """Error consistency of each pair of models on each subset.

    Args:
        results: an evaluation.
        models: those to compare; None: all.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of CONSISTENCY, one row per pair and subset; none for fewer than two models.
    """
    images = images_of(results)
    shared = _shared(results, images, models)
    if shared is None:
        return stack(CONSISTENCY, [])
    parts = []
    for place, name in enumerate(images.subsets):
        inside = shared.ok & (images.subset == place)
        sums, there = _joint(shared.right[:, inside], images.sources[inside], shared.pairs)
        count = len(shared.models)

        def statistic(drawn: NDArray[np.float64], count: int = count) -> NDArray[np.float64]:
            alone = drawn[:, 1 : 1 + count]
            first, second = (alone[:, shared.pairs[:, side]] for side in (0, 1))
            found = error_consistency(drawn[:, :1], first, second, drawn[:, 1 + count :])
            return np.stack(found, axis=1)

        found = bootstrap(sums, statistic, replicates=replicates, seed=seed)
        observed, expected, kappa = found.value
        parts.append(
            {
                **shared.named(),
                "subset": name,
                "n_images": int(inside.sum()),
                "n_sources": there,
                "observed": 100 * observed,
                "expected": 100 * expected,
                "kappa": kappa,
                "kappa_low": found.low[2],
                "kappa_high": found.high[2],
            }
        )
    return stack(CONSISTENCY, parts)


def _joint(
    right: NDArray[np.bool_], sources: NDArray[np.int64], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], int]:
    """Per source: images, right answers of each model, of both models of each pair.

    Returns:
        float64 (S, 1 + M + P) and the number of sources, S.
    """
    order = np.argsort(sources, kind="stable")
    found, starts = np.unique(sources[order], return_index=True)
    ordered = right[:, order]
    sums = np.empty((len(found), 1 + len(right) + len(pairs)))
    if not len(found):
        return sums, 0
    sums[:, 0] = np.diff(np.append(starts, len(order)))
    for place, one in enumerate(ordered):
        sums[:, 1 + place] = np.add.reduceat(one, starts, dtype=np.int64)
    for place, (a, b) in enumerate(pairs):
        both = np.add.reduceat(ordered[a] & ordered[b], starts, dtype=np.int64)
        sums[:, 1 + len(right) + place] = both
    return sums, len(found)
