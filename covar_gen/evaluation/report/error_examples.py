"""Errors to look at: a few of each verdict, with the map that explains what the model said.

They are drawn with a fixed seed and not picked, so that they are neither the clearest nor the
oddest; the maps are those that were stored when the errors were explained. Where images or masks
are no longer there, the page says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.errors import CovarError
from covar_gen.core.seeds import generator, seed_of
from covar_gen.evaluation.analyses.error_sources import kinds
from covar_gen.evaluation.analyses.marks import images_of
from covar_gen.evaluation.explained import Explained, explained, judged, stored_maps
from covar_gen.evaluation.metrics.regions import THRESHOLD
from covar_gen.evaluation.preprocessing import Grid
from covar_gen.evaluation.report import examples as showing
from covar_gen.evaluation.report.thumbnails import explained_pair, read
from covar_gen.evaluation.results import MADE_WITH, Results, read_json
from covar_gen.evaluation.rows import THRESHOLDS

if TYPE_CHECKING:
    from covar_gen.evaluation.data import Data
    from covar_gen.evaluation.masks import Masks

WANTED = 6
"""Examples of a verdict."""
SEED = 0
VERDICTS = {
    "background": "Driven by the background",
    "fine": "Driven by the object, and the two classes look alike",
    "other": "Driven by the object, and the two classes do not look alike",
    "unscored": "Driven by the object, and nobody judged the two classes",
    "undecided": "Not decided",
    "unexplained": "Not explained",
}
"""Columns of the table error_sources -> headings, in the order of the page."""
RULE = (
    "Drawn with a fixed seed from all errors of a verdict, models, subsets and photographs in "
    "turn: neither the clearest nor the oddest ones. Left the image, right the map of the class "
    "that was predicted: red speaks for it most, blue least; the line is the object's outline, "
    "dark is what the model's crop cut off."
)


@dataclass(frozen=True)
class ErrorExample:
    """An error with the map that explains it.

    Attributes:
        verdict: a key of VERDICTS.
        key: of the image.
        subset: of the image.
        model: that is wrong.
        label: name of the true class.
        predicted: name of the class that the model says.
        about: further facts, such as its background.
        overlaps: of the region with the object and with the background, in [0, 1]; None without.
        mass: share of the map's positive mass on the background, in [0, 1]; None without.
        chance: share of random maps that would be called background-driven; None without.
        why: what the verdict lacks, in words; empty where it lacks nothing.
        picture: the image as a data: URI; None where it cannot be read.
        drawn: the map over the image, likewise; None where either is not there.
    """

    verdict: str
    key: str
    subset: str
    model: str
    label: str
    predicted: str
    about: tuple[str, ...]
    overlaps: tuple[float, float] | None
    mass: float | None
    chance: float | None
    why: str
    picture: str | None = None
    drawn: str | None = None


class Pick(NamedTuple):
    """An error that is shown.

    Attributes:
        verdict: a key of VERDICTS.
        model: that is wrong.
        place: index among the model's errors.
        row: of the image.
        draw: what the draw gave it, in [0, 2**64): the smallest come first.
        at: index among the model's candidates.
    """

    verdict: str
    model: str
    place: int
    row: int
    draw: int
    at: int = 0


def error_examples(
    results: Results, methods: Mapping[str, str]
) -> tuple[list[ErrorExample], list[str]]:
    """Errors with their maps, and what keeps them from being drawn, in sentences.

    Args:
        results: the evaluation folder.
        methods: model -> the explanation that is shown, as the tables name it.
    """
    candidates: list[Pick] = []
    kept: dict[str, Explained] = {}
    for model, method in methods.items():
        found = _explanation(results, model, method)
        if found is not None:
            mine = _candidates(results, found)
            kept[model] = _only(found, [pick.place for pick in mine])
            candidates += [pick._replace(at=at) for at, pick in enumerate(mine)]
    picks = choose(results, candidates)
    made: dict[Pick, ErrorExample] = {}
    said: list[str] = []
    data = _data(results, said)
    for model, found in kept.items():
        mine = [pick for pick in picks if pick.model == model]
        if mine:
            made |= zip(mine, _of_model(results, found, mine, data, said), strict=True)
    return [made[pick] for pick in picks], list(dict.fromkeys(said))


def choose(results: Results, candidates: Sequence[Pick]) -> list[Pick]:
    """Which candidates are shown: models, then subsets, then photographs that were shown least."""
    images = images_of(results)
    taken: list[Pick] = []
    photographs: Counter[int] = Counter()
    for verdict in VERDICTS:
        left = [pick for pick in candidates if pick.verdict == verdict]
        models: Counter[str] = Counter()
        subsets: Counter[int] = Counter()
        for _ in range(min(WANTED, len(left))):
            best = min(
                left,
                key=lambda pick: (
                    models[pick.model],
                    subsets[int(images.subset[pick.row])],
                    photographs[int(images.sources[pick.row])],
                    pick.draw,
                ),
            )
            left.remove(best)
            taken.append(best)
            models[best.model] += 1
            subsets[int(images.subset[best.row])] += 1
            photographs[int(images.sources[best.row])] += 1
    return taken


def _explanation(results: Results, model: str, method: str) -> Explained | None:
    """A model's errors as a method explains them."""
    there = (found for found in explained(results) if found.model == model)
    return next((found for found in there if found.method == method), None)


def _only(found: Explained, places: Sequence[int]) -> Explained:
    """Some of the explained errors, in the order of their places: all would fill the memory."""
    arrays: dict[str, Any] = {
        one.name: value[list(places)]
        for one in fields(found)
        if isinstance(value := getattr(found, one.name), np.ndarray)
    }
    return replace(found, **arrays, reasons=tuple(found.reasons[at] for at in places))


def _candidates(results: Results, found: Explained) -> list[Pick]:
    """For each verdict and each subset, the errors that the draw puts first."""
    rng = generator(seed_of(SEED, "error_examples", found.model))
    draws = np.asarray(rng.bit_generator.random_raw(len(found.rows)), np.uint64).reshape(-1)
    order = np.argsort(draws, kind="stable")
    subset = images_of(results).subset[found.rows]
    marks = kinds(found, judged(results))
    picks = []
    for verdict in VERDICTS:
        mine = order[np.asarray(marks[verdict], bool)[order]]
        for code in np.unique(subset[mine]):
            picks += [
                Pick(verdict, found.model, int(at), int(found.rows[at]), int(draws[at]))
                for at in mine[subset[mine] == code][:WANTED]
            ]
    return picks


def _data(results: Results, said: list[str]) -> Data | None:
    try:
        return showing.open_images(results)
    except (CovarError, OSError) as error:
        what = error.what if isinstance(error, CovarError) else str(error.strerror or error)
        said.append(f"The images are no longer where they were evaluated from ({what}).")
        return None


def _of_model(
    results: Results, found: Explained, picks: Sequence[Pick], data: Data | None, said: list[str]
) -> list[ErrorExample]:
    """The examples of one model, drawn as far as they can be."""
    maps = stored_maps(found, [pick.place for pick in picks])
    rows = results.images().take([pick.row for pick in picks]).to_pylist()
    grid = _grid(results, found.model)
    masks = _masks(results, found, said) if data else None
    examples = []
    for pick, fact, values in zip(picks, rows, maps, strict=True):
        example = _told(results, found, pick, fact)
        image = read(data, pick.row) if data else None
        if image is not None:
            mask = _mask(masks, pick.row, image)
            picture, drawn = explained_pair(image, mask, values, grid)
            example = replace(example, picture=picture, drawn=drawn)
        elif data:
            said.append("Some of these images cannot be read any more.")
        examples.append(example)
    return examples


def _told(results: Results, found: Explained, pick: Pick, fact: dict[str, Any]) -> ErrorExample:
    """An example without its pictures."""
    names, at = results.classes.names, pick.at
    threshold = THRESHOLDS.index(THRESHOLD)
    ok = bool(found.ok[at])
    why = "the map says nothing" if ok and found.flat[at] else ""
    if not ok:
        why = (found.reasons[at] or "").replace("_", " ")
    return ErrorExample(
        pick.verdict,
        str(fact["key"]),
        str(fact["subset"]),
        found.model,
        names[found.labels[at]],
        names[found.predicted[at]],
        showing.about(fact),
        (float(found.on_object[at, threshold]), float(found.on_background[at, threshold]))
        if ok
        else None,
        _known(found.mass[at]),
        _known(found.chance[at]),
        why,
    )


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _grid(results: Results, model: str) -> Grid | None:
    """The pixels that a model wants, as they stand beside its predictions."""
    made = results.made_with(results.folder(model))["model"].get("preprocessing") or {}
    if not set(Grid._fields) <= set(made):
        return None
    return Grid(**{name: made[name] for name in Grid._fields})


def _masks(results: Results, found: Explained, said: list[str]) -> Masks | None:
    """The masks that the errors were explained with, where they can be found again."""
    from covar_gen.evaluation.masks import masks_of

    content = results.table(found.model, ["content"])["content"].to_numpy()
    keys = results.images(["key"])["key"]
    digest = read_json(found.folder / MADE_WITH).get("masks")
    for place in _places(results, found):
        try:
            masks = masks_of(place, keys, content)
        except (CovarError, OSError):
            continue
        if masks.digest == digest:
            return masks
    said.append(
        "Outlines are not drawn: the masks that the errors were explained with are no longer "
        "there, or not in the folder of the images."
    )
    return None


def _places(results: Results, found: Explained) -> list[str]:
    """Where masks may lie: where those who explained the errors had them, and with the images."""
    records = [read_json(path) for path in sorted(found.folder.glob("made_with-*.json"))]
    noted = [record.get("masks") for record in records]
    return [str(place) for place in (*noted, results.about["place"].get("place")) if place]


def _mask(masks: Masks | None, row: int, image: Image) -> Mask | None:
    try:
        mask = masks.of(row) if masks else None
    except (CovarError, OSError):
        return None
    return mask if mask is not None and mask.shape == image.shape[:2] else None
