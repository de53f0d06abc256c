"""A table's rows on disk: checksummed journals while a process works, Parquet when it is done.

    tables/<name>/<token>.journal    frames: length, checksum, Arrow record batch; one per block
    tables/<name>/<token>.parquet    the same rows, written when the process has finished
    tables/<name>/made_with.json     the table's identity, written once

A process that dies leaves a journal whose last frame may be torn; readers stop there. A journal
whose Parquet part exists is ignored. Two writers may have made the same row; readers keep one.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from covar_gen.core.files import Staging
from covar_gen.core.rows import TABLES, Row, to_batch

_MAGIC = b"COVAR-1\n"
_HEADER = struct.Struct("<Q16s")
ROW_GROUP = 65_536
NAMING = ("key", "status")
"""Columns that every part has: a file without them is none."""


class Journal:
    """Appends a process's rows of one table, a block at a time."""

    def __init__(self, folder: Path, table: str, staging: Staging) -> None:
        self.path = folder / f"{staging.token}.journal"
        self._schema = TABLES[table]
        self._staging = staging
        self._stream: io.FileIO | None = None

    def append(self, rows: list[Row]) -> None:
        """Write one block's rows as one frame; what they name must be durable already."""
        batch = to_batch(rows, self._schema)
        payload = batch.serialize().to_pybytes()
        frame = _HEADER.pack(len(payload), _checksum(payload)) + payload
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("ab", buffering=0)
        if not self._stream.tell():
            frame = _MAGIC + frame
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        """All of a frame or nothing of it: what follows a torn frame could not be read."""
        assert self._stream is not None
        before = self._stream.tell()
        written = 0
        try:
            while written < len(frame):
                written += self._stream.write(frame[written:]) or 0
        except OSError:
            self._stream.truncate(before)
            self._stream.seek(before)
            raise

    def close(self) -> None:
        """Turn the journal into a Parquet part."""
        if self._stream is None:
            return
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream = None
        rows = pa.Table.from_batches(list(_frames(self.path, self._schema)), self._schema)
        self._staging.replace(self.path.with_suffix(".parquet"), parquet_bytes(rows))
        self.path.unlink()

    def abandon(self) -> None:
        """Close without compacting: the rows stay readable in the journal."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def compact(folder: Path, table: str, staging: Staging) -> None:
    """Turn the journals of writers that are dead into Parquet parts.

    A living writer has its folder of temporaries; those of the dead have been swept.

    Args:
        folder: tables/<name>.
        table: its name.
        staging: this process's temporaries.
    """
    for path in sorted(folder.glob("*.journal")):
        part = path.with_suffix(".parquet")
        if (staging.folder.parent / path.stem).exists():
            continue
        if not part.exists():
            rows = pa.Table.from_batches(list(_frames(path, TABLES[table])), TABLES[table])
            staging.replace(part, parquet_bytes(rows))
        path.unlink(missing_ok=True)


def read_table(folder: Path, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a table, sorted by key, each key once.

    Args:
        folder: tables/<name>.
        table: its name, which gives the schema.
        columns: names of the columns wanted; None for all.
    """
    schema = TABLES[table]
    names = list(schema.names if columns is None else columns)
    reading = list(dict.fromkeys(["key", "status", *names]))
    wanted = pa.schema([schema.field(name) for name in reading])
    # Journals are listed first: one that becomes a part meanwhile is then seen at least once.
    journals = sorted(folder.glob("*.journal"))
    done = sorted(folder.glob("*.parquet"))
    finished = {path.stem for path in done}
    pieces = [_part(path, wanted) for path in done]
    for path in journals:
        if path.stem not in finished:
            batches = [batch.select(reading) for batch in _frames(path, schema)]
            pieces.append(pa.Table.from_batches(batches, wanted))
    rows = _each_key_once(pa.concat_tables(pieces)) if pieces else wanted.empty_table()
    return rows.select(names)


def _part(path: Path, wanted: pa.Schema) -> pa.Table:
    """A part's rows; of a column that its version did not have yet, nulls: nothing was measured."""
    there = set(pq.read_schema(path).names)
    if not there.issuperset(NAMING):
        msg = f"{path} is no part of a table"
        raise pa.ArrowInvalid(msg)
    columns = [name for name in wanted.names if name in there]
    rows = pq.read_table(path, columns=columns, partitioning=None)
    for field in wanted:
        if field.name not in there:
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(wanted.names).cast(wanted)


def _each_key_once(rows: pa.Table) -> pa.Table:
    # Of two rows of one key the one that was made stands ("ok" sorts before "rejected"),
    # whatever the files were that they were read from.
    order = pc.sort_indices(rows, [("key", "ascending"), ("status", "ascending")])
    rows = rows.take(order)
    keys = rows["key"].combine_chunks()
    if len(keys) < 2:  # noqa: PLR2004
        return rows
    if isinstance(keys, pa.ChunkedArray):
        keys = pa.concat_arrays(keys.chunks)
    first = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    return rows.filter(pa.concat_arrays([pa.array([True]), first]))


def _frames(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The whole frames of a journal, up to the first that is torn."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        yield from pq.read_table(path.with_suffix(".parquet")).cast(schema).to_batches()
        return
    with stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            # A damaged length must not be believed: it may ask for more memory than there is.
            # The file grows while its writer works, so its end is looked at anew.
            rest = os.fstat(stream.fileno()).st_size - stream.tell()
            payload = stream.read(min(length, rest))
            if len(payload) != length or _checksum(payload) != checksum:
                return
            yield pa.ipc.read_record_batch(pa.py_buffer(payload), schema)


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).digest()


def parquet_bytes(rows: pa.Table) -> bytes:
    """A table as Parquet: the same rows give the same bytes."""
    stream = io.BytesIO()
    pq.write_table(
        rows, stream, compression="zstd", row_group_size=ROW_GROUP, write_page_checksum=True
    )
    return stream.getvalue()
