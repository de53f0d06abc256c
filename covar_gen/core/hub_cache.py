"""What of a repository lies in the cache of the Hugging Face Hub, told without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from covar_gen.core.pins import COMMIT, revision_of

SHARDS = "*.safetensors.index*.json"
"""Files that name the files of weights which are kept in several; also those of a variant."""
WEIGHTS = frozenset({".safetensors", ".bin", ".pth", ".pt"})
CONFIG = "config.json"


@dataclass(frozen=True)
class Cached:
    """A repository in the cache.

    Attributes:
        commit: of its files.
        size: bytes of those that are there.
        missing: files that those which are there call for, sorted.
    """

    commit: str
    size: int
    missing: tuple[str, ...]


def cache_folder() -> Path:
    """Where the Hub's files are kept on this machine."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached(repo: str, revision: str | None = None) -> Cached | None:
    """What the cache has of a repository.

    Args:
        repo: `owner/name`.
        revision: branch, tag or commit; None: the pinned one, else the main branch.

    Returns:
        None if it has nothing of that revision.
    """
    commit = _commit(repo, revision_of(repo, revision))
    if commit is None:
        return None
    folder = _place(repo) / "snapshots" / commit
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        return None
    dangling = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.exists()}
    missing = tuple(sorted({*dangling, *_called_for(folder)}))
    return Cached(commit, sum(path.stat().st_size for path in files), missing)


def lacking(repo: str, revision: str | None, patterns: Sequence[str]) -> list[str]:
    """Files of a repository that fit the patterns and are not in the cache, sorted.

    Args:
        repo: `owner/name`.
        revision: branch, tag or commit; None: the main branch.
        patterns: of file names.

    Returns:
        Nothing where the cache does not know which files the repository has.
    """
    commit = _commit(repo, revision)
    if commit is None:
        return []
    folder = _place(repo) / "snapshots" / commit
    names = _fitting(repo, commit, patterns) or []
    return sorted(name for name in names if not (folder / name).is_file())


def whole(repo: str, revision: str | None, patterns: Sequence[str]) -> Path | None:
    """The folder of a commit, where it is sure that nothing of what is asked for is missing.

    Args:
        repo: `owner/name`.
        revision: a whole commit; of a branch or a tag only the Hub knows where it stands.
        patterns: of file names.

    Returns:
        None where a file is missing, and where it is not known which files the patterns stand for.
    """
    if revision is None or not COMMIT.fullmatch(revision):
        return None
    folder = _place(repo) / "snapshots" / revision
    names = _fitting(repo, revision, patterns)
    # Older clients of the Hub did not keep the list of files: then only a file's own name tells
    # whether it is there, and a pattern with an asterisk is the name of none.
    names = list(patterns) if names is None else names
    there = folder.is_dir() and all((folder / name).is_file() for name in names)
    return folder if there else None


def _fitting(repo: str, commit: str, patterns: Sequence[str]) -> list[str] | None:
    """Files of a commit that fit the patterns; None where the cache has no list of its files."""
    try:
        listed = json.loads((_place(repo) / "trees" / f"{commit}.json").read_text("utf-8"))
        names = list(listed["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def _place(repo: str) -> Path:
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def _commit(repo: str, revision: str | None) -> str | None:
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    try:
        return (_place(repo) / "refs" / (revision or "main")).read_text("utf-8").strip() or None
    except OSError:
        return None


def _called_for(folder: Path) -> Iterator[str]:
    """Weights that are not there, though what is there says that they should be."""
    for part in {index.parent for index in folder.rglob(SHARDS)}:
        # A folder may have several, one for each variant: one whose files are there will do.
        lacking_by_index = [
            {name for name in _shards(index) if not (part / name).is_file()}
            for index in sorted(part.glob(SHARDS))
        ]
        fewest = min(lacking_by_index, key=len)
        yield from ((part / name).relative_to(folder).as_posix() for name in fewest)
    for config in folder.rglob(CONFIG):
        part = config.parent
        if not any(path.suffix in WEIGHTS or path.match(SHARDS) for path in part.iterdir()):
            yield f"{part.relative_to(folder).as_posix()}/*.safetensors".removeprefix("./")


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return set()
