"""Stages with diffusion models against the bare pipeline, given the same images ready-made."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from synthetic_runs import Heard, ask_again, make_run, staged

from covar_gen.core.stage import Stage
from covar_gen.core.threads import fix_threads
from covar_gen.stage_backgrounds import BackgroundsStage
from covar_gen.stage_scale import ScaleStage

PARENTS, BATCH, STEPS, ROUNDS = 16, 4, 30, 5
"""16 parents, one image of each: 4 batches of 4; steps of Stable Diffusion as in the paper."""

SIZE = (128, 152)
"""Height and width of the images, pixels: the tiny models at twice their own size."""

MOST = 1.05
"""Of the time of the bare pipeline."""


@pytest.fixture
def scale(tiny_diffusion: ModuleType, tmp_path: Path) -> Stage:
    """Images to be shrunk by 2 in one pass each, by a tiny Stable Diffusion."""
    weights = tiny_diffusion.save_stable_diffusion(tmp_path / "weights")
    options = {"weights": str(weights), "steps": STEPS, "batch": BATCH, "native": SIZE[0]}
    section = {
        "inpainter": "stable_diffusion",
        "factors": [2.0],
        "options": {"stable_diffusion": options},
    }
    return ScaleStage(make_run(tmp_path / "run", {"scale": section}, parents=PARENTS, size=SIZE))


@pytest.fixture
def backgrounds(tiny_diffusion: ModuleType, tmp_path: Path) -> Stage:
    """Photographs to be placed before a background by a tiny InstructPix2Pix, in its 100 steps."""
    weights = tiny_diffusion.save_stable_diffusion(
        tmp_path / "weights", 8, scheduler="EulerAncestralDiscreteScheduler"
    )
    options = {"weights": str(weights), "batch": BATCH, "native": SIZE[1]}
    section = {"editor": "instruct_pix2pix", "options": {"instruct_pix2pix": options}}
    run = make_run(
        tmp_path / "run", {"backgrounds": section}, parents=PARENTS, size=SIZE, last="sources"
    )
    return BackgroundsStage(run)


@pytest.mark.parametrize("name", ["scale", "backgrounds"])
def test_a_stage_takes_little_longer_than_the_bare_pipeline(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage: Any = request.getfixturevalue(name)
    stage.setup()
    holder = stage.inpainter.painter if name == "scale" else stage.editor._instructor
    fix_threads()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ratios, bare = [], []
    try:
        for _ in range(ROUNDS):
            heard = Heard(holder.pipe)
            with monkeypatch.context() as patch:
                patch.setattr(holder, "pipe", heard)
                seconds = staged(stage, PARENTS)
            assert len(heard.asked) == PARENTS // BATCH
            start = time.perf_counter()
            for given, states in heard.asked:
                ask_again(holder.pipe, given, states)
            bare.append(seconds / (time.perf_counter() - start))
            # Against its own calls of the pipeline: other processes disturb both alike.
            ratios.append(seconds / heard.seconds)
    finally:
        torch.set_num_threads(threads)
    print(
        f"\n{name}, tiny model on a CPU: {statistics.median(ratios):.3f} of its calls of the"
        f" pipeline, {statistics.median(bare):.3f} of the same calls made bare"
    )
    assert statistics.median(ratios) <= MOST
