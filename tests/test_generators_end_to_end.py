"""A whole benchmark by diffusion models: tiny ones, real stages, two processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

Covar = Callable[..., Any]

RECIPE = """
name = "painted"
seed = 3
block = 4
[classes]
source = "folder"
path = "photographs"
size = 48
per_class = 1
[masks]
segmenter = "grabcut"
[backgrounds]
editor = "masked"
backgrounds = [{{background_id = 16, description = "beach"}}]
[backgrounds.options.masked]
weights = "painter"
steps = 1
[viewpoints]
viewer = "zero123plus"
views = 1
inpainter = "stable_diffusion"
[viewpoints.options.zero123plus]
weights = "{zero123}"
steps = 1
tile = 32
output = "recomposed"
ground = 0
min_area = 0.0
max_area = 1.0
[viewpoints.options.stable_diffusion]
weights = "painter"
steps = 1
[scale]
inpainter = "stable_diffusion"
factors = [2, 4]
chain = "shared"
keep = "object"
[scale.options.stable_diffusion]
weights = "painter"
steps = 1
[geometry]
inpainter = "stable_diffusion"
variants = ["hflip", "rotation"]
[geometry.options.stable_diffusion]
weights = "painter"
steps = 1
"""


@pytest.mark.launch
def test_a_benchmark_is_painted_by_diffusion_models_alone(
    tiny_diffusion: ModuleType, photographs: Path, covar: Covar
) -> None:
    folder = photographs.parent
    tiny_diffusion.save_stable_diffusion(folder / "painter")
    zero123 = Path(__file__).parent / "data" / "zero123plus" / "components"
    (folder / "painted.toml").write_text(RECIPE.format(zero123=zero123), encoding="utf-8")
    covar("run", "painted.toml", "--run", "run", "--processes", 2)
    rows = pq.read_table(folder / "run" / "manifest.parquet").to_pylist()
    counted: dict[tuple[str, str], int] = {}
    for row in rows:
        counted[row["subset"], row["status"]] = counted.get((row["subset"], row["status"]), 0) + 1
    assert counted == {
        ("original", "ok"): 2,
        ("bg_varied", "ok"): 2,
        ("viewpoint", "ok"): 2,
        ("scale", "ok"): 4,
        ("hflip", "ok"): 2,
        ("rotation", "ok"): 2,
    }
    tools = {row["subset"]: row["tool"] for row in rows}
    assert tools["bg_varied"] == "masked"
    assert tools["viewpoint"] == "zero123plus"
    assert tools["scale"] == tools["rotation"] == "stable_diffusion"
    assert {row["known_pixel_max_diff"] for row in rows if row["subset"] in tools} <= {0, None}
    assert all(row["mask"] for row in rows)
