"""Sums over clusters, and clusters with the same sums."""

from __future__ import annotations

import itertools

import numpy as np

from covar_gen.evaluation.metrics.clusters import distinct, sums_by


def test_images_are_counted_by_cluster_and_cell() -> None:
    found = sums_by(np.array([0, 0, 2, 2, 2]), np.array([1, 1, 0, 1, 1]), (3, 2))
    assert found.tolist() == [[0, 2], [0, 0], [1, 2]]


def test_no_images_make_empty_sums() -> None:
    nothing = np.zeros(0, np.int64)
    assert sums_by(nothing, nothing, (2, 3)).tolist() == [[0] * 3] * 2


def test_equal_rows_are_counted_and_different_ones_kept_apart() -> None:
    # Every row of small whole numbers: just where a poor hash would confuse them.
    every = np.array(list(itertools.product(range(6), repeat=6)), float)
    rows, counts = distinct(np.repeat(every, 2, axis=0))
    assert len(rows) == len(every)
    assert set(counts.tolist()) == {2}
    assert {tuple(row) for row in rows} == {tuple(row) for row in every}


def test_the_order_of_clusters_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 3, (50, 4)).astype(float)
    first, second = distinct(rows), distinct(rows[rng.permutation(50)])
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_zero_and_minus_zero_are_one_number() -> None:
    rows, counts = distinct(np.array([[0.0, 1.0], [-0.0, 1.0]]))
    assert (len(rows), counts.tolist()) == (1, [2])


def test_no_rows_stay_no_rows() -> None:
    rows, counts = distinct(np.zeros((0, 3)))
    assert rows.shape == (0, 3)
    assert not len(counts)
