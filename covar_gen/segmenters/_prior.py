"""Where the object of a photograph is likely to be: from its colours, edges and the centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Image, Mask

Plane: TypeAlias = NDArray[np.float32]
"""float32 (H, W), or (H, W, 3) where it holds CIE Lab."""

Labels: TypeAlias = NDArray[np.uint8]
"""uint8 (H, W), GrabCut's labels: certain background and object, probable background and object."""

PRIOR_EDGE = 80
"""Shortest edge of the copy on which the prior is computed: texture must be gone, parts not."""

COLOURS = 14
"""Colours by which a photograph is described for the prior."""

NOTICEABLE = 4.0
"""Difference in CIE Lab that counts as an edge or another colour, a little above noise."""


@dataclass(frozen=True)
class _Prior:
    """Evidence for the object at every pixel, each float32 (H, W) in [0, 1].

    Attributes:
        centre: how near the centre of the photograph.
        rare: how far the pixel's colour is from the colours of the photograph's border.
        inner: how much more the pixel's colour occurs at the centre than at the border.
        enclosed: how many edges lie between the pixel and the border.
    """

    centre: Plane
    rare: Plane
    inner: Plane
    enclosed: Plane


def readings(image: Image, size: tuple[int, ...], margin: float, cv_seed: int) -> list[Labels]:
    """GrabCut labels of the two readings of a photograph's prior.

    Args:
        image: uint8 (H, W, 3), RGB.
        size: height and width of the labels.
        margin: width of the frame that is taken for background unless it stands out, as a
            fraction of the shortest edge.
        cv_seed: seed of OpenCV's generator.

    Returns:
        The close reading, which shows the heart of the object, and the full one.
    """
    found = _prior(shrunk(image, PRIOR_EDGE), cv_seed)
    close = found.enclosed * (0.25 + 0.75 * found.centre) * (0.5 + 0.5 * found.rare)
    full = found.centre + found.rare + 2 * found.inner + found.enclosed
    width = round(margin * min(size[:2]))
    close, full = (_stretched(_enlarged(plane, size)) for plane in (close, full))
    return [
        _labels(close, _otsu(close), 0.7, 0.15, width),
        _labels(full, 0.4, 0.8, 0.2, width),
    ]


def _labels(plane: Plane, threshold: float, certain: float, never: float, margin: int) -> Labels:
    """A prior as GrabCut's labels: certain and probable object and background."""
    import cv2

    labels = np.where(plane > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[frame(plane.shape, margin) & (plane <= 0.5 * threshold)] = cv2.GC_BGD
    labels[plane < never * threshold] = cv2.GC_BGD
    labels[plane > threshold + certain * (1 - threshold)] = cv2.GC_FGD
    return labels


def _otsu(plane: Plane) -> float:
    import cv2

    levels = (plane * 255).astype(np.uint8)
    return float(cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0]) / 255


def _prior(small: Image, cv_seed: int) -> _Prior:
    colours = lab(small)
    u, v = grid(small.shape)
    border = np.maximum(abs(u), abs(v)) ** 6
    near = centre(small.shape)
    inner, rare = _colour_evidence(colours, near, border, cv_seed)
    return _Prior(near, rare, inner, _stretched(_enclosed(colours)))


def centre(size: tuple[int, ...]) -> Plane:
    """How near the centre each pixel lies, float32 (H, W): 1 there, 0.06 in the corners."""
    u, v = grid(size)
    return np.asarray(np.exp((u**2 + v**2) / -0.72))


def grid(size: tuple[int, ...]) -> tuple[Plane, Plane]:
    """Each pixel centre's x and y, -1 to 1 between the photograph's sides, float32 (H, W)."""
    height, width = size[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (2 * x - width + 1) / width, (2 * y - height + 1) / height


def _colour_evidence(
    colours: Plane, near: Plane, border: Plane, cv_seed: int
) -> tuple[Plane, Plane]:
    """How much more a pixel's colour occurs at the centre, and how rare it is at the border.

    Args:
        colours: float32 (H, W, 3), CIE Lab.
        near: float32 (H, W), weights of the centre.
        border: float32 (H, W), weights of the border.
        cv_seed: seed of OpenCV's generator.

    Returns:
        Two float32 (H, W) in [0, 1].
    """
    import cv2

    pixels = colours.reshape(-1, 3)
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 12, 0.5)
    cv2.setRNGSeed(cv_seed)
    count = min(COLOURS, len(pixels))
    means = cv2.kmeans(pixels, count, None, stop, 4, cv2.KMEANS_PP_CENTERS)[2]
    squared = ((pixels[:, None] - means[None]) ** 2).sum(2)
    # Soft membership: a smooth ground split over two colours must not show the split.
    member = np.exp((squared.min(1, keepdims=True) - squared) / 128)
    member /= member.sum(1, keepdims=True)
    at_centre = (member * near.reshape(-1, 1)).sum(0) / near.sum()
    at_border = (member * border.reshape(-1, 1)).sum(0) / border.sum()
    inner = (member * (at_centre / (at_centre + at_border + 1e-9))).sum(1)
    # A colour with a small share of the border may belong to an object that is cut off there.
    distance = np.sqrt(squared) + 25 * (1 - np.clip(at_border / 0.08, 0, 1))
    rare = _stretched(np.maximum(distance.min(1) - NOTICEABLE, 0))
    size = colours.shape[:2]
    return inner.reshape(size).astype(np.float32), rare.reshape(size)


def _enclosed(colours: Plane) -> Plane:
    """Edges that must be crossed to come from the border to a pixel, float32 (H, W)."""
    from skimage.graph import MCP_Geometric

    height, width = colours.shape[:2]
    cost = np.pad(np.maximum(edges(colours) - NOTICEABLE, 0) + 0.1, 1)
    ring = np.argwhere(frame(cost.shape, 1)).tolist()
    costs, _ = MCP_Geometric(cost).find_costs(ring)
    return np.asarray(costs[1 : height + 1, 1 : width + 1], np.float32)


def edges(colours: Plane) -> Plane:
    """Range of each pixel's 3x3 neighbourhood, summed over L, a and b.

    Args:
        colours: float32 (H, W, 3), CIE Lab.

    Returns:
        float32 (H, W).
    """
    import cv2

    square = np.ones((3, 3), np.uint8)
    # Wider than one pixel: a path cannot slip diagonally through it.
    return np.asarray((cv2.dilate(colours, square) - cv2.erode(colours, square)).sum(2))


def lab(image: Image) -> Plane:
    """CIE Lab with fine grain smoothed away, float32 (H, W, 3)."""
    import cv2

    colours = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.bilateralFilter(colours, 5, 20, 3))


def _stretched(plane: Plane) -> Plane:
    """Linearly to [0, 1]; the outermost 2% of the values on both sides are cut off."""
    low, high = np.percentile(plane, (2, 98))
    scaled = (plane - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(scaled, 0, 1), np.float32)


def shrunk(image: Image, edge: int) -> Image:
    """A copy whose shortest edge has `edge` pixels; the image itself if it is no larger."""
    import cv2

    factor = edge / min(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(edge, round(side * factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _enlarged(plane: Plane, size: tuple[int, ...]) -> Plane:
    """A plane at another height and width, float32."""
    import cv2

    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


def frame(size: tuple[int, ...], width: int) -> Mask:
    """True in a frame of that many pixels along the border, bool (H, W)."""
    ring = np.ones(size[:2], np.bool_)
    ring[width : size[0] - width, width : size[1] - width] = False
    return ring
