"""Memory stays flat however many rows there are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from covar_gen.core.store import Run

MEASURE = """
import json, sys
from pathlib import Path
import numpy as np
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.stage import Made
from covar_gen.core.store import open_run
from covar_gen.stage_masks import Masks


class Whole(Masks):
    def setup(self):
        pass

    def make(self, batch):
        return [Made(None, np.ones(w.image.shape[:2], bool), "whole") for w in batch]


run = open_run(sys.argv[1])
staging = Staging(run.root)
tally = run_stage(Whole(run), staging, Ranks(), threads=2)
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([tally.made, peak]))
"""


def peak_kib(steps: Callable[..., Run], photographs: Path, count: int) -> int:
    """Peak memory of outlining `count` images of 1.2 MB each, once decoded."""
    big = Image.effect_noise((768, 512), 40).convert("RGB")
    for number in range(count):
        big.putpixel((0, 0), (number % 256, number // 256, 0))
        big.save(photographs / "disc" / f"big{number:03d}.png", compress_level=0)
    run = steps(f"run{count}", only=["sources"], **{"classes.size": "original"})
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(run.root)], capture_output=True, text=True, check=True
    )
    made, peak = json.loads(done.stdout)
    assert made == count + 6
    return int(peak)


def test_six_times_the_rows_take_the_same_memory(
    steps: Callable[..., Run], photographs: Path
) -> None:
    few, many = (peak_kib(steps, photographs, count) for count in (24, 144))
    # Keeping the 120 images more that were decoded would take 142 MB.
    assert many - few < 40_000
