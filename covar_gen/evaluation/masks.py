"""The object's mask of an evaluated image: from its own run, or from `covar-gen masks`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import IncompleteInputError
from covar_gen.core.imaging import decode_mask
from covar_gen.core.rows import OK
from covar_gen.core.store import MANIFEST, Run, open_run


class Masks:
    """Masks of the rows of an evaluation, found by key or by the image's content.

    Attributes:
        digest: names them by content.
    """

    def __init__(self, root: Path, paths: pa.Array, digest: str) -> None:
        self._root = root
        self._paths = paths
        self.digest = digest

    @property
    def count(self) -> int:
        """Rows that have a mask."""
        return len(self._paths) - int(self._paths.null_count)

    def of(self, row: int) -> Mask | None:
        """The mask of a row: bool (H, W), True on the object; None where there is none.

        Raises:
            OSError: it cannot be read.
        """
        path = self._paths[row].as_py()
        return None if path is None else decode_mask((self._root / path).read_bytes())


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
    found = _by_key(run, keys)
    if found.null_count == len(found):
        found = _by_content(run, content)
    if found.null_count == len(found):
        mend = "Make them: covar-gen masks DATA --out DIR, and give --masks DIR"
        what = "none of the evaluated images has a mask there"
        raise IncompleteInputError(what, where=place, mend=mend)
    joined = "\n".join("" if path is None else path for path in found.to_pylist())
    return Masks(run.root, found, _digest(joined))


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _by_key(run: Run, keys: pa.ChunkedArray) -> pa.Array:
    if not (run.root / MANIFEST).is_file():
        return pa.nulls(len(keys), pa.string())
    rows = run.manifest(["key", "mask"])
    rows = rows.filter(pc.is_valid(rows["mask"]))
    place = pc.index_in(keys, value_set=rows["key"].combine_chunks())
    return rows["mask"].take(place).combine_chunks()


def _by_content(run: Run, content: NDArray[np.int64]) -> pa.Array:
    photographs = run.table("sources", ["key", "photograph_sha256", "params"])
    masks = run.table("masks_sources", ["key", "mask", "status"])
    masks = masks.filter(pc.equal(masks["status"], OK))
    mask_of = dict(zip(masks["key"].to_pylist(), masks["mask"].to_pylist(), strict=True))
    known = {
        int(row["photograph_sha256"][:16], 16) >> 1: path
        for row in photographs.to_pylist()
        if row["photograph_sha256"] and (path := mask_of.get(_outlined(row)))
    }
    return pa.array([known.get(int(number)) for number in content], pa.string())


def _outlined(row: dict[str, Any]) -> str:
    """Key of the photograph that shows a photograph's pixels: of the same class, its twin's."""
    key: str = row["key"]
    twin: str = json.loads(row["params"] or "{}").get("of", key)
    return twin if twin.partition("/")[0] == key.partition("/")[0] else key
