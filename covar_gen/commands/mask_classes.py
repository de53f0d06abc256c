"""Lists of classes that annotations of masks number: ImageNet-S's three, and one's own."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.commands.mask_files import read_annotation
from covar_gen.core.errors import LabelsError
from covar_gen.core.shipped import shipped
from covar_gen.evaluation.metrics.mask_overlap import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = ("919", "300", "50")
"""Numbers of classes of ImageNet-S's three class lists, which number the same wnids differently."""

MERGED = {
    "n04356056": "n04355933",
    "n04493381": "n02808440",
    "n03642806": "n03832673",
    "n04008634": "n03773504",
    "n03887697": "n15075141",
}
"""Classes of ImageNet that ImageNet-S annotates as another one. Source: its README."""


def class_lists(asked: str | None) -> dict[str, dict[str, int]]:
    """Lists of classes with their ids: the one that is asked for, or ImageNet-S's three.

    Args:
        asked: 919, 300, 50, or a CSV with the columns `class` (or `wnid`) and `id`; None: all
            three of ImageNet-S.

    Returns:
        Name -> class -> id, from 1 to 999. Of classes that share an id, those that ImageNet-S
        merged, the first is the one that it is annotated as.

    Raises:
        LabelsError: no such list, or the file is none.
    """
    if asked is not None and asked not in SIZES:
        return {asked: _own_list(Path(asked))}
    with (shipped("manifests") / "imagenet" / "imagenet-s.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lists = {}
    for size in SIZES if asked is None else [asked]:
        numbers = {row["wnid"]: int(row[f"id_{size}"]) for row in rows if row[f"id_{size}"]}
        merged = {old: numbers[new] for old, new in MERGED.items() if new in numbers}
        lists[size] = {**numbers, **merged}
    return lists


def _own_list(path: Path) -> dict[str, int]:
    mend = "Give 919, 300 or 50, or a CSV with the columns class and id"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            column = next((n for n in ("class", "wnid") if n in (reader.fieldnames or ())), None)
            if column is None or "id" not in (reader.fieldnames or ()):
                raise LabelsError("no columns class and id", where=path, mend=mend)
            rows = [(str(row[column]).strip(), str(row["id"]).strip()) for row in reader]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise LabelsError("no such list of classes", where=path, mend=mend) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelsError("not a CSV in UTF-8", where=path, mend=mend) from error
    found: dict[str, int] = {}
    for name, number in rows:
        if not number.isascii() or not number.isdigit() or not 0 < int(number) < IGNORE:
            what = f"class {name!r} has the id {number!r}"
            raise LabelsError(what, where=path, mend=f"Give whole numbers from 1 to {IGNORE - 1}")
        if found.setdefault(name, int(number)) != int(number):
            what = f"class {name!r} has two ids"
            raise LabelsError(what, where=path, mend="Give each class one line")
    if not found:
        raise LabelsError("the list of classes is empty", where=path, mend=mend)
    return found


def fitting_list(
    lists: Mapping[str, Mapping[str, int]],
    examples: Sequence[tuple[Path, str | None]],
    read: Callable[[Path], NDArray[np.uint16]] = read_annotation,
) -> str:
    """The list under which most annotations hold the class that their image is known by.

    Args:
        lists: name -> class -> id.
        examples: annotations, each with its image's class where that is known.
        read: gives an annotation's ids.

    Raises:
        LabelsError: no list fits any of them.
    """
    fits = dict.fromkeys(lists, 0)
    told = 0
    for path, label in examples:
        if label is None:
            continue
        told += 1
        there = set(np.flatnonzero(np.bincount(read(path).ravel())).tolist())
        for name, ids in lists.items():
            fits[name] += ids.get(label) in there
    best = max(fits, key=lambda name: fits[name])
    if len(lists) > 1 and told and not fits[best]:
        what = f"none of {told} annotations holds its image's class under any list of ImageNet-S"
        mend = "Say which list the ids are of: --classes 919, 300, 50, or a CSV of class and id"
        raise LabelsError(what, where=examples[0][0].parent, mend=mend)
    return best
