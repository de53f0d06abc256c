"""A run whose backgrounds an instruction editor makes, with a tiny model and real stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from covar_gen.commands.run import init

RECIPE = """
name = "edited"
seed = 3
block = 8
[classes]
source = "folder"
path = "photographs"
size = 64
per_class = 1
[masks]
segmenter = "grabcut"
[backgrounds]
editor = "flux2_klein"
backgrounds = [
    {background_id = 3, description = "desert"}, {background_id = 16, description = "beach"},
]
[backgrounds.options.flux2_klein]
weights = "klein"
form = "edit"
native = 80
steps = 1
batch = 2
"""


def test_a_run_edits_backgrounds_and_makes_them_again_in_another_process(
    tiny_diffusion: ModuleType, photographs: Path, covar: Callable[..., Any],
    run_steps: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = photographs.parent
    tiny_diffusion.save_flux2_klein(folder / "klein")
    (folder / "edited.toml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(folder)
    run_steps(init(folder / "edited.toml", folder / "run", {}))
    rows = pq.read_table(folder / "run" / "manifest.parquet").to_pylist()
    edits = [row for row in rows if row["subset"] == "bg_varied"]
    assert [(row["status"], row["tool"]) for row in edits] == [("ok", "flux2_klein")] * 4
    assert all(row["model"].startswith("local:klein@") for row in edits)
    assert {row["prompt"].partition(".")[0] for row in edits} == {"desert", "beach"}
    assert {row["known_pixel_max_diff"] for row in edits} == {None}
    files = [folder / "run" / row["image"] for row in edits]
    assert len({file.read_bytes() for file in files}) == 4
    # Makes them again, in a process of its own, and compares pixel by pixel.
    said = covar("verify", "run", "--sample", 8).stdout
    assert "10 rows made again (largest difference 0 grey levels), 0 problems" in said
