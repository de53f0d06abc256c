"""`covar-gen evaluate`: processes that share an evaluation, and what it comes to in short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.evaluation.models.base import public_name
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.preparing import make_folder
from covar_gen.evaluation.results import open_results


@dataclass(frozen=True)
class Scored:
    """A model in one line.

    Attributes:
        model: its name.
        top1: share of the images whose best class is the true one, in %.
        images: number of images scored.
        rejected: number of images that could not be read.
    """

    model: str
    top1: float
    images: int
    rejected: int


def evaluate(
    data: str,
    models: str,
    out: Path,
    options: Mapping[str, object],
    *,
    processes: int = 1,
) -> list[Scored]:
    """Evaluate models in processes of their own.

    Args:
        data: the images.
        models: names and groups, separated by commas.
        out: the evaluation folder.
        options: of covar_gen.evaluation.zero_shot's command line, by name; None is left out.
        processes: how many share the work.

    Raises:
        CovarError: whatever stops an evaluation.
    """
    names = expand(models.split(","))
    make_folder(out)
    arguments = [data, "--models", models, "--out", str(out)]
    for name, value in options.items():
        if value is True:
            arguments.append(f"--{name}")
        elif value is not None and value is not False:
            arguments += [f"--{name}", str(value)]
    run_processes("evaluation.zero_shot", arguments, processes, progress("zero_shot"))
    return [_scored(out, public_name(name)) for name in names]


def _scored(out: Path, model: str) -> Scored:
    found = open_results(out).predictions(model)
    count = int(found.ok.sum())
    right = int((found.true_rank == 1).sum())
    top1 = 100 * right / count if count else float(np.nan)
    return Scored(model, top1, count, len(found.ok) - count)
