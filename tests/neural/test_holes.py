"""What is done to pictures before a model fills their hole, and afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.core.seeds import generator
from covar_gen.neural.holes import Canvas, canvas_of, continued


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return generator(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "native", "multiple", "expected"),
    [
        ((512, 512), 512, 8, ((512, 512), (512, 512))),
        ((512, 683), 512, 8, ((512, 683), (512, 688))),
        ((500, 375), 512, 8, ((683, 512), (688, 512))),
        ((480, 640), 512, 8, ((480, 640), (480, 640))),  # near enough
        ((512, 512), 1024, 16, ((1024, 1024), (1024, 1024))),
        ((2048, 2048), 512, 8, ((512, 512), (512, 512))),
        ((100, 1000), 512, 8, ((102, 1024), (104, 1024))),  # never longer than twice
        ((512, 690), 512, 16, ((512, 690), (512, 704))),
    ],
)
def test_a_canvas_has_the_models_own_size(
    picture: tuple[int, int], native: int, multiple: int, expected: tuple[object, object]
) -> None:
    canvas = canvas_of(np.zeros(picture, bool), native, multiple, 8)
    assert (canvas.resized, canvas.size) == expected


def test_colours_are_continued_from_the_nearest_ones() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48], image[:, 48:] = (200, 40, 90), (20, 150, 250)
    source = np.zeros((64, 96), bool)
    source[24:40, :8] = source[24:40, 88:] = True
    found = continued(np.where(source[..., None], image, 0).astype(np.uint8), source)
    assert np.array_equal(found[source], image[source])
    left, right = found[:, 8:24].reshape(-1, 3), found[:, -24:-8].reshape(-1, 3)
    assert np.abs(left.mean(0) - (200, 40, 90)).max() < 25
    assert np.abs(right.mean(0) - (20, 150, 250)).max() < 25
    assert found.min() >= 20 - 3  # no black leaks in
    steps = np.abs(np.diff(found[32, 8:88].astype(int), axis=0)).max()
    assert steps < 30


@pytest.mark.parametrize("seed", range(4))
def test_one_colour_is_continued_as_it_is(seed: int) -> None:
    source = generator(seed).random((37, 51)) < (0.001, 0.02, 0.3, 0.9)[seed]
    source[3, 4] = True
    image = np.where(source[..., None], np.array([9, 130, 251]), 77).astype(np.uint8)
    assert np.abs(continued(image, source).astype(int) - [9, 130, 251]).max() <= 1


def test_where_nothing_is_known_the_hole_is_grey_and_where_all_is_nothing_changes() -> None:
    image = noise(16, 24)
    assert (continued(image, np.zeros((16, 24), bool)) == 128).all()
    assert np.array_equal(continued(image, np.ones((16, 24), bool)), image)


def shown(fill: np.ndarray, mask: np.ndarray, overlap: int = 8) -> tuple[np.ndarray, np.ndarray]:
    canvas = canvas_of(fill, 64, 8, 8)
    return canvas.shown(noise(*fill.shape), fill, mask, overlap)


def test_the_models_hole_is_whole_latents_and_one_more_around() -> None:
    fill = np.zeros((64, 64), bool)
    fill[30, 30] = True  # in the latent 24..31
    nothing = np.zeros_like(fill)
    for overlap, reach in ((0, 0), (1, 8), (8, 8), (9, 16)):
        _, asked = shown(fill, nothing, overlap)
        expected = np.zeros_like(fill)
        expected[24 - reach : 32 + reach, 24 - reach : 32 + reach] = True
        assert np.array_equal(asked, expected), overlap


def test_the_object_is_shown_up_to_its_rim_and_the_hole_is_all_asked_for() -> None:
    fill = np.ones((64, 64), bool)
    fill[20:45, 21:50] = False
    picture, asked = shown(fill, ~fill)
    assert np.array_equal(asked, fill)
    assert np.array_equal(picture[~fill], noise(64, 64)[~fill])
    _, asked = shown(fill, np.zeros_like(fill))
    assert asked[~fill].any()


def test_no_colour_of_the_object_or_of_the_hole_is_continued() -> None:
    fill = np.zeros((64, 64), bool)
    fill[:, :30] = True
    mask = np.zeros_like(fill)
    mask[:, 30:50] = True
    levels = np.where(fill, 255, np.where(mask, 200, 10))
    image = np.repeat(levels[..., None], 3, 2).astype(np.uint8)
    picture, _ = canvas_of(fill, 64, 8, 8).shown(image, fill, mask, 8)
    assert picture[fill].max() <= 12
    assert (picture[mask] == 200).all()


def test_padding_repeats_the_edge_and_is_asked_for() -> None:
    fill = np.zeros((64, 70), bool)
    picture, asked = canvas_of(fill, 64, 8, 8).shown(noise(64, 70), fill, fill, 0)
    assert picture.shape == (64, 72, 3)
    assert np.array_equal(picture[:, 70:], np.repeat(noise(64, 70)[:, -1:], 2, 1))
    assert asked[:, 64:].all()  # the latent that the padding lies in
    assert not asked[:, :64].any()


@pytest.mark.parametrize("size", [(64, 64), (64, 70), (131, 90), (30, 41)])
def test_a_picture_comes_back_as_the_model_painted_it(size: tuple[int, int]) -> None:
    fill = generator(1).random(size) < 0.5
    canvas = canvas_of(fill, 64, 8, 8)
    y, x = np.mgrid[: canvas.size[0], : canvas.size[1]] / 200
    painted = np.dstack([y, x, 1 - y]).astype(np.float32)
    image = noise(*size)
    found = canvas.back(painted, image, fill, np.zeros_like(fill), 0)
    assert np.array_equal(found[~fill], image[~fill])
    y, x = np.mgrid[: size[0], : size[1]]
    scale = canvas.resized[0] / size[0]
    expected = ((y + 0.5) * scale - 0.5) / 200 * 255
    inside = fill & (y > 1) & (y < size[0] - 2)
    assert np.abs(found[..., 0] - expected)[inside].max() <= 1


def seam(feather: int, mask: np.ndarray | None = None) -> np.ndarray:
    """Known on the left at 100; the model paints everything at 140."""
    fill = np.zeros((64, 128), bool)
    fill[:, 40:] = True
    image = np.full((64, 128, 3), 100, np.uint8)
    canvas = Canvas((64, 128), (64, 128), (64, 128), 8)
    painted = np.full((64, 128, 3), 140 / 255, np.float32)
    return canvas.back(painted, image, fill, np.zeros_like(fill) if mask is None else mask, feather)


def test_a_fill_meets_the_known_pixels_and_is_the_models_own_further_away() -> None:
    assert (seam(0)[:, 40:] == 140).all()
    found = seam(16)[32, :, 0].astype(int)
    assert (found[:40] == 100).all()
    assert abs(found[40] - 100) <= 4
    assert (np.diff(found) >= 0).all()
    assert np.diff(found).max() <= 6
    assert (found[57:] == 140).all()


def test_the_objects_colours_draw_nothing() -> None:
    mask = np.zeros((64, 128), bool)
    mask[:, :40] = True
    assert (seam(16, mask)[:, 40:] == 140).all()


def test_values_outside_of_the_range_are_cut_off() -> None:
    fill = np.ones((8, 8), bool)
    painted = np.full((8, 8, 3), -0.5, np.float32)
    painted[4:] = 1.5
    canvas = Canvas((8, 8), (8, 8), (8, 8), 8)
    found = canvas.back(painted, noise(8, 8), fill, ~fill, 0)
    assert (found[:4] == 0).all()
    assert (found[4:] == 255).all()
