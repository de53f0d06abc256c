"""Drops per subset and per class, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.analyses.class_drops import (
    CLASS_DROPS,
    by_class,
    class_drops,
    over_subsets,
)
from covar_gen.evaluation.analyses.drops import SUBSET_DROPS, subset_drops
from covar_gen.evaluation.analyses.marks import images_of, marks_of
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]

CELLS = [
    # class, subset, images, right answers
    (0, "original", 4, 4),
    (0, "bg_varied", 8, 4),
    (0, "vflip", 8, 2),
    (1, "original", 4, 2),
    (1, "bg_varied", 8, 6),
    (1, "vflip", 8, 2),
]


def benchmark(evaluation: Writer, cells: list[tuple[int, str, int, int]] = CELLS) -> Results:
    """Four photographs per class; in each cell the first images are answered correctly."""
    images, answers = [], []
    for label, subset, count, right in cells:
        for number in range(count):
            source = f"c{label}/p{number % 4}"
            more: dict[str, Any] = {"class_id": 10 + label}
            images.append({"label": label, "subset": subset, "source": source, **more})
            answers.append(label if number < right else 3)
    return evaluation(images, {"m": answers})


def test_subsets_fall_from_varied_backgrounds(evaluation: Writer) -> None:
    found = subset_drops(benchmark(evaluation)).to_pylist()
    # Right: 6 of 8 originals, 10 of 16 background-varied, 4 of 16 flipped.
    short = [(row["subset"], row["accuracy"], row["drop"], row["relative"]) for row in found]
    assert short == [
        ("original", 75, -12.5, pytest.approx(-20)),
        ("vflip", 25, 37.5, pytest.approx(60)),
        ("average", 25, 37.5, pytest.approx(60)),
    ]
    assert {row["accuracy_reference"] for row in found} == {62.5}
    assert [(row["n_images"], row["n_sources"]) for row in found] == [(8, 8), (16, 8), (16, 8)]


def test_the_reference_can_be_the_originals(evaluation: Writer) -> None:
    found = subset_drops(benchmark(evaluation), reference="original").to_pylist()
    assert [(row["subset"], row["drop"]) for row in found] == [
        ("bg_varied", 12.5),
        ("vflip", 50),
        ("average", 31.25),
    ]


def test_a_drop_is_of_the_same_photographs_so_that_its_interval_is_narrow(
    evaluation: Writer,
) -> None:
    # Hard and easy photographs alike lose nothing: the accuracies vary, their difference does not.
    images = [
        {"label": 0, "subset": subset, "source": f"s{n}"}
        for subset in ("bg_varied", "hflip")
        for n in range(30)
    ]
    row = subset_drops(evaluation(images, {"m": [n % 2 for n in range(30)] * 2})).to_pylist()[0]
    assert (row["drop"], row["drop_low"], row["drop_high"]) == (0, 0, 0)


def test_without_the_reference_there_are_no_drops(evaluation: Writer) -> None:
    images = [{"label": 0, "subset": "hflip"}, {"label": 0, "subset": "crop"}]
    results = evaluation(images, {"m": [0, 0]})
    assert subset_drops(results).schema == SUBSET_DROPS
    assert subset_drops(results).num_rows == 0
    assert class_drops(results).schema == CLASS_DROPS
    assert class_drops(results).num_rows == 0


def test_only_originals_cannot_fall(evaluation: Writer) -> None:
    results = evaluation([{"label": 0, "subset": "original"}] * 2, {"m": [0, 0]})
    assert class_drops(results).num_rows == 0
    assert subset_drops(results, reference="original").num_rows == 0


def test_classes_fall_against_their_own_originals(evaluation: Writer) -> None:
    found = class_drops(benchmark(evaluation)).to_pylist()
    short = {(r["subset"], r["class_name"]): (r["accuracy"], r["drop"]) for r in found}
    assert short == {
        ("bg_varied", "cat"): (50, 50),
        ("vflip", "cat"): (25, 75),
        ("mean", "cat"): (37.5, 62.5),
        ("maximum", "cat"): (25, 75),
        ("bg_varied", "dog"): (75, -25),
        ("vflip", "dog"): (25, 25),
        ("mean", "dog"): (50, 0),
        ("maximum", "dog"): (25, 25),
    }
    assert {(r["class_name"], r["accuracy_original"]) for r in found} == {("cat", 100), ("dog", 50)}
    assert {(r["label"], r["class_id"]) for r in found} == {(0, 10), (1, 11)}
    assert {r["worst_subset"] for r in found if r["subset"] == "maximum"} == {"vflip"}
    assert {r["n_images"] for r in found if r["subset"] == "mean"} == {16}
    assert {r["n_sources"] for r in found} == {4}
    relative = {r["subset"]: r["relative"] for r in found if r["class_name"] == "dog"}
    assert relative == {"bg_varied": -50, "vflip": 50, "mean": 0, "maximum": 50}


def test_nothing_can_fall_from_nothing(evaluation: Writer) -> None:
    cells = [(0, "original", 4, 0), (0, "bg_varied", 4, 2)]
    row = class_drops(benchmark(evaluation, cells)).to_pylist()[0]
    assert (row["drop"], row["relative"], row["relative_low"]) == (-50, None, None)


def test_a_class_without_images_in_a_subset_has_the_mean_of_the_others(evaluation: Writer) -> None:
    cells = [*CELLS, (0, "scale", 4, 0)]
    found = class_drops(benchmark(evaluation, cells)).to_pylist()
    short = {(r["subset"], r["class_name"]): r["accuracy"] for r in found}
    assert short["mean", "cat"] == 25
    assert short["scale", "dog"] is None
    assert short["mean", "dog"] == 50


def test_a_class_is_drawn_from_its_own_photographs(evaluation: Writer) -> None:
    # One photograph of two is right on all its backgrounds: the drawn drops are 0, 50 and 100.
    images, answers = [], []
    for label, source in ((0, "a"), (0, "b"), (1, "c"), (1, "d")):
        for subset, count in (("original", 1), ("bg_varied", 3)):
            for _ in range(count):
                images.append({"label": label, "subset": subset, "source": source})
                answers.append(label if subset == "original" or source != "b" else 3)
    found = class_drops(evaluation(images, {"m": answers})).to_pylist()
    ends = {(r["class_name"], r["drop"], r["drop_low"], r["drop_high"]) for r in found}
    assert ends == {("cat", 50, 0, 100), ("dog", 0, 0, 0)}


def test_a_mean_over_a_subset_of_one_photograph_has_no_interval(evaluation: Writer) -> None:
    cells = [("original", 8, 8), ("bg_varied", 8, 3), ("vflip", 1, 0)]
    found = class_drops(benchmark(evaluation, [(0, *cell) for cell in cells])).to_pylist()
    without = {row["subset"] for row in found if row["drop_low"] is None}
    assert without == {"vflip", "mean", "maximum"}
    assert {row["relative_high"] is None for row in found if row["subset"] in without} == {True}


def test_a_class_of_one_photograph_has_no_interval(evaluation: Writer) -> None:
    images = [{"label": 0, "subset": s, "source": "a"} for s in ("original", "bg_varied")]
    images += [{"label": 1, "subset": s, "source": "b"} for s in ("original", "bg_varied")]
    for row in class_drops(evaluation(images, {"m": [0, 0, 1, 1]})).to_pylist():
        assert row["drop"] == 0
        assert row["drop_low"] is row["drop_high"] is row["relative_low"] is None


def test_permuting_the_images_changes_nothing(
    little_benchmark: Results, evaluation: Writer
) -> None:
    table = little_benchmark.images()
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.take(order).to_pylist()
    models = {
        name: little_benchmark.predictions(name).top_ids[order, 0].tolist()
        for name in little_benchmark.models()
    }
    other = evaluation(shuffled, models)
    assert class_drops(little_benchmark).equals(class_drops(other))
    assert subset_drops(little_benchmark).equals(subset_drops(other))


def test_classes_are_drawn_independently_and_models_together(evaluation: Writer) -> None:
    images, answers = [], []
    for label in (0, 1):
        for n in range(10):
            images.append({"label": label, "subset": "original", "source": f"{label}/{n}"})
            answers.append(label if n < 5 else 3)
    results = evaluation(images, {"m": answers, "n": answers})
    marks = [marks_of(results, model) for model in ("m", "n")]
    drawn = by_class(images_of(results), marks, 400).accuracy[1:, :, :, 0]
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert abs(np.corrcoef(drawn[:, 0, 0], drawn[:, 0, 1])[0, 1]) < 0.2


def test_mean_and_minimum_leave_out_what_is_not_there() -> None:
    values = np.array([[10.0, np.nan, 30.0], [np.nan, np.nan, np.nan]])
    mean, least = over_subsets(values)
    assert mean[0] == 20
    assert least[0] == 10
    assert np.isnan([mean[1], least[1]]).all()
