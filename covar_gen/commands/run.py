"""`covar-gen init` and `covar-gen run`: a run made, and all its stages one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from covar_gen.commands.resolve import resolve
from covar_gen.commands.stages import stage_of
from covar_gen.core.errors import RecipeError
from covar_gen.core.flow import Step, steps
from covar_gen.core.launch import progress
from covar_gen.core.plan import lacks
from covar_gen.core.processes import run_processes
from covar_gen.core.recipe import read_recipe, recipe_path
from covar_gen.core.store import Run, create_run
from covar_gen.stage_classes import identity

SUMMARIES = ("stage_classes", "stage_manifest")


def init(recipe: str | Path, root: Path, changes: dict[str, Any] | None = None) -> Run:
    """Resolve a recipe and freeze it into a run folder; a run of the same recipe is opened.

    Args:
        recipe: a file, or the name of a shipped recipe.
        root: the run folder; made if it is not there.
        changes: values to set in the recipe, by dotted key.

    Raises:
        CovarError: the recipe, the photographs, the tools or the folder are not as they should be.
    """
    path = recipe_path(recipe)
    resolved = resolve(read_recipe(path, _from_here(changes)), path.parent, root)
    # Every stage looks at its section now, not after days of work by the stages before it.
    for step in steps(resolved):
        if step.module not in SUMMARIES:
            stage_of(Run(root, resolved), step.table)
    return create_run(root, resolved)


def _from_here(changes: dict[str, Any] | None) -> dict[str, Any]:
    """Changes with a path of the photographs that was typed relative to the working folder."""
    found = dict(changes or {})
    path = found.get("classes.path")
    if isinstance(path, str) and Path(path).expanduser().exists():
        found["classes.path"] = str(Path(path).expanduser().resolve())
    return found


def run_all(
    run: Run, *, processes: int = 1, only: str | None = None, limit: int | None = None
) -> None:
    """Run the stages of a run that have anything left to do.

    Args:
        run: the run.
        processes: how many processes share each stage.
        only: one stage's name ("masks", "geometry", ...) or table; None for all.
        limit: photographs to work on, evenly over the classes; None for all.

    Raises:
        StageFailedError: a process ended with an error; its exit code is kept.
        RecipeError: no stage of that name in the recipe.
    """
    chosen = steps(run.recipe)
    if only is not None:
        chosen = [s for s in chosen if only in (s.table, s.module.removeprefix("stage_"))]
        if not chosen:
            known = sorted({s.module.removeprefix("stage_") for s in steps(run.recipe)})
            what = f"the recipe has no stage {only!r}"
            raise RecipeError(what, where="--stage", mend=f"Known: {', '.join(known)}")
    for step in chosen:
        done = step.table != "manifest" and not lacks(run, step.table, limit)
        if done:
            compare(run, step.table)
        if done and only is None:
            continue
        count = 1 if step.module in SUMMARIES else processes
        _run_step(run, step, count, limit)


def compare(run: Run, table: str) -> None:
    """Check that a table was made with what makes it today.

    Raises:
        MixtureError: with something else.
    """
    today = identity(run) if table == "sources" else stage_of(run, table).identity()
    run.compare(table, today)


def _run_step(run: Run, step: Step, processes: int, limit: int | None) -> None:
    arguments = ["--run", str(run.root), *step.arguments]
    arguments += ["--limit", str(limit)] if limit is not None else []
    run_processes(step.module, arguments, processes, progress(step.table))
