"""Whether a folder is a whole release, before any of it is taken for a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from covar_gen.core.errors import ReleaseFolderError, some
from covar_gen.core.store import PUBLISHING, RELEASE

CARD = "README.md"
"""The file of a release that says which of its tables are one configuration."""
NO_IMAGES = ("masks", "manifest")
"""Configurations of a release that no image is read from."""


def check_release(folder: Path, *names: str) -> None:
    """See that a folder is no release, or one that holds all that is to be read of it.

    A release whose other configurations were not copied is none the worse for it.

    Args:
        folder: any folder.
        names: the configurations that are to be read; none: every one with images.

    Raises:
        ReleaseFolderError: it is not finished, its release.json is damaged, or files are missing
            or of another size.
    """
    index = folder / RELEASE
    if not index.is_file():
        _check_beginning(folder)
        return
    known = _files(index)
    there = {path: _is_there(folder / path, size) for path, size, _ in known}
    whole: dict[str, bool] = {}
    for path, _, configuration in known:
        if configuration:
            whole[configuration] = whole.get(configuration, True) and there[path]
    wanted = set(names) & set(whole) or set(whole) - set(NO_IMAGES)
    wrong = [p for p, _, c in known if (p == CARD or c in wanted) and not there[p]]
    if wrong:
        what = f"the release is incomplete; missing or cut short: {some(wrong)}"
        alone = [name for name in whole if whole[name] and name not in NO_IMAGES]
        if alone and not names and there[CARD]:
            mend = f"Copy or download these files again, or read a whole part: --name {alone[0]}"
            raise ReleaseFolderError(what, where=folder, mend=mend)
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


def _files(index: Path) -> list[tuple[str, int, str]]:
    """Path, size and configuration of each file; those of none have ''."""
    try:
        files: list[dict[str, Any]] = json.loads(index.read_bytes())["files"]
        told = [(str(entry["path"]), int(entry["bytes"]), "rows" in entry) for entry in files]
    except (ValueError, TypeError, KeyError) as error:
        mend = "Copy or download it again"
        raise ReleaseFolderError("the file is damaged", where=index, mend=mend) from error
    return [
        (path, size, path.split("/")[1] if rows and path.count("/") > 1 else "")
        for path, size, rows in told
    ]


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
