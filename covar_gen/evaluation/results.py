"""An evaluation folder: what was evaluated, and every model's predictions.

See covar_gen/evaluation/rows.py for what lies where. Readers get arrays whose rows are the rows
of images.parquet; 396,000 of them are never turned into Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.errors import DamagedRunError, EvaluationFolderError, IncompleteInputError
from covar_gen.core.rows import OK
from covar_gen.evaluation.rows import CLASSES

ABOUT = "evaluation.json"
IMAGES_FILE = "images.parquet"
CLASSES_FILE = "classes.parquet"
MADE_WITH = "made_with.json"
CLASS_ROWS = "classes.npy"
"""In a model's folder: the text embeddings of the classes, float32 (C, D)."""
PART = "[0-9]*-[0-9]*.parquet"


@dataclass(frozen=True)
class Predictions:
    """A model's predictions, row by row of the images.

    Attributes:
        model: its name.
        ok: bool (N,), False where the image was rejected; every other array is then without
            meaning in that row.
        top_ids: int32 (N, k), classes with the largest logits, best first; -1 where not ok.
        top_logits: float32 (N, k), their logits; NaN where not ok.
        true_logit: float32 (N,), NaN where not ok.
        true_rank: int32 (N,), 1 = best; 0 where not ok.
        logsumexp: float32 (N,), over all classes; NaN where not ok.
    """

    model: str
    ok: NDArray[np.bool_]
    top_ids: NDArray[np.int32]
    top_logits: NDArray[np.float32]
    true_logit: NDArray[np.float32]
    true_rank: NDArray[np.int32]
    logsumexp: NDArray[np.float32]


@dataclass(frozen=True)
class Classes:
    """The label set.

    Attributes:
        names: the name of each class, as the templates are filled with it.
        wnids: WordNet ids, None where there is none.
        imagenet: indices in ImageNet-1k, -1 outside: int32 (C,).
        groups: index of the first class of the same name: int32 (C,); two classes of one group
            cannot be told apart by their names.
    """

    names: tuple[str, ...]
    wnids: tuple[str | None, ...]
    imagenet: NDArray[np.int32]
    groups: NDArray[np.int32]


class Results:
    """An evaluation folder that exists.

    Attributes:
        root: the folder.
        about: evaluation.json: `data`, `classes`, `templates`, `images`, `block`, `top`, and
            `place`, where the data was, for the report's examples.
    """

    def __init__(self, root: Path, about: dict[str, Any]) -> None:
        self.root = root
        self.about = about
        self._complete: dict[str, list[Path]] = {}

    @cached_property
    def count(self) -> int:
        """Number of images."""
        return int(pq.read_metadata(self.root / IMAGES_FILE).num_rows)

    def images(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of images.parquet, in their order; name the columns you need.

        Raises:
            EvaluationFolderError: no such column.
        """
        path = self.root / IMAGES_FILE
        unknown = set(columns or ()) - set(pq.read_schema(path).names)
        if unknown:
            known = ", ".join(pq.read_schema(path).names)
            what = f"the images have no column {min(unknown)!r}"
            raise EvaluationFolderError(what, where=path, mend=f"There are: {known}")
        return _read(path, columns)

    @cached_property
    def classes(self) -> Classes:
        """The label set."""
        rows = _read(self.root / CLASSES_FILE, CLASSES.names)
        outside = pa.scalar(-1, pa.int32())
        return Classes(
            tuple(rows["class_name"].to_pylist()),
            tuple(rows["wnid"].to_pylist()),
            rows["imagenet_index"].fill_null(outside).to_numpy(),
            rows["group"].to_numpy(),
        )

    def models(self, *, complete: bool = True) -> list[str]:
        """Names of the models evaluated, in order of their folders.

        Args:
            complete: only those with a prediction for every image.
        """
        found = [about["model"]["name"] for _, about in self._begun()]
        return [name for name in found if not complete or self.missing(name) == 0]

    def _begun(self) -> list[tuple[Path, dict[str, Any]]]:
        """Folders of the models that were begun, and what they were begun with."""
        folders = sorted(path.parent for path in self.root.glob(f"*/{MADE_WITH}"))
        return [(folder, about) for folder in folders if (about := noted(folder))]

    def made_with(self, folder: Path) -> dict[str, Any]:
        """What the predictions in a model's folder were made with."""
        return dict(read_json(folder / MADE_WITH))

    def folder(self, model: str) -> Path:
        """The folder of a model.

        Raises:
            EvaluationFolderError: it was not evaluated here.
        """
        for folder, about in self._begun():
            if about["model"]["name"] == model:
                return folder
        known = ", ".join(self.models(complete=False)) or "none"
        what = f"model {model!r} was not evaluated here"
        raise EvaluationFolderError(what, where=self.root, mend=f"There are: {known}")

    def parts(self, model: str) -> list[Path]:
        """A model's parts so far, in the order of the images."""
        if model not in self._complete:
            found = whole_parts(self.folder(model))
            size = int(self.about["block"])
            found = [path for path in found if _is_block(path, size, self.count)]
            if _rows_in(found) < self.count:
                return found
            self._complete[model] = found
        return self._complete[model]

    def missing(self, model: str) -> int:
        """Images without a row."""
        return self.count - _rows_in(self.parts(model))

    def table(self, model: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A model's rows, one per image and in their order; name the columns you need.

        Raises:
            IncompleteInputError: some images have no row yet.
        """
        missing = self.missing(model)
        if missing:
            what = f"{model} has no prediction yet for {missing} of {self.count} images"
            mend = "Type the same `covar-gen evaluate` command again: it goes on from there"
            raise IncompleteInputError(what, where=self.folder(model), mend=mend)
        return pa.concat_tables([_read(path, columns) for path in self.parts(model)])

    def predictions(self, model: str) -> Predictions:
        """A model's predictions as arrays.

        Raises:
            IncompleteInputError: some images have no row yet.
        """
        names = ["status", "top_ids", "top_logits", "true_logit", "true_rank", "logsumexp"]
        rows = self.table(model, names)
        ok = np.asarray(rows["status"].to_numpy() == OK)
        return Predictions(
            model,
            ok,
            _matrix(rows["top_ids"], ok, np.int32(-1)),
            _matrix(rows["top_logits"], ok, np.float32("nan")),
            _numbers(rows["true_logit"], np.float32("nan")),
            _numbers(rows["true_rank"], np.int32(0)),
            _numbers(rows["logsumexp"], np.float32("nan")),
        )

    def embeddings(self, model: str) -> NDArray[np.float16]:
        """Embeddings of all images: float16 (N, D), NaN where the image was rejected.

        Raises:
            EvaluationFolderError: they were not kept.
        """
        rows = self.table(model, ["status", "embedding"])
        ok = np.asarray(rows["status"].to_numpy() == OK)
        if rows["embedding"].null_count > len(ok) - int(ok.sum()):
            mend = "Evaluate into a new folder with --embeddings"
            raise EvaluationFolderError("no embeddings were kept", where=self.root, mend=mend)
        return _matrix(rows["embedding"], ok, np.float16("nan"))


def open_results(path: str | Path) -> Results:
    """Open an evaluation folder.

    Raises:
        EvaluationFolderError: the folder is not one.
    """
    root = Path(path)
    if not (root / ABOUT).is_file():
        mend = f"Type: covar-gen evaluate DATA --models MODEL --out {root}"
        what = f"not an evaluation folder (no {ABOUT})"
        raise EvaluationFolderError(what, where=root, mend=mend)
    for name in (IMAGES_FILE, CLASSES_FILE):
        if not (root / name).is_file():
            mend = "Evaluate into a new folder with --out"
            raise DamagedRunError("the file is gone", where=root / name, mend=mend)
    results = Results(root, read_json(root / ABOUT))
    if results.count != results.about["count"]:
        what = f"{results.count} images, but {results.about['count']} were to be evaluated"
        mend = "Evaluate into a new folder with --out"
        raise DamagedRunError(what, where=root / IMAGES_FILE, mend=mend)
    return results


def part_name(start: int, stop: int) -> str:
    """File name of the part with rows start to stop (exclusive)."""
    return f"{start:09d}-{stop:09d}.parquet"


def part_range(path: Path) -> tuple[int, int]:
    """First row of a part, and the row after its last."""
    start, _, stop = path.stem.partition("-")
    return int(start), int(stop)


def _rows_in(parts: Sequence[Path]) -> int:
    return sum(stop - start for start, stop in map(part_range, parts))


def _is_block(path: Path, size: int, count: int) -> bool:
    start, stop = part_range(path)
    return start % size == 0 and stop == min(start + size, count)


def whole_parts(folder: Path) -> list[Path]:
    """The parts in a folder that hold the rows their names say, in the order of the rows."""
    found = []
    for path in sorted(folder.glob(PART)):
        start, stop = part_range(path)
        try:
            count = pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            continue
        if count == stop - start:
            found.append(path)
    return found


def noted(folder: Path) -> dict[str, Any]:
    """What the parts in a folder were made with; nothing where it holds neither note nor parts.

    Raises:
        DamagedRunError: there are parts, and the note about them is damaged.
    """
    path = folder / MADE_WITH
    if not path.is_file() or not (path.stat().st_size or any(folder.glob(PART))):
        return {}
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the folder.

    Raises:
        DamagedRunError: it is not whole.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        mend = "Evaluate into a new folder with --out"
        raise DamagedRunError("the file is damaged", where=path, mend=mend) from error
    return found


def json_bytes(value: dict[str, Json]) -> bytes:
    """As such a file is written: the same value gives the same bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    names = list(columns) if columns is not None else None
    try:
        return pq.read_table(
            path, columns=names, partitioning=None, page_checksum_verification=True
        )
    except (pa.ArrowException, OSError) as error:
        # Arrow reports damage as an OSError without a number, the disk with one.
        if isinstance(error, OSError) and error.errno:
            raise
        mend = "Remove it and type the same `covar-gen evaluate` command again"
        raise DamagedRunError("the file is damaged", where=path, mend=mend) from error


def _numbers(column: pa.ChunkedArray, absent: np.generic) -> NDArray[Any]:
    return np.asarray(column.fill_null(pa.scalar(absent.item(), column.type)).to_numpy())


def _matrix(column: pa.ChunkedArray, ok: NDArray[np.bool_], absent: np.generic) -> NDArray[Any]:
    """Lists of one length, null in rows that are not ok, as (N, k)."""
    values = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
    there = np.asarray(values.to_numpy())
    width = len(there) // max(int(ok.sum()), 1)
    found = np.full((len(ok), max(width, 1)), absent)
    if not ok.any():
        return found
    found[ok] = there.reshape(int(ok.sum()), -1)
    return found
