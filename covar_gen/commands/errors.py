"""`covar-gen errors`: what each error of an evaluation is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from covar_gen.core.errors import EvaluationFolderError
from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.evaluation.analyses.error_sources import error_sources as sources_table
from covar_gen.evaluation.explained import JUDGED
from covar_gen.evaluation.judges import Choice, Judge, VerdictFile, default_judge, verdicts_file
from covar_gen.evaluation.judging import ask, ready
from covar_gen.evaluation.models.base import public_name
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.preparing import stored_classes
from covar_gen.evaluation.results import Results, open_results

NONE = "none"
"""Instead of a judge: nobody is asked."""


def errors(
    folder: Path,
    *,
    models: str | None = None,
    masks: str | None = None,
    method: str = "cci",
    options: dict[str, Any] | None = None,
    judge: str | None = None,
    judge_options: dict[str, Any] | None = None,
    device: str | None = None,
    processes: int = 1,
    say: Callable[[str], None] = lambda _line: None,
) -> list[dict[str, Any]]:
    """Explain the errors, have the confused classes judged, and count.

    Args:
        folder: the evaluation folder.
        models: names and groups, separated by commas; None: all that are complete.
        masks: a run folder with masks; None: the run that was evaluated.
        method: an attribution method.
        options: the method's own.
        judge: a judge of visual similarity; None: the default one; `none`: nobody.
        judge_options: the judge's own.
        device: a torch device.
        processes: how many share the work.
        say: is told which judge spoke and why.

    Returns:
        The rows of the table `error_sources`.

    Raises:
        CovarError: whatever stops it.
    """
    results = open_results(folder)
    names = [public_name(name) for name in expand(models)] if models else results.models()
    if not names:
        mend = "Type the same `covar-gen evaluate` command again: it goes on"
        raise EvaluationFolderError("no model is complete yet", where=folder, mend=mend)
    asked = _chosen(results, judge, judge_options or {}) if judge != NONE else None
    arguments = [str(folder), "--models", ",".join(names), "--method", method]
    arguments += ["--options", json.dumps(options or {})]
    for option, value in (("--masks", masks), ("--device", device)):
        arguments += [option, value] if value is not None else []
    run_processes("evaluation.error_sources", arguments, processes, progress("error_sources"))
    results = open_results(folder)
    if asked:
        found = ask(results, asked[0], VerdictFile(verdicts_file()), results.root / JUDGED)
        say(f"judge: {found.line()}; {asked[1]}")
    return list(sources_table(results, replicates=1).to_pylist())


def _chosen(results: Results, name: str | None, options: dict[str, Any]) -> tuple[Judge, str]:
    """The judge that is to be asked, and why this one; a wrong choice is refused at once."""
    classes = stored_classes(results)
    choice = Choice(name, "as chosen") if name else default_judge(classes.wnids)
    judge = ready(choice.name, options, results, classes)
    judge.check()
    return judge, choice.why


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table in short: one line per model, method and subset."""
    said = []
    for row in rows:
        shares = ", ".join(
            f"{name} {row[name]:.1f}"
            for name in ("background", "fine", "other", "unscored", "undecided", "unexplained")
            if row[name]
        )
        errors = f"{row['n_errors']} errors"
        said.append(f"{row['model']} {row['subset']}: {errors}{': ' if shares else ''}{shares}")
    return said
