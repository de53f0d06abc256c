"""Resized images have Pillow's pixels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
from PIL import Image as Pillow
from skimage import data

from covar_gen.core.arrays import Image
from covar_gen.evaluation import resampling
from covar_gen.evaluation.preprocessing import Interpolation
from covar_gen.evaluation.resampling import Axis, Window, resample

SIZES = (224, 256, 336, 378, 384, 512)
FILTERS: dict[Interpolation, Pillow.Resampling] = {
    "bicubic": Pillow.Resampling.BICUBIC,
    "bilinear": Pillow.Resampling.BILINEAR,
    "nearest": Pillow.Resampling.NEAREST,
}


def scaled(image: Image, width: int, height: int) -> Image:
    return np.asarray(Pillow.fromarray(image).resize((width, height)))


def noise(height: int, width: int, low: int = 0, high: int = 256) -> Image:
    return np.random.default_rng(height).integers(low, high, (height, width, 3), np.uint8)


PICTURES = {
    "astronaut 512x512": data.astronaut,
    "chelsea 451x300": data.chelsea,
    "coffee 600x400": data.coffee,
    "rocket 640x427": data.rocket,
    "coffee 375x500": lambda: scaled(data.coffee(), 375, 500),
    "rocket 640x480": lambda: scaled(data.rocket(), 640, 480),
    "chelsea 300x900": lambda: scaled(data.chelsea(), 300, 900),
    "coffee 32x32": lambda: scaled(data.coffee(), 32, 32),
    "noise 680x512": lambda: noise(512, 680),
    "noise 333x500": lambda: noise(500, 333),
    "bright noise 640x480": lambda: noise(480, 640, 230),
    "slopes 640x480": lambda: slopes(480, 640),
    "slopes 512x512": lambda: slopes(512, 512),
    "slopes 512x768": lambda: slopes(768, 512),
    "slopes 500x375": lambda: slopes(375, 500),
    "black or white 500x375": lambda: noise(375, 500, 0, 2) * np.uint8(255),
}


def whole(image: Image, height: int, width: int, interpolation: Interpolation) -> Image:
    rows = Axis(image.shape[0], height, 0, height)
    columns = Axis(image.shape[1], width, 0, width)
    result = np.zeros((3, height, width), np.uint8)
    resample(image, [Window(rows, columns, interpolation)], [result])
    return result.transpose(1, 2, 0)


def pillow(image: Image, height: int, width: int, interpolation: Interpolation) -> Image:
    picture = Pillow.fromarray(image)
    return np.asarray(picture.resize((width, height), FILTERS[interpolation]))


def slopes(height: int, width: int) -> Image:
    y, x = np.mgrid[:height, :width]
    planes = [120 + a * x + b * y for a, b in ((0.1, 0.2), (-0.15, 0.07), (0.02, -0.2))]
    return np.stack(planes, axis=2).astype(np.uint8)


def aspects(image: Image, size: int) -> list[tuple[int, int]]:
    """Squashed to a square, and with the shorter edge of a size."""
    height, width = image.shape[:2]
    kept = (int(size * height / width), size) if width <= height else (size, size * width // height)
    return [(size, size), kept]


@pytest.mark.parametrize("name", PICTURES)
def test_bicubic_pixels_are_pillows(name: str) -> None:
    image = PICTURES[name]()
    for size in SIZES:
        for height, width in aspects(image, size):
            ours = whole(image, height, width, "bicubic").astype(int)
            off = np.abs(ours - pillow(image, height, width, "bicubic"))
            assert off.max() <= 2, (height, width)
            assert (off == 0).mean() >= 0.995, (height, width, (off == 0).mean())


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_bilinear_and_nearest_pixels_are_pillows_without_exception(
    name: str, interpolation: Interpolation
) -> None:
    image = PICTURES[name]()
    for size in (SIZES[0], SIZES[4]):
        for height, width in aspects(image, size):
            ours = whole(image, height, width, interpolation)
            assert np.array_equal(ours, pillow(image, height, width, interpolation))


def test_without_torch_bicubic_pixels_are_pillows_but_for_one_in_a_thousand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resampling, "_torch_is_close", lambda *_: False)
    image = data.coffee()
    for size in SIZES:
        off = whole(image, size, size, "bicubic") != pillow(image, size, size, "bicubic")
        assert off.any(axis=2).mean() <= 0.001


def test_torch_is_left_out_where_its_weights_are_too_coarse_or_pixels_would_be_wasted() -> None:
    # Half of 512 needs few bits; noise suffers from 480 to 256, smooth skies from 480 to 336.
    assert resampling._torch_serves(Axis(512, 256, 0, 256))
    assert not resampling._torch_serves(Axis(480, 256, 0, 256))
    assert not resampling._torch_serves(Axis(480, 336, 0, 336))
    assert resampling._torch_serves(Axis(512, 256, 16, 240))
    assert not resampling._torch_serves(Axis(512, 256, 80, 176))


def test_a_window_is_cut_out_of_the_whole() -> None:
    image = data.rocket()
    for interpolation in FILTERS:
        for height, width in ((300, 500), (427, 300), (500, 640)):
            everything = whole(image, height, width, interpolation).astype(int)
            rows, columns = Axis(427, height, 31, 250), Axis(640, width, 7, 199)
            result = np.zeros((3, 219, 192), np.uint8)
            resample(image, [Window(rows, columns, interpolation)], [result])
            off = np.abs(result.transpose(1, 2, 0) - everything[31:250, 7:199])
            assert off.max() <= 1
            assert (off == 0).mean() > 0.995


def test_a_flat_image_stays_what_it_is() -> None:
    for level in (0, 1, 128, 254, 255):
        image = np.full((333, 251, 3), level, np.uint8)
        for size in (1, 7, 224, 378):
            assert (whole(image, size, size, "bicubic") == level).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 2), (2, 700)])
def test_the_smallest_images_are_resized_as_pillow_does(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    for height, width in ((1, 1), (5, 3), (224, 224)):
        ours = whole(image, height, width, "bicubic").astype(int)
        off = np.abs(ours - pillow(image, height, width, "bicubic"))
        assert off.max() <= 1
        assert (off == 0).mean() > 0.98


def test_a_large_image_is_resized_in_parts_to_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tall = scaled(data.coffee(), 400, 900)
    for image in (data.rocket(), tall):
        for interpolation in ("bicubic", "bilinear"):
            for height, width in ((224, 300), (427, 224), (900, 200), (384, 384), (300, 640)):
                at_once = whole(image, height, width, interpolation)  # type: ignore[arg-type]
                with monkeypatch.context() as patch:
                    patch.setattr(resampling, "_AT_ONCE", 60_000)
                    patch.setattr(resampling, "_KEPT_BYTES", 50_000)
                    parts = whole(image, height, width, interpolation)  # type: ignore[arg-type]
                off = np.abs(at_once.astype(int) - parts)
                assert off.max() <= 1
                assert (off == 0).mean() > 0.9999


def test_the_order_of_the_axes_is_that_of_the_installed_pillow() -> None:
    image = noise(500, 333)
    picture = Pillow.fromarray(image)
    rows_first = picture.resize((336, 500), 3).resize((336, 336), 3)
    columns_first = picture.resize((333, 336), 3).resize((336, 336), 3)
    newer = int(PIL.__version__.split(".")[0]) >= 13
    wanted = np.asarray(columns_first if newer else rows_first)
    assert (whole(image, 336, 336, "bicubic") == wanted).mean() >= 0.995
    assert resampling._columns_first(Axis(500, 336, 0, 336), Axis(333, 336, 0, 336)) == newer


def test_an_older_pillow_treats_rows_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_pillow", lambda: 12)
    image = noise(500, 333)
    wanted = Pillow.fromarray(image).resize((336, 500), 3).resize((336, 336), 3)
    assert (whole(image, 336, 336, "bicubic") == np.asarray(wanted)).mean() >= 0.995


def test_threads_that_resize_at_once_get_what_one_gets() -> None:
    images = [noise(300 + 40 * n, 500 - 30 * n) for n in range(8)]
    alone = [whole(image, 224, 256, "bicubic") for image in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = pool.map(lambda image: whole(image, 224, 256, "bicubic"), images)
            assert all(np.array_equal(a, b) for a, b in zip(alone, found, strict=True))
