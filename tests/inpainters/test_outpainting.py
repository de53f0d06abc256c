"""Passes of outpainting: which canvases, from which seeds, and what stays exactly as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from covar_gen.core.arrays import Rejected
from covar_gen.core.imaging import warp, warp_mask
from covar_gen.core.seeds import generator, seed_of
from covar_gen.core.shrinking import between, passes, shrink
from covar_gen.inpainters.base import (
    Filled,
    FillRequest,
    Inpainter,
    OutpaintRequest,
    Shrunk,
)

SIZE = (60, 80)
FACTORS = (2.0, 4.0, 6.0, 8.0)


class Noise(Inpainter):
    """Paints everything anew with the seed's noise, and remembers what it was asked."""

    def __init__(self, refused: dict[str, Rejected] | None = None) -> None:
        super().__init__()
        self.refused = refused or {}
        self.asked: list[list[FillRequest]] = []

    def paint(self, batch: Sequence[FillRequest]) -> list[Filled | Rejected]:
        self.asked.append(list(batch))
        return [
            self.refused.get(one.key)
            or Filled(generator(one.seed).integers(0, 256, one.image.shape).astype(np.uint8))
            for one in batch
        ]


class ByTwos(Noise):
    """One that outpaints by two at most."""

    reach: ClassVar[float] = 2.0


def asked_for(number: int = 0, **changes: object) -> OutpaintRequest:
    draw = generator(number)
    image = draw.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    mask = np.zeros(SIZE, bool)
    left, top = (int(draw.integers(0, edge // 2)) for edge in (SIZE[1], SIZE[0]))
    mask[top : top + 25, left : left + 30] = True
    mask &= draw.random(SIZE) < 0.9
    key = f"p{number}"
    wanted = tuple(Shrunk(f"{key}/scale_{f:g}", f, 100 * number + int(f)) for f in FACTORS)
    plain = OutpaintRequest(key, image, mask, "beach", "dog", wanted, FACTORS, 50 + number)
    return replace(plain, **changes)


def images(answers: list[Filled | Rejected]) -> list[np.ndarray]:
    assert all(isinstance(answer, Filled) for answer in answers)
    return [answer.image for answer in answers if isinstance(answer, Filled)]


def parent_says(request: OutpaintRequest, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """What the parent decides of a canvas, from one Lanczos downsample."""
    transform = shrink(request.mask, factor)
    image, known = warp(request.image, transform, SIZE, "lanczos")
    if request.keep == "object":
        known &= warp_mask(request.mask, transform, SIZE)
    return image, known


@pytest.mark.parametrize(
    ("factors", "reach", "expected"),
    [
        ([2], 2, [2]),
        ([4], 2, [2, 4]),
        ([8], 2, [2, 4, 8]),
        ([6], 2, [6 ** (1 / 3), 6 ** (2 / 3), 6]),
        ([2, 4, 6, 8], 2, [2, 4, 6, 8]),
        ([8, 2], 2, [2, 4, 8]),
        ([1.5, 6], 2, [1.5, 3, 6]),
        ([64], 2, [2, 4, 8, 16, 32, 64]),
        ([8], float("inf"), [8]),
        ([2, 8], float("inf"), [2, 8]),
    ],
)
def test_the_fewest_passes_that_reach_every_factor(
    factors: list[float], reach: float, expected: list[float]
) -> None:
    found = passes(factors, reach)
    assert found == pytest.approx(expected)
    assert set(factors) <= set(found)


def test_canvases_of_two_factors_share_their_centre() -> None:
    mask = asked_for().mask
    expected = shrink(mask, 6) @ np.linalg.inv(shrink(mask, 2))
    assert between(2, 6, SIZE) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [Noise, ByTwos])
@pytest.mark.parametrize("keep", ["photograph", "object"])
@pytest.mark.parametrize("chain", ["separate", "shared"])
@pytest.mark.parametrize("number", range(4))
def test_what_the_parent_says_of_any_canvas_is_one_downsample_of_it(
    kind: type[Noise], keep: str, chain: str, number: int
) -> None:
    request = asked_for(number, keep=keep, chain=chain)
    (answers,) = kind().outpaint([request])
    for factor, answer, image in zip(FACTORS, answers, images(answers), strict=True):
        expected, known = parent_says(request, factor)
        assert known.any()
        assert np.array_equal(image[known], expected[known])
        assert not np.array_equal(image, expected)
        assert isinstance(answer, Filled)
        assert answer.known_pixel_max_diff == 0
        assert answer.params.get("keep") == (None if keep == "photograph" else keep)


def test_an_object_that_alone_stays_gets_new_surroundings() -> None:
    request = asked_for(keep="object")
    (whole,) = Noise().outpaint([replace(request, keep="photograph")])
    (alone,) = Noise().outpaint([request])
    expected, known = parent_says(request, 2)
    around = parent_says(replace(request, keep="photograph"), 2)[1] & ~known
    assert np.array_equal(images(whole)[0][around], expected[around])
    assert (images(alone)[0][around] != expected[around]).any(1).mean() > 0.9


@pytest.mark.parametrize("keep", ["photograph", "object"])
def test_canvases_of_a_shared_chain_are_nested(keep: str) -> None:
    request = asked_for(1, keep=keep, chain="shared")
    (answers,) = ByTwos().outpaint([request])
    made = images(answers)
    for place in range(1, 4):
        inner, there = warp(
            made[place - 1], between(FACTORS[place - 1], FACTORS[place], SIZE), SIZE, "lanczos"
        )
        _, known = parent_says(request, FACTORS[place])
        ring = there & ~known
        assert ring.any()
        assert np.array_equal(made[place][ring], inner[ring])
        assert [answer.params["passes"] for answer in answers] == [1, 2, 3, 4]  # type: ignore[union-attr]


def test_canvases_of_separate_chains_are_not() -> None:
    request = asked_for(1)
    (answers,) = ByTwos().outpaint([request])
    made = images(answers)
    inner, there = warp(made[0], between(2, 4, SIZE), SIZE, "lanczos")
    ring = there & ~parent_says(request, 4)[1]
    assert (made[1][ring] != inner[ring]).any(1).mean() > 0.9
    assert [answer.params["passes"] for answer in answers] == [1, 2, 3, 3]  # type: ignore[union-attr]


def test_without_passes_a_canvas_is_asked_for_as_ever() -> None:
    request = asked_for()
    inpainter = Noise()
    (answers,) = inpainter.outpaint([request])
    (batch,) = inpainter.asked
    for canvas, one, answer in zip(request.wanted, batch, answers, strict=True):
        expected, known = parent_says(request, canvas.factor)
        assert (one.key, one.seed) == (canvas.key, canvas.seed)
        assert (one.prompt, one.negative_prompt) == ("beach", "dog")
        assert np.array_equal(one.image, expected)
        assert np.array_equal(one.known, known)
        assert isinstance(answer, Filled)
        assert answer.params == {}


def test_the_passes_of_all_parents_are_painted_side_by_side() -> None:
    inpainter = ByTwos()
    requests = [asked_for(number) for number in range(3)]
    inpainter.outpaint(requests)
    assert [len(batch) for batch in inpainter.asked] == [12, 9, 6]
    keys = [one.key for batch in inpainter.asked for one in batch]
    assert len(set(keys)) == len(keys)
    seeds = [one.seed for batch in inpainter.asked for one in batch]
    assert len(set(seeds)) == len(seeds)


def test_a_chain_depends_on_its_seed_and_on_nothing_else_of_the_batch() -> None:
    requests = [asked_for(number, chain="shared") for number in range(3)]
    together = ByTwos().outpaint(requests)
    for request, answers in zip(requests, together, strict=True):
        (alone,) = ByTwos().outpaint([request])
        assert all(map(np.array_equal, images(answers), images(alone)))
    (other,) = ByTwos().outpaint([replace(requests[0], seed=1)])
    assert not np.array_equal(images(other)[0], images(together[0])[0])
    inpainter = ByTwos()
    inpainter.outpaint([replace(requests[0], wanted=requests[0].wanted[2:])])
    assert [batch[0].seed for batch in inpainter.asked] == [
        seed_of(requests[0].seed, "pass", f"{factor:g}") for factor in (2, 4, 6, 8)
    ]


def test_part_of_a_shared_chain_is_the_same_as_in_the_whole() -> None:
    request = asked_for(chain="shared")
    (whole,) = ByTwos().outpaint([request])
    (part,) = ByTwos().outpaint([replace(request, wanted=request.wanted[2:3])])
    assert np.array_equal(images(part)[0], images(whole)[2])


def test_a_refused_pass_refuses_the_canvases_beyond_it() -> None:
    final = Rejected("nothing_known")
    request = asked_for(chain="shared")
    inpainter = ByTwos({"p0/scale_4": final})
    (answers,) = inpainter.outpaint([request])
    assert isinstance(answers[0], Filled)
    assert answers[1:] == [final] * 3
    assert len(inpainter.asked) == 2


def test_a_pass_to_be_made_again_takes_its_whole_shared_chain_with_it() -> None:
    again = Rejected("bad_output", again=True)
    (answers,) = ByTwos({"p0/scale_4": again}).outpaint([asked_for(chain="shared")])
    assert answers == [again] * 4


def test_a_pass_to_be_made_again_leaves_separate_chains_alone() -> None:
    again = Rejected("bad_output", again=True)
    inpainter = ByTwos({"p0/scale_8/pass_2": again})
    answers, others = inpainter.outpaint([asked_for(0), asked_for(1)])
    assert [isinstance(answer, Filled) for answer in answers] == [True, True, True, False]
    assert all(isinstance(answer, Filled) for answer in others)
