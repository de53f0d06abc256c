"""Orders, steps and areas worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.evaluation.metrics.deletion_insertion import (
    Ties,
    area,
    counts,
    measured_steps,
    mixtures,
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


def test_what_is_not_square_has_its_centre_too() -> None:
    # Distances from the middle between the second and the third column: 1.5, 0.5, 0.5, 1.5.
    assert order(np.zeros((1, 4)), "centre").tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize("ties", ["random", "stable", "centre"])
def test_many_maps_are_ordered_as_one_by_one(ties: Ties) -> None:
    maps = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 7)).astype(np.float32)
    found = order(maps, ties, 5)
    assert found.shape == (2, 4, 35)
    for first in range(2):
        for second in range(4):
            assert (found[first, second] == order(maps[first, second], ties, 5)).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_any_numbers_are_ordered_and_minus_zero_is_zero(kind: type[np.floating]) -> None:
    rng = np.random.default_rng(2)
    values = (rng.normal(size=(3, 20, 30)) * 10.0 ** rng.integers(-30, 30, (3, 20, 30))).astype(
        kind
    )
    values[:, ::3] = 0
    values[:, ::6] *= -1
    values[:, 1, :5] = np.inf
    values[:, 2, :5] = -np.inf
    found = order(values, "stable")
    wanted = np.argsort(-values.reshape(3, -1), axis=-1, kind="stable")
    assert (found == wanted).all()
    assert (np.signbit(values) & (values == 0)).any()


def test_equal_maps_share_their_random_order_and_it_has_no_preferred_place() -> None:
    flat = np.zeros((2, 40, 50))
    first, second = order(flat, "random", 7)
    assert (first == second).all()
    early = first[:1000]
    assert early.mean() == pytest.approx(999.5, abs=80)
    assert (early < 1000).mean() == pytest.approx(0.5, abs=0.06)


def test_pixels_marked_as_last_come_last_whatever_the_others_are() -> None:
    values = MAP.copy()
    values[0, 1] = -np.inf
    assert order(values, "stable").tolist() == [4, 0, 2, 3, 5, 7, 8, 6, 1]


def test_the_paper_changes_half_of_the_image_in_a_hundred_equal_steps() -> None:
    found = counts(1000)
    assert found[:3].tolist() == [0, 5, 10]
    assert found[-1] == 500
    # 375 x 500 / 200 = 937.5: every step has 937 pixels.
    assert counts(375 * 500)[[0, 1, 10, 100]].tolist() == [0, 937, 9370, 93700]


def test_an_image_of_few_pixels_loses_one_per_step_while_there_are_any() -> None:
    assert counts(4, steps=6).tolist() == [0, 1, 2, 3, 4, 4, 4]
    assert counts(8, steps=4, share=0.25).tolist() == [0, 2, 4, 6, 8]


def test_measured_steps_go_from_the_first_to_the_last() -> None:
    assert measured_steps().tolist() == list(range(0, 101, 10))
    assert measured_steps(2).tolist() == [0, 100]
    assert measured_steps(101).tolist() == list(range(101))
    assert measured_steps(4, 10).tolist() == [0, 3, 7, 10]
    for points in (1, 102):
        with pytest.raises(ValueError, match="points of 100 steps"):
            measured_steps(points)


def test_pixels_are_taken_from_the_other_image_in_order() -> None:
    image, other = np.zeros((3, 3, 3), np.uint8), np.full((3, 3, 3), 9, np.uint8)
    changed = np.array([0, 2, 2, 5, 9])
    found = [m.copy() for m in mixtures(image, other, order(MAP, "stable"), changed)]
    assert [(m[..., 0] > 0).ravel().nonzero()[0].tolist() for m in found] == [
        [],
        [1, 4],
        [1, 4],
        [0, 1, 2, 3, 4],
        list(range(9)),
    ]
    assert not image.any()
    assert (other == 9).all()


def test_insertion_ends_where_deletion_began() -> None:
    image = noise(6, 7, 1)
    ranked = order(np.arange(42.0).reshape(6, 7))
    *_, last = mixtures(np.zeros_like(image), image, ranked, np.array([0, 20, 42]))
    assert (last == image).all()


def test_a_picture_that_is_not_contiguous_is_changed_as_any_other() -> None:
    image = noise(5, 4, 1)
    turned = image.transpose(1, 0, 2)
    other = np.zeros_like(turned)
    ranked = order(np.arange(20.0).reshape(4, 5), "stable")
    (found,) = mixtures(turned, other, ranked, np.array([5]))
    assert not found[3].any()
    assert (found[:3] == turned[:3]).all()


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


def test_the_area_knows_where_the_points_lie() -> None:
    # 0 to 1 until a tenth, then 1: 0.05 + 0.9.
    assert area(np.array([0.0, 1.0, 1.0]), at=np.array([0, 10, 100])) == pytest.approx(0.95)
    curve = np.random.default_rng(1).random((3, 11))
    assert area(curve, at=measured_steps()) == pytest.approx(area(curve))
