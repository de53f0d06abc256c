"""How far accuracy falls from one subset to the others (figure 7: from `bg_varied`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import (
    MODEL,
    N_IMAGES,
    REAL,
    SUBSET,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import (
    AVERAGE,
    BG_VARIED,
    Images,
    images_of,
    marks_of,
)
from covar_gen.evaluation.metrics.intervals import (
    REPLICATES,
    SEED,
    bootstrap,
    ratio,
)
from covar_gen.evaluation.results import Results

SUBSET_DROPS = columns(
    model=(TEXT, MODEL),
    reference=(TEXT, "the subset that is compared with"),
    subset=(TEXT, SUBSET),
    n_images=(WHOLE, N_IMAGES),
    n_sources=(WHOLE, "source photographs of the images evaluated and of the reference's"),
    accuracy_reference=(REAL, "top-1 accuracy on the reference, percent"),
    accuracy=(REAL, "top-1 accuracy on the subset, percent"),
    **measured("drop", "accuracy on the reference minus accuracy, percentage points"),
    **measured("relative", "the drop in percent of the accuracy on the reference"),
)

Real = NDArray[np.float64]


def subset_drops(
    results: Results,
    *,
    reference: str = BG_VARIED,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> pa.Table:
    """Drops of accuracy per model and subset against one subset (figure 7: `bg_varied`).

    Args:
        results: an evaluation.
        reference: what is compared with: `bg_varied`, `original`, or another subset.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of SUBSET_DROPS, a row per model and other subset, and one of their average
        over those of the eight that are there and are not the reference; no rows where the data
        has no such reference.
    """
    images = images_of(results)
    base = images.place(reference)
    if base is None or len(images.subsets) == 1:
        return stack(SUBSET_DROPS, [])
    parts = []
    for model in results.models():
        marks = marks_of(results, model)
        evaluated, right = images.counts(marks.ok), images.counts(marks.top1)
        rows = _against(images, base, evaluated, right, replicates, seed)
        parts.append({"model": model, "reference": reference, **rows})
    return stack(SUBSET_DROPS, parts)


def _against(
    images: Images, base: int, evaluated: Real, right: Real, replicates: int, seed: int
) -> dict[str, Any]:
    others = [place for place in range(len(images.subsets)) if place != base]
    averaged = [others.index(place) for place in images.eight if place != base]

    def statistic(sums: Real) -> Real:
        counts = sums.reshape(len(sums), 2, -1)
        every = ratio(100 * counts[:, 1], counts[:, 0])
        mine = _with_mean(every[:, others], averaged)
        first = every[:, base, None]
        return np.stack([mine, first - mine, 100 * ratio(first - mine, first + 0 * mine)], axis=1)

    found = bootstrap(
        np.hstack([evaluated, right]), statistic, replicates=replicates, seed=seed
    ).without(_lonely(evaluated, base, others, averaged))
    there = evaluated > 0
    shared = there[:, others] | there[:, [base]]
    together = there[:, images.eight].any(axis=1) | there[:, base]
    counts = [int(n) for n in evaluated[:, others].sum(axis=0)]
    whole = sum(counts[i] for i in averaged)
    return {
        "subset": [*(images.subsets[p] for p in others), *([AVERAGE] if averaged else [])],
        "n_images": [*counts, *([whole] if averaged else [])],
        "n_sources": [
            *(int(n) for n in shared.sum(axis=0)),
            *([int(together.sum())] if averaged else []),
        ],
        "accuracy_reference": found.value[0] + found.value[1],
        "accuracy": found.value[0],
        **_ends("drop", found.value[1], found.low[1], found.high[1]),
        **_ends("relative", found.value[2], found.low[2], found.high[2]),
    }


def _with_mean(values: Real, averaged: list[int]) -> Real:
    if not averaged:
        return values
    return np.concatenate([values, values[:, averaged].mean(axis=1, keepdims=True)], axis=1)


def _lonely(
    evaluated: Real, base: int, others: list[int], averaged: list[int]
) -> NDArray[np.bool_]:
    few = (evaluated > 0).sum(axis=0) < 2  # noqa: PLR2004 - two is the least that can differ
    mine = few[others] | few[base]
    return np.append(mine, mine[averaged].any()) if averaged else mine


def _ends(name: str, value: Any, low: Any, high: Any) -> dict[str, Any]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}
