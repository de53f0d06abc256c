"""How a manifest is cut into files, and what a file is like inside."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from covar_gen.core.errors import DamagedRunError, ReleaseFolderError
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Class, Recipe
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import Run
from covar_gen.release import plan, reading, shards
from covar_gen.release.contents import contents_of
from covar_gen.release.encoding import Encoder
from covar_gen.release.plan import Shard, plan_shards, share, take_census
from covar_gen.release.reading import Manifest
from covar_gen.release.schema import label_names
from covar_gen.release.shards import HashedFile, write_shard


@pytest.fixture
def manifest(finished_run: Run) -> Iterator[Manifest]:
    found = Manifest(finished_run.root / "manifest.parquet")
    yield found
    found.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as found:
        yield found


def planned(
    run: Run,
    manifest: Manifest,
    pool: ThreadPoolExecutor,
    size: float,
    encoder: Encoder | None = None,
) -> list[Shard]:
    census = take_census(manifest, run.recipe)
    encoder = encoder or Encoder("png")
    contents = {config: contents_of(run, config, encoder) for config in census.configs}
    return plan_shards(manifest, census, contents, size, pool)


def written(
    run: Run, manifest: Manifest, pool: ThreadPoolExecutor, shard: Shard, path: Path
) -> pq.ParquetFile:
    path.unlink(missing_ok=True)
    write_shard(path, shard, contents_of(run, shard.config, Encoder("png")), manifest, pool, 3)
    return pq.ParquetFile(path)


def test_every_row_stands_in_one_file_of_its_configuration(
    finished_run: Run, manifest: Manifest, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    cut = planned(finished_run, manifest, pool, 20_000)
    assert max(Counter(shard.config for shard in cut).values()) > 3
    whole = finished_run.manifest(["key", "subset", "status"])
    for config in ("scale", "masks", "manifest"):
        keys: list[str] = []
        parts = [shard for shard in cut if shard.config == config]
        assert [shard.number for shard in parts] == list(range(parts[0].of))
        for shard in parts:
            file = written(finished_run, manifest, pool, shard, tmp_path / "file")
            found = file.read(["key"])["key"].to_pylist()
            assert len(found) == shard.rows
            keys += found
        rows = whole
        if config != "manifest":
            rows = rows.filter(pc.field("status") == "ok")
        if config == "scale":
            rows = rows.filter(pc.field("subset") == "scale")
        assert keys == rows["key"].to_pylist()


def test_files_have_about_the_size_that_was_asked_for(
    finished_run: Run, manifest: Manifest, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    size = 60_000
    parts = [s for s in planned(finished_run, manifest, pool, size) if s.config == "scale"]
    assert len(parts) > 1
    for shard in parts:
        path = tmp_path / "file"
        file = written(finished_run, manifest, pool, shard, path)
        images = file.read(["image"])["image"].combine_chunks().field("bytes")
        # The columns of so few rows take more than of many: images alone are compared.
        assert 0.5 * size < pc.sum(pc.binary_length(images)).as_py() < 1.3 * size


@pytest.mark.parametrize(
    ("total", "files"),
    [(1, 1), (400, 1), (480, 1), (490, 2), (700, 2), (960, 2), (1000, 3), (1600, 4), (4000, 10)],
)
def test_files_are_never_much_larger_than_asked_for(total: int, files: int) -> None:
    # Rows of one megabyte each, files of 400: at most a fifth more.
    places = np.arange(total, dtype=np.int64) * 3
    cut = list(plan._cut("scale", places, 1e6, 400e6))
    assert len(cut) == files
    assert sum(shard.rows for shard in cut) == total
    assert max(shard.rows for shard in cut) - min(shard.rows for shard in cut) <= 1
    assert cut[0].start == 0
    assert cut[-1].stop == 3 * (total - 1) + 1


def test_there_are_never_more_files_than_rows() -> None:
    cut = list(plan._cut("scale", np.arange(3, dtype=np.int64), 1e9, 1e6))
    assert [shard.rows for shard in cut] == [1, 1, 1]
    assert cut[2].path == "data/scale/test-00002-of-00003.parquet"


def test_processes_share_files_evenly() -> None:
    files = [Shard("scale", n, 7, n, n + 1, 1) for n in range(7)]
    parts = [share(files, Ranks(rank, 3)) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 2, 2]
    assert sorted((s for part in parts for s in part), key=lambda s: s.number) == files


def test_row_groups_are_cut_by_size_and_by_rows(
    finished_run: Run,
    manifest: Manifest,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [shard] = [s for s in planned(finished_run, manifest, pool, 1e9) if s.config == "scale"]
    whole = written(finished_run, manifest, pool, shard, tmp_path / "whole").read()
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 20_000)
    file = written(finished_run, manifest, pool, shard, tmp_path / "bytes")
    assert file.num_row_groups > 3
    sizes = []
    for group in range(file.num_row_groups):
        images = file.read_row_group(group, ["image"])["image"].combine_chunks().field("bytes")
        sizes.append(pc.binary_length(images).to_pylist())
    assert all(sum(group) <= 20_000 for group in sizes)
    # Each but the last is as full as it can be.
    for group, following in pairwise(sizes):
        assert sum(group) + following[0] > 20_000
    assert file.read().equals(whole)
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 2)
    file = written(finished_run, manifest, pool, shard, tmp_path / "rows")
    counts = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert max(counts) == 2
    assert file.read().equals(whole)


def test_the_limits_of_a_row_group_are_below_100_megabytes_together() -> None:
    # The other columns of a row: 2 KB, prompts and params among them.
    assert shards.ROW_GROUP_BYTES + shards.ROW_GROUP_ROWS * 2_000 < 100e6


def test_a_file_has_a_page_index_checksums_and_images_as_they_are(
    finished_run: Run, manifest: Manifest, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    for shard in planned(finished_run, manifest, pool, 1e9):
        path = tmp_path / "file"
        file = written(finished_run, manifest, pool, shard, path)
        group = file.metadata.row_group(0)
        columns = {c.path_in_schema: c for c in map(group.column, range(group.num_columns))}
        assert all(column.has_offset_index for column in columns.values())
        assert columns["key"].has_column_index
        assert columns["key"].statistics.min == file.read(["key"])["key"][0].as_py()
        for name, column in columns.items():
            expected = "UNCOMPRESSED" if name.endswith(".bytes") else "ZSTD"
            assert column.compression == expected
        chunking = json.loads(file.metadata.metadata[b"content_defined_chunking"])
        assert chunking == {"min_chunk_size": 262144, "max_chunk_size": 1048576, "norm_level": 0}
        data = bytearray(path.read_bytes())
        place = group.column(0).data_page_offset + 60
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(OSError, match="CRC"):
            pq.read_table(path, page_checksum_verification=True, partitioning=None)


def test_pages_are_cut_by_content(tmp_path: Path) -> None:
    # One value more at the front: where pages are cut by counting, every page after it differs.
    rng = np.random.Generator(np.random.PCG64(5))
    values = [rng.bytes(30_000) for _ in range(400)]
    schema = pa.schema([pa.field("file", pa.struct([pa.field("bytes", pa.binary())]))])

    def pages(name: str, listed: list[bytes]) -> set[bytes]:
        sink = HashedFile(tmp_path / name)
        writer = shards.open_writer(sink, schema)
        writer.write_table(pa.table({"file": [{"bytes": each} for each in listed]}, schema=schema))
        writer.close()
        sink.close()
        data = (tmp_path / name).read_bytes()
        starts = [data.index(each) for each in listed]
        # Between two values of one page stand four bytes, the second one's length.
        ends = [start + len(each) for start, each in zip(starts, listed, strict=True)]
        cuts = [n for n in range(1, len(listed)) if starts[n] - ends[n - 1] > 4]
        bounds = [0, *cuts, len(listed)]
        return {b"".join(listed[a:b]) for a, b in pairwise(bounds)}

    before, after = pages("before", values), pages("after", [b"one more" * 4000, *values])
    assert len(before) > 10
    assert len(before & after) >= len(before) - 3


def test_a_disk_that_fills_while_pages_are_cut_ends_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = pa.schema([pa.field("file", pa.struct([pa.field("bytes", pa.binary())]))])
    rng = np.random.Generator(np.random.PCG64(5))
    rows = pa.table({"file": [{"bytes": rng.bytes(30_000)} for _ in range(200)]}, schema=schema)
    sink = HashedFile(tmp_path / "file")
    writer = shards.open_writer(sink, schema)

    def full(_handle: int, _data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        # Arrow calls abort() where what it writes to raises an error here.
        writer.write_table(rows)
    with pytest.raises(OSError, match="No space left"):
        sink.check()
    writer.close()
    with pytest.raises(OSError, match="No space left"):
        sink.finish()
    sink.close()


def test_a_file_knows_what_was_written_to_it(tmp_path: Path) -> None:
    sink = HashedFile(tmp_path / "file")
    for part in (b"one", memoryview(b" two"), pa.py_buffer(b" three")):
        sink.write(part)
    assert sink.tell() == 13
    assert sink.finish() == hashlib.sha256(b"one two three").hexdigest()
    sink.write(b"too late")
    assert (tmp_path / "file").read_bytes() == b"one two three"


def test_a_census_counts_reasons_and_leaves_out_what_has_no_image(
    finished_run: Run, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", 5)
    census = take_census(manifest, finished_run.recipe)
    rows = finished_run.manifest(["subset", "status", "reason", "mask"]).to_pylist()
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        counted.setdefault(row["subset"], Counter())[row["reason"] or "ok"] += 1
    assert census.counts == counted
    assert any("ok" not in count or len(count) > 1 for count in counted.values())
    assert list(census.counts) == ["original", "bg_varied", "hflip", "vflip", "crop", "rotation",
                                   "translate", "viewpoint", "scale"]  # fmt: skip
    for config, places in census.places.items():
        for place in places.tolist():
            assert config in ("manifest", "masks") or rows[place]["subset"] == config
            assert config == "manifest" or rows[place]["status"] == "ok"
            assert config != "masks" or rows[place]["mask"]
    assert len(census.places["masks"]) == sum(r["mask"] is not None for r in rows)


def test_rows_are_those_that_were_made_and_masks_those_that_are_there(finished_run: Run) -> None:
    rows = pa.RecordBatch.from_pydict(
        {
            "key": ["a", "b", "c", "d"],
            "subset": ["crop", "crop", "crop", "scale"],
            "status": ["ok", "rejected", "ok", "ok"],
            "mask": ["m", "m", None, "m"],
        }
    )
    expected = {"crop": ["a", "c"], "masks": ["a", "d"], "manifest": ["a", "b", "c", "d"]}
    for config, keys in expected.items():
        contents = contents_of(finished_run, config, Encoder())
        assert contents.chosen(rows)["key"].to_pylist() == keys


def made_up(path: Path, rows: list[dict[str, object]]) -> Manifest:
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in MANIFEST]
    pq.write_table(pa.Table.from_arrays(columns, schema=MANIFEST), path, row_group_size=3)
    return Manifest(path)


@pytest.mark.parametrize("name", ["all", "masks", "manifest"])
def test_a_variant_with_the_name_of_a_configuration_is_refused(
    finished_run: Run, tmp_path: Path, name: str
) -> None:
    found = made_up(tmp_path / "m.parquet", [{"key": "a", "subset": name, "status": "ok"}])
    with pytest.raises(ReleaseFolderError, match=f"a configuration '{name}' of its own"):
        take_census(found, finished_run.recipe)
    found.close()


def test_a_run_without_any_image_is_refused(finished_run: Run, tmp_path: Path) -> None:
    rows = [{"key": "a", "subset": "original", "status": "rejected", "reason": "blank"}]
    found = made_up(tmp_path / "m.parquet", rows)
    with pytest.raises(ReleaseFolderError, match="every image was rejected"):
        take_census(found, finished_run.recipe)
    found.close()


def test_rows_are_read_by_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH", 2)
    keys = [f"k{n}" for n in range(11)]
    found = made_up(tmp_path / "m.parquet", [{"key": key, "width": 1} for key in keys])
    for start in range(12):
        for stop in range(start, 12):
            read = [
                key
                for batch in found.batches(["width", "key"], start, stop)
                for key in batch["key"].to_pylist()
            ]
            assert read == keys[start:stop]
    taken = found.take(["key"], [0, 3, 4, 10])
    assert {place: row["key"] for place, row in taken.items()} == {
        0: "k0", 3: "k3", 4: "k4", 10: "k10",
    }  # fmt: skip
    found.close()


def test_a_manifest_of_another_time_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "m.parquet")
    with pytest.raises(DamagedRunError, match="the manifest has no column"):
        Manifest(tmp_path / "m.parquet")


def test_labels_of_the_same_name_are_told_apart() -> None:
    classes = [
        Class(class_id=3, class_name="crane", wnid="n02012849", folder="n02012849"),
        Class(class_id=1, class_name="crane", folder="machine"),
        Class(class_id=2, class_name="cat", folder="cat"),
    ]
    found = Recipe.model_validate(
        {"name": "x", "classes": {"source": "folder", "classes": classes, "content": "0"}}
    )
    assert label_names(found) == ["crane (machine)", "cat", "crane (n02012849)"]


def test_an_encoder_names_what_decides_its_bytes() -> None:
    said = Encoder("jpeg", 80).identity()
    assert said["quality"] == 80
    assert said["subsampling"] == "4:4:4"
    assert "turbo" in str(said["codec"])
    assert "webp" not in str(said["codec"]).lower()
    assert "quality" not in Encoder("png", 80).identity()
    assert Encoder("webp").identity() != Encoder("jpeg").identity()


def test_what_is_no_image_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="not a whole PNG"):
        Encoder().encode(b"GIF89a")


MEASURE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from covar_gen.core.store import open_run
from covar_gen.release import shards
from covar_gen.release.contents import contents_of
from covar_gen.release.encoding import Encoder
from covar_gen.release.plan import plan_shards, take_census
from covar_gen.release.reading import Manifest

shards.ROW_GROUP_BYTES, shards.ROW_GROUP_ROWS = 4_000_000, 1_000
run, rows = open_run(sys.argv[1]), int(sys.argv[2])
manifest = Manifest(Path(sys.argv[3]))
with ThreadPoolExecutor(2) as pool:
    census = take_census(manifest, run.recipe)
    contents = {config: contents_of(run, config, Encoder("png")) for config in census.configs}
    written = 0
    for shard in plan_shards(manifest, census, contents, 1e12, pool):
        path = Path(sys.argv[3] + ".out")
        done = shards.write_shard(path, shard, contents[shard.config], manifest, pool, 2)
        path.unlink()
        written += done.rows
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([written, peak]))
"""


def peak_kib(run: Run, folder: Path, count: int) -> int:
    """Peak memory of writing `count` images of about 8 KB each."""
    crops = run.manifest().filter((pc.field("subset") == "crop") & (pc.field("status") == "ok"))
    row = crops.slice(0, 1).to_pylist()[0]
    keys = [f"{row['source'].rpartition('/')[0]}/{n:06d}/crop" for n in range(count)]
    columns = {name: [value] * count for name, value in row.items()}
    columns |= {"key": keys, "prompt": ["a prompt of some length " * 4] * count}
    path = folder / f"{count}.parquet"
    pq.write_table(pa.table(columns, schema=MANIFEST), path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(run.root), str(count), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    rows, peak = json.loads(done.stdout)
    assert rows == 3 * count  # the subset, masks, manifest
    return int(peak)


def test_ten_times_the_rows_take_the_same_memory(finished_run: Run, tmp_path: Path) -> None:
    few, many = (peak_kib(finished_run, tmp_path, count) for count in (2_000, 20_000))
    # Keeping the images of 18,000 rows more would take some 140 MB.
    assert many - few < 30_000
