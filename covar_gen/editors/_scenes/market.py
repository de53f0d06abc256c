"""Painter of a crowded marketplace."""

from __future__ import annotations

from typing import Any

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
from covar_gen.editors._scenes.plants import Points
from covar_gen.editors._scenes.sky import clouds, sky

_AWNINGS = tuple(rgb(c) for c in ("d8433b", "2f7fb5", "3f9a5f", "e59a2f", "8a4fa3", "d96a8f"))
_CLOTHES = tuple(
    rgb(c) for c in ("b5483c", "3f5f8a", "e0c068", "4f7a5a", "ece4d6", "7a4f7f", "2f3a4a", "d98a4a")
)
_SKIN = tuple(rgb(c) for c in ("f0c9a4", "d9a074", "a8714a", "6f452c"))
_GOODS = tuple(rgb(c) for c in ("e2402f", "f39a2b", "f4d03f", "6fb03f", "8c3f6f", "c9742e"))
_HOUSES = tuple(rgb(c) for c in ("d9b48a", "c98f6c", "e2cba0", "b7a58c", "cfa59a"))
_HAZE = rgb("f2e2c6")


def market(canvas: Canvas) -> float:
    """A street of stalls with striped awnings and heaps of fruit, full of people."""
    horizon = canvas.draw(0.4, 0.44)
    sky(canvas, [rgb("7fb6dd"), rgb("cfe3ea"), rgb("f8e8cc")], horizon)
    clouds(canvas, horizon, 0.3)
    street = Ground(canvas, horizon, eye=1.75, far=120, middle=canvas.draw(0.45, 0.55))
    row = np.floor(street.z / 0.32)
    joint_z = np.abs(np.mod(street.z / 0.32, 1) - 0.5)
    joint_x = np.abs(np.mod(street.x / 0.42 + 0.5 * np.mod(row, 2), 1) - 0.5)
    stone = blended(rgb("8d7a66"), rgb("d8c4a4"), 0.5 + 0.4 * street.noise(0.6, 5, 0.8))
    gap = np.maximum(
        smoothstep(0.44, 0.49, joint_z), smoothstep(0.45, 0.49, joint_x)
    ) * street.fade(0.3)
    brighten(stone, 1 - 0.32 * gap)
    brighten(stone, 1 - 0.35 * smoothstep(1.5, 3.0, np.abs(street.x)))
    street.render(np.zeros_like(street.x), street.hazed(stone, _HAZE, 60))
    for z in np.geomspace(60, 5.5, 9):
        for side in (-1, 1):
            _house(canvas, street, side, float(z))
    canvas.soften(0.8, slice(0, int(canvas.height * (horizon + 0.02))))
    depths = np.geomspace(34, 3.6, 9)
    for i, z in enumerate(depths):
        _crowd(canvas, street, float(z) * 1.12, 7 if i < 6 else 4)  # noqa: PLR2004
        for side in (-1, 1):
            _stall(canvas, street, side, float(z), (i + side) % 6)
        if i in (3, 6):
            canvas.soften(1.0 if i == 3 else 0.5)  # noqa: PLR2004
    _lanterns(canvas, street)
    canvas.glow((0.5, horizon - 0.05), 260, rgb("ffeec4"), 0.3)
    return horizon


def _box(street: Ground, x: tuple[float, float], y: tuple[float, float], z: float) -> Points:
    low, high = y
    return street.project(
        np.array([(x[0], low, z), (x[1], low, z), (x[1], high, z), (x[0], high, z)])
    )


def _house(canvas: Canvas, street: Ground, side: int, z: float) -> None:
    haze = min(z / 75, 0.75)
    wall = mix(canvas.pick(_HOUSES), _HAZE, haze)
    near, far, tall = z, z * 1.36, canvas.draw(5.5, 8.5)
    x = side * 4.9
    face = np.array([(x, 0, near), (x, 0, far), (x, tall, far), (x, tall, near)])
    end = _box(street, (x, x + side * 9), (0, tall), near)
    canvas.shapes(
        [end, street.project(face)],
        [mix(wall, (0.3, 0.2, 0.2), 0.15), mix(wall, (0.3, 0.2, 0.15), 0.3)],
    )
    shapes, tones = [], []
    for i in range(3):
        at = near + (far - near) * (i + 0.5) / 3
        wide = (far - near) * 0.09
        for low in (3.2, 5.2):
            if low + 1.5 < tall:
                pane = [
                    (x, low, at - wide),
                    (x, low, at + wide),
                    (x, low + 1.2, at + wide),
                    (x, low + 1.2, at - wide),
                ]
                shapes.append(street.project(np.array(pane)))
                tones.append(mix(rgb("4a4038"), _HAZE, haze))
    canvas.shapes(shapes, tones)


def _person(canvas: Canvas, at: tuple[float, float], tall: float, haze: float) -> None:
    """A figure seen from behind, about seven heads tall."""
    sway = canvas.draw(-0.04, 0.04)
    coat, legs = canvas.pick(_CLOTHES), mix(canvas.pick(_CLOTHES), (0.1, 0.1, 0.15), 0.5)
    skin, hair = canvas.pick(_SKIN), mix(rgb("2a1c14"), rgb("8a6a44"), canvas.draw(0, 1))
    disk = circle(14)
    stride = canvas.draw(0.02, 0.07)
    body = [
        (-0.13, 0.8),
        (-0.05, 0.845),
        (0.05, 0.845),
        (0.13, 0.8),
        (0.15, 0.6),
        (0.11, 0.42),
        (-0.11, 0.42),
        (-0.15, 0.6),
    ]
    parts: list[tuple[Any, Colour]] = [
        ([(-0.1, 0.46), (0, 0.46), (-stride, 0), (-stride - 0.07, 0)], legs),
        ([(0, 0.46), (0.1, 0.46), (stride + 0.07, 0), (stride, 0)], mix(legs, (0, 0, 0), 0.2)),
        (
            [(-0.13, 0.79), (-0.16, 0.76), (-0.19, 0.5), (-0.14, 0.45), (-0.11, 0.6)],
            mix(coat, (0, 0, 0), 0.15),
        ),
        (
            [(0.13, 0.79), (0.16, 0.76), (0.19, 0.5), (0.14, 0.45), (0.11, 0.6)],
            mix(coat, (0, 0, 0), 0.35),
        ),
        (body, coat),
        (
            [(0.02, 0.84), (0.13, 0.8), (0.15, 0.6), (0.11, 0.42), (0.03, 0.42)],
            mix(coat, (0, 0, 0), 0.18),
        ),
        ([(-0.03, 0.9), (0.03, 0.9), (0.035, 0.83), (-0.035, 0.83)], mix(skin, (0, 0, 0), 0.2)),
        (disk * [0.058, 0.072] + [sway, 0.925], skin),
        (disk * [0.06, 0.066] + [sway, 0.94], hair),
    ]
    if canvas.draw(0, 1) < 0.3:  # noqa: PLR2004
        brim = disk * [0.12, 0.022] + [sway, 0.965]
        crown = [
            (sway - 0.06, 0.965),
            (sway + 0.06, 0.965),
            (sway + 0.05, 1.02),
            (sway - 0.05, 1.02),
        ]
        straw = rgb("d9b86a")
        parts += [(crown, straw), (brim, mix(straw, (0, 0, 0), 0.12))]
    flip = np.array([tall, -tall])
    canvas.shapes(
        [np.asarray(shape) * flip + at for shape, _ in parts],
        [mix(tone, _HAZE, haze) for _, tone in parts],
    )


def _crowd(canvas: Canvas, street: Ground, z: float, count: int) -> None:
    for i in range(count):
        depth = z * canvas.draw(0.94, 1.06)
        share = (i + canvas.draw(0.1, 0.9)) / count * 2 - 1
        x = share * 1.9
        # The nearest stay at the sides, so that the crowd frames what is placed before it.
        if z < 6:  # noqa: PLR2004
            x = np.sign(share) * canvas.draw(1.1, 2.0)
        column, row, scale = street.spot(float(x), depth)
        shadow = np.stack(
            [np.cos(np.linspace(0, 6, 14)) * 0.34, np.sin(np.linspace(0, 6, 14)) * 0.07], axis=1
        )
        canvas.shapes(
            [shadow * scale + [column, row]], [mix(rgb("6f5c4c"), _HAZE, min(z / 60, 0.7))]
        )
        _person(canvas, (column, row), canvas.draw(1.5, 1.8) * scale, min(z / 55, 0.65))


def _stall(canvas: Canvas, street: Ground, side: int, z: float, kind: int) -> None:
    haze = min(z / 60, 0.7)
    near, far = z, z * 1.2
    inner, outer = side * 2.1, side * 4.2
    wood = mix(rgb("8a5f3c"), _HAZE, haze)
    dark = mix(rgb("3f2c22"), _HAZE, haze)
    back = inner + side * 0.95
    table = [(inner, 0.72, near), (back, 1.2, near), (back, 1.2, far), (inner, 0.72, far)]
    flank = [(inner, 0, near), (inner, 0, far), (inner, 0.74, far), (inner, 0.74, near)]
    front = [
        (inner, 0, near),
        (outer, 0, near),
        (outer, 1.2, near),
        (back, 1.2, near),
        (inner, 0.74, near),
    ]
    canvas.shapes(
        [
            _box(street, (inner, outer), (0.9, 2.3), far),
            street.project(np.array(flank)),
            street.project(np.array(front)),
            street.project(np.array(table)),
        ],
        [mix(wood, dark, 0.5), mix(wood, (0, 0, 0), 0.3), wood, mix(wood, (1, 1, 1), 0.15)],
    )
    _goods(canvas, street, side, (near, far), haze)
    for at in (far, near):
        for x in (inner, outer):
            canvas.shapes([_box(street, (x - 0.035, x + 0.035), (0, 2.5), at)], [dark])
    first, second = _AWNINGS[kind], rgb("f6efe0")
    stripes = 8
    shapes, tones = [], []
    for i in range(stripes):
        a, b = (
            outer + (inner - side * 0.35 - outer) * share
            for share in (i / stripes, (i + 1) / stripes)
        )
        tone = mix(first if i % 2 else second, _HAZE, haze)
        cloth = [(a, 2.45, near * 0.97), (b, 2.45, near * 0.97), (b, 2.95, far), (a, 2.95, far)]
        middle = (a + b) / 2
        flap = [
            (a, 2.46, near * 0.97),
            (b, 2.46, near * 0.97),
            (b, 2.26, near * 0.97),
            (middle, 2.18, near * 0.97),
            (a, 2.26, near * 0.97),
        ]
        shapes += [street.project(np.array(cloth)), street.project(np.array(flap))]
        tones += [mix(tone, (0, 0, 0), 0.08), tone]
    canvas.shapes(shapes, tones)


def _goods(canvas: Canvas, street: Ground, side: int, z: tuple[float, float], haze: float) -> None:
    disk = circle(10)
    shapes: list[Points] = []
    tones: list[Colour] = []
    for heap in range(3):
        fruit = canvas.pick(_GOODS)
        for line in range(5):
            for i in range(6):
                x = side * (2.17 + 0.13 * line)
                at = z[0] + (z[1] - z[0]) * (0.05 + 0.32 * heap + 0.048 * (6 - i))
                centre = street.project(np.array([(x, 0.84 + 0.085 * line, at)]))[0]
                size = 0.075 * street.focal / at
                light = canvas.draw(-0.12, 0.12)
                tone = mix(
                    mix(fruit, (1, 1, 1) if light > 0 else (0, 0, 0), abs(light)), _HAZE, haze
                )
                shapes += [disk * size + centre, disk * size * 0.4 + centre - 0.3 * size]
                tones += [mix(tone, (0.2, 0.05, 0), 0.18), mix(tone, (1, 1, 1), 0.25)]
    canvas.shapes(shapes, tones)


def _lanterns(canvas: Canvas, street: Ground) -> None:
    """Strings of pennants across the street."""
    for z in (16.0, 9.5, 6.0):
        haze = min(z / 50, 0.6)
        t = np.linspace(0, 1, 15)
        x = -4.6 + 9.2 * t
        y = 4.1 - 0.8 * np.sin(np.pi * t)
        line = street.project(np.stack([x, y, np.full_like(t, z)], axis=1))
        scale = street.focal / z
        canvas.shapes(
            [np.concatenate([line, line[::-1] + np.array([0, 0.03 * scale])])],
            [mix(rgb("6a5444"), _HAZE, haze)],
        )
        shapes, tones = [], []
        for i, point in enumerate(line[1:-1].tolist()):
            flag = np.array([[-0.16, 0], [0.16, 0], [0, 0.42]]) * scale + point
            shapes.append(flag)
            tones.append(mix(_AWNINGS[i % 6], _HAZE, haze))
        canvas.shapes(shapes, tones)
