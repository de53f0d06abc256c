"""What is done to a picture's pixels before a model fills its hole, and afterwards.

Before: the surroundings' colours are continued into the hole, so that no black is blended into
its rim; the picture is brought to the model's size; the hole is widened to whole latents.
After: the fill is brought back to the picture's size, and its colours near the known pixels are
drawn towards theirs; every known pixel is put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from covar_gen.core.arrays import Image, Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

L = TypeVar("L", bound=np.generic)

NEAR = 1.15
"""A picture whose shortest edge is within this factor of the model's is not resized."""

LONGEST = 2
"""Longest edge at which a model paints, as a multiple of its own size."""

GREY = 128
"""What is continued into a hole where nothing around it is known."""


@dataclass(frozen=True)
class Canvas:
    """How a picture lies on a model's canvas: resized, then padded to the right and below.

    Attributes:
        picture: (height, width) of the picture, pixels.
        resized: (height, width) of the picture on the canvas.
        size: (height, width) of the canvas.
        latent: pixels of the canvas that a latent's side covers.
    """

    picture: tuple[int, int]
    resized: tuple[int, int]
    size: tuple[int, int]
    latent: int

    def shown(self, image: Image, fill: Mask, mask: Mask, overlap: int) -> tuple[Image, Mask]:
        """What the model is shown.

        Args:
            image: uint8 (H, W, 3), RGB; anything in the hole.
            fill: bool (H, W), True in the hole.
            mask: bool (H, W), True on the object.
            overlap: by how many pixels of the canvas the hole is widened, at least.

        Returns:
            The picture, uint8 (height, width, 3), its hole filled with continued colours; and
            what to paint, bool (height, width): whole latents, but never the known object.
        """
        start = _put_back(image, fill, continued(image, ~fill & ~mask))
        picture = self._padded(_resized(start, self.resized))
        hole = self._padded(_covered(fill, self.resized))
        hole[self.resized[0] :], hole[:, self.resized[1] :] = True, True
        kept = self._padded(_covered(mask & ~fill, self.resized)) & ~hole
        return picture, self._widened(hole, overlap) & ~kept

    def back(self, painted: Plane, image: Image, fill: Mask, mask: Mask, feather: int) -> Image:
        """The picture with its hole filled.

        Args:
            painted: float32 (height, width, 3) in [0, 1], the model's canvas.
            image: uint8 (H, W, 3), RGB.
            fill: bool (H, W), True in the hole.
            mask: bool (H, W), True on the object.
            feather: width in pixels of the zone of the hole that is drawn towards what is known.

        Returns:
            uint8 (H, W, 3), RGB; exactly `image` outside the hole.
        """
        import cv2

        height, width = self.resized
        values = _resized(np.ascontiguousarray(painted[:height, :width]), self.picture)
        if feather:
            values = values + _drawn(values, image, ~fill & ~mask, feather)
        return _put_back(image, fill, cv2.convertScaleAbs(cv2.max(values, 0), alpha=255))

    def _padded(self, plane: NDArray[L]) -> NDArray[L]:
        """With its last row and column repeated."""
        rows, columns = (self.size[axis] - self.resized[axis] for axis in (0, 1))
        more = ((0, rows), (0, columns), *(((0, 0),) * (plane.ndim - 2)))
        return np.pad(plane, more, mode="edge")

    def _widened(self, hole: Mask, overlap: int) -> Mask:
        """The hole in whole latents, and as many more around it as the overlap needs."""
        import cv2

        side = self.latent
        rows, columns = (edge // side for edge in self.size)
        cells = hole.reshape(rows, side, columns, side).any((1, 3)).astype(np.uint8)
        reach = -(-overlap // side)
        if reach:
            cells = cv2.dilate(cells, np.ones((2 * reach + 1,) * 2, np.uint8))
        return np.repeat(np.repeat(cells > 0, side, 0), side, 1)


def canvas_of(fill: Mask, native: int, multiple: int, latent: int) -> Canvas:
    """The canvas on which a model paints a picture.

    The shortest edge becomes the model's own size, unless it is near it already; the longest is
    at most twice as long.

    Args:
        fill: bool (H, W), for the picture's size.
        native: shortest edge that the model was trained at, pixels.
        multiple: of what the canvas's edges have to be multiples.
        latent: pixels of the canvas that a latent's side covers.
    """
    height, width = fill.shape
    factor = native / min(height, width)
    if 1 / NEAR <= factor <= NEAR:
        factor = 1.0
    factor = min(factor, LONGEST * native / max(height, width))
    resized = (max(1, round(height * factor)), max(1, round(width * factor)))
    rows, columns = (-(-edge // multiple) * multiple for edge in resized)
    return Canvas((height, width), resized, (rows, columns), latent)


def continued(image: Image, source: Mask) -> Image:
    """A picture whose colours are continued, softer with distance, to where they are not known.

    Colours are averaged over ever larger squares; a pixel takes those of the smallest square
    around it that holds anything.

    Args:
        image: uint8 (H, W, 3), RGB, read where `source`.
        source: bool (H, W).

    Returns:
        uint8 (H, W, 3); grey where `source` is nowhere True.
    """
    import cv2

    if not source.any():
        return np.full_like(image, GREY)
    if source.all():
        return image.copy()
    # The finest layer is the picture itself; those above it are small.
    known = source.astype(np.uint8) * 255
    half = _halved(source.shape)
    planes = (cv2.copyTo(image, known).astype(np.float32), source.astype(np.float32))
    layers = [tuple(cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in planes)]
    while (layers[-1][1] <= 0).any():
        half = _halved(layers[-1][1].shape)
        layers.append(
            tuple(cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in layers[-1])
        )
    found = layers[-1][0] / layers[-1][1][..., None]
    for colours, weight in reversed(layers[:-1]):
        mean = colours / np.maximum(weight, 1e-6)[..., None]
        # A square that is partly known takes as much of its own colours as of it is known.
        coarse = cv2.resize(found, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        found = coarse + weight[..., None] * (mean - coarse)
    levels = np.clip(np.rint(found), 0, 255).astype(np.uint8)
    beyond = cv2.resize(levels, source.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.copyTo(image, known, beyond), np.uint8)


def _halved(shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) of half the size, rounded up."""
    return -(-shape[1] // 2), -(-shape[0] // 2)


def _put_back(image: Image, fill: Mask, painted: Image) -> Image:
    """`painted` in the hole, `image` elsewhere; faster than numpy's `where`."""
    import cv2

    return np.asarray(cv2.copyTo(image, (~fill).astype(np.uint8), painted), np.uint8)


def _resized(picture: NDArray[L], size: tuple[int, int]) -> NDArray[L]:
    """To (height, width): by areas where it shrinks, else cubic; itself where nothing changes."""
    import cv2

    if picture.shape[:2] == size:
        return picture
    way = cv2.INTER_AREA if size[0] < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=way))


def _covered(mask: Mask, size: tuple[int, int]) -> Mask:
    """Pixels of the resized picture in which anything of a mask lies."""
    import cv2

    if mask.shape == size:
        return mask
    shrinks = size[0] < mask.shape[0]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask.astype(np.float32), size[::-1], interpolation=way) > 0)


def _drawn(values: Plane, image: Image, source: Mask, feather: int) -> Plane:
    """What to add to a fill so that it meets the known pixels beside it.

    The model repaints known pixels too: their difference from the true ones, averaged over
    `feather` pixels, is what the model's colours are off by there. It fades out over as many.

    Returns:
        float32 (H, W, 3), in the unit of `values`, which lie in [0, 1].
    """
    import cv2

    if source.all() or not source.any():
        return np.zeros_like(values)
    # On a smaller copy: nothing finer than the feather is left of it anyway.
    step = max(1, feather // 4)
    small = tuple(-(-edge // step) for edge in source.shape[::-1])
    known = source.astype(np.uint8) * 255
    true, painted, weight = (
        cv2.resize(plane, small, interpolation=cv2.INTER_AREA).astype(np.float32)
        for plane in (cv2.copyTo(image, known), cv2.copyTo(values, known), known)
    )
    missing, near = (
        cv2.GaussianBlur(
            plane, (0, 0), max(feather / step / 2, 0.5), borderType=cv2.BORDER_REPLICATE
        )
        for plane in (true / 255 - painted, weight / 255)
    )
    missing = cv2.resize(missing / (near + 1e-3)[..., None], source.shape[::-1])
    distance = cv2.distanceTransform(255 - known, cv2.DIST_L2, 5)
    part = np.clip(1 - distance / feather, 0, 1)
    part *= part * (3 - 2 * part)
    return np.asarray(missing * part[..., None], np.float32)
