"""Each variant does what it records: in pixels, in its mask, and in its factors."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.errors import PluginError
from covar_gen.core.plugins import make, names
from covar_gen.core.seeds import generator, seed_of
from covar_gen.variants.base import Variant, Varied

HEIGHT, WIDTH = 96, 128
OURS = ("hflip", "vflip", "crop", "rotation", "translate")
FACTORS = {
    "hflip": set(),
    "vflip": set(),
    "crop": {"crop_area"},
    "rotation": {"angle_deg"},
    "translate": {"shift_x", "shift_y"},
}


def variant(name: str, **options: float) -> Variant:
    return make("variants", name, Variant, options)


def seeds(count: int) -> list[int]:
    return [seed_of(1, "geometry", f"c/p{n}/00/x") for n in range(count)]


def disc(x: float = 60, y: float = 46, radius: float = 21) -> tuple[Image, Mask]:
    """A bright disc on a dark ground, and where it is."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    image = np.where(mask[..., None], [240, 200, 160], [30, 40, 20]).astype(np.uint8)
    return image, mask


def vary(name: str, seed: int, image: Image, mask: Mask, **options: float) -> Varied:
    return variant(name, **options).vary(image, mask, generator(seed))


def moved(varied: Varied, x: float, y: float) -> tuple[float, float]:
    assert varied.transform is not None
    a, b, depth = varied.transform @ [x, y, 1.0]
    return float(a / depth), float(b / depth)


def test_the_five_variants_of_the_paper_are_there() -> None:
    assert set(OURS) <= set(names("variants"))


@pytest.mark.parametrize("name", OURS)
def test_a_variant_is_the_parent_s_size_and_zero_where_unknown(name: str) -> None:
    image, mask = disc()
    before = image.copy(), mask.copy()
    for seed in seeds(8):
        varied = vary(name, seed, image, mask)
        assert varied.image.shape == image.shape
        assert varied.mask.shape == varied.known.shape == mask.shape
        dtypes = [array.dtype for array in (varied.image, varied.mask, varied.known)]
        assert dtypes == [np.uint8, np.bool_, np.bool_]
        assert not varied.image[~varied.known].any()
        assert set(varied.factors) == FACTORS[name]
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("name", OURS)
def test_the_same_seed_gives_the_same_variant(name: str) -> None:
    image, mask = disc()
    one, other = vary(name, 5, image, mask), vary(name, 5, image, mask)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.mask, other.mask)
    assert np.array_equal(one.known, other.known)
    assert one.factors == other.factors
    if FACTORS[name]:
        assert vary(name, 6, image, mask).factors != one.factors


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(("x", "y"), [(50, 40), (80, 60), (64, 35)])
def test_a_point_lands_where_the_transform_says(name: str, x: int, y: int) -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    spot = np.exp(((columns - x) ** 2 + (rows - y) ** 2) / -8.0)
    image = np.repeat((spot * 240).astype(np.uint8)[..., None], 3, axis=2)
    for seed in seeds(5):
        varied = vary(name, seed, image, spot > 0.5)
        weights = varied.image[..., 0].astype(np.float64)
        found = (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()
        assert found == pytest.approx(moved(varied, x, y), abs=0.15)


@pytest.mark.parametrize("name", OURS)
def test_the_mask_follows_the_object(name: str) -> None:
    image, mask = disc()
    for seed in seeds(12):
        varied = vary(name, seed, image, mask)
        shown = varied.known & (varied.image[..., 0] > 135)
        sure = varied.mask & varied.known
        assert (shown & sure).sum() / (shown | sure).sum() > 0.96
        assert varied.mask.any()


def test_flips_are_exact_and_draw_nothing() -> None:
    image = generator(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    mask = image[..., 0] > 99
    across, over = vary("hflip", 1, image, mask), vary("vflip", 1, image, mask)
    assert np.array_equal(across.image, np.fliplr(image))
    assert np.array_equal(across.mask, np.fliplr(mask))
    assert np.array_equal(over.image, np.flipud(image))
    assert np.array_equal(over.mask, np.flipud(mask))
    assert across.known.all()
    assert over.known.all()
    assert moved(across, 0, 5) == (WIDTH - 1, 5)
    assert moved(over, 7, 0) == (7, HEIGHT - 1)


def test_rotations_fill_their_range_evenly_and_turn_counter_clockwise() -> None:
    image, mask = disc()
    turned = [vary("rotation", seed, image, mask) for seed in seeds(150)]
    angles = np.array([varied.factors["angle_deg"] for varied in turned])
    assert angles.min() >= -45
    assert angles.max() < 45
    assert angles.min() < -40
    assert angles.max() > 40
    assert 50 < (angles > 0).sum() < 100
    centre_x, centre_y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    for varied, angle in zip(turned, angles, strict=True):
        assert moved(varied, centre_x, centre_y) == pytest.approx((centre_x, centre_y))
        x, y = moved(varied, centre_x + 30, centre_y)
        # Up is where rows are smaller.
        assert math.degrees(math.atan2(centre_y - y, x - centre_x)) == pytest.approx(angle)
        assert math.hypot(x - centre_x, y - centre_y) == pytest.approx(30)


def test_a_positive_rotation_is_numpys() -> None:
    image = generator(3).integers(0, 256, (49, 49, 3)).astype(np.uint8)
    mask = image[..., 0] > 200
    drawn = {seed: vary("rotation", seed, image, mask).factors["angle_deg"] for seed in seeds(50)}
    seed = next(seed for seed, angle in drawn.items() if angle > 23)
    varied = vary("rotation", seed, image, mask, most_deg=90 * 45 / drawn[seed])
    assert varied.factors["angle_deg"] == pytest.approx(90)
    assert varied.known[4:-4, 4:-4].all()
    difference = varied.image[varied.known].astype(int) - np.rot90(image)[varied.known]
    assert np.abs(difference).max() <= 1


def test_translations_fill_their_range_in_whole_pixels() -> None:
    image, mask = disc()
    shifts = []
    for seed in seeds(150):
        varied = vary("translate", seed, image, mask)
        x, y = varied.factors["shift_x"] * WIDTH, varied.factors["shift_y"] * HEIGHT
        assert x == pytest.approx(round(x))
        assert y == pytest.approx(round(y))
        assert abs(varied.factors["shift_x"]) <= 0.2
        assert abs(varied.factors["shift_y"]) <= 0.2
        assert moved(varied, 10, 20) == pytest.approx((10 + x, 20 + y))
        shifts.append((round(x), round(y)))
    # 20% of 128 and of 96 pixels are 25.6 and 19.2.
    across, down = np.array(shifts).T
    assert {across.min() <= -22, across.max() >= 22, down.min() <= -16, down.max() >= 16} == {True}
    assert across.min() >= -25
    assert across.max() <= 25
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.25


def test_a_translation_to_the_right_and_down_copies_the_upper_left() -> None:
    image = generator(2).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    for seed in seeds(60):
        varied = vary("translate", seed, image, mask)
        x, y = (round(v) for v in moved(varied, 0, 0))
        if x > 0 and y > 0:
            assert np.array_equal(varied.image[y:, x:], image[:-y, :-x])
            assert varied.known[y:, x:].all()
            assert not varied.known[:y].any()
            assert not varied.known[:, :x].any()
            assert np.array_equal(varied.mask, varied.known)
            return
    pytest.fail("no seed shifts to the right and down")


@pytest.mark.parametrize(("height", "width"), [(96, 128), (512, 683), (97, 131), (33, 48)])
def test_crops_are_centred_and_of_the_area_that_they_record(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.ones((height, width), np.bool_)
    areas = []
    for seed in seeds(60):
        varied = vary("crop", seed, image, mask)
        area = varied.factors["crop_area"]
        assert 0.6 <= area <= 0.9
        assert varied.known.all()
        assert varied.mask.all()
        centre = (width - 1) / 2, (height - 1) / 2
        assert moved(varied, *centre) == pytest.approx(centre)
        assert varied.transform is not None
        zoom_x, zoom_y = varied.transform[0, 0], varied.transform[1, 1]
        assert 1 / (zoom_x * zoom_y) == pytest.approx(area)
        # Each edge is cut to within two pixels: that is all by which the aspect ratio changes.
        assert abs(zoom_x / zoom_y - 1) <= (2 / height + 2 / width) / 0.7
        areas.append(area)
    assert min(areas) < 0.65
    assert max(areas) > 0.85


def test_a_crop_of_a_large_image_is_uniform_in_area() -> None:
    image = np.zeros((600, 800, 3), np.uint8)
    mask = np.ones((600, 800), np.bool_)
    areas = np.array([vary("crop", s, image, mask).factors["crop_area"] for s in seeds(200)])
    assert np.histogram(areas, bins=3, range=(0.6, 0.9))[0].min() > 45


@pytest.mark.parametrize("edges", [(16, 16), (16, 23), (17, 400)])
def test_a_crop_of_the_smallest_images_is_still_in_its_range(edges: tuple[int, int]) -> None:
    image, mask = np.zeros((*edges, 3), np.uint8), np.ones(edges, np.bool_)
    areas = [vary("crop", s, image, mask).factors["crop_area"] for s in seeds(60)]
    assert min(areas) >= 0.6
    assert max(areas) <= 0.9


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("crop", {"least": 0.8, "most": 0.7}),
        ("crop", {"most": 1.0}),
        ("rotation", {"most_deg": 0}),
        ("rotation", {"most_deg": 181}),
        ("translate", {"most": 1}),
        ("translate", {"most": "far"}),
        ("hflip", {"most": 1}),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(PluginError):
        variant(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "least", "most"),
    [
        ("crop", {"least": 0.3, "most": 0.4}, 0.3, 0.4),
        ("rotation", {"most_deg": 10}, -10, 10),
        ("translate", {"most": 0.05}, -0.05, 0.05),
    ],
)
def test_options_set_the_range(
    name: str, options: dict[str, float], least: float, most: float
) -> None:
    image, mask = disc()
    drawn = [v for s in seeds(60) for v in vary(name, s, image, mask, **options).factors.values()]
    assert least <= min(drawn) < least + 0.2 * (most - least)
    assert most >= max(drawn) > most - 0.2 * (most - least)


def test_options_do_not_change_once_they_are_made() -> None:
    with pytest.raises(ValidationError):
        variant("crop").options.least = 0.1  # type: ignore[attr-defined]
