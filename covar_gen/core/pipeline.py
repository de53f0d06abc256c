"""How a stage is run: blocks through decode, make, encode and commit.

Reading, the model's work and writing overlap: while one block is made, the next is decoded and
the one before is encoded, in a fixed number of threads; at most four blocks are in memory.
A block's files are made durable by one sync, then its rows are appended to the journal: a row
always means files, and a process killed at any moment loses the block it had not written.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from covar_gen.core import imaging
from covar_gen.core.arrays import Image, Mask, Rejected, check_image, check_mask
from covar_gen.core.environment import record
from covar_gen.core.errors import CovarError, ToolError, storage_error
from covar_gen.core.files import Staging, sync
from covar_gen.core.journal import Journal
from covar_gen.core.masters import params_json, save_image, save_mask
from covar_gen.core.plan import Plan, make_plan
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import OK, PARENT_REJECTED, REJECTED, Row
from covar_gen.core.seeds import seed_of
from covar_gen.core.stage import Made, Stage, Tally, Work
from covar_gen.core.threads import fix_threads

log = logging.getLogger("covar_gen")

TOOL_FAILED = "tool_failed"
MOST_FAILURES = 16
"""Failures of a tool in a row after which a stage stops instead of rejecting everything."""

Report = Callable[[int, int], None]
"""Told of rows done and rows in all of this process's share."""


def run_stage(
    stage: Stage,
    staging: Staging,
    ranks: Ranks,
    *,
    threads: int,
    limit: int | None = None,
    report: Report = lambda _done, _total: None,
) -> Tally:
    """Make this process's share of a table's missing rows.

    Args:
        stage: what to make.
        staging: this process's temporaries.
        ranks: which process of how many this is.
        threads: for decoding and encoding; the result does not depend on it.
        limit: photographs to work on; None for all.
        report: told of progress after each block.

    Returns:
        Counts of the rows made in this call.

    Raises:
        CovarError: what stops a run; what is written is kept.
    """
    plan = make_plan(stage.run, stage.step, stage.outputs, limit=limit)
    stage.run.claim(stage.table, stage.identity(), staging)
    blocks = list(plan.blocks(ranks))
    total = plan.share(ranks)
    report(0, total)
    if not blocks:
        return Tally()
    record(stage.run.folder(stage.table), ranks, staging)
    stage.setup()
    fix_threads()
    worker = _Worker(stage, plan, staging, threads)
    for done in worker.run(blocks):
        report(done, total)
    return worker.tally


@dataclass(frozen=True)
class _Pending:
    """A row whose parent is being decoded."""

    key: str
    parent: dict[str, Any]
    missing: bool
    decoded: Future[tuple[Image, Mask | None]]

    def work(self, stage: Stage, attempt: int = 0) -> Work:
        """The row with its parent's pixels."""
        seed = seed_of(stage.run.recipe.seed, stage.table, self.key, attempt)
        image, mask = self.decoded.result()
        name = self.key.rpartition("/")[2]
        return Work(self.key, name, self.parent, image, mask, seed, attempt)


class _Loader:
    """Turns blocks of keys into chunks of rows whose parents are being decoded."""

    def __init__(self, stage: Stage, plan: Plan, pool: ThreadPoolExecutor) -> None:
        self.stage = stage
        self.plan = plan
        self.pool = pool

    def load(self, block: range) -> tuple[list[Row], list[list[_Pending]]]:
        """Rows that need no computing, and chunks of the others, being decoded.

        Where the stage's answers depend on the batch, a chunk of which any row is missing is
        made whole: what a batch consists of never depends on what was done before.
        """
        place = self.plan.parent_of[block.start : block.stop]
        first = int(place[0])
        parents = self.plan.parents.slice(first, int(place[-1]) - first + 1).to_pylist()
        rows: list[Row] = []
        open_: list[tuple[int, str, bool]] = []
        for index in block:
            parent = parents[int(self.plan.parent_of[index]) - first]
            key = self.plan.keys[index].as_py()
            ready = self._ready(parent)
            missing = bool(self.plan.missing[index])
            if ready is None and (missing or self.stage.batch):
                open_.append((int(self.plan.parent_of[index]) - first, key, missing))
            elif ready is not None and missing:
                rows.append({**which(self.stage, key, parent), **ready})
        size = self.stage.batch or max(len(open_), 1)
        chunks = [open_[start : start + size] for start in range(0, len(open_), size)]
        decoded: dict[int, Future[tuple[Image, Mask | None]]] = {}
        pending: list[list[_Pending]] = []
        for chunk in chunks:
            if not any(missing for _, _, missing in chunk):
                continue
            for at, _, _ in chunk:
                if at not in decoded:
                    decoded[at] = self.pool.submit(self._decode, parents[at])
            pending.append(
                [_Pending(key, parents[at], miss, decoded[at]) for at, key, miss in chunk]
            )
        return rows, pending

    def _ready(self, parent: dict[str, Any]) -> Row | None:
        if parent["status"] == REJECTED:
            return {"status": REJECTED, "reason": PARENT_REJECTED}
        return self.stage.ready(parent)

    def _decode(self, parent: dict[str, Any]) -> tuple[Image, Mask | None]:
        run = self.stage.run
        image = imaging.decode_png(run.read(parent["image"], parent["sha256"]))
        if not self.stage.reads_masks:
            return image, None
        return image, imaging.decode_mask(run.read(parent["mask"], parent["mask_sha256"]))


def which(stage: Stage, key: str, parent: dict[str, Any]) -> Row:
    """The columns that say what a row is."""
    if stage.table.startswith("masks_"):
        return {"key": key, "parent_sha256": parent["sha256"]}
    return {
        "key": key,
        "parent": parent["key"],
        "subset": stage.subset(key),
        "source": parent["source"],
        "background_id": parent["background_id"],
        "parent_sha256": parent["sha256"],
        **stage.columns(key),
    }


def _attempted(stage: Stage, chunk: Sequence[_Pending]) -> tuple[list[Work], list[Made | Rejected]]:
    """The rows of a chunk, each at the attempt that counts, and their answers.

    Rows that ask for another attempt are made again together, whether they are missing or not:
    what an attempt's batch consists of depends on the chunk alone.
    """
    works = [pending.work(stage) for pending in chunk]
    found = list(answers(stage, works))
    for attempt in range(1, stage.attempts):
        again = [
            place
            for place, answer in enumerate(found)
            if isinstance(answer, Rejected) and answer.again
        ]
        if not again:
            break
        for place in again:
            works[place] = chunk[place].work(stage, attempt)
        for place, answer in zip(
            again, answers(stage, [works[place] for place in again]), strict=True
        ):
            found[place] = answer
    return works, found


def answers(stage: Stage, works: list[Work]) -> Sequence[Made | Rejected]:
    """A stage's answers for a batch; an item that cannot be made never takes others with it."""
    try:
        found = stage.make(works)
    except (CovarError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and storage_error(error, stage.run.root) is not None:
            raise
        if len(works) > 1:
            return [answer for work in works for answer in answers(stage, [work])]
        log.exception("%s: %s failed", works[0].key, stage.tool)
        return [Rejected("tool_failed", {"error": type(error).__name__})]
    if len(found) != len(works):
        msg = f"{type(stage).__name__}.make: {len(found)} answers for {len(works)} rows"
        raise RuntimeError(msg)
    return [_valid(work, answer) for work, answer in zip(works, found, strict=True)]


def _valid(work: Work, answer: Made | Rejected) -> Made | Rejected:
    """The answer, or a rejection where its arrays are not what they should be."""
    if isinstance(answer, Rejected):
        return answer
    try:
        size = work.image.shape
        if answer.image is not None:
            size = check_image(answer.image, work.key).shape
        if answer.mask is not None:
            check_mask(answer.mask, size, f"mask of {work.key}")
    except ValueError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return Rejected("tool_failed", {"error": type(error).__name__})
    return answer


class _Worker:
    def __init__(self, stage: Stage, plan: Plan, staging: Staging, threads: int) -> None:
        self.stage = stage
        self.staging = staging
        self.journal = Journal(stage.run.folder(stage.table), stage.table, staging)
        self.tally = Tally()
        self.failures = 0
        self.broken = False
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="pixels")
        self.commits = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self.loader = _Loader(stage, plan, self.pool)

    def run(self, blocks: Sequence[range]) -> Iterator[int]:
        """Do the blocks; yields the number of rows written so far."""
        ahead = iter(blocks)
        loading: deque[tuple[list[Row], list[list[_Pending]]]] = deque()
        writing: deque[Future[None]] = deque()

        def load_next() -> None:
            block = next(ahead, None)
            if block is not None:
                loading.append(self.loader.load(block))

        try:
            load_next()
            load_next()
            while loading:
                rows, chunks = loading.popleft()
                saved = [future for chunk in chunks for future in self._make(chunk)]
                writing.append(self.commits.submit(self._commit, rows, saved))
                load_next()
                if len(writing) > 1:
                    writing.popleft().result()
                    yield self.tally.total
            while writing:
                writing.popleft().result()
                yield self.tally.total
            self.journal.close()
        finally:
            self.pool.shutdown(cancel_futures=True)
            self.commits.shutdown(cancel_futures=True)
            self.journal.abandon()

    def _make(self, chunk: list[_Pending]) -> list[Future[Row]]:
        """The rows of a chunk that are missing, made and on their way to files."""
        works, found = _attempted(self.stage, chunk)
        self._check_tool(found)
        return [
            self.pool.submit(self._save, work, answer)
            for work, answer, pending in zip(works, found, chunk, strict=True)
            if pending.missing
        ]

    def _check_tool(self, found: Sequence[Made | Rejected]) -> None:
        """Stop when the tool fails on everything: that is no fault of the items.

        Raises:
            ToolError: it has failed too often in a row; the block is not written.
        """
        for answer in found:
            failed = isinstance(answer, Rejected) and answer.reason == TOOL_FAILED
            self.failures = self.failures + 1 if failed else 0
            if self.failures >= MOST_FAILURES:
                run, table = self.stage.run, self.stage.table
                assert isinstance(answer, Rejected)
                what = f"{self.stage.tool} fails on every item ({answer.params['error']})"
                mend = f"See logs/{table}-*.log; when it is mended, type: {run.discard(table)}"
                raise ToolError(what, where=table, mend=mend)

    def _save(self, work: Work, answer: Made | Rejected) -> Row:
        """Encode and publish a row's files."""
        stage = self.stage
        row = which(stage, work.key, work.parent)
        row.update(seed=work.seed, attempt=work.attempt, params=params_json(answer.params))
        if isinstance(answer, Rejected):
            said = {**answer.columns, **answer.params} or ""
            log.warning("%s: rejected: %s %s", work.key, answer.reason, said)
            row.update(status=REJECTED, reason=answer.reason, tool=stage.tool, **answer.columns)
            return row
        row.update(status=OK, tool=answer.tool, model=answer.model)
        if answer.image is not None:
            row.update(save_image(stage.run, self.staging, stage.table, work.key, answer.image))
        if answer.mask is not None:
            of = stage.table.removeprefix("masks_")
            row.update(save_mask(stage.run, self.staging, of, work.key, answer.mask))
        if answer.transform is not None:
            row["transform"] = [float(number) for number in answer.transform.ravel()]
        row.update(answer.columns)
        return row

    def _commit(self, ready: list[Row], saved: list[Future[Row]]) -> None:
        """One sync, then the block's rows in one frame."""
        if self.broken:
            return
        self.broken = True
        rows = [*ready, *(future.result() for future in saved)]
        if saved:
            sync(self.stage.run.root)
        self.journal.append(rows)
        self.tally.add(rows)
        # Reached only if nothing failed: what follows a failed block is not written either.
        self.broken = False


def remake(stage: Stage, plan: Plan, index: int) -> Made | Rejected | None:
    """Make one row again without storing it, in the batch it was made in.

    Args:
        stage: set up already.
        plan: of the stage's table.
        index: of the row's key in the plan.

    Returns:
        The stage's answer; None for a row that needs no computing.
    """
    block = int(np.searchsorted(plan.starts, index, side="right")) - 1
    span = range(int(plan.starts[block]), int(plan.starts[block + 1]))
    wanted = np.zeros(len(plan.keys), np.bool_)
    wanted[index] = True
    again = dataclasses.replace(plan, missing=wanted)
    with ThreadPoolExecutor(1) as pool:
        _, chunks = _Loader(stage, again, pool).load(span)
        for chunk in chunks:
            _, found = _attempted(stage, chunk)
            for pending, answer in zip(chunk, found, strict=True):
                if pending.missing:
                    return answer
    return None
