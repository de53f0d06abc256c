"""GrabCut outlines what stands out, in drawings and in photographs, and never depends on more."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.outlines import measured
from covar_gen.core.photographs import read_photograph
from covar_gen.core.plugins import make
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest
from covar_gen.segmenters.grabcut import _tidy


@cache
def photograph(name: str) -> Image:
    import skimage

    path = Path(skimage.__file__).parent / "data" / name
    image = read_photograph(path.read_bytes(), 512)
    assert isinstance(image, np.ndarray)
    return image


def disc(
    centre: tuple[int, int], radius: float, size: tuple[int, int] = (240, 320)
) -> tuple[Image, Mask]:
    """An orange disc on textured green ground; centre is (x, y)."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    noise = np.random.Generator(np.random.PCG64(3)).normal(0, 14, (*size, 1))
    colours = np.where(mask[..., None], (200, 120, 40), (70, 110, 60)) + noise
    return np.clip(colours, 0, 255).astype(np.uint8), mask


def request(image: Image, seed: int = 5, key: str = "a") -> SegmentRequest:
    return SegmentRequest(key, image, "thing", seed)


def grabcut(**options: float) -> Segmenter:
    return make("segmenters", "grabcut", Segmenter, options)


def outline(image: Image, **options: float) -> Segmentation:
    answer = grabcut(**options).segment([request(image)])[0]
    assert isinstance(answer, Segmentation), answer
    return answer


def refusal(image: Image, **options: float) -> Rejected:
    answer = grabcut(**options).segment([request(image)])[0]
    assert isinstance(answer, Rejected)
    return answer


def overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize(("centre", "radius"), [((160, 120), 60), ((110, 140), 30)])
def test_a_disc_on_textured_ground_is_outlined(centre: tuple[int, int], radius: float) -> None:
    image, truth = disc(centre, radius)
    found = outline(image)
    assert overlap(found.mask, truth) > 0.95
    assert measured(found.mask).components == 1
    assert measured(found.mask).border == 0


def test_a_disc_cut_off_by_the_border_touches_it() -> None:
    image, truth = disc((160, 215), 70)
    found = outline(image)
    assert overlap(found.mask, truth) > 0.9
    # The disc's chord on the lower border: 2 sqrt(70^2 - 24^2) of the 1116 outermost pixels.
    assert measured(found.mask).border == pytest.approx(131.5 / 1116, abs=0.01)


def test_a_small_hole_is_closed_a_large_one_and_a_bay_stay() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[10:30, 0:40] = True  # 800 pixels, of which 1% are 8
    mask[12:14, 5:8] = False  # 6 pixels: closed
    mask[20:24, 20:25] = False  # 20 pixels: stays
    mask[15:17, 0:2] = False  # 4 pixels, open to the border: stay
    tidy = _tidy(mask, np.ones((40, 40), np.float32), part=0.25, hole=0.01)
    expected = mask.copy()
    expected[12:14, 5:8] = True
    assert np.array_equal(tidy, expected)


def test_far_smaller_parts_are_left_out() -> None:
    image, truth = disc((160, 120), 60)
    other, speck = disc((265, 60), 12)
    image = np.where(speck[..., None], other, image)
    assert not outline(image).mask[speck].any()
    assert outline(image, part=0).mask[speck].mean() > 0.5
    assert overlap(outline(image).mask, truth) > 0.95


PHOTOGRAPHS = {
    # name: points (x, y) of the object, points of the background, seen by eye at 512 pixels
    "coffee.png": (
        [(420, 110), (330, 250), (440, 300), (560, 260), (220, 320), (350, 350)],
        [(60, 60), (120, 450), (700, 100), (700, 450), (600, 480), (250, 40)],
    ),
    "rocket.jpg": (
        [(384, 300), (384, 350), (384, 420), (383, 240)],
        [(100, 100), (320, 250), (450, 350), (650, 200), (60, 400), (240, 300)],
    ),
    "chelsea.png": (
        [(395, 250), (285, 235), (430, 340), (400, 180)],
        [(720, 100), (740, 440), (20, 40), (690, 250)],
    ),
    "camera.png": (
        [(150, 300), (210, 90), (100, 400), (50, 280), (270, 185)],
        [(400, 60), (450, 400), (40, 60), (250, 450), (400, 250)],
    ),
    "astronaut.png": (
        [(150, 320), (230, 220), (110, 380)],
        [(330, 60), (20, 40), (440, 200), (470, 350), (60, 230)],
    ),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_s_object_is_inside_and_its_background_outside(name: str) -> None:
    inside, outside = PHOTOGRAPHS[name]
    mask = outline(photograph(name)).mask
    assert mask.shape == photograph(name).shape[:2]
    assert [point for point in inside if not mask[point[1], point[0]]] == []
    assert [point for point in outside if mask[point[1], point[0]]] == []


def test_alone_in_a_batch_in_another_thread_and_with_more_threads_the_bytes_are_the_same() -> None:
    import cv2

    image = photograph("rocket.jpg")[::2, ::2]
    other, _ = disc((100, 100), 40)
    segmenter = grabcut()
    alone = segmenter.segment([request(image)])[0]
    cv2.setRNGSeed(99)
    batch = segmenter.segment([request(other, 1, "b"), request(image), request(other, 2, "c")])
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(segmenter.segment, [request(image)]).result()[0]
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3 if threads != 3 else 1)
        threaded = segmenter.segment([request(image)])[0]
    finally:
        cv2.setNumThreads(threads)
    assert isinstance(alone, Segmentation)
    for answer in (batch[1], elsewhere, threaded):
        assert isinstance(answer, Segmentation)
        assert np.array_equal(answer.mask, alone.mask)


def test_the_photograph_is_not_written_to() -> None:
    image, _ = disc((160, 120), 60)
    image.flags.writeable = False
    before = image.copy()
    outline(image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (512, 768), (40, 400)])
def test_a_photograph_of_one_colour_has_no_object(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (90, 140, 200), np.uint8)
    assert refusal(image) == Rejected("no_object", {"hinted": False})


def test_one_bad_photograph_does_not_hurt_its_neighbours() -> None:
    flat = np.full((64, 64, 3), 7, np.uint8)
    image, _ = disc((160, 120), 60)
    answers = grabcut().segment([request(flat), request(image), request(flat)])
    assert [type(answer) for answer in answers] == [Rejected, Segmentation, Rejected]


def test_an_image_of_another_kind_is_refused_with_its_shape() -> None:
    grey = np.zeros((32, 32), np.uint8)
    with pytest.raises(ValueError, match=r"image of a: expected uint8 \(H, W, 3\)"):
        grabcut().segment([request(grey)])
