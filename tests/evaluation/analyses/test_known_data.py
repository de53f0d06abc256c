"""An evaluation is known as of a data set of the paper by what names it, never by a guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from covar_gen.core.imagenet import by_wnid
from covar_gen.evaluation.analyses.known_data import ANIMALS, EASY, HARD, IMAGENET, known_data
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]
WHOLE = tuple(range(len(by_wnid())))


class Of:
    """An evaluation of which only what is read here is there."""

    def __init__(
        self,
        base: Results,
        place: Mapping[str, str],
        data: Mapping[str, Any] | None = None,
        indices: tuple[int, ...] = WHOLE,
    ) -> None:
        import numpy as np

        self.root, self.count, self.images = base.root, base.count, base.images
        self.about = {"place": dict(place), "data": dict(data or {"kind": "folder"})}
        self.classes = base.classes.__class__((), (), np.array(indices, np.int32), np.zeros(0))


def named(results: Any) -> dict[str, list[int]]:
    return {data.name: data.chosen.nonzero()[0].tolist() for data in known_data(results)}


@pytest.mark.parametrize(
    ("place", "split", "expected"),
    [
        ("ILSVRC/imagenet-1k", "validation", [IMAGENET]),
        ("timm/imagenet-1k-wds", "validation", [IMAGENET]),
        ("ILSVRC/imagenet-1k", "train", []),
        ("someone/imagenet-1k-corrupted", "validation", []),
        ("someone/imagenette", "validation", []),
    ],
)
def test_imagenet_on_the_hub_is_known_by_its_whole_name_and_split(
    evaluation: Writer, place: str, split: str, expected: list[str]
) -> None:
    base = evaluation([{"label": 0}], {})
    data = {"kind": "hub", "id": place, "split": split}
    assert list(named(Of(base, {"place": place}, data))) == expected


def test_imagenet_in_a_folder_is_known_by_the_names_of_all_of_its_files(
    evaluation: Writer,
) -> None:
    files = [{"label": 0, "origin": f"n01440764/ILSVRC2012_val_0000{n:04d}.JPEG"} for n in (1, 2)]
    (found,) = known_data(Of(evaluation(files, {}), {"place": "/data/val"}))  # type: ignore[arg-type]
    assert (found.name, found.chosen.tolist()) == (IMAGENET, [True, True])
    assert "ILSVRC2012_val_" in found.known_by
    more = [*files, {"label": 0, "origin": "n01440764/mine.JPEG"}]
    assert named(Of(evaluation(more, {}), {"place": "/data/val"})) == {}


def test_fewer_classes_to_choose_from_make_other_errors(evaluation: Writer) -> None:
    base = evaluation([{"label": 0}], {})
    assert named(Of(base, {"place": "CounterAnimals"}, indices=WHOLE[:45])) == {}
    assert named(Of(base, {"place": "CounterAnimals"}, indices=(0,) * 1000)) == {}
    assert named(base) == {}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"place": "/data/CounterAnimal"}, ANIMALS),
        ({"place": "/data/counter_animals/LAION-final"}, ANIMALS),
        ({"place": "/data/CounterAnimals/easy"}, EASY),
        ({"place": "someone/counter-animal-hard"}, HARD),
        ({"place": "/data/CounterAnimal-common"}, EASY),
        ({"place": "/data/CounterAnimals/counter"}, HARD),
        ({"place": "someone/CounterAnimals", "split": "hard"}, HARD),
        ({"place": "someone/CounterAnimals", "name": "easy"}, EASY),
    ],
)
def test_counteranimals_and_its_halves_are_known_by_name(
    evaluation: Writer, place: dict[str, str], expected: str
) -> None:
    base = evaluation([{"label": 0}, {"label": 1}], {})
    assert named(Of(base, place)) == {expected: [0, 1]}


def test_other_folders_are_not_taken_for_counteranimals(evaluation: Writer) -> None:
    base = evaluation([{"label": 0}], {})
    for place in ("/data/animals", "/data/counter", "/counteranimals/somewhere/else"):
        assert named(Of(base, {"place": place})) == {}


def test_a_column_tells_the_halves_apart(evaluation: Writer) -> None:
    groups = ("common-grass", "counter-snow", "common-sky")
    images = [
        {"label": 0, "folder_1": "CounterAnimal", "folder_3": group, "n": 1} for group in groups
    ]
    base = evaluation(images, {})
    found = known_data(Of(base, {"place": "/data/CounterAnimal"}))  # type: ignore[arg-type]
    shown = {data.name: data.chosen.tolist() for data in found}
    assert shown == {
        EASY: [True, False, True],
        HARD: [False, True, False],
        ANIMALS: [True, True, True],
    }
    assert "folder_3" in found[0].known_by


@pytest.mark.parametrize("third", ["night", None])
def test_a_column_that_says_something_else_too_tells_nothing(
    evaluation: Writer, third: str | None
) -> None:
    images = [{"label": 0, "group": value} for value in ("easy", "hard", third)]
    base = evaluation(images, {})
    assert named(Of(base, {"place": "/data/CounterAnimal"})) == {ANIMALS: [0, 1, 2]}
