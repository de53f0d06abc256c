"""Which classes a background calls for: the top predicted classes per background (table 7).

The paper averages predictions over all images of a background and lists the most frequently
predicted classes, which are two readings. Both are here:

- `top-1`: the share of the images for which the class is the model's answer;
- `softmax`: the class's mean probability. Only the best ten classes of an image are stored, so
  that the mean is a lower bound; `omitted` says how much probability, on average, is not stored.

Each also without the images that are answered correctly (`correct` = `left out`): a background on
which zebras stand does not call for zebras if the zebras are recognised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import (
    CLASS_NAME,
    LABEL,
    MODEL,
    REAL,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import BG_VARIED, coded, image_columns, images_of
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, bootstrap, ratio
from covar_gen.evaluation.metrics.predictions import omitted_mass, probabilities
from covar_gen.evaluation.results import Predictions, Results

SHOWN = 5
TOP1, SOFTMAX = "top-1", "softmax"
INCLUDED, LEFT_OUT = "included", "left out"

TOP_CLASSES = columns(
    model=(TEXT, MODEL),
    background_id=(
        WHOLE,
        "number of the background in the data's own list; null where it has none",
    ),
    background=(TEXT, "the background"),
    correct=(TEXT, "whether the images answered correctly are `included` or `left out`"),
    reading=(TEXT, "`top-1`: share of the answers; `softmax`: mean probability"),
    n_images=(WHOLE, "images before this background that are counted"),
    place=(WHOLE, "1 = the class with the largest value"),
    label=(WHOLE, LABEL),
    class_name=(TEXT, CLASS_NAME),
    **measured("value", "share of the answers, or mean probability, percent"),
    omitted=(REAL, "mean probability of all classes that are not stored, percent; null for top-1"),
)


def top_classes(
    results: Results,
    *,
    shown: int = SHOWN,
    subset: str | None = BG_VARIED,
    replicates: int = REPLICATES,
    seed: int = SEED,
) -> pa.Table:
    """The most predicted classes per model and background, in both readings.

    Args:
        results: an evaluation.
        shown: classes per background.
        subset: of which images; None: of all that have a background, and so it is where the data
            has no subset of that name.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of TOP_CLASSES; no rows where nothing is known of backgrounds.
    """
    parts = [
        {"model": model, **part}
        for model in results.models()
        for one in scenes(results, results.predictions(model), subset)
        for part in _parts(results, one, shown, replicates, seed)
    ]
    return stack(TOP_CLASSES, parts)


@dataclass(frozen=True)
class Scene:
    """What a model says before one background.

    Attributes:
        number: of the background in the data's list, None where it has none.
        name: of the background.
        right: bool (n,), where the model is right.
        photographs: int64 (n,), numbers of the source photographs among all of the evaluation.
        ids: int32 (n, k), classes with the largest logits, best first.
        chances: float64 (n, k), their softmax probabilities.
    """

    number: int | None
    name: str
    right: NDArray[np.bool_]
    photographs: NDArray[np.int64]
    ids: NDArray[np.int32]
    chances: NDArray[np.float64]

    def standing(self, classes: int, reading: str, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Value of every class, percent, float64 (classes,), over the images kept."""
        ids = self.ids[kept]
        one = reading == TOP1
        weights = np.ones(len(ids)) if one else self.chances[kept].ravel()
        total = np.bincount(ids[:, 0] if one else ids.ravel(), weights, classes)
        found: NDArray[np.float64] = 100 * total / max(int(kept.sum()), 1)
        return found


def scenes(
    results: Results, predicted: Predictions, subset: str | None = BG_VARIED
) -> Iterator[Scene]:
    """What a model says, background by background, in the order of their numbers and names."""
    known = set(image_columns(results))
    if "background" not in known:
        return
    images = images_of(results)
    names, codes = coded(results.images(["background"])["background"])
    there = predicted.ok & (codes >= 0)
    place = images.place(subset) if subset else None
    if place is not None:
        there &= images.subset == place
    rows = np.flatnonzero(there)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    found, starts = np.unique(codes[rows], return_index=True)
    numbers = _numbers(results, rows[starts]) if "background_id" in known else [None] * len(found)
    listed = [
        (number is None, number or 0, names[code], number, mine)
        for code, number, mine in zip(found, numbers, np.split(rows, starts[1:]), strict=False)
    ]
    for _, _, name, number, mine in sorted(listed, key=lambda one: one[:3]):
        yield Scene(
            number,
            str(name),
            predicted.true_rank[mine] == 1,
            images.sources[mine],
            predicted.top_ids[mine],
            probabilities(predicted.top_logits[mine], predicted.logsumexp[mine]),
        )


def _numbers(results: Results, rows: NDArray[np.int64]) -> list[int | None]:
    column = results.images(["background_id"])["background_id"]
    return [None if number is None else int(number) for number in column.take(rows).to_pylist()]


def _parts(
    results: Results, scene: Scene, shown: int, replicates: int, seed: int
) -> Iterator[dict[str, Any]]:
    classes = results.classes
    sources = np.unique(scene.photographs, return_inverse=True)[1]
    asked = []
    tallies: list[NDArray[np.float64]] = []
    for correct in (INCLUDED, LEFT_OUT):
        kept = np.ones(len(scene.right), bool) if correct == INCLUDED else ~scene.right
        for reading in (TOP1, SOFTMAX):
            values = scene.standing(len(classes.names), reading, kept)
            best = np.argsort(-values, kind="stable")[:shown]
            best = best[values[best] > 0]
            asked.append((correct, reading, kept, best))
            tallies.append(_tally(scene, sources, reading, kept, best))
    widths = [tally.shape[1] for tally in tallies]

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        pieces = np.split(sums, np.cumsum(widths)[:-1], axis=1)
        return np.hstack([100 * ratio(piece[:, 1:], piece[:, :1]) for piece in pieces])

    # With fewer than two photographs left an interval cannot be said.
    few = [np.full(t.shape[1] - 1, (t[:, 0] > 0).sum() < 2) for t in tallies]  # noqa: PLR2004 - two is the least
    found = bootstrap(np.hstack(tallies), statistic, replicates=replicates, seed=seed).without(
        np.concatenate(few)
    )
    stop = 0
    for correct, reading, kept, best in asked:
        start, stop = stop, stop + len(best)
        mass = omitted_mass(scene.chances[kept]).mean() if kept.any() else np.nan
        yield {
            "background_id": scene.number,
            "background": scene.name,
            "correct": correct,
            "reading": reading,
            "n_images": int(kept.sum()),
            "place": list(range(1, len(best) + 1)),
            "label": best,
            "class_name": [classes.names[label] for label in best],
            "value": found.value[start:stop],
            "value_low": found.low[start:stop],
            "value_high": found.high[start:stop],
            "omitted": np.nan if reading == TOP1 else 100 * float(mass),
        }


def _tally(
    scene: Scene,
    owner: NDArray[np.int64],
    reading: str,
    kept: NDArray[np.bool_],
    best: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Per source: images kept, and the sum of each class's value over them: float64 (S, 1 + k)."""
    count = int(owner.max()) + 1
    sources, ids = owner[kept], scene.ids[kept]
    found = [np.bincount(sources, minlength=count)]
    for label in best:
        each = (
            ids[:, 0] == label
            if reading == TOP1
            else np.where(ids == label, scene.chances[kept], 0.0).sum(axis=1)
        )
        found.append(np.bincount(sources, each, count))
    return np.stack(found, axis=1).astype(np.float64)
