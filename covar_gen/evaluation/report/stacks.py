"""Bars of parts that add up, drawn from arrays; NaN is a bar that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.report.drawing import (
    INK,
    LINE_HEIGHT,
    PAPER,
    SOFT,
    label_rows,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Part(NamedTuple):
    """A part of every bar.

    Attributes:
        name: for the legend.
        colour: RGB as `#rrggbb`.
        value: float64 (N,), its length in each bar.
    """

    name: str
    colour: str
    value: NDArray[np.float64]


class Tick(NamedTuple):
    """A mark on every bar, to compare its first part with.

    Attributes:
        name: for the legend.
        value: float64 (N,), NaN where there is none.
    """

    name: str
    value: NDArray[np.float64]


def stacks(
    rows: Sequence[str],
    parts: Sequence[Part],
    unit: str,
    *,
    tick: Tick | None = None,
    ends: Sequence[str] = (),
) -> Figure:
    """A bar for each row, made of parts from left to right.

    Args:
        rows: their names, from top to bottom.
        parts: from left to right; those that are nowhere are left out.
        unit: of the axis.
        tick: a mark on each bar.
        ends: texts to the right of the bars, one for each.
    """
    kept = [part for part in parts if np.nansum(part.value) > 0]
    lines = -(-(len(kept) + bool(tick)) // 3)
    figure = new_figure(0.6 + 0.17 * lines + 1.5 * LINE_HEIGHT * max(len(rows), 2))
    axes = figure.subplots()
    label_rows(axes, rows)
    axes.grid(visible=False, axis="y")
    at, left = np.arange(len(rows), dtype=np.float64), np.zeros(len(rows))
    handles: list[Any] = []
    for part in kept:
        length = np.nan_to_num(part.value)
        # A line of the paper's colour keeps neighbours apart in grey print.
        bars = axes.barh(
            at, length, 0.7, left=left, color=part.colour, edgecolor=PAPER, linewidth=0.8,
            label=part.name,
        )  # fmt: skip
        handles.append(bars)
        left = left + length
    if tick is not None:
        axes.vlines(tick.value, at - 0.46, at + 0.46, color=PAPER, linewidth=3.4)
        handles.append(
            axes.vlines(tick.value, at - 0.46, at + 0.46, color=INK, linewidth=1.6, label=tick.name)
        )
    for place, text in enumerate(ends):
        axes.annotate(
            text, (left[place], at[place]), xytext=(4, 0), textcoords="offset points", fontsize=8,
            color=SOFT, va="center",
        )  # fmt: skip
    axes.set_xlim(0, max(float(left.max()), 1e-9) * (1.12 if ends else 1.0))
    axes.set_xlabel(unit)
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure
