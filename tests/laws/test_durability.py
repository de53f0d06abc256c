"""Law 4: an image is durable before the row that names it, with one sync per block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.commands.stages import stage_of
from covar_gen.core import pipeline
from covar_gen.core.files import Staging
from covar_gen.core.imaging import encode_png
from covar_gen.core.journal import Journal
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import Row
from covar_gen.core.store import Run

UPSTREAM = ["sources", "masks_sources", "backgrounds", "masks_backgrounds"]
Steps = Callable[..., Run]


def geometry(run: Run) -> None:
    staging = Staging(run.root)
    try:
        run_stage(stage_of(run, "geometry"), staging, Ranks(), threads=2)
    finally:
        staging.close()


def test_each_block_is_synced_once_and_only_then_its_rows_are_written(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = steps("run", only=UPSTREAM)
    events: list[tuple[str, int]] = []
    append = Journal.append

    def synced(root: Path) -> None:
        events.append(("sync", sum(1 for _ in (root / "images" / "geometry").rglob("*.png"))))

    def appended(self: Journal, rows: list[Row]) -> None:
        assert all((run.root / str(row["image"])).is_file() for row in rows)
        events.append(("rows", len(rows)))
        append(self, rows)

    monkeypatch.setattr(pipeline, "sync", synced)
    monkeypatch.setattr(Journal, "append", appended)
    geometry(run)
    kinds = [kind for kind, _ in events]
    assert kinds == ["sync", "rows"] * (len(kinds) // 2)
    written = 0
    for (_, durable), (_, rows) in zip(events[::2], events[1::2], strict=True):
        written += rows
        assert durable >= written
    assert written == 60


def test_a_row_that_was_not_written_leaves_a_file_that_the_next_run_takes_as_it_is(
    steps: Steps,
) -> None:
    reference = steps("reference", only=[*UPSTREAM, "geometry"])
    run = steps("run", only=UPSTREAM)
    first = reference.table("geometry", ["image"])["image"][0].as_py()
    (run.root / first).parent.mkdir(parents=True)
    (run.root / first).write_bytes((reference.root / first).read_bytes())
    before = (run.root / first).stat().st_ino
    geometry(run)
    assert (run.root / first).stat().st_ino == before
    assert run.table("geometry").equals(reference.table("geometry"))


def test_a_file_that_lost_its_tail_in_a_power_cut_is_made_again(steps: Steps) -> None:
    reference = steps("reference", only=[*UPSTREAM, "geometry"])
    run = steps("run", only=UPSTREAM)
    first = reference.table("geometry", ["image"])["image"][0].as_py()
    (run.root / first).parent.mkdir(parents=True)
    (run.root / first).write_bytes((reference.root / first).read_bytes()[:-20])
    geometry(run)
    assert (run.root / first).read_bytes() == (reference.root / first).read_bytes()


def test_the_row_describes_the_file_of_the_writer_that_was_first(steps: Steps) -> None:
    import hashlib

    import numpy as np

    reference = steps("reference", only=[*UPSTREAM, "geometry"])
    run = steps("run", only=UPSTREAM)
    first = reference.table("geometry", ["image"])["image"][0].as_py()
    other = encode_png(np.full((48, 64, 3), 7, np.uint8))
    (run.root / first).parent.mkdir(parents=True)
    (run.root / first).write_bytes(other)
    geometry(run)
    assert (run.root / first).read_bytes() == other
    assert (
        run.table("geometry", ["sha256"])["sha256"][0].as_py() == hashlib.sha256(other).hexdigest()
    )
