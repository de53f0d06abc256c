"""Overlaps of masks worked by hand, their properties, and ImageNet-S's own way of counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from covar_gen.evaluation.metrics.mask_overlap import (
    IGNORE,
    LabelMaps,
    annotation_ids,
    count,
    largest,
    means,
    nearest,
    overlap,
    same_shape,
)
from covar_gen.evaluation.metrics.regions import iou

IDS = np.array([[7, 7, 0, 0], [7, 7, 0, 300], [IGNORE, IGNORE, 0, 300]], np.uint16)
MASK = np.array([[0, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], bool)


def test_an_id_is_red_plus_256_times_green() -> None:
    image = np.array([[[7, 0, 0], [0, 1, 0], [44, 1, 0], [232, 3, 0]]], np.uint8)
    assert annotation_ids(image).tolist() == [[7, 256, 300, 1000]]
    assert annotation_ids(image).dtype == np.uint16


def test_pixels_are_counted_by_id_outside_and_inside() -> None:
    counts = count(IDS, MASK)
    assert counts.shape == (2, 1001)
    assert counts.sum() == 12
    assert {n: counts[:, n].tolist() for n in (0, 7, 300, IGNORE)} == {
        0: [3, 1],
        7: [2, 2],
        300: [1, 1],
        IGNORE: [1, 1],
    }


def test_an_overlap_by_hand() -> None:
    # Of 4 predicted pixels that are not ignored 2 lie on the 4 pixels of class 7: 2 / (4 + 4 - 2).
    found = overlap(count(IDS, MASK), [7])
    assert found == (4, 4, 2)
    assert (found.union, found.iou) == (6, 2 / 6)


def test_an_object_of_several_classes_is_their_union() -> None:
    assert overlap(count(IDS, MASK), [7, 300]).iou == 3 / 7
    assert overlap(count(IDS, MASK), range(1, IGNORE)).iou == 3 / 7


def test_an_ignored_pixel_counts_in_neither_mask() -> None:
    with_more = MASK | (IDS == IGNORE)
    assert overlap(count(IDS, with_more), [7]) == overlap(count(IDS, MASK), [7])


def test_two_empty_masks_have_no_iou_and_one_empty_mask_has_zero() -> None:
    empty = np.zeros(IDS.shape, bool)
    assert overlap(count(IDS, empty), [7]).iou == 0
    assert overlap(count(IDS, empty), [8]).iou is None
    assert overlap(count(IDS, MASK), []).iou == 0
    only_ignored = IDS == IGNORE
    assert overlap(count(IDS, only_ignored), [8]).iou is None


def test_the_largest_class_is_neither_other_nor_ignored() -> None:
    assert largest(count(IDS, MASK)) == 7
    more = np.where(IDS == 7, 0, IDS)
    assert largest(count(more, MASK)) == 300
    assert largest(count(np.full((2, 2), IGNORE, np.uint16), np.ones((2, 2), bool))) is None
    tied = np.array([[9, 5]], np.uint16)
    assert largest(count(tied, np.zeros((1, 2), bool))) == 5


PAIRS = arrays(np.bool_, (2, 4, 5))


@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_iou_is_symmetric_bounded_and_that_of_the_regions(pair: np.ndarray) -> None:
    first, second = pair
    one = overlap(count(first.astype(np.uint16), second), [1])
    other = overlap(count(second.astype(np.uint16), first), [1])
    assert one.iou == other.iou
    if one.iou is None:
        assert np.isnan(iou(first, second))
    else:
        assert 0 <= one.iou <= 1
        assert one.iou == iou(first, second)
        assert (one.iou == 1) == np.array_equal(first, second)


@given(PAIRS, arrays(np.bool_, (4, 5)))
@settings(max_examples=50, deadline=None)
def test_ignoring_pixels_is_cutting_them_out_of_both(pair: np.ndarray, ignored: np.ndarray) -> None:
    first, second = pair
    ids = np.where(ignored, IGNORE, first).astype(np.uint16)
    assert overlap(count(ids, second), [1]).iou == (
        overlap(count((first & ~ignored).astype(np.uint16), second & ~ignored), [1]).iou
    )


def test_a_mask_of_half_the_size_grows_by_whole_pixels() -> None:
    small = np.array([[True, False], [False, True]])
    assert np.array_equal(nearest(small, (4, 4)), np.kron(small, np.ones((2, 2), bool)))


def test_a_pixel_takes_the_value_at_its_centre() -> None:
    # Centres of 3 pixels over 5: 5/6, 2.5 and 25/6, in pixels 0, 2 and 4.
    line = np.array([[True, False, True, False, False]])
    assert nearest(line, (1, 3)).tolist() == [[True, True, False]]
    assert nearest(line, line.shape).tolist() == line.tolist()  # type: ignore[arg-type]


@given(arrays(np.bool_, (3, 4)), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_mask_enlarged_by_a_whole_factor_comes_back(mask: np.ndarray, factor: int) -> None:
    large = nearest(mask, (3 * factor, 4 * factor))
    assert np.array_equal(nearest(large, (3, 4)), mask)
    assert large.mean() == pytest.approx(mask.mean())


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((375, 500), (512, 683), True),
        ((375, 500), (512, 682), True),
        ((375, 500), (375, 500), True),
        ((333, 500), (500, 333), False),
        ((375, 500), (512, 512), False),
        ((375, 500), (375, 504), False),
        ((512, 512), (96, 96), True),
    ],
)
def test_sizes_of_one_picture(first: tuple[int, int], second: tuple[int, int], same: bool) -> None:
    assert same_shape(first, second) is same
    assert same_shape(second, first) is same


COMMON = np.array([2, 8, 0, 5])
UNION = np.array([4, 10, 10, 10])
CLASSES = np.array([0, 0, 1, 1])


def test_three_means_by_hand() -> None:
    # IoUs 0.5, 0.8, 0, 0.5. Of classes: 0.65 and 0.25; pooled 10/14 and 5/20.
    found, by_class, pooled = means(COMMON, UNION, CLASSES)
    assert found.images == pytest.approx(0.45)
    assert found.classes == pytest.approx(0.45)
    assert found.pooled == pytest.approx((10 / 14 + 5 / 20) / 2)
    assert by_class.tolist() == pytest.approx([0.65, 0.25])
    assert pooled.tolist() == pytest.approx([10 / 14, 0.25])


def test_classes_count_alike_however_many_images_they_have() -> None:
    found, _, _ = means(np.array([1, 1, 1, 0]), np.ones(4, np.int64), np.array([0, 0, 0, 2]))
    assert found == (0.75, 0.5, 0.5)


def test_images_without_a_union_are_left_out() -> None:
    found, by_class, _ = means(np.array([0, 3]), np.array([0, 4]), np.array([0, 1]))
    assert found == (0.75, 0.75, 0.75)
    assert np.isnan(by_class[0])
    nothing, _, _ = means(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert np.isnan(nothing).all()


def test_label_maps_count_as_imagenet_s_does() -> None:
    maps = LabelMaps()
    maps.add(count(IDS, MASK), 7)
    # other: said 6 (outside, not ignored), true 4, both 3: 3/7. Class 7: 2/6. Class 300 is
    # annotated and never said: 0/2.
    assert maps.mean() == pytest.approx((3 / 7 + 2 / 6 + 0) / 3)


def _histograms(said: np.ndarray, true: np.ndarray, size: int) -> float:
    """Mean IoU of label maps, by definition, pixel by pixel."""
    kept = true != IGNORE
    said, true = said[kept], true[kept]
    found = []
    for number in range(size):
        union = ((said == number) | (true == number)).sum()
        if union:
            found.append(((said == number) & (true == number)).sum() / union)
    return float(np.mean(found))


def test_label_maps_of_several_images_agree_with_the_definition() -> None:
    rng = np.random.default_rng(5)
    true = rng.choice([0, 1, 2, 3, IGNORE], (6, 8, 9)).astype(np.uint16)
    masks = rng.random((6, 8, 9)) < 0.4
    own = [1, 2, 3, 1, 2, 2]
    maps = LabelMaps()
    for ids, mask, number in zip(true, masks, own, strict=True):
        maps.add(count(ids, mask), number)
    said = np.where(masks, np.array(own)[:, None, None], 0)
    assert maps.mean() == pytest.approx(_histograms(said, true, 5))
    assert np.isnan(LabelMaps().mean())
