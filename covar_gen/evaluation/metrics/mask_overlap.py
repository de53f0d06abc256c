"""How well masks agree with reference masks: pixels counted by annotated class, IoU, and means.

A reference gives every pixel an id: 0 where there is no object, `IGNORE` where nobody can say,
otherwise the number of the class that was annotated there; a plain mask has the ids 0 and 1. All
that is asked of a pair of masks follows from one table of counts: how many pixels of each id lie
outside and inside the predicted mask. Ignored pixels belong to neither mask.

ImageNet-S writes an id as red + 256 * green, 1000 for ignored pixels (S. Gao et al., Large-scale
Unsupervised Semantic Segmentation, IEEE TPAMI 45, 2023; its README, "Q&A").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OTHER, IGNORE = 0, 1000
"""Ids of pixels without an annotated object, and of those that count in neither mask."""

Counts = NDArray[np.int64]
"""int64 (2, IGNORE + 1): pixels of each id outside [0] and inside [1] the predicted mask."""


class Overlap(NamedTuple):
    """Sizes of two masks and of what they share, in pixels that are not ignored."""

    predicted: int
    reference: int
    common: int

    @property
    def union(self) -> int:
        """Pixels of either mask."""
        return self.predicted + self.reference - self.common

    @property
    def iou(self) -> float | None:
        """Intersection over union, in [0, 1]; None where both masks are empty."""
        return self.common / self.union if self.union else None


def annotation_ids(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The ids of an ImageNet-S annotation.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        uint16 (H, W), red + 256 * green.
    """
    found: NDArray[np.uint16] = image[..., 1].astype(np.uint16)
    found <<= 8
    found |= image[..., 0]
    return found


def count(ids: NDArray[np.uint16], mask: NDArray[np.bool_]) -> Counts:
    """Pixels of each id outside and inside a mask.

    Args:
        ids: uint16 (H, W), in [0, IGNORE].
        mask: bool (H, W), True on the predicted object.
    """
    size = IGNORE + 1
    both = ids + mask.astype(np.uint16) * np.uint16(size)
    return np.bincount(both.ravel(), minlength=2 * size).reshape(2, size)


def overlap(counts: Counts, objects: Sequence[int]) -> Overlap:
    """What a predicted mask shares with the object that is made of some ids.

    Args:
        counts: of the pair.
        objects: ids that make up the object.
    """
    counted = np.delete(counts, IGNORE, axis=1)
    chosen = np.asarray(objects, np.intp)
    return Overlap(
        predicted=int(counted[1].sum()),
        reference=int(counts[:, chosen].sum()),
        common=int(counts[1, chosen].sum()),
    )


def largest(counts: Counts) -> int | None:
    """The annotated class with the most pixels, the first of equals; None where there is none.

    ImageNet-S's own evaluation takes it for the label of the image.
    """
    sizes = counts[:, OTHER + 1 : IGNORE].sum(axis=0)
    return int(sizes.argmax()) + OTHER + 1 if sizes.any() else None


def nearest(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at another size: each pixel takes the value at its centre.

    Args:
        mask: bool (h, w).
        size: (height, width) of the result.
    """
    rows, columns = (
        (2 * np.arange(wanted) + 1) * there // (2 * wanted)
        for wanted, there in zip(size, mask.shape, strict=True)
    )
    found: NDArray[np.bool_] = mask[rows[:, None], columns]
    return found


def same_shape(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """True for two sizes of one picture: one edge follows from the other within a pixel.

    Args:
        first: (height, width).
        second: (height, width).
    """
    (height, width), (other_height, other_width) = sorted([first, second])
    return (
        abs(width - height * other_width / other_height) <= 1
        or abs(height - width * other_height / other_width) <= 1
    )


class Means(NamedTuple):
    """Three readings of "mean IoU"; NaN where there is nothing to average.

    Attributes:
        images: mean over images.
        classes: mean over classes of the means over their images.
        pooled: mean over classes of the sum of intersections over the sum of unions.
    """

    images: float
    classes: float
    pooled: float


def means(
    common: NDArray[np.int64], union: NDArray[np.int64], classes: NDArray[np.int64]
) -> tuple[Means, NDArray[np.float64], NDArray[np.float64]]:
    """Means over images and classes.

    Args:
        common: int64 (N,), pixels that both masks of an image have.
        union: int64 (N,), pixels that either has; images where it is 0 are left out.
        classes: int64 (N,), the class of each image, from 0.

    Returns:
        The means; and of each class, float64 (C,), its mean over images and its pooled IoU, NaN
        where it has no image.
    """
    there = union > 0
    common, union, classes = common[there], union[there], classes[there]
    size = int(classes.max(initial=-1)) + 1
    number = np.bincount(classes, minlength=size)
    each = common / union
    with np.errstate(invalid="ignore"):
        by_class = np.bincount(classes, each, size) / number
        pooled = np.bincount(classes, common, size) / np.bincount(classes, union, size)
    used = number > 0
    if not used.any():
        return Means(np.nan, np.nan, np.nan), by_class, pooled
    found = Means(float(each.mean()), float(by_class[used].mean()), float(pooled[used].mean()))
    return found, by_class, pooled


class LabelMaps:
    """IoU of whole label maps, as ImageNet-S's evaluation counts it.

    A predicted mask becomes a label map: the image's own class inside, "other" outside. Sums run
    over all images, so that a class that is annotated on an image of another class counts as
    missed, and "other" is a class too.

    Source: ImageNet-S, evaluation/evaluator.py (`T + P - TP`), with `mIoU` its mean.
    """

    def __init__(self) -> None:
        self._said = np.zeros(IGNORE, np.int64)
        self._true = np.zeros(IGNORE, np.int64)
        self._both = np.zeros(IGNORE, np.int64)

    def add(self, counts: Counts, own: int) -> None:
        """Count an image.

        Args:
            counts: of its pair of masks.
            own: id of the image's class, that a predicted mask stands for.
        """
        outside, inside = counts[:, :IGNORE]
        self._true += outside + inside
        self._said[OTHER] += outside.sum()
        self._said[own] += inside.sum()
        self._both[OTHER] += outside[OTHER]
        self._both[own] += inside[own]

    def mean(self) -> float:
        """Mean IoU over "other" and every class that was annotated or said; NaN without any."""
        union = self._said + self._true - self._both
        there = union > 0
        return float((self._both[there] / union[there]).mean()) if there.any() else float("nan")
