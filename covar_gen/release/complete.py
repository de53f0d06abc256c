"""A release folder that is whole, and whether files on the Hugging Face Hub are its files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from covar_gen.core.digests import file_sha256
from covar_gen.core.errors import ReleaseFolderError, some
from covar_gen.core.store import RELEASE
from covar_gen.release.index import RECIPE_ONLY, read_release

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile


class Held(NamedTuple):
    """A file of a release: its size in bytes, and the SHA-256 that release.json says it has."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Whole:
    """A release folder of which every file is there.

    Attributes:
        folder: where it is.
        name: of the benchmark.
        version: of the release, where it has one.
        files: all of it, by path, release.json too.
        restricted: its makers say that the photographs may not be passed on, and it holds them.
    """

    folder: Path
    name: str
    version: str | None
    files: dict[str, Held]
    restricted: bool

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(held.size for held in self.files.values())


def whole(folder: Path) -> Whole:
    """Look that every file that release.json names is there in its size, and no other.

    Raises:
        ReleaseFolderError: no release, an incomplete one, or one with files that are not of it.
    """
    index = read_release(folder)
    files = {entry.path: Held(entry.bytes, entry.sha256) for entry in index.files}
    outside = [path for path in files if _leaves(PurePosixPath(path))]
    if outside:
        what = f"{RELEASE} names what is no file of a release: {named(outside)}"
        raise ReleaseFolderError(what, where=folder, mend="Publish the run again")
    missing = {path for path in files if not (folder / path).is_file()}
    there = files.keys() - missing
    wrong = [path for path in there if (folder / path).stat().st_size != files[path].size]
    if missing or wrong:
        state = f"missing: {named(missing)}" if missing else f"of another size: {named(wrong)}"
        mend = "Type the `covar-gen publish` command again: it makes what is not there"
        raise ReleaseFolderError(f"the release is incomplete; {state}", where=folder, mend=mend)
    files[RELEASE] = Held((folder / RELEASE).stat().st_size, file_sha256(folder / RELEASE))
    present = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    extra = [str(path) for path in present if not _is_hidden(path) and path.as_posix() not in files]
    if extra:
        what = f"the folder holds files that are not of the release: {named(extra)}"
        raise ReleaseFolderError(what, where=folder, mend="Move them out of the folder")
    version = index.described.get("version")
    about: Any = index.described.get("about") or {}
    kept = about.get("photographs", {}).get("redistributable") is False
    restricted = kept and index.identity["kind"] != RECIPE_ONLY
    return Whole(folder, index.name, str(version) if version else None, files, restricted)


def _leaves(path: PurePosixPath) -> bool:
    """Whether a path leads out of its folder, or to what is never pushed."""
    return path.is_absolute() or _is_hidden(path)


def _is_hidden(path: PurePath) -> bool:
    """Whether a part of a path begins with a dot, as those that lead out of a folder do."""
    return any(part.startswith(".") for part in path.parts)


def same(entry: RepoFile, release: Whole, path: str) -> bool:
    """Whether a file of the Hub is the one that release.json names.

    Args:
        entry: of the Hub.
        release: the folder.
        path: of the file in both.
    """
    held = release.files.get(path)
    if held is None or entry.size != held.size:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == held.sha256
    # The Hub names the content of a small file as git does: the folder's file has to be both.
    data = (release.folder / path).read_bytes()
    return hashlib.sha256(data).hexdigest() == held.sha256 and entry.blob_id == _git_blob(data)


def _git_blob(data: bytes) -> str:
    """The name of a content in git. Source: git-hash-object."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def equal(files: dict[str, RepoFile], release: Whole) -> bool:
    """Whether files of the Hub, by path, are all of the release and nothing else."""
    return files.keys() == release.files.keys() and all(
        same(files[path], release, path) for path in files
    )


def named(paths: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    return some(sorted(paths))
