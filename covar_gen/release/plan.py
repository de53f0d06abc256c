"""Which files a release consists of: planned before the first is written, from the run alone.

So every process, however many there are and however often they were killed, writes the same
files. How large images become is told by a few of each subset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.errors import ReleaseFolderError
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Recipe
from covar_gen.core.rows import OK
from covar_gen.release.contents import READS, Contents
from covar_gen.release.reading import Manifest
from covar_gen.release.schema import ALL, MASKS, ROWS

SAMPLE = 16
"""Rows of each configuration whose files are made beforehand, to learn how large they become."""
ROW_BYTES = 512
"""About what the columns of a row take besides its file."""
MOST = 1.2
"""Size of the largest shard over the size that was asked for."""
_NO_SUBSET = -1


@dataclass(frozen=True)
class Shard:
    """One file of a release that is to be written.

    Attributes:
        config: the configuration that it belongs to.
        number: of the file, from 0.
        of: files of the configuration.
        start: place of its first row in the manifest.
        stop: place behind its last row in the manifest.
        rows: how many of the rows between are its own.
    """

    config: str
    number: int
    of: int
    start: int
    stop: int
    rows: int

    @property
    def path(self) -> str:
        """Inside the release."""
        return f"data/{self.config}/test-{self.number:05d}-of-{self.of:05d}.parquet"


@dataclass(frozen=True)
class Census:
    """What a manifest holds, counted in one pass.

    Attributes:
        configs: those that will have files, in the order of a release.
        places: int64 (rows,), places in the manifest of each configuration's rows.
        counts: subset -> rows by reason; "ok" counts those that were made.
    """

    configs: list[str]
    places: dict[str, NDArray[np.int64]]
    counts: dict[str, Counter[str]]


def share(shards: Sequence[Shard], ranks: Ranks) -> list[Shard]:
    """The shards of one of several processes."""
    return list(shards[ranks.rank :: ranks.world])


def take_census(manifest: Manifest, recipe: Recipe) -> Census:
    """Count a manifest.

    Raises:
        ReleaseFolderError: a subset has a name that a release uses otherwise, or there is no
            image at all.
    """
    subset = np.full(len(manifest), _NO_SUBSET, np.int16)
    masked = np.zeros(len(manifest), np.bool_)
    names: dict[str, int] = {}
    counts: dict[str, Counter[str]] = {}
    place = 0
    for batch in manifest.batches(["subset", "status", "reason", "mask"]):
        part = slice(place, place + len(batch))
        made = pc.equal(batch["status"], OK)
        found = batch["subset"].dictionary_encode()
        codes = [names.setdefault(name, len(names)) for name in found.dictionary.to_pylist()]
        numbers = np.asarray(codes, np.int16)[found.indices.to_numpy()]
        ok = made.to_numpy(zero_copy_only=False)
        subset[part] = np.where(ok, numbers, _NO_SUBSET)
        masked[part] = ok & pc.is_valid(batch["mask"]).to_numpy(zero_copy_only=False)
        _count(counts, batch, made)
        place += len(batch)
    taken = sorted(set(names) & {ALL, MASKS, ROWS})
    if taken:
        what = f"a release has a configuration {taken[0]!r} of its own, the run has a subset"
        raise ReleaseFolderError(what, where=manifest.path, mend="Rename the variant's file")
    if not (subset != _NO_SUBSET).any():
        mend = "See why: covar-gen status RUN"
        raise ReleaseFolderError("every image was rejected", where=manifest.path, mend=mend)
    places = {name: np.flatnonzero(subset == names[name]) for name in in_order(names, recipe)}
    places[MASKS] = np.flatnonzero(masked)
    places[ROWS] = np.arange(len(manifest))
    configs = [config for config, rows in places.items() if len(rows)]
    return Census(configs, places, {name: counts[name] for name in in_order(counts, recipe)})


def _count(counts: dict[str, Counter[str]], batch: pa.RecordBatch, made: pa.Array) -> None:
    reasons = pc.if_else(made, OK, batch["reason"])
    pairs = pa.table({"subset": batch["subset"], "reason": reasons})
    grouped = pairs.group_by(["subset", "reason"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        counts.setdefault(row["subset"], Counter())[row["reason"]] += row["count_all"]


def in_order(names: Collection[str], recipe: Recipe) -> list[str]:
    """Subsets as the flow makes them; others behind, by name."""
    variants = recipe.geometry.variants if recipe.geometry else []
    known = ["original", "bg_varied", *variants, "viewpoint", "scale"]
    return [
        *(name for name in known if name in names),
        *sorted(name for name in names if name not in known),
    ]


def plan_shards(
    manifest: Manifest,
    census: Census,
    contents: dict[str, Contents],
    size: float,
    pool: Executor,
) -> list[Shard]:
    """Cut every configuration's rows into files of about the same number of rows.

    Args:
        manifest: of the run.
        census: of the manifest.
        contents: what the files of each configuration hold.
        size: bytes that a file should have.
        pool: makes the files of a sample.
    """
    means = _mean_bytes(manifest, census, contents, pool)
    return [
        shard
        for config in census.configs
        for shard in _cut(config, census.places[config], means[config] + ROW_BYTES, size)
    ]


def _cut(config: str, places: NDArray[np.int64], row_bytes: float, size: float) -> Iterator[Shard]:
    rows = len(places)
    total = rows * row_bytes
    files = max(round(total / size), int(np.ceil(total / (MOST * size))), 1)
    files = min(files, rows)
    bounds = [rows * number // files for number in range(files + 1)]
    for number, (first, last) in enumerate(pairwise(bounds)):
        start, stop = int(places[first]), int(places[last - 1]) + 1
        yield Shard(config, number, files, start, stop, last - first)


def _mean_bytes(
    manifest: Manifest, census: Census, contents: dict[str, Contents], pool: Executor
) -> dict[str, float]:
    """Mean size of each configuration's files, of a few evenly spaced ones."""
    chosen = {
        config: _evenly(census.places[config])
        for config in census.configs
        if contents[config].make is not None
    }
    rows = manifest.take(READS, sorted({place for places in chosen.values() for place in places}))
    means = dict.fromkeys(census.configs, 0.0)
    for config, places in chosen.items():
        make = contents[config].make
        assert make is not None
        cells = pool.map(make, [rows[place] for place in places])
        means[config] = float(np.mean([len(cell.data) if cell else 0 for cell in cells]))
    return means


def _evenly(places: NDArray[np.int64]) -> list[int]:
    count = min(SAMPLE, len(places))
    return [int(places[(2 * n + 1) * len(places) // (2 * count)]) for n in range(count)]
