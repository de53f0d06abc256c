"""Painter of a farmyard."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, blended, brighten, circle, mix, rgb, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.plants import Foliage, Points, blades, limb
from covar_gen.editors._scenes.sky import clouds, ridge, sky


def farmyard(canvas: Canvas) -> float:
    """A red barn with a silo, a fence, hay bales and a yard of trodden earth and straw."""
    horizon = canvas.draw(0.44, 0.48)
    sky(canvas, [rgb("6aa9dc"), rgb("b7d8ea"), rgb("f5ead0")], horizon)
    clouds(canvas, horizon, 0.34)
    ridge(canvas, horizon + 0.005, 0.05, (rgb("6f9465"), rgb("a9c08a")), 180, 0.34)
    land = Ground(canvas, horizon, eye=1.7, far=200)
    yard = smoothstep(-0.5, 0.4, land.noise(7, 4) + (11 - land.z) * 0.11)
    grass = blended(rgb("4a6f2a"), rgb("a1b854"), 0.5 + 0.42 * land.noise(1.0, 5, 0.8))
    earth = blended(rgb("7a5a3c"), rgb("c2a077"), 0.5 + 0.42 * land.noise(0.9, 6, 0.7))
    rut = smoothstep(0.35, 0.0, np.abs(np.abs(land.x + 0.12 * land.z - 0.4) - 0.8))
    earth = blended(earth, rgb("5f452e"), rut * 0.45)
    tone = blended(grass, earth, yard)
    height = 0.04 * land.noise(0.8, 4) - 0.03 * rut
    brighten(tone, 0.75 + 0.3 * land.light(height, (-0.6, 0.7, 0.3)))
    land.render(height, land.hazed(tone, rgb("dfe0c4"), 150))
    plants = Foliage(canvas)
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    for i in range(7):
        x = (-0.55 + 0.19 * i + canvas.draw(-0.05, 0.05)) * 46
        foot = land.spot(x, 44)
        greens = (rgb("3b5c30"), rgb("8fae58"))
        plants.tree(foot[:2], canvas.draw(4.5, 7.5) * foot[2], greens, rgb("5a4632"))
    _barn(canvas, land, side * canvas.draw(5.2, 6.6), 20)
    _fence(canvas, land, side)
    for x, z in ((-side * 5.2, 13.5), (-side * 3.7, 12.4), (side * 3.6, 12.8)):
        _bale(canvas, land, x + canvas.draw(-0.3, 0.3), z)
    spots = land.scatter(900, 1.9, 16, 1.8)
    length = spots[:, 2] * canvas.draws(len(spots), 0.04, 0.13)
    blades(canvas, spots[:, :2], length, (rgb("94743a"), rgb("f2d98c")), 1.6, 0.05)
    return horizon


def _silo(canvas: Canvas, land: Ground, x: float, z: float) -> None:
    """A steel cylinder with a dome, shaded in upright strips."""
    for i in range(14):
        low, high = -1.1 + 2.2 * i / 14, -1.1 + 2.2 * (i + 1.2) / 14
        tone = mix(rgb("d6d9d8"), rgb("6f7a80"), abs(i / 13 - 0.3) * 1.3)
        left, right = (
            6.6 + 0.95 * np.sqrt(max(1 - (edge / 1.1) ** 2, 0)) for edge in (low, min(high, 1.1))
        )
        wall = [(x + low, 0, z), (x + high, 0, z), (x + high, right, z), (x + low, left, z)]
        canvas.shapes([land.project(np.array(wall))], [tone])


def _barn(canvas: Canvas, land: Ground, x: float, z: float) -> None:
    """A red gable with white trim, a silo beside it."""

    def place(points: list[tuple[float, float]]) -> Points:
        return land.project(np.array([(x + a, b, z) for a, b in points]))

    red, white = rgb("a3352b"), rgb("efe7da")
    _silo(canvas, land, x + (4.6 if x < 0 else -4.6), z)
    gable = [(3.4, 3.6), (2.4, 5.4), (0, 6.6), (-2.4, 5.4), (-3.4, 3.6)]
    canvas.shapes([place([(-3.4, 0), (3.4, 0), *gable])], [red])
    for i in range(24):
        a = -3.4 + 6.8 * i / 24
        top = float(np.interp(abs(a + 0.14), [0, 2.4, 3.4], [6.6, 5.4, 3.6]))
        shade = canvas.draw(0.8, 1.12) * (1.04 - 0.16 * i / 24)
        board = [(a, 0), (a + 0.25, 0), (a + 0.25, top), (a, top)]
        canvas.shapes([place(board)], [(red[0] * shade, red[1] * shade, red[2] * shade)])
    outer = [(-3.8, 3.3), (-2.6, 5.5), (0, 6.95), (2.6, 5.5), (3.8, 3.3)]
    inner = [(3.5, 3.3), (2.4, 5.3), (0, 6.55), (-2.4, 5.3), (-3.5, 3.3)]
    canvas.shapes([place(outer + inner)], [rgb("5b5552")])
    # The door and the hay loft: a white frame each.
    for low, wide, tall, fill in ((0, 1.5, 2.9, "8b2a22"), (4.1, 0.55, 1.1, "3a201a")):
        frame = [(-wide, low), (wide, low), (wide, low + tall), (-wide, low + tall)]
        side, high, foot = wide - 0.14, low + tall - 0.14, low + 0.14 * (low > 0)
        hole = [(-side, foot), (side, foot), (side, high), (-side, high)]
        canvas.shapes([place(frame), place(hole)], [white, rgb(fill)])
    for way in (-1.4, 1.4):
        beam = [(way - 0.09, 0.1), (way + 0.09, 0.1), (0.09 - way, 2.8), (-0.09 - way, 2.8)]
        canvas.shapes([place(beam)], [white])
    near = z - 2.4
    shadow = [(x - 3.6, 0, z), (x + 3.6, 0, z), (x + 4.2, 0, near), (x - 2.6, 0, near)]
    canvas.shade([land.project(np.array(shadow))], (0.2, 0.16, 0.12), 0.35, 2 * canvas.unit)


def _fence(canvas: Canvas, land: Ground, side: int) -> None:
    wood = rgb("a58a68")
    posts = [(-side * (1.4 + 0.95 * i), 14.5 - 0.78 * i) for i in range(10)]
    for height in (0.45, 0.85, 1.2):
        for (x0, z0), (x1, z1) in pairwise(posts):
            sag = canvas.draw(-0.03, 0.03)
            rail = [
                (x0, height - 0.06, z0),
                (x1, height - 0.06 + sag, z1),
                (x1, height + 0.06 + sag, z1),
                (x0, height + 0.06, z0),
            ]
            tone = canvas.draw(0.8, 1.1)
            canvas.shapes(
                [land.project(np.array(rail))], [(wood[0] * tone, wood[1] * tone, wood[2] * tone)]
            )
    for x, z in posts:
        line = land.project(np.array([(x, 0, z), (x, 0.7, z), (x, 1.4, z)]))
        scale = land.focal / z
        limb(canvas, line, (0.16 * scale, 0.15 * scale), wood)


def _bale(canvas: Canvas, land: Ground, x: float, z: float) -> None:
    column, row, scale = land.spot(x, z)
    radius = 0.72 * scale
    disk = circle(39)
    centre = np.array([column, row - radius * 0.92])
    shadow = disk * [radius * 1.35, radius * 0.2] + [column + radius * 0.3, row]
    canvas.shade([shadow], (0.2, 0.14, 0.08), 0.5, 0.05 * radius)
    shapes, tones = [disk * radius * [1.25, 1] + centre + [radius * 0.3, 0]], [rgb("a98a44")]
    for i in range(12):
        size = radius * (1 - i / 12)
        wobble = disk * size * (1 + canvas.draws(39, -0.03, 0.03))[:, None]
        shapes.append(wobble + centre)
        tones.append(mix(rgb("c6a255"), rgb("efd58c"), canvas.draw(0, 1)))
    canvas.shapes(shapes, tones)
