"""The runner by itself: rows without pixels, and a run of the paper's size."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import PAPER, fill, image_row, recipe, source_keys

from covar_gen.core.arrays import Json
from covar_gen.core.files import Staging
from covar_gen.core.journal import Journal
from covar_gen.core.masters import save_image
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import OK, Row
from covar_gen.core.stage import Made, Stage, Work
from covar_gen.core.store import Run, create_run

VARIANTS = ["hflip", "vflip", "crop", "rotation", "translate"]


class Nothing(Stage):
    """Makes rows and no files."""

    table = "geometry"
    reads_masks = False

    def identity(self) -> dict[str, Json]:
        return {}

    def outputs(self, parent: str) -> list[str]:
        return [f"{parent}/{name}" for name in VARIANTS]

    def subset(self, key: str) -> str:
        return key.rpartition("/")[2]

    def make(self, batch: Sequence[Work]) -> list[Made]:
        return [Made(None, None, "nothing", params={"factor": 1.5}) for _ in batch]


def test_the_runner_takes_less_than_a_millisecond_per_row(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", recipe(5, 20, VARIANTS))
    sources = source_keys(run.recipe, 20)
    fill(run, "sources", [image_row(key, key) for key in sources])
    fill(run, "masks_sources", [{"key": key, "status": OK} for key in sources])
    staging = Staging(run.root)
    files = save_image(run, staging, "backgrounds", "one", np.zeros((16, 16, 3), np.uint8))
    staging.close()
    keys = [(f"{s.rpartition('/')[0]}/{n:02d}", s) for s in sources for n in range(1, 21)]
    fill(run, "backgrounds", [{**image_row(key, source), **files} for key, source in keys])
    fill(run, "masks_backgrounds", [{"key": key, "status": OK} for key, _ in keys])
    staging = Staging(run.root)
    start = time.perf_counter()
    tally = run_stage(Nothing(run), staging, Ranks(), threads=2)
    took = time.perf_counter() - start
    staging.close()
    assert tally.made == 10_000
    print(f"runner: {1000 * took / tally.made:.2f} ms per row that writes no image")
    assert took / tally.made < 1e-3


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the paper's size, complete but for half of one table, without files."""
    found = recipe(PAPER["classes"], PAPER["backgrounds"], VARIANTS)
    run = create_run(tmp_path_factory.mktemp("paper") / "run", found)
    sources = source_keys(found, PAPER["per_class"])
    fill(run, "sources", [image_row(key, key) for key in sources])
    fill(run, "masks_sources", [{"key": k, "status": OK, "mask": k} for k in sources])
    keys = [(f"{s.rpartition('/')[0]}/{n:02d}", s, n) for s in sources for n in range(1, 21)]
    made: Row = {
        "params": json.dumps({"scene": "beach", "score": 0.912}),
        "seed": 1 << 62,
        "transform": [1.0, 0.0, 0.5, 0.0, 1.0, 0.5, 0.0, 0.0, 1.0],
        "pixels_sha256": "1" * 64,
        "mask_sha256": "2" * 64,
        "parent_sha256": "0" * 64,
    }

    def rows(names: Sequence[str], table: str) -> list[Row]:
        return [
            image_row(f"{key}/{name}", source, parent=key, background_id=n, tool="telea",
                      mask=f"masks/{table}/{key}/{name}.png", subset=name, **made)
            for key, source, n in keys
            for name in names
        ]  # fmt: skip

    fill(run, "backgrounds", [image_row(k, s, background_id=n, **made) for k, s, n in keys])
    fill(run, "masks_backgrounds", [{"key": k, "status": OK, "mask": k} for k, _, _ in keys])
    fill(run, "viewpoints", views := rows(["viewpoint_1", "viewpoint_4"], "viewpoints"))
    fill(run, "masks_viewpoints", [{"key": r["key"], "status": OK} for r in views])
    fill(run, "scale", rows(["scale_2", "scale_4", "scale_6", "scale_8"], "scale"))
    # As a killed process leaves it: a journal of blocks, half of the table.
    half = rows(sorted(VARIANTS), "geometry")[: 165_000 // 2]
    staging = Staging(run.root)
    journal = Journal(run.folder("geometry"), "geometry", staging)
    for start in range(0, len(half), 32):
        journal.append(half[start : start + 32])
    journal.abandon()
    staging.close()
    return run


MEASURED = """
import json, sys, time
start = time.perf_counter()
from pathlib import Path
from covar_gen.core.store import open_run
run = open_run(sys.argv[1])
{work}
# ru_maxrss would count the process that started this one.
peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([time.perf_counter() - start, peak, result]))
"""
WORK = {
    "plan": """
from covar_gen.commands.stages import stage_of
from covar_gen.core.plan import make_plan
from covar_gen.core.ranks import Ranks
stage = stage_of(run, "scale")
plan = make_plan(run, stage.step, stage.outputs)
result = len(plan.keys)
""",
    "resume": """
from covar_gen.commands.stages import stage_of
from covar_gen.core.plan import make_plan
from covar_gen.core.ranks import Ranks
stage = stage_of(run, "geometry")
plan = make_plan(run, stage.step, stage.outputs)
result = plan.share(Ranks())
""",
    "status": """
from covar_gen.commands.status import status
result = sum(table.rows for table in status(run) if not table.table.startswith("masks_"))
""",
}
EXPECTED = {"plan": 132_000, "resume": 82_500, "status": 1650 + 33_000 * 7 + 82_500}


@pytest.mark.parametrize("what", WORK)
def test_a_run_of_the_papers_size_is_handled_in_seconds(paper: Run, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(work=WORK[what]), str(paper.root)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, peak, result = json.loads(done.stdout)
    print(f"{what} of 396,000 rows: {seconds:.1f} s, {peak / 2**20:.0f} MiB")
    assert result == EXPECTED[what]
    assert seconds < 10
    assert peak < 1e9
