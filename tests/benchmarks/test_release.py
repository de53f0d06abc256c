"""Releases: encoding against a bare loop on the same cores, and how soon a data set is open."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from covar_gen.core.rows import MANIFEST, TABLES
from covar_gen.core.store import Run
from covar_gen.core.threads import fix_threads
from covar_gen.release.configs import configs_head
from covar_gen.release.contents import Cell, Contents, contents_of
from covar_gen.release.encoding import Encoder
from covar_gen.release.index import Entry, Release
from covar_gen.release.plan import Shard
from covar_gen.release.reading import Manifest
from covar_gen.release.shards import write_shard

THREADS = 2
ROUNDS = 5
IMAGES = 10_000
LOAD = """
import json, sys, time
started, used = time.perf_counter(), time.process_time()
import datasets
imported, used = time.perf_counter() - started, time.process_time()
started = time.perf_counter()
data = datasets.load_dataset(sys.argv[1], split="test", cache_dir=sys.argv[2])
loaded, used = time.perf_counter() - started, time.process_time() - used
data[len(data) // 2]["image"].load()
print(json.dumps([len(data), imported, loaded, used]))
"""


def rows_of(run: Run, copies: int, path: Path) -> Manifest:
    """A manifest of the run's images before backgrounds, each `copies` times under other keys."""
    names = [name for name in MANIFEST.names if name in TABLES["backgrounds"].names]
    rows = run.table("backgrounds", names).to_pylist()
    made = [
        {**row, "key": f"{row['key']}/{copy:03d}", "subset": "bg_varied", "class_id": 1}
        for row in rows
        for copy in range(copies)
    ]
    pq.write_table(pa.Table.from_pylist(made, MANIFEST), path)
    return Manifest(path)


def bare(paths: list[Path], encoder: Encoder) -> float:
    """Seconds to decode each PNG and to encode it."""
    settings = [
        cv2.IMWRITE_JPEG_QUALITY, encoder.quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip

    def one(path: Path) -> int:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_BGR)
        return len(cv2.imencode(".jpg", pixels, settings)[1])

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(one, paths)) > 0
    return time.perf_counter() - started


def export(path: Path, shard: Shard, contents: Contents, manifest: Manifest) -> float:
    """Seconds to write a file of a release, durably."""
    path.unlink(missing_ok=True)
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        written = write_shard(path, shard, contents, manifest, pool, THREADS)
    assert written.rows == shard.rows
    return time.perf_counter() - started


def test_export_keeps_up_with_a_bare_loop_that_only_decodes_and_encodes(
    photographs: Run, tmp_path: Path
) -> None:
    """At least 0.8 of its images/s."""
    fix_threads()
    encoder = Encoder()
    # Each three times, so that what happens once per file weighs about as little as in a large one.
    manifest = rows_of(photographs, 3, tmp_path / "manifest.parquet")
    paths = [photographs.root / row for row in manifest_paths(manifest)]
    contents = contents_of(photographs, "bg_varied", encoder)
    shard = Shard("bg_varied", 0, 1, 0, len(manifest), len(manifest))
    out = tmp_path / "shard"
    bare(paths, encoder)
    export(out, shard, contents, manifest)
    ratios = []
    for _ in range(ROUNDS):
        # Before and after: what else the machine does then weighs on both sides alike.
        before = bare(paths, encoder)
        own = export(out, shard, contents, manifest)
        after = bare(paths, encoder)
        ratios.append((before + after) / 2 / own)
        print(f"export: {len(paths) / own:.1f} images/s, bare {len(paths) / before:.1f} and "
              f"{len(paths) / after:.1f}, ratio {ratios[-1]:.2f}")  # fmt: skip
    assert statistics.median(ratios) >= 0.8


def manifest_paths(manifest: Manifest) -> list[str]:
    return [path for batch in manifest.batches(["image"]) for path in batch["image"].to_pylist()]


@pytest.fixture
def release(photographs: Run, tmp_path: Path) -> Path:
    """A release of 10,112 images of 512x680: 128 different ones, each encoded once."""
    manifest = rows_of(photographs, IMAGES // 128 + 1, tmp_path / "manifest.parquet")
    contents = contents_of(photographs, "bg_varied", Encoder())
    make, known = contents.make, {}
    assert make is not None

    def once(row: dict[str, Any]) -> Cell | None:
        if row["image"] not in known:
            known[row["image"]] = make(row)
        return known[row["image"]]

    contents = replace(contents, make=once)
    root = tmp_path / "release"
    entries = []
    files, rows = 4, len(manifest)
    for number in range(files):
        start, stop = rows * number // files, rows * (number + 1) // files
        shard = Shard("bg_varied", number, files, start, stop, stop - start)
        (root / shard.path).parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(THREADS) as pool:
            written = write_shard(root / shard.path, shard, contents, manifest, pool, THREADS)
        entries.append(Entry(shard.path, **asdict(written)))
    counts = {"bg_varied": {"ok": rows}}
    head = configs_head(Release(root, {"name": "bench"}, {}, counts, entries), photographs.recipe)
    text = yaml.safe_dump(head, sort_keys=False)
    (root / "README.md").write_text(f"---\n{text}---\n", encoding="utf-8")
    return root


def test_ten_thousand_images_are_open_in_five_seconds(release: Path, tmp_path: Path) -> None:
    """In a fresh process with an empty cache; seconds of CPU, which others do not lengthen."""
    size = sum(path.stat().st_size for path in release.rglob("*.parquet"))
    seconds = []
    for number in range(3):
        cache = tmp_path / f"cache{number}"
        command = [sys.executable, "-c", LOAD, str(release), str(cache)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, imported, loaded, used = json.loads(done.stdout)
        assert rows >= IMAGES
        seconds.append(used)
        print(f"load_dataset: {rows} images of {size / 1e6:.0f} MB in {used:.1f} s of CPU, "
              f"{loaded:.1f} s by the clock; {imported:.1f} s to import datasets")  # fmt: skip
        shutil.rmtree(cache)
    assert statistics.median(seconds) < 5
