"""What a mask measures, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.core.outlines import Outline, measured


def test_shares_and_parts_of_a_mask_are_counted() -> None:
    mask = np.zeros((5, 6), np.bool_)
    mask[1:3, 2:4] = True
    # A pixel that touches the square by its corner only is a part of its own.
    mask[3, 4] = True
    # One on the border.
    mask[4, 0] = True
    # Of 5 x 6 pixels 2 * 6 + 2 * 3 = 18 are outermost.
    assert measured(mask) == Outline(6 / 30, 1 / 18, 3)


@pytest.mark.parametrize(("value", "parts"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("size", [(4, 7), (1, 5), (2, 2), (1, 1)])
def test_nothing_and_everything(value: bool, parts: int, size: tuple[int, int]) -> None:
    assert measured(np.full(size, value)) == Outline(float(value), float(value), parts)


def test_a_frame_is_the_whole_border_and_one_part() -> None:
    mask = np.ones((10, 10), np.bool_)
    mask[1:-1, 1:-1] = False
    assert measured(mask) == Outline(0.36, 1.0, 1)
    assert measured(~mask) == Outline(0.64, 0.0, 1)
