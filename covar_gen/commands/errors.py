"""`covar-gen errors`: what each error of an evaluation is made of."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.errors import EvaluationFolderError
from covar_gen.core.files import Staging
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.evaluation.analyses.error_sources import drivers
from covar_gen.evaluation.analyses.error_sources import error_sources as sources_table
from covar_gen.evaluation.explained import JUDGED, explained
from covar_gen.evaluation.judges import (
    VerdictFile,
    class_pair,
    default_judge,
    get_judge,
    judge_pairs,
    verdicts_file,
)
from covar_gen.evaluation.models.base import public_name
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.preparing import stored_classes
from covar_gen.evaluation.results import CLASS_ROWS, Results, open_results

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
    arguments = [str(folder), "--models", ",".join(names), "--method", method]
    arguments += ["--options", json.dumps(options or {})]
    for option, value in (("--masks", masks), ("--device", device)):
        arguments += [option, value] if value is not None else []
    run_processes("evaluation.error_sources", arguments, processes, progress("error_sources"))
    results = open_results(folder)
    if judge != NONE:
        _judge(results, judge, judge_options or {})
    return list(sources_table(results, replicates=1).to_pylist())


def _judge(results: Results, name: str | None, options: dict[str, Any]) -> None:
    """Have every pair of classes judged that an object-driven error confuses."""
    classes = stored_classes(results)
    chosen = name or default_judge(classes.wnids).name
    judge = get_judge(chosen, **options)
    if judge.wants_classifiers:
        judge.given(classes, _class_rows(results))
    pairs = [
        class_pair(classes, int(truth), int(said))
        for found in explained(results)
        for truth, said in zip(
            found.labels[drivers(found)[1]], found.predicted[drivers(found)[1]], strict=True
        )
    ]
    cache = VerdictFile(verdicts_file())
    verdicts = judge_pairs(pairs, judge, cache, classes.groups)
    rows = {
        (pair.truth, pair.predicted): {
            "truth": pair.truth,
            "predicted": pair.predicted,
            "truth_name": pair.truth_name,
            "predicted_name": pair.predicted_name,
            "similar": verdict.similar,
            "score": verdict.score,
            "reason": verdict.reason,
            "judge": judge.label,
        }
        for pair, verdict in zip(pairs, verdicts, strict=True)
    }
    staging = Staging(results.root)
    try:
        table = pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=_SCHEMA)
        staging.replace(results.root / JUDGED, parquet_bytes(table))
    finally:
        staging.close()


_SCHEMA = pa.schema(
    {
        "truth": pa.int32(),
        "predicted": pa.int32(),
        "truth_name": pa.string(),
        "predicted_name": pa.string(),
        "similar": pa.bool_(),
        "score": pa.float64(),
        "reason": pa.string(),
        "judge": pa.string(),
    }
)


def _class_rows(results: Results) -> dict[str, NDArray[np.float32]]:
    """The text embeddings of the classes, of every model that was evaluated."""
    found = {}
    for model in results.models():
        path = results.folder(model) / CLASS_ROWS
        if path.is_file():
            found[model] = np.load(io.BytesIO(path.read_bytes()))
    return found


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
