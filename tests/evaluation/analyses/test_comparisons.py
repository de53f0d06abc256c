"""Models against each other, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.analyses.accuracy import accuracy
from covar_gen.evaluation.analyses.comparisons import consistency, pairs
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]


def images(subsets: dict[str, int]) -> list[dict[str, Any]]:
    """Images of class 0, as many photographs as a subset has images."""
    return [
        {"label": 0, "subset": subset, "source": f"s{n:03d}"}
        for subset, count in subsets.items()
        for n in range(count)
    ]


def test_differences_and_both_tests_by_hand(evaluation: Writer) -> None:
    # Ten images: both right 4, only a 5, only b 0, both wrong 1; five signs: 2 of 32.
    results = evaluation(images({"hflip": 10}), {"a": [0] * 9 + [1], "b": [0] * 4 + [1] * 6})
    first = pairs(results).to_pylist()[0]
    assert (first["model_a"], first["model_b"], first["subset"]) == ("a", "b", "hflip")
    assert (first["accuracy_a"], first["accuracy_b"], first["difference"]) == (90, 40, 50)
    assert (first["only_a"], first["only_b"]) == (5, 0)
    assert first["p_value"] == first["mcnemar"] == 2 / 32
    assert first["difference_low"] == pytest.approx(20, abs=1)


def test_images_of_one_photograph_are_no_independent_witnesses(evaluation: Writer) -> None:
    # Forty images of four photographs: McNemar is certain, the photographs are not.
    several = [{"label": 0, "subset": "crop", "source": f"s{n // 10}"} for n in range(40)]
    row = pairs(evaluation(several, {"a": [0] * 40, "b": [1] * 40})).to_pylist()[0]
    assert row["mcnemar"] < 1e-11
    assert row["p_value"] == 2 / 16


def test_a_model_and_its_double_do_not_differ(evaluation: Writer) -> None:
    answers = [n % 3 for n in range(30)]
    results = evaluation(images({"hflip": 20, "crop": 10}), {"a": answers, "b": answers})
    for row in pairs(results).to_pylist():
        assert (row["difference"], row["difference_low"], row["difference_high"]) == (0, 0, 0)
        assert (row["p_value"], row["p_holm"]) == (1, 1)
        assert row["mcnemar"] in {1, None}
    assert set(consistency(results)["kappa"].to_pylist()) == {1}


def test_the_average_compares_means_over_subsets(evaluation: Writer) -> None:
    # a leads by 5 of 10 on hflip and trails by 1 of 20 on crop: 50 - 5, halved.
    a = [0] * 10 + [1] + [0] * 19
    b = [0] * 5 + [1] * 5 + [0] * 20
    found = {
        row["subset"]: row
        for row in pairs(
            evaluation(images({"hflip": 10, "crop": 20}), {"a": a, "b": b})
        ).to_pylist()
    }
    row = found["average"]
    assert row["difference"] == 22.5
    assert (row["accuracy_a"], row["accuracy_b"]) == (97.5, 75)
    assert (row["n_images"], row["n_sources"]) == (30, 20)
    assert row["mcnemar"] is row["only_a"] is None
    # Photograph 0 loses a twentieth, photographs 5 to 9 win a tenth each: six signs. Sums at
    # least as far from 0 as 5/10 - 1/20: all five alike, whatever the sixth is: 4 of 64.
    assert row["p_value"] == 4 / 64


def test_each_subset_is_tested_by_itself(evaluation: Writer) -> None:
    a, b = [0] * 5 + [0] * 3, [0] * 5 + [1] * 3
    found = pairs(evaluation(images({"hflip": 5, "crop": 3}), {"a": a, "b": b})).to_pylist()
    p_values = {row["subset"]: (row["p_value"], row["mcnemar"]) for row in found}
    assert p_values == {"hflip": (1, 1), "crop": (2 / 8, 2 / 8), "average": (2 / 8, None)}


def test_holms_correction_is_over_the_pairs_of_a_subset(evaluation: Writer) -> None:
    rng = np.random.default_rng(0)
    models = {name: rng.integers(0, 2, 40).tolist() for name in "abc"}
    for row in pairs(evaluation(images({"hflip": 40}), models)).to_pylist():
        if row["subset"] != "hflip":
            continue
        assert row["p_value"] <= row["p_holm"] <= min(1, 3 * row["p_value"])
        assert row["mcnemar"] <= row["mcnemar_holm"] <= min(1, 3 * row["mcnemar"])


def test_accuracies_are_those_of_the_accuracy_table(little_benchmark: Results) -> None:
    known = {
        (row["model"], row["subset"]): row["accuracy"]
        for row in accuracy(little_benchmark).to_pylist()
    }
    found = pairs(little_benchmark).to_pylist()
    assert {row["subset"] for row in found} == {subset for _, subset in known}
    for row in found:
        assert row["accuracy_a"] == pytest.approx(known[row["model_a"], row["subset"]])
        assert row["accuracy_b"] == pytest.approx(known[row["model_b"], row["subset"]])
        difference = row["accuracy_a"] - row["accuracy_b"]
        assert row["difference"] == pytest.approx(difference)


def test_only_images_that_both_models_read_are_compared(evaluation: Writer) -> None:
    results = evaluation(
        images({"hflip": 6}), {"a": [0, None, 0, 0, 1, 1], "b": [0, 0, None, 1, 1, 0]}
    )
    row = pairs(results).to_pylist()[0]
    assert (row["n_images"], row["accuracy_a"], row["accuracy_b"]) == (4, 50, 50)
    assert consistency(results).to_pylist()[0]["n_images"] == 4


def test_what_cannot_be_tested_has_no_p_value_and_is_no_test(evaluation: Writer) -> None:
    # The models share no image of hflip.
    a, b = [0, 0, None, None] + [0] * 6, [None, None, 0, 0] + [1] * 6
    results = evaluation(images({"hflip": 4, "crop": 6}), {"a": a, "b": b})
    found = {row["subset"]: row for row in pairs(results).to_pylist()}
    assert found["crop"]["p_value"] == found["crop"]["mcnemar"] == 2 / 64
    for subset in ("hflip", "average"):
        row = found[subset]
        for name in ("difference", "p_value", "p_holm", "mcnemar", "mcnemar_holm"):
            assert row[name] is None, (subset, name)
    assert found["hflip"]["n_images"] == 0


def test_error_consistency_by_hand(evaluation: Writer) -> None:
    a = [0, 0, 0, 0, 0, 1, 1, 1]
    b = [0, 0, 0, 1, 1, 0, 1, 1]
    row = consistency(evaluation(images({"crop": 8}), {"a": a, "b": b})).to_pylist()[0]
    assert (row["observed"], row["expected"], row["kappa"]) == (62.5, 50, 0.25)
    assert (row["n_images"], row["n_sources"]) == (8, 8)
    assert row["kappa_low"] < 0.25 < row["kappa_high"]


def test_models_to_compare_can_be_chosen(evaluation: Writer) -> None:
    results = evaluation(images({"crop": 4}), {name: [0, 1, 0, 1] for name in "abcd"})
    found = pairs(results, models=["d", "b"]).to_pylist()
    assert {(row["model_a"], row["model_b"]) for row in found} == {("d", "b")}
    assert consistency(results).num_rows == 6


def test_one_model_cannot_be_compared(evaluation: Writer) -> None:
    results = evaluation(images({"crop": 4}), {"a": [0] * 4})
    assert pairs(results).num_rows == consistency(results).num_rows == 0


def test_permuting_the_images_changes_nothing(evaluation: Writer) -> None:
    rng = np.random.default_rng(3)
    listed = images({"original": 30, "bg_varied": 30, "hflip": 30})
    models = {name: rng.integers(0, 2, 90).tolist() for name in "abc"}
    order = rng.permutation(90)
    first = evaluation(listed, models)
    other = evaluation(
        [listed[n] for n in order],
        {name: [answers[n] for n in order] for name, answers in models.items()},
    )
    assert consistency(first).equals(consistency(other))
    for one, two in zip(pairs(first).to_pylist(), pairs(other).to_pylist(), strict=True):
        assert one == pytest.approx(two, abs=1e-9)
