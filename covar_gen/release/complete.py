"""A release folder that is complete, and whether files on the Hugging Face Hub are its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from covar_gen.core.digests import file_sha256
from covar_gen.core.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

INDEX = "release.json"
NAMED = 3
"""How many files a message names."""


class Held(NamedTuple):
    """A file of a release: its size in bytes, and the SHA-256 that release.json says it has."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """A complete release folder.

    Attributes:
        folder: where it is.
        name: of the data set, from release.json.
        version: of the release, if release.json has one.
        files: all of it, by path, release.json too.
    """

    folder: Path
    name: str
    version: str | None
    files: dict[str, Held]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(held.size for held in self.files.values())


def read_release(folder: Path) -> Release:
    """Read release.json and look that every file of it is there in its size.

    Raises:
        HubError: no release, an incomplete one, or one with files that are not of it.
    """
    again = "Type the covar-gen publish command again: it goes on where it stopped"
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        files = dict(map(_listed, index["files"]))
        name, version = str(index["name"]), index.get("version")
    except OSError as error:
        raise HubError(f"no complete release: no {INDEX}", where=folder, mend=again) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(f"{INDEX} cannot be read: {error!r}", where=folder, mend=again) from error
    missing = {path for path in files if not (folder / path).is_file()}
    there = files.keys() - missing
    wrong = [path for path in there if (folder / path).stat().st_size != files[path].size]
    if missing or wrong:
        state = f"missing: {named(missing)}" if missing else f"of another size: {named(wrong)}"
        raise HubError(f"the release is incomplete; {state}", where=folder, mend=again)
    files[INDEX] = Held((folder / INDEX).stat().st_size, file_sha256(folder / INDEX))
    present = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    seen = (path.as_posix() for path in present if not _is_hidden(path))
    extra = [path for path in seen if path not in files]
    if extra:
        what = f"files that are not of the release: {named(extra)}"
        raise HubError(what, where=folder, mend="Move them out of the folder")
    return Release(folder, name, str(version) if version else None, files)


def _listed(one: dict[str, Any]) -> tuple[str, Held]:
    """A file as release.json lists it."""
    path = PurePosixPath(one["path"])
    if path.is_absolute() or _is_hidden(path):
        raise ValueError(one["path"])
    return str(path), Held(int(one["bytes"]), str(one["sha256"]))


def _is_hidden(path: PurePath) -> bool:
    """Whether a part of a path begins with a dot, as those that lead out of a folder do."""
    return any(part.startswith(".") for part in path.parts)


def same(entry: RepoFile, release: Release, path: str) -> bool:
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


def equal(files: dict[str, RepoFile], release: Release) -> bool:
    """Whether files of the Hub, by path, are all of the release and nothing else."""
    return files.keys() == release.files.keys() and all(
        same(files[path], release, path) for path in files
    )


def named(paths: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(sorted(paths)[:NAMED]) + more
