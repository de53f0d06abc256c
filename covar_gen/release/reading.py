"""The manifest of a run, read a little at a time: 396,000 rows never stand in memory together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from covar_gen.core.errors import DamagedRunError, IncompleteInputError
from covar_gen.core.flow import IMAGES, steps
from covar_gen.core.plan import command_for, expected, lacks
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import MANIFEST as MANIFEST_FILE
from covar_gen.core.store import Run

BATCH = 1024
"""Rows read at once."""


class Manifest:
    """Rows of a manifest by their place in it.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """Open a manifest.

        Raises:
            DamagedRunError: it cannot be read, or has other columns than the manifest of today.
        """
        self.path = path
        self._mend = f"Type: covar-gen run {path.parent / 'recipe.toml'} --run {path.parent}"
        with _readable(self):
            self._file = pq.ParquetFile(path)
        missing = set(MANIFEST.names) - set(self._file.schema_arrow.names)
        if missing:
            what = f"the manifest has no column {min(missing)!r}"
            raise DamagedRunError(what, where=path, mend=self._mend)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def batches(
        self, columns: Sequence[str], start: int = 0, stop: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows from `start` to before `stop`, some at a time, with the columns named."""
        stop = len(self) if stop is None else stop
        place = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if place < stop and place + count > start:
                yield from self._group(group, columns, start - place, stop - place)
            place += count

    def _group(
        self, group: int, columns: Sequence[str], start: int, stop: int
    ) -> Iterator[pa.RecordBatch]:
        place = 0
        with _readable(self):
            for batch in self._file.iter_batches(BATCH, [group], columns=list(columns)):
                first, last = max(start - place, 0), min(stop - place, len(batch))
                if first < last:
                    yield batch.slice(first, last - first).select(list(columns))
                place += len(batch)
                if place >= stop:
                    return

    def take(self, columns: Sequence[str], places: Sequence[int]) -> dict[int, dict[str, Any]]:
        """A few rows by their places, found in one pass.

        Args:
            columns: wanted.
            places: in ascending order.
        """
        found, first = {}, 0
        for batch in self.batches(columns):
            inside = [place for place in places if first <= place < first + len(batch)]
            for place in inside:
                found[place] = batch.slice(place - first, 1).to_pylist()[0]
            first += len(batch)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _readable:  # noqa: N801 - reads as a function: with _readable(...)
    """What Arrow says of a damaged file, as one line."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # Arrow reports damage as an OSError without a number, the disk with one.
        damaged = isinstance(error, OSError) and not error.errno
        if damaged or isinstance(error, pa.ArrowException):
            path, mend = self.manifest.path, self.manifest._mend  # noqa: SLF001 - of this file
            raise DamagedRunError("the file is damaged", where=path, mend=mend) from error


def open_manifest(run: Run) -> Manifest:
    """The manifest of a run that is finished.

    Raises:
        IncompleteInputError: a table lacks rows, there is no manifest, or it lacks rows.
        DamagedRunError: the manifest cannot be read.
    """
    mend = f"Type: {command_for(run)}"
    made = steps(run.recipe)[:-1]
    for step in made:
        missing = lacks(run, step.table)
        if missing:
            lack = "is not made yet" if step.table == "sources" else f"lacks {missing} rows"
            what = f"the run is not finished: table {step.table} {lack}"
            raise IncompleteInputError(what, where=run.root, mend=mend)
    path = run.root / MANIFEST_FILE
    if not path.is_file():
        raise IncompleteInputError("there is no manifest yet", where=path, mend=mend)
    found = Manifest(path)
    rows = sum(expected(run, step.table) for step in made if step.table in IMAGES)
    if len(found) != rows:
        found.close()
        what = f"the manifest has {len(found)} of {rows} rows"
        raise IncompleteInputError(what, where=path, mend=mend)
    return found
