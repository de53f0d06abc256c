"""Paired tests: by hand, exactly, and under no difference."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from covar_gen.evaluation.metrics.paired import holm, mcnemar, sign_flip

FIRST_SECOND = np.array([[0, 1]])


def of(differences: list[float], **more: int) -> float:
    sums = np.column_stack([differences, np.zeros(len(differences))])
    return float(sign_flip(sums, FIRST_SECOND, **more)[0])


def test_three_photographs_that_agree_are_two_cases_of_eight() -> None:
    assert of([1, 1, 1]) == 2 / 8


def test_photographs_that_differ_more_count_more() -> None:
    # Signs of (3, 1, 1): sums of size 5, 5, 3, 3, 3, 3, 1, 1; at least 3, which was seen: 6 of 8.
    assert of([3, 1, -1]) == 6 / 8


def test_photographs_without_difference_do_not_count() -> None:
    assert of([2, 0, 0, 1, 0]) == of([2, 1])


def test_every_assignment_of_signs_is_tried_for_few_photographs() -> None:
    differences = [1.0, 2.0, -0.5, 3.0, 1.25, 0.25, -2.0]
    signs = np.array(list(product([-1, 1], repeat=7)))
    sums = np.abs(signs @ np.array(differences))
    assert of(differences) == (sums >= abs(sum(differences)) - 1e-12).mean()


def test_drawn_signs_agree_with_all_of_them() -> None:
    # Thirteen photographs are drawn; the exact answer is a sum over 2**13 assignments.
    differences = [2.0, -1, 1, 3, 1, 1, -2, 1, 2, 1, -1, 1, 1]
    signs = np.array(list(product([-1, 1], repeat=13)))
    exact = (np.abs(signs @ np.array(differences)) >= abs(sum(differences))).mean()
    assert of(differences, flips=40_000) == pytest.approx(exact, abs=0.01)


def test_many_equal_photographs_are_a_binomial_test() -> None:
    # 400 clusters of one image, 215 in favour, 185 against: the exact two-sided sign test.
    from scipy.stats import binomtest

    differences = [1.0] * 215 + [-1.0] * 185
    expected = binomtest(185, 400).pvalue
    assert of(differences, flips=40_000) == pytest.approx(expected, abs=0.01)


def test_a_model_compared_with_itself_is_no_different() -> None:
    sums = np.random.default_rng(0).random((30, 1))
    assert sign_flip(np.hstack([sums, sums]), FIRST_SECOND).tolist() == [1.0]


def test_no_photographs_make_no_difference() -> None:
    assert sign_flip(np.zeros((0, 2)), FIRST_SECOND).tolist() == [1.0]


def test_what_is_clearly_different_has_the_smallest_p_value_there_is() -> None:
    assert of([1.0] * 200, flips=999) == 1 / 1000


def test_the_order_of_models_and_photographs_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    sums = rng.integers(0, 5, (8, 3)).astype(float)
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    found = sign_flip(sums, pairs)
    assert np.array_equal(found, sign_flip(sums, pairs[:, ::-1]))
    assert np.array_equal(found, sign_flip(sums[rng.permutation(8)], pairs))


def test_under_no_difference_one_test_in_twenty_is_below_five_percent() -> None:
    # Clustered differences: a test that took images for independent would reject far more often.
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(300):
        lean = rng.normal(0, 3, 40)
        p_values.append(of((lean + rng.normal(0, 1, 40)).tolist(), flips=299))
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.085


def test_mcnemars_test_is_a_binomial_test_of_where_models_differ() -> None:
    from scipy.stats import binomtest

    only_first, only_second = np.array([0, 1, 7, 4]), np.array([0, 5, 2, 4])
    found = mcnemar(only_first, only_second)
    assert found[0] == 1
    assert found[1] == pytest.approx(2 * (1 + 6) / 2**6)
    expected = [binomtest(int(a), int(a + b)).pvalue for a, b in ((7, 2), (4, 4))]
    assert found[2:] == pytest.approx(expected)


def test_holms_correction_by_hand() -> None:
    # Sorted 0.01 x 4 = 0.04, 0.02 x 3 = 0.06, 0.03 x 2 = 0.06, 0.5 x 1 = 0.5.
    assert holm(np.array([0.03, 0.01, 0.5, 0.02])) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_a_corrected_p_value_never_falls_below_a_smaller_ones_nor_above_one() -> None:
    assert holm(np.array([0.01, 0.011, 0.9])) == pytest.approx([0.03, 0.03, 0.9])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])


def test_a_test_that_could_not_be_made_is_not_counted() -> None:
    found = holm(np.array([0.01, np.nan, 0.02]))
    assert found[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(found[1])
