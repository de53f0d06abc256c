"""Kappa by hand and by its definition; the threshold that agrees best."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.evaluation.metrics.agreement import best_threshold, cohens_kappa

NAN = float("nan")


def test_kappa_of_a_table_worked_by_hand() -> None:
    # 20 + 15 agreements of 50; shares of similar 25/50 and 30/50: expected 0.3 + 0.2.
    first = np.repeat([1.0, 1.0, 0.0, 0.0], [20, 5, 10, 15])
    second = np.repeat([1.0, 0.0, 1.0, 0.0], [20, 5, 10, 15])
    found = cohens_kappa(first, second)
    assert found.observed == pytest.approx(0.7)
    assert found.expected == pytest.approx(0.5)
    assert found.kappa == pytest.approx(0.4)
    assert found.judged == 50


def test_a_weight_is_a_repetition() -> None:
    first, second = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    found = cohens_kappa(first, second, np.array([20.0, 5.0, 10.0, 15.0]))
    assert found.kappa == pytest.approx(0.4)
    assert found.judged == 50


def test_an_unscored_pair_is_no_disagreement() -> None:
    first, second = np.array([1.0, 0.0, NAN, 1.0]), np.array([1.0, 0.0, 1.0, NAN])
    assert cohens_kappa(first, second) == (1.0, 1.0, 0.5, 2.0)


def test_without_a_common_pair_there_is_no_kappa() -> None:
    found = cohens_kappa(np.array([NAN, 1.0]), np.array([1.0, NAN]))
    assert np.isnan(found.kappa)
    assert found.judged == 0


def test_judges_that_always_say_the_same_agree() -> None:
    assert cohens_kappa(np.ones(4), np.ones(4)).kappa == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
@settings(deadline=None)
def test_kappa_is_that_of_the_definition(verdicts: list[tuple[bool, bool]]) -> None:
    count = len(verdicts)
    observed = Fraction(sum(one == other for one, other in verdicts), count)
    expected = sum(
        Fraction(sum(one == value for one, _ in verdicts), count)
        * Fraction(sum(other == value for _, other in verdicts), count)
        for value in (True, False)
    )
    found = cohens_kappa(*np.array(verdicts, float).T)
    assert found.observed == pytest.approx(float(observed))
    assert found.expected == pytest.approx(float(expected))
    if expected < 1:
        assert found.kappa == pytest.approx(float((observed - expected) / (1 - expected)))


def test_the_threshold_separates_what_can_be_separated() -> None:
    scores = np.array([0.1, 0.4, 0.6, 0.9, 0.95, NAN])
    verdicts = np.array([0.0, 0.0, 1.0, 1.0, NAN, 0.0])
    assert best_threshold(scores, verdicts) == (pytest.approx(0.5), 1.0)


def test_of_equal_thresholds_the_highest_is_taken() -> None:
    # Above 0.3 and above 0.7 each leave one error.
    scores = np.array([0.2, 0.4, 0.6, 0.8])
    verdicts = np.array([0.0, 1.0, 0.0, 1.0])
    threshold, kappa = best_threshold(scores, verdicts)
    assert threshold == pytest.approx(0.7)
    assert kappa == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("scores", "verdicts"),
    [([0.1, 0.2], [1.0, 1.0]), ([0.1, 0.2], [0.0, NAN]), ([0.3, 0.3], [0.0, 1.0])],
)
def test_a_threshold_needs_both_verdicts_and_two_scores(
    scores: list[float], verdicts: list[float]
) -> None:
    with pytest.raises(ValueError, match="a threshold needs"):
        best_threshold(np.array(scores), np.array(verdicts))
