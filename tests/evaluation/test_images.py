"""Any image file becomes what open_clip's own transform makes of it, in one decode."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image as Pillow
from skimage import data as pictures
from torchvision.transforms import Compose, Normalize, ToTensor

from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.imaging import encode_png
from covar_gen.core.photographs import read_photograph
from covar_gen.evaluation import images
from covar_gen.evaluation.images import decode, fill, make_grids
from covar_gen.evaluation.preprocessing import Grid, Preprocessing, Resize

CLIP = Preprocessing(
    Grid(224, 224, "shortest", 224), open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
)


def encoded(picture: Pillow.Image | Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def decoded(data: bytes) -> Image:
    found = decode(data)
    assert not isinstance(found, Rejected), found
    assert found.dtype == np.uint8
    return found


def same_as_pillow(data: bytes) -> Image:
    expected = read_photograph(data, "original", min_edge=1)
    assert not isinstance(expected, Rejected), expected
    found = decoded(data)
    assert np.array_equal(found, expected)
    return found


@cache
def small(height: int = 60, width: int = 91) -> Image:
    return np.asarray(Pillow.fromarray(pictures.coffee()).resize((width, height)))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Formats of the files that Pillow had to decode."""
    seen: list[str] = []
    original = images.upright_rgb

    def noted(opened: Any) -> Any:
        seen.append(opened.format)
        return original(opened)

    monkeypatch.setattr(images, "upright_rgb", noted)
    return seen


@pytest.mark.parametrize("shape", [(60, 91), (64, 64), (17, 5), (1, 1), (7, 300)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_pillows_pixels_without_pillow(
    shape: tuple[int, int], subsampling: str, progressive: bool, slow: list[str]
) -> None:
    options = {"subsampling": subsampling, "progressive": progressive}
    for quality in (30, 75, 95, 100):
        same_as_pillow(encoded(small(*shape), "JPEG", quality=quality, **options))
    assert not slow


def test_a_jpeg_of_colours_sampled_at_every_other_row_has_pillows_pixels(slow: list[str]) -> None:
    data = encoded(small(64, 64), "JPEG", subsampling="4:2:2")
    # One component of 2x1 samples made one of 1x2: a square of whole blocks stays readable.
    changed = data.replace(b"\x03\x01\x21\x00", b"\x03\x01\x12\x00", 1)
    assert changed != data
    same_as_pillow(changed)
    assert not slow


def test_grey_jpegs_and_those_with_tables_of_their_own_are_read_quickly(slow: list[str]) -> None:
    grey = Pillow.fromarray(small()).convert("L")
    for options in ({}, {"optimize": True}, {"progressive": True}, {"restart_marker_rows": 1}):
        found = same_as_pillow(encoded(grey, "JPEG", **options))
        assert (found == found[:, :, :1]).all()
        same_as_pillow(encoded(small(), "JPEG", **options))
    same_as_pillow(encoded(small(), "JPEG", icc_profile=b"any", dpi=(300, 300), comment=b"hello"))
    assert not slow


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_photograph_is_seen_upright(kind: str, orientation: int, slow: list[str]) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    found = same_as_pillow(encoded(small(), kind, exif=exif))
    assert found.shape == ((91, 60, 3) if orientation in range(5, 9) else (60, 91, 3))
    if kind == "JPEG":
        assert slow == (["JPEG"] if orientation in range(2, 9) else [])


def test_an_orientation_that_only_the_xmp_packet_tells_is_obeyed() -> None:
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert same_as_pillow(encoded(small(), "JPEG", xmp=packet)).shape == (91, 60, 3)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PLAIN = {"pHYs": struct.pack(">IIB", 3000, 3000, 1), "tIME": struct.pack(">HBBBBB", 2026, *[1] * 5)}
DOUBTFUL = {
    "gAMA": struct.pack(">I", 100_000),
    "sRGB": b"\0",
    "cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    "iCCP": b"name\0\0" + zlib.compress(b"not a profile"),
    "tRNS": struct.pack(">HHH", *small()[3, 4]),
    "bKGD": struct.pack(">HHH", 9, 9, 9),
    "sBIT": b"\5\5\5",
    "tEXt": b"Comment\0hello",
}


@pytest.mark.parametrize("kind", PLAIN | DOUBTFUL)
def test_whatever_a_png_says_beside_its_pixels_they_are_pillows(kind: str, slow: list[str]) -> None:
    whole = encode_png(small())
    said = chunk(kind.encode(), (PLAIN | DOUBTFUL)[kind])
    found = same_as_pillow(whole[:33] + said + whole[33:])
    assert slow == ([] if kind in PLAIN else ["PNG"])
    if kind == "tRNS":
        assert (found[3, 4] == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("shape", [(60, 91), (1, 1), (13, 2)])
def test_a_png_of_any_mode_has_pillows_pixels(
    mode: str, shape: tuple[int, int], slow: list[str]
) -> None:
    picture = Pillow.fromarray(small(*shape))
    picture = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
    for options in ({}, {"optimize": True}, {"compress_level": 0}):
        same_as_pillow(encoded(picture, "PNG", **options))
    assert bool(slow) == (mode != "RGB")


def test_a_16_bit_rgb_png_is_left_to_pillow(slow: list[str]) -> None:
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    rows = (b"\0" + struct.pack(">HHH", 255 * 257, 128 * 257 + 100, 19 * 257 - 100) * 8) * 8
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert (same_as_pillow(b"\x89PNG\r\n\x1a\n" + parts)[0, 0] == (255, 128, 18)).all()
    assert slow == ["PNG"]


def test_an_interlaced_png_has_pillows_pixels() -> None:
    # One pass of eight pixels square: with a single pixel all passes but the first are empty.
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\7\x08\x09"))
    data = b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")
    assert same_as_pillow(data).tolist() == [[[7, 8, 9]]]


def test_colours_of_other_files_are_converted() -> None:
    picture = Pillow.fromarray(small())
    same_as_pillow(encoded(picture.convert("CMYK"), "JPEG"))
    same_as_pillow(encoded(picture.quantize(16), "GIF"))
    same_as_pillow(encoded(picture, "WEBP"))
    same_as_pillow(encoded(picture, "BMP"))
    clear = picture.convert("RGBA")
    clear.putalpha(0)
    for kind in ("PNG", "WEBP"):
        assert (decoded(encoded(clear, kind)) == 255).all()


def test_an_image_may_be_as_small_as_one_pixel() -> None:
    assert decoded(encoded(small(1, 1), "PNG")).shape == (1, 1, 3)
    assert decoded(encoded(small(32, 32), "JPEG")).shape == (32, 32, 3)


def test_each_reason_of_a_refusal() -> None:
    photograph = encoded(small(), "JPEG")
    cases = {
        b"": "empty_file",
        b"no image": "not_an_image",
        photograph[:20]: "not_an_image",
        photograph[: len(photograph) // 2]: "truncated",
        encode_png(small())[:-40]: "truncated",
        encoded(Pillow.new("1", (20_000, 20_000)), "PNG"): "too_large",
        encoded(Pillow.new("1", (65_536, 1)), "PNG"): "too_large",
    }
    for data, reason in cases.items():
        found = decode(data)
        assert isinstance(found, Rejected)
        assert found.reason == reason
    assert decoded(encoded(Pillow.new("1", (65_535, 1)), "PNG")).shape == (1, 65_535, 3)


def test_nothing_is_printed_about_damaged_files(capfd: pytest.CaptureFixture[str]) -> None:
    whole = encode_png(small())
    turned = bytearray(whole)
    turned[200] ^= 5
    for data in (whole[:-40], bytes(turned), encoded(small(), "JPEG")[:-200]):
        assert decode(data) == Rejected("truncated")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "PNG", "GIF", "WEBP"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_file_is_what_pillow_says_it_is(kind: str, data: st.DataObject) -> None:
    options = {"progressive": True} if " " in kind else {}
    whole = bytearray(encoded(small(24, 33), kind.rsplit(maxsplit=1)[-1], **options))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] ^= data.draw(st.integers(1, 255))
    damaged = bytes(whole[: data.draw(st.integers(len(whole) // 2, len(whole) + 1))])
    expected, found = read_photograph(damaged, "original", min_edge=1), decode(damaged)
    assert isinstance(found, Rejected) == isinstance(expected, Rejected)
    if isinstance(found, Rejected) or isinstance(expected, Rejected):
        assert found == expected
    else:
        assert np.array_equal(found, expected)


CONFIGURATIONS = {
    "shortest": {"size": 224},
    "squash": {"size": 384, "resize_mode": "squash", "mean": (0.5,) * 3, "std": (0.5,) * 3},
    "longest": {"size": 256, "resize_mode": "longest", "fill_color": 127},
    "bilinear": {"size": 256, "interpolation": "bilinear"},
    "oblong": {"size": (224, 336)},
    "oblong longest": {"size": (336, 224), "resize_mode": "longest"},
    "oblong squash": {"size": (112, 200), "resize_mode": "squash"},
}


def preprocessing(cfg: PreprocessCfg) -> Preprocessing:
    height, width = cfg.size if isinstance(cfg.size, tuple) else (cfg.size, cfg.size)
    edge = height if height == width and cfg.resize_mode != "squash" else 0
    grid = Grid(height, width, cfg.resize_mode, edge, cfg.interpolation, cfg.fill_color)  # type: ignore[arg-type]
    return Preprocessing(grid, cfg.mean, cfg.std)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_tower_sees_what_open_clips_own_transform_gives_it(name: str) -> None:
    cfg = PreprocessCfg(**CONFIGURATIONS[name])  # type: ignore[arg-type]
    ours, theirs = preprocessing(cfg), image_transform_v2(cfg, is_train=False)
    scale = 255 * torch.tensor(cfg.std)[:, None, None]
    # 451x301 and 301x451 leave odd rests to crop and to pad.
    for shape in ((512, 512), (301, 451), (451, 301), (500, 333), (80, 61), (37, 300), (333, 334)):
        data = encoded(small(*shape), "JPEG", quality=95)
        pixels = make_grids(decoded(data), [ours.grid])[ours.grid]
        found = ours.normalise(torch.from_numpy(pixels)[None])[0]
        wanted = theirs(Pillow.open(io.BytesIO(data)))
        assert found.shape == wanted.shape
        levels = (found - wanted).abs() * scale
        assert levels.max() <= 1.001, shape
        assert (found == wanted).float().mean() >= 0.995, shape


def test_normalising_is_torchvisions_to_the_bit() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    for mean, std in ((CLIP.mean, CLIP.std), ((0.5,) * 3, (0.5,) * 3), ((0.1, 0.7, 0.3), (1,) * 3)):
        wanted = Compose([ToTensor(), Normalize(mean, std)])(Pillow.fromarray(pixels))
        ours = Preprocessing(CLIP.grid, mean, std)  # type: ignore[arg-type]
        for layout in (torch.contiguous_format, torch.channels_last):
            batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous(memory_format=layout)
            assert torch.equal(ours.normalise(batch)[0], wanted)


def test_where_a_crop_begins_if_the_rest_is_odd_is_the_grids_choice() -> None:
    image = np.arange(9, dtype=np.uint8)[None, :, None].repeat(6, 0).repeat(3, 2)
    for halves, first in (("even", 2), ("down", 1)):
        grid = Grid(6, 6, "shortest", 6, halves=halves)  # type: ignore[arg-type]
        assert make_grids(image, [grid])[grid][0, 0].tolist() == list(range(first, first + 6))


def test_the_centre_is_kept_and_the_rest_padded() -> None:
    image = np.full((10, 20, 3), 200, np.uint8)
    longest = Grid(12, 10, "longest", 0, fill=7)
    pixels = make_grids(image, [longest])[longest]
    assert (pixels[:, :3] == 7).all()
    assert (pixels[:, 3:8] == 200).all()
    assert (pixels[:, 8:] == 7).all()
    thin = Grid(10, 10, "longest", 10)
    assert (
        make_grids(np.full((1, 500, 3), 9, np.uint8), [thin])[thin].sum(axis=(1, 2)) == 90
    ).all()


def test_grids_that_mean_the_same_of_a_square_share_one_resize(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resizes: tuple[Resize, ...] = ("shortest", "squash", "longest")
    grids = [Grid(64, 64, resize) for resize in resizes] + [Grid(32, 32)]
    asked: list[int] = []
    original = images.resample

    def noted(image: Any, windows: Any, results: Any) -> None:
        asked.append(len(windows))
        original(image, windows, results)

    monkeypatch.setattr(images, "resample", noted)
    square = make_grids(small(100, 100), grids)
    assert np.array_equal(square[grids[0]], square[grids[1]])
    assert np.array_equal(square[grids[0]], square[grids[2]])
    oblong = make_grids(small(100, 130), grids)
    assert not np.array_equal(oblong[grids[0]], oblong[grids[1]])
    assert asked == [2, 4]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_row_of_a_batch_is_filled_and_no_other(layout: torch.memory_format) -> None:
    grids = [CLIP.grid, Grid(50, 70, "longest", 0, fill=3)]
    image = small()
    wanted = make_grids(image, grids)
    tensors = {
        grid: torch.full((3, 3, grid.height, grid.width), 99, dtype=torch.uint8).contiguous(
            memory_format=layout
        )
        for grid in grids
    }
    fill(image, {grid: tensor.numpy() for grid, tensor in tensors.items()}, 1)
    for grid in grids:
        assert np.array_equal(tensors[grid][1].numpy(), wanted[grid])
        assert (tensors[grid][::2] == 99).all()


def test_an_image_that_cannot_be_written_to_or_lies_askew_is_resized() -> None:
    image = small()
    grid = Grid(224, 224, "squash")
    wanted = make_grids(image.copy(), [grid])[grid]
    assert not image.flags.writeable
    assert np.array_equal(make_grids(image, [grid])[grid], wanted)
    assert np.array_equal(make_grids(np.asfortranarray(image), [grid])[grid], wanted)
    mirrored = make_grids(image[:, ::-1], [grid])[grid].astype(int)
    assert np.abs(mirrored[:, :, ::-1] - wanted).max() <= 1


def test_threads_decode_and_fill_what_one_thread_does() -> None:
    files = [encoded(small(80 + n, 150 - 3 * n), "JPEG" if n % 2 else "PNG") for n in range(24)]
    grids = [CLIP.grid, Grid(96, 96, "squash"), Grid(64, 64, "shortest", 64, "bilinear")]
    alone = [make_grids(decoded(data), grids) for data in files]
    batch = {grid: np.zeros((24, 3, grid.height, grid.width), np.uint8) for grid in grids}
    meet = threading.Barrier(4)

    def work(first: int) -> None:
        meet.wait()
        for row in range(first, 24, 4):
            fill(decoded(files[row]), batch, row)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for row, wanted in enumerate(alone):
        assert all(np.array_equal(batch[grid][row], wanted[grid]) for grid in grids)
