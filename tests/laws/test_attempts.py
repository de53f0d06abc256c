"""A row may be made again with other randomness: the attempt that counts is in its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from covar_gen.core.arrays import Rejected
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import remake, run_stage
from covar_gen.core.plan import make_plan
from covar_gen.core.ranks import Ranks
from covar_gen.core.seeds import seed_of
from covar_gen.core.stage import Made, Work
from covar_gen.core.store import Run
from covar_gen.stage_masks import Masks

Steps = Callable[..., Run]


class Fickle(Masks):
    """Refuses a row as often as its name says, and remembers what it was asked."""

    attempts = 3

    def __init__(self, run: Run, refusals: dict[str, int]) -> None:
        super().__init__(run)
        self.refusals = refusals
        self.asked: list[list[tuple[str, int, int]]] = []

    def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
        self.asked.append([(work.key, work.attempt, work.seed) for work in batch])
        return [
            Rejected("bad_luck", {"attempt": work.attempt}, again=True)
            if work.attempt < self.refusals.get(work.key, 0)
            else Made(None, np.ones(work.image.shape[:2], bool), "fickle")
            for work in batch
        ]


def run_it(stage: Masks) -> list[dict[str, object]]:
    staging = Staging(stage.run.root)
    try:
        run_stage(stage, staging, Ranks(), threads=1)
    finally:
        staging.close()
    columns = ["key", "status", "reason", "attempt", "seed"]
    return stage.run.table("masks_sources", columns).to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def run(steps: Steps) -> Run:
    return steps("run", only=["sources"], block=4)


def keys(run: Run) -> list[str]:
    return run.table("sources", ["key"])["key"].to_pylist()  # type: ignore[no-any-return]


def test_a_row_is_made_again_with_the_next_attempts_seed(run: Run) -> None:
    first, second, third, *rest = keys(run)
    rows = {row["key"]: row for row in run_it(Fickle(run, {first: 1, second: 2, third: 9}))}
    assert [rows[key]["attempt"] for key in (first, second, third)] == [1, 2, 2]
    assert rows[third]["status"] == "rejected"
    assert rows[third]["reason"] == "bad_luck"
    assert all(rows[key]["attempt"] == 0 for key in rest)
    assert all(rows[key]["status"] == "ok" for key in [first, second, *rest])
    seed = run.recipe.seed
    assert rows[second]["seed"] == seed_of(seed, "masks_sources", second, 2)
    assert rows[rest[0]]["seed"] == seed_of(seed, "masks_sources", rest[0])


def test_only_rows_that_ask_for_it_are_made_again(run: Run) -> None:
    first, second, *_ = keys(run)
    stage = Fickle(run, {first: 1, second: 2})
    run_it(stage)
    again = [[(key, attempt) for key, attempt, _ in asked] for asked in stage.asked if asked[0][1]]
    assert again == [[(first, 1), (second, 1)], [(second, 2)]]


def test_a_stage_with_one_attempt_never_tries_again(run: Run) -> None:
    stage = Fickle(run, {keys(run)[0]: 1})
    stage.attempts = 1
    rows = run_it(stage)
    assert sum(row["status"] == "rejected" for row in rows) == 1
    assert {attempt for asked in stage.asked for _, attempt, _ in asked} == {0}


def test_a_refusal_that_chance_cannot_mend_is_final(run: Run) -> None:
    class Strict(Fickle):
        def make(self, batch: Sequence[Work]) -> list[Made | Rejected]:
            super().make(batch)
            return [Rejected("no_object") for _ in batch]

    stage = Strict(run, {})
    rows = run_it(stage)
    assert {row["attempt"] for row in rows} == {0}
    assert {attempt for asked in stage.asked for _, attempt, _ in asked} == {0}


def test_a_row_made_again_for_verification_goes_through_the_same_attempts(run: Run) -> None:
    second = keys(run)[1]
    stage = Fickle(run, {second: 2})
    run_it(stage)
    plan = make_plan(run, stage.step, stage.outputs)
    before = len(stage.asked)
    assert isinstance(remake(stage, plan, plan.keys.to_pylist().index(second)), Made)
    assert [asked[0][1] for asked in stage.asked[before:]] == [0, 1, 2]


def test_a_batch_that_is_half_done_is_tried_again_as_it_was_the_first_time(run: Run) -> None:
    first, second, *_ = keys(run)
    whole, again = (Fickle(run, {first: 1, second: 1}) for _ in range(2))
    whole.batch = again.batch = 2
    run_it(whole)
    plan = make_plan(run, whole.step, whole.outputs)
    remake(again, plan, plan.keys.to_pylist().index(second))
    assert again.asked == [asked for asked in whole.asked if asked[0][0] == first]
