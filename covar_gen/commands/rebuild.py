"""`covar-gen rebuild`: the run of a release, from its images or from patches and photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from covar_gen.core import plugins
from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.digests import file_sha256
from covar_gen.core.errors import PhotographsError
from covar_gen.core.files import Staging
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.photographs import read_photograph
from covar_gen.core.pipeline import Report
from covar_gen.core.recipe import Recipe, read_recipe
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import METADATA, RECIPE
from covar_gen.release.index import RECIPE_ONLY, Release, read_release
from covar_gen.release.restoring import Restored, read_rows, restore
from covar_gen.sources.base import Source
from covar_gen.stage_manifest import metadata

Read = Callable[[], bytes]


def rebuild(
    folder: Path,
    out: Path,
    photographs: Path | None = None,
    *,
    threads: int = 2,
    report: Report = lambda _done, _total: None,
) -> Restored:
    """Make the run of a release again, byte for byte.

    Args:
        folder: the release, of lossless images or of patches.
        out: the run's folder; made if it is not there.
        photographs: for patches: a folder that holds the photographs, in any layout; they are
            told by their SHA-256. None: those of a source that brings its own.
        threads: for hashing, decoding and encoding.
        report: told of images and masks done, and of all.

    Raises:
        ReleaseFolderError: no release, one whose images have lost pixels, or what is made again
            is not what it says.
        PhotographsError: photographs are missing.
        RunFolderError: `out` holds something else.
    """
    release = read_release(folder)
    photograph = None
    if release.identity["kind"] == RECIPE_ONLY:
        photograph = _finder(release, photographs, threads)
    made = restore(release, out, photograph, threads=threads, report=report)
    staging = Staging(out)
    try:
        staging.replace(out / METADATA, parquet_bytes(metadata(made.run.manifest().cast(MANIFEST))))
    finally:
        staging.close()
    return made


def _finder(
    release: Release, folder: Path | None, threads: int
) -> Callable[[dict[str, Any]], Image]:
    """What makes the working photograph of an original again."""
    recipe = read_recipe(release.root / RECIPE)
    rows = read_rows(release)
    wanted = {
        str(row["key"]): (str(row["photograph_sha256"]), str(row["origin"]))
        for row in rows.select(
            ["key", "subset", "status", "photograph_sha256", "origin"]
        ).to_pylist()
        if row["subset"] == "original" and row["status"] == "ok"
    }
    origins = dict(wanted.values())
    found = _of_folder(folder, origins, threads) if folder else _of_source(recipe, set(origins))
    missing = sorted(key for key, (sha256, _) in wanted.items() if sha256 not in found)
    if missing:
        what = f"{len(missing)} of {len(wanted)} photographs are not there, {missing[0]} the first"
        mend = "Give the folder with the very files that the release was made from (--photographs)"
        where = folder or f"source {recipe.classes.source}"
        raise PhotographsError(what, where=where, mend=mend)

    def photograph(row: dict[str, Any]) -> Image:
        sha256, origin = wanted[row["key"]]
        data = found[sha256]()
        image = read_photograph(data, recipe.classes.size)
        if isinstance(image, Rejected) or hashlib.sha256(data).hexdigest() != sha256:
            what = "the photograph has changed since it was found"
            raise PhotographsError(what, where=origin, mend="Type the command again")
        return image

    return photograph


def _of_folder(folder: Path, origins: dict[str, str], threads: int) -> dict[str, Read]:
    """Photographs of a folder by their SHA-256: looked for where they were, then everywhere."""
    if not folder.is_dir():
        raise PhotographsError("no such folder", where=folder, mend="Check --photographs")
    likely = {folder / origin for origin in origins.values() if ".." not in Path(origin).parts}
    found: dict[str, Read] = {}
    with ThreadPoolExecutor(threads) as pool:
        for paths in (sorted(likely), _files(folder, likely)):
            if len(found) == len(origins):
                break
            there = [path for path in paths if path.is_file()]
            for path, sha256 in zip(there, pool.map(file_sha256, there), strict=True):
                if sha256 in origins:
                    found.setdefault(sha256, path.read_bytes)
    return found


def _files(folder: Path, known: set[Path]) -> Iterator[Path]:
    """Every other file of a folder, at any depth."""
    return (path for path in sorted(folder.rglob("*")) if path not in known)


def _of_source(recipe: Recipe, wanted: set[str]) -> dict[str, Read]:
    """Photographs that the recipe's own source brings, by their SHA-256."""
    section = recipe.classes
    options = section.options.get(section.source)
    source = plugins.make("sources", section.source, Source, options, "classes.source")
    labels = [each.label for each in recipe.class_list if each.label is not None]
    found: dict[str, Read] = {}
    for photograph in source.photographs(labels, recipe.seed):
        sha256 = hashlib.sha256(photograph.read()).hexdigest()
        if sha256 in wanted:
            found.setdefault(sha256, photograph.read)
    return found
