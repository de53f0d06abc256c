"""Painters of open water: calm ocean, beach, rocky shore."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import (
    Canvas,
    Colour,
    Floats,
    blended,
    brighten,
    rgb,
    smoothstep,
)
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.plants import frond
from covar_gen.editors._scenes.sky import clouds, ridge, sky


def swell(sea: Ground, height: float, length: float, ways: tuple[float, ...]) -> Floats:
    """Waves as a sum of trains.

    Args:
        sea: the surface.
        height: of the largest waves, metres.
        length: of the longest waves, metres.
        ways: directions of travel, radians, 0 towards the viewer.

    Returns:
        float32 (N, W), metres.
    """
    total = np.zeros_like(sea.x)
    bend = sea.noise(length * 4, 3)
    for i, way in enumerate(ways):
        size = length / 1.55**i
        phase = (sea.z * float(np.cos(way)) + sea.x * float(np.sin(way))) * (6.283 / size)
        wave = np.sin(phase + 2.6 * bend + sea.canvas.draw(0, 6.283))
        total += wave * (sea.fade(size * 0.5) * (height / 1.5**i))
    return total


def surface(sea: Ground, waves: Floats, deep: Floats, reflected: Colour, sun: float) -> Floats:
    """Colour of water: its own where one looks into it, the sky's where it is seen edge-on.

    Args:
        sea: the surface.
        waves: float32 (N, W), metres.
        deep: float32 (N, W, 3), the water's own colour.
        reflected: the sky's colour near the horizon.
        sun: direction of its glitter, -1 left edge to 1 right edge.
    """
    tilt = np.gradient(waves, axis=0) / np.gradient(sea.z[:, 0])[:, None]
    steep = np.clip(sea.eye / sea.z + tilt * 1.2, 0.01, 1)
    mirror = (1 - steep) ** 5 * 0.92 + 0.03
    colour = blended(deep, reflected, mirror)
    path = np.exp(-3.5 * (sea.x / sea.z - sun * 0.5) ** 2 * (1 + 6 / sea.z))
    glitter = smoothstep(0.55, 1.25, sea.noise(0.5, 5, 0.85, 2.2) + 0.55 * path)
    return colour + (0.5 * glitter * path * smoothstep(2, 14, sea.z))[..., None]


def ocean(canvas: Canvas) -> float:
    """Calm ocean with clear blue water, the sandy bottom shining through nearby."""
    horizon = canvas.draw(0.34, 0.42)
    sky(canvas, [rgb("1f74c9"), rgb("5fa9e2"), rgb("cfe9f4")], horizon)
    clouds(canvas, horizon, canvas.draw(0.12, 0.3), size=0.8)
    sea = Ground(canvas, horizon, eye=2.2, far=2500)
    waves = swell(sea, 0.05, 5, (0.2, -0.5, 0.7, -0.9))
    waves += 0.035 * sea.noise(1.6, 4, 0.6, 1.8)
    far = smoothstep(3, 60, sea.z) + np.zeros_like(sea.x)
    deep = blended(rgb("1f9fc4"), rgb("0a5aa6"), far)
    deep = blended(deep, rgb("0b4a8c"), smoothstep(0, 0.9, sea.noise(50, 3)) * far * 0.7)
    caustic = 1 - np.abs(sea.noise(0.6, 3, 0.5, 1.5))
    shine = smoothstep(0.72, 1.0, caustic) * sea.fade(0.5) * (1 - smoothstep(4, 16, sea.z))
    deep = blended(deep, rgb("a8f0e6"), shine * 0.3)
    colour = surface(sea, waves, deep, rgb("a9d6ee"), canvas.draw(-0.8, 0.8))
    sea.render(waves, sea.hazed(colour, rgb("b5dcf0"), 2600))
    return horizon


def beach(canvas: Canvas) -> float:
    """Sand that runs into a turquoise sea with lines of foam."""
    horizon = canvas.draw(0.33, 0.4)
    sky(canvas, [rgb("2f8fd8"), rgb("84c3ea"), rgb("e9f4ee")], horizon)
    clouds(canvas, horizon, canvas.draw(0.2, 0.38), size=1.1)
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    ridge(canvas, horizon + 0.002, 0.035, (rgb("5f8a86"), rgb("a8c8c4")), 220, 0.4)
    land = Ground(canvas, horizon, eye=2.0, far=1500)
    # Distance from the water's edge in metres, positive out at sea; the edge runs aslant.
    wash = 0.9 * land.noise(9, 3) + 0.25 * land.noise(1.6, 3)
    out = (land.z - 8.5 + side * 0.75 * land.x) * 0.72 + wash
    sand = np.clip(-0.045 * out, -3, 0.45) + 0.035 * land.noise(0.9, 5, 0.5)
    light = land.light(sand, (-0.6 * side, 0.7, 0.3))
    tone = blended(rgb("b98f5d"), rgb("f5dfae"), smoothstep(0.4, 0.95, light))
    brighten(tone, 1 + 0.09 * land.noise(0.12, 4, 0.9))
    wet = smoothstep(-2.6, -0.6, out)
    tone = blended(tone, rgb("a58a66"), wet * 0.75)
    tone = blended(tone, rgb("bcd8e4"), smoothstep(-1.1, 0, out) * 0.35)
    waves = swell(land, 0.05, 7, (0.3 * side, -0.3, 0.6)) * smoothstep(0, 8, out)
    depth = smoothstep(0, 26, out)
    own = blended(rgb("8fe0d2"), rgb("1d9fc0"), depth)
    own = blended(own, rgb("0c6cae"), smoothstep(20, 140, out))
    water = surface(land, waves, own, rgb("b7dcec"), -0.6 * side)
    colour = blended(tone, water, smoothstep(-0.05, 0.35, out))
    lace = 0.5 + 0.5 * land.noise(0.7, 5, 0.8, 1.4)
    foam = np.zeros_like(out)
    meander = 0.8 * land.noise(12, 3)
    for place, wide, power in ((0.1, 0.7, 1.0), (4.2, 0.8, 0.9), (9.5, 1.0, 0.8), (17, 1.4, 0.7)):
        line = np.abs(out + meander * (place > 1) - place) / wide
        foam = np.maximum(foam, power * smoothstep(0.25, 0.75, lace + 0.75 - line))
    trail = smoothstep(0.62, 0.9, lace) * smoothstep(0, 0.4, out) * (1 - smoothstep(1, 13, out))
    colour = blended(colour, rgb("ffffff"), np.maximum(foam, 0.7 * trail) * 0.95)
    height = np.where(out > 0, waves, sand) + 0.12 * foam * smoothstep(1, 4, out)
    land.render(height.astype(np.float32), land.hazed(colour, rgb("c4e2ee"), 1500))
    _shells(canvas, land, side)
    corner = (canvas.width * (0.5 + 0.56 * side), -0.02 * canvas.height)
    for i in range(5):
        way = np.pi / 2 + side * (0.25 + 0.3 * i + canvas.draw(0, 0.15))
        size = canvas.draw(170, 250) * canvas.unit
        frond(canvas, corner, way, size, (rgb("1f5a2c"), rgb("8cc152")), 26, 0.2)
    return horizon


def _shells(canvas: Canvas, land: Ground, side: int) -> None:
    """Pebbles, shells and their shadows on the dry sand."""
    ring = np.linspace(0, 2 * np.pi, 10)[:-1]
    circle = np.stack([np.cos(ring), 0.6 * np.sin(ring)], axis=1)
    palette = [rgb(c) for c in ("fbf1e2", "e3b79a", "8f7a66", "c9b8a2", "f0cdb8")]
    shapes, tones = [], []
    for column, row, scale in land.scatter(90, 2.2, 7, 1.2):
        metres = (column - land.middle) / scale
        if land.focal / scale + side * 0.75 * metres > 6:  # noqa: PLR2004  wet already
            continue
        size = canvas.draw(0.008, 0.03) * scale
        stone = circle * size * canvas.draws(9, 0.85, 1.15)[:, None] + [column, row]
        shapes += [stone + np.array([0.35, 0.3]) * size, stone]
        tones += [rgb("8a6a44"), canvas.pick(palette)]
    canvas.shapes(shapes, tones)


def rocky_shore(canvas: Canvas) -> float:
    """Dark wet rocks, breaking waves and spray under a grey sky."""
    horizon = canvas.draw(0.33, 0.4)
    sky(canvas, [rgb("6f8496"), rgb("a3b2bb"), rgb("dde0da")], horizon)
    clouds(canvas, horizon, 0.72, rgb("eeeeea"), rgb("78848f"), 1.5)
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    land = Ground(canvas, horizon, eye=3.2, far=1200)
    out = land.z - 15 + 0.8 * side * land.x
    rocks = 1.1 * land.noise(5, 5, 0.55) + 0.55 * np.abs(land.noise(1.6, 4, 0.6))
    rocks = 0.5 * land.ledges(rocks, 2) + 0.5 * rocks
    stacks = 2.4 * np.maximum(land.noise(13, 4, 0.5) - 0.35, 0) * smoothstep(2, 14, out)
    stacks *= 1 - smoothstep(45, 80, out)
    rise = np.clip(-0.13 * out, -1.6, 0.7) * smoothstep(1.5, 6, land.z)
    height = 0.75 * rocks * smoothstep(2, 7, land.z) * (1 - smoothstep(5, 16, out)) + rise
    height += 2.2 * stacks + 0.05 * land.noise(0.5, 3, 0.6) - 0.35
    light = land.light(height, (-0.7 * side, 0.6, -0.2))
    tone = blended(rgb("1b1d20"), rgb("6d6860"), smoothstep(-0.3, 0.8, light))
    tone = blended(tone, rgb("a39c8d"), smoothstep(0.65, 1.0, light) * 0.8)
    tone = blended(tone, rgb("565a35"), smoothstep(0.2, 0.9, land.noise(3, 4)) * 0.4)
    brighten(tone, 1 + 0.15 * land.noise(0.3, 4, 0.7))
    waves = swell(land, 0.34, 13, (0.25 * side, -0.35, 0.6)) * smoothstep(-3, 16, out)
    waves += 0.05 * land.noise(1.5, 4, 0.6, 2) - 0.2
    own = blended(rgb("5f8f8c"), rgb("27525f"), smoothstep(0, 40, out))
    own = blended(own, rgb("7fb3a6"), smoothstep(0.12, 0.45, waves) * 0.6)
    water = surface(land, waves, own, rgb("b6c3c6"), 0.2 * side)
    under = waves - height
    lace = 0.5 + 0.5 * land.noise(1.0, 5, 0.8, 1.5)
    foam = smoothstep(0.35, 0.8, lace + 0.7 - 1.5 * under) * smoothstep(-0.1, 0.05, under)
    caps = smoothstep(0.2, 0.55, waves + 0.5 * (lace - 0.5))
    water = blended(water, rgb("f4f7f5"), np.maximum(foam, 0.85 * caps))
    colour = blended(tone, water, smoothstep(-0.03, 0.03, under))
    spray = smoothstep(0, 0.3, 0.3 - under) * smoothstep(-0.9, -0.2, under) * lace
    colour = blended(colour, rgb("eef3f2"), 0.75 * spray * smoothstep(0.45, 0.75, lace))
    surface_height = np.maximum(height, waves).astype(np.float32)
    land.render(surface_height, land.hazed(colour, rgb("c7cfd0"), 420))
    return horizon
