"""Painters of dry land: desert, savanna, rocky terrain."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, blended, brighten, circle, mix, rgb, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.noise import fractal
from covar_gen.editors._scenes.plants import Foliage, blades, limb
from covar_gen.editors._scenes.sky import clouds, ridge, sky
from covar_gen.editors._scenes.stones import boulder


def desert(canvas: Canvas) -> float:
    """Hot desert with sand dunes: sharp crests, one side lit, ripples before the viewer."""
    horizon = canvas.draw(0.36, 0.42)
    sky(canvas, [rgb("3f86c6"), rgb("8fbfdf"), rgb("f3e3c3")], horizon)
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    canvas.glow((0.5 + 0.36 * side, 0.08), 120, rgb("fff0cc"), 0.45)
    at = [(0.5 + 0.36 * side) * canvas.width, 0.08 * canvas.height]
    canvas.shade([circle(40) * 15 * canvas.unit + at], rgb("fffdf0"), 1.0, 2.5 * canvas.unit)
    land = Ground(canvas, horizon, eye=5, far=900)
    bend = land.noise(40, 2)
    # Sharp crests stand where a smooth field crosses zero; rounded by as much as the grid shows.
    field = land.noise(78, 2, 0.3) + 0.12 * bend
    crest = np.clip(1.06 - np.sqrt((1.5 * field) ** 2 + 0.0036), 0, 1)
    far = smoothstep(16, 60, land.z)
    height = far * (19 * crest**1.5 - 1.5) + 0.7 * bend - 0.4
    ripple = np.sin((land.z * 1.0 + land.x * 0.35 * side) * 7 + 5 * land.noise(5, 3))
    height += (0.016 * ripple * land.fade(0.9)).astype(np.float32)
    height += 0.05 * land.noise(2.5, 4)
    light = land.light(height, (0.9 * side, 0.34, 0.15))
    tone = blended(rgb("7a4030"), rgb("e9a45a"), smoothstep(-0.15, 0.55, light))
    tone = blended(tone, rgb("fbd894"), smoothstep(0.45, 0.95, light))
    brighten(tone, 1 + 0.05 * land.noise(0.3, 3))
    land.render(height, land.hazed(tone, rgb("f0d3a4"), 420))
    canvas.glow((0.5 + 0.36 * side, 0.1), 420, rgb("ffdf9e"), 0.16)
    return horizon


def savanna(canvas: Canvas) -> float:
    """Golden grass, flat-topped acacias, a low warm sun."""
    horizon = canvas.draw(0.46, 0.52)
    sky(canvas, [rgb("5d8fbb"), rgb("b9c6b8"), rgb("f6d38f"), rgb("fbb765")], horizon)
    sun = canvas.draw(0.15, 0.85)
    clouds(canvas, horizon, 0.2, rgb("fff0cf"), rgb("c79a7c"), 1.4)
    canvas.glow((sun, horizon - 0.09), 110, rgb("fff2c4"), 1.0)
    ridge(canvas, horizon, 0.05, (rgb("b08a6e"), rgb("e0b27c")), 200, 0.35)
    land = Ground(canvas, horizon, eye=1.7, far=600)
    height = 0.5 * land.noise(60, 3) * smoothstep(5, 40, land.z)
    tone = blended(rgb("7d5a22"), rgb("d9a845"), 0.5 + 0.4 * land.noise(2.5, 6, 0.7, 2.5))
    tone = blended(tone, rgb("9b7a3d"), smoothstep(0.1, 0.9, land.noise(25, 3)) * 0.6)
    land.render(height, land.hazed(tone, rgb("eec083"), 160))
    plants = Foliage(canvas)
    depths = sorted((canvas.draw(0, 1) for _ in range(7)), reverse=True)
    for i, depth in enumerate(depths):
        z = 26 + 170 * depth
        x = (canvas.draw(-0.48, 0.48) if i < 5 else (-1) ** i * canvas.draw(0.3, 0.46)) * z * 1.05  # noqa: PLR2004
        _acacia(canvas, plants, land, x, z, min(depth + 0.1, 1))
    spots = land.scatter(2600, 2.2, 30, 2.2)
    tall = spots[:, 2] * canvas.draws(len(spots), 0.15, 0.6)
    blades(canvas, spots[:, :2], tall, (rgb("7a5520"), rgb("f3cf74")), 0.5, 0.022)
    canvas.glow((sun, horizon - 0.09), 330, rgb("ffc870"), 0.3)
    return horizon


def _acacia(
    canvas: Canvas, plants: Foliage, land: Ground, x: float, z: float, depth: float
) -> None:
    column, row, scale = land.spot(x, z)
    tall = canvas.draw(6.5, 9) * scale
    haze = rgb("e6b67c")
    bark = mix(rgb("5a4030"), haze, depth * 0.7)
    leaves = (mix(rgb("39401d"), haze, depth * 0.7), mix(rgb("8c8a3c"), haze, depth * 0.7))
    for way in (-0.4, -0.16, 0.1, 0.36):
        t = np.linspace(0, 1, 8)
        spread = np.maximum(t - 0.35, 0) ** 1.3 / 0.65**1.3
        line = np.stack([column + way * tall * spread, row - tall * 0.88 * t], axis=1)
        limb(canvas, line, (tall * 0.06, tall * 0.012), bark)
    for i in range(9):
        shift = -0.52 + 1.04 * i / 8 + canvas.draw(-0.05, 0.05)
        at = (
            column + shift * tall,
            row - tall * (0.97 - 0.16 * shift**2 + canvas.draw(-0.03, 0.03)),
        )
        plants.crown(
            at, tall * canvas.draw(0.17, 0.25), tall * canvas.draw(0.06, 0.085), leaves, 0.7, 0.7
        )


def rocky_terrain(canvas: Canvas) -> float:
    """Bare rock: boulders, ledges and scree before jagged mountains."""
    horizon = canvas.draw(0.4, 0.46)
    sky(canvas, [rgb("4d79a8"), rgb("9ab6cc"), rgb("dfe3df")], horizon)
    clouds(canvas, horizon, 0.42, rgb("f7f5f0"), rgb("9aa5b3"))
    ridge(canvas, horizon, 0.24, (rgb("8493a6"), rgb("bcc5cc")), 170, 0.58)
    ridge(canvas, horizon + 0.01, 0.13, (rgb("79746f"), rgb("a9a49c")), 110, 0.6)
    land = Ground(canvas, horizon, eye=2.2, far=260)
    ramp = smoothstep(2, 24, land.z)
    ledge = land.noise(11, 5, 0.55)
    steps = land.ledges(ledge, 3)
    height = ramp * (1.5 * (0.65 * steps + 0.35 * ledge) + 0.02 * land.z) - 0.25
    height += 7 * np.maximum(land.noise(70, 3, 0.4), -0.1) * smoothstep(25, 110, land.z)
    stones = np.maximum(land.noise(1.3, 4, 0.5) - 0.1, 0)
    height += 0.32 * np.minimum(stones, 0.7) + 0.09 * np.abs(land.noise(0.45, 4, 0.6))
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    light = land.light(height, (0.75 * side, 0.6, -0.25))
    tone = blended(rgb("3a2f2a"), rgb("a8917a"), smoothstep(-0.35, 0.75, light))
    tone = blended(tone, rgb("dccbb2"), smoothstep(0.6, 1.0, light))
    rust = smoothstep(0.1, 0.9, land.noise(6, 4))
    tone = blended(tone, tone * np.array([1.08, 0.93, 0.78], np.float32), rust)
    brighten(tone, 1 + 0.13 * land.noise(0.25, 4, 0.7))
    land.render(height, land.hazed(tone, rgb("c3c8ca"), 170))
    shades = (rgb("4a3c33"), rgb("d6c2a4"))
    before = canvas.pixels.copy()
    for column, row, scale in land.scatter(34, 4.2, 46, 1.5):
        wide = canvas.draw(0.25, 1.0) * canvas.draw(0.5, 1.0) * scale
        haze = min(land.focal / scale / 90, 0.6)
        tones = (mix(shades[0], rgb("c3c8ca"), haze), mix(shades[1], rgb("d9d8d0"), haze))
        boulder(canvas, (column, row + 0.1 * wide), wide, tones, canvas.draw(0.6, 0.95))
    stone = canvas.drawn_since(before)
    brighten(canvas.pixels, 1 + 0.17 * fractal(canvas, (22, 28), 5, 0.75) * stone)
    canvas.soften(0.45)
    return horizon
