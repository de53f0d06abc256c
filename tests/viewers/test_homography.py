"""The planar views obey a pinhole camera, and what they show of the parent is its warp."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from covar_gen.core.arrays import Image, Mask, Matrix, Rejected
from covar_gen.core.errors import PluginError
from covar_gen.core.imaging import object_box, warp, warp_mask
from covar_gen.core.plugins import make
from covar_gen.viewers.base import View, Viewer, ViewRequest
from covar_gen.viewers.homography import Homography, _turn

SIZE = (120, 160)
MINUS_45, MINUS_30, MINUS_15, PLUS_15, PLUS_30, PLUS_45 = range(6)


def homography(**options: float) -> Viewer:
    return make("viewers", "homography", Viewer, options)  # type: ignore[type-abstract]


def textured(size: tuple[int, int] = SIZE) -> Image:
    noise = np.random.Generator(np.random.PCG64(1)).normal(0, 8, (*size, 1))
    return np.clip(np.array((120, 120, 120)) + noise, 0, 255).astype(np.uint8)


def box_mask(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


MIDDLE = box_mask(60, 40, 101, 81)  # centre (80, 60)


def request(
    image: Image, mask: Mask, wanted: tuple[int, ...], seed: int = 3, key: str = "a"
) -> ViewRequest:
    return ViewRequest(key, image, mask, wanted, seed)


def view(index: int, mask: Mask = MIDDLE, image: Image | None = None, **options: float) -> View:
    image = textured() if image is None else image
    answer = homography(**options).views([request(image, mask, (index,))])[0][0]
    assert isinstance(answer, View), answer
    return answer


def at(transform: Matrix | None, x: float, y: float) -> tuple[float, float]:
    assert transform is not None
    moved = transform @ np.array([x, y, 1])
    return float(moved[0] / moved[2]), float(moved[1] / moved[2])


def test_the_poses_are_six_yaws_at_eye_level() -> None:
    poses = homography().poses
    assert [pose.azimuth_deg for pose in poses] == [-45, -30, -15, 15, 30, 45]
    assert {pose.elevation_deg for pose in poses} == {0}


def test_a_yaw_of_zero_is_the_identity() -> None:
    assert np.allclose(_turn((31, 17), 0, 200), np.eye(3))


def test_points_come_to_lie_where_a_pinhole_camera_sees_them() -> None:
    # Focal length 1 x 160 pixels, yaw 30: a point 32 right of the axis comes 32 sin 30 = 16
    # nearer, so it is enlarged by 160 / (160 - 16) = 10 / 9; 32 left of it by 160 / 176 = 10 / 11.
    transform = view(PLUS_30, focal=1).transform
    cosine = math.sqrt(3) / 2
    assert at(transform, 112, 78) == pytest.approx((80 + 32 * cosine * 10 / 9, 60 + 20))
    assert at(transform, 48, 60 - 22) == pytest.approx((80 - 32 * cosine * 10 / 11, 60 - 20))


def test_the_opposite_yaw_is_the_mirror_image() -> None:
    for one, other in ((MINUS_45, PLUS_45), (MINUS_30, PLUS_30), (MINUS_15, PLUS_15)):
        x, y = at(view(one).transform, 80 + 25, 33)
        assert at(view(other).transform, 80 - 25, 33) == pytest.approx((160 - x, y))


@pytest.mark.parametrize("index", range(6))
def test_the_centre_of_the_object_s_box_stays_and_verticals_stay_vertical(index: int) -> None:
    mask = box_mask(11, 30, 52, 101)  # centre (31, 65)
    transform = view(index, mask).transform
    assert at(transform, 31, 65) == pytest.approx((31, 65))
    assert at(transform, 20, 10)[0] == pytest.approx(at(transform, 20, 110)[0])


@pytest.mark.parametrize("index", range(6))
def test_a_narrow_object_gets_narrower_by_the_cosine(index: int) -> None:
    transform = view(index, focal=100).transform
    width = at(transform, 81, 60)[0] - at(transform, 79, 60)[0]
    angle = math.radians(homography().poses[index].azimuth_deg)
    assert width / 2 == pytest.approx(math.cos(angle), rel=1e-4)


def test_a_positive_azimuth_brings_the_right_side_nearer() -> None:
    seen = view(PLUS_45, box_mask(30, 40, 131, 81)).mask
    assert seen is not None
    heights = seen.sum(axis=0)
    columns = np.flatnonzero(heights)
    assert heights[columns[-2]] > heights[columns[1]] + 10


@pytest.mark.parametrize("index", range(6))
def test_what_is_known_is_the_warp_and_the_mask_is_the_parent_s_under_it(index: int) -> None:
    image = textured()
    found = view(index, image=image)
    assert found.transform is not None
    assert found.mask is not None
    warped, known = warp(image, found.transform, SIZE, "cubic")
    assert known.any()
    assert not known.all()
    assert np.array_equal(found.image[known], warped[known])
    assert np.array_equal(found.mask, warp_mask(MIDDLE, found.transform, SIZE))
    assert found.known_pixel_max_diff == 0
    assert found.params == {"planar": True, "focal": 1.2, "scale": 1.0}


@pytest.mark.parametrize("index", range(6))
def test_what_is_unknown_has_the_ground_s_colours_and_none_of_the_object_s(index: int) -> None:
    mask = box_mask(20, 30, 140, 120)
    image = np.where(mask[..., None], np.array((220, 10, 10), np.uint8), textured())
    found = view(index, mask, image)
    assert found.transform is not None
    _, known = warp(image, found.transform, SIZE, "cubic")
    painted = found.image[~known].astype(int)
    assert len(painted) > 500
    assert painted[:, 0] == pytest.approx(painted[:, 1], abs=1)
    assert painted.mean() == pytest.approx(120, abs=6)
    assert abs(painted - 120).max() < 60


def test_an_object_that_would_leave_the_frame_is_made_smaller_about_its_centre() -> None:
    mask = box_mask(20, 5, 140, 115)  # centre (79.5, 59.5), half sizes 59.5 and 54.5
    found = view(PLUS_45, mask, overhang=0)
    # The right end comes 59.5 sin 45 nearer than the 192 pixels of the focal length.
    grown = 54.5 * 192 / (192 - 59.5 * math.sin(math.pi / 4))
    assert found.params["scale"] == pytest.approx(59.5 / grown)
    assert at(found.transform, 79.5, 59.5) == pytest.approx((79.5, 59.5))
    assert found.mask is not None
    box = object_box(found.mask)
    assert box is not None
    assert box[1] <= 1
    assert box[3] >= SIZE[0] - 1
    assert view(PLUS_45, mask, smallest=0.95).params["scale"] == 0.95
    assert view(PLUS_45, mask, overhang=0.5).params["scale"] == 1


def test_only_the_wanted_poses_are_computed_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from covar_gen.viewers import homography as module

    angles = []

    def spy(*arguments: float) -> Matrix:
        angles.append(arguments[1])
        return _turn(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_turn", spy)
    wanted = [request(textured(), MIDDLE, (4, 0)), request(textured(), MIDDLE, (), key="b")]
    answers = homography().views(wanted)
    assert [len(views) for views in answers] == [2, 0]
    assert angles == [30, -45]


def test_a_view_does_not_depend_on_the_others_the_batch_or_the_thread() -> None:
    image, viewer = textured(), homography()
    alone = view(PLUS_30, image=image)
    other = request(image[::-1].copy(), MIDDLE, (0, 1), seed=9, key="b")
    answers = [viewer.views([other, request(image, MIDDLE, (0, PLUS_30))])[1][1]]
    with ThreadPoolExecutor(1) as pool:
        wanted = [request(image, MIDDLE, (PLUS_30,))]
        answers += pool.submit(viewer.views, wanted).result()[0]
    for answer in answers:
        assert isinstance(answer, View)
        assert np.array_equal(answer.image, alone.image)


def test_the_filled_borders_have_grain_from_the_seed() -> None:
    image, viewer = textured(), homography()
    one, other = (viewer.views([request(image, MIDDLE, (5,), seed)])[0][0] for seed in (1, 2))
    assert isinstance(one, View)
    assert isinstance(other, View)
    assert one.transform is not None
    _, known = warp(image, one.transform, SIZE, "cubic")
    assert np.array_equal(one.image[known], other.image[known])
    assert not np.array_equal(one.image, other.image)


def test_each_view_has_grain_of_its_own() -> None:
    image = textured()
    views = [view(index, image=image, grain=2) for index in (PLUS_30, PLUS_45)]
    left = [found.image[:, :12, 0].astype(float) for found in views]  # unknown in both
    rows = [plane - plane.mean() for plane in left]
    alike = (rows[0] * rows[1]).mean() / (rows[0].std() * rows[1].std())
    assert abs(alike) < 0.3


def test_without_an_object_every_wanted_view_is_rejected() -> None:
    nothing = np.zeros(SIZE, np.bool_)
    answers = homography().views([request(textured(), nothing, (0, 3, 5))])
    assert answers == [[Rejected("empty_mask")] * 3]


def test_an_object_that_is_the_whole_photograph_is_still_filled_around() -> None:
    found = view(MINUS_45, np.ones(SIZE, np.bool_))
    assert found.image.min() > 60


def test_a_camera_that_the_plane_would_cut_through_is_refused() -> None:
    with pytest.raises(PluginError, match=r"greater than or equal to 0\.8"):
        homography(focal=0.5)


def test_a_view_from_beyond_the_horizon_is_never_black() -> None:
    image = np.full((512, 512, 3), 120, np.uint8)
    mask = np.zeros((512, 512), bool)
    mask[200:300, 420:510] = True
    viewer = Homography(Homography.Options(focal=0.8))
    wanted = tuple(range(len(viewer.poses)))
    (views,) = viewer.views([ViewRequest("k", image, mask, wanted, 3)])
    for view in views:
        assert isinstance(view, View)
        assert view.image.min() > 60
