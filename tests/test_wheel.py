"""The built wheel works without the checkout: recipes, prompts and pages travel in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout and unpacked as pip would."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def covar(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "covar_gen.cli", *arguments],
        capture_output=True, text=True, check=True, cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip


def test_the_wheel_runs_a_shipped_recipe_and_makes_its_page(
    installed: Path, tmp_path: Path
) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import covar_gen; print(covar_gen.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
    ).stdout  # fmt: skip
    assert str(installed) in where
    small = ["--set", "classes.size=64", "--set", "scale.factors=[2]", "--limit", "1"]
    done = covar(installed, "run", "demo", "--run", "run", *small, cwd=tmp_path)
    assert "images" in done.stdout
    covar(installed, "gallery", "run", cwd=tmp_path)
    assert (tmp_path / "run" / "gallery" / "index.html").stat().st_size > 10_000
    assert "396000 from 1650" in covar(installed, "estimate", "covar", cwd=tmp_path).stdout
