"""Painters of ways that run to the horizon: railway, highway."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, Colour, blended, brighten, mix, rgb, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.plants import Foliage, blades
from covar_gen.editors._scenes.sky import clouds, ridge, sky


def _strip(
    land: Ground, curve: float, x: float, wide: float, near: float, far: float
) -> np.ndarray:
    """A band along the way: (N, 2) pixels. `x` is its middle, metres beside the way's middle."""
    z = np.geomspace(near, far, 24)
    middle = x + curve * z * z
    left = np.stack([middle - wide / 2, np.zeros_like(z), z], axis=1)
    right = np.stack([middle + wide / 2, np.zeros_like(z), z], axis=1)[::-1]
    return land.project(np.concatenate([left, right]))


def _wood(
    canvas: Canvas, land: Ground, x: float, near: float, tones: tuple[Colour, Colour, Colour]
) -> None:
    """Trees along one side of the way, the far ones first and hazier."""
    plants = Foliage(canvas)
    for i in range(10):
        z = 150 * (near / 150) ** (i / 9)
        foot = land.spot(x * (1 + canvas.draw(0, 0.5)), z)
        haze = 0.72 * (1 - i / 9)
        greens = (mix(tones[0], tones[2], haze), mix(tones[1], tones[2], haze))
        tall = canvas.draw(6, 10) * foot[2]
        plants.crown((foot[0], foot[1] - tall * 0.12), tall * 0.42, tall * 0.2, greens)
        plants.tree(foot[:2], tall, greens, mix(rgb("4b3a2c"), tones[2], haze), 0.4)


def railway(canvas: Canvas) -> float:
    """Two tracks on ballast, masts beside them, woods left and right."""
    horizon = canvas.draw(0.4, 0.46)
    sky(canvas, [rgb("6f9fc8"), rgb("b4cddd"), rgb("f2e3cb")], horizon)
    clouds(canvas, horizon, 0.48, rgb("fdf6ec"), rgb("a2aec0"))
    ridge(canvas, horizon + 0.005, 0.06, (rgb("7d93a3"), rgb("c4cdca")), 150, 0.4)
    land = Ground(canvas, horizon, eye=1.8, far=500, middle=canvas.draw(0.4, 0.6))
    tracks = (-2.1, 2.1)
    grass = blended(rgb("4d5f2a"), rgb("a9a95c"), 0.5 + 0.45 * land.noise(1.3, 5, 0.8))
    stones = land.noise(0.16, 4, 0.95)
    ballast = blended(rgb("55504b"), rgb("c9c0b4"), np.clip(0.45 + 0.42 * stones, 0, 1))
    brighten(ballast, 0.9 + 0.12 * land.noise(3, 3))
    edge = np.abs(land.x) + 0.25 * land.noise(0.8, 3)
    tone = blended(ballast, grass, smoothstep(4.2, 4.8, edge))
    for track in tracks:
        across = np.abs(land.x - track)
        tone = blended(tone, rgb("6b4a37"), 0.35 * smoothstep(1.25, 0.5, across))
        phase = np.abs(np.mod(land.z / 0.62, 1) - 0.5)
        tie = smoothstep(0.26, 0.2, phase) * smoothstep(1.32, 1.26, across) * land.fade(0.5)
        wood = blended(rgb("3c2f28"), rgb("8a7462"), 0.5 + 0.4 * land.noise(0.12, 3, 0.9, 6))
        tone = blended(tone, wood, tie)
        far_tie = smoothstep(1.32, 1.2, across) * (1 - land.fade(0.5))
        tone = blended(tone, rgb("7c6a5c"), 0.5 * far_tie)
    land.render(np.zeros_like(land.x), land.hazed(tone, rgb("d9d8cc"), 190))
    green = (rgb("2f4a26"), rgb("8fa04c"), rgb("cdd3cb"))
    _wood(canvas, land, -11, 16, green)
    _wood(canvas, land, 10.5, 16, green)
    _masts(canvas, land)
    for track in tracks:
        for rail in (track - 0.75, track + 0.75):
            shapes = [
                _strip(land, 0, rail + 0.02, 0.16, 1.2, 400),
                _strip(land, 0, rail, 0.085, 1.2, 400),
            ]
            shapes.append(_strip(land, 0, rail - 0.01, 0.035, 1.2, 400))
            canvas.shapes(shapes, [rgb("3a2a22"), rgb("8d9299"), rgb("eef1f4")])
    spots = land.scatter(500, 2.0, 30, 1.6, 0.8)
    metres = (spots[:, 0] - land.middle) / spots[:, 2]
    spots = spots[np.abs(metres) > 4.5]  # noqa: PLR2004  beside the ballast
    tall = spots[:, 2] * canvas.draws(len(spots), 0.15, 0.5)
    blades(canvas, spots[:, :2], tall, (rgb("4a5f26"), rgb("c3c26b")), 0.5, 0.03)
    return horizon


def _masts(canvas: Canvas, land: Ground) -> None:
    dark = rgb("4a4f55")
    places = [7 * 1.75**i for i in range(7)][::-1]
    for z in places:
        tone = mix(dark, rgb("c5cdd2"), min(z / 260, 0.8))
        for side in (-1, 1):
            x = side * 4.6
            pole = [(x - 0.09, 0, z), (x + 0.09, 0, z), (x + 0.07, 6.4, z), (x - 0.07, 6.4, z)]
            arm = [(x, 5.85, z), (x - side * 2.7, 5.6, z), (x - side * 2.7, 5.52, z), (x, 5.75, z)]
            stay = [(x, 6.3, z), (x - side * 2.4, 5.62, z), (x - side * 2.4, 5.58, z), (x, 6.24, z)]
            canvas.shapes([land.project(np.array(part)) for part in (pole, arm, stay)], [tone] * 3)
    for side in (-1, 1):
        for lift, wide in ((5.5, 0.025), (5.95, 0.02)):
            ahead = np.geomspace(2.4, 250, 60)
            flat = np.ones_like(ahead)
            wire = np.stack([flat * side * 2.1, flat * lift, ahead], axis=1)
            low = land.project(wire - np.array([0, wide, 0]))[::-1]
            canvas.shade([np.concatenate([land.project(wire), low])], dark, 0.75)


def highway(canvas: Canvas) -> float:
    """An empty road with a dashed line that runs towards mountains."""
    horizon = canvas.draw(0.4, 0.46)
    sky(canvas, [rgb("3f7fbe"), rgb("93bfe0"), rgb("f3e7d3")], horizon)
    clouds(canvas, horizon, canvas.draw(0.28, 0.42), rgb("fffaf2"), rgb("a6b4c9"))
    ridge(canvas, horizon + 0.004, 0.13, (rgb("6f86a4"), rgb("bccbd8")), 150, 0.52)
    ridge(canvas, horizon + 0.006, 0.055, (rgb("7d8064"), rgb("b9b48f")), 110, 0.42)
    land = Ground(canvas, horizon, eye=1.5, far=900, middle=canvas.draw(0.44, 0.56))
    curve = canvas.draw(-1, 1) * 0.0011
    across = land.x - curve * land.z**2
    edge = np.abs(across)
    dry = blended(rgb("8a7340"), rgb("d8bf7c"), 0.5 + 0.45 * land.noise(1.6, 6, 0.75, 1.8))
    dry = blended(dry, rgb("7c8a48"), smoothstep(0.1, 0.9, land.noise(14, 3)) * 0.55)
    gravel = blended(rgb("7f7566"), rgb("c9bda6"), 0.5 + 0.4 * land.noise(0.2, 3, 0.9))
    asphalt = 0.36 + 0.035 * land.noise(0.07, 3, 0.95) + 0.03 * land.noise(4, 4)
    asphalt -= 0.04 * smoothstep(0.5, 0.1, np.abs(np.mod(edge, 3.6) - 1.8) - 0.5)
    road = np.stack([asphalt, asphalt * 1.01, asphalt * 1.05], axis=2)
    rough = edge + 0.12 * land.noise(0.5, 3)
    tone = blended(gravel, dry, smoothstep(5.2, 5.9, rough))
    tone = blended(road, tone, smoothstep(4.25, 4.35, edge))
    height = 0.25 * smoothstep(5.5, 14, edge) * (land.noise(6, 3) + 0.6)
    land.render(height, land.hazed(tone, rgb("dcdcd0"), 330))
    for x in (-3.85, 3.85):
        canvas.shapes([_strip(land, curve, x, 0.16, 1.1, 700)], [rgb("f1efe6")])
    start = canvas.draw(1.2, 3)
    dashes = [start + 7.5 * i for i in range(28)][::-1]
    shapes = [_strip(land, curve, 0, 0.17, z, z + 3.4) for z in dashes]
    tones = [mix(rgb("f6d65c"), rgb("c9c2a6"), min(z / 240, 0.9)) for z in dashes]
    canvas.shapes(shapes, tones)
    _rail(canvas, land, curve)
    spots = land.scatter(800, 2.0, 40, 1.6, 0.8)
    metres = (spots[:, 0] - land.middle) / spots[:, 2]
    spots = spots[np.abs(metres) > 5.9]  # noqa: PLR2004  beyond the shoulder
    tall = spots[:, 2] * canvas.draws(len(spots), 0.12, 0.5)
    blades(canvas, spots[:, :2], tall, (rgb("7b6a34"), rgb("ecd593")), 0.5, 0.03)
    return horizon


def _rail(canvas: Canvas, land: Ground, curve: float) -> None:
    """The guard rail on the outer side of the bend."""
    side = -1 if curve > 0 else 1
    z = np.geomspace(2.2, 260, 70)
    x = side * 5.1 + curve * z * z
    for at in np.geomspace(3, 200, 26)[::-1]:
        foot = side * 5.1 + curve * at * at
        post = [
            (foot - 0.06, 0, at),
            (foot + 0.06, 0, at),
            (foot + 0.06, 0.7, at),
            (foot - 0.06, 0.7, at),
        ]
        canvas.shapes([land.project(np.array(post))], [mix(rgb("5e6468"), rgb("c3cacc"), at / 260)])
    for low, high, tone in ((0.46, 0.78, "a9b1b6"), (0.6, 0.64, "6d757b"), (0.72, 0.78, "e6eaec")):
        bottom = land.project(np.stack([x, np.full_like(z, low), z], axis=1))
        top = land.project(np.stack([x, np.full_like(z, high), z], axis=1))
        canvas.shapes([np.concatenate([bottom, top[::-1]])], [rgb(tone)])
