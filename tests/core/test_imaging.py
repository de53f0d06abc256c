"""Masters are lossless and whole, and measures of pixels are what they say."""

import contextlib
import hashlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow

from covar_gen.core.arrays import Image
from covar_gen.core.imaging import (
    decode_mask,
    decode_png,
    encode_mask,
    encode_png,
    is_whole_png,
    object_box,
    pixels_sha256,
)


def corners() -> Image:
    """24 x 16 pixels, every quarter of another grey or colour."""
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :12], image[:8, 12:] = (255, 0, 0), (0, 255, 0)
    image[8:, :12], image[8:, 12:] = (0, 0, 255), (255, 255, 255)
    return image


pictures = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: arrays(np.uint8, (*size, 3))
)
masks = st.tuples(st.integers(1, 19), st.integers(1, 19)).flatmap(
    lambda size: arrays(np.bool_, size)
)


@settings(max_examples=40, deadline=None)
@given(pictures)
def test_a_master_keeps_every_pixel(image: Image) -> None:
    data = encode_png(image)
    assert np.array_equal(decode_png(data), image)
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(data))), image)
    assert encode_png(image) == data
    assert is_whole_png(data)


@settings(max_examples=40, deadline=None)
@given(masks)
def test_a_stored_mask_keeps_every_pixel_in_one_bit(mask: np.ndarray) -> None:
    data = encode_mask(mask)
    assert np.array_equal(decode_mask(data), mask)
    opened = Pillow.open(io.BytesIO(data))
    assert opened.mode == "1"
    assert np.array_equal(np.asarray(opened), mask)


def test_a_view_that_is_not_contiguous_is_stored_as_it_is_seen() -> None:
    image = corners()[::-1, ::2]
    assert np.array_equal(decode_png(encode_png(image)), image)
    assert pixels_sha256(image) == pixels_sha256(image.copy())


def test_a_png_that_lacks_any_of_its_bytes_is_not_whole() -> None:
    for data in (encode_png(corners()), encode_mask(corners()[..., 0] > 0)):
        accepted = [size for size in range(len(data)) if is_whole_png(data[:size])]
        assert accepted == []


def test_a_png_with_any_byte_changed_is_not_decoded_to_other_pixels() -> None:
    data = bytearray(encode_png(corners()))
    for place in range(len(data)):
        data[place] ^= 0x10
        with contextlib.suppress(ValueError):
            assert np.array_equal(decode_png(bytes(data)), corners())
        data[place] ^= 0x10


@pytest.mark.parametrize("decode", [decode_png, decode_mask])
def test_what_is_no_whole_png_cannot_be_decoded(decode: Any) -> None:
    for data in (b"", b"words", encode_png(corners())[:-20]):
        with pytest.raises(ValueError, match="not a whole PNG"):
            decode(data)


def test_the_digest_of_pixels_is_over_their_size_and_their_rgb_values() -> None:
    image = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    wanted = hashlib.sha256(b"1 2\n" + bytes([1, 2, 3, 4, 5, 6])).hexdigest()
    assert pixels_sha256(image) == wanted
    assert pixels_sha256(image.reshape(2, 1, 3)) != wanted


def test_the_box_of_an_object_ends_behind_its_last_pixel() -> None:
    mask = np.zeros((5, 7), np.bool_)
    assert object_box(mask) is None
    mask[1, 2] = True
    assert object_box(mask) == (2, 1, 3, 2)
    mask[4, 6] = True
    assert object_box(mask) == (2, 1, 7, 5)
    assert object_box(np.ones((5, 7), np.bool_)) == (0, 0, 7, 5)
