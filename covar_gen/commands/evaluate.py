"""`covar-gen evaluate`: processes that share an evaluation, and what it comes to in short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.evaluation.analyses.accuracy import accuracy
from covar_gen.evaluation.analyses.marks import AVERAGE
from covar_gen.evaluation.models.base import public_name
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.preparing import make_folder
from covar_gen.evaluation.results import open_results


@dataclass(frozen=True)
class Scored:
    """A model in one line.

    Attributes:
        model: its name.
        subsets: top-1 accuracy of each subset and on average, in %; None where nothing was scored.
        images: number of images scored.
        rejected: number of images that could not be read.
    """

    model: str
    subsets: dict[str, float | None]
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
    wanted = {public_name(name) for name in names}
    return [found for found in scored(out) if found.model in wanted]


def scored(out: Path) -> list[Scored]:
    """The complete models of an evaluation folder, each in short."""
    results = open_results(out)
    # The page gives intervals; one replicate gives the numbers at once.
    rows = accuracy(results, replicates=1).to_pylist()
    found = []
    for model in results.models():
        of_model = [row for row in rows if row["model"] == model]
        counted = [row for row in of_model if row["subset"] != AVERAGE]
        found.append(
            Scored(
                model,
                {row["subset"]: row["accuracy"] for row in of_model},
                sum(row["n_images"] for row in counted),
                sum(row["n_rejected"] for row in counted),
            )
        )
    return found
