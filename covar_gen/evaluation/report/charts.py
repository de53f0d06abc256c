"""The kinds of chart that the figures are made of, drawn from arrays; NaN is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.report.drawing import (
    INK,
    LINE,
    LINE_HEIGHT,
    MARKERS,
    PAPER,
    SERIES,
    SOFT,
    brightness,
    label_rows,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

FEW = 5
"""Series that can be told apart in one chart; more stand in panels."""
ANNOTATED = 20
"""Columns of a heat map whose cells have room for their numbers."""


class Grid(NamedTuple):
    """Numbers of models in subsets, or of classes in models.

    Attributes:
        rows: their names, N.
        columns: their names, M.
        value: float64 (N, M), NaN where there is none.
        low: float64 (N, M), lower ends of the intervals; NaN where there is none.
        high: float64 (N, M), upper ends.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def dots(grid: Grid, unit: str, *, zero: bool = False) -> Figure:
    """Points with intervals: rows are series, columns are what they are compared on.

    Few series share one chart, a group of points for each column; many stand in one panel for
    each column, a line for each series.

    Args:
        grid: the numbers.
        unit: of the axis.
        zero: marks the line at zero.
    """
    few = len(grid.rows) <= FEW
    return _grouped(grid, unit, zero=zero) if few else _panels(grid, unit, zero=zero)


def _grouped(grid: Grid, unit: str, *, zero: bool) -> Figure:
    count, groups = len(grid.rows), len(grid.columns)
    figure = new_figure(0.75 + 0.16 * count + groups * LINE_HEIGHT * (0.6 + 0.75 * count))
    axes = figure.subplots()
    label_rows(axes, grid.columns)
    axes.grid(visible=False, axis="y")
    for group in range(1, groups):
        axes.axhline(group - 0.5, color=LINE, linewidth=0.5)
    step = 0.8 / max(count, 2)
    for place, name in enumerate(grid.rows):
        at = np.arange(groups, dtype=np.float64) + (place - (count - 1) / 2) * step
        _points(axes, grid.value[place], grid.low[place], grid.high[place], at, place, name)
    _mark_zero(axes, zero=zero)
    axes.set_xlabel(unit)
    figure.legend(loc="outside upper left", ncols=1)
    return figure


def _points(
    axes: Axes,
    value: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    at: NDArray[np.float64],
    series: int,
    name: str | None = None,
    size: float = 6.0,
) -> None:
    colour = SERIES[series % len(SERIES)]
    axes.hlines(at, low, high, color=colour, linewidth=1.4)
    # The paper's own colour around a point keeps it apart from its interval and its neighbours.
    marker = MARKERS[series % len(MARKERS)]
    axes.plot(value, at, marker, color=colour, markeredgecolor=PAPER, label=name, markersize=size)


def _mark_zero(axes: Axes, *, zero: bool) -> None:
    if zero:
        axes.axvline(0, color=SOFT, linewidth=0.9)


def _panels(grid: Grid, unit: str, *, zero: bool) -> Figure:
    count = len(grid.columns)
    across = count if count <= FEW else -(-count // 2)
    down = -(-count // across)
    figure = new_figure(0.5 + down * (0.3 + LINE_HEIGHT * len(grid.rows)))
    found = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(found.flat):
        if place >= count:
            axes.remove()
            continue
        at = np.arange(len(grid.rows), dtype=float)
        columns = (grid.value[:, place], grid.low[:, place], grid.high[:, place])
        if place % across == 0:
            label_rows(axes, grid.rows)
        else:
            axes.grid(visible=True, axis="y", linewidth=0.4)
            axes.spines["left"].set_visible(False)
        _points(axes, *columns, at, 0, size=4.2)
        _mark_zero(axes, zero=zero)
        axes.set_title(grid.columns[place])
        axes.tick_params(axis="x", labelbottom=place + across >= count)
    figure.supxlabel(unit, fontsize=8.5)
    return figure


class Marks(NamedTuple):
    """One kind of point in a chart of spans.

    Attributes:
        name: for the legend.
        value: float64 (rows, panels), NaN where there is none.
    """

    name: str
    value: NDArray[np.float64]


def spans(rows: Sequence[str], panels: Sequence[str], marks: Sequence[Marks], unit: str) -> Figure:
    """Rows of several points each, joined from the least to the greatest; a panel for each model.

    Args:
        rows: their names, from top to bottom.
        panels: their titles, from left to right.
        marks: the points of each row in each panel.
        unit: of the axis.
    """
    figure = new_figure(0.85 + LINE_HEIGHT * max(len(rows), 3))
    found = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    at = np.arange(len(rows), dtype=float)
    label_rows(found[0], rows)
    for place, (axes, title) in enumerate(zip(found, panels, strict=True)):
        axes.grid(visible=True, axis="y", linewidth=0.4)
        axes.spines["left"].set_visible(False)
        values = np.stack([kind.value[:, place] for kind in marks])
        known = ~np.isnan(values).all(axis=0)
        ends = [end(values[:, known], axis=0) for end in (np.nanmin, np.nanmax)]
        axes.hlines(at[known], *ends, color=SOFT, linewidth=0.8)
        for number, kind in enumerate(marks):
            colour = SERIES[number % len(SERIES)]
            axes.plot(
                kind.value[:, place],
                at,
                MARKERS[number % len(MARKERS)],
                color=colour,
                markeredgecolor=PAPER,
                markersize=5.5,
                label=kind.name if place == 0 else None,
            )
        _mark_zero(axes, zero=True)
        axes.set_title(wrapped(title, 26 if len(panels) > 2 else 60))  # noqa: PLR2004 - narrow
    figure.supxlabel(unit, fontsize=8.5)
    figure.legend(loc="outside upper left", ncols=len(marks))
    return figure


def wrapped(text: str, width: int) -> str:
    """A name on several lines, broken after `/`, `-` or `_` where it is too long."""
    lines, line = [], ""
    for character in text:
        line += character
        if len(line) >= width or (character in "/-_ " and len(line) >= width * 0.6):
            lines.append(line)
            line = ""
    return "\n".join([*lines, line] if line else lines)


def heat(
    grid: Grid,
    unit: str,
    *,
    digits: int = 0,
    ends: tuple[float, float] | None = None,
    diverging: bool = False,
    triangle: bool = False,
    numbers: bool = True,
) -> Figure:
    """A heat map with its numbers, where they have room.

    Args:
        grid: the numbers; its intervals are not shown.
        unit: of the colour bar.
        digits: decimals of the numbers.
        ends: of the colours; those of the numbers by default.
        diverging: two colours meet at zero; otherwise one grows darker.
        triangle: only what lies below the diagonal is shown.
        numbers: whether the cells hold their numbers, where there is room.
    """
    count, across = grid.value.shape
    value = (
        np.where(np.tri(count, across, -1, dtype=bool), grid.value, np.nan)
        if triangle
        else (grid.value)
    )
    low, high = _ends(value, ends, diverging=diverging)
    tall = across > 3  # noqa: PLR2004 - longer headings stand upright
    figure = new_figure(0.55 + (1.5 if tall else 0.3) + 1.15 * LINE_HEIGHT * max(count, 4))
    axes = figure.subplots()
    colours = _colours(diverging=diverging)
    image = axes.pcolormesh(
        np.ma.masked_invalid(value), cmap=colours, vmin=low, vmax=high, edgecolors=PAPER,
        linewidth=0.8,
    )  # fmt: skip
    axes.set_ylim(count, 0)
    axes.set_yticks(np.arange(count) + 0.5, labels=list(grid.rows))
    heads = axes.set_xticks(np.arange(across) + 0.5, labels=list(grid.columns))
    for head in heads if tall else ():
        head.label2.set(rotation=40, horizontalalignment="left", rotation_mode="anchor")
    axes.tick_params(axis="x", top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    if numbers and across <= ANNOTATED:
        for row, column in zip(*np.nonzero(~np.isnan(value)), strict=True):
            number = value[row, column]
            dark = brightness(colours((number - low) / (high - low))) < 0.2  # noqa: PLR2004
            said = f"{number:.{digits}f}".replace("-", "\N{MINUS SIGN}")
            # Without the zero before the point, two decimals fit into the cells of 18 models.
            said = "0" if said == "\N{MINUS SIGN}0" else said.replace("0.", ".", 1)
            cell = axes.text(
                column + 0.5, row + 0.52, said, ha="center", va="center", fontsize=8,
                color="#ffffff" if dark else "#111111",
            )  # fmt: skip
            # It lies inside its cell: to lay it out takes longer than all the rest.
            cell.set_in_layout(False)
    bar = figure.colorbar(image, ax=axes, label=unit, fraction=0.025, pad=0.01, aspect=30)
    bar.outline.set_visible(False)
    return figure


def _ends(
    value: NDArray[np.float64], ends: tuple[float, float] | None, *, diverging: bool
) -> tuple[float, float]:
    known = value[~np.isnan(value)]
    low, high = ends or ((float(known.min()), float(known.max())) if known.size else (0.0, 1.0))
    if diverging:
        high = max(abs(low), abs(high), 1e-9)
        return -high, high
    return low, high if high > low else low + 1.0


def _colours(*, diverging: bool) -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    # One hue from light to dark, or two that differ in hue but not in how dark they grow.
    steps = (
        ["#08519c", "#6baed6", "#f3f1ec", "#fdae6b", "#a63603"]
        if diverging
        else ["#f3f1ec", "#9ecae1", "#4292c6", "#08519c", "#08306b"]
    )
    return LinearSegmentedColormap.from_list("covar", steps)


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
