"""A folder with one sub-folder of photographs per class; ImageNet's folders are of this kind."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from covar_gen.core.arrays import Json
from covar_gen.core.errors import PhotographsError
from covar_gen.sources.base import PathOptions, Photograph, Source, digest_of_files

SIDECARS = frozenset({".csv", ".json", ".jsonl", ".md", ".parquet", ".txt", ".xml"})
"""Endings of files that lie beside photographs and describe them: passed over. Every other file
is taken for a photograph; one that turns out to be none becomes a rejected row."""

LITTER = frozenset({"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})
"""Files and folders that operating systems leave behind, in lower case: passed over, as are all
names with a leading dot."""

_WNID = re.compile(r"n\d{8}")


class Folder(Source):
    """Photographs sorted into class folders, at any depth below them.

    A class folder's name (a name or a wnid) is the label. Links are followed; a link to nothing
    or to itself is a photograph that cannot be read.
    """

    Options = PathOptions
    options: PathOptions

    @property
    def root(self) -> Path:
        """The source folder."""
        return Path(self.options.path).expanduser()

    def identity(self) -> dict[str, Json]:
        """Name and version: where the folder lies decides nothing, its content has a digest."""
        return {"plugin": self.name(), "version": self.version, "options": {}}

    def labels(self) -> list[str]:
        """Names of the class folders, sorted.

        Raises:
            PhotographsError: no such folder, no class folder in it, or no photograph in those.
        """
        folders = self._folders()
        for label, folder in folders.items():
            if _holds_classes(folder):
                what = f"its sub-folder {label!r} is no class: it holds class folders"
                mend = "Give that sub-folder as [classes] path"
                raise PhotographsError(what, where=self.root, mend=mend)
        if not any(next(self._files(folder), None) for folder in folders.values()):
            what = f"none of the {len(folders)} class folders holds a photograph"
            mend = "Put each class's photographs into its folder"
            raise PhotographsError(what, where=self.root, mend=mend)
        return sorted(folders)

    def photographs(self, labels: Sequence[str], seed: int) -> Iterator[Photograph]:  # noqa: ARG002
        """Photographs of these labels, by path; the seed plays no part.

        Raises:
            PhotographsError: a label has no folder, or a folder cannot be opened.
        """
        for label, folder in self._chosen(labels):
            for origin, path in sorted(self._files(folder)):
                yield Photograph(label, PurePosixPath(origin).stem, origin, path.read_bytes)

    def digest(self, labels: Sequence[str]) -> str:
        """SHA-256 over relative paths and contents; of files that cannot be read, the paths.

        Raises:
            PhotographsError: a label has no folder, or a folder cannot be opened.
        """
        files = [item for _, folder in self._chosen(labels) for item in self._files(folder)]
        readable = [item for item in files if _opens(item[1])]
        content = digest_of_files(readable)
        broken = sorted({origin for origin, _ in files} - {origin for origin, _ in readable})
        if not broken:
            return content
        return hashlib.sha256("\0".join([content, *broken]).encode()).hexdigest()

    def _folders(self) -> dict[str, Path]:
        """Class folders by label."""
        root = self.root
        if not root.exists():
            mend = "Check [classes] path in the recipe"
            raise PhotographsError("no such folder", where=root, mend=mend)
        if not root.is_dir():
            mend = "Give the folder that holds the class folders as [classes] path"
            raise PhotographsError("not a folder", where=root, mend=mend)
        folders = {_text(path.name): path for path in _listed(root) if _kind(path) == "folder"}
        if not folders:
            mend = "Put each class's photographs into a sub-folder named like the class"
            raise PhotographsError("no class folders in it", where=root, mend=mend)
        return folders

    def _chosen(self, labels: Sequence[str]) -> list[tuple[str, Path]]:
        folders = self._folders()
        for label in labels:
            if label not in folders:
                mend = "Correct the class's label in the recipe, or add the folder"
                raise PhotographsError(f"no class folder {label!r}", where=self.root, mend=mend)
        return [(label, folders[label]) for label in labels]

    def _files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Origin and path of every photograph below a class folder."""
        root = self.root
        for path in _walk(folder, frozenset({_place(root), _place(folder)})):
            yield _text(path.relative_to(root).as_posix()), path


def _holds_classes(folder: Path) -> bool:
    """True for a folder like ImageNet's train, which holds folders named by wnids only."""
    inner = _listed(folder)
    first = next(inner, None)
    if first is None or not _WNID.fullmatch(first.name) or _kind(first) != "folder":
        return False
    return all(_WNID.fullmatch(path.name) and _kind(path) == "folder" for path in inner)


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Photographs below a folder; one that holds itself, by a link, is not entered again."""
    for path in _listed(folder):
        kind = _kind(path)
        if kind == "folder":
            if _place(path) not in above:
                yield from _walk(path, above | {_place(path)})
        elif kind in ("file", "broken") and path.suffix.lower() not in SIDECARS:
            yield path


def _place(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, whatever the link that leads to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _kind(path: Path) -> Literal["folder", "file", "broken", "special"]:
    """What lies there, links followed; broken: a link to nothing or to itself."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "broken"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "special"


def _listed(folder: Path) -> Iterator[Path]:
    """Entries of a folder by name, without hidden ones and litter."""
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        mend = "Give read permission on the folder, or leave it out"
        what = f"the folder cannot be opened: {error.strerror}"
        raise PhotographsError(what, where=folder, mend=mend) from error
    for path in paths:
        if not path.name.startswith(".") and path.name.lower() not in LITTER:
            yield path


def _opens(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False


def _text(name: str) -> str:
    """A file name as text; bytes that are no UTF-8 become hexadecimal escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
