"""What becomes of an object that a model has drawn elsewhere is the recipe's choice."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.errors import PluginError
from covar_gen.core.registration import Estimate, register
from covar_gen.core.values import checked
from covar_gen.editors.base import AlignmentOptions, Edit, EditRequest, aligned, pasted_back


@pytest.fixture
def request_() -> EditRequest:
    image = data.chelsea()
    drawn = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(drawn, (220, 150), (120, 110), 0, 0, 360, 1, -1)
    return EditRequest("cat/1/01", image, drawn > 0, "cat", 1, "beach", "", 7)


def redrawn(request: EditRequest, scale: float, shift: tuple[int, int]) -> Image:
    """The cat at another place, before green: shift in pixels, about the object's middle."""
    offset = (1 - scale) * np.array([220, 150]) + shift
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    size = request.mask.shape[::-1]
    image = cv2.warpAffine(request.image, matrix, size, flags=cv2.INTER_CUBIC)
    part = cv2.warpAffine(request.mask.astype(np.float32), matrix, size)[..., None]
    found = image * part + np.array([10, 160, 40]) * (1 - part)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def options(**given: object) -> AlignmentOptions:
    return checked(AlignmentOptions, given, "")


def test_what_is_accepted_is_taken_as_it_is_and_measured(request_: EditRequest) -> None:
    edited = redrawn(request_, 1.1, (30, -12))
    found = aligned(request_, edited, options(), {"steps": 3})
    assert isinstance(found, Edit)
    assert found.image is edited
    assert found.params == {"steps": 3}
    assert found.columns["object_scale"] == pytest.approx(1.1, abs=0.005)
    assert found.columns["object_shift_x"] == pytest.approx(30 / 451, abs=0.003)
    assert found.columns["object_shift_y"] == pytest.approx(-12 / 300, abs=0.003)
    assert 0.9 < float(str(found.columns["object_match"])) <= 1
    # Where the object is was estimated: masks and transforms are for what is known.
    assert found.mask is None
    assert found.transform is None
    assert found.known_pixel_max_diff is None


@pytest.mark.parametrize(
    ("scale", "shift", "is_moved"),
    [(1.0, (0, 0), False), (1.0, (8, 0), False), (1.0, (10, 0), True), (1.0, (0, -7), True),
     (1.04, (0, 0), False), (1.06, (0, 0), True), (0.96, (0, 0), False), (0.94, (0, 0), True)],
)  # fmt: skip
def test_only_what_moved_further_than_allowed_is_refused(
    request_: EditRequest, scale: float, shift: tuple[int, int], is_moved: bool
) -> None:
    """Allowed are 2 % of 451 x 300 pixels, which is 9.02 and 6, and a factor of 1.05."""
    edited = redrawn(request_, scale, shift)
    found = aligned(request_, edited, options(alignment="refuse"), {"steps": 3})
    assert isinstance(found, Rejected) is is_moved
    assert found.columns["object_scale"] == pytest.approx(scale, abs=0.005)
    assert found.params["steps"] == 3
    if isinstance(found, Rejected):
        assert found.reason == "object_moved"
        assert found.again


def test_what_moved_is_moved_back_and_says_what_it_lacked(request_: EditRequest) -> None:
    edited = redrawn(request_, 1.1, (30, -12))
    found = aligned(request_, edited, options(alignment="realign"))
    assert isinstance(found, Edit)
    again = register(request_.image, request_.mask, found.image)
    assert isinstance(again, Estimate)
    assert again.scale == pytest.approx(1, abs=0.003)
    assert (again.shift_x, again.shift_y) == pytest.approx((0, 0), abs=0.003)
    assert found.columns["object_scale"] == pytest.approx(1.1, abs=0.005)
    assert found.params["realigned"] is True
    # By hand: the 451 x 300 pixels shrink to 1 / 1.1 of both edges: 17.4 % are missing, all of
    # that inside the frame on the left and below, less what the rims of both pictures take.
    assert found.params["mirrored"] == pytest.approx(1 - 1 / 1.21, abs=0.03)


def test_what_hardly_moved_keeps_its_pixels_when_realigned(request_: EditRequest) -> None:
    edited = redrawn(request_, 1.0, (4, 2))
    found = aligned(request_, edited, options(alignment="realign"))
    assert isinstance(found, Edit)
    assert found.image is edited
    assert found.params == {}


def test_an_object_that_has_partly_left_cannot_be_moved_back(request_: EditRequest) -> None:
    edited = redrawn(request_, 1.0, (190, 0))
    found = aligned(request_, edited, options(alignment="realign"))
    assert isinstance(found, Rejected)
    assert found.reason == "object_moved"
    assert found.columns["object_shift_x"] == pytest.approx(190 / 451, abs=0.003)


@pytest.mark.parametrize("alignment", ["refuse", "realign"])
def test_an_object_that_is_not_there_is_rejected_and_drawn_again(
    request_: EditRequest, alignment: str
) -> None:
    other = cv2.resize(data.coffee(), request_.mask.shape[::-1])
    found = aligned(request_, other, options(alignment=alignment))
    assert isinstance(found, Rejected)
    assert found.reason == "object_not_found"
    assert found.params["unmeasured"] == "unlike"
    assert found.again
    match = found.columns["object_match"]
    assert isinstance(match, float)
    assert match < 0.45


def test_what_cannot_be_measured_is_accepted_where_all_is_and_says_so(
    request_: EditRequest,
) -> None:
    other = cv2.resize(data.coffee(), request_.mask.shape[::-1])
    found = aligned(request_, other, options())
    assert isinstance(found, Edit)
    assert found.params == {"unmeasured": "unlike"}
    assert set(found.columns) == {"object_match"}


def test_a_plain_object_is_not_drawn_again_for_being_plain(request_: EditRequest) -> None:
    plain = np.where(request_.mask[..., None], np.uint8(90), request_.image)
    request = EditRequest("cat/1/01", plain, request_.mask, "cat", 1, "beach", "", 7)
    found = aligned(request, plain, options(alignment="refuse"))
    assert isinstance(found, Rejected)
    assert found.params["unmeasured"] == "plain_object"
    assert not found.again


def test_the_photograph_s_object_is_put_into_an_edit_pixel_by_pixel(
    request_: EditRequest,
) -> None:
    edit = Edit(redrawn(request_, 1.0, (20, 0)), params={"steps": 3}, columns={"object_match": 1.0})
    found = pasted_back(request_, edit)
    mask = request_.mask
    assert np.array_equal(found.image[mask], request_.image[mask])
    assert np.array_equal(found.image[~mask], edit.image[~mask])
    assert found.known_pixel_max_diff == 0
    assert found.mask is mask
    assert found.transform is not None
    assert np.array_equal(found.transform, np.eye(3))
    assert found.params == {"steps": 3, "pasted_back": True}
    assert found.columns == {"object_match": 1.0}


@pytest.mark.parametrize("given", [{"alignment": "guess"}, {"max_shift": 1.5}, {"max_scale": 0.9}])
def test_choices_that_are_none_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(PluginError):
        checked(AlignmentOptions, given, "editor", PluginError)
