"""Checkpoints of transformers by name: `owner/name`, `owner/name@revision`, or a folder.

What a tool's pixels depend on is told by content, never by name: the hash of the weights and that
of the settings beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covar_gen.core.arrays import Json
from covar_gen.core.digests import file_sha256, named_sha256, together
from covar_gen.core.errors import WeightsError
from covar_gen.core.hub import fetch, getting, is_offline, no_name

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

IMAGES = ("preprocessor_config.json", "processor_config.json")
"""Files of which one says how images are prepared."""

TEXTS = ("tokenizer.json", "vocab.txt", "vocab.json")
"""Files of which one holds a tokenizer's words."""

SETTINGS = (
    CONFIG, *IMAGES, *TEXTS, "tokenizer_config.json", "special_tokens_map.json", "merges.txt",
    "added_tokens.json",
)  # fmt: skip
"""Files beside the weights that decide what a checkpoint answers."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine.

    Attributes:
        where: the option that names it, for error messages.
        folder: with all its files.
        repo: `owner/name` on the Hub; empty for a folder of the user's own.
        kind: `model_type` of its configuration.
        files: its weights; several where they are sharded.
    """

    where: str
    folder: Path
    repo: str
    kind: str
    files: tuple[Path, ...]

    @property
    def model(self) -> str:
        """`repo@commit`; `local:FOLDER@` and the start of the weights' hash for a folder."""
        return model_name(self.repo, self.folder, lambda: self.sha256)

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights, in hex: of the file, or of all shards' `hash  name` lines.

        The Hub's cache names files by their hash; in other folders they are read once.
        """
        return together((path.name, named_sha256(path)) for path in self.files)

    def identity(self) -> dict[str, Json]:
        """What decides its answers: hashes of the weights and of the settings."""
        there = [path for name in SETTINGS if (path := self.folder / name).is_file()]
        settings = together((path.name, file_sha256(path)) for path in there)
        return {"sha256": self.sha256, "settings": settings}

    def check_pinned(self, pinned: str | None) -> None:
        """Compare the weights' content with the hash that they must have.

        Args:
            pinned: SHA-256 as `sha256` defines it; None: any will do.

        Raises:
            WeightsError: they hash to something else.
        """
        if pinned is None:
            return
        found = together((path.name, file_sha256(path)) for path in self.files)
        if found != pinned.lower():
            what = f"the weights of {self.model} have the SHA-256 {found}, not the pinned {pinned}"
            mend = f"Fetch them again, or correct {self.where}_sha256"
            raise WeightsError(what, where=self.where, mend=mend)


def model_name(repo: str, place: Path, sha256: Callable[[], str]) -> str:
    """How weights are called in tables and messages: their origin and their exact state.

    Args:
        repo: `owner/name` on the Hub; empty for files of the user's own.
        place: the folder in the Hub's cache, called after its commit, or the user's own.
        sha256: tells the hash of the weights; only files of the user's own have to be read for it.

    Returns:
        `repo@commit`; `local:NAME@` and the hash's first twelve digits for one's own.
    """
    return f"{repo}@{place.name}" if repo else f"local:{place.name}@{sha256()[:12]}"


def check_name(name: str, kinds: Collection[str], where: str, *, texts: bool = False) -> None:
    """Refuse a checkpoint as far as it can be told without a network.

    Args:
        name: of the checkpoint.
        kinds: `model_type`s that the tool can use.
        where: the option that names it.
        texts: True if it must have a tokenizer.

    Raises:
        WeightsError: no such folder, no checkpoint in it or one of another kind; no name of a
            repository; or one that is not in the cache where the Hub must not be asked.
    """
    if _folder(name, where) is not None or is_offline():
        find(name, kinds, where, texts=texts)
        return
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    repo = name.partition("@")[0]
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise no_name(repo, where) from error


def find(name: str, kinds: Collection[str], where: str, *, texts: bool = False) -> Checkpoint:
    """A checkpoint with all its files on this machine, fetched if need be.

    Args:
        name: `owner/name`, `owner/name@revision` or a folder.
        kinds: `model_type`s that the tool can use.
        where: the option that names it.
        texts: True if it must have a tokenizer.

    Raises:
        WeightsError: it cannot be had, files are missing, or it is of another kind.
    """
    folder = _folder(name, where)
    repo = revision = ""
    if folder is None:
        repo, _, revision = name.partition("@")
        folder = fetch(
            repo,
            [*SETTINGS, INDEX],
            revision=revision or None,
            where=where,
            missing=[CONFIG, IMAGES[0], *TEXTS[: int(texts)], WEIGHTS],
        )
    mend = "Name a folder that transformers saved a model in"
    if repo:
        mend = f"With a network {getting(repo, revision)}; or choose another repository"
    _require(folder, [[CONFIG]], where, mend)
    kind = _kind(folder, kinds, where)
    if repo:
        names = [path.name for path in _weights(folder, where)]
        folder = fetch(repo, [*SETTINGS, INDEX, *names], revision=revision or None, where=where)
    files = _weights(folder, where)
    wanted = [[path.name] for path in files]
    wanted += [list(IMAGES), list(TEXTS)] if texts else [list(IMAGES)]
    _require(folder, wanted, where, mend)
    return Checkpoint(where, folder, repo, kind, files)


def _folder(name: str, where: str) -> Path | None:
    """The folder of that name; None for a name of the Hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_absolute() or name.startswith((".", "~")):
        mend = "Check the path, which is relative to the recipe"
        raise WeightsError(f"there is no folder {path}", where=where, mend=mend)
    return None


def _require(folder: Path, wanted: Sequence[Sequence[str]], where: str, mend: str) -> None:
    """See that of each group of files one is there."""
    missing = [
        " or ".join(names) for names in wanted if not any((folder / n).is_file() for n in names)
    ]
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)}", where=where, mend=mend)


def _kind(folder: Path, kinds: Collection[str], where: str) -> str:
    found = str(_read(folder / CONFIG, where).get("model_type"))
    if found not in kinds:
        what = f"{folder} is a checkpoint of the kind {found!r}, which it cannot be"
        raise WeightsError(what, where=where, mend=f"Name one of the kind {' or '.join(kinds)}")
    return found


def _weights(folder: Path, where: str) -> tuple[Path, ...]:
    """Where the weights are, or would be."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return (folder / WEIGHTS,)
    shards = _read(index, where).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise WeightsError(f"{index} names no files", where=where, mend="Fetch it again")
    return tuple(folder / name for name in sorted(set(map(str, shards.values()))))


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read", where=where, mend="Fetch it again") from error
    return content if isinstance(content, dict) else {}
