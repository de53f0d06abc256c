"""The object's mask of an evaluated image: of its own run or release, or by `covar-gen masks`."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import DamagedRunError, IncompleteInputError
from covar_gen.core.imaging import decode_mask
from covar_gen.core.rows import OK
from covar_gen.core.store import MANIFEST, RELEASE, Run, open_run
from covar_gen.evaluation.data.released import check_release


class Masks:
    """Masks of the rows of an evaluation, found by key and content, or by the content alone.

    Attributes:
        digest: names them by their content: other masks of the same images have another one.
    """

    def __init__(self, files: Files, places: pa.Array, sums: pa.Array) -> None:
        """Keep where they are.

        Args:
            files: what holds them.
            places: (N,), of each row's mask in it; null where a row has none.
            sums: text (N,), SHA-256 of each file.
        """
        self._files, self._places, self._sums = files, places, sums
        # Which file is of which image, not where it lies: the same masks may be moved.
        joined = "\n".join("" if each is None else each for each in sums.to_pylist())
        self.digest = hashlib.sha256(joined.encode()).hexdigest()

    @property
    def count(self) -> int:
        """Rows that have a mask."""
        return len(self._places) - int(self._places.null_count)

    def of(self, row: int) -> Mask | None:
        """The mask of a row: bool (H, W), True on the object; None where there is none.

        Raises:
            DamagedRunError: the file is gone, or is another one now.
        """
        place = self._places[row].as_py()
        if place is None:
            return None
        data, where = self._files.read(place)
        if hashlib.sha256(data).hexdigest() != self._sums[row].as_py():
            raise _damaged("not the mask that the run has of this image", where)
        return decode_mask(data)


class Files(Protocol):
    """What holds masks."""

    def read(self, place: Any) -> tuple[bytes, Path]:
        """A mask's file, and where it lies, for messages."""


class RunFiles:
    """Masks in a run folder, by their paths inside it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, place: str) -> tuple[bytes, Path]:
        """A file of the run.

        Raises:
            DamagedRunError: it is gone.
        """
        where = self.root / place
        try:
            return where.read_bytes(), where
        except FileNotFoundError as error:
            raise _damaged("the mask is gone", where) from error


class ReleaseFiles:
    """Masks in a release's Parquet files, by row; one row group at a time is in memory.

    Attributes:
        rows: key and mask_sha256 of each.
    """

    def __init__(self, root: Path) -> None:
        """Look what there is.

        Args:
            root: of the release.

        Raises:
            DamagedRunError: a file of it cannot be read.
        """
        self.root = root
        self._groups: list[tuple[Path, int, int]] = []
        tables, start = [], 0
        for path in sorted((root / "data" / "masks").glob("*.parquet")):
            try:
                tables.append(pq.read_table(path, columns=["key", "mask_sha256"]))
                counts = pq.ParquetFile(path).metadata
            except (pa.ArrowException, OSError) as error:
                raise _damaged("the masks cannot be read", path) from error
            for group in range(counts.num_row_groups):
                self._groups.append((path, group, start))
                start += counts.row_group(group).num_rows
        self.rows = pa.concat_tables(tables) if tables else _NO_ROWS.empty_table()
        self._loaded = lru_cache(maxsize=1)(self._load)

    def read(self, place: int) -> tuple[bytes, Path]:
        """A mask of the release.

        Raises:
            DamagedRunError: its file is gone, or damaged.
        """
        path, group, start = next(each for each in reversed(self._groups) if each[2] <= place)
        return self._loaded(path, group)[place - start].as_py(), path

    def _load(self, path: Path, group: int) -> pa.Array:
        try:
            found = pq.ParquetFile(path).read_row_group(group, columns=["mask.bytes"])["mask"]
        except (pa.ArrowException, OSError) as error:
            raise _damaged("the masks cannot be read", path) from error
        return pc.struct_field(found.combine_chunks(), "bytes")


_NO_ROWS = pa.schema({"key": pa.string(), "mask_sha256": pa.string()})


def _damaged(what: str, where: Path) -> DamagedRunError:
    mend = "Put the file back, or make the masks again and explain the errors with them"
    return DamagedRunError(what, where=where, mend=mend)


def masks_of(place: str, keys: pa.ChunkedArray, content: NDArray[np.int64]) -> Masks:
    """Masks for the images of an evaluation.

    Args:
        place: the run or release that was evaluated, or a run that `covar-gen masks` made for the
            same images: these are known again by their content.
        keys: of the evaluated images.
        content: int64 (N,), the first 63 bits of the SHA-256 of each encoded image.

    Raises:
        RunFolderError: neither a run folder nor a release's.
        ReleaseFolderError: a release that is not finished, or of which files are missing.
        IncompleteInputError: none of the images has a mask there.
    """
    # Of a release that was copied in part, what is there tells which images the masks are of.
    check_release(Path(place), "masks", *(path.name for path in Path(place).glob("data/*/")))
    if (Path(place) / RELEASE).is_file():
        return _of_release(Path(place), keys, content)
    run = open_run(place)
    found = _by_key(run, keys, content)
    if found["mask"].null_count == len(found):
        found = _by_content(run, content)
    if found["mask"].null_count == len(found):
        raise _none_there(place)
    paths, sums = (found[name].combine_chunks() for name in ("mask", "mask_sha256"))
    return Masks(RunFiles(run.root), paths, sums)


def _none_there(place: str | Path) -> IncompleteInputError:
    mend = "Make them: covar-gen masks DATA --out DIR, and give --masks DIR"
    what = "none of the evaluated images has a mask there"
    return IncompleteInputError(what, where=place, mend=mend)


def _of_release(root: Path, keys: pa.ChunkedArray, content: NDArray[np.int64]) -> Masks:
    """Masks of a release, of its images that have the same keys and the same content."""
    files = ReleaseFiles(root)
    known = {
        key: _content(sha256)
        for path in sorted((root / "data").glob("*/*.parquet"))
        if path.parent.name not in {"masks", "manifest"}
        for key, sha256 in zip(
            *pq.read_table(path, columns=["key", "export_sha256"]).to_pydict().values(),
            strict=True,
        )
        if sha256 is not None
    }
    place = pc.index_in(keys, value_set=files.rows["key"].combine_chunks()).combine_chunks()
    same = [
        known.get(key) == number
        for key, number in zip(keys.to_pylist(), content.tolist(), strict=True)
    ]
    place = pc.if_else(pa.array(same, pa.bool_()), place, pa.scalar(None, pa.int32()))
    if place.null_count == len(place):
        raise _none_there(root)
    sums = files.rows["mask_sha256"].combine_chunks().take(place)
    return Masks(files, place, sums)


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
