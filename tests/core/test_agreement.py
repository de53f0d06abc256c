"""How far an edited image still shows the photograph's object."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from covar_gen.core.agreement import (
    RIM,
    Agreement,
    Beside,
    _resized,
    beside,
    colour,
    iou,
    ssim,
)
from covar_gen.core.arrays import Image, Mask, Matrix
from covar_gen.core.registration import Estimate, register


@pytest.fixture(scope="module")
def cat() -> tuple[Image, Mask]:
    image = data.chelsea()
    drawn = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(drawn, (220, 150), (120, 110), 0, 0, 360, 1, -1)
    return image, drawn > 0


def moved(scale: float, shift: tuple[float, float], at: tuple[int, int] = (220, 150)) -> Matrix:
    offset = (1 - scale) * np.array(at) + shift
    return np.array([[scale, 0, offset[0]], [0, scale, offset[1]], [0, 0, 1.0]])


def redrawn(image: Image, mask: Mask, matrix: Matrix) -> Image:
    """The object at another place, before green."""
    size = mask.shape[::-1]
    there = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_CUBIC)
    part = cv2.warpAffine(mask.astype(np.float32), matrix[:2], size)[..., None]
    found = there * part + np.array([10, 160, 40]) * (1 - part)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def grainy(image: Image, amount: float) -> Image:
    noise = np.random.default_rng(0).normal(0, amount, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def whole(here: Image, there: Image) -> Beside:
    return Beside(here, there, np.ones(here.shape[:2], np.bool_), 1.0)


def test_an_object_before_another_background_agrees_perfectly(cat: tuple[Image, Mask]) -> None:
    image, mask = cat
    pair = beside(image, mask, np.where(mask[..., None], image, np.uint8(99)))
    assert ssim(pair) == pytest.approx(1, abs=1e-12)
    assert colour(pair) == 0
    assert pair.seen == 1
    assert iou(mask, mask) == 1


def test_what_is_around_the_object_counts_for_nothing(cat: tuple[Image, Mask]) -> None:
    image, mask = cat
    one, other = (
        beside(image, mask, np.where(mask[..., None], grainy(image, 20), np.uint8(level)))
        for level in (0, 255)
    )
    assert ssim(one) == ssim(other)
    assert ssim(one) < 0.9
    assert colour(one) == colour(other)


def test_the_rim_of_three_pixels_is_not_compared() -> None:
    image = data.astronaut()[:60, :60]
    mask = np.zeros((60, 60), np.bool_)
    mask[20:40, 10:50] = True
    pair = beside(image, mask, image)
    rows, columns = np.nonzero(pair.inside)
    # A pixel's distance is that to the nearest pixel outside: the third from the edge has 3.
    assert RIM == 3
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (22, 37, 12, 47)


def test_the_formula_is_scikit_images_where_windows_are_whole() -> None:
    here = data.astronaut()[100:180, 180:280]
    there = grainy(here, 25)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float) for image in (here, there)]
    _, values = structural_similarity(
        *grey, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        full=True,
    )  # fmt: skip
    # Away from the picture's edge all windows are whole; one pixel is weighed by its own window.
    for y, x in ((40, 50), (20, 30), (7, 9)):
        around = np.zeros((80, 100), np.bool_)
        around[y - 5 : y + 6, x - 5 : x + 6] = True
        one = Beside(here, there, around, 1.0)
        assert _at(one, y, x) == pytest.approx(values[y, x], abs=1e-9)


def _at(pair: Beside, y: int, x: int) -> float:
    """The value at one pixel, by the published formula on the object's pixels around it."""
    inside = pair.inside
    grey = [
        cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(float)
        for image in (pair.expected, pair.found)
    ]
    rows, columns = np.nonzero(inside)
    near = (abs(rows - y) <= 5) & (abs(columns - x) <= 5)
    rows, columns = rows[near], columns[near]
    weight = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    a, b = (plane[rows, columns] for plane in grey)
    first, second = (weight * a).sum(), (weight * b).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    common = (weight * (a - first) * (b - second)).sum()
    spread = (weight * ((a - first) ** 2 + (b - second) ** 2)).sum()
    return float(
        (2 * first * second + c1) / (first**2 + second**2 + c1) * (2 * common + c2) / (spread + c2)
    )


def test_windows_weigh_the_objects_pixels_alone() -> None:
    """By the formula, pixel by pixel, on an object of a few pixels."""
    rng = np.random.default_rng(1)
    here, there = rng.integers(0, 256, (2, 14, 15, 3)).astype(np.uint8)
    inside = np.zeros((14, 15), np.bool_)
    inside[2:9, 3:7] = inside[5:12, 6:13] = True
    pair = Beside(here, there, inside, 1.0)
    by_hand = [_at(pair, y, x) for y, x in zip(*np.nonzero(inside), strict=True)]
    assert ssim(pair) == pytest.approx(np.mean(by_hand), abs=1e-9)


def test_black_and_white_are_as_different_as_can_be() -> None:
    """SSIM: (c1) / (255² + c1); CIEDE2000 of L* 0 and 100 is 100."""
    black, white = np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)
    assert ssim(whole(black, white)) == pytest.approx(6.5025 / (65025 + 6.5025), rel=1e-6)
    assert colour(whole(black, white)) == pytest.approx(100, abs=0.01)


def test_the_colour_difference_is_the_mean_over_the_objects_pixels() -> None:
    here = np.full((4, 4, 3), 120, np.uint8)
    there = here.copy()
    there[0] = [180, 60, 60]
    inside = np.ones((4, 4), np.bool_)
    inside[3] = False
    one = deltaE_ciede2000(rgb2lab(here[0, 0] / 255), rgb2lab(there[0, 0] / 255))
    assert one > 20
    assert colour(Beside(here, there, inside, 1.0)) == pytest.approx(one / 3)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1.0, (25, -12)), (1.15, (0, 0)), (0.8, (30, 10)), (1.05, (-40.5, 7.25))]
)
def test_an_object_that_moved_agrees_once_it_is_registered(
    cat: tuple[Image, Mask], scale: float, shift: tuple[float, float]
) -> None:
    image, mask = cat
    edited = redrawn(image, mask, moved(scale, shift))
    place = register(image, mask, edited)
    assert isinstance(place, Estimate)
    there = beside(image, mask, edited, place.transform)
    here = beside(image, mask, edited)
    assert ssim(there) > 0.96
    assert colour(there) < 1.5
    assert ssim(here) < ssim(there) - 0.2
    outline = redrawn(np.full_like(image, 255), mask, moved(scale, shift))[..., 0] > 132
    assert iou(mask, outline, place.transform) > 0.98
    assert iou(mask, outline) < 0.95


def test_another_object_does_not_agree(cat: tuple[Image, Mask]) -> None:
    image, mask = cat
    other = cv2.resize(data.astronaut(), image.shape[1::-1])
    pair = beside(image, mask, np.asarray(other, np.uint8))
    assert ssim(pair) < 0.4
    assert colour(pair) > 15


def test_more_noise_and_more_colour_agree_less(cat: tuple[Image, Mask]) -> None:
    image, mask = cat
    noisy = [beside(image, mask, grainy(image, amount)) for amount in (0, 4, 10, 25, 60)]
    values = [ssim(pair) for pair in noisy]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 5
    distances = [colour(pair) for pair in noisy]
    assert distances == sorted(distances)
    tinted = []
    for amount in (0, 5, 15, 40):
        levels = np.clip(np.add(image, [amount, 0, -amount]), 0, 255).astype(np.uint8)
        tinted.append(colour(beside(image, mask, levels)))
    assert tinted == sorted(tinted)
    assert len(set(tinted)) == 4


def test_a_photograph_of_any_size_is_measured_alike(cat: tuple[Image, Mask]) -> None:
    """Above 512 pixels both are shrunk, and the movement with them."""
    image, mask = cat
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    outline = cv2.resize(mask.astype(np.uint8), None, fx=3, fy=3) > 0
    matrix = moved(1.1, (60, -30), (660, 450))
    edited = redrawn(np.asarray(large, np.uint8), outline, matrix)
    pair = beside(np.asarray(large, np.uint8), outline, edited, matrix)
    assert pair.found.shape == (341, 512, 3)
    assert ssim(pair) > 0.98
    assert colour(pair) < 0.8


def test_a_movement_that_keeps_the_corner_keeps_it_at_any_size() -> None:
    """Pixel centres lie at integers, the picture's corner at -0.5: 2 x + 0.5 leaves it there."""
    move = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    assert np.allclose(_resized(move, 0.5, 0.2), move)
    shift = np.array([[1, 0, 30], [0, 1, -10], [0, 0, 1.0]])
    assert np.allclose(_resized(shift, 0.5, 0.2), [[1, 0, 15], [0, 1, -2], [0, 0, 1]])


def test_details_too_fine_for_a_smaller_object_average_out() -> None:
    board = np.indices((120, 120)).sum(0) % 2 * 255
    image = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    mask = np.zeros((120, 120), np.bool_)
    mask[30:90, 30:90] = True
    pair = beside(image, mask, np.full_like(image, 128), moved(0.5, (0.25, 0.25), (60, 60)))
    assert pair.inside.any()
    levels = pair.expected[pair.inside].astype(int)
    assert abs(levels - 128).max() < 16


def test_what_lies_beyond_the_photographs_edge_is_not_compared() -> None:
    image = data.astronaut()[100:160, 100:160]
    mask = np.zeros((60, 60), np.bool_)
    mask[20:40, :5] = True
    pair = beside(image, mask, image, moved(1.0, (10.0, 0.0)))
    # Moved by whole pixels they stay as they are, as far as the filter sees the photograph.
    assert pair.inside.any()
    assert np.array_equal(pair.expected[pair.inside], np.roll(image, 10, 1)[pair.inside])


def test_what_of_the_object_left_the_picture_is_said(cat: tuple[Image, Mask]) -> None:
    image, _ = cat
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[100:200, 300:400] = True
    matrix = moved(1.0, (76.0, 0.0))
    pair = beside(image, mask, redrawn(image, mask, matrix), matrix)
    # Columns 300 to 399 of a picture of 451 now begin at 376: 75 of 100 are left.
    assert pair.seen == 0.75
    up = beside(image, mask, image, moved(1.0, (0.0, -130.0)))
    assert up.seen == 0.7
    gone = beside(image, mask, image, moved(1.0, (400.0, 0.0)))
    assert (gone.seen, ssim(gone), colour(gone)) == (0.0, None, None)


def test_an_object_too_small_to_be_seen_has_no_numbers() -> None:
    image = np.zeros((2048, 2048, 3), np.uint8)
    mask = np.zeros((2048, 2048), np.bool_)
    mask[7, 9] = True
    pair = beside(image, mask, image)
    assert (ssim(pair), colour(pair), pair.seen) == (None, None, 1.0)
    assert beside(image, np.zeros_like(mask), image).seen == 0


def test_intersection_over_union_is_counted() -> None:
    mask, found = np.zeros((2, 10, 10), np.bool_)
    mask[2:6, 2:6] = True
    found[2:6, 4:8] = True
    assert iou(mask, found) == 8 / 24
    assert iou(mask, found, moved(1.0, (2.0, 0.0))) == 1
    assert iou(mask, np.zeros_like(mask)) == 0
    assert iou(np.zeros_like(mask), np.zeros_like(mask)) is None


def test_sizes_that_differ_are_a_mistake(cat: tuple[Image, Mask]) -> None:
    image, mask = cat
    with pytest.raises(ValueError, match="must have the photograph's size"):
        beside(image, mask, image[:-1])
    with pytest.raises(ValueError, match="must have the photograph's size"):
        beside(image, mask[:-1], image)


NUMBERS = {"iou": 0.5, "similarity": 0.5, "ssim": 0.5, "colour": 5.0}


@pytest.mark.parametrize(
    ("limit", "value", "failed"),
    [
        ({"min_iou": 0.5, "segmenter": "grabcut"}, {}, []),
        ({"min_iou": 0.51, "segmenter": "grabcut"}, {}, ["min_iou"]),
        ({"min_similarity": 0.5}, {}, []),
        ({"min_similarity": 0.51}, {}, ["min_similarity"]),
        ({"min_ssim": 0.5}, {}, []),
        ({"min_ssim": 0.51}, {}, ["min_ssim"]),
        ({"max_colour": 5.0}, {}, []),
        ({"max_colour": 4.9}, {}, ["max_colour"]),
        ({"max_colour": 4.9, "min_ssim": 0.6}, {}, ["min_ssim", "max_colour"]),
        ({"max_colour": 100.0}, {"colour": None}, ["max_colour"]),
        ({"min_ssim": -1.0}, {"ssim": None}, ["min_ssim"]),
        ({}, dict.fromkeys(NUMBERS), []),
    ],
)
def test_limits_are_kept_or_not(
    limit: dict[str, object], value: dict[str, None], failed: list[str]
) -> None:
    """A limit itself is kept; what could not be measured keeps none."""
    assert Agreement.model_validate(limit).failing(**{**NUMBERS, **value}) == failed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_iou": 0.5}, "needs a segmenter"),
        ({"min_similarity": 0.5, "network": "none"}, "needs a network"),
        ({"min_iou": 1.5, "segmenter": "grabcut"}, "less than or equal to 1"),
        ({"max_color": 3}, "not permitted"),
        ({"min_ssim": "0.5"}, "valid number"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Agreement.model_validate(given)
