"""Several processes that share one piece of work, started and ended together on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from covar_gen.core.errors import CovarError
from covar_gen.core.launch import LEASH, PROGRESS, THREADS
from covar_gen.core.pipeline import Report


class StageFailedError(CovarError):
    """A process ended with an error; what it said stands above."""

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said, mend="")
        self.exit_code = code

    def line(self) -> str:
        """What the process said."""
        return self.what


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    done: int = 0
    total: int = 0
    said: list[str] = field(default_factory=list)


def run_processes(
    module: str,
    arguments: Sequence[str],
    processes: int,
    report: Report,
    threads: int | None = None,
) -> None:
    """Run `python -m MODULE ARGUMENTS` in several processes and wait for all of them.

    Args:
        module: below `covar_gen`, with a command line as of covar_gen.core.launch.
        arguments: of each process, the same for all.
        processes: how many.
        report: told of the progress of all together.
        threads: of each process; None: the machine's cores, shared out.

    Raises:
        StageFailedError: a process ended with an error; the others were ended, its exit code is
            kept.
    """
    # -P: a file of the user's in the working folder must not be taken for a library.
    command = [sys.executable, "-P", "-m", f"covar_gen.{module}", *arguments]
    threads = threads or max(1, (os.cpu_count() or 1) // processes)
    children = [_Child(_start(command, rank, processes, threads)) for rank in range(processes)]
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
    for child in children:
        for stream in (child.process.stdin, child.process.stdout, child.process.stderr):
            assert stream is not None
            stream.close()
    _check(module, ended or children)
    report(sum(c.done for c in children), sum(c.total for c in children))


def _wait(children: Sequence[_Child]) -> None:
    for child in children:
        if child.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=0.2)
            return


def _check(module: str, children: Sequence[_Child]) -> None:
    # A process that this one ended carries no news: the one that failed by itself does.
    failed = [c for c in children if c.process.returncode > 0]
    killed = [c for c in children if c.process.returncode < 0]
    for child in [*failed, *killed]:
        code = child.process.returncode
        said = "\n".join(child.said) or f"{module} was killed by signal {-code}"
        raise StageFailedError(said, code if code > 0 else 1)


def _start(command: list[str], rank: int, processes: int, threads: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        THREADS: str(threads),
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
        else:
            print(line.decode(errors="replace").rstrip(), file=sys.stderr)


def _read_errors(child: _Child, stream: IO[bytes]) -> None:
    child.said.extend(line.decode(errors="replace").rstrip() for line in stream)
