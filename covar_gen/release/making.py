"""Makes a release: files shared between processes, each one unit of work, then what describes them.

No process waits for another. Whichever sees that all files are finished writes what describes
them, and release.json last.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from covar_gen.core.arrays import Json
from covar_gen.core.digests import file_sha256
from covar_gen.core.environment import packages
from covar_gen.core.errors import MissingExtraError
from covar_gen.core.files import STAGING, Staging, make_folder, only_one, sweep
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import RELEASE, Run
from covar_gen.core.threads import fix_threads
from covar_gen.release.about import About
from covar_gen.release.card import Stored
from covar_gen.release.configs import configs_head
from covar_gen.release.contents import Contents, contents_of
from covar_gen.release.croissant import Listed
from covar_gen.release.describing import describe
from covar_gen.release.encoding import Encoder
from covar_gen.release.facts import gather
from covar_gen.release.index import (
    FORMAT,
    IMAGES,
    RECIPE_ONLY,
    Entry,
    Identity,
    Release,
    Workshop,
    read_release,
)
from covar_gen.release.likeness import likeness
from covar_gen.release.plan import Shard, plan_shards, share, take_census
from covar_gen.release.reading import Manifest, open_manifest
from covar_gen.release.schema import MASKS, label_names, schema_of
from covar_gen.release.shards import write_shard
from covar_gen.release.sheet import FILE as SHEET

MEGABYTE = 1_000_000
WRITING = ("covar-gen", "datasets", "pyarrow")
"""Packages that decide a release's files beside its encoder."""
MAKING = (*WRITING, "numpy", "opencv-python", "pillow")
"""Packages that decide whether images made again from patches are the same."""


@dataclass(frozen=True)
class Options:
    """How a release is made.

    Attributes:
        encoder: of its images.
        shard_mb: size of a file, megabytes, about.
        about: what its makers say.
        repo: USER/NAME on the Hub, where it is to be; None: nowhere.
        terms: what the source of the photographs says of their terms; None: nothing.
        instructed: True if the editor reads the recipe's instruction.
    """

    encoder: Encoder = field(default_factory=Encoder)
    shard_mb: int = 400
    about: About = field(default_factory=About)
    repo: str | None = None
    terms: str | None = None
    instructed: bool = False

    def described(self) -> dict[str, Json]:
        """What decides how a release is described, but not what is in it."""
        said = self.about.model_dump(mode="json", exclude_defaults=True)
        return {"version": self.about.version, "about": said, "repo": self.repo}


def check_packages() -> None:
    """See that what describes a release is installed, before hours of encoding.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec("mlcroissant") is None:
        what = "a release's Croissant file needs the package mlcroissant, not installed here"
        raise MissingExtraError(what, mend="Type: pip install 'covar-gen[publish]'")


def identity_of(run: Run, manifest: Manifest, options: Options) -> Identity:
    """What decides the bytes of the tables of a run's release."""
    return {
        "format": FORMAT,
        "kind": RECIPE_ONLY if options.encoder.patches else IMAGES,
        "name": run.recipe.name,
        "recipe_sha256": run.recipe.digest(),
        "manifest_sha256": file_sha256(manifest.path),
        "encoder": options.encoder.identity(),
        "shard_mb": options.shard_mb,
        "made_with": {
            name: version
            for name, version in packages().items()
            if name in (MAKING if options.encoder.patches else WRITING)
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
        MissingExtraError: what describes a release is not installed.
        IncompleteInputError: the run is not finished.
        DamagedRunError: a file of the run is gone, or is not what its row says.
        ReleaseFolderError: the folder holds something else.
        StorageError: the folder cannot be made.
    """
    check_packages()
    manifest = open_manifest(run)
    try:
        identity, workshop = identity_of(run, manifest, options), Workshop(out)
        made = workshop.compare(identity)
        if made is None or made.described != options.described():
            fix_threads()
            make_folder(out, "--out")
            sweep(out)
            _make(run, manifest, workshop, options, ranks, threads, report)
    finally:
        manifest.close()
        if (out / RELEASE).is_file():
            _clear(out)
    return read_release(out) if (out / RELEASE).is_file() else None


def _make(
    run: Run,
    manifest: Manifest,
    workshop: Workshop,
    options: Options,
    ranks: Ranks,
    threads: int,
    report: Report,
) -> None:
    staging = Staging(workshop.root)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pixels")
    try:
        maker = _Maker(run, manifest, workshop, options, staging, pool, threads)
        shards = maker.planned()
        maker.make(share(shards, ranks), report)
        maker.complete(shards)
    finally:
        pool.shutdown(cancel_futures=True)
        staging.close()


def _clear(out: Path) -> None:
    """Leave nothing beside a complete release that belongs to nobody any more."""
    Workshop(out).clear()
    sweep(out)
    if (out / STAGING).is_dir() and not any((out / STAGING).iterdir()):
        (out / STAGING).rmdir()


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

    def planned(self) -> list[Shard]:
        """The files of the release, as the first process to come has planned them.

        None at all where another process has finished the release meanwhile.
        """
        identity = identity_of(self.run, self.manifest, self.options)
        with only_one(self.workshop.lock):
            made = self.workshop.compare(identity)
            if made is not None and made.described == self.options.described():
                return []
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
            contents = self.contents(shard.config)
            written = write_shard(
                temporary, shard, contents, self.manifest, self.pool, self.threads, tick
            )
            self.workshop.finish(shard, temporary, written, self.staging)

    def complete(self, shards: list[Shard]) -> None:
        """Write what describes the files and release.json, once all of them are finished."""
        with only_one(self.workshop.lock):
            if (self.workshop.root / RELEASE).is_file():
                return
            receipts = [self.workshop.receipt(shard) for shard in shards]
            tables = [entry for entry in receipts if entry is not None]
            if len(tables) == len(shards):
                self._complete(tables)

    def _complete(self, tables: list[Entry]) -> None:
        found = self.workshop.planned()
        assert found is not None
        identity, counts, _ = found
        root, described = self.workshop.root, self.options.described()
        release = Release(root, identity, described, counts, tables)
        said = self._described(release)
        for path, content in said.items():
            self.staging.replace(root / path, content)
        files = sorted(
            [*tables, *(self.workshop.entry(path) for path in said)], key=lambda entry: entry.path
        )
        release = Release(root, identity, described, counts, files)
        self.staging.replace(root / RELEASE, release.document())

    def _described(self, release: Release) -> dict[str, bytes]:
        """The small files beside the tables, by path."""
        encoder, recipe = self.options.encoder, self.run.recipe
        masks = release.rows(MASKS) if MASKS in release.configs else 0
        schema = schema_of(release.subsets[0], label_names(recipe))
        # A contact sheet would show what patches are there to leave out.
        sheet = None if encoder.patches else SHEET
        stored = Stored(encoder.words, encoder.lossless, masks, schema, encoder.patches, sheet)
        listed = [
            Listed(config, entry.path, entry.bytes, entry.sha256)
            for config, entries in release.configs.items()
            for entry in entries
        ]
        options = self.options
        facts = gather(self.run, options.about, options.terms, instructed=options.instructed)
        if encoder.patches:
            facts = replace(facts, shown=likeness(self.run, self.manifest))
        return describe(
            self.run,
            facts,
            stored,
            configs_head(release, recipe),
            listed,
            self.options.repo,
        )
