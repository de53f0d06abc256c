"""What errors are made of: background, fine-grained confusion, or something else (table 4).

All shares are of all errors of a subset, so that nothing can leave the denominator: errors without
a mask, with a flat map, or with a margin too thin to decide are shares of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.accuracy import names, too_few, totals, with_average
from covar_gen.evaluation.analyses.columns import (
    FLAG,
    MODEL,
    REAL,
    SUBSET,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import Images, images_of
from covar_gen.evaluation.explained import Explained, Judged, explained, judged
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, bootstrap, ratio
from covar_gen.evaluation.metrics.regions import MARGIN, THRESHOLD
from covar_gen.evaluation.results import Results
from covar_gen.evaluation.rows import MARGINS, THRESHOLDS

SHARES = {
    "background": "errors driven by the background (the paper's BG-Er), percent of all errors",
    "fine": "driven by the object, and the two classes look alike (Fine-Er), percent",
    "other": "driven by the object, and the two classes do not look alike, percent",
    "unscored": "driven by the object, and nobody judged the two classes, percent",
    "undecided": "overlaps too close to decide, or a map that says nothing, percent",
    "unexplained": "without a mask, or an image that could not be explained, percent",
    "mass": "mean share of the map's positive mass on the background, percent",
    "chance": "what would be called background-driven if each map were a random one of the same "
    "values, percent of all errors",
    "excess": "errors whose map has more of its mass on the background than the background fills "
    "of what the model saw: background-driven without a threshold, percent of all errors",
    "excess_chance": "what `excess` would hold of such random maps, percent of all errors",
}

METHOD = "the attribution method and its options"
DEFAULT = "whether the method has the options that it has where none is given"
ERROR_SOURCES = columns(
    model=(TEXT, MODEL),
    method=(TEXT, METHOD),
    default=(FLAG, DEFAULT),
    judge=(TEXT, "who judged which classes look alike; empty where nobody did"),
    subset=(TEXT, SUBSET),
    n_errors=(WHOLE, "misclassified images"),
    **{
        key: kind
        for name, meaning in SHARES.items()
        for key, kind in measured(name, meaning).items()
    },
)

SENSITIVITY = columns(
    model=(TEXT, MODEL),
    method=(TEXT, METHOD),
    default=(FLAG, DEFAULT),
    layers=(TEXT, "the method's option: where clusters are masked; null for a method without"),
    clusters=(WHOLE, "the method's option: K of K-means; null for a method without"),
    subset=(TEXT, SUBSET),
    threshold=(REAL, "share of the map's maximum from which on a pixel belongs to the region"),
    margin=(REAL, "smallest difference of the overlaps that decides"),
    n_errors=(WHOLE, "misclassified images"),
    **{
        key: kind
        for name in ("background", "undecided", "chance", "excess", "mass")
        for key, kind in measured(name, SHARES[name]).items()
    },
)


def error_sources(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """Shares of the errors by what drives them, per model, method and subset.

    Args:
        results: an evaluation whose errors were explained by `covar-gen errors`.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of ERROR_SOURCES; no rows where nothing was explained.
    """
    images, pairs = images_of(results), judged(results)
    parts = []
    for found in explained(results):
        about = {
            "model": found.model,
            "method": found.method,
            "default": found.default,
            "judge": pairs.judge,
        }
        marks = kinds(found, pairs)
        rows = _rows(images, found, list(marks.values()), replicates, seed)
        parts.append({**about, **_named(rows, list(marks))})
    return stack(ERROR_SOURCES, parts)


def sensitivity(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """How the share of background-driven errors hangs on threshold, margin, layers and K.

    Layers and K are options of the method: `covar-gen errors DIR --sweep` explains the errors with
    several. Mass and excess have no threshold, and are the same in all rows of a method.

    Returns:
        The columns of SENSITIVITY.
    """
    images = images_of(results)
    parts = []
    for found in explained(results):
        ways = [(threshold, margin) for threshold in THRESHOLDS for margin in MARGINS]
        marks = [mark for way in ways for mark in _judged_at(found, *way)]
        fixed = [found.excess, found.mass]
        rows = _rows(images, found, [*marks, *fixed], replicates, seed)
        about = {
            "model": found.model,
            "method": found.method,
            "default": found.default,
            "layers": found.options.get("layers"),
            "clusters": found.options.get("clusters"),
        }
        for place, (threshold, margin) in enumerate(ways):
            chosen = [3 * place, 3 * place + 1, 3 * place + 2, len(marks), len(marks) + 1]
            shares = rows._replace(estimates=[rows.estimates[each] for each in chosen])
            named = _named(shares, ["background", "undecided", "chance", "excess", "mass"])
            parts.append({**about, "threshold": threshold, "margin": margin, **named})
    return stack(SENSITIVITY, parts)


def _judged_at(found: Explained, threshold: float, margin: float) -> list[NDArray[Any]]:
    """Background-driven, undecided, and chance of being background-driven, error by error."""
    background, _, undecided = drivers(found, threshold, margin)
    chance = found.chance_each[:, THRESHOLDS.index(threshold), MARGINS.index(margin)]
    return [background, undecided, _of_all(found, chance)]


def _of_all(found: Explained, chance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Chance error by error, comparable with the shares: 0 where no verdict can be given."""
    return np.where(found.ok & ~found.flat, chance, 0.0)


def drivers(
    found: Explained, threshold: float = THRESHOLD, margin: float = MARGIN
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which errors are driven by the background, by the object, and which are undecided.

    Args:
        found: explained errors, E of them.
        threshold: one of THRESHOLDS.
        margin: smallest difference that decides.

    Returns:
        Three times bool (E,), disjoint; errors without overlaps are in none of them.
    """
    place = THRESHOLDS.index(threshold)
    on, off = (each[:, place].astype(float) for each in (found.on_object, found.on_background))
    difference = off - on
    decided = found.ok & ~found.flat & (np.abs(difference) >= margin) & (difference != 0)
    return decided & (difference > 0), decided & (difference < 0), found.ok & ~decided


def kinds(found: Explained, pairs: Judged) -> dict[str, NDArray[np.floating] | NDArray[np.bool_]]:
    """The columns of SHARES, error by error: booleans, and mass and chance in [0, 1]."""
    background, foreground, undecided = drivers(found)
    answers = [
        pairs.similar.get((int(truth), int(said)))
        for truth, said in zip(found.labels, found.predicted, strict=True)
    ]
    similar = np.array([answer is True for answer in answers], bool)
    different = np.array([answer is False for answer in answers], bool)
    return {
        "background": background,
        "fine": foreground & similar,
        "other": foreground & different,
        "unscored": foreground & ~similar & ~different,
        "undecided": undecided,
        "unexplained": ~found.ok,
        "mass": found.mass,
        "chance": _of_all(found, found.chance),
        "excess": found.excess,
        "excess_chance": _of_all(found, found.chance_excess),
    }


class _Rows(NamedTuple):
    """Shares per subset, in the subsets' order, the average last.

    Attributes:
        subsets: their names.
        errors: how many each has.
        estimates: value, low and high of each mark, float64 per subset.
    """

    subsets: list[str]
    errors: list[int]
    estimates: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]


def _rows(
    images: Images,
    found: Explained,
    marks: Sequence[NDArray[Any]],
    replicates: int,
    seed: int,
) -> _Rows:
    """Each mark as a share of the errors, per subset and on average, with its interval.

    There is no interval where all errors, or all that a mean is over, are of one photograph.
    """
    width = len(images.subsets)
    sums = [_sums(images, found.rows, np.ones(len(found.rows)))]
    for mark in marks:
        values = np.asarray(mark, np.float64)
        there = ~np.isnan(values)
        # Mass is a mean over the errors that have one; the others are over all errors.
        sums.append(_sums(images, found.rows, np.where(there, values, 0.0)))
        sums.append(_sums(images, found.rows, there.astype(np.float64)))

    def statistic(given: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = given.reshape(len(given), 1 + 2 * len(marks), width)
        return with_average(100 * ratio(counts[:, 1::2], counts[:, 2::2]), images)

    estimate = bootstrap(np.hstack(sums), statistic, replicates=replicates, seed=seed)
    estimate = estimate.without(np.stack([too_few(each, images) for each in sums[2::2]]))
    return _Rows(
        names(images),
        totals(sums[0].sum(axis=0), images),
        list(zip(estimate.value, estimate.low, estimate.high, strict=True)),
    )


def _named(rows: _Rows, marks: Sequence[str]) -> dict[str, Any]:
    """The rows as columns, each mark with its interval."""
    found: dict[str, Any] = {"subset": rows.subsets, "n_errors": rows.errors}
    for name, (value, low, high) in zip(marks, rows.estimates, strict=True):
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return found


def _sums(
    images: Images, rows: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sums of values over the errors of each source in each subset: float64 (S, T)."""
    width = len(images.subsets)
    place = images.sources[rows] * width + images.subset[rows]
    found = np.bincount(place, weights=values, minlength=images.source_count * width)
    return found.astype(np.float64).reshape(images.source_count, width)
