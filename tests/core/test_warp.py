"""The one function that moves pixels: what it copies, what it interpolates, what it knows."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.core.arrays import Image, Mask, Matrix
from covar_gen.core.imaging import warp, warp_mask
from covar_gen.core.seeds import generator

HEIGHT, WIDTH = 40, 52


def matrix(a: float, b: float, c: float, d: float, e: float, f: float) -> Matrix:
    return np.array([[a, b, c], [d, e, f], [0, 0, 1]], np.float64)


def noise(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Image:
    return generator(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def smooth(height: int, width: int) -> Image:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 4 + k) + np.cos(y / 5 - k) for k in range(3)]
    return (np.stack(waves, axis=2) * 55 + 128).astype(np.uint8)


def turn(degrees: float, height: int, width: int) -> Matrix:
    """Counter-clockwise as seen about the centre of the pixels."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = (width - 1) / 2, (height - 1) / 2
    return matrix(cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y)


def disc(height: int, width: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:height, :width]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


FLIPS: list[tuple[Matrix, Any]] = [
    (matrix(1, 0, 0, 0, 1, 0), lambda a: a),
    (matrix(-1, 0, WIDTH - 1, 0, 1, 0), lambda a: a[:, ::-1]),
    (matrix(1, 0, 0, 0, -1, HEIGHT - 1), lambda a: a[::-1]),
    (matrix(-1, 0, WIDTH - 1, 0, -1, HEIGHT - 1), lambda a: a[::-1, ::-1]),
]


@pytest.mark.parametrize(("transform", "flip"), FLIPS)
def test_a_flip_is_a_slice(transform: Matrix, flip: Any) -> None:
    image, mask = noise(), noise()[..., 0] > 128
    moved, known = warp(image, transform, image.shape, "exact")
    assert np.array_equal(moved, flip(image))
    assert known.all()
    assert np.array_equal(warp_mask(mask, transform, mask.shape), flip(mask))


def test_an_exact_copy_is_never_the_parents_own_memory() -> None:
    image = noise()
    before = image.copy()
    for transform, _ in FLIPS:
        moved, _ = warp(image, transform, image.shape, "exact")
        moved[:] = 0
        assert np.array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(-60, 60),
    st.integers(-60, 60),
    st.booleans(),
    st.booleans(),
    st.integers(1, 70),
    st.integers(1, 70),
)
def test_a_flip_with_a_shift_onto_any_canvas_copies_pixel_by_pixel(
    right: int, down: int, across: bool, over: bool, height: int, width: int
) -> None:
    image, mask = noise(), noise()[..., 0] > 128
    transform = matrix(-1 if across else 1, 0, right, 0, -1 if over else 1, down)
    wanted = np.zeros((height, width, 3), np.uint8)
    object_ = np.zeros((height, width), np.bool_)
    inside = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            from_x, from_y = (right - x if across else x - right), (down - y if over else y - down)
            if 0 <= from_x < WIDTH and 0 <= from_y < HEIGHT:
                wanted[y, x], inside[y, x] = image[from_y, from_x], True
                object_[y, x] = mask[from_y, from_x]
    moved, known = warp(image, transform, (height, width), "exact")
    assert np.array_equal(moved, wanted)
    assert np.array_equal(known, inside)
    assert np.array_equal(warp_mask(mask, transform, (height, width)), object_)


@pytest.mark.parametrize(
    ("transform", "interpolation"),
    [
        (matrix(1, 0, 0.5, 0, 1, 0), "exact"),
        (matrix(2, 0, 0, 0, 1, 0), "exact"),
        (matrix(0, 1, 0, 1, 0, 0), "exact"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [0.001, 0, 1]]), "exact"),
        (matrix(1, 0.1, 0, 0, 1, 0), "lanczos"),
        (matrix(-1, 0, WIDTH - 1, 0, 1, 0), "lanczos"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [0.001, 0, 1]]), "lanczos"),
        (turn(10, HEIGHT, WIDTH), "resize"),
        (matrix(2, 0, 0.4, 0, 2, 0.5), "resize"),
        (matrix(1, 0, 3, 0, 1, 0), "resize"),
    ],
)
def test_a_transform_that_an_interpolation_does_not_serve_is_refused(
    transform: Matrix, interpolation: Any
) -> None:
    with pytest.raises(ValueError, match=f"'{interpolation}'"):
        warp(noise(), transform, (HEIGHT, WIDTH), interpolation)


def test_lanczos_at_scale_one_is_the_identity_in_the_known_area() -> None:
    image = noise()
    moved, known = warp(image, np.eye(3), image.shape, "lanczos")
    # Three pixels on each side would be needed from beyond the edge.
    assert known[3:-3, 3:-3].all()
    assert known.sum() == (HEIGHT - 6) * (WIDTH - 6)
    assert np.array_equal(moved[known], image[known])
    assert not moved[~known].any()


def test_lanczos_knows_what_its_support_allows() -> None:
    # Shrunk to a half, Lanczos-3 reaches 6 parent pixels either way. Of 32 columns, result
    # column t looks at 2t, whose window 2t - 6 .. 2t + 6 lies inside the pixels' area,
    # -0.5 .. 31.5, for t = 3 .. 12; shifted by 10: 13 .. 22. Of 24 rows: t = 3 .. 8.
    moved, known = warp(noise(24, 32), matrix(0.5, 0, 10, 0, 0.5, 0), (40, 40), "lanczos")
    wanted = np.zeros((40, 40), np.bool_)
    wanted[3:9, 13:23] = True
    assert np.array_equal(known, wanted)
    assert not moved[~known].any()


def test_lanczos_is_the_weighted_mean_that_its_kernel_says() -> None:
    image = noise(30, 30, seed=4) // 2 + 60  # of no contrast that would have to be clipped
    scale, shift = 0.4, 3.7
    moved, known = warp(image, matrix(scale, 0, shift, 0, scale, shift), (20, 20), "lanczos")
    places = (np.arange(20) - shift) / scale
    offsets = (places[:, None] - np.arange(30)[None]) * scale
    weights = np.where(np.abs(offsets) < 3, np.sinc(offsets) * np.sinc(offsets / 3), 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 0.5)
    wanted = np.einsum("yi,xj,ijc->yxc", weights, weights, image.astype(np.float64))
    difference = np.abs(moved - wanted)[known]
    assert known.sum() >= 16
    assert difference.max() <= 1.5


def test_cubic_knows_what_its_support_allows() -> None:
    # A pixel between k and k + 1 is made of k - 1 .. k + 2.
    image = noise(8, 10)
    _, known = warp(image, matrix(1, 0, 0.5, 0, 1, 0.5), (8, 10), "cubic")
    wanted = np.zeros((8, 10), np.bool_)
    # Column 2 looks at 1.5, which is made of 0 .. 3; column 8 at 7.5, made of 6 .. 9.
    wanted[2:7, 2:9] = True
    assert np.array_equal(known, wanted)


def test_a_quarter_turn_is_numpys_counter_clockwise() -> None:
    image = noise(41, 41)
    moved, known = warp(image, turn(90, 41, 41), (41, 41), "cubic")
    assert known[2:-3, 2:-3].all()
    assert not known[[0, -1]].any()
    assert np.array_equal(moved[known], np.rot90(image)[known])
    mask = disc(41, 41, 28, 17, 7)
    assert np.array_equal(warp_mask(mask, turn(90, 41, 41), (41, 41)), np.rot90(mask))


def test_a_projective_warp_is_the_affine_one_where_they_agree() -> None:
    image = smooth(60, 60)
    affine = turn(20, 60, 60)
    projective = affine.copy()
    projective[2, 0] = 1e-13
    one, known_one = warp(image, affine, (60, 60), "cubic")
    other, known_other = warp(image, projective, (60, 60), "cubic")
    assert np.array_equal(known_one, known_other)
    assert np.abs(one[known_one].astype(int) - other[known_one]).max() <= 2


def test_behind_the_camera_nothing_is_known() -> None:
    transform = np.array([[1.0, 0, 0], [0, 1, 0], [-0.04, 0, 1]])
    _, known = warp(noise(50, 50), transform, (50, 50), "cubic")
    back = np.linalg.inv(transform)
    y, x = np.mgrid[:50, :50]
    depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
    at = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth
    # A pixel seen from behind would come from where the transform's own depth is negative.
    assert not known[-0.04 * at + 1 <= 0].any()
    assert known.any()


def test_a_resize_is_of_the_rectangle_that_the_transform_names() -> None:
    image = smooth(40, 60)
    # Columns 10 .. 49 and rows 5 .. 34 become the whole canvas.
    zoom_x, zoom_y = 60 / 40, 40 / 30
    transform = matrix(zoom_x, 0, (0.5 - 10) * zoom_x - 0.5, 0, zoom_y, (0.5 - 5) * zoom_y - 0.5)
    moved, known = warp(image, transform, (40, 60), "resize")
    assert known.all()
    between, sure = warp(image, transform, (40, 60), "cubic")
    inner = sure & disc(40, 60, 29.5, 19.5, 18)
    assert np.abs(moved[inner].astype(int) - between[inner]).max() <= 2


def test_a_resize_of_everything_to_its_own_size_is_the_identity() -> None:
    image = noise()
    moved, known = warp(image, np.eye(3), image.shape, "resize")
    assert np.array_equal(moved, image)
    assert known.all()


colours = st.tuples(*[st.integers(0, 255)] * 3)


@settings(max_examples=30, deadline=None)
@given(colours, st.floats(0.1, 3), st.floats(-20, 20), st.floats(-180, 180))
def test_a_constant_image_stays_constant_where_it_is_known(
    colour: tuple[int, int, int], scale: float, shift: float, degrees: float
) -> None:
    image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    cases: list[tuple[Any, Matrix]] = [
        ("lanczos", matrix(scale, 0, shift, 0, scale * 0.9, -shift)),
        ("cubic", turn(degrees, HEIGHT, WIDTH)),
        ("cubic", matrix(scale, 0, shift, 0.1, scale, -shift)),
        ("cubic", np.array([[1, 0, shift], [0, 1, 0], [scale / 200, 0, 1]])),
        ("exact", matrix(1, 0, round(shift), 0, -1, HEIGHT - 1)),
    ]
    for interpolation, transform in cases:
        moved, known = warp(image, transform, image.shape, interpolation)
        assert (moved[known] == colour).all()
        assert not moved[~known].any()


@settings(max_examples=30, deadline=None)
@given(st.floats(0.12, 1.6), st.floats(-45, 45), st.floats(-4, 4), st.floats(-4, 4))
def test_a_masks_area_changes_by_the_determinant(
    scale: float, degrees: float, right: float, down: float
) -> None:
    mask = disc(160, 160, 79.5 + right, 79.5 + down, 44)
    grow = matrix(scale, 0, 79.5 * (1 - scale), 0, scale, 79.5 * (1 - scale))
    transform = turn(degrees, 160, 160) @ grow
    area = int(warp_mask(mask, transform, (160, 160)).sum())
    wanted = mask.sum() * scale**2
    # Half a pixel along the edge either way, of which hardly any is used.
    assert abs(area - wanted) <= 0.25 * 2 * math.pi * 44 * scale + 4


def test_a_mask_shrunk_a_lot_neither_flickers_nor_vanishes() -> None:
    mask = disc(256, 256, 128, 128, 100)
    mask[::2, ::2] = False
    for scale in (1 / 2, 1 / 4, 1 / 6, 1 / 8):
        transform = matrix(scale, 0, 60.3, 0, scale, 40.7)
        found = warp_mask(mask, transform, (256, 256))
        wanted = disc(256, 256, 128 * scale + 60.3, 128 * scale + 40.7, 100 * scale)
        assert (found & wanted).sum() / (found | wanted).sum() > 0.85


def test_a_gap_as_wide_as_a_pixels_footprint_stays_a_gap() -> None:
    # Parent columns 4k .. 4k + 3 become column k.
    mask = np.ones((64, 64), np.bool_)
    mask[:, 40:44] = False
    found = warp_mask(mask, matrix(0.25, 0, -0.375, 0, 0.25, -0.375), (16, 16))
    wanted = np.ones((16, 16), np.bool_)
    wanted[:, 10] = False
    assert np.array_equal(found, wanted)


def test_under_a_projective_transform_a_mask_follows_its_corners() -> None:
    mask = np.zeros((120, 120), np.bool_)
    mask[30:90, 30:90] = True
    transform = np.array([[1.0, 0.05, 2], [0.02, 0.9, 5], [0.001, 0.0005, 1]])
    found = warp_mask(mask, transform, (120, 120))
    corners = np.array([[29.5, 89.5, 89.5, 29.5], [29.5, 29.5, 89.5, 89.5], [1, 1, 1, 1]])
    x, y, depth = transform @ corners
    x, y = x / depth, y / depth
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert abs(found.sum() - area) <= 0.02 * area
    rows, columns = np.nonzero(found)
    assert abs(columns.min() - x.min()) <= 1.5
    assert abs(rows.max() - y.max()) <= 1.5


def test_outside_the_parent_there_is_no_object() -> None:
    mask = np.ones((40, 40), np.bool_)
    moved = warp_mask(mask, matrix(0.5, 0, 30, 0, 0.5, 30), (60, 60))
    assert abs(moved.sum() - 400) <= 45
    assert not moved[:28].any()
    assert not moved[:, :28].any()
    assert moved[32:48, 32:48].all()
