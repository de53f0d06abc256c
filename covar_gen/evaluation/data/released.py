"""Whether a folder is a whole release, before any of it is taken for a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from covar_gen.core.errors import ReleaseFolderError
from covar_gen.core.store import PUBLISHING, RELEASE

CARD = "README.md"
"""The file of a release that says which of its tables are one configuration."""
NO_IMAGES = ("masks", "manifest")
"""Configurations of a release that no image is read from."""
_SHOWN = 3


def check_release(folder: Path, name: str | None = None) -> None:
    """See that a folder is no release, or one that holds all that is to be read of it.

    A release whose other configurations were not copied is none the worse for it.

    Args:
        folder: any folder.
        name: the configuration that is to be read; None: every one with images.

    Raises:
        ReleaseFolderError: it is not finished, its release.json is damaged, or files are missing
            or of another size.
    """
    index = folder / RELEASE
    if not index.is_file():
        _check_beginning(folder)
        return
    wrong = [path for path, size in _needed(index, name) if not _is_there(folder / path, size)]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        what = f"the release is incomplete; missing or cut short: {', '.join(wrong[:_SHOWN])}{more}"
        mend = "Copy or download these files again, or type the `covar-gen publish` command again"
        raise ReleaseFolderError(what, where=folder, mend=mend)


def _check_beginning(folder: Path) -> None:
    """See that a folder without release.json is not the beginning, or a part, of a release."""
    if (folder / PUBLISHING).is_dir():
        what = "the release is not finished"
        mend = "Type the `covar-gen publish` command again: it goes on from here"
        raise ReleaseFolderError(what, where=folder, mend=mend)
    if (folder / CARD).is_file():
        return
    for tables in (folder / "data", folder):
        if all(any((tables / part).glob("test-*.parquet")) for part in NO_IMAGES):
            what = f"tables of a release without its {RELEASE} and {CARD}"
            mend = "Give the whole release's folder, or one of those with tables alone"
            raise ReleaseFolderError(what, where=folder, mend=mend)


def _needed(index: Path, name: str | None) -> list[tuple[str, int]]:
    """Path and size of each file that has to be there."""
    try:
        files: list[dict[str, Any]] = json.loads(index.read_bytes())["files"]
        told = [(str(entry["path"]), int(entry["bytes"]), "rows" in entry) for entry in files]
    except (ValueError, TypeError, KeyError) as error:
        mend = "Copy or download it again"
        raise ReleaseFolderError("the file is damaged", where=index, mend=mend) from error
    tables = {path: path.split("/")[1] for path, _, rows in told if rows and path.count("/") > 1}
    wanted = {name} if name in tables.values() else set(tables.values()) - set(NO_IMAGES)
    return [
        (path, size) for path, size, _ in told if path == CARD or tables.get(path) in wanted
    ]  # fmt: skip


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
