"""The stage of scale: what its table's identity is made of, and chains that are made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from covar_gen.commands.run import init
from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.errors import RecipeError
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.seeds import generator, seed_of
from covar_gen.core.store import Run
from covar_gen.inpainters.base import Filled, FillRequest, Inpainter
from covar_gen.stage_scale import ScaleStage

Steps = Callable[..., Run]


class Moody(Inpainter):
    """Paints noise by twos; refuses every first attempt's canvas of factor 4 of some parents."""

    reach: ClassVar[float] = 2.0
    refused: ClassVar[set[int]] = set()

    @property
    def attempts(self) -> int:
        return 3

    def paint(self, batch: Sequence[FillRequest]) -> list[Filled | Rejected]:
        return [
            Rejected("bad_output", again=True)
            if one.seed in self.refused
            else Filled(generator(one.seed).integers(0, 256, one.image.shape).astype(np.uint8))
            for one in batch
        ]


UPSTREAM = ["sources", "masks_sources", "backgrounds", "masks_backgrounds"]


def scaled(run: Run, inpainter: Inpainter) -> list[dict[str, object]]:
    stage = ScaleStage(run)
    stage.inpainter = inpainter
    stage.follow(inpainter)
    staging = Staging(run.root)
    run_stage(stage, staging, Ranks(), threads=1)
    staging.close()
    return run.table("scale").to_pylist()  # type: ignore[no-any-return]


def test_a_recipe_that_says_nothing_of_it_is_the_recipe_it_was(
    recipe: Path, tmp_path: Path
) -> None:
    plain = init(recipe, tmp_path / "plain", {})
    assert set(plain.recipe.hashed()["scale"]) == {"inpainter", "factors", "options"}
    identity = ScaleStage(plain).identity()
    assert set(identity) == {"inpainter", "factors", "seed"}
    said: dict[str, Json] = {"keep": "object", "chain": "shared"}
    other = init(recipe, tmp_path / "other", {f"scale.{name}": what for name, what in said.items()})
    assert ScaleStage(other).identity() == {**identity, **said}
    assert other.recipe.digest() != plain.recipe.digest()


@pytest.mark.parametrize("key", ["keep", "chain"])
def test_what_a_recipe_cannot_say(recipe: Path, tmp_path: Path, key: str) -> None:
    with pytest.raises(RecipeError) as error:
        init(recipe, tmp_path / "run", {f"scale.{key}": "both"})
    assert error.value.line().startswith(f"RecipeError: scale.{key}: ")


def test_a_shared_chain_is_made_again_as_a_whole(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = steps("run", only=UPSTREAM, **{"scale.chain": "shared"})
    parents = run.table("backgrounds", ["key", "status"]).to_pylist()
    first = next(row["key"] for row in parents if row["status"] == "ok")
    chain = seed_of(run.recipe.seed, "scale", first)
    monkeypatch.setattr(Moody, "refused", {seed_of(chain, "pass", "4")})
    rows = [row for row in scaled(run, Moody()) if row["reason"] != "parent_rejected"]
    attempts = {row["key"]: row["attempt"] for row in rows}
    assert {attempts[f"{first}/{name}"] for name in ("scale_2", "scale_4")} == {1}
    assert {n for key, n in attempts.items() if not str(key).startswith(first)} == {0}
    assert {row["status"] for row in rows} == {"ok"}
    assert {json.loads(str(row["params"]))["passes"] for row in rows} == {1, 2}


def test_a_canvas_with_passes_of_its_own_is_made_again_alone(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = steps("run", only=UPSTREAM)
    parents = run.table("backgrounds", ["key", "status"]).to_pylist()
    key = next(row["key"] for row in parents if row["status"] == "ok") + "/scale_4"
    seeds = [seed_of(run.recipe.seed, "scale", key, attempt) for attempt in range(3)]
    # The last pass of the first attempt, then the one before it of the second.
    refused = {seeds[0], seed_of(seeds[1], "pass", "2")}
    monkeypatch.setattr(Moody, "refused", refused)
    rows = [row for row in scaled(run, Moody()) if row["reason"] != "parent_rejected"]
    attempts = {row["key"]: row["attempt"] for row in rows}
    assert attempts.pop(key) == 2
    assert set(attempts.values()) == {0}
    assert {row["status"] for row in rows} == {"ok"}
