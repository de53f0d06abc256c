"""What many tests need: a small run, photographs on disk, a command line in its own process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covar_gen.commands.run import init
from covar_gen.commands.stages import stage_of
from covar_gen.core import flow
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.seeds import generator
from covar_gen.core.store import Run
from covar_gen.stage_classes import sample
from covar_gen.stage_manifest import make_manifest

RECIPE = """
name = "small"
seed = 3
block = 4
[classes]
source = "folder"
path = "photographs"
size = 48
[masks]
segmenter = "grabcut"
[masks.options.grabcut]
working_edge = 48
[backgrounds]
editor = "collage"
backgrounds = [
    {background_id = 5, description = "hot desert with sand dunes"},
    {background_id = 16, description = "beach"},
]
[viewpoints]
viewer = "homography"
[scale]
inpainter = "telea"
factors = [2, 4]
[geometry]
inpainter = "telea"
variants = ["hflip", "vflip", "crop", "rotation", "translate"]
"""


def picture(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A photograph of a bright disc on a dark, grainy ground: uint8 (height, width, 3)."""
    rng = generator(seed)
    grain = rng.integers(0, 24, (height, width, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    centre_x = width * (0.4 + 0.2 * rng.random())
    disc = (x - centre_x) ** 2 + (y - height / 2) ** 2 < (height * 0.3) ** 2
    colour = np.array([230, 60 + 40 * (seed % 4), 40], np.uint8)
    ground = np.array([20, 50, 70], np.uint8) + grain
    return np.where(disc[..., None], colour - grain, ground).astype(np.uint8)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two class folders of three photographs each."""
    folder = tmp_path / "photographs"
    for place, name in enumerate(("disc", "n02391049")):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            image = Image.fromarray(picture(10 * place + number))
            image.save(folder / name / f"p{number}.png")
    return folder


@pytest.fixture
def recipe(tmp_path: Path, photographs: Path) -> Path:
    """A recipe of all stages over `photographs`, quick to run."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def content_of(run: Path) -> dict[str, str]:
    """What the laws promise to be the same: every image, mask and manifest, by SHA-256."""
    files = [run / "manifest.parquet", run / "metadata.parquet"]
    files += [p for kind in ("images", "masks") for p in (run / kind).rglob("*") if p.is_file()]
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, str]]:
    """See `content_of`."""
    return content_of


@pytest.fixture
def steps(recipe: Path, tmp_path: Path) -> Callable[..., Run]:
    """Runs stages of `recipe` in this process: steps("name", only=[tables], block=...)."""

    def run(name: str, only: list[str] | None = None, **changes: object) -> Run:
        made = init(recipe, tmp_path / name, changes)
        staging = Staging(made.root)
        try:
            for step in flow.steps(made.recipe):
                if only is not None and step.table not in only:
                    continue
                if step.table == "sources":
                    sample(made, staging)
                elif step.table == "manifest":
                    make_manifest(made, staging)
                else:
                    run_stage(stage_of(made, step.table), staging, Ranks(), threads=2)
        finally:
            staging.close()
        return made

    return run


Covar = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def covar(tmp_path: Path) -> Covar:
    """Runs `covar-gen ARGUMENTS` in a process of its own, in tmp_path."""

    def run(*arguments: object, code: int | None = 0, **environment: str) -> object:
        done = subprocess.run(
            [sys.executable, "-m", "covar_gen.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, done.stderr + done.stdout
        return done

    return run  # type: ignore[return-value]
