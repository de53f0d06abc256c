"""Accuracies of toys, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from covar_gen.core.store import Run
from covar_gen.toys import measure
from covar_gen.toys.measure import accuracy, by_subset, held_out
from covar_gen.toys.world import CLASSES

RECIPE = """
name = "toys"
[classes]
source = "toy_world"
size = "original"
classes = [
    {class_id = 1, class_name = "star"},
    {class_id = 2, class_name = "fish"},
    {class_id = 3, class_name = "ring"},
]
[classes.options.toy_world]
photographs = 1
edge = 32
[masks]
segmenter = "known"
[backgrounds]
editor = "toy_world"
backgrounds = [
    {background_id = 1, description = "red bricks"},
    {background_id = 2, description = "a beach"},
]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_held_out_pictures_show_all_classes_alike() -> None:
    images, names = held_out(24, typical=True)
    assert len(images) == 24
    assert {names.count(name) for name in names} == {3}
    assert not any(np.array_equal(images[0], image) for image in images[1:])


def test_accuracy_is_the_share_of_right_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images, names = held_out(8, typical=True)
    answers = np.array([0, 1, 2, 3, 0, 0, 0, 0])
    monkeypatch.setattr(measure, "predictions", lambda *_: answers)
    assert accuracy(tmp_path, images, names) == 0.5


def test_subsets_are_measured_on_the_images_that_were_made(
    steps: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = steps("run")
    seen: list[int] = []

    def star_at_first_and_ring_then(_: Path, images: list[np.ndarray], __: list[str]) -> object:
        seen.append(len(images))
        names = ["star", *["ring"] * (len(images) - 1)]
        return np.array([CLASSES.index(name) for name in names])

    monkeypatch.setattr(measure, "predictions", star_at_first_and_ring_then)
    found = by_subset(tmp_path, run.root)
    # Three originals and three before red bricks; the beach is refused. In the order of the keys:
    # fish/0001/01, fish/0001/original, ring .. of which only the rings are named rightly.
    assert seen == [6]
    assert list(found) == ["original", "bg_varied"]
    assert found["original"] == pytest.approx(1 / 3)
    assert found["bg_varied"] == pytest.approx(1 / 3)
