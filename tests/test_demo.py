"""The shipped demo, small: what README.md promises of it is what comes out."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from covar_gen.core.store import open_run

ROOT = Path(__file__).resolve().parents[1]
Covar = Callable[..., "subprocess.CompletedProcess[str]"]

# 7 photographs x 5 backgrounds, then 2 views, 4 factors and 5 variants of each
SUBSETS = {"bg_varied": 35, "crop": 35, "hflip": 35, "original": 7, "rotation": 35, "scale": 140,
           "translate": 35, "vflip": 35, "viewpoint": 70}  # fmt: skip


def promised() -> int:
    found = re.search(r"a benchmark of (\d+) images", (ROOT / "README.md").read_text("utf-8"))
    assert found
    return int(found[1])


def counts_in(text: str) -> dict[str, int]:
    """The lines `  subset   count` of a text."""
    return {name: int(n) for name, n in re.findall(r"^  ([a-z_]+) +(\d+)$", text, re.MULTILINE)}


def test_the_demo_is_what_the_readme_says(covar: Covar, tmp_path: Path) -> None:
    done = covar("run", "demo", "--run", "demo", "--set", "classes.size=128", "--processes", 2)
    heading, *counted, last = done.stdout.splitlines()[-11:]
    assert heading == f"demo: {promised()} images"
    assert counts_in("\n".join(counted)) == SUBSETS
    assert last == "next: covar-gen gallery demo"

    rows = open_run(tmp_path / "demo").manifest().to_pylist()
    assert len(rows) == promised() == sum(SUBSETS.values())
    assert Counter(row["subset"] for row in rows) == SUBSETS
    assert {row["status"] for row in rows} == {"ok"}
    assert len({row["source"] or row["key"] for row in rows}) == 7
    assert len({row["background"] for row in rows if row["subset"] == "bg_varied"}) == 5
    assert Counter(row["scale_factor"] for row in rows if row["subset"] == "scale") == {
        2: 35, 4: 35, 6: 35, 8: 35
    }  # fmt: skip
    for row in rows:
        with Image.open(tmp_path / "demo" / row["image"]) as image:
            assert min(image.size) == 128
        assert (tmp_path / "demo" / row["mask"]).is_file()

    said = covar("gallery", "demo").stdout
    page = tmp_path / "demo" / "gallery" / "index.html"
    assert said.startswith("open ")
    assert said.rstrip().endswith("demo/gallery/index.html in a browser")
    assert "<html" in page.read_text("utf-8")


def test_the_first_page_shows_the_counts_of_the_demo() -> None:
    page = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert counts_in(page) == SUBSETS
    assert f"runs/demo: {promised()} images" in page


def test_in_the_toy_world_the_shortcut_model_falls_and_the_honest_ones_do_not(
    covar: Covar, tmp_path: Path
) -> None:
    """What `make demo` ends with, on the subsets that say it."""
    covar("run", "toy-world", "--run", "toys", "--limit", 32)
    done = covar("evaluate", "toys", "--models", "toy", "--out", "toys/evaluation")
    *said, last = done.stdout.splitlines()
    assert last == "next: covar-gen report toys/evaluation"
    found = {
        line.partition(": ")[0]: dict(re.findall(r"([a-z_]+) ([0-9.]+)", line)) for line in said
    }
    assert set(found) == {"toy:honest", "toy:honest-siglip", "toy:shortcut"}
    falls = {
        name: float(shares["original"]) - float(shares["bg_varied"])
        for name, shares in found.items()
    }
    assert falls["toy:honest"] <= 5
    assert falls["toy:honest-siglip"] <= 5
    assert falls["toy:shortcut"] >= 30
    assert float(found["toy:honest"]["original"]) >= 85
    covar("report", "toys/evaluation")
    page = (tmp_path / "toys" / "evaluation" / "report.html").read_text("utf-8")
    fall = re.search(r"accuracy of toy:shortcut falls by ([0-9.]+) points", page)
    assert fall
    assert float(fall[1]) == pytest.approx(falls["toy:shortcut"], abs=0.1)
