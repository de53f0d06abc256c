"""What every analysis starts from: the images as numbers, and each model's right and wrong.

Both are read once per opened folder and kept with it, since a report makes a dozen tables of
them. A model's finished predictions never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from covar_gen.core.rows import OK
from covar_gen.evaluation.metrics.accuracy import merged, within
from covar_gen.evaluation.metrics.clusters import sums_by
from covar_gen.evaluation.results import IMAGES_FILE, Results

ORIGINAL = "original"
BG_VARIED = "bg_varied"
EIGHT = (BG_VARIED, "hflip", "translate", "crop", "vflip", "rotation", "viewpoint", "scale")
"""The subsets that are scored, in the order of the paper's table 3."""
AVERAGE = "average"
TOP_FEW = 5


@dataclass(frozen=True)
class Images:
    """The images as numbers, row by row.

    Attributes:
        labels: true classes, int64 (N,).
        subsets: names of the subsets: the originals, the eight, then others by name.
        subset: index into them, int64 (N,).
        sources: number of the source photograph in the order of their names, int64 (N,).
        source_count: number of source photographs, S.
    """

    labels: NDArray[np.int64]
    subsets: tuple[str, ...]
    subset: NDArray[np.int64]
    sources: NDArray[np.int64]
    source_count: int

    @cached_property
    def eight(self) -> list[int]:
        """Indices of the subsets that are there of the eight."""
        return [place for place, name in enumerate(self.subsets) if name in EIGHT]

    def place(self, subset: str) -> int | None:
        """Index of a subset; None if there is none of that name."""
        return self.subsets.index(subset) if subset in self.subsets else None

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How many of the images chosen there are of each source in each subset.

        Args:
            chosen: bool (N,).

        Returns:
            float64 (S, T).
        """
        shape = (self.source_count, len(self.subsets))
        return sums_by(self.sources[chosen], self.subset[chosen], shape)


@dataclass(frozen=True)
class Marks:
    """Where a model is right; all bool (N,).

    Attributes:
        ok: the image was evaluated; the others are False throughout.
        top1: the true class is the best.
        top5: it is among the five best.
        merged: the best class has the true class's name.
    """

    ok: NDArray[np.bool_]
    top1: NDArray[np.bool_]
    top5: NDArray[np.bool_]
    merged: NDArray[np.bool_]


_IMAGES: WeakKeyDictionary[Results, Images] = WeakKeyDictionary()
_MARKS: WeakKeyDictionary[Results, dict[str, Marks]] = WeakKeyDictionary()


def images_of(results: Results) -> Images:
    """The images of an evaluation."""
    if results not in _IMAGES:
        rows = results.images(["label", "subset", "source"])
        subsets, subset = coded(rows["subset"])
        known = (ORIGINAL, *EIGHT)
        order = sorted(
            range(len(subsets)),
            key=lambda i: (known.index(subsets[i]) if subsets[i] in known else 99, subsets[i]),
        )
        names, sources = coded(rows["source"])
        _IMAGES[results] = Images(
            rows["label"].to_numpy().astype(np.int64),
            tuple(subsets[i] for i in order),
            np.argsort(order)[subset] if order else subset,
            np.argsort(np.argsort(np.array(names, dtype=object)))[sources] if names else sources,
            len(names),
        )
    return _IMAGES[results]


def marks_of(results: Results, model: str) -> Marks:
    """Where a model is right.

    Raises:
        IncompleteInputError: some images have no row yet.
    """
    known = _MARKS.setdefault(results, {})
    if model not in known:
        rows = results.table(model, ["status", "true_rank", "top_ids"])
        ok = pc.equal(rows["status"], OK).to_numpy()
        ranks = np.where(ok, rows["true_rank"].fill_null(0).to_numpy(), 0)
        best = pc.list_element(rows["top_ids"], 0).fill_null(pa.scalar(-1, pa.int32())).to_numpy()
        labels = images_of(results).labels
        known[model] = Marks(
            ok,
            within(ranks, 1),
            within(ranks, TOP_FEW),
            merged(np.where(ok, best, -1), labels, results.classes.groups),
        )
    return known[model]


def image_columns(results: Results) -> list[str]:
    """Columns that are known of the images: those of every evaluation and the data's own."""
    return list(pq.read_schema(results.root / IMAGES_FILE).names)


def coded(column: pa.ChunkedArray) -> tuple[list[Any], NDArray[np.int64]]:
    """Different values of a column in order of appearance, and the place of each row's value.

    Returns:
        The values, and int64 (N,) into them; -1 where the row is null.
    """
    whole = column.combine_chunks().dictionary_encode()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.combine_chunks()
    codes = whole.indices.fill_null(-1).to_numpy().astype(np.int64)
    return whole.dictionary.to_pylist(), codes
