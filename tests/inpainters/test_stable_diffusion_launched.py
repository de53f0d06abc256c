"""Whole stages with a diffusion model, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from covar_gen.commands.stages import stage_of
from covar_gen.core import imaging
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run

Steps = Callable[..., Run]
ROOT = Path(__file__).parents[2]
UPSTREAM = ["sources", "masks_sources", "backgrounds", "masks_backgrounds"]
COLUMNS = ["key", "sha256", "mask_sha256", "status", "attempt", "params"]


@pytest.mark.launch
def test_two_processes_paint_the_same_as_one(
    tiny_diffusion: ModuleType, steps: Steps, tmp_path: Path
) -> None:
    folder = tiny_diffusion.save_stable_diffusion(tmp_path / "sd")
    options = {"stable_diffusion": {"weights": str(folder), "steps": 2, "batch": 2}}
    changes: dict[str, object] = {
        "scale.inpainter": "stable_diffusion",
        "scale.options": options,
        "scale.chain": "shared",
        "geometry.inpainter": "stable_diffusion",
        "geometry.options": options,
        "geometry.variants": ["hflip", "rotation"],
    }
    run = steps("run", only=UPSTREAM, **changes)
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    script = ROOT / "covar_gen" / "stage_scale.py"
    done = subprocess.run(
        [*launch, "--multi_gpu", "--num_processes", "2", str(script), "--run", str(run.root)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr, done.stderr
    for rank in (1, 0):
        staging = Staging(run.root)
        run_stage(stage_of(run, "geometry"), staging, Ranks(rank, 2, rank), threads=1)
        staging.close()
    reference = steps("reference", only=[*UPSTREAM, "scale", "geometry"], **changes)
    for table in ("scale", "geometry"):
        assert run.table(table, COLUMNS).equals(reference.table(table, COLUMNS)), table
        ranks = {json.loads(p.read_text())["rank"] for p in run.folder(table).glob("made_with-*")}
        assert ranks == {0, 1}
    rows = [row for row in run.table("scale").to_pylist() if row["status"] == "ok"]
    assert {json.loads(row["params"])["passes"] for row in rows} == {1, 2}
    assert {row["tool"] for row in rows} == {"stable_diffusion"}
    assert {str(row["model"]).partition("@")[0] for row in rows} == {"local:sd"}
    parents = {row["key"]: row for row in run.table("backgrounds").to_pylist()}
    for row in rows:
        source = imaging.decode_png(run.read(parents[row["parent"]]["image"]))
        transform = np.array(row["transform"]).reshape(3, 3)
        expected, known = imaging.warp(source, transform, source.shape, "lanczos")
        image = imaging.decode_png(run.read(row["image"]))
        assert np.array_equal(image[known], expected[known])
        assert image[~known].std() > 3
