"""Canvases on which photographs are edited, and what of them is repainted."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.editors.qwen_image_edit import own_size
from covar_gen.neural.fitting import near_area, repainted, resized

edges = st.integers(40, 3000)


@given(edges, edges, st.sampled_from([256, 512, 1024]), st.sampled_from([8, 16]))
def test_a_canvas_has_the_photographs_shape_in_multiples_and_no_more_than_the_area(
    height: int, width: int, native: int, multiple: int
) -> None:
    if max(height, width) > 8 * min(height, width):
        return
    rows, columns = near_area((height, width), native, multiple)
    assert rows % multiple == columns % multiple == 0
    assert rows * columns <= native * native
    assert min(rows, columns) >= 64
    # At most one multiple from the exact size, on each side.
    assert abs(rows - native * math.sqrt(height / width)) <= multiple
    assert abs(columns - native * math.sqrt(width / height)) <= multiple


def test_canvases_worked_by_hand() -> None:
    assert near_area((500, 500), 1024, 16) == (1024, 1024)
    # Exactly 886.8 by 1182.4, shape 0.75: 880/1168 = 0.7534, 880/1184 = 0.7432, 896/1168 = 0.7671;
    # 896 x 1184 pixels are too many.
    assert near_area((375, 500), 1024, 16) == (880, 1168)
    # No edge is shorter than 64: then the area is larger than asked for.
    assert near_area((48, 64), 64, 8) == (64, 72)


@pytest.mark.parametrize("form", ["edit", "edit_plus", "edit_inpaint"])
@settings(deadline=None, max_examples=500)  # the first example imports the class
@given(edges, edges)
def test_qwens_classes_leave_the_canvas_as_it_is(form: str, height: int, width: int) -> None:
    if max(height, width) > 8 * min(height, width):
        return
    module = importlib.import_module(f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{form}")
    shape, before = (width, height), (0, 0)
    while shape != before:
        shape, before = module.calculate_dimensions(1024 * 1024, shape[0] / shape[1])[:2], shape
    rows, columns = own_size((height, width), 1024, 32)
    assert (columns, rows) == shape
    # Every pass rounds both edges, each by at most half of 32, and a second one may follow.
    stretched = abs(math.log(columns / rows) - math.log(width / height))
    assert stretched <= 32 / rows + 32 / columns


def test_every_cell_in_which_background_lies_is_repainted() -> None:
    fill = np.ones((32, 48), np.bool_)
    fill[8:24, 16:33] = False
    found = repainted(fill, (64, 96), 16)
    expected = np.ones((64, 96), np.bool_)
    expected[16:48, 32:64] = False
    assert (found == expected).all()


def test_a_picture_comes_back_from_its_canvas_nearly_as_it_was() -> None:
    y, x = np.mgrid[:60, :80]
    image = np.stack([x * 3, y * 4, x + y], -1).astype(np.uint8)
    assert resized(image, (60, 80)) is image
    back = resized(resized(image, (96, 128)), (60, 80))
    assert np.abs(back.astype(int) - image).max() <= 3
