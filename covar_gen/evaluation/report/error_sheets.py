"""Sheets about errors: what they are made of, what that hangs on, and what the paper reports.

The first ones are laid out as the paper's table 4, with what random maps would get beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from covar_gen.evaluation.report import layouts
from covar_gen.evaluation.report.blocks import Block, Laid, on_page
from covar_gen.evaluation.report.error_methods import (
    Row,
    chosen_methods,
    how,
    one_subset,
    shown_rows,
)
from covar_gen.evaluation.report.error_sensitivity import error_sensitivity
from covar_gen.evaluation.report.sheets import NONE, Cell, Column, Sheet, count, number

SHARES = (
    ("background", "BG-Er", "Driven by the background (BG-Er)"),
    ("chance", "chance", "Random maps that would be called background-driven"),
    ("excess", "excess", "More mass on the background than it fills (excess)"),
    ("excess_chance", "chance", "Random maps with more mass on the background than it fills"),
    ("mass", "mass", "Share of the mass on the background"),
    ("fine", "Fine-Er", "Driven by the object, classes look alike (Fine-Er)"),
    ("other", "other", "Driven by the object, classes do not look alike (other)"),
    ("unscored", "unscored", "Driven by the object, nobody judged the classes (unscored)"),
    ("undecided", "undecided", "Undecided"),
    ("unexplained", "unexplained", "Unexplained"),
)
"""Columns of the table error_sources, their headings, and what they are."""
SETTINGS = ("target", "ties", "points", "seed", "n_images")
"""Columns of the table cluster_study that are told once where they are the same in all rows."""
PLAIN = ("chance", "excess_chance", "mass")
"""Columns whose intervals are in the folded sheets only."""
RARE = ("unscored", "undecided", "unexplained")
"""Columns that are said to be empty, where they are, instead of shown."""


def error_sources(name: str, table: pa.Table, title: str) -> Laid:
    """Shares of the errors by what drives them: as a whole, by subset, and folded all of them."""
    rows = shown_rows(table.to_pylist())
    subset, on = one_subset(rows)
    heading = ", ".join(filter(None, (title, on)))
    whole = _shares(table, [row for row in rows if row["subset"] == subset], heading)
    several = len({row["subset"] for row in rows}) > 1
    left = _left_out(name, table.to_pylist())
    first = Sheet(heading, whole.columns, whole.rows, (*whole.notes, *left))
    if not several:
        return Laid(first, (Block(name, sheet=first),))
    pivot = _by_subset(rows, f"{title}: BG-Er / Fine-Er by subset")
    kept = pa.Table.from_pylist(rows, table.schema)
    blocks = (Block(name, sheet=first), Block(f"{name}_subsets", sheet=pivot))
    return Laid(pivot, (*blocks, *_each_share(name, kept)))


def _each_share(name: str, table: pa.Table) -> list[Block]:
    """A folded sheet for each share: a row per model, a column per subset, with intervals."""
    blocks = []
    for key, _, said in SHARES:
        if any(table[key].to_pylist()):
            meaning = layouts.meaning(table.schema.field(key))
            sheet = layouts.pivot(
                table, key, f"{said}, by subset", notes=[f"{meaning[0].upper()}{meaning[1:]}."]
            )
            blocks.append(on_page(name, sheet, key, folded=True))
    return blocks


def _shares(table: pa.Table, rows: Sequence[Row], title: str) -> Sheet:
    """A row per model with every share and its interval."""
    none = [key for key in RARE if all(row[key] == 0 for row in rows)]
    there = [(key, heading) for key, heading, _ in SHARES if key not in none]
    columns = [Column("model"), Column("errors", number=True, meaning="misclassified images")]
    for key, heading in there:
        columns.append(Column(heading, True, layouts.meaning(table.schema.field(key))))  # noqa: FBT003 - number
    body = []
    for row in rows:
        cells = [_interval(row, key) for key, _ in there]
        body.append((Cell(row["model"]), count(row["n_errors"]), *cells))
    notes = [
        (
            "Percent of all errors. BG-Er: driven by the background, the region that explains the "
            "prediction overlaps the background more than the object; chance: how often that would "
            "be said of maps of the same values in random order. Excess, which needs no threshold: "
            "the map has more of its mass on the background than the background fills; chance "
            "likewise. Mass: mean share of the map's positive mass on the background. Fine-Er, "
            "other and unscored are driven by the object: the two classes look alike, do not, or "
            "nobody judged. With BG-Er, undecided and unexplained they add up to 100."
        ),
        *how(rows),
    ]
    if none:
        notes.append(f"No error is {' or '.join(none)}.")
    if any(row["n_errors"] and row["background"] is None for row in rows):
        notes.append("Of a model that makes no error in a subset there is no average.")
    if any(cell.interval for line in body for cell in line):
        notes.insert(1, layouts.INTERVALS)
    return Sheet(title, tuple(columns), tuple(body), tuple(notes))


def _interval(row: Row, key: str) -> Cell:
    if key in PLAIN:
        return number(row[key], 1)
    return number(row[key], 1, low=row.get(f"{key}_low"), high=row.get(f"{key}_high"))


def _left_out(name: str, rows: Sequence[Row]) -> list[str]:
    """Where the explanations are that this sheet does not show."""
    chosen = chosen_methods(rows)
    others = {row["method"] for row in rows if chosen[row["model"]] != row["method"]}
    if not others:
        return []
    ways = "1 other way" if len(others) == 1 else f"{len(others)} other ways"
    return [f"Errors were explained in {ways} too: see below, and tables/{name}.csv."]


def _by_subset(rows: Sequence[Row], title: str) -> Sheet:
    """The paper's table 4: a row per model, two numbers per subset, chance below them."""
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    found = {(row["model"], row["subset"]): row for row in rows}
    body = []
    for model in dict.fromkeys(row["model"] for row in rows):
        line = [Cell(model)]
        for subset in subsets:
            row = found.get((model, subset), {})
            line.append(_two(row) if row.get("background") is not None else Cell(NONE))
        body.append(tuple(line))
    note = (
        "Percent of all errors: driven by the background (BG-Er) / driven by the object between "
        "classes that look alike (Fine-Er); below, the BG-Er of random maps. Bold: the whole 95% "
        "interval of BG-Er lies above that. Sorted by BG-Er."
    )
    columns = (Column("model"), *(Column(name, number=True) for name in subsets))
    return Sheet(title, columns, tuple(body), (note,))


def _two(row: Row) -> Cell:
    background, fine = number(row["background"], 1), number(row["fine"], 1)
    chance, low = row.get("chance"), row.get("background_low")
    above = chance is not None and low is not None and low > chance
    below = "" if chance is None else f"chance {number(chance, 1).text}"
    return Cell(f"{background.text} / {fine.text}", background.value, below, best=above)


def judge_agreement(name: str, table: pa.Table, title: str) -> Laid:
    """How far judges agree about which classes look alike."""
    note = (
        "Cohen's kappa: 1 where two judges say the same of every pair of classes, 0 where they "
        "agree as often as chance makes judges agree who find as many pairs alike as these; the "
        "interval is 95%, pairs of classes drawn with replacement. Shares of pairs found alike, "
        f"and pairs counted as often as errors confuse them, are in tables/{name}.csv."
    )
    leave = ("similar_a", "similar_b", "n_errors", "agreement_errors", "kappa_errors")
    sheet = layouts.tidy(table, title, leave=leave)
    sheet = Sheet(title, sheet.columns, sheet.rows, (note,))
    return Laid(sheet, (on_page(name, sheet),))


def cluster_study(name: str, table: pa.Table, title: str) -> Laid:
    """Cost and faithfulness for each number of clusters; its figure stands before it."""
    leave = [key for key in SETTINGS if len(set(table[key].to_pylist())) == 1]
    same = ", ".join(f"{layouts.titled(key)} {table[key][0].as_py()}" for key in leave)
    notes = [
        (
            "Forwards: seconds per image in plain forward passes of the same model, measured in "
            "the same run. Deletion: lower is better; insertion: higher is better."
        ),
        *([f"In all rows: {same}."] if same else []),
    ]
    sheet = layouts.tidy(table, title, notes, leave)
    return Laid(sheet, (on_page(name, sheet, folded=True),))


def published_errors(name: str, table: pa.Table, title: str) -> Laid:
    """Measured beside published shares: a sheet for each statistic, folded all rows."""
    whole = layouts.tidy(table, title)
    there = [row for row in table.to_pylist() if row["measured"] is not None]
    # An error rate has no method; of several methods those count that have their default options.
    rows = [row for row in there if row.get("default") in (None, True)] or there
    blocks: list[Block] = []
    for statistic in dict.fromkeys(row["statistic"] for row in rows):
        mine = [row for row in rows if row["statistic"] == statistic]
        sheet = _differences(mine, f"{title}: {statistic}")
        blocks.append(on_page(name, sheet, str(len(blocks))))
    return Laid(whole, (*blocks, on_page(name, whole, "all", folded=bool(blocks))))


def _differences(rows: Sequence[Row], title: str) -> Sheet:
    """A row per model, place, method and judge, a column per data set."""
    data = list(dict.fromkeys(row["data"] for row in rows))
    several = len({row["method"] for row in rows}) > 1
    apart = ["model", "place"]
    apart += [key for key in ("method",) if several]
    apart += [key for key in ("judge",) if any(row["judge"] for row in rows)]
    lines: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(tuple(row[key] for key in apart), {})[row["data"]] = row
    body = []
    for names, found in lines.items():
        cells = [_difference(found.get(one)) for one in data]
        body.append((*(Cell(name or NONE) for name in names), *cells))
    columns = (*map(Column, apart), *(Column(one, number=True) for one in data))
    note = (
        "Measured minus published in percentage points; below it measured / published. Bold: the "
        "published number lies outside the 95% interval of the measured one."
    )
    return Sheet(title, columns, tuple(body), (note, *_how_compared(rows)))


def _how_compared(rows: Sequence[Row]) -> list[str]:
    """Which methods the measured numbers come from, and who judged for the paper."""
    names = [str(name) for name in dict.fromkeys(row["method"] for row in rows) if name]
    said = [f"Explained by {'; '.join(names)}."] if names else []
    if any(row["judge"] for row in rows):
        said.append("The paper's judge was GPT-4o.")
    return said


def _difference(row: Row | None) -> Cell:
    if row is None:
        return Cell(NONE)
    one = number(row["difference"], 1, sign=True)
    both = f"{number(row['measured'], 1).text} / {number(row['published'], 1).text}"
    return Cell(one.text, one.value, both, best=row["inside"] is False)


LAYOUTS: dict[str, Callable[[str, pa.Table, str], Laid]] = {
    "error_sources": error_sources,
    "error_sensitivity": error_sensitivity,
    "judge_agreement": judge_agreement,
    "cluster_study": cluster_study,
    "published_errors": published_errors,
}
"""Kind of table -> how it is laid out."""
KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("error_sources", frozenset({"n_errors", "fine"})),
    ("error_sensitivity", frozenset({"n_errors", "threshold", "margin"})),
    ("judge_agreement", frozenset({"judge_a", "kappa"})),
    ("cluster_study", frozenset({"clusters", "deletion_top1"})),
    ("published_errors", frozenset({"published", "judge", "data"})),
)
"""What a table is about, told by columns that it has."""
SECTIONS: dict[str, str] = {
    "error_sources": "errors",
    "error_sensitivity": "errors",
    "judge_agreement": "errors",
    "cluster_study": "errors",
    "published_errors": "published",
}
"""The section of each kind."""
