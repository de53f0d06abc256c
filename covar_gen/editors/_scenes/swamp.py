"""Painter of a swamp."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, Colour, blended, blurred, mix, rgb, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.plants import Foliage, blades, limb
from covar_gen.editors._scenes.sky import sky


def swamp(canvas: Canvas) -> float:
    """Still dark water between moss-hung trees, reeds and lily pads in the mist."""
    horizon = canvas.draw(0.42, 0.48)
    sky(canvas, [rgb("7f8f78"), rgb("b9bf98"), rgb("e6dfb0")], horizon)
    canvas.glow((canvas.draw(0.3, 0.7), horizon - 0.12), 200, rgb("fbf2c6"), 0.5)
    plants = Foliage(canvas)
    line = horizon * canvas.height
    width, unit = canvas.width, canvas.unit
    for layer in range(3):
        haze = 0.68 - 0.24 * layer
        dark, lit = mix(rgb("20281a"), rgb("cfd0a4"), haze), mix(rgb("5d6b36"), rgb("dcdcb0"), haze)
        foot = line + (3 + 11 * layer) * unit
        for _ in range(13):
            at = (canvas.draw(-0.05, 1.05) * width, foot - canvas.draw(4, 26) * unit)
            plants.crown(
                at, canvas.draw(30, 60) * unit, canvas.draw(14, 30) * unit, (dark, lit), 0.8, 0.3
            )
        for i in range(5):
            share = (i + canvas.draw(0, 1)) / 5
            _cypress(canvas, plants, (share * width, foot), (0.5 + 0.3 * layer), (dark, lit))
        canvas.soften(1.8 - 0.8 * layer, slice(0, int(foot) + 2))
    _water(canvas, line)
    _lilies(canvas, horizon)
    _reeds(canvas, horizon)
    fog = np.exp(-(((canvas.rows() - horizon - 0.02) / 0.055) ** 2)) * 0.4
    canvas.blend(rgb("e3e0bd"), fog)
    return horizon


def _cypress(
    canvas: Canvas,
    plants: Foliage,
    foot: tuple[float, float],
    size: float,
    tones: tuple[Colour, Colour],
) -> None:
    """A tree with a flared foot, bare limbs with a flat crown at their ends, and hanging moss."""
    unit = canvas.unit
    bark = mix(tones[0], rgb("7d7560"), 0.3)
    top = canvas.draw(-0.05, 0.25) * canvas.height
    t = np.linspace(0, 1, 8)
    lean = canvas.draw(-30, 30) * unit
    spine = np.stack([foot[0] + lean * t, foot[1] + (top - foot[1]) * t], axis=1)
    wide = canvas.draw(14, 22) * unit * size
    for way in (-1.4, -0.7, 0.0, 0.7, 1.4):
        root = np.array(
            [
                [foot[0] + way * wide, foot[1] + 2 * unit],
                [foot[0] + way * wide * 0.35, foot[1] - 1.6 * wide],
                [foot[0], foot[1] - 4 * wide],
            ]
        )
        limb(canvas, root, (wide * 0.5, wide * 0.4), bark)
    limb(canvas, spine, (wide, wide * 0.45), bark)
    for _ in range(4):
        height = canvas.draw(0.5, 1)
        at = spine[0] + (spine[-1] - spine[0]) * height
        side = 1 if canvas.draw(-1, 1) > 0 else -1
        end = at + np.array([side * canvas.draw(40, 80), -canvas.draw(0, 20)]) * unit * size
        limb(canvas, np.linspace(at, end, 5), (wide * 0.28, wide * 0.08), bark)
        plants.crown(
            (float(end[0]), float(end[1])), 46 * unit * size, 20 * unit * size, tones, 0.8, 0.4
        )
        strands = np.linspace(at, end, 9)[2:] + np.array([0, 8 * unit * size])
        moss = -canvas.draws(7, 18, 52) * unit * size
        blades(
            canvas,
            strands,
            moss,
            (mix(tones[0], rgb("9aa07a"), 0.4), mix(tones[1], rgb("b7bb92"), 0.4)),
            0.12,
            -0.06,
        )


def _water(canvas: Canvas, line: float) -> None:
    """Mirror the trees in the water, darker, drawn out and rippled."""
    import cv2

    top = round(line)
    rows = canvas.height - top
    pond = Ground(canvas, line / canvas.height, eye=1.6, far=150)
    below = np.arange(rows, dtype=np.float32)[:, None] + np.zeros((1, canvas.width), np.float32)
    ripple = cv2.resize(pond.noise(0.9, 4, 0.7, 3)[::-1], (canvas.width, rows))
    strength = (2 + 0.05 * below) * canvas.unit
    source_y = np.clip(top - 1 - below * 0.82 + ripple * strength, 0, top - 1)
    columns = np.arange(canvas.width, dtype=np.float32)[None] + ripple * strength * 0.6
    mirror = cv2.remap(
        canvas.pixels, columns, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    mirror = blurred(mirror, 1.2 * canvas.unit)
    depth = below / max(rows, 1)
    water = blended(mirror * 0.82, rgb("26301c"), np.clip(0.18 + 0.5 * depth, 0, 1))
    weed = smoothstep(0.25, 0.7, cv2.resize(pond.noise(5, 5, 0.6, 2)[::-1], (canvas.width, rows)))
    water = blended(water, rgb("76803a"), weed * 0.5 * smoothstep(0.05, 0.3, depth))
    canvas.pixels[top:] = water


def _lilies(canvas: Canvas, horizon: float) -> None:
    pond = Ground(canvas, horizon, eye=1.6, far=40)
    shapes, tones = [], []
    for x, y, scale in pond.scatter(70, 2.2, 16, 1.5):
        cut, size = canvas.draw(0, 6.283), canvas.draw(0.09, 0.2) * scale
        ring = np.linspace(0.25, 6.0, 18) + cut
        flat = pond.eye * scale / pond.focal
        pad = np.concatenate(
            [[[0, 0]], np.stack([np.cos(ring), np.sin(ring) * min(flat, 0.6)], axis=1)]
        )
        light = canvas.draw(0, 1)
        for lift, tone in (
            (0.08, mix(rgb("1c2a14"), rgb("2c3c1c"), light)),
            (0, mix(rgb("5a7a30"), rgb("9fb458"), light)),
        ):
            shapes.append(pad * size + [x, y + lift * size])
            tones.append(tone)
    canvas.shapes(shapes, tones)


def _reeds(canvas: Canvas, horizon: float) -> None:
    for side in (-1, 1):
        for count, depth, tall in ((60, 0.2, 60), (70, 0.45, 120), (50, 0.72, 190)):
            spread = 0.5 - canvas.draws(count, 0, 1) ** 1.6 * 0.3
            x = (0.5 + side * spread * 1.08) * canvas.width
            y = (
                np.full(count, (horizon + (1 - horizon) * depth) * canvas.height)
                + canvas.draws(count, -8, 8) * canvas.unit
            )
            length = canvas.draws(count, 0.5, 1) * tall * canvas.unit
            blades(
                canvas, np.stack([x, y], axis=1), length, (rgb("2c3a1a"), rgb("a3a654")), 0.22, 0.03
            )
