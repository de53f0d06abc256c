"""How far each class's accuracy falls against its original photographs.

The paper's figures 6 (`bg_varied`), 8 (mean and maximum over the subsets), 15-18 (several models)
and 20 (the other subsets) are rows of this table. A drop is positive where accuracy falls.

A class's interval is over the photographs of that class, drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import (
    CLASS_NAME,
    LABEL,
    MODEL,
    N_IMAGES,
    N_SOURCES,
    REAL,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import (
    ORIGINAL,
    Images,
    Marks,
    image_columns,
    images_of,
    marks_of,
)
from covar_gen.evaluation.metrics.clusters import sums_by
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, interval, ratio, resample
from covar_gen.evaluation.results import Results

MEAN = "mean"
MAXIMUM = "maximum"

CLASS_DROPS = columns(
    model=(TEXT, MODEL),
    subset=(TEXT, "which variation; `mean` and `maximum`: over those of the eight that are there"),
    label=(WHOLE, LABEL),
    class_name=(TEXT, CLASS_NAME),
    class_id=(WHOLE, "the class's number in the data's own list; null where it has none"),
    n_images=(WHOLE, N_IMAGES),
    n_sources=(WHOLE, N_SOURCES),
    accuracy_original=(REAL, "top-1 accuracy on the class's original photographs, percent"),
    accuracy=(REAL, "top-1 accuracy on the subset, percent; its mean or minimum over subsets"),
    **measured("drop", "accuracy on the originals minus accuracy, percentage points"),
    **measured("relative", "the drop in percent of the accuracy on the originals"),
    worst_subset=(TEXT, "for `maximum` the subset of the largest drop; else null"),
)

Real = NDArray[np.float64]


class ByClass(NamedTuple):
    """Accuracies of M models per class and subset, of the data and of R replicates.

    Attributes:
        labels: int64 (L,), the classes that have images.
        images: int64 (M, L, T), images evaluated.
        sources: int64 (M, L, T), photographs they come from.
        together: int64 (M, L), photographs of all the eight subsets.
        accuracy: float64 (1 + R, M, L, T), percent; the data itself first; NaN without images,
            and in the replicates where fewer than two photographs leave nothing to draw. Models
            are drawn together, classes independently.
    """

    labels: NDArray[np.int64]
    images: NDArray[np.int64]
    sources: NDArray[np.int64]
    together: NDArray[np.int64]
    accuracy: Real


def class_drops(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """Drops per model, class and subset, and their mean and maximum over the subsets.

    Args:
        results: an evaluation.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of CLASS_DROPS; no rows where the data has no original photographs. A maximum
        over subsets is drawn anew in each replicate, so that its interval leans upwards a little.
    """
    images = images_of(results)
    base = images.place(ORIGINAL)
    if base is None or len(images.subsets) == 1:
        return stack(CLASS_DROPS, [])
    ids = class_ids(results, images)
    parts = []
    for model in results.models():
        found = by_class(images, [marks_of(results, model)], replicates, seed)
        named = {
            "model": model,
            "label": found.labels,
            "class_name": [results.classes.names[label] for label in found.labels],
            "class_id": [ids.get(int(label)) for label in found.labels],
        }
        parts += [named | part for part in _parts(images, base, found)]
    return stack(CLASS_DROPS, parts)


def class_ids(results: Results, images: Images) -> dict[int, int]:
    """Numbers of the classes in the data's own list, by label; empty where it has none."""
    if "class_id" not in image_columns(results):
        return {}
    numbers = results.images(["class_id"])["class_id"].to_numpy()
    labels, first = np.unique(images.labels, return_index=True)
    return {
        int(label): int(number)
        for label, number in zip(labels, numbers[first], strict=True)
        if number == number  # noqa: PLR0124 - a null reads as NaN
    }


def by_class(
    images: Images, models: Sequence[Marks], replicates: int = REPLICATES, seed: int = SEED
) -> ByClass:
    """Accuracies per class and subset, with replicates that draw each class's photographs."""
    pairs, owner = np.unique(
        images.labels * images.source_count + images.sources, return_inverse=True
    )
    classes = pairs // images.source_count
    shape = (len(pairs), len(images.subsets))
    sums = np.stack(
        [
            sums_by(owner[chosen], images.subset[chosen], shape)
            for marks in models
            for chosen in (marks.ok, marks.top1)
        ],
        axis=1,
    ).reshape(len(pairs), len(models), 2, shape[1])
    labels, starts = np.unique(classes, return_index=True)
    accuracy = np.empty((1 + replicates, len(models), len(labels), shape[1]))
    for place, mine in enumerate(np.split(sums, starts[1:])):
        drawn = resample(
            mine.reshape(len(mine), -1), replicates=replicates, seed=(seed, int(labels[place]))
        ).reshape(replicates, len(models), 2, -1)
        whole = np.concatenate([mine.sum(axis=0)[None], drawn])
        accuracy[:, :, place] = 100 * ratio(whole[:, :, 1], whole[:, :, 0])
    there = sums[:, :, 0] > 0
    any_of_eight = there[:, :, images.eight].any(axis=2)
    sources = np.add.reduceat(there, starts, dtype=np.int64).transpose(1, 0, 2)
    accuracy[1:, sources < 2] = np.nan  # noqa: PLR2004 - two is the least that can differ
    return ByClass(
        labels,
        np.add.reduceat(sums[:, :, 0], starts).astype(np.int64).transpose(1, 0, 2),
        sources,
        np.add.reduceat(any_of_eight, starts, dtype=np.int64).T,
        accuracy,
    )


def over_subsets(accuracy: Real) -> tuple[Real, Real]:
    """Mean and minimum over the last axis, of the numbers that are there; NaN if none is."""
    there = ~np.isnan(accuracy)
    mean = ratio(np.where(there, accuracy, 0.0).sum(axis=-1), there.sum(axis=-1).astype(float))
    least = np.where(there, accuracy, np.inf).min(axis=-1)
    return mean, np.where(np.isinf(least), np.nan, least)


def _parts(images: Images, base: int, found: ByClass) -> list[dict[str, Any]]:
    every, original = found.accuracy[:, 0], found.accuracy[:, 0, :, base]
    parts = []
    for place, name in enumerate(images.subsets):
        if place != base:
            counts = {
                "n_images": found.images[0, :, place],
                "n_sources": found.sources[0, :, place],
            }
            shown = _drop(original, every[..., place])
            parts.append({"subset": name, **counts, **shown, "worst_subset": None})
    if images.eight:
        scored = every[..., images.eight]
        counts = {
            "n_images": found.images[0][:, images.eight].sum(axis=1),
            "n_sources": found.together[0],
        }
        mean, least = over_subsets(scored)
        few = (found.sources[0][:, images.eight] < 2).any(axis=1)  # noqa: PLR2004 - as above
        mean[1:, few] = least[1:, few] = np.nan
        order = [images.subsets[place] for place in images.eight]
        lowest = np.where(np.isnan(scored[0]), np.inf, scored[0]).argmin(axis=1)
        worst = [None if np.isnan(least[0, i]) else order[k] for i, k in enumerate(lowest)]
        for name, values, subset in ((MEAN, mean, None), (MAXIMUM, least, worst)):
            shown = _drop(original, values)
            parts.append({"subset": name, **counts, **shown, "worst_subset": subset})
    return parts


def _drop(original: Real, mine: Real) -> dict[str, Any]:
    """Columns of a drop; both are (1 + R, L), the data itself first."""
    drop = original - mine
    rows: dict[str, Any] = {"accuracy_original": original[0], "accuracy": mine[0]}
    for name, values in (("drop", drop), ("relative", 100 * ratio(drop, original))):
        low, high = interval(values[1:])
        rows |= {name: values[0], f"{name}_low": low, f"{name}_high": high}
    return rows
