"""COVAR's own benchmarks: the rows of a manifest, in a run folder or in a data set made from one.

Both give the same rows and the same identity, so that an evaluation of the run goes on from its
release.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.errors import LabelsError
from covar_gen.core.rows import MANIFEST, OK
from covar_gen.core.store import Run
from covar_gen.evaluation.data.base import Data, Label, digest_of, table

MARKS = ("key", "subset", "source", "class_id", "class_name", "sha256")
"""Columns by which a data set is known as made from a manifest."""

EXPORTED = "export_sha256"
"""Column of a release: SHA-256 of the image file in it, which need not be the run's."""

_LEFT_OUT = frozenset(
    ["key", "image", "mask", "status", "reason", "seed", "prompt", "pixels_sha256",
     "mask_sha256", "parent_sha256"]
)  # fmt: skip
"""Columns that say nothing about an error of a model, or stand elsewhere."""

COLUMNS = tuple(
    field.name
    for field in MANIFEST
    if field.name not in _LEFT_OUT and not pa.types.is_nested(field.type)
)
"""Columns of a manifest that an evaluation keeps."""


class RunData(Data):
    """The images of a run, the original photographs among them; rejected rows are left out.

    `read` gives what lies in the file; whether that is what column sha256 says, readers see.
    """

    def __init__(self, place: str, run: Run) -> None:
        self.place = place
        rows = run.manifest(["key", "image", "status", *COLUMNS])
        rows = rows.filter(pc.equal(rows["status"], OK))
        self.rows, self.labels = benchmark_rows(rows, place)
        self.identity = benchmark_identity(self.rows)
        self._root = run.root
        self._images = rows["image"].combine_chunks()

    def read(self, row: int) -> bytes:
        """The image file of a row."""
        return Path(self._root, self._images[row].as_py()).read_bytes()


def benchmark_rows(rows: pa.Table, where: str) -> tuple[pa.Table, tuple[Label, ...]]:
    """Rows and labels of a manifest's rows, in their order.

    Args:
        rows: key and `COLUMNS`, as far as they are there.
        where: the data, for messages.

    Raises:
        LabelsError: there is no row, or a row has no class.
    """
    if not len(rows):
        mend = "Evaluate a benchmark with images that were not rejected"
        raise LabelsError("there is no image", where=where, mend=mend)
    numbers, labels = _classes(rows, where)
    others = {
        name: rows[name].cast(MANIFEST.field(name).type)
        for name in COLUMNS
        if name in rows.column_names
    }
    others["origin"] = rows["key"]
    sums = others.pop("sha256")
    found = table(rows["key"].combine_chunks(), numbers, others)
    return found.append_column("sha256", sums), labels


def benchmark_identity(rows: pa.Table) -> dict[str, Json]:
    """Names a benchmark by its images and their classes."""
    content = digest_of(rows["key"], rows["sha256"], rows["class_name"])
    return {"kind": "benchmark", "images": len(rows), "content": content}


def _classes(rows: pa.Table, where: str) -> tuple[NDArray[np.int32], tuple[Label, ...]]:
    """Column class_id as indices in the list of classes, which is in its order."""
    ids = rows["class_id"]
    if ids.null_count:
        what = f"{ids.null_count} rows have no class"
        raise LabelsError(what, where=where, mend="Make the manifest again: covar-gen run")
    names = ["class_name", "wnid", "imagenet_index"]
    groups = rows.select(["class_id", *names]).group_by("class_id")
    known = groups.aggregate([(name, "min") for name in names]).sort_by("class_id")
    labels = tuple(
        Label(row["class_name_min"], row["wnid_min"], row["imagenet_index_min"])
        for row in known.to_pylist()
    )
    numbers = pc.index_in(ids.combine_chunks(), value_set=known["class_id"].combine_chunks())
    return numbers.cast(pa.int32()).to_numpy(), labels
