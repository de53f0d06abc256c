"""Boulders with lit and shaded facets."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, Colour, mix
from covar_gen.editors._scenes.plants import Points


def boulder(
    canvas: Canvas,
    at: tuple[float, float],
    wide: float,
    colours: tuple[Colour, Colour],
    tall: float = 0.65,
) -> None:
    """A stone lying on the ground, lit from the upper left.

    Args:
        canvas: painted in place.
        at: the middle of its foot, pixels.
        wide: half width, pixels.
        colours: in shade and in light.
        tall: height as a share of the half width.
    """
    count = 11
    turn = np.linspace(0, 2 * np.pi, count + 1)[:-1] + canvas.draws(count, -0.2, 0.2)
    reach = canvas.draws(count, 0.82, 1.1)
    outer = np.stack([np.cos(turn) * reach, np.sin(turn) * reach * tall - 0.75 * tall], axis=1)
    outer[:, 1] = np.minimum(outer[:, 1], 0.06)
    rim = outer * 0.62 + [-0.05, -0.42 * tall]
    rim += canvas.draws(count * 2, -0.07, 0.07).reshape(count, 2)
    top = np.array([[-0.08, -1.12 * tall]])
    shapes: list[Points] = []
    tones: list[Colour] = []
    place = np.array(at)
    shadow = outer * [1.15, 0.3] + [0.18, 0.02]
    canvas.shade([shadow * wide + place], (0.1, 0.09, 0.1), 0.45, 0.05 * wide)
    for i in range(count):
        j = (i + 1) % count
        middle = (outer[i] + outer[j]) / 2 + [0, 0.75 * tall]
        facing = float(-0.62 * middle[0] - 0.8 * middle[1] / tall)
        for corners, lift in (
            ((outer[i], outer[j], rim[j]), 0.0),
            ((outer[i], rim[j], rim[i]), 0.04),
            ((rim[i], rim[j], top[0]), 0.25),
        ):
            shapes.append(np.array(corners) * wide + place)
            light = 0.42 + 0.38 * facing * (1 - lift) + lift + canvas.draw(-0.09, 0.09)
            tones.append(mix(*colours, min(max(light, 0.0), 1.1)))
    canvas.shapes([outer * wide + place], [mix(*colours, 0.3)])
    canvas.shapes(shapes, tones)
