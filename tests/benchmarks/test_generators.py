"""Stages with diffusion models against the bare pipeline, given the same images ready-made."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import fill

from covar_gen.core.files import Staging
from covar_gen.core.masters import save_image, save_mask
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Background, Class, Recipe
from covar_gen.core.rows import OK, Row
from covar_gen.core.seeds import generator
from covar_gen.core.store import Run, create_run
from covar_gen.core.threads import fix_threads
from covar_gen.inpainters.stable_diffusion import StableDiffusion
from covar_gen.stage_scale import ScaleStage

PARENTS, BATCH, STEPS, ROUNDS = 16, 4, 30, 5
"""16 parents at one factor: 4 batches of 4; steps as in the paper."""

HEIGHT, WIDTH = 128, 152
"""Of the images, pixels: the tiny model at twice its own size."""


@pytest.fixture
def run(tiny_diffusion: ModuleType, tmp_path: Path) -> Run:
    """Background-varied images, to be shrunk by 2 in one pass each."""
    folder = tiny_diffusion.save_stable_diffusion(tmp_path / "sd")
    options = {"weights": str(folder), "steps": STEPS, "batch": BATCH, "native": HEIGHT}
    recipe = Recipe.model_validate(
        {
            "name": "bench",
            "classes": {
                "source": "folder",
                "classes": [Class(class_id=1, class_name="disc", label="disc", folder="disc")],
                "content": "0" * 64,
            },
            "masks": {"segmenter": "grabcut"},
            "backgrounds": {
                "editor": "collage",
                "backgrounds": [Background(background_id=1, description="beach")],
            },
            "scale": {
                "inpainter": "stable_diffusion",
                "factors": [2.0],
                "options": {"stable_diffusion": options},
            },
        }
    )
    made = create_run(tmp_path / "run", recipe)
    staging = Staging(made.root)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = (x - WIDTH / 2) ** 2 + (y - HEIGHT / 2) ** 2 < 30**2
    tables: dict[str, list[Row]] = {"sources": [], "masks_sources": [], "masks_backgrounds": []}
    tables["backgrounds"] = []
    for number in range(PARENTS):
        key = f"disc/p{number:03d}/01"
        source = f"disc/p{number:03d}/original"
        image = generator(number).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        files = {
            **save_image(made, staging, "backgrounds", key, image),
            **save_mask(made, staging, "backgrounds", key, mask),
        }
        row: Row = {"key": source, "source": source, "status": OK, "image": source}
        tables["sources"].append({**row, "sha256": "0" * 64, "subset": "original"})
        tables["masks_sources"].append({"key": source, "status": OK})
        tables["backgrounds"].append({**row, "key": key, "background_id": 1, **files})
        masks = {name: files[name] for name in ("mask", "mask_sha256")}
        tables["masks_backgrounds"].append({"key": key, "status": OK, **masks})
    staging.close()
    for table, rows in tables.items():
        fill(made, table, rows)
    return made


class Timed:
    """A pipeline that remembers what it was asked, and how long it took."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.components = pipe.components
        self.asked: list[tuple[dict[str, Any], list[torch.Tensor]]] = []
        self.seconds = 0.0

    def __call__(self, **given: Any) -> Any:
        self.asked.append((given, [each.get_state() for each in given["generator"]]))
        start = time.perf_counter()
        found = self.pipe(**given)
        self.seconds += time.perf_counter() - start
        return found

    def again(self) -> None:
        """The same calls, bare."""
        for given, states in self.asked:
            for each, state in zip(given["generator"], states, strict=True):
                each.set_state(state)
            with torch.inference_mode():
                self.pipe(**given)


def staged(stage: ScaleStage) -> float:
    """Seconds of the whole stage, its networks loaded before."""
    run = stage.run
    for folder in ("tables/scale", "images/scale", "masks/scale"):
        shutil.rmtree(run.root / folder, ignore_errors=True)
    start = time.perf_counter()
    staging = Staging(run.root)
    tally = run_stage(stage, staging, Ranks(), threads=2)
    staging.close()
    assert tally.made == PARENTS
    return time.perf_counter() - start


def test_a_stage_takes_little_longer_than_the_bare_pipeline(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ScaleStage(run)
    stage.setup()
    monkeypatch.setattr(stage, "setup", lambda: None)
    assert isinstance(stage.inpainter, StableDiffusion)
    painter = stage.inpainter.painter
    assert painter is not None
    fix_threads()
    torch.set_num_threads(1)
    ratios, bare = [], []
    for _ in range(ROUNDS):
        timed = Timed(painter.pipe)
        with monkeypatch.context() as patch:
            patch.setattr(painter, "pipe", timed)
            seconds = staged(stage)
        assert len(timed.asked) == PARENTS // BATCH
        start = time.perf_counter()
        timed.again()
        bare.append(seconds / (time.perf_counter() - start))
        # Against its own calls of the pipeline: other processes disturb both alike.
        ratios.append(seconds / timed.seconds)
    print(
        f"\nscale, tiny model on a CPU: {statistics.median(ratios):.3f} of its calls of the"
        f" pipeline, {statistics.median(bare):.3f} of the same calls made bare"
    )
    assert statistics.median(ratios) <= 1.05
