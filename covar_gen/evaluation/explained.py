"""Explained errors as they are stored: rows of ERRORS, and the judged pairs of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from covar_gen.core.rows import OK
from covar_gen.evaluation.results import MADE_WITH, Results, part_range, read_json
from covar_gen.evaluation.rows import THRESHOLDS

PREFIX = "errors-"
JUDGED = "judged.parquet"


@dataclass(frozen=True)
class Explained:
    """The errors of a model, explained by a method; arrays follow the errors' order.

    Attributes:
        model: its name.
        method: the method and its options, in short.
        rows: int64 (E,), rows of the images.
        labels: int64 (E,), true classes.
        predicted: int64 (E,), predicted classes.
        ok: bool (E,), False where there are no overlaps.
        reasons: why not; None where there are.
        flat: bool (E,), True where the map says nothing.
        on_object: float64 (E, P), overlap with the object at each of THRESHOLDS; NaN where not ok.
        on_background: float64 (E, P), with the background.
        mass: float64 (E,), share of the positive mass on the background; NaN where there is none.
        chance: float64 (E,), share of random maps that would be called background-driven.
    """

    model: str
    method: str
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    ok: NDArray[np.bool_]
    reasons: tuple[str | None, ...]
    flat: NDArray[np.bool_]
    on_object: NDArray[np.float64]
    on_background: NDArray[np.float64]
    mass: NDArray[np.float64]
    chance: NDArray[np.float64]


def wrong_rows(results: Results, model: str) -> NDArray[np.int64]:
    """Rows of the misclassified images, in their order: those whose best class is another one."""
    found = results.predictions(model)
    return np.flatnonzero(found.ok & (found.true_rank != 1))


def explained(results: Results) -> list[Explained]:
    """Every complete explanation of a complete model's errors, in order of model and folder."""
    found = []
    for model in results.models():
        rows = wrong_rows(results, model)
        for folder in sorted(results.folder(model).glob(f"{PREFIX}*/")):
            parts = sorted(folder.glob("*.parquet"))
            if sum(stop - start for start, stop in map(part_range, parts)) == len(rows):
                found.append(_explained(model, folder, parts, rows))
    return found


def _explained(model: str, folder: Path, parts: list[Path], rows: NDArray[np.int64]) -> Explained:
    from covar_gen.evaluation.rows import ERRORS

    pieces = [pq.read_table(path, partitioning=None) for path in parts]
    table = pa.concat_tables([ERRORS.empty_table(), *pieces])
    ok = np.asarray(table["status"].to_numpy() == OK)
    about = read_json(folder / MADE_WITH)["method"]
    options = ", ".join(f"{key} {value}" for key, value in sorted(about["options"].items()))
    return Explained(
        model,
        f"{about['plugin']}: {options}" if options else about["plugin"],
        rows,
        table["label"].to_numpy().astype(np.int64),
        table["predicted"].to_numpy().astype(np.int64),
        ok,
        tuple(table["reason"].to_pylist()),
        table["flat"].fill_null(False).to_numpy().astype(bool),  # noqa: FBT003 - a value
        _per_threshold(table["iou_object"], ok),
        _per_threshold(table["iou_background"], ok),
        _numbers(table["mass_background"]),
        _numbers(table["chance"]),
    )


def _per_threshold(column: pa.ChunkedArray, ok: NDArray[np.bool_]) -> NDArray[np.float64]:
    found = np.full((len(ok), len(THRESHOLDS)), np.nan)
    values = [value for value in column.to_pylist() if value is not None]
    found[ok] = np.array(values, np.float64).reshape(-1, len(THRESHOLDS))
    return found


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.fill_null(float("nan")).to_numpy(), np.float64)


@dataclass(frozen=True)
class Judged:
    """Which classes look alike.

    Attributes:
        judge: who said so; empty where nobody was asked.
        similar: (true class, predicted class) -> True, False, or None where it was not scored.
    """

    judge: str
    similar: dict[tuple[int, int], bool | None]


def judged(results: Results) -> Judged:
    """The judged pairs of an evaluation; none where nobody was asked."""
    path = results.root / JUDGED
    if not path.is_file():
        return Judged("", {})
    rows = pq.read_table(path).to_pylist()
    said = sorted({row["judge"] for row in rows})
    return Judged(", ".join(said), {(r["truth"], r["predicted"]): r["similar"] for r in rows})
