"""`covar-gen masks` with the segmenters that read a text, in processes of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from covar_gen.commands.run import init
from covar_gen.core.errors import MixtureError
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import open_run
from covar_gen.segmenters.base import SegmentRequest
from covar_gen.stage_classes import sample
from covar_gen.stage_masks import Masks


@pytest.fixture
def data(tmp_path: Path, requests: list[SegmentRequest]) -> Path:
    """Class folders cat and dog with photographs of several sizes."""
    folder = tmp_path / "data"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for place, request in enumerate(requests):
            image = request.image if name == "cat" else request.image[:, ::-1]
            Image.fromarray(image).save(folder / name / f"{place}.png")
    return folder


def covar(folder: Path, *arguments: object, code: int = 0, **environment: str) -> str:
    """Run `covar-gen`; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "covar_gen.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def rows(run: Path) -> pa.Table:
    """The table of masks, in the order of its keys."""
    return open_run(run).table("masks_sources").sort_by("key")


def test_two_processes_make_the_masks_that_one_makes(
    checkpoints: Path, data: Path, tmp_path: Path
) -> None:
    options = [f"--option=detector={checkpoints / 'detector'}", f"--option=sam={checkpoints}/sam2"]
    options += ["--segmenter", "grounded_sam", "--option=box_threshold=0.2", "--option=batch=3"]
    covar(tmp_path, "masks", data, "--out", "one", *options)
    covar(tmp_path, "masks", data, "--out", "two", "--processes", 2, *options)
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert one.equals(two)
    assert len(one) == 10
    found = [row for row in one.to_pylist() if row["status"] == "ok"]
    assert len(found) >= 8
    for row in found:
        assert row["tool"] == "grounded_sam"
        assert [part.split("@")[0] for part in row["model"].split()] == [
            "local:detector",
            "local:sam2",
        ]
        assert row["scores"]
        assert len(row["scores"]) == len(row["boxes"]) == len(row["phrases"])
        assert all(len(box) == 4 for box in row["boxes"])
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one/masks").rglob("*.png")
    )
    assert len(files) == len(found)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_other_weights_are_refused_in_a_table_that_was_begun(
    checkpoints: Path, data: Path, tmp_path: Path
) -> None:
    weights = shutil.copytree(checkpoints / "sam3", tmp_path / "weights")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        name = "begun"
        [classes]
        source = "folder"
        path = "{data}"
        size = "original"
        [masks]
        segmenter = "sam3"
        options.sam3.weights = "weights"
        """,
        encoding="utf-8",
    )
    run = init(recipe, tmp_path / "run")
    staging = Staging(run.root)
    try:
        sample(run, staging)
        made = run_stage(Masks(run), staging, Ranks(), threads=1)
        assert made.made > 0
        assert run_stage(Masks(run), staging, Ranks(), threads=1).total == 0
        settings = weights / "processor_config.json"
        settings.write_text(settings.read_text(encoding="utf-8") + " ", encoding="utf-8")
        with pytest.raises(MixtureError):
            run_stage(Masks(run), staging, Ranks(), threads=1)
    finally:
        staging.close()


def test_what_cannot_be_had_is_one_line_and_exit_code_2(
    checkpoints: Path, data: Path, tmp_path: Path
) -> None:
    away = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    said = covar(tmp_path, "masks", data, "--out", "a", "--segmenter=grounded_sam", code=2, **away)
    assert said.startswith("WeightsError: grounded_sam.detector: IDEA-Research/grounding-dino-tiny")
    assert "hf download IDEA-Research/grounding-dino-tiny" in said
    assert said.count("\n") == 1
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}
    said = covar(
        tmp_path, "masks", data, "--out", "a", "--segmenter=grounding_dino_sam", code=2, **away
    )
    assert "missing: groundingdino_swint_ogc.pth" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "a").exists()
    wrong = f"--option=weights={checkpoints / 'clip'}"
    said = covar(tmp_path, "masks", data, "--out", "b", "--segmenter", "sam3", wrong, code=2)
    assert said.startswith("WeightsError: sam3.weights: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "a").exists()
