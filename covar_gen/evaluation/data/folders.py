"""Folders of image files, with or without a table that describes them.

    ROOT/[split/]class/.../photo.jpg          folders tell: ImageNet, CounterAnimal, NICO
    ROOT/[split/]metadata.csv and the photos  a table tells: Waterbirds, `imagefolder`

These folders are read here and not by `datasets`, which guesses splits from words inside file
names and takes the innermost folder for the class.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.errors import PhotographsError
from covar_gen.core.opening import LABEL_COLUMNS
from covar_gen.evaluation.data import base
from covar_gen.evaluation.data.base import Data
from covar_gen.evaluation.data.walking import (
    ENDINGS,
    SPLITS,
    Files,
    ending_of,
    files_below,
    files_named,
    folders_below,
    split_folder,
)

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Files that describe the images beside and below them; the first that is there is read."""

FILE_NAME = "file_name"
"""The column of paths, where the user names none."""


class _Found(NamedTuple):
    files: Files
    label: pa.Array
    others: dict[str, pa.Array]


class FolderData(Data):
    """Image files below a folder, in the order of their paths."""

    def __init__(self, place: str, root: Path, given: Mapping[str, str | None]) -> None:
        self.place = place
        self._root = os.fsencode(root)
        for option in ("name", "revision"):
            if given[option] is not None:
                what = f"a folder of image files has no {option}"
                raise PhotographsError(what, where=place, mend=f"Leave out --{option}")
        split = None
        if _table(root) is not None:
            found = _described(root, "", given)
        else:
            split = split_folder(root, given["split"], place)
            inside = split[0] if split else ""
            if _table(root / inside) is not None:
                found, split = _described(root, inside, given), None
            else:
                found = _sorted(root, inside, given, place)
        paths = found.files.text
        numbers, self.labels = base.numbered(pa.chunked_array([found.label]), place)
        others = base.factors(found.others)
        # Where the sources of this project say that an image was: `folder` names the path of a
        # class folder's file, `datasets` the row of a split.
        others["origin"] = base.row_origins(split[1], len(paths)) if split else paths
        self.rows = base.table(base.safe_keys(paths), numbers, others)
        self._raw = found.files.raw
        content = base.digest_of(paths, found.label, found.files.size)
        self.identity = {"kind": "folder", "images": len(paths), "content": content}

    def read(self, row: int) -> bytes:
        """The image file of a row."""
        return Path(os.fsdecode(self._root + b"/" + self._raw[row].as_py())).read_bytes()


def holds_images(root: Path) -> bool:
    """True for a folder of image files; with Parquet or Arrow files in it, it is a data set.

    Raises:
        PhotographsError: a folder in it cannot be opened.
    """
    endings: set[bytes] = set()
    for _, names in folders_below(os.fsencode(root)):
        tables = map(os.fsencode, TABLES)
        endings.update(ending_of(name) for name in set(names).difference(tables))
    return not endings & {b".parquet", b".arrow"} and bool(endings & ENDINGS)


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _sorted(root: Path, inside: str, given: Mapping[str, str | None], where: str) -> _Found:
    """Files whose folders are their labels; of nested ones each level is a column `folder_1`..."""
    if given["image_column"] is not None:
        what = f"--image-column: the folder has no table ({', '.join(TABLES)})"
        raise PhotographsError(what, where=where, mend="Leave out --image-column")
    files = files_below(root, inside)
    if not len(files.raw):
        mend = "Give the folder that holds the class folders"
        raise PhotographsError("there is no image file in it", where=where, mend=mend)
    levels = _levels(files.text, inside)
    label = given["label_column"] or _class_level(levels, where)
    if label not in levels:
        mend = f"Give --label-column one of: {', '.join(levels) or 'none'}"
        raise PhotographsError(f"no level {label!r} of folders", where=where, mend=mend)
    others = {name: column for name, column in levels.items() if name != label}
    return _Found(files, levels[label], others)


def _levels(paths: pa.Array, inside: str) -> dict[str, pa.Array]:
    """The folders of each path, from the outermost: `folder_1`, ...; null below the last."""
    if inside:
        paths = pc.utf8_slice_codeunits(paths, len(inside) + 1)
    parts = pc.split_pattern(paths, "/")
    depths = pc.subtract(pc.list_value_length(parts), 1)
    found = {}
    for level in range(pc.max(depths).as_py() or 0):
        reaches = pc.greater(depths, level)
        # A path that does not reach so far has its file name there.
        padded = pc.if_else(reaches, parts, pa.scalar([""] * (level + 1), parts.type))
        found[f"folder_{level + 1}"] = pc.if_else(reaches, pc.list_element(padded, level), None)
    return found


def _class_level(levels: dict[str, pa.Array], where: str) -> str:
    """The level of folders that are the classes.

    Raises:
        PhotographsError: no level, or several could be.
    """
    whole = {name: column for name, column in levels.items() if not column.null_count}
    if not whole:
        mend = "Put each class's images into a folder named like the class"
        raise PhotographsError("an image lies in no class folder", where=where, mend=mend)
    telling = [name for name, column in whole.items() if pc.count_distinct(column).as_py() > 1]
    if len(telling) > 1:
        shown = " or ".join(f"{name} ({levels[name][0].as_py()}, ...)" for name in telling)
        what = f"its folders are nested, and several levels could be the classes: {shown}"
        mend = f"Give --label-column one of: {', '.join(levels)}"
        raise PhotographsError(what, where=where, mend=mend)
    return telling[0] if telling else next(iter(whole))


def _described(root: Path, inside: str, given: Mapping[str, str | None]) -> _Found:
    """Files that a table names, with its other columns."""
    beside = root / inside
    path = _table(beside)
    assert path is not None
    rows = _read(path)
    if not inside:
        rows = _of_split(rows, given["split"], path)
    names = _path_column(rows, given["image_column"], beside, path)
    files = rows[names].combine_chunks().cast(pa.string())
    if files.null_count or pc.any(pc.starts_with(files, "/")).as_py():
        what = f"column {names!r} has rows without a path, or with one that begins with /"
        mend = "Write the path of each image, relative to the table"
        raise PhotographsError(what, where=path, mend=mend)
    order = pc.sort_indices(files)
    files, rows = files.take(order), rows.take(order)
    if pc.count_distinct(files).as_py() != len(files):
        mend = "Leave one row for each image"
        raise PhotographsError("an image has several rows", where=path, mend=mend)
    columns = {name: rows[name].combine_chunks() for name in rows.column_names if name != names}
    columns = _levels(files, "") | columns
    label = given["label_column"] or next((n for n in LABEL_COLUMNS if n in columns), None)
    if label is None or label not in columns or not base.labels(columns[label].type):
        what = f"no column {label!r} of labels" if label else "no column of labels"
        there = ", ".join(name for name, column in columns.items() if base.labels(column.type))
        mend = f"Give --label-column one of: {there}"
        raise PhotographsError(what, where=path, mend=mend)
    if inside:
        files = pc.binary_join_element_wise(inside, files, "/")
    return _Found(files_named(root, files), columns.pop(label), columns)


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix == ".csv":
            from pyarrow import csv

            nothing = csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
            return csv.read_csv(path, convert_options=nothing)
        if path.suffix == ".jsonl":
            from pyarrow import json

            return json.read_json(path)
        from pyarrow import parquet

        return parquet.read_table(path)
    except pa.ArrowException as error:
        said = next(iter(str(error).splitlines()), "")[:200]
        mend = "Correct the table, or take it away"
        raise PhotographsError(f"cannot be read ({said})", where=path, mend=mend) from error


def _of_split(rows: pa.Table, wanted: str | None, path: Path) -> pa.Table:
    """Rows of a split by column `split`; without a wish that is the first of `SPLITS`.

    Splits that are not called by these names are all kept: nothing tells which is which.
    """
    if "split" not in rows.column_names:
        if wanted is not None:
            mend = "Leave out --split"
            raise PhotographsError("the table has no column `split`", where=path, mend=mend)
        return rows
    values = rows["split"].cast(pa.string())
    there = sorted(value for value in values.unique().to_pylist() if value is not None)
    if wanted is None:
        known = [name for aliases in SPLITS.values() for name in aliases]
        if not there or not set(there) <= set(known):
            return rows
        wanted = next(name for name in known if name in there)
    if wanted not in there:
        mend = f"Give --split one of: {', '.join(there)}"
        raise PhotographsError(f"no split {wanted!r} in the table", where=path, mend=mend)
    return rows.filter(pc.equal(values, wanted))


def _path_column(rows: pa.Table, wanted: str | None, beside: Path, path: Path) -> str:
    """The column of the images' paths: the one named, `file_name`, or the only one that is."""
    words = [name for name in rows.column_names if "string" in str(rows[name].type)]
    if wanted is None and FILE_NAME in words:
        return FILE_NAME
    found = [wanted] if wanted is not None else [n for n in words if _names_file(rows[n], beside)]
    if len(found) != 1 or found[0] not in words:
        what = f"no column {wanted!r} of paths" if wanted else "no column `file_name`"
        mend = f"Give --image-column one of: {', '.join(words) or 'none'}"
        raise PhotographsError(what, where=path, mend=mend)
    return found[0]


def _names_file(column: pa.ChunkedArray, beside: Path) -> bool:
    first = column[0].as_py() if len(column) else None
    return first is not None and (beside / first).is_file()
