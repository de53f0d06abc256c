"""What is measured of a map, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.core.seeds import generator
from covar_gen.evaluation.metrics.regions import MARGIN, THRESHOLD, Driver, verdict
from covar_gen.evaluation.overlaps import chances, overlaps
from covar_gen.evaluation.rows import MARGINS, THRESHOLDS


def test_overlaps_count_only_what_the_model_saw() -> None:
    values = np.zeros((4, 8), np.float32)
    values[:, 2:4] = 1.0
    mask = np.zeros((4, 8), bool)
    mask[:, 3:] = True
    visible = np.zeros((4, 8), bool)
    visible[:, 2:6] = True
    found = overlaps(values, mask, visible)
    # Seen are columns 2 to 5: the object fills 3 to 5 of them, the map lies on 2 and 3.
    assert found["iou_object"] == [0.25] * 5
    assert found["iou_background"] == [0.5] * 5
    assert found["mass_background"] == 0.5
    assert found["object_coverage"] == 0.75


def test_the_defaults_are_among_the_thresholds_and_margins() -> None:
    assert THRESHOLD in THRESHOLDS
    assert MARGIN in MARGINS


def test_random_maps_are_judged_as_maps_are() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    # On the object, behind it, and mostly behind it: 5 of 8 pixels against 4 of 8.
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0, :2] = 1
    maps[1, 2:] = 1
    maps[2, 2:] = maps[2, 1] = 0.55
    maps[2, 3, 3] = 1
    visible = np.ones((4, 4), bool)
    found = chances(maps, mask, visible)
    each = np.array(found["chance_each"]).reshape(len(THRESHOLDS), len(MARGINS))
    # At 0.6 the third map's region is one pixel of the background: 1/8 against 0.
    assert each[THRESHOLDS.index(0.6)].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert found["chance"] == pytest.approx(2 / 3)
    assert found["chance_excess"] == pytest.approx(2 / 3)
    for map_, said in zip(maps, (False, True, True), strict=True):
        measured = overlaps(map_, mask, visible)
        assert (measured["mass_background"] > 1 - measured["object_coverage"]) is said


def test_random_maps_count_only_what_the_model_saw() -> None:
    maps = np.zeros((1, 4, 8), np.float32)
    maps[:, :, 2:4] = 1.0
    mask = np.zeros((4, 8), bool)
    mask[:, 3:] = True
    visible = np.zeros((4, 8), bool)
    visible[:, 2:6] = True
    # Half of the mass lies on the background, which fills a quarter of what was seen.
    assert chances(maps, mask, visible)["chance_excess"] == 1
    assert chances(maps, mask, np.ones((4, 8), bool))["chance_excess"] == 1
    mask[:, 3:] = False
    mask[:, :3] = True
    assert chances(maps, mask, visible)["chance_excess"] == 0


def test_a_map_that_is_the_same_everywhere_is_in_no_excess() -> None:
    mask = np.zeros((7, 13), bool)
    mask[1:4, 2:9] = True
    found = chances(np.full((3, 7, 13), 0.1, np.float32), mask, np.ones((7, 13), bool))
    assert found["chance_excess"] == 0


def test_maps_without_mass_are_never_called_background_driven() -> None:
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    found = chances(np.zeros((2, 4, 4), np.float32), mask, np.ones((4, 4), bool))
    assert (found["chance"], found["chance_excess"]) == (0, 0)
    assert not np.any(found["chance_each"])


def test_random_maps_are_judged_exactly_as_a_map_is() -> None:
    rng = generator(7)
    for _ in range(20):
        maps = rng.normal(0.1, 1, (6, 9, 11)).astype(np.float32).round(1)
        mask = rng.random((9, 11)) < rng.random()
        visible = np.zeros((9, 11), bool)
        visible[:, 1:9] = True
        found = chances(maps, mask, visible)
        each = np.zeros((len(THRESHOLDS), len(MARGINS)))
        excess = 0
        for values in maps:
            measured = overlaps(np.where(visible, values, 0), mask, visible)
            pairs = zip(measured["iou_object"], measured["iou_background"], strict=True)
            each += [[verdict(*pair, m) is Driver.BACKGROUND for m in MARGINS] for pair in pairs]
            excess += measured["mass_background"] > 1 - measured["object_coverage"]
        # A margin of 0 calls a tie background-driven in neither.
        assert found["chance_each"].tolist() == pytest.approx((each / 6).ravel().tolist())
        assert found["chance_excess"] == pytest.approx(excess / 6)
