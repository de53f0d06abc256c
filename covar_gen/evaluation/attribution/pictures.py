"""Pictures of maps and of clusters, as the paper draws them.

Pure functions on arrays: a map over the photograph from blue (speaks against, or least) to red
(speaks for the text), and the clusters as coloured areas with their borders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covar_gen.core.arrays import Image, Mask, check_image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SHARE = 0.45
"""Of the colour in an overlay; the rest is the photograph."""

SPECTRUM = (
    (0.0, (0, 0, 190)),
    (0.25, (0, 96, 255)),
    (0.5, (130, 245, 130)),
    (0.75, (255, 150, 0)),
    (1.0, (190, 0, 0)),
)
"""Blue to red: place in [0, 1] and RGB, linear in between."""

COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167), (120, 120, 120), (140, 86, 75), (188, 189, 34), (148, 103, 189),
    (23, 190, 207), (255, 152, 150), (44, 90, 44), (247, 182, 210), (60, 60, 130),
    (199, 199, 199), (122, 1, 119), (166, 216, 84), (90, 40, 10),
)  # fmt: skip
"""RGB of up to 20 clusters; the first seven can be told apart by everyone (Okabe & Ito, 2008)."""


def overlay(image: Image, heat: ArrayLike, visible: Mask | None = None) -> Picture:
    """A map drawn over its image: red where it is largest, blue where it is least.

    Args:
        image: uint8 (H, W, 3).
        heat: numbers (H, W), of `alignment.pixel_map`; scaled from its least to its largest value.
        visible: bool (H, W), what the model saw; the rest is shown grey and dark. None for all.

    Returns:
        An RGB picture of W x H pixels. A flat map is drawn as nothing: the grey photograph.
    """
    from PIL import Image as Pictures

    values = np.asarray(heat, np.float64)
    _check(image, values)
    inside = np.ones(values.shape, bool) if visible is None else visible
    grey = image.astype(np.float64).mean(2, keepdims=True)
    low, high = (values[inside].min(), values[inside].max()) if inside.any() else (0.0, 0.0)
    if high > low:
        colour = _spectrum((values - low) / (high - low))
        drawn = (1 - SHARE) * image + SHARE * colour
    else:
        drawn = grey.repeat(3, 2)
    drawn = np.where(inside[..., None], drawn, 0.35 * grey)
    return Pictures.fromarray(np.clip(np.rint(drawn), 0, 255).astype(np.uint8))


def clusters(image: Image, labels: ArrayLike, visible: Mask | None = None) -> Picture:
    """Clusters drawn over their image: one colour each, borders in white.

    Args:
        image: uint8 (H, W, 3).
        labels: integers (H, W), cluster of each pixel: `alignment.pixel_map` of the labels of the
            patches, with upsampling="nearest".
        visible: bool (H, W), what the model saw; the rest is shown grey and dark. None for all.

    Returns:
        An RGB picture of W x H pixels.
    """
    from PIL import Image as Pictures

    numbers = np.asarray(labels).astype(np.int64)
    _check(image, numbers)
    inside = np.ones(numbers.shape, bool) if visible is None else visible
    colours = np.array(COLOURS, np.float64)[numbers % len(COLOURS)]
    grey = image.astype(np.float64).mean(2, keepdims=True)
    drawn = 0.5 * grey + 0.5 * colours
    drawn[_borders(np.where(inside, numbers, -1))] = 255
    drawn = np.where(inside[..., None], drawn, 0.35 * grey)
    return Pictures.fromarray(np.clip(np.rint(drawn), 0, 255).astype(np.uint8))


def _check(image: Image, values: NDArray[np.generic]) -> None:
    check_image(image, "image")
    if values.shape != image.shape[:2]:
        msg = f"expected a map of the image's {image.shape[:2]} pixels, got {values.shape}"
        raise ValueError(msg)


def _spectrum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) in [0, 1] -> (H, W, 3), RGB in [0, 255]."""
    places = [place for place, _ in SPECTRUM]
    channels = [[colour[channel] for _, colour in SPECTRUM] for channel in range(3)]
    return np.stack([np.interp(values, places, channel) for channel in channels], 2)


def _borders(numbers: NDArray[np.int64]) -> Mask:
    """Pixels on either side of a border between clusters, wider in larger images."""
    found = np.zeros(numbers.shape, bool)
    reach = max(1, round(min(numbers.shape) / 256))
    for axis in (0, 1):
        one, other = _shifted(numbers, axis)
        where = np.nonzero(one != other)
        for step in range(-reach + 1, reach + 1):
            moved = list(where)
            moved[axis] = np.clip(moved[axis] + step, 0, numbers.shape[axis] - 1)
            found[tuple(moved)] = True
    return found


def _shifted(numbers: NDArray[np.int64], axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each pixel but the last along an axis, and the one after it."""
    if axis == 0:
        return numbers[:-1], numbers[1:]
    return numbers[:, :-1], numbers[:, 1:]
