"""A CSV file of pairs that somebody has judged: truth, predicted, similar."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.errors import PluginError
from covar_gen.evaluation.imagenet_lists import folded
from covar_gen.evaluation.judges.base import ClassPair
from covar_gen.evaluation.labels import ClassList

COLUMNS = ("truth", "predicted", "similar")
YES = ("1", "true", "yes", "similar")
NO = ("0", "false", "no", "different")

_Keys: TypeAlias = tuple[str, ...]


class JudgedPairs:
    """Judged pairs, found by name, wnid or index of their classes.

    Args:
        path: a CSV file with the columns of `COLUMNS`; more columns are left alone. A class is a
            wnid, an index in the evaluation's class list, or a name, whatever its case.
        ordered: True if (truth, predicted) says nothing about (predicted, truth).

    Raises:
        PluginError: the file cannot be read, lacks a column, or has a row that says nothing.
    """

    def __init__(self, path: Path, *, ordered: bool) -> None:
        self.path = path
        self.ordered = ordered
        self._said: dict[tuple[str, str], set[bool]] = {}
        text = _text(path)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        reader = csv.DictReader(text.splitlines())
        lacking = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if lacking:
            what = f"the file has no column {lacking[0]}"
            raise PluginError(what, where=path, mend=f"It needs {', '.join(COLUMNS)}")
        for row in reader:
            cells = {name: (row[name] or "").strip() for name in COLUMNS}
            if any(cells.values()):
                self._add(cells, reader.line_num)

    def _add(self, cells: dict[str, str], line: int) -> None:
        said = cells["similar"].lower()
        if said not in (*YES, *NO):
            what = f"line {line}: similar is {cells['similar']!r}"
            mend = f"Write one of {', '.join((*YES, *NO))}"
            raise PluginError(what, where=self.path, mend=mend)
        truth, predicted = folded(cells["truth"]), folded(cells["predicted"])
        if not (truth and predicted):
            what = f"line {line} names one class only"
            raise PluginError(what, where=self.path, mend="Write both classes, or remove the line")
        self._said.setdefault((truth, predicted), set()).add(said in YES)

    def said(self, pair: ClassPair) -> set[bool]:
        """What the lines about a pair say; empty if there is none."""
        first = _keys(pair.truth_wnid, pair.truth, pair.truth_name)
        second = _keys(pair.predicted_wnid, pair.predicted, pair.predicted_name)
        asked = [(one, other) for one in first for other in second]
        if not self.ordered:
            asked += [(other, one) for one, other in asked]
        return set().union(*(self._said.get(key, set()) for key in asked))

    def among(self, classes: ClassList) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The judged pairs whose classes are in a list.

        Args:
            classes: the class list.

        Returns:
            int (N, 2), indices in it, and float64 (N,): 1 similar, 0 different. Pairs about which
            the lines say both are left out.
        """
        places: dict[str, list[int]] = {}
        for place, (wnid, name) in enumerate(zip(classes.wnids, classes.names, strict=True)):
            for key in _keys(wnid, place, name):
                places.setdefault(key, []).append(place)
        found: dict[tuple[int, int], set[bool]] = {}
        for (truth, predicted), said in self._said.items():
            for one in places.get(truth, []):
                for other in places.get(predicted, []):
                    found.setdefault((min(one, other), max(one, other)), set()).update(said)
        clear = sorted((pair, *said) for pair, said in found.items() if len(said) == 1)
        indices = np.array([pair for pair, _ in clear], np.intp).reshape(-1, 2)
        return indices, np.array([said for _, said in clear], float)


def _keys(wnid: str | None, place: int, name: str) -> _Keys:
    """All that a file may call a class."""
    return tuple(dict.fromkeys(key for key in (wnid, str(place), folded(name)) if key))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        what = f"the judged pairs cannot be read: {error.strerror}"
        raise PluginError(what, where=path, mend="Check the path") from error
    except UnicodeDecodeError as error:
        what = "the file is no text in UTF-8"
        raise PluginError(what, where=path, mend="Save it as UTF-8") from error
