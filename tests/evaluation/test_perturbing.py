"""Perturbed photographs: their own pixels, the model's own resize, the same draws for all maps."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.evaluation.attribution.alignment import pixel_map, seen
from covar_gen.evaluation.images import make_grids
from covar_gen.evaluation.metrics.deletion_insertion import Ties
from covar_gen.evaluation.perturbing import (
    DELETION,
    INSERTION,
    Perturbation,
    perturbed,
    pixel_order,
)
from covar_gen.evaluation.preprocessing import Grid

SQUASH = Grid(16, 16, "squash")
CROP = Grid(16, 16, "shortest", 16)
HOW = Perturbation()


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)


def test_deletion_begins_with_the_photograph_and_insertion_with_black() -> None:
    image = photograph(40, 50)
    ranked = pixel_order(np.eye(4), SQUASH, 40, 50, "k", HOW)
    found = perturbed(image, ranked, SQUASH, "k", HOW)
    assert found.shape == (2, 11, 3, 16, 16)
    assert (found[DELETION, 0] == make_grids(image, [SQUASH])[SQUASH]).all()
    assert not found[INSERTION, 0].any()


def test_every_point_is_the_changed_photograph_as_the_model_gets_it() -> None:
    image = photograph(40, 60)
    how = Perturbation(points=3, ties="stable")
    # At its own size, 2400 pixels: 12 per step, 600 and 1200 at the two later points.
    assert how.changed(2400).tolist() == [0, 600, 1200]
    ranked = pixel_order(np.array([[0.0, 1.0]]), CROP, 40, 60, "k", how)
    found = perturbed(image, ranked, CROP, "k", how)
    for point, count in enumerate((0, 600, 1200)):
        inserted = np.zeros_like(image)
        inserted.reshape(-1, 3)[ranked[:count]] = image.reshape(-1, 3)[ranked[:count]]
        assert (found[INSERTION, point] == make_grids(inserted, [CROP])[CROP]).all()
    # The model sees columns 10 to 49; of them, the 30 nearest to the better patch are 1200 pixels.
    assert set((ranked[:1200] % 60).tolist()) == set(range(20, 50))
    assert (found[DELETION, 2] != found[DELETION, 0]).any()


def test_noise_and_ties_are_drawn_by_key_and_seed() -> None:
    image = photograph(20, 20)
    flat = np.zeros((4, 4))
    ranked = pixel_order(flat, SQUASH, 20, 20, "k", HOW)
    again = pixel_order(flat, SQUASH, 20, 20, "k", HOW)
    assert (ranked == again).all()
    assert (ranked != pixel_order(flat, SQUASH, 20, 20, "other", HOW)).any()
    assert (ranked != pixel_order(flat, SQUASH, 20, 20, "k", Perturbation(seed=1))).any()
    one, two = (perturbed(image, ranked, SQUASH, key, HOW) for key in ("k", "other"))
    assert (one[DELETION, 1:] != two[DELETION, 1:]).any()
    assert (one[INSERTION] == two[INSERTION]).all()


@pytest.mark.parametrize("ties", ["random", "stable", "centre"])
def test_pixels_that_the_crop_cuts_off_come_last_even_after_negative_ones(ties: Ties) -> None:
    how = Perturbation(ties=ties)
    maps = np.full((4, 4), -3.0)
    ranked = pixel_order(maps, CROP, 20, 40, "k", how)
    visible = seen(CROP, 20, 40, (4, 4)).ravel()
    assert 0 < visible.sum() < 800
    assert visible[ranked[: visible.sum()]].all()
    assert not visible[ranked[visible.sum() :]].any()


def test_the_largest_values_come_first_and_all_pixels_once() -> None:
    maps = np.random.default_rng(3).random((2, 4, 4)).astype(np.float32)
    found = pixel_order(maps, SQUASH, 30, 50, "k", HOW)
    assert found.shape == (2, 1500)
    for ranked, heat in zip(found, pixel_map(maps, SQUASH, 30, 50), strict=True):
        assert sorted(ranked.tolist()) == list(range(1500))
        assert (np.diff(heat.ravel()[ranked]) <= 1e-6).all()


def test_what_is_equal_in_the_map_is_equal_in_the_order() -> None:
    # Inside a cluster, and along the straight border of two, pixels tie.
    maps = np.zeros((14, 14), np.float32)
    maps[:, :7] = 0.1234567
    maps[3:5, 11:13] = 0.7654321
    maps[6:, 12:] = 0.333333
    grid = Grid(224, 224, "squash")
    ranked = pixel_order(maps, grid, 375, 500, "k", Perturbation(ties="stable"))
    place = np.empty(375 * 500, np.int64)
    place[ranked] = np.arange(375 * 500)
    rows = place.reshape(375, 500)
    assert (np.diff(rows[:, :232].ravel()) == 1).all()
    # The last patches: their outer half is beyond the last centre.
    assert (np.diff(rows[174:, 446:].ravel()) == 1).all()
    assert (np.diff(rows[0, 234:264]) > 1).all()
    assert (np.diff(rows[:, 234:264], axis=0) == 1).all()


def test_areas_know_the_steps_that_were_measured() -> None:
    how = Perturbation(points=4, steps=10)
    assert how.at.tolist() == [0, 3, 7, 10]
    assert how.area(np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(0.3 + 0.2)
    assert how.as_json() == {
        "points": 4,
        "steps": 10,
        "share": 0.005,
        "ties": "random",
        "seed": 0,
    }
