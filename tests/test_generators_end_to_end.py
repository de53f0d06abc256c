"""A whole benchmark by diffusion models: tiny ones, real stages, started by accelerate."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from covar_gen.commands.stages import stage_of
from covar_gen.core import imaging
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run

Steps = Callable[..., Run]
ROOT = Path(__file__).parents[1]
ZERO123 = ROOT / "tests" / "data" / "zero123plus" / "components"
COLUMNS = ["key", "sha256", "mask_sha256", "status", "reason", "attempt", "tool", "params"]
LAUNCHED = ("backgrounds", "viewpoints", "scale", "geometry")


def changes(painter: Path) -> dict[str, Any]:
    """Changes of the recipe by which diffusion models make everything."""
    given = {"weights": str(painter), "steps": 1, "batch": 2}
    views = {
        "weights": str(ZERO123), "steps": 1, "tile": 32, "batch": 2, "output": "recomposed",
        "ground": 0, "min_area": 0.0, "max_area": 1.0,
    }  # fmt: skip
    return {
        "block": 2,
        "classes.per_class": 1,
        "backgrounds.editor": "masked",
        "backgrounds.options": {"masked": given},
        "viewpoints.viewer": "zero123plus",
        "viewpoints.inpainter": "stable_diffusion",
        "viewpoints.options": {"zero123plus": views, "stable_diffusion": given},
        "scale.inpainter": "stable_diffusion",
        "scale.options": {"stable_diffusion": given},
        "scale.chain": "shared",
        "geometry.inpainter": "stable_diffusion",
        "geometry.options": {"stable_diffusion": given},
        "geometry.variants": ["hflip", "rotation"],
    }


def outline(run: Run, of: str) -> None:
    staging = Staging(run.root)
    run_stage(stage_of(run, f"masks_{of}"), staging, Ranks(), threads=1)
    staging.close()


@pytest.mark.launch
def test_two_processes_paint_the_benchmark_that_one_paints(
    tiny_diffusion: ModuleType, steps: Steps, accelerated: Callable[..., None], tmp_path: Path
) -> None:
    given = changes(tiny_diffusion.save_stable_diffusion(tmp_path / "painter"))
    run = steps("run", only=["sources", "masks_sources"], **given)
    for table in LAUNCHED:
        accelerated(run, table)
        if table in ("backgrounds", "viewpoints"):
            outline(run, table)
        ranks = {json.loads(p.read_text())["rank"] for p in run.folder(table).glob("made_with-*")}
        assert ranks == {0, 1}, table
    reference = steps("reference", **given)
    tables: dict[str, pa.Table] = {}
    for table in LAUNCHED:
        tables[table] = run.table(table)
        assert tables[table].select(COLUMNS).equals(reference.table(table, COLUMNS)), table
    rows = [row for table in tables.values() for row in table.to_pylist()]
    assert Counter((row["subset"], row["status"]) for row in rows) == {
        ("bg_varied", "ok"): 4,
        ("viewpoint", "ok"): 8,
        ("scale", "ok"): 8,
        ("hflip", "ok"): 4,
        ("rotation", "ok"): 4,
    }
    tools = {(row["subset"], row["tool"], str(row["model"]).partition("@")[0]) for row in rows}
    assert ("bg_varied", "masked", "local:painter") in tools
    assert ("viewpoint", "zero123plus", "local:components") in tools
    assert ("rotation", "stable_diffusion", "local:painter") in tools
    assert all(row["mask"] for row in rows)
    scaled = tables["scale"].to_pylist()
    assert {json.loads(row["params"])["passes"] for row in scaled} == {1, 2}
    parents = {row["key"]: row for row in tables["backgrounds"].to_pylist()}
    for row in scaled:
        source = imaging.decode_png(run.read(parents[row["parent"]]["image"]))
        transform = np.array(row["transform"]).reshape(3, 3)
        expected, known = imaging.warp(source, transform, source.shape, "lanczos")
        image = imaging.decode_png(run.read(row["image"]))
        assert np.array_equal(image[known], expected[known])
        assert image[~known].std() > 3, "nothing was painted around it"


@pytest.mark.launch
def test_two_processes_edit_backgrounds_with_emu2_as_one_does(
    tiny_emu2: ModuleType, steps: Steps, accelerated: Callable[..., None], tmp_path: Path
) -> None:
    given = {
        "block": 2,
        "classes.per_class": 1,
        "backgrounds.editor": "emu2",
        "backgrounds.options": {
            "emu2": {
                "weights": str(tiny_emu2.save_hub(tmp_path / "emu2", checker=True)),
                "steps": 2, "size": 64, "batch": 2, "stage": "swap",
            }
        },
    }  # fmt: skip
    run = steps("run", only=["sources", "masks_sources"], **given)
    accelerated(run, "backgrounds")
    ranks = {
        json.loads(p.read_text())["rank"] for p in run.folder("backgrounds").glob("made_with-*")
    }
    assert ranks == {0, 1}
    table = run.table("backgrounds")
    only = ["sources", "masks_sources", "backgrounds"]
    reference = steps("reference", only=only, **given).table("backgrounds", COLUMNS)
    assert table.select(COLUMNS).equals(reference)
    rows = table.to_pylist()
    assert [(row["status"], row["tool"]) for row in rows] == [("ok", "emu2")] * 4
    assert all(row["model"].startswith("local:emu2@") for row in rows)
    ending = ". Edit only the background and keep the foreground subject intact"
    assert {row["prompt"] for row in rows} == {
        f"hot desert with sand dunes{ending}", f"beach{ending}",
    }  # fmt: skip
    assert {row["known_pixel_max_diff"] for row in rows} == {None}
    assert len({row["sha256"] for row in rows}) == 4
    for row in rows:
        assert imaging.decode_png(run.read(row["image"])).shape == (48, 64, 3)
        assert json.loads(row["params"])["canvas"] == [64, 64]
