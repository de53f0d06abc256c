"""Tidy tables laid out for a reader: a number and its interval in one cell, or a row per model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from covar_gen.evaluation.report.sheets import (
    NONE,
    Cell,
    Column,
    Sheet,
    count,
    number,
    p_value,
)

FOLDED = 40
"""Rows beyond which a table is folded on the page."""
INTERVALS = "Intervals are 95%: photographs drawn with replacement (bootstrap)."
_TITLES = {
    "n_images": "images",
    "n_rejected": "rejected",
    "n_sources": "photographs",
    "n_classes": "classes",
    "class_name": "class",
    "background_id": "id",
    "label": "index",
}


def titled(name: str) -> str:
    """A column's heading: its name in words."""
    return _TITLES.get(name, name.replace("_", " "))


def tidy(
    table: pa.Table, title: str, notes: Sequence[str] = (), leave: Sequence[str] = ()
) -> Sheet:
    """Every row of a table, with the columns `X_low` and `X_high` in the cells of X.

    Args:
        table: tidy, its columns with their meaning in the field metadata.
        title: of the sheet.
        notes: sentences below it.
        leave: columns to leave out.
    """
    names = set(table.column_names)
    kept = [
        field
        for field in table.schema
        if field.name not in leave and not _is_end(field.name, names)
    ]
    columns = tuple(Column(titled(f.name), _is_number(f), meaning(f)) for f in kept)
    values = [[cell(field, row) for field in kept] for row in table.to_pylist()]
    intervals = any(_is_end(name, names) for name in names)
    said = (*([INTERVALS] if intervals else []), *notes)
    return Sheet(title, columns, tuple(map(tuple, values)), said)


def meaning(field: pa.Field) -> str:
    """What a column holds, as its table says."""
    return ((field.metadata or {}).get(b"meaning") or b"").decode()


def _is_end(name: str, names: set[str]) -> bool:
    """Whether a column is an end of another one's interval."""
    stem, _, end = name.rpartition("_")
    return end in {"low", "high"} and stem in names


def _is_number(field: pa.Field) -> bool:
    return bool(pa.types.is_integer(field.type) or pa.types.is_floating(field.type))


def cell(field: pa.Field, row: dict[str, Any]) -> Cell:
    """The cell of a column in a row, rounded as its unit asks for."""
    value = row[field.name]
    if value is None:
        return Cell(NONE)
    if pa.types.is_boolean(field.type):
        return Cell("yes" if value else "no")
    if pa.types.is_integer(field.type):
        return count(value)
    if not pa.types.is_floating(field.type):
        return Cell(str(value))
    said = meaning(field)
    if field.name.startswith("p_") or " test" in said or "Holm" in said:
        return p_value(value)
    low, high = row.get(f"{field.name}_low"), row.get(f"{field.name}_high")
    digits = 1 if "percent" in said else 3
    return number(value, digits, low=low, high=high, sign="points" in said)


def pivot(
    table: pa.Table,
    value: str,
    title: str,
    *,
    by: str = "model",
    over: str = "subset",
    heading: str | None = None,
    last: str | None = None,
    notes: Sequence[str] = (),
    best: str | None = None,
    sign: bool = False,
) -> Sheet:
    """One row for each value of `by`, one column for each of `over`, intervals in the cells.

    Args:
        table: tidy, one row for each pair.
        value: column with the numbers, and `_low`, `_high` where there are any.
        title: of the sheet.
        by: column that gives the rows.
        over: column that gives the columns.
        heading: of the first column; that of `by` by default.
        last: the column that stands last.
        notes: sentences below it.
        best: `highest` or `lowest`: marks it in each column where there are several rows.
        sign: puts a plus before positive numbers.
    """
    rows = table.to_pylist()
    across = list(dict.fromkeys(row[over] for row in rows))
    if last in across:
        across = [*(name for name in across if name != last), last]
    down = list(dict.fromkeys(row[by] for row in rows))
    found = {(row[by], row[over]): row for row in rows}
    winners = _winners(rows, over, value, best) if len(down) > 1 else {}
    field = table.schema.field(value)
    body = []
    for name in down:
        line = [Cell(str(name))]
        for column in across:
            row = found.get((name, column), {})
            one = number(
                row.get(value),
                1,
                low=row.get(f"{value}_low"),
                high=row.get(f"{value}_high"),
                sign=sign,
            )
            wins = one.value is not None and winners.get(column) == one.text
            line.append(Cell(one.text, one.value, one.interval, wins))
        body.append(tuple(line))
    columns = (
        Column(heading or titled(by)),
        *(Column(str(name), number=True, meaning=meaning(field)) for name in across),
    )
    intervals = any(one.interval for line in body for one in line)
    said = (*([INTERVALS] if intervals else []), *notes)
    return Sheet(title, columns, tuple(body), said)


def _winners(
    rows: Sequence[dict[str, Any]], over: str, value: str, best: str | None
) -> dict[Any, str]:
    """The best number of each column as it is printed: what looks equal is equally good."""
    if best is None:
        return {}
    pick = max if best == "highest" else min
    known: dict[Any, list[float]] = {}
    for row in rows:
        if row[value] is not None:
            known.setdefault(row[over], []).append(row[value])
    return {name: number(pick(values), 1).text for name, values in known.items()}
