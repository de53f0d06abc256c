"""Photographs of every kind are read as what they show."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.imaging import encode_png
from covar_gen.core.photographs import MAX_PIXELS, read_photograph

EDGE = 20


def png(depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of EDGE x EDGE pixels, written by hand; `rows` is one row, repeated."""
    head = struct.pack(">IIBBBBB", EDGE, EDGE, depth, colour, 0, 0, 0)
    body = zlib.compress((b"\0" + rows) * EDGE)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def encoded(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def solid(mode: str, colour: Any, size: tuple[int, int] = (EDGE, EDGE)) -> Pillow.Image:
    return Pillow.new(mode, size, colour)


def read(data: bytes, size: Any = "original") -> Image:
    found = read_photograph(data, size)
    assert not isinstance(found, Rejected), found
    assert found.dtype == np.uint8
    assert found.shape[2] == 3
    return found


def refused(data: bytes, size: Any = "original") -> str:
    found = read_photograph(data, size)
    assert isinstance(found, Rejected), found.shape
    return found.reason


def corners() -> Image:
    """24 x 16 pixels, every quarter of another grey or colour."""
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :12], image[:8, 12:] = (255, 0, 0), (0, 255, 0)
    image[8:, :12], image[8:, 12:] = (0, 0, 255), (255, 255, 255)
    return image


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_a_lossless_rgb_file_is_read_as_it_is(kind: str) -> None:
    assert np.array_equal(read(encoded(Pillow.fromarray(corners()), kind)), corners())


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 128, 255, 0), (255, 127, 0)),
        ((0, 0, 0, 128), (127, 127, 127)),
    ],
)
def test_a_cmyk_jpeg_shows_its_colours(cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    found = read(encoded(solid("CMYK", cmyk), "JPEG", quality=100))
    assert np.abs(found.astype(int) - rgb).max() <= 2


def test_a_16_bit_grey_png_is_scaled_to_8_bits() -> None:
    levels = [257 * k + d for k, d in zip(range(0, 256, 13), [0, 100, -100, 0] * 5, strict=True)]
    levels[2] = 257 * 26
    found = read(png(16, 0, struct.pack(f">{EDGE}H", *levels)))
    assert found[0, :, 0].tolist() == [round(level / 257) for level in levels]
    assert (found == found[0, :, :1]).all()


def test_a_nearly_black_16_bit_grey_png_stays_nearly_black() -> None:
    assert read(png(16, 0, struct.pack(">H", 200) * EDGE)).max() <= 1


def test_a_16_bit_rgb_png_is_scaled_to_8_bits() -> None:
    pixel = struct.pack(">HHH", 255 * 257, 128 * 257, 19 * 257)
    assert (read(png(16, 2, pixel * EDGE)) == (255, 128, 19)).all()


def test_a_16_bit_grey_png_with_alpha_is_laid_over_white() -> None:
    pixels = struct.pack(">HHHH", 100 * 257, 65535, 100 * 257, 0)
    found = read(png(16, 4, pixels * (EDGE // 2)))
    assert found[0, :2].tolist() == [[100] * 3, [255] * 3]


def test_a_palette_with_alpha_is_laid_over_white() -> None:
    palette = (b"PLTE", bytes([255, 0, 0, 0, 0, 255, 0, 0, 0]))
    found = read(png(8, 3, bytes([0, 1, 2, 2] * 5), palette, (b"tRNS", bytes([255, 0, 128]))))
    assert found[0, :3].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]


def test_a_palette_with_one_transparent_colour_is_laid_over_white() -> None:
    palette = (b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    found = read(png(8, 3, bytes([0, 1] * 10), palette, (b"tRNS", b"\0")))
    assert found[0, :2].tolist() == [[255, 255, 255], [0, 0, 255]]


def test_rgb_with_one_transparent_colour_is_laid_over_white() -> None:
    pixels = bytes([9, 9, 9, 1, 2, 3] * 10)
    found = read(png(8, 2, pixels, (b"tRNS", struct.pack(">HHH", 9, 9, 9))))
    assert found[0, :2].tolist() == [[255, 255, 255], [1, 2, 3]]


def test_greyscale_and_black_and_white_become_rgb() -> None:
    assert (read(png(8, 0, bytes([77] * EDGE))) == 77).all()
    found = read(png(1, 0, bytes([0b10000000, 0, 0])))
    assert found[0, :2].tolist() == [[255] * 3, [0] * 3]
    assert (read(encoded(solid("L", 77), "JPEG", quality=100)) == 77).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [solid("RGB", "red"), solid("RGB", "blue"), solid("RGB", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (read(data) == (255, 0, 0)).all()


TURNS: dict[int, Callable[[Image], Image]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.transpose(a, (1, 0, 2)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.transpose(a, (1, 0, 2)), 2),
    8: np.rot90,
}
"""EXIF orientation -> the picture as it is seen, from the pixels as they are stored."""


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_photograph_is_read_upright(kind: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Pillow.fromarray(corners()), kind, exif=exif, **options)
    assert np.array_equal(read(data), TURNS[orientation](corners()))


def test_a_jpeg_is_read_upright() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = encoded(Pillow.fromarray(corners()), "JPEG", exif=exif, quality=100, subsampling=0)
    found = read(data)
    assert found.shape == (24, 16, 3)
    # Stored: red green over blue white. Turned clockwise: blue red over white green.
    seen = [found[2, 2], found[2, 13], found[21, 2], found[21, 13]]
    wanted = [(0, 0, 255), (255, 0, 0), (255, 255, 255), (0, 255, 0)]
    assert np.abs(np.array(seen, int) - wanted).max() <= 8


def test_the_shortest_edge_becomes_the_working_size() -> None:
    data = encoded(solid("RGB", (10, 20, 30), (60, 40)), "PNG")
    assert read(data, 32).shape == (32, 48, 3)
    assert read(data, 80).shape == (80, 120, 3)
    assert read(data, "original").shape == (40, 60, 3)
    assert (read(data, 32) == (10, 20, 30)).all()
    assert read(encoded(solid("RGB", 0, (40, 61)), "PNG"), 32).shape == (49, 32, 3)


def test_an_orientation_is_applied_before_the_size() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 8
    data = encoded(solid("RGB", 0, (60, 40)), "PNG", exif=exif)
    assert read(data, 20).shape == (30, 20, 3)


def test_each_reason_of_a_refusal() -> None:
    whole = encoded(Pillow.fromarray(np.tile(corners(), (4, 4, 1))), "JPEG")
    assert refused(b"") == "empty_file"
    assert refused(b"This is no photograph.\n" * 50) == "not_an_image"
    assert refused(whole[: len(whole) * 2 // 3]) == "truncated"
    assert refused(encode_png(corners())[:-40]) == "truncated"
    assert refused(encoded(solid("L", 0, (1, 1)), "PNG")) == "too_small"
    assert refused(encoded(solid("L", 0, (15, 400)), "PNG")) == "too_small"
    assert read(encoded(solid("L", 0, (16, 400)), "PNG")).shape == (400, 16, 3)
    assert refused(encoded(solid("1", 0, (20_000, 20_000)), "PNG")) == "too_large"
    assert refused(encoded(solid("1", 0, (10_001, 10_000)), "PNG")) == "too_large"


def test_how_small_a_photograph_may_be_can_be_said() -> None:
    data = encoded(solid("RGB", (1, 2, 3), (3, 1)), "PNG")
    found = read_photograph(data, "original", min_edge=1)
    assert not isinstance(found, Rejected)
    assert found.tolist() == [[[1, 2, 3]] * 3]
    assert read_photograph(data, "original", min_edge=2) == Rejected(
        "too_small", {"width": 3, "height": 1}
    )


def test_threads_that_read_at_once_leave_the_warnings_of_others_alone() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"  # says that 65,535 entries follow
    odd = encoded(solid("RGB", 0), "PNG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="Corrupt EXIF"):
            Pillow.open(io.BytesIO(odd)).getexif()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            found = [pool.submit(read, odd) for _ in range(8)]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert all(item.result().shape == (EDGE, EDGE, 3) for item in found)
                with pytest.raises(UserWarning, match="ours"):
                    warnings.warn("ours", stacklevel=1)


def test_a_float_picture_with_holes_is_read() -> None:
    levels = np.full((EDGE, EDGE), 0.5, np.float32)
    levels[3, 4] = np.nan
    found = read(encoded(Pillow.fromarray(levels), "TIFF"))
    assert (found[0] == 128).all()


def test_a_small_file_never_becomes_a_huge_picture() -> None:
    found = read_photograph(encoded(solid("1", 0, (7000, 16)), "PNG"), 512)
    assert isinstance(found, Rejected) or found.shape[0] * found.shape[1] <= MAX_PIXELS


def test_an_avif_without_its_image_item_is_refused() -> None:
    # The box that lists the items is renamed: the container is there, its items are not.
    data = encoded(solid("RGB", "red"), "AVIF").replace(b"iinf", b"free", 1)
    assert isinstance(read_photograph(data, "original"), Rejected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_file_is_a_picture_or_a_reason(kind: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(Pillow.fromarray(corners()), kind))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] ^= data.draw(st.integers(1, 255))
    found = read_photograph(bytes(whole[: data.draw(st.integers(1, len(whole)))]), 16)
    assert isinstance(found, Rejected) or found.shape[2] == 3
