"""Bootstrap over clusters: against plain loops, against formulas, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from covar_gen.evaluation.metrics.intervals import bootstrap, interval, ratio, resample

Real = NDArray[np.float64]


def accuracy(sums: Real) -> Real:
    return ratio(sums[:, 1], sums[:, 0])


def plain(sums: Real, replicates: int) -> Real:
    """Clusters drawn one by one."""
    rng = np.random.default_rng(99)
    found = []
    for _ in range(replicates):
        images = right = 0.0
        for _ in range(len(sums)):
            one = sums[rng.integers(len(sums))]
            images, right = images + one[0], right + one[1]
        found.append(right / images)
    return np.array(found)


def clusters(seed: int, count: int, size: int) -> Real:
    """Right answers of clusters of images that are right and wrong together."""
    rng = np.random.default_rng(seed)
    return np.stack([np.full(count, size), rng.binomial(size, rng.beta(1, 1, count))], axis=1) * 1.0


def test_it_draws_as_a_plain_loop_does() -> None:
    sums = np.column_stack([np.arange(3, 33), np.arange(30) % 4]).astype(float)
    mine, its = accuracy(resample(sums, replicates=6000)), plain(sums, 1500)
    assert mine.mean() == pytest.approx(its.mean(), abs=0.002)
    assert mine.std() == pytest.approx(its.std(), rel=0.08)
    assert np.quantile(mine, [0.1, 0.9]) == pytest.approx(np.quantile(its, [0.1, 0.9]), abs=0.004)


def test_clusters_of_equal_sums_are_drawn_like_any_others() -> None:
    # 200 clusters of two kinds take the short way; a tiny difference makes the same go the long.
    few = np.repeat([[1.0, 0.0], [1.0, 1.0]], [60, 140], axis=0)
    many = few + np.arange(200)[:, None] * 1e-12
    short, long = (accuracy(resample(sums, replicates=4000)) for sums in (few, many))
    assert short.mean() == pytest.approx(long.mean(), abs=0.003)
    assert short.std() == pytest.approx(long.std(), rel=0.06)


@pytest.mark.parametrize("spread", [0.0, 1e-12])
def test_every_replicate_draws_as_many_clusters_as_there_are(spread: float) -> None:
    sums = np.ones((40, 1)) + np.arange(40)[:, None] * spread
    assert np.allclose(resample(sums, replicates=100), 40)


def test_independent_images_have_the_standard_error_of_a_proportion() -> None:
    right = np.repeat([0.0, 1.0], [300, 700])
    found = accuracy(resample(np.column_stack([np.ones(1000), right]), replicates=5000))
    assert found.std() == pytest.approx(np.sqrt(0.7 * 0.3 / 1000), rel=0.04)


def test_images_that_go_together_widen_the_interval() -> None:
    # Ten copies of each image tell no more than one.
    right = np.repeat([0.0, 1.0], [30, 70])
    one = bootstrap(np.column_stack([np.ones(100), right]), accuracy)
    ten = bootstrap(np.column_stack([np.full(100, 10.0), 10 * right]), accuracy)
    assert ten == pytest.approx(one)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # Each cluster has its own chance, uniform in [0, 1]; the accuracy of all clusters is 0.5.
    covered = 0
    for seed in range(300):
        found = bootstrap(clusters(seed, 80, 12), accuracy, replicates=300, seed=seed)
        covered += bool(found.low <= 0.5 <= found.high)
    assert 0.90 <= covered / 300 <= 0.985


def test_an_interval_that_ignores_clusters_would_cover_far_less() -> None:
    covered = 0
    for seed in range(100):
        images, right = clusters(seed, 80, 12).sum(axis=0)
        half = 1.96 * np.sqrt(0.25 / images)
        covered += abs(right / images - 0.5) <= half
    assert covered < 75


def test_the_same_clusters_in_another_order_give_the_same_interval() -> None:
    sums = clusters(3, 60, 5)
    shuffled = sums[np.random.default_rng(0).permutation(60)]
    assert bootstrap(sums, accuracy) == bootstrap(shuffled, accuracy)


def test_another_seed_gives_another_interval() -> None:
    sums = clusters(3, 60, 5)
    assert bootstrap(sums, accuracy) != bootstrap(sums, accuracy, seed=1)
    assert np.array_equal(resample(sums, seed=(1, 2)), resample(sums, seed=(1, 2)))
    assert not np.array_equal(resample(sums, seed=(1, 2)), resample(sums, seed=(1, 3)))


def test_one_photograph_says_nothing_about_others() -> None:
    found = bootstrap(np.array([[4.0, 3.0]]), accuracy)
    assert found.value == 0.75
    assert np.isnan([found.low, found.high]).all()


def test_no_photographs_have_no_accuracy() -> None:
    assert np.isnan(bootstrap(np.zeros((0, 2)), accuracy)).all()


def test_the_ends_are_percentiles() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001.0))
    low, high = interval(values)
    assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_undefined_replicates_are_left_out() -> None:
    values = np.array([[np.nan, 1.0], [5.0, 2.0], [np.nan, 3.0], [7.0, np.nan]])
    low, high = interval(values)
    assert low == pytest.approx([np.quantile([5, 7], 0.025), np.quantile([1, 2, 3], 0.025)])
    assert high == pytest.approx([np.quantile([5, 7], 0.975), np.quantile([1, 2, 3], 0.975)])
    assert np.isnan(interval(np.full(5, np.nan))).all()


def test_a_ratio_without_divisor_is_undefined() -> None:
    found = ratio(np.array([1.0, 0.0, np.nan]), np.array([0.0, 0.0, 2.0]))
    assert np.isnan(found).all()
    assert ratio(np.array([1.0]), np.array([4.0])).tolist() == [0.25]


def test_places_can_be_left_without_interval() -> None:
    both = lambda sums: np.stack([accuracy(sums)] * 2, axis=1)  # noqa: E731 - two alike
    found = bootstrap(clusters(1, 20, 4), both).without(np.array([True, False]))
    assert np.isnan(found.low).tolist() == np.isnan(found.high).tolist() == [True, False]
    assert not np.isnan(found.value).any()
