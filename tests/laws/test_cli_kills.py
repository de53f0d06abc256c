"""Laws 2 and 4 through the command line: `kill -9` of the launcher or of one it started."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from covar_gen.core.store import Run

KILLS = 5
Covar = Callable[..., "subprocess.CompletedProcess[str]"]


def family(launcher: psutil.Process) -> list[psutil.Process]:
    try:
        return launcher.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def living_child(launcher: psutil.Process, luck: random.Random, deadline: float) -> psutil.Process:
    """A child that is stopped, so that it cannot end by itself before it is killed."""
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.Error, IndexError):
            child = luck.choice(launcher.children())
            child.suspend()
            time.sleep(0.02)
            if child.status() == psutil.STATUS_STOPPED:
                return child
        time.sleep(0.01)
    raise AssertionError("no child was caught alive")


def start_and_kill(recipe: Path, run: Path, luck: random.Random, victim: str) -> str:
    """Start a run, kill a victim, wait until all are gone; what really was killed."""
    processes = luck.randint(1, 3)
    command = [sys.executable, "-m", "covar_gen.cli", "run", str(recipe), "--run", str(run)]
    started = subprocess.Popen(
        [*command, "--processes", str(processes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    launcher = psutil.Process(started.pid)
    deadline = time.monotonic() + 120
    while not family(launcher) and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(luck.random() * 2.0)
    chosen = living_child(launcher, luck, deadline) if victim == "child" else launcher
    others = family(launcher)
    chosen.kill()
    _, errors = started.communicate(timeout=120)
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive, "a process outlives the one that started it"
    assert "Traceback" not in errors
    if victim == "launcher":
        assert started.returncode == -9
        return victim
    assert started.returncode > 0, "the launcher passes a killed process over in silence"
    return victim


def test_a_run_whose_processes_are_killed_again_and_again_ends_as_an_undisturbed_one(
    covar: Covar,
    recipe: Path,
    steps: Callable[..., Run],
    content: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    luck = random.Random(11)
    victims = ["launcher", "child"] * KILLS
    victims = luck.sample(victims[:KILLS], KILLS)
    run = tmp_path / "disturbed"
    killed = [start_and_kill(recipe, run, luck, victim) for victim in victims]
    assert set(killed) == {"launcher", "child"}
    covar("run", recipe, "--run", run, "--processes", luck.randint(1, 3))
    assert content(run) == content(steps("undisturbed").root)
