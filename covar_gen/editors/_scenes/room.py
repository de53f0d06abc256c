"""Painter of a cozy living room."""

from __future__ import annotations

from typing import Any

import numpy as np

from covar_gen.editors._scenes.canvas import (
    Canvas,
    Colour,
    blended,
    brighten,
    mix,
    rgb,
    smoothstep,
)
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.noise import fractal
from covar_gen.editors._scenes.plants import Points, leaves

_WALLS = tuple(rgb(c) for c in ("d9b998", "c9b79c", "b5bda8", "d4b0a0"))
_SOFAS = tuple(rgb(c) for c in ("4f7f80", "a3563c", "5d6c93", "7d7a4a", "8c5a6c"))


def box(left: float, top: float, right: float, bottom: float, corner: float) -> Points:
    """A rectangle with round corners: (N, 2), the same unit as its sides."""
    corner = min(corner, (right - left) / 2, (bottom - top) / 2)
    turn = np.linspace(0, np.pi / 2, 6)
    parts = []
    for x, y, start in (
        (right - corner, bottom - corner, 0),
        (left + corner, bottom - corner, 1),
        (left + corner, top + corner, 2),
        (right - corner, top + corner, 3),
    ):
        angle = turn + start * np.pi / 2
        parts.append(np.stack([x + corner * np.cos(angle), y + corner * np.sin(angle)], axis=1))
    return np.concatenate(parts)


class _Room:
    """Furniture is measured in units of which about 680 are the wall's height."""

    def __init__(self, canvas: Canvas, wall: float) -> None:
        self.canvas = canvas
        self.foot = wall * canvas.height
        self.scale = min(self.foot / 680, canvas.width / 950)

    def place(self, x: float, points: Any) -> Points:
        """Points relative to (fraction x of the width, the wall's foot), up is negative."""
        return np.asarray(points, np.float64) * self.scale + [x * self.canvas.width, self.foot]

    def padded(self, shape: Points, colour: Colour, depth: float = 26) -> None:
        """Fill a shape so that it looks stuffed: light above, dark towards its edges."""
        canvas = self.canvas
        canvas.shapes([shape], [mix(colour, (0, 0, 0), 0.3)])
        middle = shape.mean(axis=0)
        reach = np.abs(shape - middle).max(axis=0)
        for i in range(1, 9):
            share = 1 - np.minimum(i * depth * 0.1 * self.scale / reach, 0.85)
            lift = [0, -0.25 * i * self.scale]
            tone = mix(mix(colour, (0, 0, 0), 0.3 * (1 - i / 8)), (1, 1, 1), 0.1 * i / 8)
            canvas.shapes([(shape - middle) * share + middle + lift], [tone])

    def shadow(self, shape: Points, blur: float, power: float) -> None:
        """Darken softly what lies under a shape."""
        self.canvas.shade([shape], (0.12, 0.07, 0.05), power, blur * self.scale)


def living_room(canvas: Canvas) -> float:
    """A sofa with cushions, a window, a lit lamp, a picture, a plant and a rug."""
    wall = canvas.draw(0.56, 0.6)
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    colour = canvas.pick(_WALLS)
    canvas.gradient([(0, mix(colour, (1, 1, 1), 0.08)), (1, mix(colour, (0.35, 0.2, 0.12), 0.35))])
    brighten(canvas.pixels, 1 + 0.02 * fractal(canvas, (20, 20), 3))
    room = _Room(canvas, wall)
    _floor(canvas, wall, side)
    skirting = [
        [0, room.foot - 22 * room.scale],
        [canvas.width, room.foot - 22 * room.scale],
        [canvas.width, room.foot + 1],
        [0, room.foot + 1],
    ]
    canvas.shapes([np.array(skirting)], [rgb("f0e6d8")])
    _window(room, 0.5 + 0.3 * side)
    _pictures(room, 0.5 - 0.2 * side)
    _lamp(room, 0.5 - 0.42 * side)
    _sofa(room, 0.5 - 0.16 * side, canvas.pick(_SOFAS))
    _plant(room, 0.5 + 0.43 * side)
    canvas.glow((0.5 - 0.44 * side, wall - 0.3), 200, rgb("ffc878"), 0.5)
    canvas.glow((0.5 + 0.3 * side, wall - 0.3), 330, rgb("fff3dc"), 0.28)
    return wall


def _floor(canvas: Canvas, wall: float, side: int) -> None:
    floor = Ground(canvas, wall - 0.2, eye=1.5, far=12)
    plank = np.floor(floor.x / 0.16)
    tone = np.mod(np.sin(plank * 12.9898) * 43758.5453, 1)
    seam = np.abs(np.mod(floor.x / 0.16, 1) - 0.5)
    along = np.mod(floor.z / 1.3 + tone * 7, 1)
    wood = blended(
        rgb("7a4d2c"), rgb("b98250"), 0.25 + 0.5 * tone + 0.22 * floor.noise(0.1, 3, 0.8, 0.2)
    )
    brighten(
        wood, 1 - 0.35 * smoothstep(0.46, 0.495, seam) - 0.25 * smoothstep(0.985, 0.997, along)
    )
    light = np.exp(-(((floor.x - 0.9 * side) / 0.8) ** 2) - ((floor.z - 3.2) / 1.1) ** 2)
    wood = blended(wood, rgb("ffe2b0"), light * 0.45)
    middle = np.sqrt(((floor.x + 0.25 * side) / 1.35) ** 2 + ((floor.z - 2.75) / 0.85) ** 2)
    angle = np.arctan2(floor.z - 2.75, floor.x + 0.25 * side)
    petal = 0.5 + 0.5 * np.cos(10 * angle)
    wool = blended(rgb("e9d9bd"), rgb("d8b48a"), smoothstep(0.5, 0.56, middle + 0.12 * petal))
    wool = blended(wool, rgb("b4553f"), smoothstep(0.74, 0.76, middle))
    wool = blended(wool, rgb("f0e2c8"), smoothstep(0.83, 0.84, middle))
    wool = blended(wool, rgb("3f5f6c"), smoothstep(0.88, 0.9, middle))
    brighten(wool, 0.95 + 0.12 * floor.noise(0.05, 2, 0.9))
    wood = blended(wood, (0.2, 0.1, 0.06), 0.5 * smoothstep(1.12, 0.98, middle))
    wood = blended(wood, wool, smoothstep(1.0, 0.985, middle))
    rows = slice(int(wall * canvas.height), None)
    kept = canvas.pixels[: rows.start].copy()
    floor.render(np.zeros_like(floor.x), wood)
    canvas.pixels[: rows.start] = kept


def _window(room: _Room, x: float) -> None:
    canvas = room.canvas
    frame = room.place(x, box(-150, -620, 150, -190, 4))
    room.shadow(frame + 6 * room.scale, 10, 0.35)
    pane = room.place(x, box(-134, -604, 134, -206, 2))
    canvas.shapes([frame], [rgb("f5efe4")])
    cover = canvas.coverage([pane])
    rows = canvas.rows() * canvas.height
    high = smoothstep(float(pane[:, 1].max()), float(pane[:, 1].min()), rows)
    view = blended(rgb("d8ecd0"), rgb("7db8e8"), high * np.ones((1, canvas.width), np.float32))
    trees = smoothstep(-0.1, 0.35, fractal(canvas, (40, 50), 4, 0.6) + 0.9 - 2.2 * high)
    view = blended(view, rgb("86ad62"), trees)
    canvas.blend(view, cover)
    bars = [box(-6, -604, 6, -206, 0.1), box(-134, -412, 134, -402, 0.1)]
    canvas.shapes([room.place(x, bar) for bar in bars], [rgb("f5efe4")] * 2)
    sill = room.place(x, box(-168, -196, 168, -178, 4))
    room.shadow(sill + 5 * room.scale, 6, 0.4)
    canvas.shapes([sill], [rgb("efe6d6")])
    for way in (-1, 1):
        for i in range(7):
            near = way * (118 + 12 * i)
            fold = np.array(
                [
                    [near, -648],
                    [near + way * 13, -648],
                    [near + way * 15, -40],
                    [near - way * (16 - 2 * i), -40],
                ]
            )
            tone = mix(rgb("b98d6a"), rgb("f2dfc4"), 0.5 + 0.5 * np.sin(i * 1.9 + way))
            canvas.shapes([room.place(x, fold)], [tone])
    canvas.shapes([room.place(x, box(-225, -660, 225, -646, 7))], [rgb("5a4030")])


def _pictures(room: _Room, x: float) -> None:
    canvas = room.canvas
    art = (("e8b04a", "c8583c"), ("6f9aa8", "e9d8b0"), ("8a9a5b", "f0e2c8"))
    for left, top, wide, tall in ((-150, -640, 120, 160), (-8, -625, 90, 90), (-8, -515, 90, 60)):
        frame = room.place(x, box(left, top, left + wide, top + tall, 2))
        room.shadow(frame + 5 * room.scale, 7, 0.4)
        paper = room.place(x, box(left + 7, top + 7, left + wide - 7, top + tall - 7, 1))
        low, high = art[int(canvas.draw(0, 3))]
        hills = box(left + 18, top + tall * 0.55, left + wide - 18, top + tall - 16, 1)
        sun = box(
            left + wide * 0.5,
            top + tall * 0.2,
            left + wide * 0.72,
            top + tall * 0.2 + wide * 0.22,
            99,
        )
        parts = [frame, paper, room.place(x, hills), room.place(x, sun)]
        canvas.shapes(parts, [rgb("4a3526"), rgb("f4ecdc"), rgb(low), rgb(high)])


def _lamp(room: _Room, x: float) -> None:
    canvas = room.canvas
    base = room.place(x, box(-40, 34, 40, 48, 7))
    room.shadow(base, 14, 0.5)
    stem = room.place(x, box(-4, -380, 4, 40, 1))
    canvas.shapes([base, stem], [rgb("3a2a22"), rgb("4a382c")])
    for i in range(16):
        a, b = -1 + 2 * i / 16, -1 + 2 * (i + 1.1) / 16
        part = [[a * 52, -520], [b * 52, -520], [b * 88, -375], [a * 88, -375]]
        canvas.shapes(
            [room.place(x, part)], [mix(rgb("fff0c8"), rgb("e9a95c"), abs(a + 0.06) ** 1.5)]
        )


def _sofa(room: _Room, x: float, colour: Colour) -> None:
    canvas = room.canvas
    dark = mix(colour, (0.1, 0.06, 0.05), 0.25)
    room.shadow(room.place(x, box(-285, 60, 285, 128, 20)), 20, 0.75)
    for leg in (-240, 228):
        canvas.shapes([room.place(x, box(leg, 70, leg + 14, 118, 3))], [rgb("4a2f1e")])
    for left in (-235, 0):
        room.padded(room.place(x, box(left, -205, left + 235, 30, 34)), colour)
    room.padded(room.place(x, box(-262, 18, 262, 92, 16)), dark)
    for left in (-235, 0):
        room.padded(
            room.place(x, box(left + 2, -30, left + 233, 42, 22)), mix(colour, (1, 1, 1), 0.08)
        )
    for left in (-292, 226):
        room.padded(room.place(x, box(left, -95, left + 66, 92, 30)), mix(colour, (1, 1, 1), 0.03))
    cushions = ("e2b34c", "efe3cf", "c96a4a", "7f9a8c")
    for left, turn in ((-215, 0.16), (-128, -0.1), (128, 0.12)):
        square = box(-58, -58, 58, 58, 20)
        cos, sin = np.cos(turn), np.sin(turn)
        square = square @ np.array([[cos, sin], [-sin, cos]]) + [left + 50, -72]
        tone = rgb(cushions[int(canvas.draw(0, 4))])
        room.shadow(room.place(x, square) + 5 * room.scale, 8, 0.3)
        room.padded(room.place(x, square), tone, 34)


def _plant(room: _Room, x: float) -> None:
    canvas = room.canvas
    room.shadow(room.place(x, box(-60, 52, 60, 84, 14)), 14, 0.6)
    count = 26
    way = -np.pi / 2 + canvas.draws(count, -1.25, 1.25)
    foot = room.place(x, [[0.0, -40.0]])[0]
    size = canvas.draws(count, 120, 250) * room.scale
    at = np.stack([foot[0] + np.cos(way) * size * 0.3, foot[1] + np.sin(way) * size * 0.45], axis=1)
    leaves(canvas, at, way, size * 0.8, [rgb("2f6b3c"), rgb("4d8f4a"), rgb("78ab58")], 0.34)
    for i in range(14):
        a, b = -1 + 2 * i / 14, -1 + 2 * (i + 1.1) / 14
        part = [[a * 58, -50], [b * 58, -50], [b * 42, 74], [a * 42, 74]]
        canvas.shapes(
            [room.place(x, part)], [mix(rgb("d98f66"), rgb("7d4630"), abs(a + 0.35) * 0.75)]
        )
