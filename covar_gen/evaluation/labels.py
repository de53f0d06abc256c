"""Which classes an image is told apart from, and in which words: class lists and templates."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.errors import LabelsError
from covar_gen.core.imagenet import by_wnid
from covar_gen.evaluation import imagenet_lists
from covar_gen.evaluation.data.base import Label
from covar_gen.evaluation.imagenet_lists import folded
from covar_gen.evaluation.rows import CLASSES

CHOICES = ("auto", "imagenet", "imagenet-a", "imagenet-r", "labels")
"""Class lists that need no file."""

TEMPLATE_CHOICES = ("auto", "openai", "simple", "generic")
"""Sets of templates that need no file."""

GENERIC = "a photo of a {}."
"""The template for classes of one's own (Radford et al. 2021, section 3.1.4)."""

_COLUMNS = ("class_name", "label", "wnid", "imagenet_index")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassList:
    """The label set of an evaluation, and the templates that its names are put into.

    Attributes:
        names: of the C classes, as they stand in prompts.
        wnids: WordNet ids; None where there is none.
        imagenet: indices in ImageNet-1k; None outside.
        templates: each with `{}` where the name goes.
        source: `imagenet`, `imagenet-a`, `imagenet-r`, `labels`, or a file's name.
        template_source: `openai`, `simple`, `generic`, or a file's name.
        labels: what the data calls each class, where a file tells; else None.
    """

    names: tuple[str, ...]
    wnids: tuple[str | None, ...]
    imagenet: tuple[int | None, ...]
    templates: tuple[str, ...]
    source: str
    template_source: str
    labels: tuple[str | None, ...] = ()

    @property
    def groups(self) -> tuple[int, ...]:
        """For each class the index of the first class of the same name: the merged label."""
        first: dict[str, int] = {}
        return tuple(first.setdefault(name, place) for place, name in enumerate(self.names))

    def digest(self) -> str:
        """SHA-256 over names, ids and templates, in their order."""
        content = [self.names, self.wnids, self.imagenet, self.labels, self.templates]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()

    def prompts(self, index: int) -> list[str]:
        """A class's name in every template."""
        return [template.replace("{}", self.names[index]) for template in self.templates]

    def table(self) -> pa.Table:
        """The classes with the columns of covar_gen.evaluation.rows.CLASSES."""
        columns = [range(len(self.names)), self.names, self.wnids, self.imagenet, self.groups]
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, CLASSES, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=CLASSES)


def class_list(choice: str, templates: str, data_labels: Sequence[Label], where: str) -> ClassList:
    """The classes and templates that a user chose.

    Args:
        choice: one of `CHOICES`, or a file: `.txt` with one name per line, or `.csv` with a
            column class_name and, if wanted, label (what the data calls the class), wnid and
            imagenet_index. auto: the 1000 classes of ImageNet if each label of the data is one
            of them, else the data's own labels.
        templates: one of `TEMPLATE_CHOICES`, or a file with one template per line. auto: the 80
            of CLIP's authors for ImageNet's classes, else `GENERIC`.
        data_labels: the labels of the data.
        where: the data, for messages.

    Raises:
        LabelsError: no such choice or file, or the file does not hold what it should.
        MissingExtraError: open_clip or timm is needed and not installed.
    """
    if choice == "auto":
        choice = "imagenet" if _all_in_imagenet(data_labels) else "labels"
    words, template_source = _templates(templates, choice)
    if choice == "labels":
        names = tuple(_spoken(label, where) for label in data_labels)
        wnids = tuple(label.wnid for label in data_labels)
        indices = tuple(label.imagenet_index for label in data_labels)
        return ClassList(names, wnids, indices, words, choice, template_source)
    if choice in CHOICES:
        return _imagenet(choice, words, template_source)
    return _from_file(_file(choice, "--classes", CHOICES), words, template_source)


def assign(labels: Sequence[Label], classes: ClassList, where: str) -> NDArray[np.int32]:
    """The class of each label of the data.

    A label is recognised by what a class file calls it, then by its index in ImageNet, its wnid,
    and its name, whatever its case.

    Args:
        labels: of the data.
        classes: the label set.
        where: the data, for messages.

    Returns:
        int32 (L,): indices in the class list.

    Raises:
        LabelsError: labels that are no class, or a name that two classes bear.
    """
    if classes.source == "labels" and len(classes.names) == len(labels):
        return np.arange(len(labels), dtype=np.int32)
    finder = _Finder(classes)
    found = [finder.places(label) for label in labels]
    missing = [label.name for label, places in zip(labels, found, strict=True) if not places]
    several = [(label, places) for label, places in zip(labels, found, strict=True) if places[1:]]
    mend = "Give --classes labels to take the classes from the data, or a file"
    if missing:
        some = ", ".join(repr(name) for name in missing[:3]) + (", ..." if missing[3:] else "")
        are = f"label {some} is" if not missing[1:] else f"{len(missing)} labels ({some}) are"
        what = f"{are} not among the {len(classes.names)} classes ({classes.source})"
        raise LabelsError(what, where=where, mend=mend)
    if several:
        label, places = several[0]
        both = " and ".join(map(str, places))
        what = f"label {label.name!r} could be each of the classes {both} ({classes.source})"
        mend = "Give --classes a CSV file with the columns class_name and label, or use wnids"
        raise LabelsError(what, where=where, mend=mend)
    return np.array([places[0] for places in found], np.int32)


class _Finder:
    """Places in a class list by all that a label can be recognised by."""

    def __init__(self, classes: ClassList) -> None:
        self._label = _places(classes.labels)
        self._index = _places(classes.imagenet)
        self._wnid = _places(classes.wnids)
        self._name = _places([folded(name) for name in classes.names])

    def places(self, label: Label) -> tuple[int, ...]:
        """Classes that a label could mean; one, if it is clear."""
        found = (
            self._label.get(label.name)
            or self._index.get(label.imagenet_index)
            or self._wnid.get(label.wnid)
        )
        if found or label.imagenet_index is not None:
            return found or self._name.get(folded(label.name), ())
        found = self._name.get(folded(label.name), ())
        if label.wnid is None and self._index:
            more = [self._index.get(index, ()) for index in _imagenet_indices(label)]
            found = tuple(sorted({*found, *(place for places in more for place in places)}))
        return found


def _places(values: Sequence[object]) -> dict[object, tuple[int, ...]]:
    found: dict[object, tuple[int, ...]] = {}
    for place, value in enumerate(values):
        if value is not None:
            found[value] = (*found.get(value, ()), place)
    return found


def _all_in_imagenet(labels: Sequence[Label]) -> bool:
    return bool(labels) and all(len(_imagenet_indices(label)) == 1 for label in labels)


def _imagenet_indices(label: Label) -> tuple[int, ...]:
    """Classes of ImageNet that a label could mean; of a list of synonyms the first counts."""
    if label.imagenet_index is not None:
        return (label.imagenet_index,)
    if label.wnid is not None:
        known = by_wnid().get(label.wnid)
        return (known.index,) if known else ()
    by_name = imagenet_lists.indices_by_name()
    return by_name.get(folded(label.name)) or by_name.get(folded(label.name.partition(",")[0]), ())


def _imagenet(choice: str, words: tuple[str, ...], template_source: str) -> ClassList:
    names, wnids = imagenet_lists.class_names(), imagenet_lists.wnids()
    chosen = range(len(names)) if choice == "imagenet" else imagenet_lists.subset(choice)
    return ClassList(
        tuple(names[index] for index in chosen),
        tuple(wnids[index] for index in chosen),
        tuple(chosen),
        words,
        choice,
        template_source,
    )


def _spoken(label: Label, where: str) -> str:
    """The name of a label of the data as it stands in a prompt."""
    mend = "Give --classes a CSV file with the columns label and class_name"
    if _NUMBER.fullmatch(label.name):
        what = f"the labels are numbers ({label.name}, ...), which say nothing in a prompt"
        raise LabelsError(what, where=where, mend=mend)
    if not _WNID.fullmatch(label.name):
        return " ".join(label.name.replace("_", " ").split())
    if label.imagenet_index is not None:
        return imagenet_lists.class_names()[label.imagenet_index]
    name = imagenet_lists.lemmas().get(label.name)
    if name is None:
        raise LabelsError(f"wnid {label.name} has no name that is known", where=where, mend=mend)
    return name


def _templates(choice: str, classes: str) -> tuple[tuple[str, ...], str]:
    if choice == "auto":
        choice = "openai" if classes.startswith("imagenet") and classes in CHOICES else "generic"
    if choice == "generic":
        return (GENERIC,), choice
    if choice in imagenet_lists.TEMPLATES:
        return imagenet_lists.templates(choice), choice
    path = _file(choice, "--templates", TEMPLATE_CHOICES)
    found = _lines(path)
    for template in found:
        if "{}" not in template:
            mend = "Write {} where the name of the class goes"
            raise LabelsError(f"template {template!r} has no {{}}", where=path, mend=mend)
    if not found:
        mend = "Write one template per line, with {} where the name of the class goes"
        raise LabelsError("the file holds no template", where=path, mend=mend)
    return tuple(found), path.name


def _file(choice: str, option: str, choices: Sequence[str]) -> Path:
    path = Path(choice).expanduser()
    if not path.is_file():
        mend = f"Give {option} one of {', '.join(choices)}, or a file"
        raise LabelsError(f"{option} {choice!r}: no such choice or file", mend=mend)
    return path


def _lines(path: Path) -> list[str]:
    lines = _text(path).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        mend = "Save it as UTF-8"
        raise LabelsError("the file is no text in UTF-8", where=path, mend=mend) from error


def _from_file(path: Path, words: tuple[str, ...], template_source: str) -> ClassList:
    rows = (
        _rows(path) if path.suffix.lower() == ".csv" else [{"class_name": n} for n in _lines(path)]
    )
    if not rows:
        mend = "Write one name per line, or a CSV file with a column class_name"
        raise LabelsError("the file names no class", where=path, mend=mend)
    labels = tuple(row.get("label") for row in rows)
    return ClassList(
        tuple(row["class_name"] for row in rows),
        tuple(row.get("wnid") for row in rows),
        tuple(_index(row.get("imagenet_index"), path) for row in rows),
        words,
        path.name,
        template_source,
        labels if any(labels) else (),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; empty cells are left out."""
    reader = csv.DictReader(_text(path).splitlines())
    columns = reader.fieldnames or []
    if "class_name" not in columns:
        mend = f"Known columns: {', '.join(_COLUMNS)}"
        raise LabelsError("the file has no column class_name", where=path, mend=mend)
    found = []
    for row in reader:
        cells = {name: (row.get(name) or "").strip() for name in _COLUMNS}
        kept = {name: cell for name, cell in cells.items() if cell}
        if kept and "class_name" not in kept:
            mend = "Write the name of the class into column class_name"
            raise LabelsError(f"line {reader.line_num} has no name", where=path, mend=mend)
        if kept:
            found.append(kept)
    return found


def _index(cell: str | None, path: Path) -> int | None:
    if cell is None:
        return None
    if not cell.isdecimal() or int(cell) >= len(by_wnid()):
        mend = f"Write a number from 0 to {len(by_wnid()) - 1}, or nothing"
        raise LabelsError(f"imagenet_index {cell!r} is none", where=path, mend=mend)
    return int(cell)
