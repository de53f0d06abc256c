"""The toy world: exact masks, pictures that follow from their seed, classes told apart."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.toys.shapes import SILHOUETTES, polygon
from covar_gen.toys.world import (
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    SIZE,
    TYPICAL,
    before,
    draw_background,
    draw_object,
    render,
)


def test_there_are_eight_classes_and_eight_backgrounds_one_typical_of_each() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == len(BACKGROUNDS) == len(set(BACKGROUNDS)) == 8
    assert [TYPICAL[name] for name in CLASSES] == list(BACKGROUNDS)


def test_a_polygon_holds_what_lies_inside_its_corners() -> None:
    v, u = np.meshgrid(np.arange(5, dtype=np.float32), np.arange(5, dtype=np.float32))
    square = polygon(u, v, [(0.5, 1.5), (3.5, 1.5), (3.5, 2.5), (0.5, 2.5)])
    assert np.argwhere(square).tolist() == [[1, 2], [2, 2], [3, 2]]
    triangle = polygon(u, v, [(-0.5, -0.5), (2.6, -0.5), (-0.5, 2.6)])
    assert np.argwhere(triangle).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]


@pytest.mark.parametrize("name", CLASSES)
def test_a_silhouette_stays_in_its_square_and_fills_some_of_it(name: str) -> None:
    line = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    u, v = np.meshgrid(line, line)
    inside = SILHOUETTES[name](u, v)
    assert not inside[np.maximum(abs(u), abs(v)) > 1.025].any()
    assert 0.1 < inside[(abs(u) < 1) & (abs(v) < 1)].mean() < 0.8


@pytest.mark.parametrize("name", CLASSES)
def test_the_mask_is_where_the_picture_differs_from_its_background(name: str) -> None:
    for seed in range(5):
        picture, drawn = render(name, TYPICAL[name], seed)
        background = draw_background(TYPICAL[name], (SIZE, SIZE), seed)
        assert picture.dtype == np.uint8
        assert picture.shape == (SIZE, SIZE, 3)
        assert np.array_equal(picture[~drawn.mask], background[~drawn.mask])
        assert np.array_equal(picture[drawn.mask], drawn.image[drawn.mask])
        # A pixel of the object may by chance have the background's colour.
        differs = (picture != background).any(axis=2)
        assert differs[drawn.mask].mean() > 0.99
        lit = drawn.image[drawn.mask].max(axis=1)
        # Most of the object lies within its dark rim.
        assert np.median(lit) > 120
        assert not drawn.image[~drawn.mask].any()


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size", [33, 96, 200])
def test_an_object_lies_wholly_inside_its_picture(name: str, size: int) -> None:
    for seed in range(12):
        mask = draw_object(name, size, seed).mask
        assert mask.any()
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


def test_one_seed_is_one_picture_and_another_seed_another() -> None:
    first, again = render("fish", "grey pebbles", 5), render("fish", "grey pebbles", 5)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1].mask, again[1].mask)
    other = render("fish", "grey pebbles", 6)
    assert not np.array_equal(first[1].mask, other[1].mask)
    assert not np.array_equal(first[0], other[0])


def test_the_object_does_not_depend_on_its_background_nor_the_background_on_the_object() -> None:
    here, there = render("ring", "red bricks", 9), render("ring", "blue waves", 9)
    assert np.array_equal(here[1].image, there[1].image)
    ring, star = render("ring", "red bricks", 9), render("star", "red bricks", 9)
    neither = ~ring[1].mask & ~star[1].mask
    assert np.array_equal(ring[0][neither], star[0][neither])


def test_colours_have_nothing_to_do_with_the_class() -> None:
    for name in CLASSES:
        found = {draw_object(name, 32, seed).colour for seed in range(80)}
        assert found == set(COLOURS)
    assert draw_object("ring", 32, 3).colour == draw_object("fish", 32, 3).colour


def test_classes_are_told_apart_by_the_areas_and_outlines_of_their_masks() -> None:
    # Between the mean silhouettes of two classes lies more than between two halves of one.
    line = np.linspace(-1, 1, 64, dtype=np.float32)
    u, v = np.meshgrid(line, -line)
    masks = [SILHOUETTES[name](u, v) for name in CLASSES]
    for place, mask in enumerate(masks):
        for other in masks[place + 1 :]:
            assert (mask & other).sum() / (mask | other).sum() < 0.75


def test_backgrounds_are_told_apart_by_their_mean_colour_and_their_contrast() -> None:
    def facts(description: str, seed: int) -> list[float]:
        picture = draw_background(description, (64, 64), seed).astype(float)
        steps = abs(np.diff(picture, axis=0)).mean(), abs(np.diff(picture, axis=1)).mean()
        return [*picture.mean(axis=(0, 1)), *picture.std(axis=(0, 1)), *steps]

    known = {d: np.mean([facts(d, seed) for seed in range(8)], axis=0) for d in BACKGROUNDS}
    for description in BACKGROUNDS:
        for seed in range(100, 108):
            seen = np.array(facts(description, seed))
            nearest = min(known, key=lambda d: float(abs(known[d] - seen).sum()))
            assert nearest == description


@pytest.mark.parametrize("description", BACKGROUNDS)
def test_a_background_takes_any_shape_and_varies_with_its_seed(description: str) -> None:
    wide = draw_background(description, (40, 90, 3), 1)
    assert wide.shape == (40, 90, 3)
    assert wide.dtype == np.uint8
    assert not np.array_equal(wide, draw_background(description, (40, 90), 2))


def test_an_object_is_laid_over_any_picture_of_its_size() -> None:
    drawn = draw_object("heart", 32, 0)
    grey = np.full((32, 32, 3), 77, np.uint8)
    result = before(drawn, grey)
    assert (result[~drawn.mask] == 77).all()
    assert np.array_equal(result[drawn.mask], drawn.image[drawn.mask])
