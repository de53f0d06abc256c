"""The rows of docs/validation.csv, and the tables of docs/validation.md that are made of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from covar_gen.evaluation.rows import THRESHOLDS

USUAL = ("all", "positive", 7)
"""CCI's layers, normalisation and K where none is given."""
ALL = "all three"
VARIED, SCALE = "bg_varied", "scale"
EXCESS = "excess"
SHARES = """\
Percent of the errors that each verdict calls background-driven; beside it, of random maps of the
same values. Overlap: threshold 0.5."""
HITS = """\
Percent called background-driven: of the truly background-driven errors / of the others."""
AGREEMENT = """\
Agree: percent of all errors with the right verdict, undecided ones counted as wrong. Balanced: the
mean of the agreement on true and on other errors; always giving the same answer has 50. In brackets
random maps, whose undecided ones count as right in the agreement on other errors. AUC: of the mass
share on the background (overlap), and of its excess. Overlap: threshold 0.5."""


@dataclass(frozen=True)
class Row:
    """A row of validation.csv: one way of judging, of one model on some images.

    Attributes:
        model: its name, or `all three`, their errors together.
        data: which images: a subset, or a scale factor of the subset scale.
        layers: CCI's option.
        normalisation: CCI's option.
        clusters: CCI's option.
        verdict: `excess`, or the threshold of the verdict by overlap.
        errors: misclassified images.
        true: those whose predicted class is that of the background.
        undecided: on which the verdict decides nothing; they agree with neither truth.
        agree: errors with the right verdict, percent of all.
        random_agree: the same of random maps at most: what they leave undecided counts as right
            where the error is not a true one.
        called: errors called background-driven, percent of all.
        random_called: the same of random maps.
        hits: of the true errors, percent called background-driven.
        alarms: of the other errors, percent called background-driven.
        random_hits: of the true errors, percent so called by random maps of the same values.
        random_alarms: of the other errors.
        auc: chance in percent that a true error's map has more on the background than another's:
            its share, for excess what is above the share that the background fills.
    """

    model: str
    data: str
    layers: str
    normalisation: str
    clusters: int
    verdict: str
    errors: int
    true: int
    undecided: int
    agree: float
    random_agree: float
    called: float
    random_called: float
    hits: float
    alarms: float
    random_hits: float
    random_alarms: float
    auc: float

    @property
    def balanced(self) -> float:
        """Mean of the agreement on true and on other errors: 50 says nothing, 100 all."""
        return (self.hits + 100 - self.alarms) / 2

    @property
    def random_balanced(self) -> float:
        """The same of random maps."""
        return (self.random_hits + 100 - self.random_alarms) / 2


def write(rows: Sequence[Row], path: Path) -> None:
    """Write validation.csv; what cannot be said is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row).items()
            writer.writerow({key: "" if str(value) == "nan" else value for key, value in values})


def read(path: Path) -> list[Row]:
    """The rows of validation.csv."""
    kinds = {each.name: {"int": int, "float": float, "str": str}[each.type] for each in fields(Row)}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(**{key: kinds[key](value or "nan") for key, value in row.items()})
            for row in csv.DictReader(file)
        ]


def pages(rows: Sequence[Row]) -> str:
    """The tables of validation.md, as markdown, from the rows of validation.csv."""
    usual = [row for row in rows if (row.layers, row.normalisation, row.clusters) == USUAL]
    parts = [
        "## Three models, default options",
        SHARES,
        _models(usual),
        "## Agreement by threshold, default options, three models together",
        HITS,
        _thresholds(usual, "hits", "alarms"),
        "Random maps:",
        _thresholds(usual, "random_hits", "random_alarms"),
        "## Agreement by layers, normalisation and K, three models together",
        AGREEMENT,
        *(part for data in (VARIED, SCALE) for part in (f"### {data}", _ways(rows, data))),
    ]
    return "\n\n".join(parts) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _models(usual: Sequence[Row]) -> str:
    heads = ["images", "model", "errors", "truly so", "overlap", "random maps"]
    heads += [EXCESS, "random maps"]
    found = {(row.data, row.model, row.verdict): row for row in usual}
    rows = []
    for data, model in dict.fromkeys((row.data, row.model) for row in usual):
        if model != ALL and data != SCALE:
            overlap, excess = (found[data, model, verdict] for verdict in ("0.5", EXCESS))
            shares = (overlap.called, overlap.random_called, excess.called, excess.random_called)
            counts = (str(overlap.errors), str(overlap.true))
            rows.append([data, model, *counts, *map(_text, shares)])
    return table(heads, rows)


def _thresholds(usual: Sequence[Row], hits: str, alarms: str) -> str:
    kinds = [*map(str, THRESHOLDS), EXCESS]
    rows = []
    for data in dict.fromkeys(row.data for row in usual):
        of_data = {row.verdict: row for row in usual if (row.data, row.model) == (data, ALL)}
        cells = [(getattr(of_data[k], hits), getattr(of_data[k], alarms)) for k in kinds]
        rows.append([data, *(f"{_text(yes)} / {_text(no)}" for yes, no in cells)])
    return table(["images", *kinds], rows)


def _ways(rows: Sequence[Row], data: str) -> str:
    heads = ["layers", "normalisation", "K", "overlap: agree", "balanced", "AUC"]
    heads += [f"{EXCESS}: agree", "balanced", "AUC"]
    chosen = [row for row in rows if (row.data, row.model) == (data, ALL)]
    found = {(r.layers, r.normalisation, r.clusters, r.verdict): r for r in chosen}
    cells = []
    for way in dict.fromkeys(key[:3] for key in found):
        line = [way[0], way[1], str(way[2])]
        for verdict in ("0.5", EXCESS):
            row = found[*way, verdict]
            line += [f"{_text(row.agree)} ({_text(row.random_agree)})"]
            line += [f"{_text(row.balanced)} ({_text(row.random_balanced)})", _text(row.auc)]
        cells.append(line)
    return table(heads, cells)


def _text(share: float) -> str:
    """Percent, a dash where there is nothing to count."""
    return "-" if np.isnan(share) else f"{share:.1f}"
