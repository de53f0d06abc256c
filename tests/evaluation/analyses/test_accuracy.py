"""Accuracy per subset and on average, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.analyses.accuracy import accuracy
from covar_gen.evaluation.results import Results, open_results

Writer = Callable[..., Results]
Rows = dict[tuple[str, str], dict[str, Any]]


def rows(results: Results, **more: int) -> Rows:
    return {(row["model"], row["subset"]): row for row in accuracy(results, **more).to_pylist()}


def image(label: int, subset: str, source: str) -> dict[str, Any]:
    return {"label": label, "subset": subset, "source": source}


IMAGES = [
    image(0, "original", "a"),
    image(1, "original", "b"),
    image(0, "bg_varied", "a"),
    image(0, "bg_varied", "a"),
    image(1, "bg_varied", "b"),
    image(1, "bg_varied", "b"),
    image(0, "scale", "a"),
    image(1, "scale", "b"),
]


def test_accuracies_and_their_plain_mean(evaluation: Writer) -> None:
    found = rows(evaluation(IMAGES, {"m": [0, 1, 0, 0, 1, 2, 3, 1]}))
    values = {subset: row["accuracy"] for (_, subset), row in found.items()}
    # 3 of 4 and 1 of 2: the plain mean is 62.5, that over images would be 4 of 6.
    assert values == {"original": 100, "bg_varied": 75, "scale": 50, "average": 62.5}
    counts = [(row["n_images"], row["n_sources"]) for row in found.values()]
    assert counts == [(2, 2), (4, 2), (2, 2), (6, 2)]


def test_subsets_come_in_the_order_of_the_papers_table(evaluation: Writer) -> None:
    names = ["scale", "zoomed", "hflip", "original", "afar", "bg_varied"]
    images = [image(0, name, name) for name in names]
    found = accuracy(evaluation(images, {"m": [0] * 6}))["subset"].to_pylist()
    assert found == ["original", "bg_varied", "hflip", "scale", "afar", "zoomed", "average"]


def test_a_users_own_subset_is_not_in_the_average(evaluation: Writer) -> None:
    images = [image(0, "zoomed", "a"), image(0, "hflip", "a"), image(0, "hflip", "b")]
    found = rows(evaluation(images, {"m": [1, 0, 0]}))
    assert found["m", "average"]["accuracy"] == 100
    assert found["m", "zoomed"]["accuracy"] == 0


def test_data_without_subsets_has_one_row_per_model(evaluation: Writer) -> None:
    results = evaluation([{"label": 0}, {"label": 1}], {"m": [0, 1], "w": [1, 1]})
    assert {key: row["accuracy"] for key, row in rows(results).items()} == {
        ("m", "all"): 100,
        ("w", "all"): 50,
    }


def test_rejected_images_are_counted_and_left_out(evaluation: Writer) -> None:
    found = rows(evaluation(IMAGES, {"m": [0, None, 0, None, None, 1, 0, 1]}))
    row = found["m", "bg_varied"]
    assert (row["accuracy"], row["n_images"], row["n_rejected"]) == (100, 2, 2)
    assert (found["m", "original"]["n_images"], found["m", "original"]["n_sources"]) == (1, 1)
    assert found["m", "average"]["n_rejected"] == 2


def test_a_subset_whose_images_were_all_rejected_has_no_accuracy(evaluation: Writer) -> None:
    found = rows(evaluation(IMAGES, {"m": [0, 1, 0, 0, 1, 1, None, None]}))
    assert found["m", "scale"]["accuracy"] is None
    assert found["m", "average"]["accuracy"] is None
    assert found["m", "bg_varied"]["accuracy"] == 100


def test_top_five_needs_the_true_class_among_five(evaluation: Writer) -> None:
    # The answer first, then the classes in order: class 5 is the sixth, unless it is the answer.
    names = [f"class {n}" for n in range(8)]
    images = [{"label": 4}, {"label": 5}, {"label": 5}]
    logits = np.array([[8.0 - n for n in range(8)]] * 3)
    logits[2, 5] = 10
    row = rows(evaluation(images, {"m": logits}, names=names))["m", "all"]
    assert row["accuracy"] == pytest.approx(100 / 3)
    assert row["top5"] == pytest.approx(200 / 3)


def test_equal_names_are_merged_beside_the_plain_score(evaluation: Writer) -> None:
    names = ["missile", "cat", "missile"]
    row = rows(evaluation([{"label": 2}, {"label": 0}], {"m": [0, 0]}, names=names))["m", "all"]
    assert (row["accuracy"], row["merged"]) == (50, 100)


def test_intervals_enclose_the_value_and_follow_the_photographs(evaluation: Writer) -> None:
    # Ten images of each photograph, all right or all wrong: 20 photographs, not 200 images.
    images = [image(0, "hflip", f"s{n // 10:02d}") for n in range(200)]
    answers = [n // 10 % 2 for n in range(200)]
    row = rows(evaluation(images, {"m": answers}))["m", "hflip"]
    half = 100 * 1.96 * np.sqrt(0.25 / 20)
    assert row["accuracy_high"] - row["accuracy"] == pytest.approx(half, abs=4)
    assert row["accuracy"] - row["accuracy_low"] == pytest.approx(half, abs=4)


def test_one_photograph_has_no_interval(evaluation: Writer) -> None:
    found = rows(evaluation([image(0, "hflip", "a")] * 3, {"m": [0, 0, 1]}))
    for row in found.values():
        assert row["accuracy"] == pytest.approx(200 / 3)
        assert row["accuracy_low"] is row["accuracy_high"] is None


def test_permuting_the_images_changes_nothing(evaluation: Writer) -> None:
    rng = np.random.default_rng(4)
    images = [
        image(int(rng.integers(3)), str(rng.choice(["original", "crop"])), f"s{n // 4}")
        for n in range(60)
    ]
    answers = [None if n % 17 == 0 else int(rng.integers(3)) for n in range(60)]
    order = rng.permutation(60)
    shuffled = evaluation([images[n] for n in order], {"m": [answers[n] for n in order]})
    assert accuracy(evaluation(images, {"m": answers})).equals(accuracy(shuffled))


def test_models_that_are_not_complete_are_left_out(evaluation: Writer) -> None:
    results = evaluation(IMAGES, {"m": [0] * 8, "begun": [0] * 8}, block=4)
    results.parts("begun")[0].unlink()
    # An opened folder has counted its parts.
    assert set(accuracy(open_results(results.root))["model"].to_pylist()) == {"m"}


def test_every_column_says_what_it_means(little_benchmark: Results) -> None:
    for field in accuracy(little_benchmark).schema:
        assert field.metadata[b"meaning"]


def test_no_models_make_an_empty_table(evaluation: Writer) -> None:
    assert accuracy(evaluation(IMAGES, {})).num_rows == 0


def test_a_subset_of_one_photograph_has_no_interval_nor_has_the_average(evaluation: Writer) -> None:
    images = [*(image(0, "hflip", f"s{n}") for n in range(8)), image(0, "crop", "s0")]
    found = rows(evaluation(images, {"m": [0, 1] * 4 + [0]}))
    assert found["m", "hflip"]["accuracy_low"] < 50 < found["m", "hflip"]["accuracy_high"]
    assert found["m", "crop"]["accuracy_low"] is None
    assert found["m", "average"]["accuracy_low"] is None
