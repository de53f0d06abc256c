"""The sheet that shows whether a conclusion hangs on the threshold, the layers or K."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from covar_gen.evaluation.metrics.regions import MARGIN, THRESHOLD
from covar_gen.evaluation.report import layouts
from covar_gen.evaluation.report.blocks import Laid, on_page
from covar_gen.evaluation.report.error_methods import (
    Row,
    chosen_methods,
    one_subset,
    parts,
    short_methods,
)
from covar_gen.evaluation.report.sheets import NONE, Cell, Column, Sheet, number

ABREAST = 6
"""Models up to which each has a column; more have a row each."""


class _Reading(NamedTuple):
    """A way of reading the share of background-driven errors off a map.

    Attributes:
        said: in words.
        key: column of the table error_sensitivity.
        threshold: of its rows; None: any, it needs none.
    """

    said: str
    key: str
    threshold: float | None


def error_sensitivity(name: str, table: pa.Table, title: str) -> Laid:
    """Whether a conclusion hangs on threshold, layers or K; margins are in the files."""
    rows = table.to_pylist()
    subset, on = one_subset(rows)
    kept = [row for row in rows if row["subset"] == subset and row["margin"] == MARGIN]
    readings = [
        _Reading(f"{threshold:g} of the maximum", "background", threshold)
        for threshold in sorted({row["threshold"] for row in kept})
    ]
    readings += [
        _Reading(said, key, None)
        for key, said in (("excess", "excess"), ("mass", "mass"))
        if key in table.column_names
    ]
    few = len({row["model"] for row in kept}) <= ABREAST
    sheet = (_abreast if few else _below)(kept, readings, ", ".join(filter(None, (title, on))))
    notes = (
        *sheet.notes,
        (
            f"Below a number, what random maps would get. Excess and mass need no threshold. Bold: "
            f"as in the table above. Every subset, and the margins other than {MARGIN:g}, are in "
            f"tables/{name}.csv."
        ),
    )
    sheet = Sheet(sheet.title, sheet.columns, sheet.rows, notes)
    return Laid(layouts.tidy(table, title), (on_page(name, sheet),))


def _at(rows: Sequence[Row], model: str, method: str, reading: _Reading) -> Row | None:
    return next(
        (
            row
            for row in rows
            if row["model"] == model
            and row["method"] == method
            and reading.threshold in (None, row["threshold"])
        ),
        None,
    )


def _read(row: Row | None, reading: _Reading, *, shown: bool) -> Cell:
    if row is None:
        return Cell(NONE)
    one = number(row[reading.key], 1)
    chance = row.get("chance") if reading.key == "background" else None
    below = "" if chance is None else f"chance {number(chance, 1).text}"
    return Cell(one.text, one.value, below, best=shown and reading.threshold == THRESHOLD)


def _abreast(rows: Sequence[Row], readings: Sequence[_Reading], title: str) -> Sheet:
    """A row for each method and reading, a column for each model."""
    short = short_methods([row["method"] for row in rows])
    models, chosen = list(dict.fromkeys(row["model"] for row in rows)), chosen_methods(rows)
    body = []
    for method, said in short.items():
        for reading in readings:
            cells = [
                _read(_at(rows, model, method, reading), reading, shown=chosen[model] == method)
                for model in models
            ]
            body.append((Cell(said), Cell(reading.said), *cells))
    columns = (
        Column("method"),
        Column("region or share"),
        *(Column(model, number=True) for model in models),
    )
    return Sheet(title, columns, tuple(body), ("Background-driven errors, percent of all errors.",))


def _below(rows: Sequence[Row], readings: Sequence[_Reading], title: str) -> Sheet:
    """A row for each model: the readings of its method, then the other methods at the default."""
    chosen = chosen_methods(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    usual = _Reading("", "background", THRESHOLD)
    others = [method for method in methods if any(chosen[m] != method for m in chosen)]
    body = []
    for model, method in chosen.items():
        line = [_read(_at(rows, model, method, r), r, shown=True) for r in readings]
        line += [_read(_at(rows, model, other, usual), usual, shown=False) for other in others]
        body.append((Cell(model), *line))
    columns = (
        Column("model"),
        *(Column(reading.said.replace(" of the maximum", ""), number=True) for reading in readings),
        *(Column(_difference(other, list(chosen.values())), number=True) for other in others),
    )
    note = (
        "Background-driven errors, percent of all errors, where a region is what reaches such a "
        f"share of the map's maximum; in the last columns other methods at {THRESHOLD:g}."
    )
    return Sheet(title, columns, tuple(body), (note,))


def _difference(method: str, shown: Sequence[str]) -> str:
    """A method by the options that those shown do not have; whole where it is of another kind."""
    name, options = parts(method)
    usual = [parts(one) for one in dict.fromkeys(shown)]
    if name not in {other for other, _ in usual}:
        return method
    known = {option for _, given in usual for option in given}
    return ", ".join(option for option in options if option not in known) or method
