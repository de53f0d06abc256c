"""The stage of viewpoints with Zero123++: recomposed views, their masks, and other attempts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covar_gen.core import imaging
from covar_gen.core.errors import RecipeError
from covar_gen.core.store import Run

Steps = Callable[..., Run]
WEIGHTS = Path(__file__).parents[1] / "data" / "zero123plus" / "components"
UPSTREAM = ["sources", "masks_sources", "backgrounds", "masks_backgrounds"]


def changes(**options: Any) -> dict[str, Any]:
    """Changes of the recipe that paint views with the tiny networks."""
    tiny = {"weights": str(WEIGHTS), "steps": 1, "tile": 32, "guidance": 1.0, "max_area": 1.0}
    return {
        "viewpoints.viewer": "zero123plus",
        "viewpoints.options": {"zero123plus": {**tiny, "ground": 0, "min_area": 0.0, **options}},
        "backgrounds.backgrounds": [{"background_id": 5, "description": "beach"}],
        "classes.per_class": 2,
    }


def test_recomposed_views_have_masks_and_the_parents_background(steps: Steps) -> None:
    given = {**changes(output="recomposed"), "viewpoints.inpainter": "telea"}
    run = steps("run", only=[*UPSTREAM, "viewpoints", "masks_viewpoints"], **given)
    rows = [row for row in run.table("viewpoints").to_pylist() if row["status"] == "ok"]
    assert rows
    poses = {(row["azimuth_deg"], row["elevation_deg"]) for row in rows}
    assert poses <= {(30, 20), (90, -10), (150, 20), (210, -10), (270, 20), (330, -10)}
    for row in rows:
        params = json.loads(row["params"])
        assert params["output"] == "recomposed"
        assert params["background_by"] == "telea"
        assert str(row["model"]).startswith("local:components@")
        image = imaging.decode_png(run.read(row["image"], row["sha256"]))
        mask = imaging.decode_mask(run.read(row["mask"], row["mask_sha256"]))
        assert image.shape[:2] == mask.shape
        assert 0 < mask.mean() < 1
    masks = run.table("masks_viewpoints").to_pylist()
    assert {row["tool"] for row in masks if row["status"] == "ok"} == {"by_construction"}


def test_a_view_without_its_own_background_needs_no_inpainter(steps: Steps) -> None:
    run = steps("run", only=[*UPSTREAM, "viewpoints"], **changes())
    rows = run.table("viewpoints").to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["mask"] for row in rows} == {None}
    grey = imaging.decode_png(run.read(rows[0]["image"]))[:, :2]
    assert (np.asarray(grey) == 127).all(), "a square view has grey beside it"


def test_recomposed_views_without_an_inpainter_are_refused_in_a_line(steps: Steps) -> None:
    with pytest.raises(RecipeError, match=r"viewpoints\.inpainter: .* its own background"):
        steps("run", only=[*UPSTREAM, "viewpoints"], **changes(output="recomposed"))


def test_views_that_show_nothing_are_painted_again_with_other_noise(steps: Steps) -> None:
    run = steps(
        "run", only=[*UPSTREAM, "viewpoints"], **changes(ground=255, min_area=0.1, attempts=2)
    )
    rows = run.table("viewpoints").to_pylist()
    assert {(row["status"], row["reason"], row["attempt"]) for row in rows} == {
        ("rejected", "blank_view", 1)
    }
    pairs = {row["parent"]: row["seed"] for row in rows}
    assert len(set(pairs.values())) == len(pairs)
