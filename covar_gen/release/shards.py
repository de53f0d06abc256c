"""Writes one file of a release: rows in, files made in threads, row groups out.

At most one row group and a few files ahead of it are in memory. A file is written under a
temporary name, made durable and renamed: under its own name it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from covar_gen.core.rows import MANIFEST
from covar_gen.release.contents import READS, Cell, Contents
from covar_gen.release.plan import Shard
from covar_gen.release.reading import Manifest

ROW_GROUP_BYTES = 32_000_000
"""Files of the rows of one row group, together; readers load a row group at once."""
ROW_GROUP_ROWS = 16_384
"""Most rows of a row group: where there are no files, their other columns would be many bytes."""
CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}
"""Content-defined chunking as `datasets` itself writes it: releases that differ in a few images
share the rest where they are stored."""
AHEAD = 32
"""Files that each thread may be ahead of the writing."""

Tick = Callable[[int], None]
"""Told how many rows have been written since it was told last."""


class HashedFile:
    """A new file that knows the SHA-256 and the number of what was written to it.

    A disk that is full is told by `check`, not by `write`: Arrow, when what it writes to fails
    while it cuts pages by content, ends the whole process.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._digest = hashlib.sha256()
        self._error: OSError | None = None
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Append bytes, all of them; nothing any more after an error, or once it is closed."""
        view = memoryview(data).cast("B")
        if self._handle < 0 or self._error is not None:
            return len(view)
        written = 0
        try:
            while written < len(view):
                written += os.write(self._handle, view[written:])
        except OSError as error:
            self._error = error
        self._digest.update(view)
        self.size += len(view)
        return len(view)

    def check(self) -> None:
        """Say what went wrong.

        Raises:
            OSError: the disk is full, or failed otherwise, since the file was begun.
        """
        if self._error is not None:
            raise self._error

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def flush(self) -> None:
        """Nothing waits here."""

    def finish(self) -> str:
        """Make the file durable; its SHA-256, in hex.

        Raises:
            OSError: as `check`.
        """
        self.check()
        os.fsync(self._handle)
        self.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close without a promise; later writes go nowhere."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self.closed = True


@dataclass
class Written:
    """A file that was written.

    Attributes:
        bytes: its size.
        sha256: of the file, in hex.
        rows: in it.
        first: key of the first.
        last: key of the last.
        data_bytes: of its columns in memory, as `datasets` counts them.
    """

    bytes: int = 0
    sha256: str = ""
    rows: int = 0
    first: str = ""
    last: str = ""
    data_bytes: int = 0


@dataclass
class _Group:
    """Rows that will be one row group."""

    rows: list[pa.RecordBatch] = field(default_factory=list)
    cells: list[tuple[Cell | None, str | None]] = field(default_factory=list)
    count: int = 0
    bytes: int = 0


def write_shard(
    path: Path,
    shard: Shard,
    contents: Contents,
    manifest: Manifest,
    pool: ThreadPoolExecutor,
    threads: int,
    tick: Tick = lambda _rows: None,
) -> Written:
    """Write a file of a release under a temporary name, durably.

    Args:
        path: the temporary name; nothing is there yet.
        shard: which rows.
        contents: what is made of them.
        manifest: of the run.
        pool: in which files are made; the result does not depend on it.
        threads: of the pool.
        tick: told of progress.

    Raises:
        DamagedRunError: a master is gone, or is not what its row says.
        OSError: the disk is full, or fails otherwise.
    """
    sink = HashedFile(path)
    written = Written()
    writer = None
    try:
        writer = open_writer(sink, contents.schema)
        for group in _groups(shard, contents, manifest, pool, threads):
            _write(writer, group, contents, written)
            sink.check()
            tick(group.count)
        writer.close()
        writer = None
        written.sha256, written.bytes = sink.finish(), sink.size
    finally:
        sink.close()
        if writer is not None:
            writer.close()
    if written.rows != shard.rows:
        msg = f"{shard.path}: {written.rows} rows written, {shard.rows} planned"
        raise RuntimeError(msg)
    return written


def open_writer(sink: HashedFile, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer as every file of a release has it."""
    files = [f"{one.name}.bytes" for one in schema if pa.types.is_struct(one.type)]
    names = [f"{one.name}.path" for one in schema if pa.types.is_struct(one.type)]
    plain = [one.name for one in schema if not pa.types.is_struct(one.type)]
    plain = [f"{n}.list.element" if pa.types.is_list(schema.field(n).type) else n for n in plain]
    once = {"key", "sha256", "pixels_sha256", "mask_sha256", "export_sha256", "seed"}
    writer = pq.ParquetWriter(
        sink,
        schema,
        # Images are compressed already.
        compression={**dict.fromkeys(files, "none"), **dict.fromkeys([*plain, *names], "zstd")},
        use_dictionary=[name for name in plain if name not in once],
        write_statistics=plain,
        write_page_index=True,
        write_page_checksum=True,
        use_content_defined_chunking=CHUNKING,
    )
    writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})
    return writer


def _write(writer: pq.ParquetWriter, group: _Group, contents: Contents, written: Written) -> None:
    rows = pa.Table.from_batches(group.rows).combine_chunks()
    table = contents.table(rows, group.cells)
    writer.write_table(table, row_group_size=len(table))
    written.first = written.first or rows["key"][0].as_py()
    written.last = rows["key"][-1].as_py()
    written.rows += len(table)
    written.data_bytes += table.nbytes


def _groups(
    shard: Shard, contents: Contents, manifest: Manifest, pool: ThreadPoolExecutor, threads: int
) -> Iterator[_Group]:
    """A shard's rows with their files, cut by the files' sizes."""
    group = _Group()
    for rows, cells in _with_files(shard, contents, manifest, pool, threads):
        begin = 0
        for place in range(len(rows)):
            cell = cells[place].result() if cells else (None, None)
            size = len(cell[0].data) if cell[0] else 0
            full = group.count and group.bytes + size > ROW_GROUP_BYTES
            if full or group.count >= ROW_GROUP_ROWS:
                group.rows.append(rows.slice(begin, place - begin))
                yield group
                group, begin = _Group(), place
            group.cells.append(cell)
            group.count += 1
            group.bytes += size
        group.rows.append(rows.slice(begin))
    if group.count:
        yield group


_Made = Future[tuple[Cell | None, str | None]]


def _with_files(
    shard: Shard, contents: Contents, manifest: Manifest, pool: ThreadPoolExecutor, threads: int
) -> Iterator[tuple[pa.RecordBatch, list[_Made]]]:
    """A shard's rows, a few at a time, and their files, which are being made some rows ahead."""
    waiting: deque[tuple[pa.RecordBatch, list[_Made]]] = deque()
    make = contents.make
    for batch in manifest.batches(MANIFEST.names, shard.start, shard.stop):
        chosen = contents.chosen(batch)
        for start in range(0, len(chosen), AHEAD):
            rows = chosen.slice(start, AHEAD)
            made = []
            if make is not None:
                needs = rows.select(list(READS)).to_pylist()
                made = [pool.submit(_make, make, row) for row in needs]
            waiting.append((rows, made))
            if len(waiting) > threads:
                yield waiting.popleft()
    yield from waiting


def _make(make: Callable[[dict[str, Any]], Cell | None], row: dict[str, Any]) -> Any:
    cell = make(row)
    return cell, cell and cell.sha256
