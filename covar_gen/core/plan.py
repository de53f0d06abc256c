"""What a stage has to do: all keys of its table, cut into fixed blocks, less what is done.

The plan depends on the input table and the recipe alone; so every process, however many there
are and however often they were killed, cuts the same blocks. Nothing here makes a Python object
per column: keys are Arrow strings, everything else are numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.errors import DamagedRunError, IncompleteInputError
from covar_gen.core.flow import Step, children, step_of
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import REJECTED, mask_table
from covar_gen.core.store import RECIPE, Run

PARENT = ["key", "subset", "source", "background_id", "image", "mask", "mask_sha256", "sha256",
          "object_coverage", "width", "height", "status"]  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Keys to make and how they are shared.

    Attributes:
        parents: rows of the input table, sorted by key, with their masks.
        keys: every key that the table will have, in the order of the parents.
        parent_of: int64 (keys,), row of each key's parent.
        starts: int64 (blocks + 1,), where each block begins in `keys`; the last is the end.
        missing: bool (keys,), True where there is no row yet.
    """

    parents: pa.Table
    keys: pa.Array
    parent_of: NDArray[np.int64]
    starts: NDArray[np.int64]
    missing: NDArray[np.bool_]

    def blocks(self, ranks: Ranks) -> Iterator[range]:
        """This process's blocks with anything missing: shared first, filtered second."""
        for block in range(ranks.rank, len(self.starts) - 1, ranks.world):
            start, stop = int(self.starts[block]), int(self.starts[block + 1])
            if self.missing[start:stop].any():
                yield range(start, stop)

    def share(self, ranks: Ranks) -> int:
        """How many rows this process has to make."""
        return sum(int(self.missing[b.start : b.stop].sum()) for b in self.blocks(ranks))


def make_plan(
    run: Run, step: Step, outputs: Callable[[str], list[str]], *, limit: int | None = None
) -> Plan:
    """Plan a table.

    Args:
        run: the run.
        step: of the table.
        outputs: keys made from the parent of that key.
        limit: photographs to work on, evenly over the classes; None for all. Blocks are cut as
            without it, as far as the input reaches: a row stands in the same batch either way.

    Raises:
        IncompleteInputError: an input table is not finished.
    """
    wanted = parents_of(run, step, limit)
    parents = wanted if limit is None else _joined(run, step, *_present(run, step))
    keys: list[str] = []
    counts = np.empty(len(parents), np.int64)
    for row, parent in enumerate(parents["key"]):
        made = outputs(parent.as_py())
        counts[row] = len(made)
        keys.extend(made)
    all_keys = pa.array(keys, pa.string())
    done = run.table(step.table, ["key"])["key"]
    missing = pc.invert(pc.is_in(all_keys, value_set=done)).to_numpy(zero_copy_only=False)
    parent_of = np.repeat(np.arange(len(parents)), counts)
    if limit is not None:
        within_limit = pc.is_in(parents["key"], value_set=wanted["key"].combine_chunks())
        missing = missing & within_limit.to_numpy()[parent_of]
    return Plan(
        parents=parents,
        keys=all_keys,
        parent_of=parent_of,
        starts=cut(counts, run.recipe.block),
        missing=missing,
    )


def cut(counts: NDArray[np.int64], block: int) -> NDArray[np.int64]:
    """Boundaries of blocks of at most `block` keys; siblings stay together if they fit.

    Args:
        counts: int64 (parents,), keys of each parent.
        block: most keys in a block.
    """
    starts, filled, total = [0], 0, 0
    for count in counts.tolist():
        if filled and filled + count > block:
            starts.append(total)
            filled = 0
        whole = total + count
        while whole - total + filled > block:
            total += block - filled
            starts.append(total)
            filled = 0
        filled += whole - total
        total = whole
    if filled:
        starts.append(total)
    return np.asarray(starts, np.int64)


def parents_of(run: Run, step: Step, limit: int | None = None) -> pa.Table:
    """Rows of the table that a step is made from, with masks, once it is complete.

    Raises:
        IncompleteInputError: rows are missing; the command that makes them is named.
    """
    for table in step.reads:
        lacking = lacks(run, table, limit)
        if lacking:
            stage = step_of(table)
            command = " ".join(
                ["python -m", f"covar_gen.{stage.module}", "--run", str(run.root), *stage.arguments]
            )
            lack = "is not made yet" if table == "sources" else f"lacks {lacking} rows"
            what = f"{step.table} needs table {table}, which {lack}"
            where = run.folder(table)
            raise IncompleteInputError(what, where=where, mend=f"Type: {command}")
    images, found = (within(run, rows, limit) for rows in _inputs(run, step))
    return _joined(run, step, images, found)


def _inputs(run: Run, step: Step) -> tuple[pa.Table, pa.Table]:
    """The table that a step is made from, and that of its masks: the same where none are read."""
    images = run.table(step.reads[0], PARENT)
    masks = mask_table(step.reads[0])
    if masks not in step.reads:
        return images, images
    return images, run.table(masks, ["key", "mask", "mask_sha256", "status"])


def _present(run: Run, step: Step) -> tuple[pa.Table, pa.Table]:
    """The inputs as far as both reach."""
    images, found = _inputs(run, step)
    return (
        images.filter(pc.is_in(images["key"], value_set=found["key"].combine_chunks())),
        found.filter(pc.is_in(found["key"], value_set=images["key"].combine_chunks())),
    )


def _joined(run: Run, step: Step, images: pa.Table, found: pa.Table) -> pa.Table:
    """Images with their masks, where the step reads masks.

    Raises:
        DamagedRunError: the masks are not those of the images.
    """
    if mask_table(step.reads[0]) not in step.reads:
        return images
    check_masks(run, images, found)
    refused = pc.or_(pc.equal(images["status"], REJECTED), pc.equal(found["status"], REJECTED))
    status = pc.if_else(refused, REJECTED, images["status"])
    for name, column in (
        ("mask", found["mask"]),
        ("mask_sha256", found["mask_sha256"]),
        ("status", status),
    ):
        images = images.set_column(images.schema.get_field_index(name), name, column)
    return images


def check_masks(run: Run, images: pa.Table, masks: pa.Table) -> None:
    """Refuse masks whose keys are not those of the images, row by row.

    Raises:
        DamagedRunError: a row of one has none of the other.
    """
    if not images["key"].equals(masks["key"]):
        mend = f"Type: covar-gen verify {run.root}"
        raise DamagedRunError("the masks are not those of the images", where=run.root, mend=mend)


def lacks(run: Run, table: str, limit: int | None = None) -> int:
    """How many rows a table lacks: completeness is computed, never a mark."""
    rows = len(within(run, run.table(table, ["key"]), limit))
    if table == "sources":
        # Written at once when every photograph has been examined: any row means all rows.
        return 0 if rows else 1
    return expected(run, table, limit) - rows


def expected(run: Run, table: str, limit: int | None = None) -> int:
    """How many rows a table will have."""
    if table == "sources":
        return len(within(run, run.table(table, ["key"]), limit))
    parent = step_of(table).reads[0]
    return children(table, run.recipe) * expected(run, parent, limit)


def within(run: Run, rows: pa.Table, limit: int | None) -> pa.Table:
    """The rows that belong to the first `limit` photographs, taken evenly from the classes."""
    if limit is None:
        return rows
    photographs = run.table("sources", ["key", "status"])
    photographs = photographs.filter(pc.equal(photographs["status"], "ok"))["key"].to_pylist()
    by_class: dict[str, list[str]] = {}
    for key in photographs:
        by_class.setdefault(key.partition("/")[0], []).append(key)
    in_turn = [
        key
        for _, _, key in sorted(
            (place, name, key) for name, keys in by_class.items() for place, key in enumerate(keys)
        )
    ]
    wanted = pa.array(in_turn[:limit], pa.string())
    return rows.filter(pc.is_in(source_of(rows["key"]), value_set=wanted))


def source_of(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Key of the original photograph of each key."""
    return pc.replace_substring_regex(keys, r"^([^/]+/[^/]+)/.*$", r"\1/original")


def command_for(run: Run) -> str:
    """The command that goes on with a run."""
    return f"covar-gen run {run.root / RECIPE} --run {run.root}"
