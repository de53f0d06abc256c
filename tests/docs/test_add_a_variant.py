"""docs/how-to/add-a-variant.md: the file shown there, and nothing else, adds a variant."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "add-a-variant.md").read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the package and what travels with it, and the page's file in it."""
    folder = tmp_path / "copy"
    for name in ("covar_gen", "manifests", "prompts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    [place] = re.findall(r"Write it to `(covar_gen/variants/\w+\.py)`", PAGE)
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert not (folder / place).exists()
    (folder / place).write_text(code, encoding="utf-8")
    return folder


def _covar(package: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "covar_gen.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_variant_of_the_page_is_made_by_adding_its_file(package: Path, recipe: Path) -> None:
    assert "blur" in _covar(package, "list", "variants")
    [lines] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    text = recipe.read_text(encoding="utf-8").partition("[viewpoints]")[0]
    recipe.write_text(f'{text}[geometry]\ninpainter = "telea"\n{lines}', encoding="utf-8")
    _covar(package, "run", str(recipe), "--run", "run")
    run = package.parent / "run"
    rows = pq.read_table(run / "manifest.parquet").to_pylist()
    by_key = {row["key"]: row for row in rows}
    blurred = [row for row in rows if row["subset"] == "blur" and row["status"] == "ok"]
    base = [row for row in rows if row["subset"] == "bg_varied" and row["status"] == "ok"]
    assert len(blurred) == len(base) > 0
    for row in blurred:
        parent = by_key[row["parent"]]
        assert row["tool"] == "blur"
        assert row["transform"] == [1, 0, 0, 0, 1, 0, 0, 0, 1]
        assert row["known_pixel_max_diff"] is None
        assert row["mask_sha256"] == parent["mask_sha256"]
        # most = 0.05 of the shorter edge, and at least a tenth of it.
        edge = min(row["width"], row["height"])
        assert 0.005 * edge <= json.loads(row["params"])["blur_sigma_px"] < 0.05 * edge
        assert _roughness(run / row["image"]) < _roughness(run / parent["image"])


def _roughness(path: Path) -> float:
    levels = np.asarray(Image.open(path), np.float64)
    return float(np.abs(np.diff(levels, axis=1)).mean())


def test_the_files_class_follows_the_style_of_the_package(package: Path) -> None:
    file = package / "covar_gen" / "variants" / "blur.py"
    for command in (
        ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        ["ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
