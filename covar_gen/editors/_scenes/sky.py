"""Skies: gradients, a sun, clouds in perspective, far ridges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covar_gen.editors._scenes.canvas import (
    Canvas,
    Colour,
    Floats,
    blended,
    blurred,
    brighten,
    rgb,
    smoothstep,
)
from covar_gen.editors._scenes.noise import NoiseTile, fractal

WHITE = rgb("ffffff")
GREY = rgb("9fb0c6")


def sky(canvas: Canvas, stops: Sequence[Colour], horizon: float) -> None:
    """A vertical gradient from the zenith to the horizon, evenly spaced, warmer below."""
    places = np.linspace(0, max(horizon, 0.05), len(stops))
    canvas.gradient(list(zip(places.tolist(), stops, strict=True)))


def clouds(
    canvas: Canvas,
    horizon: float,
    cover: float,
    lit: Colour = WHITE,
    shaded: Colour = GREY,
    size: float = 1.0,
) -> None:
    """Cumulus on a ceiling that runs to the horizon, lit from above.

    Args:
        canvas: painted in place.
        horizon: fraction of the height at which the ceiling meets the ground.
        cover: share of the sky under clouds, 0 to 1.
        lit: colour of their bright sides.
        shaded: colour of their undersides.
        size: of the clouds, 1 = about a third of the picture overhead.
    """
    rows = min(max(int(horizon * canvas.height), 2), canvas.height)
    tile = NoiseTile(canvas)
    above_ground = horizon * canvas.height - np.arange(rows) - 0.5
    height = (np.maximum(above_ground, 0) / canvas.unit).astype(np.float32)[:, None]
    depth = 210 / (height + 28)
    x = (np.arange(canvas.width, dtype=np.float32)[None] - canvas.width / 2) / canvas.unit
    u = x * (depth + 1.2) / (190 * size) + canvas.draw(0, 250)
    v = np.broadcast_to(depth * 2.3 / size + canvas.draw(0, 250), u.shape)
    density = _cloud_field(tile, u, v)
    above = _cloud_field(tile, u, v - 0.22)
    edge = 0.62 - 1.24 * cover
    alpha = smoothstep(edge - 0.06, edge + 0.3, density)
    light = np.clip(0.72 + 0.75 * (density - above) - 0.22 * (density - edge), 0, 1)
    alpha *= smoothstep(0, 60, height) * 0.94
    canvas.blend(blended(shaded, lit, light), alpha)


def _cloud_field(tile: NoiseTile, u: NDArray[Any], v: NDArray[Any]) -> Floats:
    total = np.zeros(u.shape, np.float32)
    strength, scale = 1.0, 1.0
    for octave in range(6):
        total += strength * tile.at(u * scale + 37 * octave, v * scale + 91 * octave)
        strength *= 0.55
        scale *= 2.03
    return total


def ridge(
    canvas: Canvas,
    base: float,
    height: float,
    colours: tuple[Colour, Colour],
    cell: float = 120,
    rough: float = 0.45,
) -> None:
    """A far chain of hills or mountains, hazier towards its foot.

    Args:
        canvas: painted in place.
        base: fraction of the picture's height where it stands.
        height: of its summits, in the same fractions.
        colours: at the crest and at the foot.
        cell: width of a summit, in units.
        rough: 0.3 for rolling hills, 0.55 for jagged mountains.
    """
    line = fractal(canvas, (cell, cell), 7, rough, (1, canvas.width))[0]
    crest = (base - height * (0.55 + 0.45 * line)) * canvas.height
    rows = np.arange(canvas.height, dtype=np.float32)[:, None]
    alpha = np.clip(rows - crest[None] + 0.5, 0, 1)
    below = smoothstep(0, height * 1.1 * canvas.height, rows - crest[None])
    tone = blended(colours[0], colours[1], below)
    if rough > 0.4:  # noqa: PLR2004  mountains show their flanks, rolling hills do not
        relief = fractal(canvas, (cell * 0.55, cell * 0.4), 6, 0.62)
        step = max(round(1.5 * canvas.unit), 1)
        flank = 2.2 * (relief - np.roll(relief, (step, -2 * step), (0, 1)))
        slope = np.gradient(blurred(crest[None].astype(np.float32), cell * 0.03 * canvas.unit)[0])
        side = np.clip(0.9 * slope[None] * (1 - 0.7 * below) + flank, -1, 1)
        brighten(tone, 1 - 0.22 * side * (1 - below))
    canvas.blend(tone, alpha)
