"""The kinds of chart that the figures are made of, drawn from arrays; NaN is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.report.drawing import (
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
UPRIGHT = 9
"""Columns of a heat map beyond which their headings stand upright."""
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
    axes.plot(
        value, at, marker, color=colour, markeredgecolor=PAPER, markeredgewidth=size / 6,
        markersize=size, label=name,
    )  # fmt: skip


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
        # Many upright headings leave more room for the cells below them.
        if across > UPRIGHT:
            head.label2.set(rotation=90)
        else:
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
