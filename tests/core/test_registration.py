"""An object that was moved, resized, relit and put before another background is found again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from covar_gen.core import registration
from covar_gen.core.arrays import Image, Mask
from covar_gen.core.matching import Subject
from covar_gen.core.registration import Estimate, NoEstimate, realigned, register

SCENES: dict[str, tuple[Callable[[], Image], tuple[tuple[int, int], tuple[int, int]]]] = {
    "cat": (data.chelsea, ((220, 150), (120, 110))),
    "coffee": (data.coffee, ((310, 190), (150, 130))),
    "rocket": (data.rocket, ((322, 200), (24, 190))),
}
"""Photograph, and centre and half axes of an ellipse over its object: x and y."""


def scene(name: str) -> tuple[Image, Mask]:
    read, (centre, axes) = SCENES[name]
    image = read()
    drawn = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(drawn, centre, axes, 0, 0, 360, 1, -1)
    return image, drawn > 0


def moved(
    image: Image, mask: Mask, scale: float, shift: tuple[float, float], *, seed: int = 0
) -> Image:
    """The object resized about its box's centre and shifted, relit, before another photograph."""
    height, width = mask.shape
    y, x = np.nonzero(mask)
    centre = np.array([x.min() + x.max(), y.min() + y.max()]) / 2
    offset = (1 - scale) * centre + np.array(shift) * (width, height)
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    there = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC)
    part = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height))[..., None]
    rng = np.random.default_rng(seed)
    ground = cv2.resize(data.astronaut(), (width, height))
    found = (there * part + ground * (1 - part)) * rng.uniform(0.7, 1.0) + rng.uniform(0, 30)
    return np.clip(np.rint(found + rng.normal(0, 8, found.shape)), 0, 255).astype(np.uint8)


def error(found: Estimate | NoEstimate, scale: float, shift: tuple[float, float]) -> float:
    assert isinstance(found, Estimate)
    apart = (found.scale - scale, found.shift_x - shift[0], found.shift_y - shift[1])
    return max(map(abs, apart))


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(
    ("scale", "shift"),
    [(1.0, (0.0, 0.0)), (1.2, (0.05, -0.03)), (0.8, (-0.1, 0.08)), (1.03, (-0.3, 0.05))],
)
def test_scale_and_shift_are_found_to_a_third_of_a_per_cent(
    name: str, scale: float, shift: tuple[float, float]
) -> None:
    image, mask = scene(name)
    found = register(image, mask, moved(image, mask, scale, shift))
    assert error(found, scale, shift) < 0.003
    assert isinstance(found, Estimate)
    assert found.match > 0.8


@settings(max_examples=8, deadline=None)
@given(
    scale=st.floats(0.7, 1.4),
    x=st.floats(-0.15, 0.15),
    y=st.floats(-0.1, 0.1),
    seed=st.integers(0, 99),
)
def test_any_movement_of_the_cat_is_found_to_half_a_per_cent(
    scale: float, x: float, y: float, seed: int
) -> None:
    image, mask = scene("cat")
    found = register(image, mask, moved(image, mask, scale, (x, y), seed=seed))
    assert error(found, scale, (x, y)) < 0.005


def test_an_unchanged_photograph_has_not_moved_at_all() -> None:
    image, mask = scene("coffee")
    found = register(image, mask, image)
    assert error(found, 1.0, (0.0, 0.0)) < 1e-4
    assert isinstance(found, Estimate)
    assert found.match > 0.999


def test_the_transform_takes_the_photograph_s_pixels_to_the_edited_image_s() -> None:
    image, mask = scene("cat")
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    wide = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2) > 0
    found = register(large, wide, moved(large, wide, 1.2, (0.05, -0.03)))
    assert isinstance(found, Estimate)
    y, x = np.nonzero(wide)
    centre = np.array([(x.min() + x.max()) / 2, (y.min() + y.max()) / 2])
    there = found.transform @ [*centre, 1.0]
    height, width = wide.shape
    assert there[:2] == pytest.approx(centre + np.array([0.05 * width, -0.03 * height]), abs=2)
    corner = found.transform @ [x.min(), centre[1], 1.0]
    assert (there - corner)[0] == pytest.approx(1.2 * (centre[0] - x.min()), rel=0.01)


@pytest.mark.parametrize("name", SCENES)
def test_another_photograph_is_unlike_wherever_one_looks(name: str) -> None:
    image, mask = scene(name)
    other = cv2.resize(data.astronaut(), mask.shape[::-1])
    found = register(image, mask, other)
    assert isinstance(found, NoEstimate)
    assert found.reason == "unlike"
    assert found.match is not None
    assert found.match < 0.45


def test_what_there_is_nothing_to_see_of_is_not_found() -> None:
    image, mask = scene("cat")
    plain = np.where(mask[..., None], np.uint8(90), image)
    assert register(plain, mask, image) == NoEstimate("plain_object")
    speck = np.zeros_like(mask)
    speck[100:107, 100:107] = True
    assert register(image, speck, image) == NoEstimate("small_object")
    assert register(image, np.zeros_like(mask), image) == NoEstimate("small_object")
    even = register(image, mask, np.full_like(image, 128))
    assert isinstance(even, NoEstimate)
    assert even.reason == "unlike"


def test_an_object_that_was_turned_upside_down_is_not_found() -> None:
    image, mask = scene("cat")
    found = register(image, mask, np.ascontiguousarray(image[::-1, ::-1]))
    assert isinstance(found, NoEstimate)


def test_images_of_other_sizes_are_refused() -> None:
    image, mask = scene("cat")
    with pytest.raises(ValueError, match="photograph's size"):
        register(image, mask, image[:-1])


def test_an_image_that_is_moved_back_has_its_object_where_the_photograph_has_it() -> None:
    image, mask = scene("cat")
    edited = moved(image, mask, 0.9, (0.06, -0.04))
    found = register(image, mask, edited)
    assert isinstance(found, Estimate)
    back, known = realigned(edited, found)
    assert error(register(image, mask, back), 1.0, (0.0, 0.0)) < 0.003
    assert back.shape == image.shape
    # By hand: edited column = 0.9 (column - 220) + 220 + 27, which leaves the 451 columns at 446;
    # the rows, 0.9 (row - 150) + 150 - 12, stay between 3 and 273 of 300.
    assert known[mask].all()
    assert known[1:-1, :441].all()
    assert not known[:, 448:].any()
    # What is missing is the mirror image of what is beside it, not black.
    assert back[~known].std() > 5
    assert np.abs(back[100:200, 448].astype(int) - back[100:200, 440]).mean() < 40


def disc(image: Image, centre: tuple[int, int], radius: int) -> Mask:
    drawn = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(drawn, centre, (radius, radius), 0, 0, 360, 1, -1)
    return drawn > 0


def test_a_small_object_that_went_far_is_found_by_its_features() -> None:
    image = data.chelsea()
    mask = disc(image, (122, 43), 26)
    shift = (0.36956453975531744 - 122 / 451, 0.6071321048661715 - 43 / 300)
    scale = 1.152975893513475
    found = register(image, mask, moved(image, mask, scale, shift, seed=4))
    assert error(found, scale, shift) < 0.01


def test_a_soft_object_without_features_is_found_by_its_picture() -> None:
    sharp, mask = scene("cat")
    image = cv2.GaussianBlur(sharp, (0, 0), 8)
    found = register(image, mask, moved(image, mask, 0.8, (0.2, -0.1)))
    assert error(found, 0.8, (0.2, -0.1)) < 0.01


def test_an_object_that_has_half_left_the_picture_is_not_found() -> None:
    image, mask = scene("cat")
    assert isinstance(register(image, mask, moved(image, mask, 1.0, (0.4, 0.0))), Estimate)
    gone = register(image, mask, moved(image, mask, 1.0, (0.53, 0.0)))
    assert isinstance(gone, NoEstimate)
    assert gone.reason == "unlike"


def test_a_small_object_must_be_more_alike_than_a_large_one() -> None:
    """615 pixels must reach 0.5 + 6 / sqrt(615) = 0.74: something always resembles so little."""
    image = data.coffee()
    other = cv2.resize(data.astronaut(), (600, 400))
    found = register(image, disc(image, (180, 60), 14), other)
    assert isinstance(found, NoEstimate)
    assert found.match is not None
    assert found.match > 0.5


def test_an_object_is_worked_out_once_for_all_backgrounds_and_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registration, "_subjects", {})
    made: list[Subject] = []

    def counted(here: np.ndarray, inside: np.ndarray) -> Subject:
        made.append(Subject(here, inside))
        return made[-1]

    monkeypatch.setattr(registration, "Subject", counted)
    image, mask = scene("cat")
    edits = [moved(image, mask, 1.1, (0.02, 0.01), seed=seed) for seed in range(3)]
    first = [register(image, mask, edited) for edited in edits]
    assert len(made) == 1
    other, less = image.copy(), mask.copy()
    other[mask] = 255 - other[mask]
    less[: mask.shape[0] // 2] = False
    assert register(other, mask, edits[0]) != first[0]
    assert register(image, less, edits[0]) != first[0]
    assert len(made) == 3
    for level in range(5):
        register(np.full_like(image, level), mask, edits[0])
    assert len(registration._subjects) == 4
    # Worked out anew, and by several threads at once: the same numbers.
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(lambda edited: register(image, mask, edited), edits))
    assert len(made) == 3 + 5 + 1
    for one, two in zip(first, again, strict=True):
        assert isinstance(one, Estimate)
        assert isinstance(two, Estimate)
        assert (one.scale, one.shift_x, one.shift_y, one.match) == (
            two.scale, two.shift_x, two.shift_y, two.match,
        )  # fmt: skip
