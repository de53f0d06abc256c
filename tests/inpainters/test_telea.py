"""The fill continues the background's colours and grain, and none of the object's."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import PluginError
from covar_gen.core.plugins import make
from covar_gen.inpainters.base import Filled, FillRequest, Inpainter

SIZE = (120, 160)


def telea(**options: float | str) -> Inpainter:
    return make("inpainters", "telea", Inpainter, options)  # type: ignore[type-abstract]


def textured(
    colour: tuple[int, int, int], spread: float = 6, size: tuple[int, int] = SIZE
) -> Image:
    noise = np.random.Generator(np.random.PCG64(1)).normal(0, spread, (*size, 1))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def window(fraction: float, size: tuple[int, int] = SIZE) -> Mask:
    """A centred rectangle with that fraction of each side."""
    known = np.zeros(size, np.bool_)
    edges = [(round(side * (1 - fraction) / 2), round(side * (1 + fraction) / 2)) for side in size]
    known[slice(*edges[0]), slice(*edges[1])] = True
    return known


def request(
    image: Image, known: Mask, mask: Mask | None = None, seed: int = 3, key: str = "a"
) -> FillRequest:
    """What is unknown is black on the way in, as `core.imaging.warp` leaves it."""
    mask = np.zeros(known.shape, np.bool_) if mask is None else mask
    return FillRequest(
        key, np.where(known[..., None], image, np.uint8(0)), known, mask, "", "", seed
    )


def filled(wanted: FillRequest, **options: float | str) -> Filled:
    answer = telea(**options).fill([wanted])[0]
    assert isinstance(answer, Filled), answer
    return answer


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
@pytest.mark.parametrize("fraction", [0.125, 0.5, 0.9])
def test_known_pixels_are_exact_and_the_rest_has_the_ground_s_colour(
    method: str, fraction: float
) -> None:
    known = window(fraction)
    image = textured((90, 140, 60))
    answer = filled(request(image, known), method=method)
    assert answer.known_pixel_max_diff == 0
    assert np.array_equal(answer.image[known], image[known])
    painted = answer.image[~known].astype(float)
    assert painted.mean(axis=0) == pytest.approx(image[known].mean(axis=0), abs=3)
    assert abs(painted - (90, 140, 60)).max() < 40


@pytest.mark.parametrize("fraction", [0.125, 0.8])
def test_a_photograph_s_size_is_served_too(fraction: float) -> None:
    size = (512, 680)
    known = window(fraction, size)
    image = textured((90, 140, 60), size=size)
    painted = filled(request(image, known)).image[~known]
    assert painted.mean(axis=0) == pytest.approx((90, 140, 60), abs=3)
    assert abs(painted.astype(int) - (90, 140, 60)).max() < 60


def test_the_two_methods_differ() -> None:
    wanted = request(textured((90, 140, 60), 20), window(0.5))
    one, other = (filled(wanted, method=method) for method in ("telea", "navier_stokes"))
    assert not np.array_equal(one.image, other.image)


def test_without_grain_an_even_ground_is_continued_evenly() -> None:
    known = window(0.25)
    answer = filled(request(textured((90, 140, 60), 0), known), grain=0)
    # OpenCV's method itself is up to two levels off on an even ground.
    assert abs(answer.image.astype(int) - (90, 140, 60)).max() <= 3


def test_the_fill_has_the_ground_s_grain_and_no_more_than_it() -> None:
    known = window(0.6)
    image = textured((120, 120, 120), 8)
    far = np.zeros(SIZE, np.bool_)
    far[:15] = True
    spread = filled(request(image, known), grain=1).image[far].std()
    assert 0.4 * 8 < spread < 1.2 * 8
    assert filled(request(image, known), grain=0).image[far].std() < 0.3 * 8


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_a_red_object_does_not_bleed_into_a_grey_ground(fraction: float) -> None:
    known = window(fraction)
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    mask = np.zeros(SIZE, np.bool_)
    # Two thirds of the width, down to the lower edge of what is known.
    middle = rows[len(rows) // 3]
    mask[middle : rows[-1] + 1, columns[len(columns) // 6] : columns[-len(columns) // 6]] = True
    image = np.where(mask[..., None], np.array((220, 10, 10), np.uint8), textured((120, 120, 120)))
    answer = filled(request(image, known, mask))
    assert answer.params == {"object_excluded": True}
    painted = answer.image[~known].astype(int)
    assert (painted[:, 0] - painted[:, 1]).max() <= 2
    unmarked = filled(request(image, known)).image[~known].astype(int)
    assert (unmarked[:, 0] - unmarked[:, 1]).max() > 50


def test_sky_stays_above_and_ground_below() -> None:
    known = window(0.25)
    image = np.vstack([textured((90, 130, 220))[:60], textured((80, 110, 50))[60:]])
    blue = filled(request(image, known)).image[..., 2].astype(float)
    assert blue[:20].mean() > 180
    assert blue[-20:].mean() < 90
    assert blue[40:50, :20].mean() > blue[70:80, :20].mean() + 40


def test_the_fill_meets_the_known_pixels_smoothly() -> None:
    x = np.linspace(40, 200, SIZE[1])
    image = np.repeat(np.broadcast_to(x, SIZE)[..., None], 3, axis=2).astype(np.uint8)
    known = window(0.6)
    painted = filled(request(image, known), grain=0).image.astype(int)
    top = int(np.flatnonzero(known.any(axis=1))[0])
    columns = np.flatnonzero(known[top])
    assert abs(painted[top - 1, columns] - painted[top, columns]).max() <= 6
    assert abs(np.diff(painted, axis=0)).max() <= 12


def test_stripes_fade_away_from_the_seam_instead_of_stopping_or_streaking() -> None:
    x = 120 + 60 * np.sin(np.arange(160) * 2 * np.pi / 40)
    image = np.repeat(np.broadcast_to(x, SIZE)[..., None], 3, axis=2).astype(np.uint8)
    known = window(0.5)
    painted = filled(request(image, known), grain=0, band=4).image[..., 0].astype(float)
    stripes = x[50:110] - x[50:110].mean()
    left = [float((painted[row, 50:110] * stripes).sum() / (stripes**2).sum()) for row in (24, 0)]
    assert 0.35 < left[0] < 0.95  # 6 pixels above the known ones
    assert abs(left[1]) < 0.3  # 30 pixels above


def test_an_object_that_is_all_that_is_known_gives_its_colours_and_says_so() -> None:
    known = window(0.25)
    answer = filled(request(textured((200, 40, 40)), known, known))
    assert answer.params == {"object_excluded": False}
    painted = answer.image[~known]
    assert painted.mean(axis=0) == pytest.approx((200, 40, 40), abs=4)


def test_where_nothing_is_known_the_answer_is_the_reason() -> None:
    image = textured((90, 140, 60))
    nothing = request(image, np.zeros(SIZE, np.bool_), key="b")
    first, second, third = telea().fill(
        [request(image, window(0.5)), nothing, request(image, window(0.5), key="c")]
    )
    assert second == Rejected("nothing_known")
    assert isinstance(first, Filled)
    assert isinstance(third, Filled)
    assert np.array_equal(first.image, third.image)


def test_where_all_is_known_nothing_is_painted() -> None:
    image = textured((90, 140, 60))
    assert np.array_equal(filled(request(image, np.ones(SIZE, np.bool_))).image, image)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (16, 200)])
@pytest.mark.parametrize("count", [1, 5])
def test_a_few_known_pixels_are_enough(size: tuple[int, int], count: int) -> None:
    known = np.zeros(size, np.bool_)
    known[8, 5 : 5 + count] = True
    image = textured((90, 140, 60), 0, size)
    painted = filled(request(image, known)).image.astype(int)
    assert abs(painted - (90, 140, 60)).max() <= 3


def test_alone_in_a_batch_in_another_thread_and_with_more_threads_the_bytes_are_the_same() -> None:
    import cv2

    image = textured((90, 140, 60), 15)
    wanted = request(image, window(0.5))
    other = request(image[::-1], window(0.3), seed=8, key="b")
    inpainter = telea()
    alone = filled(wanted).image
    answers = [inpainter.fill([other, wanted])[1]]
    with ThreadPoolExecutor(1) as pool:
        answers += pool.submit(inpainter.fill, [wanted]).result()
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3 if threads != 3 else 1)
        answers += inpainter.fill([wanted])
    finally:
        cv2.setNumThreads(threads)
    for answer in answers:
        assert isinstance(answer, Filled)
        assert np.array_equal(answer.image, alone)


def test_another_seed_gives_another_fill_and_black_input_is_never_read() -> None:
    image, known = textured((90, 140, 60)), window(0.5)
    first = request(image, known)
    second = request(image, known, seed=4)
    unmasked = FillRequest("a", image[:, ::-1].copy(), known, first.mask, "", "", 3)
    unmasked.image[known] = image[known]
    assert not np.array_equal(filled(first).image, filled(second).image)
    assert np.array_equal(filled(first).image, filled(unmasked).image)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(PluginError, match="'telea' or 'navier_stokes'"):
        telea(method="fast")
