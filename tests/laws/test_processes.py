"""Laws 1 and 3: the result does not depend on how many processes there were, nor on who started
them; and a second process doing the same work at the same time changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.commands.stages import stage_of
from covar_gen.core import flow
from covar_gen.core.files import Staging
from covar_gen.core.launch import LEASH
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run

Content = Callable[[Path], dict[str, str]]
Steps = Callable[..., Run]
ROOT = Path(__file__).parents[2]


def ranks_that_ran(run: Run, table: str) -> list[tuple[int, int]]:
    """(rank, world) of every process that worked on a table."""
    records = [json.loads(p.read_text()) for p in run.folder(table).glob("made_with-*.json")]
    return sorted((record["rank"], record["world"]) for record in records)


def by_module(run: Run, table: str, **environment: str) -> subprocess.CompletedProcess[str]:
    step = flow.step_of(table)
    return subprocess.run(
        [sys.executable, "-m", f"covar_gen.{step.module}", "--run", run.root, *step.arguments],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_result_does_not_depend_on_the_number_of_processes_or_their_order(
    steps: Steps, content: Content
) -> None:
    one = steps("one")
    three = steps("three", only=["sources", "masks_sources"])
    for step in flow.steps(three.recipe)[2:-1]:
        for rank in (2, 0, 1):
            staging = Staging(three.root)
            run_stage(stage_of(three, step.table), staging, Ranks(rank, 3, rank), threads=1)
            staging.close()
        if step.table == "geometry":
            assert ranks_that_ran(three, "geometry") == [(0, 3), (1, 3), (2, 3)]
    steps("three", only=["manifest"])
    assert content(three.root) == content(one.root)


def test_covar_gen_run_shares_a_stage_over_processes(
    covar: Callable[..., subprocess.CompletedProcess[str]],
    steps: Steps, content: Content, recipe: Path, tmp_path: Path,
) -> None:  # fmt: skip
    one = steps("one")
    covar("run", recipe, "--run", "shared", "--processes", 2)
    shared = Run(tmp_path / "shared", one.recipe)
    assert ranks_that_ran(shared, "geometry") == [(0, 2), (1, 2)]
    assert content(shared.root) == content(one.root)


@pytest.mark.launch
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cpu", "--num_processes", "1"], [(0, 1)]),
        (["--multi_gpu", "--num_processes", "2"], [(0, 2), (1, 2)]),
    ],
)
def test_accelerate_launches_a_stage_file_in_as_many_processes_as_it_says(
    steps: Steps,
    accelerated: Callable[..., None],
    arguments: list[str],
    expected: list[tuple[int, int]],
) -> None:
    upstream = ["sources", "masks_sources", "backgrounds", "masks_backgrounds"]
    run = steps("run", only=upstream)
    accelerated(run, "geometry", arguments)
    assert ranks_that_ran(run, "geometry") == expected
    reference = steps("reference", only=[*upstream, "geometry"])
    columns = ["key", "sha256", "mask_sha256", "params"]
    assert run.table("geometry", columns).equals(reference.table("geometry", columns))


def test_a_stage_run_as_a_module_says_what_it_made(steps: Steps) -> None:
    run = steps("run", only=["sources"])
    done = by_module(run, "masks_sources")
    assert done.stdout == "masks_sources: 6 made\n"


def test_an_orphan_and_its_successor_leave_each_row_once(steps: Steps, content: Content) -> None:
    one = steps("one")
    two = steps("two", only=["sources", "masks_sources"])
    for step in flow.steps(two.recipe)[2:-1]:
        threads = []
        for _ in range(2):
            staging = Staging(two.root)
            stage = stage_of(two, step.table)
            thread = threading.Thread(
                target=run_stage, args=(stage, staging, Ranks()), kwargs={"threads": 1}
            )
            threads.append((thread, staging))
        for thread, _ in threads:
            thread.start()
        for thread, staging in threads:
            thread.join()
            staging.close()
    steps("two", only=["manifest"])
    assert content(two.root) == content(one.root)


ASLEEP = """
import sys, time
from covar_gen.core.launch import main_of
sys.exit(main_of("asleep", lambda run, given, staging: (print("here", flush=True), time.sleep(60))))
"""


def test_a_process_on_a_leash_ends_when_the_one_that_started_it_does(steps: Steps) -> None:
    run = steps("run", only=["sources"])
    asleep = subprocess.Popen(
        [sys.executable, "-c", ASLEEP, "--run", str(run.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, LEASH: "1"},
    )  # fmt: skip
    assert asleep.stdout is not None
    assert asleep.stdin is not None
    assert asleep.stdout.readline() == b"here\n"
    assert asleep.poll() is None
    asleep.stdin.close()
    assert asleep.wait(timeout=120) == 143
    asleep.stdout.close()


def test_stopping_covar_gen_run_stops_its_processes(steps: Steps, recipe: Path) -> None:
    import psutil

    run = steps("run", only=["sources"])
    command = [sys.executable, "-m", "covar_gen.cli", "run", str(recipe), "--run", str(run.root)]
    quiet = subprocess.DEVNULL
    started = subprocess.Popen([*command, "--processes", "2"], stderr=quiet, stdout=quiet)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    # A child has its own environment only once it runs the stage.
    while not children and time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error):
            forked = psutil.Process(started.pid).children()
            children = [child for child in forked if child.environ().get(LEASH)]
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_the_exit_code_of_a_stage_is_kept(
    covar: Callable[..., subprocess.CompletedProcess[str]], steps: Steps, recipe: Path
) -> None:
    run = steps("run", only=["sources", "masks_sources"])
    image = run.table("sources", ["image"])["image"][0].as_py()
    (run.root / image).write_bytes(b"damaged")
    done = covar("run", recipe, "--run", "run", "--processes", 2, code=2)
    assert done.stderr.count("DamagedRunError") == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_the_result_does_not_depend_on_the_number_of_threads(steps: Steps, threads: int) -> None:
    upstream = ["sources", "masks_sources", "backgrounds", "masks_backgrounds"]
    reference = steps("reference", only=[*upstream, "scale"])
    run = steps("run", only=upstream)
    staging = Staging(run.root)
    run_stage(stage_of(run, "scale"), staging, Ranks(), threads=threads)
    staging.close()
    assert run.table("scale").equals(reference.table("scale"))
