"""Geometry without inpainting against a bare loop over the same files."""

from __future__ import annotations

import shutil
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from covar_gen.core import imaging
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run
from covar_gen.core.threads import fix_threads
from covar_gen.stage_geometry import GeometryStage

THREADS = 2
ROUNDS = 5


def bare(run: Run, rows: list[dict[str, str]], variants: int) -> None:
    """Decode each parent and its mask once, encode as many images and masks as the stage does."""

    def one(row: dict[str, str]) -> None:
        image = imaging.decode_png((run.root / row["image"]).read_bytes())
        mask = imaging.decode_mask((run.root / row["mask"]).read_bytes())
        for _ in range(variants):
            imaging.encode_png(image)
            imaging.encode_mask(mask)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, rows))


def stage(run: Run) -> int:
    for folder in ("tables/geometry", "images/geometry", "masks/geometry"):
        shutil.rmtree(run.root / folder, ignore_errors=True)
    staging = Staging(run.root)
    tally = run_stage(GeometryStage(run), staging, Ranks(), threads=THREADS)
    staging.close()
    return tally.made


def test_geometry_keeps_up_with_a_bare_loop_that_only_decodes_and_encodes(photographs: Run) -> None:
    rows = photographs.table("backgrounds", ["image", "mask"]).to_pylist()
    fix_threads()
    ratios = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        bare(photographs, rows, 3)
        middle = time.perf_counter()
        made = stage(photographs)
        end = time.perf_counter()
        ratios.append((middle - start) / (end - middle))
        print(
            f"bare {made / (middle - start):.1f} images/s, stage {made / (end - middle):.1f}"
            f" images/s, ratio {ratios[-1]:.3f}"
        )
    assert made == 3 * len(rows)
    print(f"geometry without inpainting: {statistics.median(ratios):.2f} of the bare loop")
    assert statistics.median(ratios) >= 0.85
