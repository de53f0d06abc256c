"""A canvas: floating-point pixels, one item's randomness, and what every painter does with them.

Colours are sRGB triples in [0, 1]. Lengths given to painters are fractions of the picture or
multiples of `Canvas.unit`, so that a scene is drawn alike at every size and aspect ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Image
from covar_gen.core.seeds import generator, uniform

Floats = NDArray[np.float32]
Colour = tuple[float, float, float]

_SHIFT = 4
"""OpenCV draws at 1/16 pixel."""


def rgb(code: str) -> Colour:
    """The colour of a hexadecimal code such as "f4d9a3"."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two: `first` at share 0, `second` at share 1."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def blended(first: Any, second: Any, share: NDArray[Any]) -> Floats:
    """Two colours or pictures mixed by a field.

    Args:
        first: a colour or float32 (..., 3), shown where `share` is 0.
        second: the same, shown where `share` is 1.
        share: float (...), in [0, 1].

    Returns:
        float32 (..., 3).
    """
    low, high = np.asarray(first, np.float32), np.asarray(second, np.float32)
    part = np.asarray(share, np.float32)
    result = np.empty((*part.shape, 3), np.float32)
    # Channel by channel: NumPy is six times slower along an axis of three.
    for channel in range(3):
        plane = result[..., channel]
        np.multiply(part, high[..., channel] - low[..., channel], out=plane)
        plane += low[..., channel]
    return result


def circle(corners: int) -> NDArray[np.float64]:
    """A regular polygon around (0, 0) with radius 1: (corners, 2)."""
    turn = np.linspace(0, 2 * np.pi, corners + 1)[:-1]
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def brighten(picture: Floats, factor: NDArray[Any]) -> None:
    """Make a picture (..., 3) brighter or darker, in place, by a field (...)."""
    part = np.asarray(factor, np.float32)
    for channel in range(3):
        picture[..., channel] *= part


def smoothstep(low: float, high: float, value: NDArray[Any]) -> Floats:
    """0 below `low`, 1 above `high` (or the reverse if low > high), smooth between."""
    share = np.clip((value - low) / (high - low), 0, 1).astype(np.float32)
    return cast("Floats", share * share * (3 - 2 * share))


class Canvas:
    """The picture being painted.

    Attributes:
        pixels: float32 (H, W, 3), sRGB in [0, 1].
        height: H.
        width: W.
        unit: 1/512 of the geometric mean of the sides, in pixels.
        rng: all randomness of this picture.
    """

    def __init__(self, size: tuple[int, ...], seed: int) -> None:
        self.height, self.width = size[:2]
        self.unit = float(np.sqrt(self.height * self.width)) / 512
        self.rng = generator(seed)
        self.pixels: Floats = np.zeros((self.height, self.width, 3), np.float32)

    def draw(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return uniform(self.rng, low, high)

    def draws(self, count: int, low: float, high: float) -> NDArray[np.float64]:
        """`count` numbers in [low, high), from raw bits, which no NumPy release changes."""
        raw = np.asarray(self.rng.bit_generator.random_raw(count))
        return low + (high - low) * (raw >> np.uint64(11)).astype(np.float64) / (1 << 53)

    def pick(self, choices: Sequence[Colour]) -> Colour:
        """One of several colours."""
        return choices[int(self.draw(0, len(choices)))]

    def rows(self) -> Floats:
        """float32 (H, 1): 0 at the top edge, 1 at the bottom edge."""
        places = (np.arange(self.height) + 0.5) / self.height
        return places.astype(np.float32)[:, None]

    def columns(self) -> Floats:
        """float32 (1, W): 0 at the left edge, 1 at the right edge."""
        places = (np.arange(self.width) + 0.5) / self.width
        return places.astype(np.float32)[None, :]

    def gradient(self, stops: Sequence[tuple[float, Colour]]) -> None:
        """Fill with a vertical gradient through (height fraction, colour) stops."""
        rows = self.rows()[:, 0]
        places = [place for place, _ in stops]
        for channel in range(3):
            levels = np.interp(rows, places, [colour[channel] for _, colour in stops])
            self.pixels[..., channel] = levels[:, None]

    def blend(self, colour: Any, alpha: NDArray[Any], top: int = 0) -> None:
        """Lay a colour or picture over the rows from `top` on.

        Args:
            colour: (r, g, b) or float32 (h, W, 3).
            alpha: float (h, W), (h, 1) or (1, W), the opacity in [0, 1].
            top: first row that is painted.
        """
        rows = slice(top, None if alpha.shape[0] == 1 else top + alpha.shape[0])
        part, share = self.pixels[rows], alpha.astype(np.float32)
        tone = np.asarray(colour, np.float32)
        for channel in range(3):
            plane = part[..., channel]
            plane += (tone[..., channel] - plane) * share

    def glow(self, at: tuple[float, float], radius: float, colour: Colour, power: float) -> None:
        """Add light around a point.

        Args:
            at: (x, y) as fractions of width and height.
            radius: in units.
            colour: of the light.
            power: how much is added at the point itself, 1 = the full colour.
        """
        x = (self.columns() - at[0]) * (self.width / (radius * self.unit))
        y = (self.rows() - at[1]) * (self.height / (radius * self.unit))
        light = power / (1 + (x * x + y * y) * 2.5) ** 1.5
        self.lighten(light.astype(np.float32), colour)

    def lighten(self, light: Floats, colour: Colour) -> None:
        """Add light, which never makes anything brighter than white.

        Args:
            light: float32 (H, W), 0 to 1.
            colour: of the light.
        """
        for channel, tone in enumerate(colour):
            plane = self.pixels[..., channel]
            plane += (1 - plane) * (light * np.float32(tone))

    def shapes(self, shapes: Iterable[NDArray[Any]], colours: Iterable[Sequence[float]]) -> None:
        """Fill polygons, later ones over earlier ones, with smooth edges.

        Args:
            shapes: (N, 2) corner points in pixels, one array per polygon.
            colours: one colour per polygon.
        """
        import cv2

        corners = [np.asarray(shape, np.float64) for shape in shapes]
        if not corners:
            return
        # Only the part that is drawn on is converted to the 8 bits that OpenCV smooths edges in.
        every = np.concatenate(corners)
        left, top = np.clip(np.floor(every.min(axis=0)) - 2, 0, (self.width, self.height))
        right, bottom = np.clip(np.ceil(every.max(axis=0)) + 3, 0, (self.width, self.height))
        if left >= right or top >= bottom:
            return
        part = self.pixels[int(top) : int(bottom), int(left) : int(right)]
        levels = np.clip(part * 255 + 0.5, 0, 255).astype(np.uint8)
        points = np.rint((every - (left, top)) * (1 << _SHIFT)).astype(np.int32)
        tones = (np.clip(np.asarray(list(colours), np.float64), 0, 1) * 255).tolist()
        start = 0
        for shape, tone in zip(corners, tones, strict=True):
            stop = start + len(shape)
            cv2.fillPoly(levels, [points[start:stop]], tone, cv2.LINE_AA, _SHIFT)
            start = stop
        part[...] = levels.astype(np.float32) / np.float32(255)

    def shade(
        self, shapes: Sequence[NDArray[Any]], colour: Colour, power: float, blur: float = 0
    ) -> None:
        """Lay a translucent colour over polygons, for shadows and hazes.

        Args:
            shapes: (N, 2) corner points in pixels.
            colour: of the shadow.
            power: its opacity, 0 to 1.
            blur: softness of its edge, in pixels.
        """
        every = np.concatenate([np.asarray(shape) for shape in shapes])
        margin = 3 * blur + 2
        left, top = np.clip(every.min(axis=0) - margin, 0, (self.width, self.height)).astype(int)
        right, bottom = np.clip(
            np.ceil(every.max(axis=0) + margin), 0, (self.width, self.height)
        ).astype(int)
        if left >= right or top >= bottom:
            return
        alpha = _coverage((bottom - top, right - left), [shape - (left, top) for shape in shapes])
        alpha = blurred(alpha, blur)[..., None] * np.float32(power)
        part = self.pixels[top:bottom, left:right]
        part += (np.asarray(colour, np.float32) - part) * alpha

    def coverage(self, shapes: Iterable[NDArray[Any]]) -> Floats:
        """How much of each pixel polygons cover: float32 (H, W) in [0, 1]."""
        return _coverage((self.height, self.width), shapes)

    def drawn_since(self, before: Floats) -> Floats:
        """Where the picture is no longer what it was: float32 (H, W), 0 or 1."""
        changed = np.abs(self.pixels - before).max(axis=2) > 0.02  # noqa: PLR2004
        return np.asarray(changed, np.float32)

    def soften(self, sigma: float, rows: slice = slice(None)) -> None:
        """Blur what is painted so far, as a lens does with what lies out of focus.

        Args:
            sigma: in units.
            rows: only these rows.
        """
        self.pixels[rows] = blurred(self.pixels[rows], sigma * self.unit)

    def finished(self, vignette: float = 0.12) -> Image:
        """The picture as uint8: contrast, darker corners, and a grain that hides banding."""
        x, y = self.columns() * 2 - 1, self.rows() * 2 - 1
        shade = 1 - vignette * ((x * x + y * y) / 2) ** 1.5
        picture = np.clip(self.pixels, 0, 1)
        brighten(picture, shade)
        picture += 0.12 * picture * (1 - picture) * (2 * picture - 1)
        grain = self.draws(self.height * self.width, -2, 2).reshape(self.height, self.width)
        grain = grain.astype(np.float32)
        picture *= 255
        for channel in range(3):
            picture[..., channel] += grain
        return np.clip(np.rint(picture, out=picture), 0, 255).astype(np.uint8)


def _coverage(size: tuple[int, int], shapes: Iterable[NDArray[Any]]) -> Floats:
    import cv2

    levels = np.zeros(size, np.uint8)
    for shape in shapes:
        points = np.rint(np.asarray(shape) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(levels, [points], 255, cv2.LINE_AA, _SHIFT)
    return levels.astype(np.float32) / np.float32(255)


def blurred(picture: Floats, sigma: float) -> Floats:
    """Gaussian blur with mirrored edges; wide ones at a lower resolution.

    Args:
        picture: float32 (H, W) or (H, W, C).
        sigma: in pixels.
    """
    import cv2

    height, width = picture.shape[:2]
    step = int(min(sigma / 3, height / 8, width / 8))
    if step > 1:
        small = cv2.resize(picture, (width // step, height // step), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_REFLECT)
        return cast("Floats", cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC))
    if sigma < 0.2:  # noqa: PLR2004  less changes no pixel by a grey level
        return picture
    return cast("Floats", cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))
