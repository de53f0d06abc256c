"""Make a release: every image encoded once, in files that `datasets` opens.

Reads:  manifest.parquet, images and masks of a finished run
Writes: OUT/data/<subset>/test-*.parquet, and what describes them; OUT/release.json last
Launch: accelerate launch covar_gen/stage_publish.py --run RUN --out DIR

Files are shared between processes; each is one unit of work. Whichever process sees that all are
finished writes what describes them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from covar_gen.core.digests import file_sha256
from covar_gen.core.environment import packages
from covar_gen.core.files import STAGING, Staging, only_one, sweep
from covar_gen.core.launch import PROGRESS, THREADS, guarded, leash, progress
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run, open_run
from covar_gen.core.threads import fix_threads
from covar_gen.release.companions import COMPANIONS, Complete
from covar_gen.release.contents import Contents, contents_of
from covar_gen.release.encoding import Encoder, Format
from covar_gen.release.index import (
    FORMAT,
    IMAGES,
    INDEX,
    Entry,
    Identity,
    Release,
    Workshop,
    read_release,
)
from covar_gen.release.plan import Shard, plan_shards, share, take_census
from covar_gen.release.reading import Manifest, open_manifest
from covar_gen.release.shards import write_shard

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Options:
    """How a release is made.

    Attributes:
        encoder: of its images.
        shard_mb: size of a file, megabytes, about.
    """

    encoder: Encoder = field(default_factory=Encoder)
    shard_mb: int = 400


def identity_of(run: Run, manifest: Manifest, options: Options) -> Identity:
    """What decides the bytes of a run's release."""
    return {
        "format": FORMAT,
        "kind": IMAGES,
        "name": run.recipe.name,
        "recipe_sha256": run.recipe.digest(),
        "manifest_sha256": file_sha256(manifest.path),
        "encoder": options.encoder.identity(),
        "shard_mb": options.shard_mb,
        "made_with": {
            name: version
            for name, version in packages().items()
            if name in ("covar-gen", "datasets", "pyarrow")
        },
    }


def publish_share(
    run: Run,
    out: Path,
    options: Options,
    ranks: Ranks,
    *,
    threads: int,
    report: Report = lambda _done, _total: None,
) -> Release | None:
    """Make this process's share of a release, and finish the release if it is the last.

    Args:
        run: a finished run.
        out: the release's folder; made if it is not there.
        options: how it is made.
        ranks: which process of how many this is.
        threads: that decode and encode; the result does not depend on it.
        report: told of rows done and rows in all of this process's share.

    Returns:
        The release; None where other processes have files left to write.

    Raises:
        IncompleteInputError: the run is not finished.
        DamagedRunError: a file of the run is gone, or is not what its row says.
        ReleaseFolderError: the folder holds something else.
    """
    manifest = open_manifest(run)
    identity = identity_of(run, manifest, options)
    workshop = Workshop(out)
    if workshop.compare(identity):
        return _finished(out)
    fix_threads()
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    staging = Staging(out)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pixels")
    try:
        maker = _Maker(run, manifest, workshop, options, staging, pool, threads)
        shards = maker.planned(identity)
        maker.make(share(shards, ranks), report)
        return maker.complete(shards)
    finally:
        pool.shutdown(cancel_futures=True)
        staging.close()
        manifest.close()
        if (out / INDEX).is_file():
            _finished(out)


def _finished(out: Path) -> Release:
    """A complete release, with nothing beside it that belongs to nobody any more."""
    Workshop(out).clear()
    sweep(out)
    if (out / STAGING).is_dir() and not any((out / STAGING).iterdir()):
        (out / STAGING).rmdir()
    return read_release(out)


@dataclass(frozen=True)
class _Maker:
    """One process that makes files of a release."""

    run: Run
    manifest: Manifest
    workshop: Workshop
    options: Options
    staging: Staging
    pool: ThreadPoolExecutor
    threads: int

    def planned(self, identity: Identity) -> list[Shard]:
        """The files of the release, as the first process to come has planned them."""
        if self.workshop.planned() is None:
            census = take_census(self.manifest, self.run.recipe)
            contents = {config: self.contents(config) for config in census.configs}
            size = self.options.shard_mb * MEGABYTE
            shards = plan_shards(self.manifest, census, contents, size, self.pool)
            self.workshop.claim(identity, census.counts, shards, self.staging)
        found = self.workshop.planned()
        assert found is not None
        return found[2]

    def contents(self, config: str) -> Contents:
        """What files of a configuration hold."""
        return contents_of(self.run, config, self.options.encoder)

    def make(self, shards: list[Shard], report: Report) -> None:
        """Write those files that are not finished."""
        missing = [shard for shard in shards if self.workshop.receipt(shard) is None]
        total, done = sum(shard.rows for shard in missing), 0

        def tick(rows: int) -> None:
            nonlocal done
            done += rows
            report(done, total)

        report(0, total)
        for shard in missing:
            temporary = self.staging.folder / shard.path.replace("/", "__")
            written = write_shard(
                temporary,
                shard,
                self.contents(shard.config),
                self.manifest,
                self.pool,
                self.threads,
                tick,
            )
            self.workshop.finish(shard, temporary, written, self.staging)

    def complete(self, shards: list[Shard]) -> Release | None:
        """Write what describes the files, once all of them are finished."""
        root = self.workshop.root
        with only_one(self.workshop.folder / "lock"):
            if (root / INDEX).is_file():
                return read_release(root)
            receipts = [self.workshop.receipt(shard) for shard in shards]
            tables = [entry for entry in receipts if entry is not None]
            if len(tables) < len(shards):
                return None
            return self._complete(tables)

    def _complete(self, tables: list[Entry]) -> Release:
        found = self.workshop.planned()
        assert found is not None
        identity, counts, _ = found
        root = self.workshop.root
        complete = Complete(self.run, Release(root, identity, counts, tables))
        for path, write in COMPANIONS.items():
            self.staging.replace(root / path, write(complete))
        others = [self.workshop.entry(path) for path in COMPANIONS]
        files = sorted([*tables, *others], key=lambda entry: entry.path)
        release = Release(root, identity, counts, files)
        self.staging.replace(root / INDEX, release.document())
        return release


def options_of(form: Format, quality: int, shard_mb: int) -> Options:
    """Options as a command line has them."""
    return Options(Encoder(form, quality), shard_mb)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="the run folder")
    parser.add_argument("--out", required=True, type=Path, help="the release's folder")
    parser.add_argument("--format", choices=get_args(Format), default="jpeg", help="of images")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP, 1 to 100")
    parser.add_argument("--shard-mb", type=int, default=400, help="size of a file, about")
    return parser.parse_args()


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the stage from the command line."""
    given = _arguments()
    leash()

    def work() -> None:
        report = progress("publish")
        release = publish_share(
            open_run(given.run),
            given.out,
            options_of(given.format, given.quality, given.shard_mb),
            Ranks.from_environment(environment),
            threads=int(environment.get(THREADS, "2")),
            report=report,
        )
        if environment.get(PROGRESS) != "lines":
            print("publish: complete" if release else "publish: others have files left to write")

    return guarded(work, given.out)


if __name__ == "__main__":
    sys.exit(main())
