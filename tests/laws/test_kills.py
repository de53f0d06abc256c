"""Law 2 and 4: killing any process at any moment loses nothing, doubles nothing, changes nothing.

One process imports everything once and forks workers, so that many kills fit into seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.core.files import STAGING
from covar_gen.core.store import Run, open_run

KILLER = """
import json, os, random, signal, sys, time
from covar_gen.commands.stages import stage_of
from covar_gen.core import flow, imaging
from covar_gen.core.files import Staging, sweep
from covar_gen.core.pipeline import run_stage
from covar_gen.core.plan import lacks
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import open_run
from covar_gen.stage_classes import sample
from covar_gen.stage_manifest import make_manifest
import cv2, skimage.measure

root, kills, luck = sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3]))


def work(table, rank, world):
    run = open_run(root)
    sweep(run.root)
    staging = Staging(run.root)
    if table == "sources":
        sample(run, staging)
    elif table == "manifest":
        make_manifest(run, staging)
    else:
        run_stage(stage_of(run, table), staging, Ranks(rank, world, rank), threads=2)
    staging.close()


def fork(table, rank, world):
    child = os.fork()
    if not child:
        try:
            work(table, rank, world)
        except BaseException as error:
            print(f"{table} {rank}: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


killed, worlds = 0, []
for step in flow.steps(open_run(root).recipe):
    while True:
        world = 1 if step.table in ("sources", "manifest") else luck.choice([1, 2, 3])
        children = [fork(step.table, rank, world) for rank in range(world)]
        worlds.append(world)
        victims = []
        if killed < kills:
            time.sleep(luck.random() ** 2 * 0.5)
            victims = luck.sample(children, luck.randint(1, world))
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
        ends = [os.waitpid(child, 0)[1] for child in children]
        killed += sum(os.WIFSIGNALED(end) for end in ends)
        failed = [end for end in ends if not os.WIFSIGNALED(end) and end]
        assert not failed, "a process failed by itself"
        done = step.table == "manifest" or not lacks(open_run(root), step.table)
        if done and not any(os.WIFSIGNALED(end) for end in ends):
            break
        if done and step.table != "manifest":
            break
print(json.dumps([killed, worlds]))
"""


@pytest.mark.parametrize("luck", [1, 2])
def test_a_run_killed_at_many_random_moments_ends_as_an_undisturbed_one(
    steps: Callable[..., Run], content: Callable[[Path], dict[str, str]], luck: int
) -> None:
    undisturbed = steps("undisturbed")
    disturbed = steps("disturbed", only=[])
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(disturbed.root), "40", str(luck)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    killed, worlds = json.loads(done.stdout)
    assert killed >= 15
    assert len(set(worlds)) == 3
    assert content(disturbed.root) == content(undisturbed.root)
    for table in ("backgrounds", "geometry", "scale", "viewpoints"):
        keys = open_run(disturbed.root).table(table, ["key"])["key"].to_pylist()
        assert len(keys) == len(set(keys))
        assert keys == undisturbed.table(table, ["key"])["key"].to_pylist()


def test_what_dead_writers_left_is_swept_by_the_next_one(steps: Callable[..., Run]) -> None:
    run = steps("run", only=["sources"])
    left = run.root / STAGING / "0123456789ab"
    left.mkdir()
    (left / "7").write_bytes(b"half a file")
    from covar_gen.core.files import sweep

    assert sweep(run.root) == 1
    assert not left.exists()
