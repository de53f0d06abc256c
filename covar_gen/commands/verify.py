"""`covar-gen verify`: files against rows, rows against parents, and a sample made again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.commands.stages import stage_of
from covar_gen.core import imaging
from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import CovarError, DamagedRunError, MixtureError
from covar_gen.core.flow import steps
from covar_gen.core.pipeline import remake
from covar_gen.core.plan import make_plan
from covar_gen.core.rows import OK
from covar_gen.core.seeds import choose, generator, seed_of
from covar_gen.core.stage import Made
from covar_gen.core.store import Run
from covar_gen.core.threads import fix_threads
from covar_gen.stage_manifest import stale_rows

COLUMNS = ["key", "parent", "source", "image", "mask", "sha256", "pixels_sha256", "mask_sha256",
           "parent_sha256", "status"]  # fmt: skip


@dataclass
class Verified:
    """What was checked and what was found.

    Attributes:
        files: files read and compared with their checksums.
        remade: rows made again and compared with what is stored.
        problems: (key, what is wrong), in the order of the keys.
        largest: largest difference of a remade image from the stored one, grey levels.
        left_out: tables of which no sample could be made again, and why.
    """

    files: int = 0
    remade: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    largest: int = 0
    left_out: list[str] = field(default_factory=list)


def verify(run: Run, *, sample: int = 16, tolerance: int = 0, threads: int = 2) -> Verified:
    """Check a run.

    Args:
        run: the run; its manifest must be there.
        sample: rows of each table to make again.
        tolerance: grey levels by which a remade pixel may differ: 0 on the machine and the
            versions that made it, 1 elsewhere, more for neural models.
        threads: for reading files.

    Raises:
        IncompleteInputError: there is no manifest yet.
    """
    rows = run.manifest(COLUMNS)
    result = Verified()
    _check_files(run, rows, result, threads)
    for key in stale_rows(rows)["key"].to_pylist():
        result.problems.append((key, "its parent is not the image it was made from"))
    limit = _limit(run, rows)
    for step in steps(run.recipe)[1:-1]:
        table = step.table
        if sample:
            try:
                _check_sample(run, table, sample, tolerance, limit, result)
            except CovarError as error:
                result.left_out.append(f"{table}: {error.line()}")
    result.problems.sort()
    return result


def _check_files(run: Run, rows: pa.Table, result: Verified, threads: int) -> None:
    rows = rows.filter(pc.equal(rows["status"], OK))
    with ThreadPoolExecutor(threads) as pool:
        for batch in rows.to_batches(max_chunksize=256):
            for count, problems in pool.map(
                lambda row: _file_problems(run, row), batch.to_pylist()
            ):
                result.files += count
                result.problems.extend(problems)


def _file_problems(run: Run, row: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    problems, count = [], 0
    for column, checksum in (("image", "sha256"), ("mask", "mask_sha256")):
        if row[column] is None:
            continue
        count += 1
        try:
            data = (run.root / row[column]).read_bytes()
        except OSError:
            problems.append((row["key"], f"{row[column]} cannot be read"))
            continue
        if hashlib.sha256(data).hexdigest() != row[checksum]:
            problems.append((row["key"], f"{row[column]} is not the file that was written"))
        elif column == "image" and _pixels(data) != row["pixels_sha256"]:
            problems.append((row["key"], f"{row[column]} decodes to other pixels"))
    return count, problems


def _pixels(data: bytes) -> str | None:
    try:
        return imaging.pixels_sha256(imaging.decode_png(data))
    except ValueError:
        return None


def _limit(run: Run, rows: pa.Table) -> int | None:
    """Photographs that the manifest was limited to; None if it holds them all."""
    kept = run.table("sources", ["status"])
    there = pc.count_distinct(rows["source"]).as_py()
    return there if there < len(kept) else None


def _check_sample(
    run: Run, table: str, count: int, tolerance: int, limit: int | None, result: Verified
) -> None:
    stage = stage_of(run, table)
    try:
        run.compare(table, stage.identity())
    except MixtureError as error:
        result.problems.append((table, error.line()))
        return
    if not stage.repeatable:
        # Asking would cost money, send photographs away, and prove nothing.
        result.left_out.append(f"{table}: nobody can make the images of {stage.tool} again")
        return
    plan = make_plan(run, stage.step, stage.outputs, limit=limit)
    columns = ["key", "mask", "status", "reason"]
    stored = run.table(
        table, columns if table.startswith("masks_") else [*columns, "image", "transform"]
    )
    rng = generator(seed_of(run.recipe.seed, "verify", table))
    there = np.flatnonzero(pc.is_in(plan.keys, value_set=stored["key"].combine_chunks()))
    chosen = [int(there[n]) for n in choose(rng, len(there), min(count, len(there)))]
    stage.setup()
    fix_threads()
    for index in chosen:
        key = plan.keys[index].as_py()
        row = stored.filter(pc.equal(stored["key"], key)).to_pylist()
        answer = remake(stage, plan, index)
        if answer is None:
            continue
        try:
            found = list(_sample_problems(run, answer, row[0], tolerance, result))
        except (ValueError, DamagedRunError):
            # The stored file cannot be read: that stands among the problems already.
            continue
        result.problems.extend((key, problem) for problem in found)
        result.remade += 1


def _sample_problems(
    run: Run, answer: Made | Rejected, row: dict[str, Any], tolerance: int, result: Verified
) -> Iterator[str]:
    if isinstance(answer, Rejected):
        if row["status"] == OK:
            yield f"made again it is rejected: {answer.reason}"
        return
    if row["status"] != OK:
        yield f"made again it is not rejected as {row['reason']}"
        return
    if answer.mask is not None:
        mask = imaging.decode_mask(run.read(row["mask"]))
        if mask.shape != answer.mask.shape or (tolerance == 0 and (mask != answer.mask).any()):
            yield "made again it has another mask"
    if answer.transform is not None and not np.allclose(row["transform"], answer.transform.ravel()):
        yield "made again it has another transform"
    if answer.image is None:
        return
    stored = imaging.decode_png(run.read(row["image"]))
    if stored.shape != answer.image.shape:
        yield f"made again it has another size: {answer.image.shape}, stored {stored.shape}"
        return
    difference = int(np.abs(stored.astype(np.int16) - answer.image).max(initial=0))
    result.largest = max(result.largest, difference)
    if difference > tolerance:
        yield f"made again it differs by up to {difference} grey levels"
