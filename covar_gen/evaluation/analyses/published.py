"""Measured numbers beside those that the paper reports (manifests/paper-results)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from covar_gen.core.shipped import shipped
from covar_gen.evaluation.analyses.accuracy import accuracy
from covar_gen.evaluation.analyses.backgrounds import INCLUDED, LEFT_OUT, SOFTMAX, TOP1, scenes
from covar_gen.evaluation.analyses.class_drops import MEAN, ByClass, by_class
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
from covar_gen.evaluation.analyses.marks import AVERAGE, EIGHT, ORIGINAL, images_of, marks_of
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, interval, ratio
from covar_gen.evaluation.results import Results

MEAN_CLASS_DROP = "mean class drop"
CLASS_DROP = "class drop"
RELATIVE_CLASS_DROP = "relative class drop"
TABLE7_MODEL = "ViT-B-16-quickgelu/openai"
"""The paper does not name table 7's model; this is the one of the sections around it."""

COMPARED = columns(
    place=(TEXT, "where the paper reports it"),
    statistic=(TEXT, "what is compared: accuracies in percent, drops in percentage points"),
    model=(TEXT, MODEL),
    subset=(TEXT, SUBSET),
    wnid=(TEXT, "the class, where it is about one"),
    **measured("measured", "what was measured here"),
    published=(REAL, "what the paper reports"),
    difference=(REAL, "measured minus published"),
    inside=(FLAG, "whether the published number lies in the interval, rounding allowed for"),
)

COMPARED_BACKGROUNDS = columns(
    background=(TEXT, "the background"),
    printed_background=(TEXT, "as the paper prints it"),
    printed_class=(TEXT, "a class that the paper lists for it"),
    model=(TEXT, MODEL),
    correct=(TEXT, "whether the images answered correctly are `included` or `left out`"),
    reading=(TEXT, "`top-1`: share of the answers; `softmax`: mean probability"),
    measured=(REAL, "share of the answers, or mean probability, percent"),
    place=(WHOLE, "1 = the class with the largest value; null if it was never among the stored"),
    n_images=(WHOLE, "images before this background that are counted"),
)

_ROUNDING = 0.05
"""Half of the last digit that the paper prints."""


def published(name: str) -> list[dict[str, str]]:
    """Rows of one of the paper's tables, as the shipped CSV has them.

    Args:
        name: file of manifests/paper-results without its ending.
    """
    path = shipped("manifests") / "paper-results" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def published_accuracy() -> dict[str, dict[str, float]]:
    """Table 3: model, as it is written here -> subset or `average` -> percent."""
    return {
        f"{row['open_clip_model']}/{row['open_clip_pretrained']}": {
            subset: float(row[subset]) for subset in (*EIGHT, AVERAGE)
        }
        for row in published("table3_accuracy")
    }


def beside(ends: Sequence[float | None], said: float) -> dict[str, Any]:
    """What was measured beside what is published, and how they differ.

    Args:
        ends: the measured value and the ends of its interval; NaN or None where there is none.
        said: what the paper reports, in the same unit, printed with one decimal.

    Returns:
        The columns measured, measured_low, measured_high, published, difference and inside, which
        is None without an interval.
    """
    value, low, high = (np.nan if end is None else float(end) for end in ends)
    unsaid = np.isnan(low) or np.isnan(high)
    return {
        "measured": value,
        "measured_low": low,
        "measured_high": high,
        "published": said,
        "difference": value - said,
        "inside": None if unsaid else bool(low - _ROUNDING <= said <= high + _ROUNDING),
    }


def compare_paper(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """Measured beside published: accuracies of table 3 and the drops that the text states.

    An average, or a class's mean drop, is compared only where all of the eight subsets were
    evaluated. `inside` is null where a subset, or a class in it, has fewer than two photographs.

    Args:
        results: an evaluation.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of COMPARED; no rows where no model of the paper was evaluated.
    """
    rows = [
        *_accuracies(results, replicates, seed),
        *_drops(results, replicates, seed),
    ]
    return stack(COMPARED, [{name: [value] for name, value in row.items()} for row in rows])


def _accuracies(results: Results, replicates: int, seed: int) -> Iterator[dict[str, Any]]:
    known = published_accuracy()
    if not set(known) & set(results.models()):
        return
    whole = len(images_of(results).eight) == len(EIGHT)
    for row in accuracy(results, replicates=replicates, seed=seed).to_pylist():
        said = known.get(row["model"], {}).get(row["subset"])
        if said is not None and (whole or row["subset"] != AVERAGE):
            ends = (row["accuracy"], row["accuracy_low"], row["accuracy_high"])
            yield _row("table 3", "accuracy", row["model"], row["subset"], None, ends, said)


def _drops(results: Results, replicates: int, seed: int) -> Iterator[dict[str, Any]]:
    images, wnids = images_of(results), results.classes.wnids
    if ORIGINAL not in images.subsets:
        return
    evaluated = set(results.models())
    there = {*images.subsets, *([MEAN] if len(images.eight) == len(EIGHT) else [])}
    found: dict[str, ByClass] = {}
    for row in published("drops"):
        model, subset, wnid = row["model"], row["subset"], row["wnid"] or None
        if model not in evaluated or subset not in there:
            continue
        if model not in found:
            found[model] = by_class(images, [marks_of(results, model)], replicates, seed)
        mine = found[model]
        original = mine.accuracy[:, 0, :, images.subsets.index(ORIGINAL)]
        falls = (
            mine.accuracy[:, 0][..., images.eight].mean(axis=-1)
            if subset == MEAN
            else mine.accuracy[:, 0, :, images.subsets.index(subset)]
        )
        drop = original - falls
        if row["statistic"] == RELATIVE_CLASS_DROP:
            drop = 100 * ratio(drop, original)
        if wnid is None:
            values = drop.mean(axis=1)
        elif wnid in wnids and wnids.index(wnid) in mine.labels:
            values = drop[:, int(np.flatnonzero(mine.labels == wnids.index(wnid))[0])]
        else:
            continue
        low, high = interval(values[1:])
        ends = (values[0], low, high)
        said = float(row["published"])
        yield _row(row["place"], row["statistic"], model, subset, wnid, ends, said)


def _row(
    place: str,
    statistic: str,
    model: str,
    subset: str,
    wnid: str | None,
    ends: tuple[Any, Any, Any],
    said: float,
) -> dict[str, Any]:
    return {
        "place": place,
        "statistic": statistic,
        "model": model,
        "subset": subset,
        "wnid": wnid,
        **beside(ends, said),
    }


def compare_backgrounds(results: Results, *, model: str = TABLE7_MODEL) -> pa.Table:
    """Where the classes that table 7 lists for a background stand in what was measured.

    Args:
        results: an evaluation.
        model: which model's predictions.

    Returns:
        The columns of COMPARED_BACKGROUNDS; no rows where the model was not evaluated or the data
        has none of these backgrounds.
    """
    if model not in results.models():
        return stack(COMPARED_BACKGROUNDS, [])
    wnids = {wnid: label for label, wnid in enumerate(results.classes.wnids) if wnid}
    listed = published("table7_backgrounds")
    parts = []
    for scene in scenes(results, results.predictions(model)):
        rows = [row for row in listed if row["background"] == scene.name]
        for correct in (INCLUDED, LEFT_OUT):
            kept = np.ones(len(scene.right), bool) if correct == INCLUDED else ~scene.right
            for reading in (TOP1, SOFTMAX):
                values = scene.standing(len(results.classes.names), reading, kept)
                for row in rows:
                    labels = [wnids[wnid] for wnid in row["wnids"].split() if wnid in wnids]
                    value = max((float(values[label]) for label in labels), default=0.0)
                    place = 1 + int((values > value).sum()) if value > 0 else None
                    parts.append(
                        {
                            "background": scene.name,
                            "printed_background": row["printed_background"],
                            "printed_class": row["printed_class"],
                            "model": model,
                            "correct": correct,
                            "reading": reading,
                            "measured": [value],
                            "place": place,
                            "n_images": int(kept.sum()),
                        }
                    )
    return stack(COMPARED_BACKGROUNDS, parts)
