"""Top predicted classes per background, in both readings, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.analyses.backgrounds import top_classes
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]


def image(label: int, background: str | None, source: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "background": background, "source": source, **more}


BEACH = [image(label, "beach", f"s{n}") for n, label in enumerate((0, 0, 1, 2, 1))]
ANSWERS = [0, 0, 0, 2, 3]


def ranked(results: Results, reading: str, correct: str, **more: Any) -> list[tuple[str, float]]:
    return [
        (row["class_name"], row["value"])
        for row in top_classes(results, **more).to_pylist()
        if (row["reading"], row["correct"]) == (reading, correct)
    ]


def test_answers_are_counted_with_and_without_the_correct_ones(evaluation: Writer) -> None:
    results = evaluation(BEACH, {"m": ANSWERS})
    # cat three times of five, owl and ant once; wrong are the third (cat) and the fifth (ant).
    assert ranked(results, "top-1", "included") == [("cat", 60), ("owl", 20), ("ant", 20)]
    assert ranked(results, "top-1", "left out") == [("cat", 50), ("ant", 50)]


def test_probabilities_are_averaged(evaluation: Writer) -> None:
    chances = np.array([[0.7, 0.1, 0.1, 0.1], [0.3, 0.5, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1]])
    images = [image(0, "beach", "a"), image(0, "beach", "b"), image(2, "beach", "c")]
    results = evaluation(images, {"m": np.log(chances) + 3})
    found = ranked(results, "softmax", "included", shown=2)
    assert found == [("cat", pytest.approx(40)), ("dog", pytest.approx(80 / 3))]
    # Only the second image is wrong.
    left = ranked(results, "softmax", "left out", shown=2)
    assert left == [("dog", pytest.approx(50)), ("cat", pytest.approx(30))]


def test_mass_that_is_not_stored_is_stated(evaluation: Writer) -> None:
    # Twelve classes, ten stored: the two last have 3% of the probability in the first image
    # and 5% in the second, which is wrong.
    names = [f"class {n}" for n in range(12)]
    chances = np.array([[0.52, *([0.05] * 9), 0.02, 0.01], [0.5, *([0.05] * 9), 0.03, 0.02]])
    images = [image(0, "beach", "a"), image(1, "beach", "b")]
    results = evaluation(images, {"m": np.log(chances)}, names=names)
    found = {(r["reading"], r["correct"]): r["omitted"] for r in top_classes(results).to_pylist()}
    assert found["softmax", "included"] == pytest.approx(4, abs=1e-4)
    assert found["softmax", "left out"] == pytest.approx(5, abs=1e-4)
    assert found["top-1", "included"] is None


def test_classes_shown_are_the_best_and_as_many_as_asked_for(evaluation: Writer) -> None:
    found = top_classes(evaluation(BEACH, {"m": ANSWERS}), shown=1).to_pylist()
    assert {row["place"] for row in found} == {1}
    assert len(found) == 4


def test_backgrounds_come_by_number_each_with_its_images(evaluation: Writer) -> None:
    images = [
        image(0, "snow", "a", background_id=7),
        image(1, "beach", "b", background_id=3),
        image(1, "snow", "c", background_id=7),
        image(1, None, "d", background_id=None),
    ]
    found = top_classes(evaluation(images, {"m": [0, 2, 1, 1]})).to_pylist()
    heads = list(dict.fromkeys((r["background_id"], r["background"], r["n_images"]) for r in found))
    # Before snow both answers are correct: without them nothing is left to list.
    assert heads == [(3, "beach", 1), (7, "snow", 2)]


def test_the_background_varied_images_are_counted_where_there_are_any(evaluation: Writer) -> None:
    images = [
        image(0, "beach", "a", subset="bg_varied"),
        image(0, "beach", "a", subset="hflip"),
        image(0, "beach", "b", subset="bg_varied"),
    ]
    results = evaluation(images, {"m": [1, 2, 1]})
    assert ranked(results, "top-1", "included") == [("dog", 100)]
    every = ranked(results, "top-1", "included", subset=None)
    assert every == [("dog", pytest.approx(200 / 3)), ("owl", pytest.approx(100 / 3))]


def test_rejected_images_have_no_answer(evaluation: Writer) -> None:
    found = top_classes(evaluation(BEACH, {"m": [0, None, 0, None, 3]})).to_pylist()
    assert {row["n_images"] for row in found if row["correct"] == "included"} == {3}


def test_shares_have_intervals_over_photographs(evaluation: Writer) -> None:
    images = [image(0, "beach", f"s{n // 5}") for n in range(200)]
    answers = [1 if n // 5 < 20 else 2 for n in range(200)]
    row = top_classes(evaluation(images, {"m": answers}), shown=1).to_pylist()[0]
    half = 100 * 1.96 * np.sqrt(0.25 / 40)
    assert row["value"] == 50
    assert row["value_high"] - 50 == pytest.approx(half, abs=3)
    assert 50 - row["value_low"] == pytest.approx(half, abs=3)


def test_images_of_one_photograph_have_no_interval(evaluation: Writer) -> None:
    images = [image(0, "beach", "a"), image(0, "beach", "a"), image(1, "beach", "b")]
    found = top_classes(evaluation(images, {"m": [3, 3, 1]})).to_pylist()
    for row in found:
        assert (row["value_low"] is None) == (row["correct"] == "left out")


def test_data_without_backgrounds_has_no_such_table(evaluation: Writer) -> None:
    assert top_classes(evaluation([{"label": 0}], {"m": [0]})).num_rows == 0
