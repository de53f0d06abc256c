"""A table as a reader sees it: what both the page and LaTeX are written from.

A sheet holds texts that are rounded already, and the numbers behind them, by which the page sorts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what is shown.
        value: what its column is sorted by; the text where it is None.
        interval: the interval of the number, `[low, high]`; empty if there is none.
        best: whether it is the best of its column.
        tone: whether it says that something is so, or that it is not; mostly neither.
    """

    text: str
    value: float | None = None
    interval: str = ""
    best: bool = False
    tone: Literal["", "good", "bad"] = ""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its heading.
        number: whether it holds numbers, which are aligned on the right.
        meaning: what it holds, in a sentence; empty where the heading says it.
    """

    title: str
    number: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table for a reader.

    Attributes:
        title: what it shows.
        columns: from left to right; the first one names the row.
        rows: a cell for each column.
        notes: sentences below it: units, intervals, what is left out.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def rounded(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with that many decimals and a true minus; a dash for None and NaN.

    Args:
        value: the number.
        digits: decimals.
        sign: also puts a plus before positive numbers.
    """
    if value is None or math.isnan(value):
        return NONE
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    # What rounds to zero has no sign.
    if not any(digit in "123456789" for digit in text):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int, scale: float = 1.0) -> str:
    """`[low, high]`, each times `scale`; empty where either is absent."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{rounded(low * scale, digits)}, {rounded(high * scale, digits)}]"


def number(
    value: float | None,
    digits: int,
    *,
    low: float | None = None,
    high: float | None = None,
    scale: float = 1.0,
    sign: bool = False,
) -> Cell:
    """A cell with a number times `scale`, and its interval."""
    if value is None or math.isnan(value):
        return Cell(NONE)
    said = rounded(value * scale, digits, sign=sign)
    return Cell(said, float(value) * scale, interval(low, high, digits, scale))


def share(value: float | None, low: float | None = None, high: float | None = None) -> Cell:
    """A share in [0, 1] as a percentage with one decimal, and its interval."""
    return number(value, 1, low=low, high=high, scale=100.0)


def count(value: int | None) -> Cell:
    """A whole number with its thousands apart."""
    return Cell(NONE) if value is None else Cell(f"{value:,}", float(value))


def p_value(value: float | None) -> Cell:
    """The probability of a result at least as extreme by chance."""
    if value is None or math.isnan(value):
        return Cell(NONE)
    smallest = 0.001
    text = f"<{smallest}" if value < smallest else f"{value:.3f}"
    return Cell(text, float(value))
