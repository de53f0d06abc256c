"""`covar-gen report`: the tables, the figures and the page of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from covar_gen.evaluation.report.page import make_report
from covar_gen.evaluation.report.writing import FIGURES, TABLES
from covar_gen.evaluation.results import open_results


@dataclass(frozen=True)
class Reported:
    """What was written.

    Attributes:
        page: the HTML file.
        tables: number of tables.
        figures: number of figures.
    """

    page: Path
    tables: int
    figures: int


def report(folder: Path, *, compare_paper: bool = False, models: str | None = None) -> Reported:
    """Write an evaluation's report into its folder.

    Args:
        folder: the evaluation folder.
        compare_paper: also puts the paper's numbers and claims beside the measured ones.
        models: names and groups of the zoo, separated by commas; None: all that are complete.

    Raises:
        CovarError: the folder is no evaluation, or lacks what is asked for.
    """
    page = make_report(open_results(folder), compare_paper=compare_paper, group=models)
    tables = len(list((folder / TABLES).glob("*.parquet")))
    figures = len(list((folder / FIGURES).glob("*.svg")))
    return Reported(page, tables, figures)
