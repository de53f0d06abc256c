"""What goes wrong while stages run: tools that fail, tables and files that do not fit together."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import covar_gen
from covar_gen.core.store import open_run

Done: TypeAlias = "subprocess.CompletedProcess[str]"
Stage = Callable[..., Done]

RECIPE = """
name = "stages"
block = 4
[classes]
source = "folder"
path = "photographs"
size = "original"
[masks]
segmenter = "fussy"
"""
FUSSY = '''
"""Fails on one photograph, answers nonsense for another, refuses a third."""

import numpy as np

from covar_gen.core.arrays import Rejected
from covar_gen.segmenters.base import Segmentation, Segmenter


class Fussy(Segmenter):
    def segment(self, batch):
        return [self.outline(request) for request in batch]

    def outline(self, request):
        mask = request.image[..., 0] > 128
        if request.key == "disc/p1/original":
            raise RuntimeError("I do not like discs")
        if request.key == "n02391049/p0/original":
            return Segmentation(mask[:-1])
        if request.key == "n02391049/p1/original":
            return Rejected("no_object", {"score": 0.25})
        if request.key == "n02391049/p2/original":
            return Segmentation(mask & False)
        return Segmentation(mask, {"score": 0.5})
'''
NEEDY = '''
"""Needs what is not installed."""

from covar_gen.segmenters.base import Segmenter


class Needy(Segmenter):
    requires = ("no_such_module",)
    extra = "sam"

    def segment(self, batch):
        return []
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with two segmenters more."""
    root = tmp_path_factory.mktemp("package")
    original = Path(covar_gen.__file__).parent
    shutil.copytree(original, root / "covar_gen")
    for name in ("prompts", "manifests"):
        (root / name).symlink_to(original.parent / name)
    (root / "covar_gen/segmenters/fussy.py").write_text(FUSSY.strip(), encoding="utf-8")
    (root / "covar_gen/segmenters/needy.py").write_text(NEEDY.strip(), encoding="utf-8")
    return root


def typed(folder: Path, package: Path, module: str, *arguments: object, **environment: str) -> Done:
    """`python -m covar_gen.MODULE ARGUMENTS` with the copied package, in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", f"covar_gen.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package), **environment},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def stage(tmp_path: Path, package: Path) -> Stage:
    """Runs a module of the copied package in tmp_path and expects an exit code."""

    def run(module: str, *arguments: object, code: int = 0, **environment: str) -> Done:
        done = typed(tmp_path, package, module, *arguments, **environment)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Path:
    """A folder with photographs, a recipe and a run that has chosen its photographs."""
    root = tmp_path_factory.mktemp("begun")
    for place, name in enumerate(("disc", "n02391049")):
        (root / "photographs" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(disc(3 * place + number)).save(
                root / "photographs" / name / f"p{number}.png"
            )
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    typed(root, package, "cli", "init", "recipe.toml", "--run", "run")
    typed(root, package, "stage_classes", "--run", "run")
    return root


def disc(number: int) -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    image = np.random.Generator(np.random.PCG64(number)).integers(0, 90, (48, 64, 3))
    image[(x - 28 - number) ** 2 + (y - 24) ** 2 < 190] += 150
    return image.astype(np.uint8)


@pytest.fixture
def ready(tmp_path: Path, begun: Path) -> Path:
    """A run whose photographs are chosen and whose masks are not made yet."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def the_line(done: Done, *words: str) -> str:
    assert done.returncode == 2
    # Progress and what the image libraries say for themselves are not the error.
    noise = re.compile(r".* s left|libpng .*|\[ ?WARN:.*")
    said = [line for line in done.stderr.splitlines() if not noise.fullmatch(line)]
    assert len(said) == 1, done.stderr
    for word in words:
        assert word in said[0]
    return said[0]


def shell(command: str, folder: Path, package: Path) -> None:
    """Type a command that an error named."""
    python = f"{sys.executable} "
    if command.startswith("python "):
        command = python + command.removeprefix("python ")
    elif command.startswith("covar-gen "):
        command = f"{python}-m covar_gen.cli {command.removeprefix('covar-gen ')}"
    environment = {**os.environ, "PYTHONPATH": str(package)}
    subprocess.run(command, shell=True, cwd=folder, env=environment, check=True)


def test_a_tool_that_fails_on_one_item_leaves_a_row_and_the_batch_goes_on(
    ready: Path, stage: Stage
) -> None:
    done = stage("stage_masks", "--run", "run")
    rows = {row["key"]: row for row in open_run(ready).table("masks_sources").to_pylist()}
    assert {key: row["reason"] for key, row in rows.items()} == {
        "disc/p0/original": None,
        "disc/p1/original": "tool_failed",
        "disc/p2/original": None,
        "n02391049/p0/original": "tool_failed",
        "n02391049/p1/original": "no_object",
        "n02391049/p2/original": "empty_mask",
    }
    assert json.loads(rows["disc/p1/original"]["params"]) == {"error": "RuntimeError"}
    assert json.loads(rows["n02391049/p1/original"]["params"]) == {"score": 0.25}
    assert {row["tool"] for row in rows.values()} == {"fussy"}
    assert "2 made, rejected: 1 empty_mask, 1 no_object, 2 tool_failed" in done.stdout
    # What the tool said is in the log, for whoever mends it.
    log = (ready / "logs" / "masks_sources-0.log").read_text(encoding="utf-8")
    assert "RuntimeError: I do not like discs" in log
    for number in (0, 2):
        row = rows[f"disc/p{number}/original"]
        image = np.asarray(Image.open(ready / "images/sources" / f"{row['key']}.png"))
        assert np.array_equal(np.asarray(Image.open(ready / row["mask"])), image[..., 0] > 128)
    stage("stage_manifest", "--run", "run")
    manifest = pq.read_table(ready / "manifest.parquet").to_pylist()
    assert [row["reason"] for row in manifest] == [rows[row["key"]]["reason"] for row in manifest]


def test_what_failed_is_not_tried_again_unasked(ready: Path, stage: Stage) -> None:
    stage("stage_masks", "--run", "run")
    before = sorted(ready.rglob("*.parquet"))
    assert "0 made" in stage("stage_masks", "--run", "run").stdout
    assert sorted(ready.rglob("*.parquet")) == before


def test_a_tool_whose_packages_are_missing_is_answered_with_the_command(
    tmp_path: Path, ready: Path, stage: Stage
) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("fussy", "needy"), encoding="utf-8")
    done = stage("cli", "init", "recipe.toml", "--run", "other", code=2)
    the_line(done, "MissingExtraError: masks.segmenter", "pip install 'covar-gen[sam]'")


def test_a_stage_before_its_input_names_the_command_that_helps(
    tmp_path: Path, ready: Path, stage: Stage, package: Path
) -> None:
    shutil.rmtree(ready / "tables")
    shutil.rmtree(ready / "images")
    done = stage("stage_masks", "--run", "run", code=2)
    line = the_line(done, "IncompleteInputError", "masks_sources needs table sources")
    shell(line.partition("Type: ")[2], tmp_path, package)
    done = stage("stage_manifest", "--run", "run", code=2)
    line = the_line(done, "table masks_sources lacks 6 rows")
    shell(line.partition("Type: ")[2], tmp_path, package)
    assert len(pq.read_table(tmp_path / "run" / "manifest.parquet")) == 6


def test_a_table_made_with_something_else_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, ready: Path, stage: Stage, package: Path
) -> None:
    stage("cli", "run", "recipe.toml", "--run", "run")
    manifest = (ready / "manifest.parquet").read_bytes()
    made_with = ready / "tables" / "masks_sources" / "made_with.json"
    text = made_with.read_text(encoding="utf-8")
    assert '"version": "1"' in text
    made_with.write_text(text.replace('"version": "1"', '"version": "0"'), encoding="utf-8")
    done = stage("stage_masks", "--run", "run", code=2)
    line = the_line(done, "MixtureError", "masks_sources", 'version: "0" there, "1" here')
    shell(line.partition("make it again: ")[2], tmp_path, package)
    assert not made_with.exists()
    assert not (ready / "masks" / "sources").exists()
    assert (ready / "images" / "sources").exists()
    stage("cli", "run", "recipe.toml", "--run", "run")
    assert (ready / "manifest.parquet").read_bytes() == manifest


def test_a_process_that_is_in_no_launch_is_refused(ready: Path, stage: Stage) -> None:
    done = stage("stage_masks", "--run", "run", code=2, RANK="3", WORLD_SIZE="2")
    the_line(done, "LaunchError", "RANK=3, WORLD_SIZE=2", "accelerate launch")


@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "changed"])
def test_a_damaged_parent_stops_the_stage(ready: Path, stage: Stage, harm: str) -> None:
    path = ready / "images/sources/disc/p2/original.png"
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "changed":
        path.write_bytes(data[:900] + bytes([data[900] ^ 1]) + data[901:])
    else:
        path.write_bytes(data[: len(data) // 2 if harm == "cut" else 0])
    done = stage("stage_masks", "--run", "run", code=2)
    the_line(done, "DamagedRunError", "disc/p2/original.png", "covar-gen verify run")
    # Nothing was made of the block that holds the damaged image.
    assert len(open_run(ready).table("masks_sources", ["key"])) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to write to")
def test_a_log_that_cannot_be_written_makes_no_noise(ready: Path, stage: Stage) -> None:
    (ready / "logs").mkdir(exist_ok=True)
    (ready / "logs" / "masks_sources-0.log").symlink_to("/dev/full")
    stage("stage_masks", "--run", "run")
    assert len(open_run(ready).table("masks_sources", ["key"])) == 6


def test_a_damaged_table_is_named(ready: Path, stage: Stage) -> None:
    (part,) = (ready / "tables" / "sources").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    the_line(stage("cli", "status", "run", code=2), "DamagedRunError", "tables/sources")


def test_a_damaged_manifest_is_named(ready: Path, stage: Stage) -> None:
    (ready / "manifest.parquet").write_bytes(b"PAR1 but no more")
    the_line(stage("cli", "verify", "run", code=2), "DamagedRunError", "manifest.parquet")


@pytest.mark.parametrize("section", ["backgrounds", "viewpoints", "scale", "geometry"])
def test_a_stage_that_the_recipe_has_not_is_refused(
    ready: Path, stage: Stage, section: str
) -> None:
    the_line(stage(f"stage_{section}", "--run", "run", code=2), section)


def test_masks_of_a_table_that_the_recipe_has_not_are_refused(ready: Path, stage: Stage) -> None:
    the_line(stage("stage_masks", "--run", "run", "--of", "viewpoints", code=2), "viewpoints")


def test_a_stage_of_no_run_is_refused(tmp_path: Path, stage: Stage) -> None:
    done = stage("stage_masks", "--run", "nowhere", code=2)
    the_line(done, "RunFolderError: nowhere", "covar-gen init RECIPE --run nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_limit_below_one_is_refused(ready: Path, stage: Stage) -> None:
    done = stage("stage_masks", "--run", "run", "--limit", "-1", code=2)
    assert "limit" in done.stderr
    assert len(open_run(ready).table("masks_sources")) == 0
