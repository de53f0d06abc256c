"""Explained errors as they are stored: rows of ERRORS, and the judged pairs of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.errors import DamagedRunError, PluginError
from covar_gen.core.plugins import find
from covar_gen.core.rows import OK
from covar_gen.evaluation.attribution.base import KIND, Method
from covar_gen.evaluation.metrics.regions import ROUNDING
from covar_gen.evaluation.results import MADE_WITH, Results, part_range, read_json
from covar_gen.evaluation.rows import ERRORS, MARGINS, THRESHOLDS

PREFIX = "errors-"
JUDGED = "judged.parquet"


@dataclass(frozen=True)
class Explained:
    """The errors of a model, explained by a method; arrays follow the errors' order.

    Attributes:
        model: its name.
        method: the method and its options (`label`).
        rows: int64 (E,), rows of the images.
        labels: int64 (E,), true classes.
        predicted: int64 (E,), predicted classes.
        ok: bool (E,), False where there are no overlaps.
        reasons: why not; None where there are.
        flat: bool (E,), True where the map says nothing.
        on_object: float32 (E, P), overlap with the object at each of THRESHOLDS; NaN where not ok.
        on_background: float32 (E, P), with the background.
        mass: float64 (E,), share of the positive mass on the background; NaN where there is none.
        chance: float64 (E,), share of random maps that would be called background-driven.
        coverage: float64 (E,), share of what the model saw that is object; NaN where not ok.
        chance_each: float32 (E, P, M), `chance` at each of THRESHOLDS and each of MARGINS.
        chance_excess: float64 (E,), share of random maps that `excess` would hold of.
        short: the same without the options that are the method's default (`short_label`).
        options: the method's, all of them.
        default: whether they are the ones that it has where none is given.
        folder: where the rows are kept.
    """

    model: str
    method: str
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    ok: NDArray[np.bool_]
    reasons: tuple[str | None, ...]
    flat: NDArray[np.bool_]
    on_object: NDArray[np.float32]
    on_background: NDArray[np.float32]
    mass: NDArray[np.float64]
    chance: NDArray[np.float64]
    coverage: NDArray[np.float64]
    chance_each: NDArray[np.float32]
    chance_excess: NDArray[np.float64]
    short: str
    options: dict[str, Json]
    default: bool
    folder: Path

    @property
    def excess(self) -> NDArray[np.bool_]:
        """Errors whose map has more of its mass on the background than the background fills.

        Needs no threshold, and is as likely of a random map whatever the object's size.

        Returns:
            bool (E,), False where the map says nothing or there is no mask.
        """
        return np.asarray(self.mass > 1 - self.coverage + ROUNDING)


def wrong_rows(results: Results, model: str) -> NDArray[np.int64]:
    """Rows of the misclassified images, in their order: those whose best class is another one."""
    rows = results.table(model, ["status", "true_rank"])
    ok = np.asarray(rows["status"].to_numpy() == OK)
    ranks = rows["true_rank"].fill_null(0).to_numpy()
    return np.flatnonzero(ok & (ranks != 1))


_KNOWN: WeakKeyDictionary[Results, dict[Path, tuple[list[Path], Explained]]] = WeakKeyDictionary()
"""What was read already, with its parts: a report makes half a dozen tables of it."""


def explained(results: Results) -> list[Explained]:
    """Every complete explanation of a complete model's errors.

    They are read once per opened folder, and again where parts were added since.

    Returns:
        In order of the models; of a model, those with default options first, then by the options,
        numbers as numbers.

    Raises:
        DamagedRunError: a part cannot be read.
    """
    known = _KNOWN.setdefault(results, {})
    found = []
    for model in results.models():
        rows: NDArray[np.int64] | None = None
        of_model = []
        for folder in sorted(results.folder(model).glob(f"{PREFIX}*/")):
            parts = sorted(folder.glob("*.parquet"))
            if folder not in known or known[folder][0] != parts:
                rows = wrong_rows(results, model) if rows is None else rows
                if not _is_whole(parts, len(rows)):
                    continue
                known[folder] = parts, _explained(model, folder, parts, rows)
            of_model.append(known[folder][1])
        found += sorted(of_model, key=_order)
    return found


def _is_whole(parts: Sequence[Path], count: int) -> bool:
    """Whether parts, in their order, have a row for each of so many errors, and one only."""
    ranges = [part_range(path) for path in parts]
    ends = [0, *(stop for _, stop in ranges)]
    return ends[-1] == count and [start for start, _ in ranges] == ends[:-1]


def stored_maps(found: Explained, places: Sequence[int]) -> list[NDArray[np.float32] | None]:
    """Maps of some of the errors, as they were stored; only their parts are read.

    Args:
        found: explained errors, E of them.
        places: indices in [0, E).

    Returns:
        float32 (h, w) each, on the patch grid, not scaled: `pixel_map` lays it over the image;
        None where the image could not be explained.

    Raises:
        DamagedRunError: a part cannot be read.
        IndexError: there is no such place.
    """
    parts = sorted(found.folder.glob("*.parquet"))
    stops = np.array([part_range(path)[1] for path in parts], np.int64)
    wanted = np.asarray(places, np.int64)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= (stops[-1] if len(stops) else 0)):
        msg = f"expected places in [0, {stops[-1] if len(stops) else 0}), got {list(places)}"
        raise IndexError(msg)
    owner = np.searchsorted(stops, wanted, side="right")
    maps: list[NDArray[np.float32] | None] = [None] * len(wanted)
    for number in np.unique(owner).tolist():
        mine = np.flatnonzero(owner == number)
        table = _read(parts[number], ["map", "map_height", "map_width"])
        rows = table.take(wanted[mine] - part_range(parts[number])[0]).to_pylist()
        for place, row in zip(mine.tolist(), rows, strict=True):
            if row["map"] is not None:
                shape = row["map_height"], row["map_width"]
                maps[place] = np.array(row["map"], np.float32).reshape(shape)
    return maps


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if set(columns) - set(file.schema_arrow.names):
                what = "explained by another version, which measured less"
                mend = "Remove the folder and type the same `covar-gen errors` command again"
                raise DamagedRunError(what, where=path.parent, mend=mend)
            # A part is small: threads would cost more than they save.
            return file.read(columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        # Arrow reports damage as an OSError without a number, the disk with one.
        if isinstance(error, OSError) and error.errno:
            raise
        mend = "Remove it and type the same `covar-gen errors` command again"
        raise DamagedRunError("the file is damaged", where=path, mend=mend) from error


def label(identity: Mapping[str, Any]) -> str:
    """A method and all its options, as tables call it; its version where that is not today's.

    Args:
        identity: of the method.
    """
    return _label(identity["plugin"], {**identity["options"], **_other_version(identity)})


def short_label(identity: Mapping[str, Any]) -> str:
    """A method in short: its name, and the options that are not those that it has by itself.

    Args:
        identity: of the method.

    Returns:
        For example "cci", or "cci: clusters 3, layers last"; all options of a method that is not
        among those installed.
    """
    usual = _usual(identity["plugin"]) or {}
    others = {
        key: value
        for key, value in identity["options"].items()
        if key not in usual or usual[key] != value
    }
    return _label(identity["plugin"], {**others, **_other_version(identity)})


def _other_version(identity: Mapping[str, Any]) -> dict[str, Json]:
    """The version of a method that the installed one is not, as an option of its own.

    Rows of both may lie side by side after an update, and are not the same method's.
    """
    plugin, said = _installed(identity["plugin"]), identity.get("version")
    if plugin is None or said in (None, plugin.version):
        return {}
    return {"version": said}


def _label(plugin: str, options: Mapping[str, Json]) -> str:
    shown = ", ".join(f"{key} {value}" for key, value in sorted(options.items()))
    return f"{plugin}: {shown}" if shown else plugin


def is_default(identity: Mapping[str, Any]) -> bool:
    """Whether a method's options are those that it has where none is given.

    Args:
        identity: of the method.

    Returns:
        False also for a method that is not among those installed, or is there in another version.
    """
    usual = _usual(identity["plugin"])
    return bool(usual == identity["options"]) and not _other_version(identity)


def _usual(method: str) -> dict[str, Json] | None:
    """A method's options where none is given; None where it is not installed."""
    plugin = _installed(method)
    return None if plugin is None else plugin.Options().model_dump(mode="json")


def _installed(method: str) -> type[Method] | None:
    try:
        return find(KIND, method, Method)
    except PluginError:
        return None


def _order(found: Explained) -> tuple[Any, ...]:
    """Sorts explanations: the method, the default options first, then by words, then by numbers."""
    values = sorted(found.options.items(), key=lambda each: (not isinstance(each[1], str), each[0]))
    shown = [(key, f"{v:020.6f}" if _number(v) else str(v)) for key, v in values]
    return found.method.partition(": ")[0], not found.default, shown


def _number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _explained(model: str, folder: Path, parts: list[Path], rows: NDArray[np.int64]) -> Explained:
    # Maps are many times the rest; `stored_maps` reads those that are drawn.
    wanted = [name for name in ERRORS.names if not name.startswith("map")]
    pieces = [_read(path, wanted) for path in parts]
    table = pa.concat_tables([ERRORS.empty_table().select(wanted), *pieces])
    ok = np.asarray(table["status"].to_numpy() == OK)
    about = read_json(folder / MADE_WITH)["method"]
    each = _lists(table["chance_each"], ok, len(THRESHOLDS) * len(MARGINS))
    return Explained(
        model=model,
        method=label(about),
        rows=rows,
        labels=table["label"].to_numpy().astype(np.int64),
        predicted=table["predicted"].to_numpy().astype(np.int64),
        ok=ok,
        reasons=tuple(table["reason"].to_pylist()),
        flat=table["flat"].fill_null(False).to_numpy().astype(bool),  # noqa: FBT003 - a value
        on_object=_lists(table["iou_object"], ok, len(THRESHOLDS)),
        on_background=_lists(table["iou_background"], ok, len(THRESHOLDS)),
        mass=_numbers(table["mass_background"]),
        chance=_numbers(table["chance"]),
        coverage=_numbers(table["object_coverage"]),
        chance_each=each.reshape(len(ok), len(THRESHOLDS), len(MARGINS)),
        chance_excess=_numbers(table["chance_excess"]),
        short=short_label(about),
        options=about["options"],
        default=is_default(about),
        folder=folder,
    )


def _lists(column: pa.ChunkedArray, ok: NDArray[np.bool_], width: int) -> NDArray[np.float32]:
    found = np.full((len(ok), width), np.nan, np.float32)
    # Without a Python object per error: there are millions.
    found[ok] = pc.list_flatten(column).to_numpy().reshape(-1, width)
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
