"""`covar-gen doctor` says what is wrong and the very command that mends it."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from covar_gen.commands import doctor as doctors
from covar_gen.commands.doctor import Finding, doctor
from covar_gen.core import plugins
from covar_gen.core.recipe import Recipe, read_recipe, recipe_path
from covar_gen.segmenters.base import Segmenter

Covar = Callable[..., "subprocess.CompletedProcess[str]"]


def found(recipe: Recipe | None = None) -> dict[str, Finding]:
    findings = doctor(recipe)
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    return named


def without_cv2(message: str) -> Callable[..., ModuleType]:
    real = importlib.import_module

    def fake(name: str, *given: Any) -> ModuleType:
        if name == "cv2":
            raise ImportError(message)
        return real(name, *given)

    return fake


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        (
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "Type: apt-get install libgl1 libglib2.0-0",
        ),
        (
            "libgthread-2.0.so.0: cannot open shared object file",
            "Type: apt-get install libgl1 libglib2.0-0",
        ),
        ("No module named 'cv2'", "Type: pip install opencv-python"),
    ],
)
def test_an_opencv_that_cannot_be_imported_is_answered_with_its_own_remedy(
    monkeypatch: pytest.MonkeyPatch, message: str, mend: str
) -> None:
    monkeypatch.setattr(importlib, "import_module", without_cv2(message))
    assert found()["OpenCV"] == Finding("OpenCV", fine=False, said=message, mend=mend)


@pytest.mark.parametrize(
    ("installed", "fine"),
    [
        ({"opencv-python", "opencv-python-headless"}, False),
        ({"opencv-python"}, True),
        ({"opencv-python-headless"}, True),
    ],
)
def test_two_builds_of_opencv_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], *, fine: bool
) -> None:
    monkeypatch.setattr(doctors, "_installed", lambda name: name in installed)
    opencv = found()["OpenCV"]
    assert opencv.fine is fine
    if not fine:
        assert opencv.said == "two builds are installed and clash"
        assert opencv.mend == (
            "Type: pip uninstall opencv-python-headless "
            "&& pip install --force-reinstall opencv-python"
        )


def test_a_model_of_the_paper_that_is_not_there_is_called_planned_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = plugins.names
    there = [name for name in real("editors") if name != "emu2"]
    monkeypatch.setattr(plugins, "names", lambda kind: there if kind == "editors" else real(kind))
    finding = found(read_recipe(recipe_path("covar")))["backgrounds.editor = emu2"]
    assert not finding.fine
    about = "from 77 GiB of GPU memory; non-commercial (LLaMA-1 weights)"
    assert finding.said == f"planned, not in this version of the toolkit ({about})"
    assert finding.mend == f"Use one of: {', '.join(plugins.names('editors'))}"


def test_a_tool_that_nobody_knows_is_answered_with_the_nearest(recipe: Path) -> None:
    finding = found(read_recipe(recipe, {"masks.segmenter": "grabcat", "masks.options": {}}))[
        "masks.segmenter = grabcat"
    ]
    assert not finding.fine
    assert "'grabcat'" in finding.said
    assert "Did you mean 'grabcut'?" in finding.mend


@pytest.mark.parametrize(
    ("extra", "mend"),
    [
        ("launch", "Type: pip install 'covar-gen[launch]'"),
        (None, "Type: pip install 'no_such_package'"),
    ],
)
def test_missing_packages_of_a_tool_are_named_with_the_extra_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, recipe: Path, extra: str | None, mend: str
) -> None:
    grabcut = plugins.find("segmenters", "grabcut", Segmenter)
    monkeypatch.setattr(grabcut, "requires", ("no_such_package", "numpy", "nor.this_one"))
    monkeypatch.setattr(grabcut, "extra", extra)
    finding = found(read_recipe(recipe))["masks.segmenter = grabcut"]
    said = "needs no_such_package, nor.this_one"
    assert finding == Finding(finding.name, fine=False, said=said, mend=mend)


def test_a_folder_of_photographs_that_is_not_there_is_named(recipe: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    finding = found(read_recipe(recipe, {"classes.path": nowhere}))["photographs"]
    assert finding == Finding(
        "photographs",
        fine=False,
        said=f"{nowhere} is not there",
        mend="Set it: --set classes.path=FOLDER",
    )


def test_a_disk_that_is_nearly_full_is_not_fine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = doctors.shutil._ntuple_diskusage  # type: ignore[attr-defined]
    monkeypatch.setattr(doctors.shutil, "disk_usage", lambda _f: usage(2**40, 2**40, 2**29))
    disk = found()["disk"]
    assert (disk.fine, disk.mend) == (False, "Free some space")


def test_where_all_is_there_every_finding_is_fine_and_the_exit_code_0(
    covar: Covar, recipe: Path
) -> None:
    said = covar("doctor", recipe).stdout.splitlines()
    assert all(line.startswith("ok   ") for line in said)
    names = [line.removeprefix("ok   ").partition(":")[0] for line in said]
    assert names[:5] == ["Python", "OpenCV", "accelerate", "device", "disk"]
    assert names[5:-1] == [
        "classes.source = folder",
        "masks.segmenter = grabcut",
        "backgrounds.editor = collage",
        "viewpoints.viewer = homography",
        "scale.inpainter = telea",
        "geometry.inpainter = telea",
        *(
            f"geometry.variants = {name}"
            for name in ("hflip", "vflip", "crop", "rotation", "translate")
        ),
    ]
    assert names[-1] == "photographs"


def test_what_has_to_be_mended_is_marked_and_the_exit_code_is_2(covar: Covar) -> None:
    said = covar("doctor", "covar", code=2).stdout.splitlines()
    mend = [line for line in said if line.startswith("MEND ")]
    assert any("backgrounds.editor = emu2: " in line for line in said)
    assert mend[-1].endswith("imagenet/val is not there. Set it: --set classes.path=FOLDER")


def test_the_key_of_a_server_is_asked_for_by_the_name_in_the_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {
        "backgrounds.editor": "images_api",
        "backgrounds.options.images_api.api_key_env": "MY_KEY",
    }
    recipe = read_recipe(recipe_path("demo"), changes)
    monkeypatch.delenv("MY_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    line = found(recipe)["backgrounds.editor = images_api"]
    assert not line.fine
    assert line.said == "images_api: no API key in the environment variable MY_KEY"
    assert line.mend.startswith("Type: export MY_KEY=...")
    monkeypatch.setenv("MY_KEY", "secret")
    line = found(recipe)["backgrounds.editor = images_api"]
    assert line.fine
    assert "secret" not in line.said


def test_files_that_options_name_are_looked_for(tmp_path: Path) -> None:
    changes = {"backgrounds.options.collage.photographs": str(tmp_path / "nowhere")}
    line = found(read_recipe(recipe_path("demo"), changes))["backgrounds.editor = collage"]
    assert not line.fine
    assert "nowhere" in line.said
    assert line.mend
