"""Rows survive whatever happens to the end of their journal, and each counts once."""

import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covar_gen.core.files import Staging
from covar_gen.core.journal import Journal, _frames, parquet_bytes, read_table
from covar_gen.core.rows import TABLES, Row

TABLE = "masks_sources"
FIT = """
import sys
from pathlib import Path
from covar_gen.core.files import Staging
from covar_gen.core.journal import Journal
root = Path(sys.argv[1])
staging = Staging(root)
journal = Journal(root / "t", "masks_sources", staging)
done = 0
try:
    for number in range(3):
        journal.append([{"key": f"k{number}", "status": "ok"}])
        done += 1
except OSError as error:
    print("error after", done)
else:
    print("no error")
journal.abandon()
staging.close()
"""


def row(key: str, **more: object) -> Row:
    return {"key": key, "status": "ok", "attempt": 0, **more}


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    made = Staging(tmp_path)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tables" / TABLE


def written(folder: Path, staging: Staging, *frames: list[str]) -> Journal:
    """A journal with one frame per list of keys, left as it is."""
    journal = Journal(folder, TABLE, staging)
    for keys in frames:
        journal.append([row(key) for key in keys])
    journal.abandon()
    return journal


def keys(folder: Path) -> list[str]:
    found = read_table(folder, TABLE, ["key"])["key"].to_pylist()
    assert found == sorted(set(found))
    return [str(key) for key in found]


def frames(whole: bytes) -> list[bytes]:
    """The frames of a journal: 8 bytes of length, 16 of checksum, the rows."""
    found, rest = [], whole[8:]
    while rest:
        size = 24 + int.from_bytes(rest[:8], "little")
        found.append(rest[:size])
        rest = rest[size:]
    return found


def test_rows_come_back_as_they_were_with_nulls_for_what_is_absent(
    folder: Path, staging: Staging
) -> None:
    journal = Journal(folder, TABLE, staging)
    journal.append([row("b", seed=2**63 - 1, params='{"ä": 1}'), row("a", object_coverage=0.25)])
    journal.append([row("c", reason=None)])
    for finished in (False, True):
        (journal.close if finished else journal.abandon)()
        found = read_table(folder, TABLE)
        assert found.schema.equals(TABLES[TABLE])
        rows = found.to_pylist()
        assert [r["key"] for r in rows] == ["a", "b", "c"]
        assert (rows[1]["seed"], rows[1]["params"]) == (2**63 - 1, '{"ä": 1}')
        assert (rows[0]["object_coverage"], rows[1]["object_coverage"]) == (0.25, None)


def test_closing_leaves_one_part_with_the_meaning_of_its_columns(
    folder: Path, staging: Staging
) -> None:
    journal = Journal(folder, TABLE, staging)
    journal.append([row("b"), row("a")])
    journal.append([row("c")])
    journal.close()
    assert [path.name for path in folder.iterdir()] == [f"{staging.token}.parquet"]
    assert keys(folder) == ["a", "b", "c"]
    schema = pq.read_schema(folder / f"{staging.token}.parquet")
    assert schema.field("key").metadata[b"meaning"] == b"key of the image that is outlined"


def test_a_part_from_before_a_column_was_there_has_nulls_in_it(
    folder: Path, staging: Staging
) -> None:
    journal = Journal(folder, TABLE, staging)
    journal.append([row("a"), row("b")])
    journal.close()
    path = folder / f"{staging.token}.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["seed", "boxes"]), path)
    found = read_table(folder, TABLE)
    assert found.schema.equals(TABLES[TABLE])
    assert [(r["key"], r["attempt"], r["seed"], r["boxes"]) for r in found.to_pylist()] == [
        ("a", 0, None, None),
        ("b", 0, None, None),
    ]
    pq.write_table(pa.table({"other": [1]}), path)
    with pytest.raises(pa.ArrowException):
        read_table(folder, TABLE)


def test_a_journal_that_was_never_written_leaves_nothing(folder: Path, staging: Staging) -> None:
    Journal(folder, TABLE, staging).close()
    Journal(folder, TABLE, staging).abandon()
    assert not folder.exists()
    assert read_table(folder, TABLE).num_rows == 0
    assert read_table(folder, TABLE, ["key", "seed"]).column_names == ["key", "seed"]


def test_a_journal_cut_anywhere_in_its_last_frame_keeps_the_frames_before(
    folder: Path, staging: Staging
) -> None:
    journal = written(folder, staging, ["a", "b"], ["c"], ["d", "e"])
    whole = journal.path.read_bytes()
    *_, last = frames(whole)
    for size in range(len(whole) - 1, len(whole) - len(last) - 1, -1):
        os.truncate(journal.path, size)
        assert [len(found) for found in _frames(journal.path, TABLES[TABLE])] == [2, 1]
    assert keys(folder) == ["a", "b", "c"]
    journal.path.write_bytes(whole)
    assert keys(folder) == ["a", "b", "c", "d", "e"]


def test_a_journal_cut_before_its_first_frame_is_whole_has_no_rows(
    folder: Path, staging: Staging
) -> None:
    journal = written(folder, staging, ["a"])
    whole = journal.path.read_bytes()
    for size in (0, 1, 7, 8, 9, 31, 32, 33, len(whole) - 1):
        journal.path.write_bytes(whole[:size])
        assert keys(folder) == []


def test_zeros_after_a_power_cut_end_a_journal(folder: Path, staging: Staging) -> None:
    journal = written(folder, staging, ["a"])
    with journal.path.open("ab") as stream:
        stream.write(bytes(5000))
    assert keys(folder) == ["a"]


@pytest.fixture(scope="module")
def three_frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[int]]:
    """A journal of the keys 0, 1, 2, its bytes, and where each frame ends."""
    root = tmp_path_factory.mktemp("journal")
    staging = Staging(root)
    journal = Journal(root / TABLE, TABLE, staging)
    ends = [8]
    for number in range(3):
        journal.append([row(f"{number}")])
        ends.append(journal.path.stat().st_size)
    journal.abandon()
    staging.close()
    return journal.path, journal.path.read_bytes(), ends


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_changed_byte_stops_at_the_damaged_frame(
    three_frames: tuple[Path, bytes, list[int]], data: st.DataObject
) -> None:
    path, whole, ends = three_frames
    place = data.draw(st.integers(8, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    whole_ones = next(n for n in range(3) if place < ends[n + 1])
    assert keys(path.parent) == [f"{n}" for n in range(whole_ones)]


@pytest.mark.parametrize("byte", range(24))
def test_a_changed_byte_of_a_frames_head_stops_there(
    three_frames: tuple[Path, bytes, list[int]], byte: int
) -> None:
    path, whole, ends = three_frames
    for change in (0x01, 0x80, 0xFF):
        damaged = bytearray(whole)
        damaged[ends[1] + byte] ^= change
        path.write_bytes(damaged)
        assert keys(path.parent) == ["0"]


def test_a_file_that_is_no_journal_has_no_rows(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "abc.journal").write_bytes(b"something else altogether")
    assert keys(folder) == []


def test_a_journal_beside_its_own_part_counts_once(folder: Path, staging: Staging) -> None:
    journal = Journal(folder, TABLE, staging)
    journal.append([row("a"), row("b")])
    kept = journal.path.read_bytes()
    journal.close()
    journal.path.write_bytes(kept)
    assert keys(folder) == ["a", "b"]
    assert read_table(folder, TABLE).num_rows == 2


def test_two_writers_of_the_same_rows_count_once_in_order(folder: Path, tmp_path: Path) -> None:
    first, second, third = (Staging(tmp_path) for _ in range(3))
    written(folder, first, ["d", "b"], ["a"])
    part = Journal(folder, TABLE, second)
    part.append([row("b"), row("c"), row("a")])
    part.close()
    written(folder, third, ["a"], ["e"])
    assert keys(folder) == ["a", "b", "c", "d", "e"]
    for staging in (first, second, third):
        staging.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5), max_size=5))
def test_whatever_writers_repeat_every_key_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, given_keys: list[list[str]]
) -> None:
    root = tmp_path_factory.mktemp("writers")
    for number, frame in enumerate(given_keys):
        staging = Staging(root)
        journal = Journal(root / TABLE, TABLE, staging)
        journal.append([row(key) for key in frame])
        (journal.close if number % 2 else journal.abandon)()
        staging.close()
    assert keys(root / TABLE) == sorted({key for frame in given_keys for key in frame})


def test_columns_are_read_by_name_and_the_key_only_if_wanted(
    folder: Path, staging: Staging
) -> None:
    written(folder, staging, ["b", "a"])
    assert read_table(folder, TABLE, ["status"]).to_pydict() == {"status": ["ok", "ok"]}
    assert read_table(folder, TABLE, ["attempt", "key"]).column_names == ["attempt", "key"]


def test_a_column_that_the_table_has_not_is_a_mistake(folder: Path, staging: Staging) -> None:
    journal = Journal(folder, TABLE, staging)
    with pytest.raises(ValueError, match="colour"):
        journal.append([row("a", colour="red")])
    assert not folder.exists()


def test_the_same_rows_give_the_same_parquet_bytes() -> None:
    rows = [row(f"{n:05}", seed=n, params=None if n % 2 else "{}") for n in range(3000)]
    schema = TABLES[TABLE]

    def table(pieces: int) -> pa.Table:
        size = len(rows) // pieces
        batches = [
            pa.RecordBatch.from_pylist(
                [{name: r.get(name) for name in schema.names} for r in rows[at : at + size]],
                schema=schema,
            )
            for at in range(0, len(rows), size)
        ]
        return pa.Table.from_batches(batches, schema).combine_chunks()

    first = parquet_bytes(table(1))
    assert parquet_bytes(table(1)) == first
    assert parquet_bytes(table(6)) == first
    assert pq.read_table(io.BytesIO(first)).equals(table(1))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 1.5])
def test_a_frame_that_does_not_fit_on_the_disk_is_an_error(
    tmp_path: Path, staging: Staging, share: float
) -> None:
    journal = Journal(tmp_path / "sample", TABLE, staging)
    journal.append([{"key": "k0", "status": "ok"}])
    journal.abandon()
    size = journal.path.stat().st_size
    limit = size + round(share * (size - 8))

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-B", "-c", FIT, str(tmp_path)],
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
    )
    # What append took without an error is there; nothing else is.
    taken = 1 + int(share)
    assert done.stdout.strip() == f"error after {taken}", done.stderr
    assert len(keys(tmp_path / "t")) == taken


def test_a_journal_that_grows_while_it_is_read_is_read_on(tmp_path: Path, staging: Staging) -> None:
    journal = Journal(tmp_path / "t", TABLE, staging)
    journal.append([row("a")])
    frames = _frames(journal.path, TABLES[TABLE])
    assert next(frames)["key"].to_pylist() == ["a"]
    journal.append([row(f"b{number}") for number in range(2000)])
    assert len(next(frames)) == 2000
    assert list(frames) == []
    journal.abandon()
