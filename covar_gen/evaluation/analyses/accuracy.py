"""Accuracy of each model on each subset, and on average (the paper's table 3 and figure 14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import (
    MODEL,
    N_IMAGES,
    N_REJECTED,
    N_SOURCES,
    SUBSET,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import AVERAGE, Images, Marks, images_of, marks_of
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, bootstrap, ratio
from covar_gen.evaluation.results import Results

ACCURACY = columns(
    model=(TEXT, MODEL),
    subset=(TEXT, SUBSET),
    n_images=(WHOLE, N_IMAGES),
    n_rejected=(WHOLE, N_REJECTED),
    n_sources=(WHOLE, N_SOURCES),
    **measured("accuracy", "top-1 accuracy, percent"),
    **measured("top5", "top-5 accuracy, percent"),
    **measured("merged", "top-1 accuracy where classes of one name count as one, percent"),
)

KINDS = ("accuracy", "top5", "merged")


def accuracy(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """Accuracy per model and subset, and their average.

    The average is the plain mean over those of the eight scored subsets that are there (not over
    images: there are four times as many images of `scale` as of `hflip`); the original
    photographs have a row of their own and are not in it. Data without these subsets has no
    average; data without subsets has one row per model.

    Args:
        results: an evaluation.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of ACCURACY, one row per model and subset.
    """
    images = images_of(results)
    parts = [
        {"model": model, **_rows(images, marks_of(results, model), replicates, seed)}
        for model in results.models()
    ]
    return stack(ACCURACY, parts)


def _rows(images: Images, marks: Marks, replicates: int, seed: int) -> dict[str, Any]:
    evaluated = images.counts(marks.ok)
    width = len(images.subsets)
    right = [images.counts(getattr(marks, name)) for name in ("top1", "top5", "merged")]

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = sums.reshape(len(sums), 1 + len(KINDS), width)
        return with_average(100 * ratio(counts[:, 1:], counts[:, :1]), images)

    found = bootstrap(
        np.hstack([evaluated, *right]), statistic, replicates=replicates, seed=seed
    ).without(too_few(evaluated, images))
    lost = images.counts(~marks.ok).sum(axis=0)
    rows: dict[str, Any] = {
        "subset": names(images),
        "n_images": totals(evaluated.sum(axis=0), images),
        "n_rejected": totals(lost, images),
        "n_sources": source_counts(evaluated, images),
    }
    for place, kind in enumerate(KINDS):
        rows |= {kind: found.value[place]}
        rows |= {f"{kind}_low": found.low[place], f"{kind}_high": found.high[place]}
    return rows


def names(images: Images) -> list[str]:
    """The subsets, and `average` where any of the eight is there."""
    return [*images.subsets, *([AVERAGE] if images.eight else [])]


def with_average(values: NDArray[np.float64], images: Images) -> NDArray[np.float64]:
    """Values per subset, followed by the plain mean over those of the eight that are there.

    Args:
        values: float64 (..., T).
        images: whose subsets they are.

    Returns:
        float64 (..., T + 1), or (..., T) where none of the eight is there.
    """
    if not images.eight:
        return values
    mean = values[..., images.eight].mean(axis=-1, keepdims=True)
    return np.concatenate([values, mean], axis=-1)


def totals(counts: NDArray[np.float64], images: Images) -> list[int]:
    """Counts per subset, followed by their sum over those of the eight that are there."""
    found = [int(count) for count in counts]
    return [*found, *([sum(found[place] for place in images.eight)] if images.eight else [])]


def source_counts(evaluated: NDArray[np.float64], images: Images) -> list[int]:
    """Photographs of each subset, and of the average's subsets together.

    Args:
        evaluated: float64 (S, T), images evaluated.
        images: whose subsets they are.
    """
    there = evaluated > 0
    found = [int(count) for count in there.sum(axis=0)]
    return [*found, *([int(there[:, images.eight].any(axis=1).sum())] if images.eight else [])]


def too_few(evaluated: NDArray[np.float64], images: Images) -> NDArray[np.bool_]:
    """Where an interval cannot be said: a subset, or one of the average's, of one photograph."""
    lonely = (evaluated > 0).sum(axis=0) < 2  # noqa: PLR2004 - two is the least that can differ
    return np.append(lonely, lonely[images.eight].any()) if images.eight else lonely
