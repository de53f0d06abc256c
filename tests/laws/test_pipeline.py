"""How blocks go through the pipeline: overlapping, once each, and never past a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from covar_gen.core import pipeline
from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import ToolError
from covar_gen.core.files import Staging
from covar_gen.core.journal import Journal, read_table
from covar_gen.core.pipeline import run_stage
from covar_gen.core.plan import make_plan, parents_of
from covar_gen.core.ranks import Ranks
from covar_gen.core.seeds import seed_of
from covar_gen.core.stage import Made, Work
from covar_gen.core.store import Run
from covar_gen.stage_masks import Masks
from covar_gen.stage_scale import ScaleStage

Steps = Callable[..., Run]


def run_it(stage: Masks) -> None:
    staging = Staging(stage.run.root)
    try:
        run_stage(stage, staging, Ranks(), threads=2)
    finally:
        staging.close()


def whole(batch: Sequence[Work]) -> list[Made | Rejected]:
    return [Made(None, np.ones(work.image.shape[:2], bool), "whole") for work in batch]


def test_decoding_and_encoding_go_on_while_the_model_works(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = steps("run", only=["sources"], block=2)
    decoded, entered = threading.Semaphore(0), threading.Event()
    reads: list[str] = []
    read = Run.read

    def reading(self: Run, path: str, sha256: str | None = None) -> bytes:
        reads.append(path)
        if len(reads) > 2:
            decoded.release()
        return read(self, path, sha256)

    save = pipeline.save_mask

    def saving(*arguments: object) -> object:
        # The first block is only saved once the second has reached the model.
        assert entered.wait(20)
        return save(*arguments)  # type: ignore[arg-type]

    class Busy(Masks):
        calls = 0

        def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
            self.calls += 1
            if self.calls == 1:
                assert decoded.acquire(timeout=120), "nothing was decoded while the model worked"
            else:
                entered.set()
            return whole(batch)

    monkeypatch.setattr(Run, "read", reading)
    monkeypatch.setattr(pipeline, "save_mask", saving)
    run_it(Busy(run))
    assert len(run.table("masks_sources")) == 6


def test_a_tool_that_fails_on_everything_stops_the_stage(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = steps("run", only=["sources"])
    monkeypatch.setattr(pipeline, "MOST_FAILURES", 3)

    class Broken(Masks):
        def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
            raise RuntimeError("the device is gone")

    with pytest.raises(ToolError, match=r"fails on every item \(RuntimeError\)"):
        run_it(Broken(run))
    assert len(run.table("masks_sources")) == 0
    run_it(Masks(run))
    assert set(run.table("masks_sources")["status"].to_pylist()) == {"ok"}


def test_a_full_disk_in_a_tool_is_no_fault_of_an_item(steps: Steps) -> None:
    run = steps("run", only=["sources"])

    class Full(Masks):
        def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_it(Full(run))
    assert len(run.table("masks_sources")) == 0


def test_of_two_rows_of_a_key_the_one_that_was_made_stands(steps: Steps) -> None:
    run = steps("run", only=["sources"])
    folder = run.folder("masks_sources")
    for status in ("rejected", "ok"):
        for finished in (False, True):
            staging = Staging(run.root)
            journal = Journal(folder, "masks_sources", staging)
            journal.append([{"key": f"a/{finished}", "status": status}])
            journal.close() if finished == (status == "ok") else journal.abandon()
            staging.close()
    rows = read_table(folder, "masks_sources", ["key", "status"]).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"]


def test_journals_of_dead_writers_become_parts_when_the_manifest_is_made(steps: Steps) -> None:
    run = steps("run", only=["sources"])
    staging = Staging(run.root)
    journal = Journal(run.folder("masks_sources"), "masks_sources", staging)
    stage = Masks(run)
    plan = make_plan(run, stage.step, stage.outputs)
    first = plan.parents.to_pylist()[0]
    journal.append([{"key": first["key"], "status": "rejected", "reason": "no_object"}])
    journal.abandon()
    staging.close()
    steps("run")
    assert not list(run.folder("masks_sources").glob("*.journal"))
    assert len(list(run.folder("masks_sources").glob("*.parquet"))) == 2
    assert len(run.table("masks_sources")) == 6


def test_masks_of_other_keys_are_not_joined_to_images(steps: Steps) -> None:
    run = steps("run", only=["sources"])
    staging = Staging(run.root)
    journal = Journal(run.folder("masks_sources"), "masks_sources", staging)
    keys = run.table("sources", ["key"])["key"].to_pylist()
    journal.append([{"key": key, "status": "ok"} for key in [*keys[1:], "zz/foreign/original"]])
    journal.close()
    staging.close()
    from covar_gen.core.errors import DamagedRunError
    from covar_gen.core.flow import step_of

    with pytest.raises(DamagedRunError, match="not those of the images"):
        parents_of(run, step_of("backgrounds"))


def test_the_seed_of_a_view_is_the_one_that_its_viewer_was_given(steps: Steps) -> None:
    run = steps("run")
    for row in run.table("viewpoints", ["parent", "seed"]).to_pylist():
        assert row["seed"] == seed_of(run.recipe.seed, "viewpoints", row["parent"])


def test_an_object_that_shrinks_to_nothing_is_rejected(steps: Steps) -> None:
    run = steps("run", only=["sources", "masks_sources", "backgrounds", "masks_backgrounds"])
    stage = ScaleStage(run)
    mask = np.zeros((48, 64), bool)
    mask[20, 30] = True
    image = np.zeros((48, 64, 3), np.uint8)
    parent = {"background_id": 5, "key": "disc/p0/05"}
    work = Work("disc/p0/05/scale_4", "scale_4", parent, image, mask, 1)
    (answer,) = stage.make([work])
    assert isinstance(answer, Rejected)
    assert answer.reason == "object_vanished"
