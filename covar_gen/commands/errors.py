"""`covar-gen errors`: what each error of an evaluation is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.evaluation.analyses.error_sources import error_sources as sources_table
from covar_gen.evaluation.error_sources import SWEEP, variants
from covar_gen.evaluation.evaluated import complete_models
from covar_gen.evaluation.explained import JUDGED, explained, label, short_label
from covar_gen.evaluation.judges import Choice, Judge, VerdictFile, default_judge, verdicts_file
from covar_gen.evaluation.judging import ask, ready
from covar_gen.evaluation.preparing import stored_classes
from covar_gen.evaluation.results import Results, open_results

NONE = "none"
"""Instead of a judge: nobody is asked."""
SHOWN = 4
"""From so many models on, they are counted instead of named."""


class Counted(NamedTuple):
    """What errors are made of.

    Attributes:
        rows: of the table `error_sources`: those of the models and the method asked for.
        others: what is explained there too: method in short -> models.
    """

    rows: list[dict[str, Any]]
    others: dict[str, list[str]]


def errors(
    folder: Path,
    *,
    models: str | None = None,
    masks: str | None = None,
    method: str = "cci",
    options: dict[str, Any] | None = None,
    sweep: bool = False,
    judge: str | None = None,
    judge_options: dict[str, Any] | None = None,
    verdicts: Path | None = None,
    device: str | None = None,
    processes: int = 1,
    say: Callable[[str], None] = lambda _line: None,
) -> Counted:
    """Explain the errors, have the confused classes judged, and count.

    Args:
        folder: the evaluation folder.
        models: names and groups, separated by commas; None: all that are complete.
        masks: a run folder with masks; None: the run that was evaluated.
        method: an attribution method.
        options: the method's own.
        sweep: also with other numbers of clusters and layers.
        judge: a judge of visual similarity; None: the default one; `none`: nobody.
        judge_options: the judge's own.
        verdicts: the file in which verdicts are kept; None: the one in the cache.
        device: a torch device.
        processes: how many share the work.
        say: is told what is tried, and which judge spoke and why.

    Returns:
        The rows of the table `error_sources` that were asked for, and what else there is.

    Raises:
        CovarError: whatever stops it.
    """
    results = open_results(folder)
    names = complete_models(results, models)
    tried = variants(method, options or {}, SWEEP if sweep else SWEEP[:1])
    cache = VerdictFile(verdicts or verdicts_file())
    spoken = _chosen(results, judge, judge_options or {}, cache) if judge != NONE else None
    arguments = [str(folder), "--models", ",".join(names), "--method", method]
    arguments += ["--options", json.dumps(options or {}), *(["--sweep"] if sweep else [])]
    for option, value in (("--masks", masks), ("--device", device)):
        arguments += [option, value] if value is not None else []
    if sweep:
        named = "; ".join(short_label(each.identity()) for each in tried)
        say(f"explaining each error {len(tried)} times: {named}")
    run_processes("evaluation.error_sources", arguments, processes, progress("error_sources"))
    results = open_results(folder)
    if spoken:
        found = ask(results, spoken[0], cache, results.root / JUDGED)
        say(f"judge: {found.line()}; {spoken[1]}")
    return _counted(results, names, label(tried[0].identity()))


def _counted(results: Results, names: Sequence[str], method: str) -> Counted:
    """Rows of these models by a method, and which models were explained otherwise."""
    rows = sources_table(results, replicates=1).to_pylist()
    asked_for = [row for row in rows if row["method"] == method and row["model"] in names]
    others: dict[str, list[str]] = {}
    for each in explained(results):
        if each.method != method or each.model not in names:
            others.setdefault(each.short, []).append(each.model)
    return Counted(asked_for, others)


def _chosen(
    results: Results, name: str | None, options: dict[str, Any], cache: VerdictFile
) -> tuple[Judge, str]:
    """The judge that is to be asked, and why this one; a wrong choice is refused at once."""
    classes = stored_classes(results)
    choice = Choice(name, "as chosen") if name else default_judge(classes.wnids)
    judge = ready(choice.name, options, results, classes)
    judge.check()
    if judge.kept and not cache.known(judge):
        # Better now than after hours of explaining; with verdicts in the file none may be needed.
        judge.reach()
    return judge, choice.why


def lines(counted: Counted) -> list[str]:
    """The rows asked for, one line per model and subset, and what else has been explained."""
    said = [_line(row) for row in counted.rows]
    if counted.others:
        listed = "; ".join(
            f"{method} ({', '.join(models) if len(models) < SHOWN else f'{len(models)} models'})"
            for method, models in counted.others.items()
        )
        said.append(f"in the report's table error_sources too: {listed}")
    return said


def _line(row: dict[str, Any]) -> str:
    """One subset of one model, shares in percent of its errors."""
    shares = [
        f"{name} {row[name]:.1f}"
        for name in ("background", "fine", "other", "unscored", "undecided", "unexplained")
        if row[name]
    ]
    said = f"{row['model']} {row['subset']}: {row['n_errors']} errors"
    if shares:
        said += f": {', '.join(shares)}"
    elif row["n_errors"]:
        said += ": no shares, as a subset has no errors"
    if row["chance"] is not None:
        random = f"background {row['chance']:.1f}, excess {row['excess_chance']:.1f}"
        said += f"; excess {row['excess']:.1f}; random maps: {random}"
    return said
