"""Painter of a city by night."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import (
    Canvas,
    Colour,
    blended,
    blurred,
    circle,
    mix,
    rgb,
    smoothstep,
)
from covar_gen.editors._scenes.ground import Ground

_LAMPS = tuple(rgb(c) for c in ("ffd27a", "ffe9b8", "ffb85c", "cfe4ff", "fff4dc"))
_NEON = tuple(rgb(c) for c in ("ff3d7f", "39d5ff", "ffb02e", "8d6bff", "3dffb0"))


def night_city(canvas: Canvas) -> float:
    """A skyline of lit windows, mirrored in the water before a promenade."""
    shore = canvas.draw(0.56, 0.6)
    canvas.gradient(
        [
            (0, rgb("070b24")),
            (shore * 0.5, rgb("262c66")),
            (shore, rgb("b0617c")),
            (1, rgb("0a0d22")),
        ]
    )
    _stars(canvas, shore)
    canvas.glow((canvas.draw(0.2, 0.8), shore), 330, rgb("ff9d5c"), 0.5)
    for layer, (haze, tall, wide) in enumerate(
        ((0.55, 0.42, 34), (0.26, 0.46, 46), (0.0, 0.3, 60))
    ):
        x = -canvas.draw(0, 40) * canvas.unit
        while x < canvas.width:
            across = canvas.draw(0.7, 1.5) * wide * canvas.unit
            reach = tall * canvas.draw(0.35, 1.0) ** 1.2
            _tower(canvas, (x, x + across), (shore - reach, shore), haze, layer)
            x += across + canvas.draw(-4, 12) * canvas.unit
        canvas.soften(0.9 - 0.4 * layer, slice(0, int(shore * canvas.height)))
    _embankment(canvas, shore)
    glare = np.maximum(canvas.pixels - 0.55, 0)
    canvas.pixels += blurred(glare, 7 * canvas.unit) * 1.5
    _reflection(canvas, shore)
    return shore


def _stars(canvas: Canvas, shore: float) -> None:
    spots = canvas.draws(3 * 110, 0, 1).reshape(110, 3)
    disk = circle(6)
    disks = [
        disk * (0.35 + 0.5 * s[2]) * canvas.unit
        + [s[0] * canvas.width, s[1] * shore * 0.6 * canvas.height]
        for s in spots
    ]
    canvas.blend((1, 1, 1), canvas.coverage(disks) * 0.65)


def _tower(
    canvas: Canvas, x: tuple[float, float], y: tuple[float, float], haze: float, layer: int
) -> None:
    """One building: a dark body, rows of windows of which some are lit, a neon edge or a mast."""
    left, right = x
    top, foot = y[0] * canvas.height, y[1] * canvas.height
    body = mix(mix(rgb("12142c"), rgb("1f2744"), canvas.draw(0, 1)), rgb("5d4472"), haze)
    unit = canvas.unit
    shapes = [np.array([[left, top], [right, top], [right, foot], [left, foot]])]
    tones: list[Colour] = [body]
    step = 0.3 * (right - left)
    if canvas.draw(0, 1) < 0.4:  # noqa: PLR2004
        high = top - canvas.draw(8, 26) * unit
        shapes.append(
            np.array(
                [[left + step, high], [right - step, high], [right - step, top], [left + step, top]]
            )
        )
        tones.append(mix(body, (0, 0, 0), 0.15))
    side = left + 0.72 * (right - left)
    shapes.append(np.array([[side, top], [right, top], [right, foot], [side, foot]]))
    tones.append(mix(body, (0, 0, 0), 0.35))
    across = max(int((right - left) / ((5.5 + 1.6 * layer) * unit)), 2)
    down = max(int((foot - top) / ((7.5 + 2.0 * layer) * unit)), 2)
    cell_x, cell_y = (right - left) / across, (foot - top) / down
    lit = canvas.draws(across * down, 0, 1).reshape(down, across) < canvas.draw(0.28, 0.62)
    warm = canvas.pick(_LAMPS)
    power = canvas.draws(across * down, 0.45, 1.0).reshape(down, across) * (1 - haze * 0.55)
    for i, j in np.argwhere(lit).tolist():
        a, b = left + (j + 0.2) * cell_x, left + (j + 0.8) * cell_x
        c, d = top + (i + 0.28) * cell_y, top + (i + 0.78) * cell_y
        shapes.append(np.array([[a, c], [b, c], [b, d], [a, d]]))
        tones.append(mix(body, warm, float(power[i, j])))
    if canvas.draw(0, 1) < 0.3:  # noqa: PLR2004
        neon, wide = canvas.pick(_NEON), max(1.3 * unit, 1)
        shapes.append(
            np.array([[left, top], [right, top], [right, top + wide], [left, top + wide]])
        )
        tones.append(mix(body, neon, 0.9 - haze))
        if layer:
            sign = np.array([[0.1, 0.05], [0.24, 0.05], [0.24, 0.3], [0.1, 0.3]])
            shapes.append(sign * [right - left, (foot - top)] + [left, top])
            tones.append(neon)
    canvas.shapes(shapes, tones)


def _embankment(canvas: Canvas, shore: float) -> None:
    """A wall along the water with a string of lamps."""
    line, unit, wide = shore * canvas.height, canvas.unit, canvas.width
    wall = np.array(
        [[0, line - 7 * unit], [wide, line - 7 * unit], [wide, line + 2], [0, line + 2]]
    )
    canvas.shapes([wall], [rgb("14152a")])
    disk = circle(12)
    start = canvas.draw(0, 34) * unit
    shapes, tones = [], []
    for x in np.arange(start, wide, 34 * unit):
        pole = np.array(
            [
                [x - 0.7 * unit, line - 22 * unit],
                [x + 0.7 * unit, line - 22 * unit],
                [x + 0.7 * unit, line],
                [x - 0.7 * unit, line],
            ]
        )
        shapes += [pole, disk * 3 * unit + [x, line - 23 * unit]]
        tones += [rgb("23243c"), rgb("fff0c4")]
    canvas.shapes(shapes, tones)


def _reflection(canvas: Canvas, shore: float) -> None:
    """The skyline in the water: drawn out downwards, broken up by ripples."""
    import cv2

    top = int(shore * canvas.height) + 1
    rows = canvas.height - top
    pond = Ground(canvas, shore, eye=2.5, far=150)
    below = np.arange(rows, dtype=np.float32)[:, None] + np.zeros((1, canvas.width), np.float32)
    ripple = cv2.resize(pond.noise(0.7, 4, 0.75, 3)[::-1], (canvas.width, rows))
    strength = (3 + 0.1 * below) * canvas.unit
    y = np.clip(top - 1 - below * 0.9 + ripple * strength * 2.2, 0, top - 1).astype(np.float32)
    x = (np.arange(canvas.width, dtype=np.float32)[None] + ripple * strength).astype(np.float32)
    mirror = cv2.remap(canvas.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    mirror = cv2.GaussianBlur(
        mirror, (0, 0), sigmaX=1.0 * canvas.unit + 0.1, sigmaY=7 * canvas.unit
    )
    depth = below / max(rows, 1)
    water = mirror * (1.2 - 0.35 * depth[..., None])
    water = blended(water, rgb("0a1030"), np.clip(0.08 + 0.35 * depth, 0, 1))
    crest = smoothstep(0.35, 1.0, ripple) * 0.22
    canvas.pixels[top:] = blended(water, mirror * 1.5, crest)
