"""Two processes of one core each against one."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time

import pytest

from covar_gen.core.store import Run

ROUNDS = 3
WORKER = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[2])})
from covar_gen.core import imaging
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import open_run
from covar_gen.stage_geometry import GeometryStage
import cv2
run = open_run(sys.argv[1])
staging = Staging(run.root)
print("ready", flush=True)
sys.stdin.readline()
tally = run_stage(GeometryStage(run), staging, Ranks.from_environment(), threads=1)
staging.close()
print(tally.made, flush=True)
"""


def timed(run: Run, processes: int) -> tuple[float, int]:
    """Seconds from the start of the work, imports done, to the end of the last process."""
    for folder in ("tables/geometry", "images/geometry", "masks/geometry"):
        shutil.rmtree(run.root / folder, ignore_errors=True)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(run.root), str(rank)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(processes)},
        )
        for rank in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    start = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    made = [int(worker.communicate()[0]) for worker in workers]
    return time.perf_counter() - start, sum(made)


ALL = ["hflip", "vflip", "crop", "rotation", "translate"]


@pytest.mark.parametrize("photographs", [ALL], indirect=True)
@pytest.mark.skipif(os.cpu_count() == 1, reason="one core cannot show two processes")
def test_two_processes_of_one_core_are_nearly_twice_as_fast_as_one(photographs: Run) -> None:
    ratios = []
    for _ in range(ROUNDS):
        one, rows = timed(photographs, 1)
        two, same = timed(photographs, 2)
        assert rows == same >= 500
        ratios.append(one / two)
        print(f"{rows} rows: one process {one:.1f} s, two {two:.1f} s, ratio {ratios[-1]:.2f}")
    print(f"two processes: {statistics.median(ratios):.2f} times as fast as one")
    assert statistics.median(ratios) >= 1.7
