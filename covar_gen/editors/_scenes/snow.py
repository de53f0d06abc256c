"""Painter of a snowy landscape."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, blended, circle, mix, rgb, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.plants import Foliage
from covar_gen.editors._scenes.sky import clouds, ridge, sky

_FAR_FIRS = 9


def snow(canvas: Canvas) -> float:
    """Drifts with blue shadows, snow-laden firs, white mountains, a few flakes."""
    horizon = canvas.draw(0.4, 0.46)
    sky(canvas, [rgb("7fa3cc"), rgb("c3d5e6"), rgb("f6e6dc")], horizon)
    clouds(canvas, horizon, 0.45, rgb("fbf7f4"), rgb("b7c3d6"))
    ridge(canvas, horizon, 0.2, (rgb("b9cbe2"), rgb("dbe5f0")), 230, 0.54)
    ridge(canvas, horizon + 0.01, 0.08, (rgb("8fa3b8"), rgb("d5dfe9")), 60, 0.6)
    land = Ground(canvas, horizon, eye=1.8, far=300)
    drift = land.noise(26, 3, 0.4)
    height = (2.6 * drift + 0.014 * land.z) * smoothstep(4, 34, land.z)
    wind = land.noise(4.5, 2, 0.4, 2.2)
    height += 0.5 * (1 - np.sqrt(wind**2 + 0.01)) - 0.6 + 0.012 * land.noise(0.6, 4, 0.6, 2)
    side = 1 if canvas.draw(-1, 1) > 0 else -1
    light = land.light(height, (0.9 * side, 0.3, 0.22))
    tone = blended(rgb("7d9ccb"), rgb("e4ecf7"), smoothstep(-0.1, 0.4, light))
    tone = blended(tone, rgb("fff8ec"), smoothstep(0.3, 0.62, light) * 0.9)
    glint = smoothstep(0.95, 1.5, land.noise(0.07, 2, 0.9))
    tone += (0.25 * glint)[..., None]
    land.render(height, land.hazed(tone, rgb("e6ecf2"), 160))
    plants = Foliage(canvas)
    firs = []
    for i in range(16):
        z = 60 - 45 * (i / 15) ** 0.7
        # The near ones stand at the sides and frame what is placed before them.
        near = (1 if i % 2 else -1) * canvas.draw(0.26, 0.54)
        share = near if i >= _FAR_FIRS else canvas.draw(-0.55, 0.55)
        firs.append((share * canvas.width / land.focal * z, z))
    for x, z in firs:
        column, row, scale = land.spot(x, z)
        haze = min(z / 90, 0.7)
        dark, lit = mix(rgb("1d3530"), rgb("cfdbe6"), haze), mix(rgb("44685a"), rgb("dbe4ec"), haze)
        tall = canvas.draw(4.2, 7.2) * scale
        shade = np.array(
            [[-0.1, 0], [0.1, 0], [0.1 - 0.55 * side, 0.16], [-0.1 - 0.5 * side, 0.16]]
        )
        canvas.shade([shade * tall + [column, row]], rgb("7592c4"), 0.5, 1.2 * canvas.unit)
        plants.fir(
            (column, row + 0.02 * tall), tall, (dark, lit), mix(rgb("f6f9ff"), rgb("dfe7f0"), haze)
        )
    disk = circle(8)
    flakes = canvas.draws(240, 0, 1).reshape(80, 3) * [canvas.width, canvas.height, 1]
    disks = [disk * (0.6 + 1.5 * f[2] ** 2) * canvas.unit + f[:2] for f in flakes]
    canvas.blend((1, 1, 1), canvas.coverage(disks) * 0.6)
    return horizon
