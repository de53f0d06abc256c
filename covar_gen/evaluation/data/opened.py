"""Data sets that the `datasets` library opens: Parquet and Arrow files, releases, the Hub."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.errors import PhotographsError
from covar_gen.core.opening import Asked, Opened, image_bytes, open_split
from covar_gen.core.rows import OK
from covar_gen.evaluation.data import base
from covar_gen.evaluation.data.base import Data, Label
from covar_gen.evaluation.data.benchmarks import (
    COLUMNS,
    EXPORTED,
    MARKS,
    benchmark_identity,
    benchmark_rows,
)

ALL = "all"
"""The configuration that is taken where a data set has several and none is named."""


PNG = b"\x89PNG\r\n\x1a\n"
"""What a PNG begins with. Source: PNG (Third Edition), 5.2."""
COLOURS, RGBA = 25, 6
"""Where a PNG says its colour type, and that of red, green, blue and alpha. Source: 11.2.1."""


class OpenedData(Data):
    """A split of a data set. Its table stays on the disk; only the image asked for is read."""

    def __init__(self, place: str, local: Path | None, given: Mapping[str, str | None]) -> None:
        self.place = place
        self._folder = (local.parent if local.is_file() else local) if local else None
        opened = open_split(
            place,
            local,
            name=given["name"],
            split=given["split"],
            revision=given["revision"],
            image_column=given["image_column"],
            label_column=given["label_column"],
            streaming=False,
            asked=Asked.COMMAND,
            all_columns=True,
            usual=ALL,
        )
        whole = opened.data.data.table
        self._images = _Images(whole.column(opened.image))
        if set(MARKS) <= set(whole.column_names) and given["label_column"] is None:
            self._as_benchmark(opened, whole)
        else:
            self._as_labelled(opened, whole)

    def read(self, row: int) -> bytes:
        """The image of a row, as it is in the table or in the file that it points to."""
        return image_bytes(self._images.at(int(self._at[row])), self._folder)

    def _as_benchmark(self, opened: Opened, whole: pa.Table) -> None:
        """Rows of a manifest: those that are no rejects, by key."""
        names = [name for name in ("key", "status", *COLUMNS) if name in whole.column_names]
        features = opened.data.features
        rows = pa.table({name: _named(features[name], whole[name]) for name in names})
        if EXPORTED in whole.column_names:
            if self._has_patches():
                what = "a release without its images: it holds patches"
                mend = "Make its run first (covar-gen rebuild DIR --photographs FOLDER --out RUN)"
                raise PhotographsError(what, where=self.place, mend=f"{mend} and evaluate that")
            place = rows.column_names.index("sha256")
            rows = rows.set_column(place, "sha256", whole[EXPORTED].cast(pa.string()))
        at = pc.sort_indices(rows["key"])
        if "status" in rows.column_names:
            at = at.filter(pc.equal(rows["status"].take(at), OK).combine_chunks())
        self._at: NDArray[np.int64] = at.to_numpy().astype(np.int64)
        self.rows, self.labels = benchmark_rows(rows.take(at), self.place)
        self.identity = benchmark_identity(self.rows)

    def _has_patches(self) -> bool:
        """Whether a release was made with --recipe-only.

        A photograph has no image there, and a patch is a PNG of RGBA, which no run's image is.
        """
        images = self._images
        if images.column.null_count:
            return True
        first = image_bytes(images.at(0), self._folder) if len(images.column) else b""
        return first.startswith(PNG) and first[COLOURS] == RGBA

    def _as_labelled(self, opened: Opened, whole: pa.Table) -> None:
        """Rows in the order of the data set, with its other columns as factors."""
        self._at = np.arange(len(whole), dtype=np.int64)
        numbers, self.labels = _labels(opened, whole[opened.label], self.place)
        features = opened.data.features
        columns = {
            name: _named(features[name], whole[name])
            for name in whole.column_names
            if name not in (opened.image, opened.label)
        }
        others = base.factors(columns)
        others["origin"] = base.row_origins(opened.split, len(whole))
        self.rows = base.table(_keys(self._images, opened.commit), numbers, others)
        self.identity = self._identity(opened)

    def _identity(self, opened: Opened) -> dict[str, Json]:
        columns = {"image": opened.image, "label": opened.label}
        if opened.commit is not None:
            return {
                "kind": "hub",
                "id": self.place,
                "commit": opened.commit,
                "name": opened.config,
                "split": opened.split,
                **columns,
            }
        names = pa.array([label.name for label in self.labels], pa.string())
        labels = names.take(self.rows["label"])
        sizes = self._images.sizes
        content = base.digest_of(self.rows["key"], labels, sizes)
        return {"kind": "data set", "images": len(self.rows), "content": content, **columns}


class _Images:
    """Single rows of a column of {bytes, path}, found quickly; any thread may ask."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._chunks = [chunk for chunk in column.chunks if len(chunk)]
        self._starts = [0, *accumulate(len(chunk) for chunk in self._chunks)]
        self.column = column

    def at(self, row: int) -> dict[str, Any]:
        """`bytes` and `path` of a row."""
        place = bisect.bisect_right(self._starts, row) - 1
        found = self._chunks[place][row - self._starts[place]].as_py()
        return found or {}

    @cached_property
    def paths(self) -> pa.Array:
        """Column path, null where there is none."""
        return pc.struct_field(self.column, "path").cast(pa.string()).combine_chunks()

    @property
    def sizes(self) -> pa.ChunkedArray:
        """Bytes of every image that is in the table, null where it is not."""
        return pc.binary_length(pc.struct_field(self.column, "bytes"))


def _labels(
    opened: Opened, column: pa.ChunkedArray, where: str
) -> tuple[NDArray[np.int32], tuple[Label, ...]]:
    if opened.names is None:
        return base.numbered(column, where)
    known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(opened.names)))
    column = pc.if_else(known, column, None)
    base.check_labels(column, where)
    return column.to_numpy().astype(np.int32), base.labels_of(opened.names)


def _named(feature: Any, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a ClassLabel as its names; other columns as they are."""
    names = getattr(feature, "names", None)
    if names is None:
        return column
    known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    places = pc.if_else(known, column, None).combine_chunks()
    return pa.chunked_array([pa.array(names, pa.string()).take(places)])


def _keys(images: _Images, commit: str | None) -> pa.Array:
    """Keys from the paths inside the data; numbers, where a row has none or two have the same."""
    paths = images.paths
    if commit is not None:
        # A downloaded file lies in the cache, below a folder of the commit's name.
        paths = pc.replace_substring_regex(paths, rf"^.*/{commit}/", "")
    outside = pc.or_(pc.starts_with(paths, "/"), pc.match_substring(paths, "://"))
    lacking = pc.any(outside).as_py() or pc.any(pc.equal(paths, "")).as_py()
    if lacking or pc.count_distinct(paths).as_py() != len(paths):
        return base.numbered_keys(np.arange(len(paths)))
    return base.safe_keys(paths)
