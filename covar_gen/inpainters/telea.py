"""Fills with OpenCV's inpainting at the seam and soft, grainy colours of the surroundings beyond.

A preview for the CPU, not a painter: it continues the colours and the grain of the background, and
invents no things. The object's colours are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Mask, Rejected, check_image, check_mask
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import generator
from covar_gen.inpainters.base import Filled, FillRequest, Inpainter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

PAIRS = 1_000_000
"""Pairs of (source cell, cell to fill) that the far field may cost; sets its grid's fineness."""

LOOSE = 0.06
"""How fast the far field forgets where a colour came from, per unit of distance."""

LAYERED = 1.6
"""How much further apart things lie one above the other than side by side: sky, walls and
ground run across a photograph, so colours are continued sideways first."""

EDGE = 12.0
"""Detail is compressed towards this many grey levels."""


class Telea(Inpainter):
    """Continues the background's colours and grain."""

    class Options(PluginOptions):
        """How the fill looks.

        Attributes:
            method: OpenCV's algorithm for the pixels next to the known ones.
            radius: neighbourhood that it looks at, in pixels.
            band: width of the zone that it paints, in pixels from the known ones; beyond lies
                the far field.
            grain: strength of the background's texture in the fill; 1 = as in the background.
            margin: width of the zone around the object whose colours are not used either, as a
                fraction of the square root of the known area.
        """

        method: Literal["telea", "navier_stokes"] = "telea"
        radius: float = Field(default=3, ge=1, le=32)
        band: int = Field(default=8, ge=1, le=64)
        grain: float = Field(default=0.8, ge=0, le=2)
        margin: float = Field(default=0.02, ge=0, le=0.5)

    options: Options
    requires = ("cv2",)

    def paint(self, batch: Sequence[FillRequest]) -> list[Filled | Rejected]:
        """One completed image per request, each found on its own.

        Returns:
            The image with params `object_excluded`: False where all that is known is object, so
            that its colours had to serve; or nothing_known.
        """
        return [self._complete(request) for request in batch]

    def _complete(self, request: FillRequest) -> Filled | Rejected:
        image = check_image(request.image, f"image of {request.key}")
        known = check_mask(request.known, image.shape, f"known pixels of {request.key}")
        mask = check_mask(request.mask, image.shape, f"mask of {request.key}")
        if not known.any():
            return Rejected("nothing_known")
        aside = _grown(mask & known, 1 + round(self.options.margin * float(known.sum()) ** 0.5))
        source = known & ~aside
        excluded = bool(source.any())
        if not excluded:
            source = known
        painted = self._paint(image, known, source, request.seed)
        return Filled(painted, params={"object_excluded": excluded})

    def _paint(self, image: Image, known: Mask, source: Mask, seed: int) -> Image:
        import cv2

        rng = generator(seed)
        pixels = image.astype(np.float32)
        distance = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
        noise = rng.standard_normal(known.shape, np.float32)
        detail = _detail(pixels, source)
        # The background's strength of texture is continued like a fourth colour.
        strength = abs(detail).mean(2, keepdims=True)
        planes = np.dstack([pixels, strength])
        bend = rng.standard_normal((2, 12, 12), np.float32)
        field = _met(_far_field(planes, source, bend), planes, source)
        smooth = self._seam(image, field[..., :3], known & ~source, distance)
        ramp = np.clip(distance / self.options.band, 0, 1)[..., None]
        grain = _texture(detail, noise) * np.clip(field[..., 3:], 0, None)
        result = smooth + self.options.grain * ramp * grain
        return np.asarray(np.clip(np.rint(result), 0, 255), np.uint8)

    def _seam(self, image: Image, field: Plane, aside: Mask, distance: Plane) -> Plane:
        """The far field, with the zone next to known pixels inpainted, float32 (H, W, 3)."""
        import cv2

        band = self.options.band
        flag = cv2.INPAINT_TELEA if self.options.method == "telea" else cv2.INPAINT_NS
        beyond = np.clip(np.rint(field), 0, 255).astype(np.uint8)
        zone = (distance > 0) & (distance <= band)
        # The object is painted over, lest its colours run into the zone; what is known is put
        # back afterwards.
        start = np.where((aside | (distance > 0))[..., None], beyond, image)
        near = cv2.inpaint(start, zone.astype(np.uint8), self.options.radius, flag)
        part = np.clip(distance / band, 0, 1)[..., None]
        part = part * part * (3 - 2 * part)
        return np.asarray(near + part * (field - near), np.float32)


def _far_field(planes: Plane, source: Mask, bend: Plane) -> Plane:
    """Every cell's mean of the source, nearer cells counting more; softer with distance.

    A colour's weight is exp(-(d - d0) / s): d its distance, d0 that of the nearest source cell,
    s a softness that grows with d0. What lies above the known pixels thus takes the colours of
    their upper edge, without streaks.

    Args:
        planes: float32 (H, W, C), read where `source`.
        source: bool (H, W).
        bend: float32 (2, h, w), standard normal noise that bends the field, so that no straight
            rays show.

    Returns:
        float32 (H, W, C).
    """
    import cv2

    height, width = source.shape
    share = float(source.mean())
    cells = (PAIRS / max(share * (1 - share), 1e-3)) ** 0.5
    fineness = min((cells / source.size) ** 0.5, 0.25)
    size = (max(4, round(width * fineness)), max(4, round(height * fineness)))
    weight = cv2.resize(source.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(planes * source[..., None], size, interpolation=cv2.INTER_AREA)
    filled = weight > 0
    colours = total[filled] / weight[filled][:, None]
    field = np.zeros((size[1], size[0], planes.shape[2]), np.float32)
    field[filled] = colours
    sites = np.argwhere(filled).astype(np.float32)
    if (weight < 1).any():
        bends = [cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in bend]
        away = cv2.distanceTransform((~filled).astype(np.uint8), cv2.DIST_L2, 5)
        moved = np.indices(filled.shape, np.float32) + 0.2 * away * np.stack(bends)
        y, x = (moved[axis][weight < 1][:, None] - sites[:, axis] for axis in (0, 1))
        distance = np.sqrt((LAYERED * y) ** 2 + x**2)
        nearest = distance.min(1, keepdims=True)
        softness = 0.7 + LOOSE * nearest + 0.1 * np.minimum(nearest, len(sites) ** 0.5)
        part = np.exp((nearest - distance) / softness) * weight[filled]
        # Not a matrix product: its sums depend on the number of threads.
        means = np.einsum("ts,sc->tc", part, colours) / part.sum(1, keepdims=True)
        field[weight < 1] = means
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC))


def _met(field: Plane, planes: Plane, source: Mask) -> Plane:
    """The far field drawn towards the source near it, so that the seam fades out broadly."""
    import cv2

    width = float(source.sum()) ** 0.5 / 20
    step = int(max(1, width // 3))
    height, columns = source.shape
    weight = source.astype(np.float32)
    # Blurred on a smaller copy: nothing fine is left of it anyway.
    size = (max(1, columns // step), max(1, height // step))
    missing, near = (
        cv2.GaussianBlur(
            cv2.resize(plane, size, interpolation=cv2.INTER_AREA),
            (0, 0),
            max(width / step, 1),
            borderType=cv2.BORDER_REPLICATE,
        )
        for plane in ((planes - field) * weight[..., None], weight)
    )
    missing /= near[..., None] + np.float32(0.05)
    return np.asarray(field + cv2.resize(missing, (columns, height)))


def _detail(pixels: Plane, source: Mask) -> Plane:
    """The source minus its blurred self, float32 (H, W, 3), zero elsewhere."""
    import cv2

    width = min(max(1.5, float(source.sum()) ** 0.5 / 32), 6)
    weight = source.astype(np.float32)
    total = cv2.GaussianBlur(pixels * weight[..., None], (0, 0), width)
    near = np.maximum(cv2.GaussianBlur(weight, (0, 0), width), 1e-3)
    detail = (pixels - total / near[..., None]) * weight[..., None]
    # Strong edges belong to things, not to texture.
    return np.asarray(detail * (EDGE / (EDGE + abs(detail))))


def _texture(detail: Plane, noise: Plane) -> Plane:
    """Noise with the detail's spectrum, mean square 1, float32 (H, W, 1); grain has no colour."""
    spectrum = np.fft.rfft2(detail.mean(2)) * np.fft.rfft2(noise)
    texture = np.fft.irfft2(spectrum, noise.shape)
    return np.asarray(texture / max(float(texture.std()), 1e-6), np.float32)[..., None]


def _grown(mask: Mask, width: int) -> Mask:
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1,) * 2)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc), np.bool_)
