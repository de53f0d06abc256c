"""`covar-gen init` and `covar-gen run`: a run made, and all its stages one after another."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from covar_gen.commands.resolve import resolve
from covar_gen.commands.stages import stage_of
from covar_gen.core.errors import CovarError, RecipeError
from covar_gen.core.flow import Step, steps
from covar_gen.core.launch import LEASH, PROGRESS, THREADS, progress
from covar_gen.core.plan import lacks
from covar_gen.core.recipe import read_recipe, recipe_path
from covar_gen.core.store import Run, create_run
from covar_gen.stage_classes import identity

SUMMARIES = ("stage_classes", "stage_manifest")


class StageFailedError(CovarError):
    """A stage's process ended with an error; what it said stands above."""

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said, mend="")
        self.exit_code = code

    def line(self) -> str:
        """What the process said."""
        return self.what


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


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    done: int = 0
    total: int = 0
    said: list[str] = field(default_factory=list)


def _run_step(run: Run, step: Step, processes: int, limit: int | None) -> None:
    # -P: a file of the user's in the working folder must not be taken for a library.
    command = [sys.executable, "-P", "-m", f"covar_gen.{step.module}", "--run", str(run.root)]
    command += [*step.arguments, *(["--limit", str(limit)] if limit is not None else [])]
    children = [_Child(_start(command, rank, processes)) for rank in range(processes)]
    readers = [
        threading.Thread(target=target, args=(child, stream), daemon=True)
        for child in children
        for target, stream in (
            (_read_progress, child.process.stdout),
            (_read_errors, child.process.stderr),
        )
    ]
    for reader in readers:
        reader.start()
    report = progress(step.table)
    try:
        while any(child.process.poll() is None for child in children):
            report(sum(c.done for c in children), sum(c.total for c in children))
            if any(child.process.poll() for child in children):
                break
            _wait(children)
    finally:
        ended = [child for child in children if child.process.poll()]
        for child in children:
            child.process.terminate()
        for child in children:
            child.process.wait()
    for reader in readers:
        reader.join()
    _check(step, ended or children)
    report(sum(c.done for c in children), sum(c.total for c in children))


def _wait(children: Sequence[_Child]) -> None:
    for child in children:
        if child.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=0.2)
            return


def _check(step: Step, children: Sequence[_Child]) -> None:
    # A process that this one ended carries no news: the one that failed by itself does.
    failed = [c for c in children if c.process.returncode > 0]
    killed = [c for c in children if c.process.returncode < 0]
    for child in [*failed, *killed]:
        code = child.process.returncode
        said = "\n".join(child.said) or f"{step.module} was killed by signal {-code}"
        raise StageFailedError(said, code if code > 0 else 1)


def _start(command: list[str], rank: int, processes: int) -> subprocess.Popen[bytes]:
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        THREADS: threads,
        PROGRESS: "lines",
        LEASH: "1",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


def _read_progress(child: _Child, stream: IO[bytes]) -> None:
    for line in stream:
        numbers = line.split()
        if len(numbers) == 2 and all(n.isdigit() for n in numbers):  # noqa: PLR2004
            child.done, child.total = int(numbers[0]), int(numbers[1])


def _read_errors(child: _Child, stream: IO[bytes]) -> None:
    child.said.extend(line.decode(errors="replace").rstrip() for line in stream)
