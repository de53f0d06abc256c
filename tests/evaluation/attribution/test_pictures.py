"""Pictures of maps: red where the map is largest, grey where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from covar_gen.evaluation.attribution.pictures import COLOURS, clusters, overlay

IMAGE: NDArray[np.uint8] = np.full((40, 60, 3), 100, np.uint8)


def test_the_largest_value_is_red_and_the_least_is_blue() -> None:
    ramp = np.broadcast_to(np.linspace(-3, 5, 60), (40, 60))
    drawn = np.asarray(overlay(IMAGE, ramp)).astype(int)
    assert drawn.shape == (40, 60, 3)
    left, right = drawn[20, 0], drawn[20, -1]
    assert left[2] > left[0] + 50
    assert right[0] > right[2] + 50
    assert (np.diff(drawn[20, :, 0] - drawn[20, :, 2])[15:44] > 0).all()


def test_a_map_is_drawn_the_same_whatever_its_scale() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 60), (40, 60))
    assert overlay(IMAGE, ramp).tobytes() == overlay(IMAGE, 7 * ramp - 2).tobytes()


def test_a_flat_map_colours_nothing() -> None:
    drawn = np.asarray(overlay(IMAGE, np.zeros((40, 60))))
    assert (drawn == 100).all()


def test_what_the_model_did_not_see_is_grey_and_dark() -> None:
    visible = np.ones((40, 60), bool)
    visible[:, :10] = False
    ramp = np.broadcast_to(np.linspace(0, 1, 60), (40, 60))
    for drawn in (overlay(IMAGE, ramp, visible), clusters(IMAGE, ramp > 0.5, visible)):
        assert (np.asarray(drawn)[:, :10] == 35).all()
        assert np.ptp(np.asarray(drawn)[20, 12].astype(int)) > 30
    nothing = overlay(IMAGE, ramp, np.zeros((40, 60), bool))
    assert (np.asarray(nothing) == 35).all()


def test_each_cluster_has_its_colour_and_a_white_border() -> None:
    labels = np.zeros((40, 60), int)
    labels[:, 20:40] = 1
    labels[:, 40:] = 6
    drawn = np.asarray(clusters(IMAGE, labels)).astype(int)
    for column, label in ((5, 0), (30, 1), (55, 6)):
        assert np.abs(drawn[20, column] - (50 + np.array(COLOURS[label]) / 2)).max() <= 0.5
    white = (drawn == 255).all(2)
    assert np.flatnonzero(white[20]).tolist() == [19, 20, 39, 40]
    assert not white[:, 5].any()


def test_up_to_twenty_clusters_differ() -> None:
    assert len(set(COLOURS)) == 20
    labels = np.arange(20).repeat(3)[None].repeat(40, 0)
    drawn = np.asarray(clusters(IMAGE, labels))
    assert len({tuple(pixel) for pixel in drawn[20]} - {(255, 255, 255)}) == 20


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the image's \(40, 60\) pixels, got \(60, 40\)"):
        overlay(IMAGE, np.zeros((60, 40)))
    with pytest.raises(ValueError, match="image: expected uint8"):
        clusters(IMAGE[..., 0], np.zeros((40, 60)))
