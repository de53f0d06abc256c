"""Painters of the inside of a forest: tropical, forest floor, branches."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import (
    Canvas,
    Colour,
    blended,
    brighten,
    circle,
    mix,
    rgb,
    smoothstep,
)
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.noise import fractal
from covar_gen.editors._scenes.plants import Foliage, frond, leaves, limb


def light_shafts(canvas: Canvas, x: float, colour: Colour, power: float) -> None:
    """Sunbeams that fan out from a point above the picture.

    Args:
        canvas: painted in place.
        x: where the sun stands, fraction of the width.
        colour: of the light.
        power: its strength, 0 to 1.
    """
    rows, columns = canvas.rows(), canvas.columns()
    ratio = canvas.width / canvas.height
    angle = np.arctan2((columns - x) * ratio, rows + 0.35)
    beams = fractal(canvas, (60, 26), 3, 0.6, (1, 512))[0]
    at = (angle + 1.6) / 3.2 * 511
    level = np.interp(at.ravel(), np.arange(512), beams).reshape(at.shape).astype(np.float32)
    light = smoothstep(0.05, 0.9, level) * np.exp(-1.3 * rows) * power
    light *= np.exp(-((angle / 0.75) ** 2))
    canvas.lighten(light.astype(np.float32), colour)


def _trunk(canvas: Canvas, foot: tuple[float, float], wide: float, bark: Colour) -> None:
    """A trunk that leaves the picture at the top, with a flared foot."""
    lean = canvas.draw(-0.06, 0.06) * canvas.height
    t = np.linspace(0, 1, 9)
    spine = np.stack([foot[0] + lean * t**1.4, foot[1] - (foot[1] + 20) * t], axis=1)
    flare = np.array(
        [[-0.95, 0.02], [-0.62, -0.25], [-0.5, -0.9], [0.5, -0.9], [0.66, -0.25], [1.0, 0.03]]
    )
    canvas.shapes([flare * wide + foot], [mix(bark, (0, 0, 0), 0.35)])
    limb(canvas, spine, (wide, wide * 0.72), bark)


def forest_floor(canvas: Canvas) -> float:
    """Fallen leaves between trunks, sunlight slanting through the crowns."""
    horizon = canvas.draw(0.4, 0.46)
    light_x = canvas.draw(0.25, 0.75)
    canvas.gradient([(0, rgb("6f8a35")), (horizon, rgb("f3e7a6")), (1, rgb("8f7a3c"))])
    canvas.glow((light_x, horizon - 0.14), 300, rgb("fff8cf"), 0.75)
    blobs = fractal(canvas, (110, 110), 6, 0.68)
    shade = smoothstep(-0.35, 0.5, blobs + 0.35 - 0.9 * canvas.rows() / horizon)
    canvas.blend(
        blended(rgb("2f4a18"), rgb("8fa63a"), np.clip(0.5 + 0.6 * blobs, 0, 1)), shade * 0.85
    )
    canvas.soften(2.5)
    bark = rgb("4a3524")
    for z, count, blur in ((40.0, 16, 1.4), (22.0, 9, 0.8)):
        for _ in range(count):
            x = canvas.draw(-0.05, 1.05) * canvas.width
            foot = (horizon + canvas.draw(0.4, 1.0) / z) * canvas.height
            wide = canvas.draw(0.28, 0.5) * canvas.unit * 480 / z
            _trunk(canvas, (x, foot), wide, mix(bark, rgb("d9cf8a"), min(z / 58, 0.75)))
        canvas.soften(blur, slice(0, int(canvas.height * (horizon + 0.06))))
    land = Ground(canvas, horizon + 0.01, eye=1.5, far=60)
    height = 0.35 * land.noise(6, 3) * smoothstep(2, 14, land.z) + 0.03 * land.noise(0.5, 3)
    litter = land.noise(0.22, 4, 0.9)
    tone = blended(rgb("3a2414"), rgb("a9682e"), np.clip(0.45 + 0.45 * litter, 0, 1))
    tone = blended(tone, rgb("5d6b26"), smoothstep(0.3, 1.0, land.noise(2.6, 4)) * 0.7)
    pool = smoothstep(0.0, 0.8, land.noise(3.2, 4, 0.6, 1.6))
    tone = blended(tone * 0.75, tone * 1.25 + np.array([0.2, 0.14, 0.02], np.float32), pool)
    land.render(height, land.hazed(tone, rgb("e6d98f"), 26))
    _fallen(canvas, land)
    before = canvas.pixels.copy()
    for share in (0.06, 0.9, canvas.draw(0.7, 0.8), canvas.draw(0.2, 0.3)):
        z = canvas.draw(6, 8.5) if 0.1 < share < 0.85 else canvas.draw(3.4, 4.5)  # noqa: PLR2004
        column = (share + canvas.draw(-0.04, 0.04)) * canvas.width
        row = land.spot((column - land.middle) / land.focal * z, z)[1]
        wide = canvas.draw(0.42, 0.6) * land.focal / z
        _trunk(canvas, (column, row), wide, mix(bark, rgb("9a8a4c"), 0.02 * z))
    trunks = canvas.drawn_since(before)
    grain = fractal(canvas, (60, 7), 4, 0.7)
    brighten(canvas.pixels, 1 + 0.24 * grain * trunks)
    plants = Foliage(canvas)
    for _ in range(9):
        at = (canvas.draw(0, 1) * canvas.width, canvas.draw(-0.08, 0.06) * canvas.height)
        plants.crown(
            at, 80 * canvas.unit, 44 * canvas.unit, (rgb("2c4a18"), rgb("b5c64a")), 0.9, 0.22
        )
    light_shafts(canvas, light_x, rgb("fff1ae"), 0.8)
    return horizon


def _fallen(canvas: Canvas, land: Ground) -> None:
    palette = [
        rgb(c) for c in ("c8742b", "e0a040", "8f4a22", "b5542a", "d8bd55", "6d3f20", "94893a")
    ]
    spots = land.scatter(1300, 1.9, 17, 1.6)
    size = spots[:, 2] * canvas.draws(len(spots), 0.06, 0.12)
    turn = canvas.draws(len(spots), 0, 6.283)
    leaves(canvas, spots[:, :2], turn, size, palette, 0.42)


def tropical_forest(canvas: Canvas) -> float:
    """Dense jungle: palms, fronds, lianas and mist."""
    horizon = 0.62
    light_x = canvas.draw(0.35, 0.65)
    canvas.gradient(
        [(0, rgb("2f6b3a")), (0.45, rgb("b6dba0")), (0.7, rgb("5f9a4c")), (1, rgb("1c3a1a"))]
    )
    canvas.glow((light_x, 0.36), 230, rgb("f2fcd8"), 0.8)
    plants = Foliage(canvas)
    width, height, unit = canvas.width, canvas.height, canvas.unit
    for layer in range(3):
        haze = 0.62 - 0.26 * layer
        dark, lit = mix(rgb("0f2f1a"), rgb("b8dba0"), haze), mix(rgb("3f8a34"), rgb("d3ecb4"), haze)
        for _ in range(6 - layer):
            x = canvas.draw(0, 1) * width
            t = np.linspace(0, 1, 7)
            line = np.stack(
                [x + canvas.draw(-40, 40) * unit * t**2, height * (0.85 - 0.9 * t)], axis=1
            )
            limb(
                canvas,
                line,
                ((10 + 7 * layer) * unit, (6 + 5 * layer) * unit),
                mix(rgb("4d4a30"), rgb("c2d8a6"), haze),
            )
        for _ in range(8):
            side = canvas.draw(-1, 1)
            x = (0.5 + 0.62 * np.sign(side) * abs(side) ** (0.5 - 0.12 * layer)) * width
            high = canvas.draw(0, 1) < 0.5  # noqa: PLR2004  as many above as below
            y = canvas.draw(-0.05, 0.2) if high else canvas.draw(0.55, 0.85)
            at = (x, y * height)
            size = canvas.draw(50, 95) * unit
            plants.crown(at, size * 1.3, size, (dark, lit), 0.8, 0.2)
        for _ in range(5):
            x = canvas.draw(0.0, 1.0) * width
            _palm(
                canvas,
                (x, canvas.draw(0.25, 0.6) * height),
                (70 + 30 * layer) * unit,
                (dark, lit),
                6,
            )
        canvas.soften(2.2 - 0.8 * layer)
    _undergrowth(canvas, plants)
    light_shafts(canvas, light_x, rgb("f3ffd0"), 0.55)
    return horizon


def _palm(
    canvas: Canvas, at: tuple[float, float], size: float, tones: tuple[Colour, Colour], count: int
) -> None:
    for i in range(count):
        way = -np.pi * (0.02 + 0.96 * (i + canvas.draw(0, 0.9)) / count)
        frond(canvas, at, way, size * canvas.draw(0.8, 1.15), tones, 13, 0.55)


def _undergrowth(canvas: Canvas, plants: Foliage) -> None:
    width, height, unit = canvas.width, canvas.height, canvas.unit
    for i in range(9):
        at = (width * (i + canvas.draw(0, 1)) / 9, height * canvas.draw(0.82, 1.0))
        plants.crown(at, 80 * unit, 50 * unit, (rgb("0c2613"), rgb("4f9638")), 0.8, 0.2)
    for share in (0.0, 1.0, canvas.draw(0.05, 0.3), canvas.draw(0.7, 0.95), canvas.draw(0.3, 0.7)):
        tones = (rgb("0d3a1c"), rgb("6fbf45"))
        _palm(canvas, (share * width, height * canvas.draw(0.86, 1.0)), 150 * unit, tones, 7)
    palette = [rgb(c) for c in ("1f6b2c", "2f8a3a", "4da544", "16552a")]
    for side in (0, 1):
        count = 9
        turn = (0.0 if side == 0 else np.pi) + canvas.draws(count, -0.9, 0.9)
        edge = np.full(count, side * width)
        feet = np.stack([edge, canvas.draws(count, -0.05, 1.0) * height], axis=1)
        leaves(canvas, feet, turn, canvas.draws(count, 90, 170) * unit, palette, 0.5)
    t = np.linspace(0, 1, 30)
    for _ in range(4):
        x, span, sag = (
            canvas.draw(0, 0.8) * width,
            canvas.draw(0.12, 0.3) * width,
            canvas.draw(0.15, 0.4),
        )
        line = np.stack([x + span * t, height * (sag * np.sin(np.pi * t) - 0.02)], axis=1)
        limb(canvas, line, (3 * unit, 2.4 * unit), rgb("4a5a2a"))


def branches(canvas: Canvas) -> None:
    """Branches among leaves, the forest behind them out of focus."""
    canvas.gradient([(0, rgb("8fb84e")), (0.5, rgb("6a9a3e")), (1, rgb("38602a"))])
    base = fractal(canvas, (150, 150), 4, 0.6)
    canvas.blend(
        blended(rgb("2c5422"), rgb("d9eb94"), np.clip(0.45 + 0.5 * base, 0, 1)),
        np.full((1, canvas.width), 0.8),
    )
    _bokeh(canvas)
    width, height, unit = canvas.width, canvas.height, canvas.unit
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    for layer, (blur, count, size) in enumerate(((4.0, 4, 24), (1.5, 4, 30), (0.0, 4, 38))):
        tones = [
            mix(rgb(c), rgb("a9c56a"), 0.45 - 0.22 * layer)
            for c in ("3f7a26", "5f9e30", "86bf3f", "2f6424")
        ]
        for i in range(count):
            start = np.array(
                [-0.05 if (i % 2 == 0) == (side > 0) else 1.05, (i + canvas.draw(0.1, 0.9)) / count]
            )
            reach = canvas.draw(0.55, 0.95) * (1 if start[0] < 0 else -1)
            t = np.linspace(0, 1, 16)
            rise = canvas.draw(-0.25, 0.12)
            wave = 0.03 * np.sin(t * canvas.draw(5, 9) + canvas.draw(0, 6))
            spine = np.stack([start[0] + reach * t, start[1] + rise * t**1.3 + wave], axis=1) * [
                width,
                height,
            ]
            bark = mix(rgb("6b4c33"), rgb("94a05c"), 0.4 - 0.2 * layer)
            limb(canvas, spine, ((9 + 5 * layer) * unit, 2 * unit), bark)
            _twigs(canvas, spine, size * unit, tones)
        canvas.soften(blur)
    canvas.glow((canvas.draw(0.2, 0.8), 0.02), 330, rgb("fbffd0"), 0.45)


def _twigs(canvas: Canvas, spine: np.ndarray, size: float, tones: list[Colour]) -> None:
    heading = np.arctan2(*np.gradient(spine, axis=0)[:, ::-1].T)
    for i in range(2, len(spine)):
        way = float(heading[i]) + (0.75 if i % 2 else -0.75) + canvas.draw(-0.25, 0.25)
        t = np.linspace(0, 1, 6)[:, None]
        length = size * canvas.draw(1.4, 2.6)
        twig = (
            spine[i] + t * length * np.array([np.cos(way), np.sin(way)]) + t**2 * [0, 0.25 * length]
        )
        limb(canvas, twig, (size * 0.09, size * 0.04), rgb("5d4a2c"))
        turns = way + np.array([0.7, -0.7, 0.75, -0.75, 0.0]) + canvas.draws(5, -0.3, 0.3)
        leaves(canvas, twig[[2, 2, 4, 4, 5]], turns, size * canvas.draws(5, 0.8, 1.25), tones, 0.46)


def _bokeh(canvas: Canvas) -> None:
    """Gaps between far leaves, out of focus: pale disks."""
    for _ in range(70):
        at = [canvas.draw(0, 1) * canvas.width, canvas.draw(0, 1) ** 1.3 * canvas.height]
        disk = circle(24) * canvas.draw(6, 26) * canvas.unit + at
        canvas.shade([disk], rgb("f4fbc4"), canvas.draw(0.08, 0.4), 1.6 * canvas.unit)
