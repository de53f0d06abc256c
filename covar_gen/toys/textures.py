"""Textures of the toy world's backgrounds: each draws its phase, hue and grain from a generator.

Each function takes the picture's coordinates, x to the right and y downwards in units of its
shorter edge, float32 (H, W), and a generator, and answers colours, float32 (H, W, 3), RGB with 0 to
1 as black to white; values a little outside are cut by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from covar_gen.core.seeds import uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane: TypeAlias = NDArray[np.float32]
    Texture: TypeAlias = Callable[[Plane, Plane, np.random.Generator], Plane]

CELLS = 64
"""Bricks, planks and stones repeat their shades after this many; no picture is that wide."""


@cache
def _hat(length: int, knots: int) -> Plane:
    """Weights of linear interpolation, float32 (length, knots)."""
    place = np.linspace(0, knots - 1, length, dtype=np.float32)[:, None]
    return np.clip(1 - abs(place - np.arange(knots, dtype=np.float32)), 0, 1)


def noise(shape: tuple[int, ...], rows: int, columns: int, rng: np.random.Generator) -> Plane:
    """Soft noise around 0, float32 (H, W): random numbers at rows x columns knots, interpolated."""
    knots = rng.random((rows, columns), np.float32) * 2 - 1
    return np.asarray(_hat(shape[0], rows) @ knots @ _hat(shape[1], columns).T, np.float32)


def _turned(x: Plane, y: Plane, degrees: float) -> tuple[Plane, Plane]:
    turn = math.radians(degrees)
    cosine, sine = math.cos(turn), math.sin(turn)
    return cosine * x - sine * y, sine * x + cosine * y


def _cells(
    first: NDArray[np.floating], second: NDArray[np.floating], rng: np.random.Generator
) -> Plane:
    """A number in [-1, 1] for each cell of a grid, float32 of the cells' shape."""
    table = rng.random((CELLS, CELLS), np.float32) * 2 - 1
    return np.asarray(table[first.astype(np.int64) % CELLS, second.astype(np.int64) % CELLS])


def _shades(value: NDArray[np.floating], *colour: float) -> Plane:
    """Shades of a colour: value float32 (H, W), 1 = the colour itself."""
    return np.asarray(value[..., None] * np.asarray(colour, np.float32), np.float32)


def _mixed(part: Plane, one: Plane, other: Plane) -> Plane:
    """`one` where part is 1, `other` where it is 0; float32 (H, W) and (H, W, 3)."""
    return np.asarray(other + part[..., None] * (one - other), np.float32)


def bricks(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Courses of red bricks between grey joints."""
    height, length = uniform(rng, 0.1, 0.13), uniform(rng, 0.22, 0.28)
    y = y / height + uniform(rng, 0, 9)
    course = np.floor(y)
    along = x / length + uniform(rng, 0, 9) + 0.5 * (course % 2)
    stone = np.floor(along)
    joint = ((y - course) < 0.16) | ((along - stone) < 0.08)  # noqa: PLR2004 - the drawing
    value = 0.95 + 0.18 * _cells(course, stone, rng) + 0.1 * noise(x.shape, 40, 40, rng)
    wall = _shades(value, 0.7, uniform(rng, 0.2, 0.28), uniform(rng, 0.14, 0.2))
    return np.where(joint[..., None], np.float32(uniform(rng, 0.62, 0.72)), wall)


def grass(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Upright blades of green grass."""
    del y
    blades = noise(x.shape, 9, 72, rng) + 0.5 * noise(x.shape, 22, 96, rng)
    value = 0.9 + 0.45 * blades
    return _shades(value, uniform(rng, 0.2, 0.34), uniform(rng, 0.52, 0.62), 0.14)


def waves(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Blue water with waves that run across."""
    bend = 0.05 * np.sin(2 * np.pi * (uniform(rng, 1, 1.6) * x + uniform(rng, 0, 1)))
    bend = bend + 0.03 * noise(x.shape, 6, 6, rng)
    crest = np.sin(2 * np.pi * (uniform(rng, 5, 7) * (y + bend) + uniform(rng, 0, 1)))
    part = np.asarray(np.clip(0.5 + 0.5 * crest, 0, 1) ** 2, np.float32)
    deep = _shades(np.ones_like(x), 0.05, uniform(rng, 0.25, 0.38), uniform(rng, 0.6, 0.72))
    return _mixed(part, _shades(np.ones_like(x), 0.5, 0.74, 0.92), deep)


def sand(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Fine yellow sand."""
    across, _ = _turned(x, y, uniform(rng, 20, 70))
    slope = np.sin(2 * np.pi * (uniform(rng, 1.2, 2) * across + uniform(rng, 0, 1)))
    grain = rng.random(x.shape, np.float32) * 2 - 1
    value = np.asarray(0.92 + 0.07 * slope + 0.14 * grain, np.float32)
    return _shades(value, 0.93, uniform(rng, 0.78, 0.85), uniform(rng, 0.46, 0.56))


def planks(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Upright planks of brown wood."""
    place = x / uniform(rng, 0.15, 0.21) + uniform(rng, 0, 9)
    plank = np.floor(place)
    fibre = noise(y.shape, 5, 80, rng)
    value = 0.85 + 0.2 * _cells(plank, np.zeros_like(plank), rng) + 0.28 * fibre
    value = np.where(place - plank < 0.09, np.float32(0.25), value)  # noqa: PLR2004 - the drawing
    return _shades(value, 0.56, uniform(rng, 0.34, 0.4), uniform(rng, 0.16, 0.22))


def pebbles(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Round grey pebbles, the nearest centres of a shaken grid."""
    edge = uniform(rng, 0.12, 0.16)
    x, y = x / edge + uniform(rng, 0, 9), y / edge + uniform(rng, 0, 9)
    shake = 0.38 * (rng.random((CELLS, CELLS, 2), np.float32) * 2 - 1)
    tone = rng.random((CELLS, CELLS), np.float32)
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    nearest = np.full(x.shape, np.float32(9))
    grey = np.zeros(x.shape, np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            cell = ((row + down) % CELLS, (column + right) % CELLS)
            centre = shake[cell]
            away_x = column + right + np.float32(0.5) + centre[..., 0] - x
            away_y = row + down + np.float32(0.5) + centre[..., 1] - y
            distance = (away_x * away_x + away_y * away_y).astype(np.float32)
            closer = distance < nearest
            nearest = np.where(closer, distance, nearest)
            grey = np.where(closer, tone[cell], grey)
    value = (0.45 + 0.35 * grey) * np.clip(1.25 - 2.2 * nearest, 0.25, 1)
    return _shades(np.asarray(value, np.float32), 1.0, 1.0, uniform(rng, 0.98, 1.08))


def tiles(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Black and white floor tiles in turn."""
    edge = uniform(rng, 0.12, 0.17)
    x, y = _turned(x / edge, y / edge, uniform(rng, -12, 12))
    odd = (np.floor(x + uniform(rng, 0, 9)) + np.floor(y + uniform(rng, 0, 9))) % 2
    value = np.asarray(uniform(rng, 0.06, 0.14) + 0.78 * odd, np.float32)
    return _shades(value + 0.04 * noise(x.shape, 20, 20, rng), 1.0, 1.0, 1.0)


def dots(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Purple cloth with pale dots."""
    edge = uniform(rng, 0.13, 0.17)
    x, y = _turned(x / edge, y / edge, uniform(rng, 30, 60))
    x, y = x + uniform(rng, 0, 9), y + uniform(rng, 0, 9)
    away = (x - np.floor(x) - 0.5) ** 2 + (y - np.floor(y) - 0.5) ** 2
    part = np.asarray(away < uniform(rng, 0.24, 0.3) ** 2, np.float32)
    cloth = _shades(1 + 0.06 * noise(x.shape, 30, 30, rng), uniform(rng, 0.36, 0.46), 0.12, 0.52)
    return _mixed(part, _shades(np.ones_like(x), 0.9, 0.8, 0.95), cloth)


TEXTURES: dict[str, Texture] = {
    "red bricks": bricks,
    "green grass": grass,
    "blue waves": waves,
    "yellow sand": sand,
    "brown planks": planks,
    "grey pebbles": pebbles,
    "black and white tiles": tiles,
    "purple cloth with dots": dots,
}
"""Description of a background -> its texture, in the order of the world's backgrounds."""
