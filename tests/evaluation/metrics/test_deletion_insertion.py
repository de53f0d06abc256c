"""Orders, steps and areas worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.evaluation.metrics.deletion_insertion import (
    area,
    counts,
    mixed,
    noise,
    order,
)

MAP = np.array([[1.0, 3.0, 1.0], [1.0, 2.0, 1.0], [0.0, 1.0, 1.0]])


def test_equal_values_are_ordered_as_asked() -> None:
    assert order(MAP, "stable").tolist() == [1, 4, 0, 2, 3, 5, 7, 8, 6]
    assert order(MAP, "centre").tolist() == [1, 4, 3, 5, 7, 0, 2, 8, 6]
    drawn = order(MAP, "random", 1).tolist()
    assert drawn[:2] == [1, 4]
    assert drawn[-1] == 6
    assert sorted(drawn[2:-1]) == [0, 2, 3, 5, 7, 8]
    assert drawn == order(MAP, "random", 1).tolist()
    assert any(order(MAP, "random", seed).tolist() != drawn for seed in range(2, 6))


def test_the_paper_changes_half_of_the_image_in_a_hundred_steps() -> None:
    found = counts(1000)
    assert found[:3].tolist() == [0, 5, 10]
    assert found[-1] == 500
    assert counts(224 * 224)[100] == 224 * 224 // 2


def test_pixels_are_taken_from_the_other_image_in_order() -> None:
    image, other = np.zeros((3, 3, 3), np.uint8), np.full((3, 3, 3), 9, np.uint8)
    found = mixed(image, other, order(MAP, "stable"), 2)
    assert (found[..., 0] > 0).ravel().nonzero()[0].tolist() == [1, 4]
    assert not image.any()
    assert (mixed(image, other, order(MAP), 9) == other).all()


def test_noise_is_uniform_and_drawn_from_its_seed() -> None:
    found = noise(64, 64, 3)
    assert (found == noise(64, 64, 3)).all()
    assert (found != noise(64, 64, 4)).any()
    assert found.mean() == pytest.approx(127.5, abs=3)


def test_areas_by_hand() -> None:
    curves = np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert area(curves).tolist() == [0.5, 1.0, 0.25]
    assert area(curves, "mean").tolist() == [0.5, 1.0, pytest.approx(1 / 3)]
    with pytest.raises(ValueError, match="two points"):
        area(np.array([1.0]))
