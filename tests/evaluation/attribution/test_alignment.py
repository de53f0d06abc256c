"""A map lands on the original image where the model looked: markers through the real resize."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from covar_gen.core.arrays import Rejected
from covar_gen.evaluation.attribution import pixel_map, seen
from covar_gen.evaluation.images import decode, make_grids
from covar_gen.evaluation.preprocessing import Grid

SHORTEST = Grid(64, 64, "shortest", 64)
DOWN = Grid(64, 64, "shortest", 72, halves="down")
SQUASH = Grid(64, 64, "squash")
LONGEST = Grid(64, 64, "longest", 64)
GRIDS = [SHORTEST, DOWN, SQUASH, LONGEST]
SIZES = [(256, 256), (200, 401), (333, 150), (48, 40)]
PATCH = 8


def patch_means(image: NDArray[np.uint8], grid: Grid, patch: int = PATCH) -> NDArray[np.float32]:
    """Mean grey of each patch of what the model would see, float32 (h, w)."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    decoded = decode(buffer.getvalue())
    assert not isinstance(decoded, Rejected)
    pixels = make_grids(decoded, [grid])[grid].mean(0)
    rows, columns = (edge // patch for edge in pixels.shape)
    whole = pixels[: rows * patch, : columns * patch]
    means: NDArray[np.float64] = whole.reshape(rows, patch, columns, patch).mean((1, 3))
    return means.astype(np.float32)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.resize}-{grid.edge}")
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_marker_is_found_where_it_was_put(grid: Grid, size: tuple[int, int]) -> None:
    height, width = size
    visible = seen(grid, height, width)
    reach = 0.1 * min(size)
    y, x = np.mgrid[:height, :width]
    found = 0
    for row, column in ((0.5, 0.5), (0.3, 0.55), (0.62, 0.31), (0.8, 0.8)):
        centre = round(row * height), round(column * width)
        if not visible[centre]:
            continue
        marker = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < reach**2
        image = np.where(marker[..., None], 255, 0).astype(np.uint8).repeat(3, 2)
        spread = patch_means(image, grid)
        heat = pixel_map(spread, grid, height, width)
        assert heat.shape == size
        mass = heat / heat.sum()
        step = max(height, width) / 64
        inside = marker & visible
        at = (mass * y).sum(), (mass * x).sum()
        true = y[inside].mean(), x[inside].mean()
        assert np.abs(np.subtract(at, true)).max() < 2.5 * step
        assert heat[marker].mean() > 3 * heat[visible & ~marker].mean()
        found += 1
    assert found >= 2


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.resize}-{grid.edge}")
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_ramp_comes_back_as_the_ramp_it_was(grid: Grid, size: tuple[int, int]) -> None:
    height, width = size
    for axis in (0, 1):
        ramp = np.linspace(20, 220, size[axis])
        image = np.broadcast_to(ramp[:, None] if axis == 0 else ramp, size)
        rgb = np.round(image).astype(np.uint8)[..., None].repeat(3, 2)
        if grid.resize == "longest" and height != width:
            continue
        heat = pixel_map(patch_means(rgb, grid), grid, height, width)
        visible = seen(grid, height, width)
        # Half a patch at the border is constant; a grey level is rounding.
        inner = np.zeros(size, bool)
        rows, columns = np.nonzero(visible)
        pad_y, pad_x = (int(0.09 * edge) + 1 for edge in size)
        inner[
            rows.min() + pad_y : rows.max() - pad_y, columns.min() + pad_x : columns.max() - pad_x
        ] = True
        assert np.abs(heat - image)[inner].max() < 1.5


def test_what_the_crop_cut_off_is_zero_and_marked() -> None:
    heat = pixel_map(np.ones((8, 8)), SHORTEST, 64, 128)
    visible = seen(SHORTEST, 64, 128)
    expected = np.zeros((64, 128), bool)
    expected[:, 32:96] = True
    assert np.array_equal(visible, expected)
    assert np.array_equal(heat, expected.astype(np.float32))
    assert seen(SQUASH, 64, 128).all()
    assert seen(LONGEST, 64, 128).all()


def test_nearest_gives_each_pixel_its_own_patch() -> None:
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    heat = pixel_map(values, SQUASH, 64, 128, "nearest")
    assert np.array_equal(heat, values.repeat(8, 0).repeat(16, 1))


def test_bilinear_is_what_torch_interpolates() -> None:
    values = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(values, (100, 60), mode="bilinear")
    assert np.abs(pixel_map(values, SQUASH, 100, 60) - expected.numpy()).max() < 1e-5


def test_pixels_beyond_the_last_whole_patch_are_not_seen() -> None:
    # 64 pixels hold four patches of 14; the eight that are left are in none.
    grid = Grid(64, 64, "squash")
    visible = seen(grid, 64, 64, (4, 4))
    assert visible[:64, :64].sum() == 64 * 64
    three = Grid(50, 50, "squash")
    visible = seen(three, 50, 50, (4, 4))
    assert visible.sum() == 48 * 48
    heat = pixel_map(np.ones((4, 4)), three, 50, 50)
    assert np.array_equal(heat > 0, visible)


def test_a_single_patch_is_constant() -> None:
    assert (pixel_map(np.full((1, 1), 3.0), Grid(32, 32, "squash"), 10, 7) == 3).all()


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected maps \(\.\.\., h, w\)"):
        pixel_map(np.zeros(4), SQUASH, 10, 10)
