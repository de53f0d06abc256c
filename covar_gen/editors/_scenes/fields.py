"""Painters of tended and open green land: grassland, garden, farmyard."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, blended, brighten, mix, rgb, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.plants import Foliage, blades
from covar_gen.editors._scenes.sky import clouds, ridge, sky


def grassland(canvas: Canvas) -> float:
    """Open grassland: rolling hills and tall green grasses in the wind."""
    horizon = canvas.draw(0.38, 0.44)
    sky(canvas, [rgb("4e96d6"), rgb("a4cdea"), rgb("eaf3ea")], horizon)
    clouds(canvas, horizon, canvas.draw(0.35, 0.5))
    ridge(canvas, horizon + 0.01, 0.06, (rgb("7ba08f"), rgb("b5cfae")), 260, 0.32)
    land = Ground(canvas, horizon, eye=1.7, far=700)
    height = 5 * land.noise(130, 3, 0.35) * smoothstep(20, 130, land.z) - 0.4
    light = land.light(height, (-0.6, 0.7, 0.2))
    tone = blended(rgb("3f6b22"), rgb("a3c24e"), smoothstep(0.35, 1.0, light))
    tone = blended(tone, rgb("c9cf6d"), smoothstep(0.2, 1.1, land.noise(18, 5, 0.6, 2)) * 0.55)
    brighten(tone, 1 + 0.12 * land.noise(1.2, 6, 0.8, 1.6))
    land.render(height, land.hazed(tone, rgb("cfe3d6"), 330))
    for near, far, tall, dark, lit in (
        (7, 34, 0.75, "4c7a2a", "b9d163"),
        (3.2, 8, 0.85, "3a6a22", "a9cf54"),
        (1.5, 3.4, 0.7, "2c5a1c", "9dcc4c"),
    ):
        spots = land.scatter(1150, near, far, 1.4)
        length = spots[:, 2] * canvas.draws(len(spots), 0.45, 1.15) * tall
        blades(canvas, spots[:, :2], length, (rgb(dark), rgb(lit)), 0.45, 0.02)
    canvas.glow((0.2, horizon - 0.2), 400, rgb("fff6d0"), 0.16)
    return horizon


_GREENS = tuple(
    (rgb(dark), rgb(lit))
    for dark, lit in (
        ("1f4a26", "6fae4a"),
        ("2c5a2a", "95c45a"),
        ("24523a", "7fb56a"),
        ("3a5a20", "b4cc5c"),
    )
)


def garden(canvas: Canvas) -> float:
    """A lawn with a winding path between beds of flowers, shrubs behind."""
    horizon = canvas.draw(0.3, 0.36)
    canvas.gradient(
        [
            (0, rgb("8cc4ec")),
            (horizon - 0.12, rgb("d9eef6")),
            (horizon - 0.11, rgb("55803f")),
            (1, rgb("55803f")),
        ]
    )
    plants = Foliage(canvas)
    _hedges(canvas, plants, horizon)
    land = Ground(canvas, horizon, eye=2.1, far=40)
    bend = canvas.draw(-1, 1)
    path = land.x - bend * np.sin(land.z * 0.33 + 0.4) * 1.2 - 0.05 * bend * land.z
    edge = np.abs(path + 0.1 * land.noise(1.2, 3))
    lawn = blended(rgb("3f7a2c"), rgb("8fc454"), 0.5 + 0.45 * land.noise(0.5, 5, 0.85))
    gravel = blended(rgb("b79c7a"), rgb("ead9bb"), 0.5 + 0.4 * land.noise(0.15, 3, 0.9))
    soil = blended(rgb("2c3d1c"), rgb("4d6b2c"), 0.5 + 0.5 * land.noise(0.4, 4, 0.8))
    tone = blended(gravel, lawn, smoothstep(0.62, 0.7, edge))
    bed = smoothstep(1.35, 1.5, edge) * (1 - smoothstep(3.6, 3.9, edge))
    tone = blended(tone, soil, bed)
    land.render(np.zeros_like(land.x), land.hazed(tone, rgb("cfe4c6"), 55))
    _shrubs(canvas, plants, land)
    _flower_beds(canvas, land, bend)
    canvas.glow((0.25, 0.0), 380, rgb("fff5d6"), 0.22)
    return horizon


def _hedges(canvas: Canvas, plants: Foliage, horizon: float) -> None:
    """Three rows of trees behind the lawn, out of focus."""
    unit, wide = canvas.unit, canvas.width
    for layer in range(3):
        for i in range(9):
            dark, lit = _GREENS[int(canvas.draw(0, 4))]
            at = (
                wide * (i + canvas.draw(0, 1)) / 8.5,
                canvas.height * (horizon - 0.12 + 0.055 * layer),
            )
            tall = canvas.draw(46, 84) * unit * (1 - 0.2 * layer)
            haze = 0.3 - 0.12 * layer
            tones = (mix(dark, rgb("cfe6d8"), haze), mix(lit, rgb("e6f2d8"), haze))
            plants.crown(at, tall * canvas.draw(0.8, 1.2), tall, tones, 0.7, 0.16)
    canvas.soften(1.6, slice(0, int(canvas.height * (horizon + 0.06))))


def _shrubs(canvas: Canvas, plants: Foliage, land: Ground) -> None:
    """Round bushes on both sides, the far ones first."""
    for i in range(14):
        dark, lit = _GREENS[int(canvas.draw(0, 4))]
        side = 1 if i % 2 else -1
        x, y, scale = land.spot(side * (5.2 + canvas.draw(0, 2.5) + 0.28 * (14 - i)), 26 - 1.35 * i)
        tall = canvas.draw(0.45, 0.95) * scale
        tones = (
            mix(dark, rgb("cfe4c6"), 0.25 - 0.015 * i),
            mix(lit, rgb("e6f2d8"), 0.2 - 0.012 * i),
        )
        plants.crown((x, y - 0.6 * tall), 1.3 * tall, tall, tones, 0.5, 0.14)


def _flower_beds(canvas: Canvas, land: Ground, bend: float) -> None:
    palette = [
        rgb(c) for c in ("e8344e", "f58ab8", "f7c52e", "f4f1ea", "9b4fc4", "ef6f2a", "5b6fe0")
    ]
    count = 1000
    z = 2.2 + 26 * np.sort(canvas.draws(count, 0, 1))[::-1] ** 2.2
    side = np.where(canvas.draws(count, -1, 1) > 0, 1, -1)
    out = canvas.draws(count, 1.5, 3.7)
    x = bend * np.sin(z * 0.33 + 0.4) * 1.2 + 0.05 * bend * z + side * out
    feet = land.project(np.stack([x, np.zeros(count), z], axis=1))
    margin = 40 * canvas.unit
    seen = (feet[:, 0] > -margin) & (feet[:, 0] < canvas.width + margin)
    # Flowers of a kind stand together: the colour follows the place in the bed.
    kinds = (np.floor(z / 1.6) * 2 + np.floor(out / 0.8) + (side > 0) * 3).astype(int)
    shift = int(canvas.draw(0, 7))
    stalk = canvas.draws(count, 0.12, 0.4)
    for start in range(0, count, 100):
        part = np.arange(start, start + 100)[seen[start : start + 100]]
        scale = land.focal / z[part]
        spread = np.repeat(feet[part], 3, axis=0)
        spread[:, 0] += canvas.draws(len(spread), -0.1, 0.1) * np.repeat(scale, 3)
        tall = np.repeat(stalk[part] * scale, 3) * canvas.draws(len(spread), 0.6, 1)
        blades(canvas, spread, tall, (rgb("2a5a22"), rgb("86b84e")), 0.3, 0.09)
        heads = feet[part] - np.stack([np.zeros(len(part)), stalk[part] * scale], axis=1)
        tones = np.asarray(palette)[(kinds[part] + shift) % len(palette)]
        _flowers(canvas, heads, 0.085 * scale, tones)


def _flowers(canvas: Canvas, at: np.ndarray, size: np.ndarray, tones: np.ndarray) -> None:
    """Five petals around a heart, seen a little from above."""
    ring = np.linspace(0, 2 * np.pi, 9)[:-1]
    disk = np.stack([np.cos(ring), np.sin(ring) * 0.8], axis=1)
    turn = canvas.draws(len(at), 0, 6.283)
    shapes, shades = [], []
    for i in range(5):
        way = turn + 6.283 * i / 5
        centre = at + np.stack([np.cos(way) * 0.55, np.sin(way) * 0.42], axis=1) * size[:, None]
        shapes.append(centre[:, None] + disk * (0.55 * size[:, None, None]))
        share = 0.82 - 0.2 * np.sin(way) + canvas.draws(len(at), -0.06, 0.06)
        shades.append(tones * share[:, None])
    shapes.append(at[:, None] + disk * (0.26 * size[:, None, None]))
    yellow = tones[:, 2:] > 0.3  # noqa: PLR2004  not on yellow and orange petals
    shades.append(np.where(yellow, [rgb("f7d774")], [rgb("5a3418")]))
    flat = np.stack(shapes, axis=1).reshape(-1, 8, 2)
    canvas.shapes(flat, np.stack(shades, axis=1).reshape(-1, 3).tolist())
