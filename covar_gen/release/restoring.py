"""Makes a run again of a release: from its lossless images, or from patches and photographs.

Images come in the order of the flow, so that each finds its parent. Every image is compared with
the SHA-256 of its pixels and of its file, every mask with its own: what is written is what the run
held, byte for byte, or nothing. The manifest is the run's own too; tables hold what the manifest
says of their rows. What is there already, with its checksum, is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from covar_gen.core.arrays import Image
from covar_gen.core.errors import DamagedRunError, ReleaseFolderError
from covar_gen.core.files import Staging, check_storage, make_folder, sync
from covar_gen.core.flow import IMAGES as IMAGE_TABLES
from covar_gen.core.flow import steps
from covar_gen.core.imaging import decode_png, encode_png, is_whole_png, pixels_sha256
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.pipeline import Report
from covar_gen.core.recipe import read_recipe
from covar_gen.core.rows import MANIFEST, TABLES, mask_table
from covar_gen.core.store import MANIFEST as MANIFEST_FILE
from covar_gen.core.store import RECIPE, Run, create_run
from covar_gen.release.contents import parent_path
from covar_gen.release.index import RECIPE_ONLY, Release, here
from covar_gen.release.patches import decode_patch, predicted, restored
from covar_gen.release.schema import MASKS, ROWS, row_fields

TOGETHER = 32
"""Rows read at once."""

Photograph = Callable[[dict[str, Any]], Image]
"""From the row of an original to its working photograph, uint8 (H, W, 3), RGB."""

_OF_SUBSET = {
    "original": "sources",
    "bg_varied": "backgrounds",
    "viewpoint": "viewpoints",
    "scale": "scale",
}
"""Subset -> the table of its rows; a variant's is geometry."""


def table_of(subset: str) -> str:
    """The table that holds the rows of a subset."""
    return _OF_SUBSET.get(subset, "geometry")


@dataclass(frozen=True)
class Restored:
    """What was made again.

    Attributes:
        run: the run.
        images: of it.
        masks: of it.
    """

    run: Run
    images: int
    masks: int


def restore(
    release: Release,
    out: Path,
    photograph: Photograph | None = None,
    *,
    sources: Sequence[str] | None = None,
    threads: int = 2,
    report: Report = lambda _done, _total: None,
) -> Restored:
    """Make the run of a release again.

    Args:
        release: complete, with lossless images or with patches.
        out: the run's folder; made if it is not there.
        photograph: the working photographs, which patches are no substitute for.
        sources: keys of the photographs of which everything is made; None: of all.
        threads: that decode and encode.
        report: told of images and masks done, and of all.

    Raises:
        ReleaseFolderError: its images have lost pixels, a table of it is damaged, or what is made
            again is not what the release says.
        RunFolderError: the folder holds something else.
        StorageError: the folder cannot keep a run's promises.
    """
    run = _begin(release, out)
    rows = read_rows(release, sources)
    made = rows.filter(pc.equal(rows["status"], "ok"))
    total, done = len(made) + pc.count(made["mask_sha256"]).as_py(), 0
    staging = Staging(out)
    maker = _Maker(release, run, staging, photograph)
    counts = {True: 0, False: 0}
    try:
        with ThreadPoolExecutor(threads, thread_name_prefix="pixels") as pool:
            for config in [*_in_order(release.subsets), MASKS]:
                make = maker.mask if config == MASKS else maker.image
                for batch in _batches(release, config, sources, made):
                    counts[config == MASKS] += len(list(pool.map(make, batch)))
                    done += len(batch)
                    report(done, total)
        sync(out)
        _write_tables(run, rows, staging)
        staging.replace(out / MANIFEST_FILE, parquet_bytes(_manifest(run, rows)))
    finally:
        staging.close()
    return Restored(run, counts[False], counts[True])


def _begin(release: Release, out: Path) -> Run:
    recipe = read_recipe(release.root / RECIPE)
    if recipe.digest() != release.identity["recipe_sha256"]:
        what = "the recipe is not the one that the release was made by"
        raise ReleaseFolderError(what, where=release.root / RECIPE, mend=_AGAIN)
    encoder = release.identity["encoder"]
    lossless = isinstance(encoder, dict) and encoder["format"] in {"png", "patch"}
    if not lossless:
        what = "its images are not the run's own: they have lost pixels when they were encoded"
        mend = "Only releases made with --format png or --recipe-only give the run back"
        raise ReleaseFolderError(what, where=release.root, mend=mend)
    make_folder(out, "--out")
    run = create_run(out, recipe)
    check_storage(out)
    return run


_AGAIN = "Download the release again"


def read_rows(release: Release, sources: Sequence[str] | None = None) -> pa.Table:
    """The rows of a release's manifest, sorted by key.

    Args:
        release: complete.
        sources: keys of photographs whose rows are wanted; None: all.

    Raises:
        ReleaseFolderError: a file of it is damaged, or it is of another version of the toolkit.
    """
    with _readable(release, ROWS):
        found = _dataset(release, ROWS).to_table(filter=_of(sources))
    check_columns(release, found.column_names)
    return found.take(pc.sort_indices(found["key"]))


def check_columns(release: Release, names: Collection[str]) -> None:
    """See that rows have the columns of today: a run of others is not made byte for byte.

    Raises:
        ReleaseFolderError: they have not.
    """
    today = {field.name for field in row_fields()}
    for which, other in (("no", today - set(names)), ("the", set(names) - today)):
        if other:
            differs = f"its rows have {which} column {min(other)!r}"
            what = f"{release.maker} wrote it, this is {here()}: {differs}"
            mend = f"Type: pip install {release.package}, or publish the run again with this one"
            raise ReleaseFolderError(what, where=release.root, mend=mend)


def _of(sources: Sequence[str] | None) -> pc.Expression | None:
    if sources is None:
        return None
    wanted = pa.array(list(sources), pa.string())
    return pc.field("source").isin(wanted) | pc.field("key").isin(wanted)


def _dataset(release: Release, config: str) -> pads.Dataset:
    paths = [str(release.root / entry.path) for entry in release.configs[config]]
    return pads.dataset(paths, format="parquet")


def _batches(
    release: Release, config: str, sources: Sequence[str] | None, made: pa.Table
) -> Iterator[list[dict[str, Any]]]:
    """Rows of a configuration, some at a time."""
    if config not in release.configs:
        return
    wanted = _of(sources)
    if config == MASKS and sources is not None:
        wanted = pc.field("key").isin(made["key"].combine_chunks())
    with _readable(release, config):
        scanner = _dataset(release, config).scanner(
            filter=wanted, batch_size=TOGETHER, batch_readahead=1, fragment_readahead=1
        )
        for batch in scanner.to_batches():
            if len(batch):
                yield batch.to_pylist()


class _readable:  # noqa: N801 - reads as a function: with _readable(...)
    """What Arrow says of a damaged file, as one line."""

    def __init__(self, release: Release, config: str) -> None:
        self.where = release.root / "data" / config

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # Arrow reports damage as an OSError without a number, the disk with one.
        damaged = isinstance(error, OSError) and not error.errno
        if damaged or isinstance(error, pa.ArrowException):
            raise ReleaseFolderError("a file is damaged", where=self.where, mend=_AGAIN) from error


@dataclass(frozen=True)
class _Maker:
    """Makes files of a run again, in any thread."""

    release: Release
    run: Run
    staging: Staging
    photograph: Photograph | None

    def image(self, row: dict[str, Any]) -> None:
        """Make an image, unless it is there."""
        path = self.run.root / self.run.image_path(table_of(row["subset"]), row["key"])
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]:
            return
        stored = row["image"] and hashlib.sha256(row["image"]["bytes"]).hexdigest()
        if stored != row["export_sha256"]:
            raise self._damaged(row, "has an image that is not the release's")
        if self.release.identity["kind"] == RECIPE_ONLY:
            image = self._original(row) if row["parent"] is None else self._patched(row)
            if pixels_sha256(image) != row["pixels_sha256"]:
                raise self._differs(row, "has other pixels than the release says")
            data = encode_png(image)
        else:
            data = row["image"]["bytes"]
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise self._differs(row, "is another file than the release says")
        self._save(path, data)

    def mask(self, row: dict[str, Any]) -> None:
        """Write a mask, unless it is there."""
        path = self.run.root / self.run.mask_path(table_of(row["subset"]), row["key"])
        data = row["mask"]["bytes"]
        if hashlib.sha256(data).hexdigest() != row["mask_sha256"]:
            raise self._damaged(row, "has a mask that is not the release's")
        self._save(path, data)

    def _original(self, row: dict[str, Any]) -> Image:
        if self.photograph is None:
            what = "its photographs are not in the release"
            mend = "Name the folder that holds them with --photographs"
            raise ReleaseFolderError(what, where=self.release.root, mend=mend)
        return self.photograph(row)

    def _patched(self, row: dict[str, Any]) -> Image:
        try:
            parent = decode_png(self.run.read(parent_path(self.run, row), row["parent_sha256"]))
            said, _ = predicted(parent, row["transform"], (row["height"], row["width"]))
            patch = decode_patch(row["image"]["bytes"])
            return restored(patch, said, parent, row["transform"])
        except (ValueError, TypeError) as error:
            raise self._damaged(row, "has no whole patch") from error

    def _save(self, path: Path, data: bytes) -> None:
        found = self.staging.publish(path, data, is_whole_png)
        if found != data:
            what = "another file is in its place"
            mend = "Choose an empty or new folder with --out"
            raise DamagedRunError(what, where=path, mend=mend)

    def _damaged(self, row: dict[str, Any], what: str) -> ReleaseFolderError:
        return ReleaseFolderError(f"{row['key']} {what}", where=self.release.root, mend=_AGAIN)

    def _differs(self, row: dict[str, Any], what: str) -> ReleaseFolderError:
        made_with = self.release.identity.get("made_with")
        packages = made_with if isinstance(made_with, dict) else {}
        wanted = [f"{name}=={version}" for name, version in sorted(packages.items())]
        mend = f"Make it with the packages that the release was made with: {' '.join(wanted)}"
        return ReleaseFolderError(f"{row['key']} {what}", where=self.release.root, mend=mend)


def _in_order(subsets: Sequence[str]) -> list[str]:
    """Subsets in the order of the flow: parents first."""
    return sorted(subsets, key=lambda subset: IMAGE_TABLES.index(table_of(subset)))


def _manifest(run: Run, rows: pa.Table) -> pa.Table:
    """The run's manifest: that of the release, with the paths of files."""
    made = {
        "image": _paths(rows, "sha256", run.image_path),
        "mask": _paths(rows, "mask_sha256", run.mask_path),
    }
    columns = [made[field.name] if field.name in made else rows[field.name] for field in MANIFEST]
    return pa.table(columns, schema=MANIFEST).combine_chunks()


def _paths(rows: pa.Table, checksum: str, path: Callable[[str, str], str]) -> pa.Array:
    """Where files lie inside the run; null where a row has none."""
    there = rows[checksum].is_valid().to_numpy()
    subsets, keys = rows["subset"].to_pylist(), rows["key"].to_pylist()
    return pa.array(
        [
            path(table_of(subset), key) if has else None
            for has, subset, key in zip(there, subsets, keys, strict=True)
        ],
        pa.string(),
    )


def _write_tables(run: Run, rows: pa.Table, staging: Staging) -> None:
    """The run's tables, as far as its manifest says what stood in them."""
    known = _manifest(run, rows)
    tables = {step.table for step in steps(run.recipe)[:-1]}
    subsets = pa.array([table_of(subset) for subset in known["subset"].to_pylist()], pa.string())
    for table in IMAGE_TABLES:
        if table not in tables:
            continue
        chosen = pc.equal(subsets, table)
        images = known.filter(chosen)
        origins = rows.filter(chosen).select(["origin", "photograph_sha256"])
        for name in origins.column_names:
            images = images.append_column(name, origins[name])
        masks = mask_table(table)
        if masks in tables:
            said = images.set_column(
                images.schema.get_field_index("parent_sha256"), "parent_sha256", images["sha256"]
            )
            _write(run, masks, said, staging)
        _write(run, table, images, staging)


def _write(run: Run, table: str, said: pa.Table, staging: Staging) -> None:
    schema = TABLES[table]
    columns = [
        said[field.name] if field.name in said.column_names else pa.nulls(len(said), field.type)
        for field in schema
    ]
    path = run.folder(table) / "restored.parquet"
    staging.replace(path, parquet_bytes(pa.table(columns, schema=schema)))
