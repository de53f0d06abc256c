"""The toy world: objects of eight classes before eight backgrounds, drawn from seeds.

Everything about a picture but its class and its background is drawn: the object's size, place,
turn, proportions and colour, which have nothing to do with its class, and the background's phase
and hue. In the world's photographs each class stands before the background of its own number, as
cows stand on grass in photographs of the real world.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.seeds import generator, seed_of, uniform
from covar_gen.toys.shapes import SILHOUETTES
from covar_gen.toys.textures import TEXTURES

CLASSES = tuple(SILHOUETTES)
"""Names of the classes, in order."""
BACKGROUNDS = tuple(TEXTURES)
"""Descriptions of the backgrounds, in order."""

TYPICAL = dict(zip(CLASSES, BACKGROUNDS, strict=True))
"""Class -> the background that it stands before in photographs: the one of its own number."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (-10, 8, 0.85),
    "orange": (22, 36, 0.9),
    "yellow": (50, 62, 0.85),
    "green": (95, 140, 0.75),
    "blue": (205, 238, 0.8),
    "purple": (265, 285, 0.7),
    "pink": (315, 335, 0.55),
    "white": (0, 360, 0.06),
}
"""Colour of an object -> its hues, from and to, in degrees, and its saturation."""

SIZE = 96
"""Edge of a picture in pixels where none is asked for."""

RADIUS = (0.34, 0.48)
"""Half the edge of the square that the turned object fits in, as a share of the picture's edge."""
TURN = 25.0
"""Objects are turned by up to this many degrees to either side."""


@dataclass(frozen=True)
class Drawn:
    """An object without a background.

    Attributes:
        image: uint8 (H, W, 3), RGB; black outside the object.
        mask: bool (H, W), True on the object; its edge is hard.
        colour: name of its colour.
    """

    image: Image
    mask: Mask
    colour: str


def draw_object(class_name: str, size: int, seed: int) -> Drawn:
    """An object of a class, wholly inside a square picture.

    Args:
        class_name: one of `CLASSES`.
        size: edge of the picture in pixels.
        seed: decides size, place, turn, proportions, mirroring and colour.
    """
    rng = generator(seed_of(seed, "toy world", "object"))
    radius = uniform(rng, *RADIUS)
    centre = [uniform(rng, radius + 0.02, 0.98 - radius) for _ in range(2)]
    turn = math.radians(uniform(rng, -TURN, TURN))
    wide, high = uniform(rng, 0.85, 1), uniform(rng, 0.85, 1)
    mirrored = uniform(rng, 0, 1) < 0.5  # noqa: PLR2004 - a coin
    colour = list(COLOURS)[int(uniform(rng, 0, len(COLOURS)))]
    low, top, saturation = COLOURS[colour]
    paint = colorsys.hsv_to_rgb(uniform(rng, low, top) / 360 % 1, saturation, uniform(rng, 0.8, 1))

    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid((place - centre[0]) / radius, (centre[1] - place) / radius)
    cosine, sine = math.cos(turn), math.sin(turn)
    # A turned square reaches beyond its radius; shrinking it keeps every corner in the picture.
    reach = 1 / (abs(cosine) + abs(sine))
    u, v = (cosine * x + sine * y) / (reach * wide), (cosine * y - sine * x) / (reach * high)
    silhouette = SILHOUETTES[class_name]
    mask = silhouette(np.asarray(-u if mirrored else u, np.float32), np.asarray(v, np.float32))

    light = 0.82 + 0.18 * np.clip(y - x, -1, 1)
    light[mask & ~_inner(mask, max(1, round(size / SIZE)))] *= 0.45
    pixels = light[..., None] * np.asarray(paint, np.float32) * mask[..., None]
    return Drawn(_levels(pixels), mask, colour)


def draw_background(description: str, shape: tuple[int, ...], seed: int) -> Image:
    """A background without an object.

    Args:
        description: one of `BACKGROUNDS`.
        shape: (height, width) in pixels; more dimensions are left aside.
        seed: decides phase, hue, grain and light.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    rng = generator(seed_of(seed, "toy world", "background"))
    height, width = shape[:2]
    unit = np.float32(min(height, width))
    x, y = np.meshgrid(
        np.arange(width, dtype=np.float32) / unit, np.arange(height, dtype=np.float32) / unit
    )
    light = uniform(rng, 0.88, 1.08) + uniform(rng, -0.1, 0.1) * x + uniform(rng, -0.1, 0.1) * y
    return _levels(TEXTURES[description](x, y, rng) * light[..., None])


def before(drawn: Drawn, background: Image) -> Image:
    """The object's pixels over a background of its size, uint8 (H, W, 3)."""
    return np.where(drawn.mask[..., None], drawn.image, background)


def render(class_name: str, description: str, seed: int, size: int = SIZE) -> tuple[Image, Drawn]:
    """A picture of an object before a background.

    Args:
        class_name: one of `CLASSES`.
        description: one of `BACKGROUNDS`.
        seed: decides everything else; object and background draw separately from it.
        size: edge in pixels.

    Returns:
        The picture, uint8 (size, size, 3), and the object on it with its mask.
    """
    drawn = draw_object(class_name, size, seed)
    return before(drawn, draw_background(description, (size, size), seed)), drawn


def _inner(mask: Mask, width: int) -> Mask:
    """The mask without a rim of `width` pixels."""
    for _ in range(width):
        wide = np.pad(mask, 1)
        around = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        mask = mask & around
    return mask


def _levels(colours: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Image:
    return np.asarray(np.clip(np.rint(colours * 255), 0, 255), np.uint8)
