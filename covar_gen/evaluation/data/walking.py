"""Image files below a folder: their paths, their sizes, and the folders of splits among them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.errors import PhotographsError

ENDINGS = frozenset(
    [b".avif", b".bmp", b".gif", b".heic", b".jfif", b".jp2", b".jpe", b".jpeg", b".jpg", b".pgm",
     b".png", b".pnm", b".ppm", b".tif", b".tiff", b".webp"]
)  # fmt: skip
"""Endings of image files, in lower case; files with others are passed over."""

SPLITS = {
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
    "train": ("train", "training"),
}
"""Splits in the order in which they are looked for, with the names that their folders bear."""

_LITTER = frozenset([b"thumbs.db", b"desktop.ini", b"icon\r", b"__macosx", b"@eadir"])
_NOT_THERE = -1


@dataclass(frozen=True)
class Files:
    """Image files, in the order of their paths.

    Attributes:
        raw: binary (N,), paths inside the root as the disk has them.
        size: int64 (N,), bytes; -1 of a file that is not there.
    """

    raw: pa.Array
    size: pa.Array

    @property
    def text(self) -> pa.Array:
        """The paths as text; bytes that are no UTF-8 become hexadecimal escapes."""
        try:
            return self.raw.cast(pa.string())
        except pa.ArrowInvalid:
            shown = (path.decode("utf-8", "backslashreplace") for path in self.raw.to_pylist())
            return pa.array(list(shown), pa.string())


def files_below(root: Path, inside: str) -> Files:
    """All image files below a folder of the root; links are followed, hidden files are not seen.

    Raises:
        PhotographsError: a folder cannot be opened.
    """
    start = os.fsencode(root)
    paths, sizes = [], []
    for folder, names in folders_below(os.path.join(start, os.fsencode(inside))):  # noqa: PTH118 - bytes
        found = [name for name in names if ending_of(name) in ENDINGS]
        within = os.path.relpath(folder, start)
        places = [name if within == b"." else within + b"/" + name for name in found]
        paths.append(pa.array(places, pa.binary()))
        sizes.append(pa.array([_size(start + b"/" + place) for place in places], pa.int64()))
    raw = pa.chunked_array(paths, pa.binary()).combine_chunks()
    size = pa.chunked_array(sizes, pa.int64()).combine_chunks()
    order = pc.sort_indices(raw)
    return Files(raw.take(order), size.take(order))


def files_named(root: Path, paths: pa.Array) -> Files:
    """The files of these paths inside the root, in this order, whether they are there or not."""
    start = os.fsencode(root)
    raw = paths.cast(pa.binary())
    sizes = (_size(start + b"/" + place.as_py()) for place in raw)
    return Files(raw, pa.array(sizes, pa.int64()))


def split_folder(root: Path, wanted: str | None, where: str) -> tuple[str, str] | None:
    """The folder of a split, and the split's name.

    Args:
        root: of the data.
        wanted: what the user asked for; None: the first of `SPLITS`, if all folders are splits.
        where: the data, for messages.

    Returns:
        None: the root has no folders of splits, and none was asked for.

    Raises:
        PhotographsError: there is no such split.
    """
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    known = {alias: split for split, aliases in SPLITS.items() for alias in aliases}
    there = {name: known.get(name.lower()) for name in names}
    if wanted is not None:
        meant = known.get(wanted.lower(), wanted)
        found = [name for name in names if name == wanted]
        found = found or [name for name in names if there[name] == meant]
        if not found:
            some = ", ".join(name for name in names if there[name]) or "none"
            what = f"no folder of split {wanted!r}"
            mend = f"Give --split one of: {some}" if some != "none" else "Leave out --split"
            raise PhotographsError(what, where=where, mend=mend)
        return found[0], meant
    if not names or None in there.values():
        return None
    return next((name, split) for split in SPLITS for name in names if there[name] == split)


def ending_of(name: bytes) -> bytes:
    """A file name's ending with its dot, in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - bytes


def folders_below(
    folder: bytes, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[bytes, list[bytes]]]:
    """A folder and every one below it, with the names of its files; links are followed.

    A folder that holds itself, by a link, is not entered again; hidden ones never.

    Raises:
        PhotographsError: a folder cannot be opened.
    """
    status = os.stat(folder)  # noqa: PTH116 - bytes
    place = (status.st_dev, status.st_ino)
    if place in above:
        return
    try:
        entries = [e for e in os.scandir(folder) if not _is_hidden(e.name)]
    except OSError as error:
        mend = "Give read permission on the folder, or leave it out"
        what = f"the folder cannot be opened: {error.strerror}"
        where = os.fsdecode(folder)
        raise PhotographsError(what, where=where, mend=mend) from error
    folders = [entry.path for entry in entries if entry.is_dir()]
    yield folder, [entry.name for entry in entries if not entry.is_dir()]
    for inner in folders:
        yield from folders_below(inner, above | {place})


def _is_hidden(name: bytes) -> bool:
    return name.startswith(b".") or name.lower() in _LITTER


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - bytes
    except OSError:
        return _NOT_THERE
