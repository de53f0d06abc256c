"""Measured shares of errors beside those of the paper's table 4 and figure 1(d).

The paper's Fine-Er is by GPT-4o; here it stands once for each judge that spoke, who is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import FLAG, MODEL, REAL, TEXT, columns, measured, stack
from covar_gen.evaluation.analyses.error_evidence import (
    BACKGROUND,
    FIGURE_MODEL,
    FINE,
    PRINTED,
    part_sums,
    parts_of,
    published_errors,
)
from covar_gen.evaluation.analyses.error_sources import DEFAULT, METHOD, kinds
from covar_gen.evaluation.analyses.known_data import KnownData, known_data
from covar_gen.evaluation.analyses.marks import EIGHT, images_of, marks_of
from covar_gen.evaluation.analyses.published import beside, published
from covar_gen.evaluation.explained import Explained, Judged, explained
from covar_gen.evaluation.judgements import judgements
from covar_gen.evaluation.metrics.intervals import (
    REPLICATES,
    SEED,
    Estimate,
    bootstrap,
    ratio,
)
from covar_gen.evaluation.results import Results

TABLE, FIGURE = "table 4", "figure 1(d)"
ERROR_RATE = "error rate"
_FEWEST = 2
"""Photographs that an interval needs."""

COMPARED_ERRORS = columns(
    place=(TEXT, "where the paper reports it"),
    statistic=(TEXT, "`BG-Er`, `Fine-Er`: percent of the errors; `error rate`: of the images"),
    model=(TEXT, MODEL),
    data=(TEXT, "the subset, or the data set of the figure"),
    known_by=(TEXT, "by what the images are known to be of that data set; null for subsets"),
    method=(TEXT, f"{METHOD}; null for an error rate"),
    default=(FLAG, f"{DEFAULT}; null for an error rate"),
    judge=(TEXT, "who judged here which classes look alike (the paper: GPT-4o); null without"),
    **measured("measured", "what was measured here, percent"),
    unscored=(REAL, "errors that would be Fine-Er if their classes, not judged, looked alike"),
    published=(REAL, "what the paper reports, percent"),
    difference=(REAL, "measured minus published, percentage points"),
    inside=(FLAG, "whether the published number lies in the interval, rounding allowed for"),
)


def compare_errors(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """BG-Er, Fine-Er and error rates beside the published ones.

    Every explanation of a model's errors has rows of its own, Fine-Er for every judge. For figure
    1(d) the images have to be known as of its data sets: covar_gen.evaluation.analyses.known_data.

    Args:
        results: an evaluation whose errors were explained.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of COMPARED_ERRORS; no rows where no model of the paper was explained.
    """
    known = {data.name: data for data in known_data(results)}
    there = explained(results)
    said = published_errors(list(dict.fromkeys(found.model for found in there)))
    judges = [Judged(one.judge, one.similar) for one in judgements(results)]
    rows = list(_rates(results, known, replicates, seed))
    for found in there:
        if found.model not in said.models:
            continue
        place = said.models.index(found.model)
        shown = {
            kind: dict(zip(said.parts, said.shares[kind][0, place], strict=True))
            for kind in (BACKGROUND, FINE)
        }
        for one in _shares(results, found, judges, replicates, seed):
            value = shown[one["kind"]].get(one["data"], np.nan)
            if not np.isnan(value):
                rows.append(_row(found, one, float(value), known))
    return stack(COMPARED_ERRORS, [{key: [value] for key, value in row.items()} for row in rows])


def _shares(
    results: Results, found: Explained, judges: list[Judged], replicates: int, seed: int
) -> Iterator[dict[str, Any]]:
    """BG-Er, and Fine-Er by each judge, of every part of the data."""
    images = images_of(results)
    parts = parts_of(results, images)
    # Who drives an error does not hang on the judge.
    for kind, pairs in [(BACKGROUND, Judged("", {})), *((FINE, each) for each in judges)]:
        marks = kinds(found, pairs)
        judge = pairs.judge or None
        whole = np.ones(len(found.rows), bool)
        chosen = [whole, marks[kind].astype(bool), marks["unscored"].astype(bool)]
        sums = [part_sums(images, parts, found.rows[each]) for each in chosen]
        estimate = _share(sums[:2], replicates, seed)
        unscored = 100 * ratio(sums[2].sum(axis=0), sums[0].sum(axis=0))
        for place, data in enumerate(parts):
            yield {
                "kind": kind,
                "data": data,
                "judge": judge,
                "ends": tuple(float(end[place]) for end in estimate),
                "unscored": float(unscored[place]) if kind == FINE else np.nan,
            }


def _rates(
    results: Results, known: dict[str, KnownData], replicates: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Shares of the images that are errors, of the data sets of the figure."""
    if FIGURE_MODEL not in results.models():
        return
    images, marks = images_of(results), marks_of(results, FIGURE_MODEL)
    for row in published("figure1d"):
        data = known.get(row["dataset"])
        if data is None or not row["error_percent"]:
            continue
        wrong = marks.ok & ~marks.top1
        parts = {data.name: data.chosen}
        sums = [part_sums(images, parts, np.flatnonzero(each)) for each in (marks.ok, wrong)]
        estimate = _share(sums, replicates, seed)
        yield {
            "place": FIGURE,
            "statistic": ERROR_RATE,
            "model": FIGURE_MODEL,
            "data": data.name,
            "known_by": data.known_by,
            "method": None,
            "default": None,
            "judge": None,
            "unscored": np.nan,
            **beside(tuple(float(end[0]) for end in estimate), float(row["error_percent"])),
        }


def _share(sums: list[NDArray[np.float64]], replicates: int, seed: int) -> Estimate:
    """Percent of the second of the first, per part, both float64 (S, T)."""
    width = sums[0].shape[1]

    def statistic(given: NDArray[np.float64]) -> NDArray[np.float64]:
        return 100 * ratio(given[:, width:], given[:, :width])

    found = bootstrap(np.hstack(sums), statistic, replicates=replicates, seed=seed)
    return found.without((sums[0] > 0).sum(axis=0) < _FEWEST)


def _row(
    found: Explained, one: dict[str, Any], said: float, known: dict[str, KnownData]
) -> dict[str, Any]:
    data = str(one["data"])
    return {
        "place": TABLE if data in EIGHT else FIGURE,
        "statistic": PRINTED[one["kind"]],
        "model": found.model,
        "data": data,
        "known_by": known[data].known_by if data in known else None,
        "method": found.method,
        "default": found.default,
        "judge": one["judge"],
        "unscored": one["unscored"],
        **beside(one["ends"], said),
    }
