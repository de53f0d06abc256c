"""Images to look at: those that every model gets wrong, and those that models disagree about.

They are chosen by the stored predictions alone, the same ones each time, and are read from where
the data was when it was evaluated. Where it is no longer there, the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.errors import CovarError, EvaluationFolderError
from covar_gen.evaluation.report.thumbnails import thumbnail
from covar_gen.evaluation.results import Results

if TYPE_CHECKING:
    from covar_gen.evaluation.data import Data

WANTED = 8
"""Examples of a kind, shared by the subsets; at least one for each subset."""
ORIGINAL = "original"

Kind = Literal["missed", "divided"]
CHOSEN: dict[Kind, str] = {
    "missed": (
        "For each subset, of the images that every model gets wrong, those with the largest mean "
        "margin: the probability of the predicted class minus that of the true one."
    ),
    "divided": (
        "For each subset, of the images that some models get right and others wrong, those that "
        "divide the models most evenly; of equals, those with the largest mean margin of the "
        "models that are wrong."
    ),
}
RULE = "A photograph is shown once in each list while there are others; of equals the first row."


@dataclass(frozen=True)
class Answer:
    """What a model takes an image for.

    Attributes:
        model: its name.
        predicted: the class with the largest logit.
        probability: of that class: softmax over all classes, in [0, 1].
        true: probability of the true class.
        right: whether the two are one class.
    """

    model: str
    predicted: str
    probability: float
    true: float
    right: bool


@dataclass(frozen=True)
class Example:
    """An image with the models' answers.

    Attributes:
        kind: why it was chosen.
        key: of the image.
        subset: of the image.
        label: name of the true class.
        about: further facts, such as its background.
        answers: one per model.
        picture: the image as a data: URI; None where it cannot be read.
        original: the photograph it comes from, likewise; None where that is not in the data, or
            is the image itself.
        original_right: how many models get the photograph right; None without one.
    """

    kind: Kind
    key: str
    subset: str
    label: str
    about: tuple[str, ...]
    answers: tuple[Answer, ...]
    picture: str | None
    original: str | None
    original_right: int | None

    @property
    def mistakes(self) -> list[tuple[str, int, float]]:
        """Wrong classes, how many models say so, their largest probability; the most first."""
        found: dict[str, list[float]] = {}
        for one in self.answers:
            if not one.right:
                found.setdefault(one.predicted, []).append(one.probability)
        listed = [(name, len(chances), max(chances)) for name, chances in found.items()]
        return sorted(listed, key=lambda one: (-one[1], -one[2], one[0]))


@dataclass(frozen=True)
class Scores:
    """How images fare with all models together.

    Attributes:
        known: bool (N,), no model rejected the image.
        wrong: int32 (N,), models that get it wrong.
        margin: float64 (N,), mean margin of those models; 0 where there are none.
    """

    known: NDArray[np.bool_]
    wrong: NDArray[np.int32]
    margin: NDArray[np.float64]


def examples(results: Results, models: Sequence[str]) -> tuple[list[Example], str]:
    """Examples, and why there are no pictures; an empty text where there are.

    Args:
        results: the evaluation folder.
        models: complete models of it, in the order of the answers.
    """
    chosen = choose(results, models)
    if not chosen:
        return [], "Every model gets every image right: there is nothing to show."
    try:
        data = open_images(results)
    except (CovarError, OSError) as error:
        said = error.what if isinstance(error, CovarError) else str(error.strerror or error)
        return [], f"The images are no longer where they were evaluated from ({said})."
    rows = [row for _, row in chosen]
    originals = _originals(results, rows)
    asked = sorted({*rows, *(row for row in originals if row is not None)})
    answers = _answers(results, models, asked)
    images = results.images().take(asked).to_pylist()
    facts = dict(zip(asked, images, strict=True))
    made = [
        _example(kind, row, original, facts, answers, data, results)
        for (kind, row), original in zip(chosen, originals, strict=True)
    ]
    lost = sum(one.picture is None for one in made)
    return made, f"{lost} of these images cannot be read any more." if lost else ""


def choose(results: Results, models: Sequence[str]) -> list[tuple[Kind, int]]:
    """Which images to show: why, and their rows; subsets in the order of their first rows."""
    scores = _scores(results, models)
    images = results.images(["subset", "source"])
    subset = images["subset"].combine_chunks().dictionary_encode()
    source = images["source"].combine_chunks().dictionary_encode().indices.to_numpy()
    codes, count = subset.indices.to_numpy(), len(subset.dictionary)
    each = max(1, WANTED // max(count, 1))
    found: list[tuple[Kind, int]] = []
    total = len(models)
    for kind in CHOSEN:
        if kind == "missed":
            candidates = scores.known & (scores.wrong == total)
            even = np.zeros(len(codes), np.int32)
        else:
            candidates = scores.known & (scores.wrong > 0) & (scores.wrong < total)
            even = scores.wrong * (total - scores.wrong)
        seen: set[int] = set()
        for code in range(count):
            rows = np.flatnonzero(candidates & (codes == code))
            order = rows[np.lexsort((rows, -scores.margin[rows], -even[rows]))]
            found += [(kind, row) for row in _apart(order, source, seen, each)]
    return found


def _apart(
    order: NDArray[np.intp], source: NDArray[np.int32], seen: set[int], count: int
) -> list[int]:
    """The first rows of photographs not seen yet, then the first rows of all."""
    taken: list[int] = []
    for fresh in (True, False):
        for row in order:
            if len(taken) == count:
                return taken
            if int(row) not in taken and not (fresh and int(source[row]) in seen):
                taken.append(int(row))
                seen.add(int(source[row]))
    return taken


def _scores(results: Results, models: Sequence[str]) -> Scores:
    """One model's predictions are in memory at a time."""
    known = np.ones(results.count, np.bool_)
    wrong = np.zeros(results.count, np.int32)
    total = np.zeros(results.count, np.float64)
    for model in models:
        found = results.predictions(model)
        missed = found.ok & (found.true_rank != 1)
        rows = np.flatnonzero(missed)
        top = np.exp(np.float64(found.top_logits[rows, 0]) - found.logsumexp[rows])
        true = np.exp(np.float64(found.true_logit[rows]) - found.logsumexp[rows])
        total[rows] += top - true
        wrong += missed
        known &= found.ok
    return Scores(known, wrong, total / np.maximum(wrong, 1))


def _originals(results: Results, rows: Sequence[int]) -> list[int | None]:
    """For each image the row of the photograph it comes from, if that is another row."""
    images = results.images(["subset", "source"])
    source = images["source"].combine_chunks()
    places = np.flatnonzero(images["subset"].to_numpy() == ORIGINAL)
    found = dict(zip(source.take(places).to_pylist(), places.tolist(), strict=True))
    of_rows = [found.get(name) for name in source.take(list(rows)).to_pylist()]
    return [None if at == row else at for at, row in zip(of_rows, rows, strict=True)]


def _answers(
    results: Results, models: Sequence[str], rows: Sequence[int]
) -> dict[int, tuple[Answer, ...]]:
    names = results.classes.names
    found: dict[int, list[Answer]] = {row: [] for row in rows}
    for model in models:
        predictions = results.predictions(model)
        for row in rows:
            if not predictions.ok[row]:
                continue
            total = float(predictions.logsumexp[row])
            found[row].append(
                Answer(
                    model,
                    names[predictions.top_ids[row, 0]],
                    float(np.exp(float(predictions.top_logits[row, 0]) - total)),
                    float(np.exp(float(predictions.true_logit[row]) - total)),
                    bool(predictions.true_rank[row] == 1),
                )
            )
    return {row: tuple(answers) for row, answers in found.items()}


def _example(
    kind: Kind,
    row: int,
    original: int | None,
    facts: dict[int, dict[str, Any]],
    answers: dict[int, tuple[Answer, ...]],
    data: Data,
    results: Results,
) -> Example:
    fact = facts[row]
    right = None if original is None else sum(one.right for one in answers[original])
    return Example(
        kind,
        str(fact["key"]),
        str(fact["subset"]),
        results.classes.names[fact["label"]],
        about(fact),
        answers[row],
        thumbnail(data, row),
        None if original is None else thumbnail(data, original),
        right,
    )


def about(fact: Mapping[str, Any]) -> tuple[str, ...]:
    """What is told of an image beside its class and its subset.

    Args:
        fact: its row of images.parquet.
    """
    said = (fact.get("background"), _factor(fact.get("scale_factor")))
    return tuple(str(one) for one in said if one)


def _factor(scale: float | None) -> str:
    return "" if scale is None else f"1/{scale:g} of the side"


def open_images(results: Results) -> Data:
    """The data, if it still is what was evaluated.

    Raises:
        CovarError: it is not there.
        OSError: it cannot be read.
    """
    from covar_gen.evaluation.data import open_data

    place = results.about.get("place")
    if not place:
        raise EvaluationFolderError("the folder does not say where", where=results.root, mend="")
    data = open_data(**place)
    if data.identity != results.about["data"]:
        raise EvaluationFolderError("other data lies there now", where=results.root, mend="")
    return data
