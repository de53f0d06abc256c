"""Law 5: no mixture; a run is what its recipe, tools and photographs were when it was begun."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covar_gen.commands.run import init, run_all
from covar_gen.commands.verify import verify
from covar_gen.core.errors import AnotherRecipeError, MixtureError, PhotographsError
from covar_gen.core.files import Staging
from covar_gen.core.imaging import encode_mask
from covar_gen.core.recipe import Recipe
from covar_gen.core.store import Run, create_run, open_run
from covar_gen.stage_classes import sample
from covar_gen.variants.crop import Crop

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
Steps = Callable[..., Run]


def test_a_finished_run_is_refused_when_one_of_its_tools_has_changed(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = steps("run")
    assert not verify(run, sample=1).problems
    monkeypatch.setattr(Crop, "version", "99")
    with pytest.raises(MixtureError, match=r"variants\.crop\.version: .*rm -r .*geometry"):
        run_all(run)
    assert "variants.crop.version" in verify(run, sample=1).problems[0][1]


def test_the_command_of_a_mixture_mends_it(
    steps: Steps, content: Callable[[Path], dict[str, str]]
) -> None:
    run = steps("run")
    before = content(run.root)
    for table in ("masks_backgrounds", "masks_sources", "geometry"):
        subprocess.run(run.discard(table), shell=True, check=True)
        assert not run.folder(table).exists()
        steps("run")
        assert content(run.root) == before


def test_other_photographs_are_not_taken_for_those_of_a_frozen_recipe(
    covar: Covar, steps: Steps, photographs: Path
) -> None:
    run = steps("run", only=[])
    extra = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
    extra.save(photographs / "disc" / "p0.png")
    staging = Staging(run.root)
    with pytest.raises(PhotographsError, match="not those that the run was made for"):
        sample(run, staging)
    staging.close()
    said = covar("run", run.root / "recipe.toml", "--run", "new", code=2).stderr
    assert "not those that the run was made for" in said


def test_a_recipe_with_another_class_list_is_another_recipe(
    recipe: Path, steps: Steps, tmp_path: Path
) -> None:
    listed = tmp_path / "one.csv"
    listed.write_text("class_id,class_name,label\n1,disc,disc\n")
    only_one = {"classes.classes": "one.csv"}
    steps("run", only=["sources"], **only_one)
    with pytest.raises(AnotherRecipeError, match=r"classes"):
        init(recipe, tmp_path / "run")
    listed.write_text("class_id,class_name,label\n1,disc,n02391049\n")
    with pytest.raises(AnotherRecipeError, match=r"classes"):
        init(recipe, tmp_path / "run", only_one)


def test_many_processes_may_make_the_same_run_at_once(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"name": "r", "classes": {"source": "folder"}})
    failed: list[Exception] = []

    def make(number: int) -> None:
        try:
            create_run(tmp_path / str(number), recipe)
        except Exception as error:  # noqa: BLE001 - any of them fails the test
            failed.append(error)

    for number in range(40):
        threads = [threading.Thread(target=make, args=(number,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


def test_a_recipe_that_a_power_cut_emptied_is_written_again(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"name": "r", "classes": {"source": "folder"}})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_bytes(b"")
    create_run(tmp_path / "run", recipe)
    assert open_run(tmp_path / "run").recipe == recipe


def test_a_limit_never_takes_anything_away(covar: Covar, recipe: Path, tmp_path: Path) -> None:
    covar("run", recipe, "--run", "run", "--limit", 4)
    manifest = (tmp_path / "run" / "manifest.parquet").read_bytes()
    said = covar("run", recipe, "--run", "run", "--limit", 2).stdout
    assert (tmp_path / "run" / "manifest.parquet").read_bytes() == manifest
    assert "images of 4 of the 6 photographs" in said
    assert "rows made again" in covar("verify", "run", "--sample", 1).stdout


def test_every_class_gets_its_photographs_however_many_there_are(
    steps: Steps, photographs: Path
) -> None:
    for number in range(30):
        for name in ("disc", "n02391049"):
            noise = np.random.default_rng(number).integers(0, 255, (20, 20, 3), np.uint8)
            noise[0, 0] = len(name)
            Image.fromarray(noise).save(photographs / name / f"more{number}.png")
    run = steps("run", only=["sources"], **{"classes.per_class": 3, "block": 2})
    folders = [key.split("/")[0] for key in run.table("sources", ["key"])["key"].to_pylist()]
    assert folders == ["disc"] * 3 + ["n02391049"] * 3


def test_files_in_the_working_folder_are_not_taken_for_libraries(
    covar: Covar, recipe: Path, tmp_path: Path
) -> None:
    for name in ("queue", "random", "secrets"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file of the user')\n")
    done = subprocess.run(
        [shutil.which("covar-gen") or Path(__import__("sys").executable).parent / "covar-gen",
         "run", str(recipe), "--run", "run", "--stage", "classes"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_verify_finds_a_mask_that_is_whole_but_wrong(steps: Steps) -> None:
    run = steps("run")
    path = run.root / run.table("masks_sources", ["mask"])["mask"][0].as_py()
    path.write_bytes(encode_mask(np.ones((48, 64), bool)))
    problems = [text for _, text in verify(run, sample=6).problems]
    assert "made again it has another mask" in problems
