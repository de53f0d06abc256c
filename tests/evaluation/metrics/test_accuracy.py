"""Right and wrong from ranks, and from classes whose names are equal."""

from __future__ import annotations

import numpy as np

from covar_gen.evaluation.metrics.accuracy import merged, within


def test_the_true_class_is_within_the_best_few_if_its_rank_is() -> None:
    ranks = np.array([1, 2, 5, 6, 0], np.int32)
    assert within(ranks, 1).tolist() == [True, False, False, False, False]
    assert within(ranks, 5).tolist() == [True, True, True, False, False]


def test_classes_of_one_name_count_as_one() -> None:
    # Classes 1 and 3 have one name; 3 can never be the answer, because 1 stands before it.
    groups = np.array([0, 1, 2, 1])
    labels = np.array([3, 1, 2, 0, 3])
    predicted = np.array([1, 3, 1, 0, -1])
    assert merged(predicted, labels, groups).tolist() == [True, True, False, True, False]


def test_without_equal_names_merged_is_plain() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 7, (2, 100))
    assert np.array_equal(merged(predicted, labels, np.arange(7)), predicted == labels)
