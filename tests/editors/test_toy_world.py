"""The toy world's editor keeps the object's pixels and draws the background that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.core.arrays import Rejected
from covar_gen.core.plugins import make
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.toys.world import BACKGROUNDS, draw_background, render


def _edit(background: str, seed: int = 4, *, empty: bool = False) -> Edit | Rejected:
    editor = make("editors", "toy_world", Editor, {}, "backgrounds.editor")
    image, drawn = render("star", "green grass", 1)
    mask = drawn.mask & (not empty)
    request = EditRequest("star/1/01", image, mask, "star", 1, background, "", seed)
    (answer,) = editor.edit([request])
    return answer


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_object_s_pixels_are_kept_and_all_others_are_the_background_s(background: str) -> None:
    image, drawn = render("star", "green grass", 1)
    answer = _edit(background)
    assert isinstance(answer, Edit)
    assert np.array_equal(answer.image[drawn.mask], image[drawn.mask])
    drawn_alone = draw_background(background, (96, 96), 4)
    assert np.array_equal(answer.image[~drawn.mask], drawn_alone[~drawn.mask])
    assert answer.mask is not None
    assert np.array_equal(answer.mask, drawn.mask)
    assert answer.known_pixel_max_diff == 0
    assert answer.transform is not None
    assert np.array_equal(answer.transform, np.eye(3))


def test_the_background_follows_from_the_item_s_seed() -> None:
    one, again, other = (_edit("blue waves", seed) for seed in (1, 1, 2))
    assert isinstance(one, Edit)
    assert isinstance(again, Edit)
    assert isinstance(other, Edit)
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)


def test_capitals_and_spaces_around_a_description_do_not_matter() -> None:
    plain, shouted = _edit("red bricks"), _edit("  Red BRICKS ")
    assert isinstance(plain, Edit)
    assert isinstance(shouted, Edit)
    assert np.array_equal(plain.image, shouted.image)


def test_a_background_of_another_world_is_refused_and_the_known_ones_are_offered() -> None:
    answer = _edit("beach")
    assert isinstance(answer, Rejected)
    assert answer.reason == "no_such_toy_background"
    assert answer.params == {"background": "beach", "known": list(BACKGROUNDS)}


def test_without_an_object_there_is_nothing_to_place() -> None:
    assert _edit("red bricks", empty=True) == Rejected("empty_mask")


def test_the_editor_says_that_it_knows_its_masks() -> None:
    assert make("editors", "toy_world", Editor, {}, "backgrounds.editor").knows_masks
