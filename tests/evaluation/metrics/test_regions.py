"""Regions, overlaps and verdicts worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.evaluation.metrics.regions import Driver, iou, mass_share, region, verdict

MAP = np.array([[4.0, 2.0], [1.9, -8.0]])
OBJECT = np.array([[True, False], [True, False]])


def test_a_region_is_what_reaches_half_of_the_maximum() -> None:
    assert region(MAP).tolist() == [[True, True], [False, False]]
    assert region(MAP, 0.4).tolist() == [[True, True], [True, False]]
    assert region(MAP, 1.0).tolist() == [[True, False], [False, False]]


def test_a_map_without_positive_values_has_no_region() -> None:
    assert not region(-np.ones((3, 2, 2))).any()
    assert not region(np.zeros((2, 2))).any()


def test_overlaps_of_each_map_of_a_batch() -> None:
    both = np.stack([region(MAP), region(MAP, 1.0)])
    assert iou(both, np.stack([OBJECT, OBJECT])).tolist() == [1 / 3, 1 / 2]
    assert iou(both, ~OBJECT[None]).tolist() == [1 / 3, 0.0]
    assert np.isnan(iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)))


def test_a_region_larger_than_a_small_object_looks_background_driven() -> None:
    # At a scale of 8 the object fills 1/64 of the image; a seventh of the image that holds all of
    # it overlaps it by 0.109 and the background by 0.127 (relative to their unions).
    image = np.zeros((56, 56), bool)
    small, seventh = image.copy(), image.copy()
    small.ravel()[:49] = True
    seventh.ravel()[:448] = True
    assert iou(seventh, small) == pytest.approx(49 / 448)
    assert iou(seventh, ~small) == pytest.approx(399 / 3136)
    assert verdict(float(iou(seventh, small)), float(iou(seventh, ~small)), 0.01) is (
        Driver.BACKGROUND
    )


def test_the_share_of_mass_needs_no_threshold() -> None:
    assert mass_share(MAP, ~OBJECT) == pytest.approx(2 / 7.9)
    assert mass_share(MAP, OBJECT) == pytest.approx(5.9 / 7.9)
    assert np.isnan(mass_share(-np.abs(MAP), OBJECT))


@pytest.mark.parametrize(
    ("on_object", "on_background", "found"),
    [
        (0.5, 0.1, Driver.FOREGROUND),
        (0.1, 0.5, Driver.BACKGROUND),
        (0.300, 0.319, Driver.UNDECIDED),
        (float("nan"), 0.5, Driver.UNDECIDED),
    ],
)
def test_the_larger_overlap_decides_and_a_thin_margin_does_not(
    on_object: float, on_background: float, found: Driver
) -> None:
    assert verdict(on_object, on_background) is found
