"""Points with intervals against a property of models, labelled where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.report.drawing import INK, MARKERS, PAPER, SERIES, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Family(NamedTuple):
    """Points of one colour and marker.

    Attributes:
        name: for the legend.
        x: float64 (N,).
        value: float64 (N,).
        low: float64 (N,), NaN where there is no interval.
        high: float64 (N,).
        labels: N texts beside the points.
    """

    name: str
    x: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    labels: tuple[str, ...]


def scatter(families: Sequence[Family], x_unit: str, unit: str, *, logarithmic: bool) -> Figure:
    """Points with upright intervals against a property of their models."""
    figure = new_figure(3.6)
    axes = figure.subplots()
    for number, one in enumerate(families):
        colour = SERIES[number % len(SERIES)]
        axes.vlines(one.x, one.low, one.high, color=colour, linewidth=1.2)
        axes.plot(
            one.x, one.value, MARKERS[number % len(MARKERS)], color=colour, markersize=6,
            markeredgecolor=PAPER, label=one.name,
        )  # fmt: skip
    _label_points(axes, families, logarithmic=logarithmic)
    if logarithmic:
        axes.set_xscale("log")
        known = np.concatenate([one.x for one in families])
        ticks = [n * 10.0**power for power in range(-3, 7) for n in (1, 2, 5)]
        near = [t for t in ticks if known.min() / 2 <= t <= known.max() * 2]
        axes.set_xticks(near, labels=[f"{tick:g}" for tick in near])
        axes.minorticks_off()
    axes.grid(visible=True, axis="both")
    axes.set_xlabel(x_unit, color=INK)
    axes.set_ylabel(unit)
    axes.margins(x=0.12)
    figure.legend(loc="outside upper left", ncols=min(len(families), 4))
    return figure


def _label_points(axes: Axes, families: Sequence[Family], *, logarithmic: bool) -> None:
    """Labels beside their points, on the side where there is room; where there is none, none."""
    scale = np.log if logarithmic else np.asarray
    points = [
        (float(scale(x)), float(y), float(x), text)
        for one in families
        for x, y, text in zip(one.x, one.value, one.labels, strict=True)
        if not np.isnan(y)
    ]
    if not points:
        return
    at = np.array([point[:2] for point in points])
    spread = np.maximum(np.ptp(at, axis=0), 1e-9)
    # Points of print: what the axes come to, about.
    places = (at - at.min(axis=0)) / spread * (370.0, 165.0)
    taken = [(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in places]
    for (x, y), (_, value, raw, text) in zip(places, points, strict=True):
        width = 4.9 * len(text)
        for side, shift in ((1, 0.0), (-1, 0.0), (1, 8.0), (1, -8.0), (-1, 8.0), (-1, -8.0)):
            left = x + 6.0 if side > 0 else x - 6.0 - width
            box = (left, y + shift - 4.0, left + width, y + shift + 4.0)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(
                    text, (raw, value), xytext=(6 * side, shift), textcoords="offset points",
                    fontsize=8, color=SOFT, va="center", ha="left" if side > 0 else "right",
                )  # fmt: skip
                break


Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
