"""The object's mask of an evaluated image: from its own run, or from `covar-gen masks`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import DamagedRunError, IncompleteInputError
from covar_gen.core.imaging import decode_mask
from covar_gen.core.rows import OK
from covar_gen.core.store import MANIFEST, Run, open_run


class Masks:
    """Masks of the rows of an evaluation, found by key and content, or by the content alone.

    Attributes:
        digest: names them by their content: other masks of the same images have another one.
    """

    def __init__(
        self, root: Path, paths: pa.Array, digest: str, sums: pa.Array | None = None
    ) -> None:
        """Keep where they are.

        Args:
            root: of the run.
            paths: text (N,), inside it; null where a row has no mask.
            digest: of all of them.
            sums: text (N,), SHA-256 of each file; None: they are not compared.
        """
        self._root = root
        self._paths = paths
        self._sums = sums
        self.digest = digest

    @property
    def count(self) -> int:
        """Rows that have a mask."""
        return len(self._paths) - int(self._paths.null_count)

    def of(self, row: int) -> Mask | None:
        """The mask of a row: bool (H, W), True on the object; None where there is none.

        Raises:
            DamagedRunError: the file is gone, or is another one now.
        """
        path = self._paths[row].as_py()
        if path is None:
            return None
        where = self._root / path
        try:
            data = where.read_bytes()
        except FileNotFoundError as error:
            raise _damaged("the mask is gone", where) from error
        expected = None if self._sums is None else self._sums[row].as_py()
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            raise _damaged("not the mask that the run has of this image", where)
        return decode_mask(data)


def _damaged(what: str, where: Path) -> DamagedRunError:
    mend = "Put the file back, or make the masks again and explain the errors with them"
    return DamagedRunError(what, where=where, mend=mend)


def masks_of(place: str, keys: pa.ChunkedArray, content: NDArray[np.int64]) -> Masks:
    """Masks for the images of an evaluation.

    Args:
        place: the run folder that was evaluated, or one that `covar-gen masks` made for the same
            images: these are known again by their content.
        keys: of the evaluated images.
        content: int64 (N,), the first 63 bits of the SHA-256 of each encoded image.

    Raises:
        RunFolderError: not a run folder.
        IncompleteInputError: none of the images has a mask there.
    """
    run = open_run(place)
    found = _by_key(run, keys, content)
    if found["mask"].null_count == len(found):
        found = _by_content(run, content)
    if found["mask"].null_count == len(found):
        mend = "Make them: covar-gen masks DATA --out DIR, and give --masks DIR"
        what = "none of the evaluated images has a mask there"
        raise IncompleteInputError(what, where=place, mend=mend)
    paths, sums = (found[name].combine_chunks() for name in ("mask", "mask_sha256"))
    # Which file is of which image, not where it lies: the same masks may be moved.
    joined = "\n".join("" if each is None else each for each in sums.to_pylist())
    return Masks(run.root, paths, hashlib.sha256(joined.encode()).hexdigest(), sums)


_FOUND = pa.schema({"mask": pa.string(), "mask_sha256": pa.string()})
"""What is found of each image: path of the mask inside the run, and SHA-256 of the file."""


def _by_key(run: Run, keys: pa.ChunkedArray, content: NDArray[np.int64]) -> pa.Table:
    """Masks of the manifest's images of the same keys and the same content."""
    if not (run.root / MANIFEST).is_file():
        return pa.table([pa.nulls(len(keys), kind) for kind in _FOUND.types], schema=_FOUND)
    rows = run.manifest(["key", "sha256", *_FOUND.names])
    rows = rows.filter(pc.is_valid(rows["mask"]))
    place = pc.index_in(keys, value_set=rows["key"].combine_chunks())
    rows = rows.take(place)
    # Another run may have other images under the same keys, with the object elsewhere.
    there = [
        text is not None and _content(text) == number
        for text, number in zip(rows["sha256"].to_pylist(), content.tolist(), strict=True)
    ]
    same = pa.array(there, pa.bool_())
    return pa.table(
        [pc.if_else(same, rows[name], pa.scalar(None, pa.string())) for name in _FOUND.names],
        schema=_FOUND,
    )


def _by_content(run: Run, content: NDArray[np.int64]) -> pa.Table:
    photographs = run.table("sources", ["key", "photograph_sha256", "params"])
    masks = run.table("masks_sources", ["key", *_FOUND.names, "status"])
    masks = masks.filter(pc.equal(masks["status"], OK))
    mask_of = {row["key"]: (row["mask"], row["mask_sha256"]) for row in masks.to_pylist()}
    known = {
        _content(row["photograph_sha256"]): found
        for row in photographs.to_pylist()
        if row["photograph_sha256"] and (found := mask_of.get(_outlined(row)))
    }
    each = [known.get(number, (None, None)) for number in content.tolist()]
    columns = zip(*each, strict=True) if each else ((), ())
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=_FOUND)


def _content(sha256: str) -> int:
    """The first 63 bits of a SHA-256, as evaluations keep them of each image."""
    return int(sha256[:16], 16) >> 1


def _outlined(row: dict[str, Any]) -> str:
    """Key of the photograph that shows a photograph's pixels: of the same class, its twin's."""
    key: str = row["key"]
    twin: str = json.loads(row["params"] or "{}").get("of", key)
    return twin if twin.partition("/")[0] == key.partition("/")[0] else key
