"""Which images stand in which row and column of the gallery, and which rows are shown.

Works on Arrow and NumPy columns only, so that a manifest of 396,000 rows is never turned into
Python objects; only what is shown is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

ORDER = (
    "original",
    "bg_varied",
    "hflip",
    "vflip",
    "crop",
    "rotation",
    "translate",
    "viewpoint",
    "scale",
)
"""The subsets of the benchmark as their columns follow each other; a user's own come after."""

HEADS = ("original", "bg_varied")
"""Subsets whose images can be a row's base image."""

_DEEPEST = 16
"""Longest chain of variants of variants that is followed to its base image."""


@dataclass(frozen=True)
class Column:
    """One column of the gallery.

    Attributes:
        name: last part of the keys in it (`scale_8`), or the subset's name.
        subset: the subset it belongs to; several columns may share one.
    """

    name: str
    subset: str

    @property
    def label(self) -> str:
        """The header: a subset's own name, or `scale 8`, `viewpoint 2`."""
        return self.name if self.name == self.subset else self.name.replace("_", " ")


@dataclass(frozen=True)
class Layout:
    """Where everything stands. All numbers of images are places in the manifest.

    Attributes:
        columns: from left to right.
        images: int64 (N,), images shown, row by row and from left to right.
        row: int64 (N,), gallery row of each image; that of its first use for a reference.
        column: int64 (N,), place in `columns` of each image.
        base: int64 (R,), the base image of each gallery row.
        reference: int64 (R,), the source photograph shown small at the row's start; -1 where
            there is none. All -1 in a run without changed backgrounds, where the source
            photograph is the base image and has a column like any other.
        total: base images in the manifest, shown or not.
    """

    columns: list[Column]
    images: Numbers
    row: Numbers
    column: Numbers
    base: Numbers
    reference: Numbers
    total: int


def lay_out(manifest: pa.Table, rows: int | None) -> Layout:
    """Arrange a manifest as one row per base image.

    A base image is an image before a changed background; where a source photograph has none,
    the photograph itself. Each other image stands in the row of its nearest base image.

    Args:
        manifest: the columns key, parent and subset; class_id, class_name and background_id
            decide the sample.
        rows: most rows to show, sampled by `spread`; None for all.
    """
    is_original = _equal(manifest, "subset", "original")
    is_changed = _equal(manifest, "subset", "bg_varied")
    parent = _parents(manifest)
    home = _homes(parent, is_original | is_changed)
    base, source = _bases(parent, home, is_original, is_changed)
    place_of = _ranks(manifest)
    base = base[np.argsort(place_of[base])]
    total = len(base)
    if rows is not None and total > rows:
        classes, backgrounds = _codes(manifest, base)
        base = base[spread(classes, backgrounds, rows)]
    reference = source[base] if is_changed.any() else np.full(len(base), -1, np.int64)
    row_of = np.full(manifest.num_rows + 1, -1, np.int64)
    row_of[base] = np.arange(len(base))
    # Backwards, so that a source photograph counts to the first row that shows it.
    first_row = np.full(manifest.num_rows + 1, -1, np.int64)
    first_row[reference[::-1]] = np.arange(len(base))[::-1]
    row = np.where(first_row[:-1] >= 0, first_row[:-1], row_of[home])
    images = np.flatnonzero(row >= 0)
    names = _numbered_views(
        _column_names(manifest.take(pa.array(images))), row[images], place_of[images]
    )
    columns = sorted(set(names), key=_left_to_right)
    number = {column: place for place, column in enumerate(columns)}
    column = np.array([number[name] for name in names], np.int64)
    order = np.lexsort((place_of[images], column, row[images]))
    images = images[order]
    return Layout(columns, images, row[images], column[order], base, reference, total)


def spread(classes: Numbers, backgrounds: Numbers, count: int) -> Numbers:
    """An even, fixed sample over classes and backgrounds.

    Walks the table of classes by backgrounds along its diagonals: each step takes one image of
    every class, each with another background than the step before; when every pair has had its
    turn, the next photograph of each follows. A last, incomplete step is spread over the classes.

    Args:
        classes: int64 (N,), number of each base image's class from 0.
        backgrounds: int64 (N,), number of its background from 0.
        count: how many to choose, at most N.

    Returns:
        int64 (count,), places in ascending order.
    """
    if count >= len(classes):
        return np.arange(len(classes))
    wide = int(backgrounds.max(initial=0)) + 1
    order = np.argsort(classes * wide + backgrounds, kind="stable")
    classes, backgrounds = classes[order], backgrounds[order]
    _, start, size = np.unique(classes * wide + backgrounds, return_index=True, return_counts=True)
    within = np.arange(len(order)) - np.repeat(start, size)
    # Turned by the background, so that one class's backgrounds show different photographs.
    turn = (within + backgrounds) % np.repeat(size, size)
    step = turn * wide + (backgrounds - classes) % wide
    walk = np.lexsort((classes, step))
    steps = step[walk]
    first, end = (
        np.searchsorted(steps, steps[count], "left"),
        np.searchsorted(steps, steps[count], "right"),
    )
    rest = count - first
    last = first + np.arange(rest) * (end - first) // max(rest, 1)
    return np.sort(order[walk[np.concatenate([np.arange(first), last])]])


def _equal(manifest: pa.Table, name: str, value: str) -> NDArray[np.bool_]:
    found = pc.fill_null(pc.equal(manifest[name], value), fill_value=False)
    return np.asarray(found.to_numpy(), np.bool_)


def _parents(manifest: pa.Table) -> Numbers:
    """Place of each row's parent in the manifest; -1 where there is none."""
    keys = manifest["key"].cast(pa.large_string()).combine_chunks()
    found = pc.index_in(manifest["parent"].cast(pa.large_string()), value_set=keys)
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


def _homes(parent: Numbers, is_head: NDArray[np.bool_]) -> Numbers:
    """The base image to which each row belongs, itself where its ancestors are not there."""
    home = np.arange(len(parent))
    for _ in range(_DEEPEST):
        climbing = ~is_head[home] & (parent[home] >= 0)
        if not climbing.any():
            break
        home = np.where(climbing, parent[home], home)
    return home


def _bases(
    parent: Numbers,
    home: Numbers,
    is_original: NDArray[np.bool_],
    is_changed: NDArray[np.bool_],
) -> tuple[Numbers, Numbers]:
    """Base images, and for each row of the manifest its source photograph as a base image."""
    has_changed = np.zeros(len(parent), np.bool_)
    has_changed[parent[is_changed & (parent >= 0)]] = True
    is_base = is_changed | (is_original & ~has_changed)
    is_base[home[~is_original & ~is_changed]] = True
    source = np.where(is_original, np.arange(len(parent)), np.where(is_changed, parent, -1))
    return np.flatnonzero(is_base), source


def _ranks(manifest: pa.Table) -> Numbers:
    """Place of each row when sorted by key."""
    order = pc.sort_indices(manifest["key"].cast(pa.large_string())).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _codes(manifest: pa.Table, places: Numbers) -> tuple[Numbers, Numbers]:
    """Numbers from 0 for the class and the background of these rows, in the order of their ids."""
    chosen = pa.array(places)
    codes = []
    for names in (("class_id", "class_name"), ("background_id", "background")):
        name = next((name for name in names if name in manifest.column_names), None)
        if name is None:
            codes.append(np.zeros(len(places), np.int64))
            continue
        rank = pc.rank(manifest[name].take(chosen).combine_chunks(), tiebreaker="dense")
        codes.append(np.asarray(rank.to_numpy(), np.int64) - 1)
    return codes[0], codes[1]


def _column_names(shown: pa.Table) -> list[Column]:
    subsets = shown["subset"].to_pylist()
    factors = (
        shown["scale_factor"].to_pylist()
        if "scale_factor" in shown.column_names
        else [None] * len(subsets)
    )
    return [
        _column_name(key, str(subset), factor)
        for key, subset, factor in zip(shown["key"].to_pylist(), subsets, factors, strict=True)
    ]


def _column_name(key: str, subset: str, factor: float | None) -> Column:
    tail = key.rpartition("/")[2]
    if subset not in HEADS and tail.startswith(f"{subset}_"):
        return Column(tail, subset)
    if subset == "scale" and factor is not None:
        return Column(f"scale_{factor:g}", subset)
    return Column(subset, subset)


def _numbered_views(names: list[Column], row: Numbers, place: Numbers) -> list[Column]:
    """Views numbered within their row: which of many poses was drawn differs from row to row."""
    found = list(names)
    seen: Counter[int] = Counter()
    for index in np.argsort(place):
        if names[index].subset == "viewpoint":
            seen[int(row[index])] += 1
            found[index] = Column(f"viewpoint_{seen[int(row[index])]}", "viewpoint")
    return found


def _left_to_right(column: Column) -> tuple[int, str, list[tuple[int, str]]]:
    known = ORDER.index(column.subset) if column.subset in ORDER else len(ORDER)
    # Digits count as numbers: scale_8 stands before scale_10.
    parts = re.split(r"(\d+)", column.name)
    return (
        known,
        column.subset,
        [(int(part), "") if part.isdecimal() else (-1, part) for part in parts],
    )
