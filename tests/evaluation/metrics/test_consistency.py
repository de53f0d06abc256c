"""Error consistency (Geirhos et al., 2020)."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.evaluation.metrics.consistency import Consistency, error_consistency


def of(first: list[int], second: list[int]) -> Consistency:
    one, two = np.array(first, float), np.array(second, float)
    counts = (len(one), one.sum(), two.sum(), (one * two).sum())
    return error_consistency(*(np.array(count, float) for count in counts))


def test_a_worked_example() -> None:
    # Both right on 3 of 8, both wrong on 2: observed 5/8. Accuracies 5/8 and 4/8:
    # expected 5/8 * 4/8 + 3/8 * 4/8 = 1/2. Kappa (5/8 - 1/2) / (1/2) = 1/4.
    found = of([1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 1, 0, 0])
    assert found == (0.625, 0.5, 0.25)


def test_it_is_cohens_kappa() -> None:
    rng = np.random.default_rng(0)
    first = (rng.random(200) < 0.7).astype(int)
    second = np.where(rng.random(200) < 0.6, first, rng.random(200) < 0.4).astype(int)
    table = np.zeros((2, 2))
    np.add.at(table, (first, second), 1)
    share = table / 200
    chance = float(share.sum(axis=1) @ share.sum(axis=0))
    kappa = (np.trace(share) - chance) / (1 - chance)
    assert float(of(first.tolist(), second.tolist()).kappa) == pytest.approx(kappa)


def test_a_model_is_consistent_with_itself() -> None:
    assert of([1, 0, 1, 1], [1, 0, 1, 1]).kappa == 1


def test_a_model_and_its_opposite_are_as_inconsistent_as_can_be() -> None:
    assert of([1, 1, 0, 0], [0, 0, 1, 1]).kappa == -1


@pytest.mark.parametrize("answers", [[1, 1, 1], [0, 0, 0]])
def test_models_that_are_always_right_or_always_wrong_agree_by_definition(
    answers: list[int],
) -> None:
    found = of(answers, answers)
    assert (found.expected, found.kappa) == (1, 1)


def test_one_that_is_always_right_says_nothing_about_where_the_other_fails() -> None:
    assert of([1, 1, 1, 1], [1, 0, 1, 0]).kappa == 0


def test_without_images_there_is_no_consistency() -> None:
    assert np.isnan(of([], []).kappa)
