"""The command line that every stage file has: `python -m covar_gen.stage_X --run RUN`.

Also what runs behind it: the process's log, its progress, its temporaries, and errors as one
line with exit code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from covar_gen.core.errors import CovarError, storage_error
from covar_gen.core.files import Staging, sweep
from covar_gen.core.pipeline import Report, run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.stage import Stage, Tally
from covar_gen.core.store import Run, open_run

PROGRESS = "COVAR_PROGRESS"
"""Set to `lines` by `covar-gen run`: progress as `done total` on standard output."""
THREADS = "COVAR_THREADS"
"""Threads that decode and encode; two by default."""
STOPPED = 130
"""Exit code of what was stopped with Ctrl-C."""
LEASH = "COVAR_ENDS_WITH_STDIN"
"""Set by `covar-gen run`: the process ends when its standard input does."""

log = logging.getLogger("covar_gen")


def stage_main(
    make: Callable[[Run, argparse.Namespace], Stage],
    description: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None,
) -> int:
    """Run a stage from the command line.

    Args:
        make: the stage for a run and the parsed arguments.
        description: the stage's docstring.
        add_arguments: adds the stage's own arguments.

    Returns:
        0; 2 for what the user can mend.
    """
    return main_of(
        description,
        lambda run, arguments, staging: run_here(
            make(run, arguments), staging, limit=arguments.limit
        ),
        add_arguments,
    )


def main_of(
    description: str | None,
    work: Callable[[Run, argparse.Namespace, Staging], Tally | None],
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _parser: None,
) -> int:
    """Parse --run and --limit, open the run, do the work, and answer errors with one line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="the run folder")
    parser.add_argument(
        "--limit",
        type=_count,
        metavar="N",
        help="only the first N photographs, evenly over classes",
    )
    add_arguments(parser)
    arguments = parser.parse_args()
    leash()
    return guarded(lambda: _in_run(arguments, work), arguments.run)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def guarded(work: Callable[[], object], where: Path | str) -> int:
    """Do some work; what the user can mend becomes one line and exit code 2.

    Args:
        work: what to do.
        where: the path to name when the disk fails without naming one.
    """
    try:
        work()
    except CovarError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        found = storage_error(error, where)
        if found is None:
            raise
        print(found.line(), file=sys.stderr)
        return found.exit_code
    except MemoryError:
        print("MemoryError: not enough memory. Lower block, or processes", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _stopped()
    except SystemExit as end:
        # Typer has answered Ctrl-C already, without a word.
        if end.code == STOPPED:
            return _stopped()
        raise
    return 0


def _stopped() -> int:
    print("stopped; the same command goes on from here", file=sys.stderr)
    return STOPPED


def _in_run(
    arguments: argparse.Namespace, work: Callable[[Run, argparse.Namespace, Staging], Tally | None]
) -> None:
    run = open_run(arguments.run)
    sweep(run.root)
    staging = Staging(run.root)
    try:
        work(run, arguments, staging)
    finally:
        staging.close()


def run_here(stage: Stage, staging: Staging, *, limit: int | None = None) -> Tally:
    """Run this process's share of a stage, with its log and its progress."""
    ranks = Ranks.from_environment()
    with logging_to(stage.run.root, stage.table, ranks):
        tally = run_stage(
            stage,
            staging,
            ranks,
            threads=int(os.environ.get(THREADS, "2")),
            limit=limit,
            report=progress(stage.table),
        )
        log.info("%s, process %d of %d: %s", stage.table, ranks.rank, ranks.world, tally.line())
    if os.environ.get(PROGRESS) != "lines":
        print(f"{stage.table}: {tally.line()}")
    return tally


def threads_given() -> int:
    """Threads of a process that also computes: as COVAR_THREADS says, or one for each core."""
    return int(os.environ.get(THREADS) or os.cpu_count() or 1)


class _LogFile(logging.FileHandler):
    """A log whose own failure stops nothing: a full disk is met again where it matters."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Say nothing of a line that could not be written."""

    def close(self) -> None:
        """Close, whatever the disk says of the last lines."""
        with contextlib.suppress(OSError):
            super().close()


class logging_to:  # noqa: N801 - reads as a function: with logging_to(...)
    """Send the log of a table's making to logs/<table>-<rank>.log while it lasts."""

    def __init__(self, root: Path, table: str, ranks: Ranks) -> None:
        folder = root / "logs"
        folder.mkdir(exist_ok=True)
        self.handler = _LogFile(folder / f"{table}-{ranks.rank}.log", encoding="utf-8", delay=True)
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> None:
        log.addHandler(self.handler)
        log.setLevel(logging.INFO)
        log.propagate = False

    def __exit__(self, *_exception: object) -> None:
        log.removeHandler(self.handler)
        self.handler.close()


def progress(table: str) -> Report:
    """What tells of progress: a bar on a terminal, a line now and then elsewhere."""
    if os.environ.get(PROGRESS) == "lines":
        return lambda done, total: print(f"{done} {total}", flush=True)
    if sys.stderr.isatty():
        return _bar(table)
    return _lines(table)


def _lines(table: str, every: float = 10.0) -> Report:
    started = last = time.monotonic()
    said = 0

    def report(done: int, total: int) -> None:
        nonlocal last, said
        now = time.monotonic()
        if done > said and (now - last >= every or done == total):
            last, said = now, done
            rate = done / max(now - started, 1e-9)
            left = (total - done) / rate
            print(f"{table}: {done}/{total}, {rate:.1f}/s, {left:.0f} s left", file=sys.stderr)

    return report


def _bar(table: str) -> Report:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(table, total=None, rate=0.0)
    started = time.monotonic()

    def report(done: int, total: int) -> None:
        if not total:
            return
        bar.start()
        rate = done / max(time.monotonic() - started, 1e-9)
        bar.update(task, completed=done, total=total, rate=rate)
        if done >= total:
            bar.stop()

    return report


def leash() -> None:
    """End this process when the one that started it ends, if that one asked for it."""
    if not os.environ.get(LEASH):
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(143)

    threading.Thread(target=wait, daemon=True).start()
