"""Studies of the number of clusters as they are stored: one folder per model and kind of map.

DIR/<model>/clusters-<layers>-<K>-<digest>/
  made_with.json              the map and how its curves were measured
  <first>-<last>.parquet      rows of STUDIED, one part per block of the sample
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from covar_gen.evaluation.results import Results, noted, part_range, whole_parts

PREFIX = "clusters-"
Layers = Literal["all", "last", "shuffled"]
LAYERS: tuple[Layers, ...] = ("all", "last", "shuffled")
"""Where CCI masks a cluster's keys; or the values of the `all` map on other patches, drawn, which
is what a map of such values gives by chance."""


class Case(NamedTuple):
    """A kind of map.

    Attributes:
        layers: where a cluster's keys are masked, or `shuffled`.
        clusters: K.
    """

    layers: Layers
    clusters: int


STUDIED = pa.schema(
    [
        pa.field(name, kind, metadata={"meaning": meaning})
        for name, kind, meaning in (
            ("key", pa.string(), "key of the image"),
            ("target", pa.int32(), "the class whose map and rank this is about"),
            ("flat", pa.bool_(), "true where the map says nothing"),
            ("deletion", pa.list_(pa.int32()), "rank of the target at each point, 1 = best"),
            ("insertion", pa.list_(pa.int32()), "the same of insertion"),
            ("seconds", pa.float64(), "per image, for its map; null where it was not timed"),
            ("forward", pa.float64(), "per image, for a plain forward timed beside it"),
            ("device", pa.string(), "what both were timed on"),
        )
    ]
)


@dataclass(frozen=True)
class Studied:
    """The curves of a model's images for one kind of map; arrays follow the sample's order.

    Attributes:
        model: its name.
        case: the kind of map.
        settings: how it was measured: images, target, and those of `Perturbation`.
        rows: int64 (N,), rows of the images.
        deletion: int32 (N, P), rank of the target at each point.
        insertion: int32 (N, P).
        seconds: per image and map, median over the batches that were timed; NaN where none was, or
            where they were timed on several devices.
        forwards: the same divided by a plain forward's beside it.
    """

    model: str
    case: Case
    settings: dict[str, Any]
    rows: NDArray[np.int64]
    deletion: NDArray[np.int32]
    insertion: NDArray[np.int32]
    seconds: float
    forwards: float


def studied(results: Results) -> list[Studied]:
    """Every complete study of a complete model: by model, layers, settings and K."""
    found = []
    for model in results.models():
        for folder in sorted(results.folder(model).glob(f"{PREFIX}*/")):
            about, parts = noted(folder), whole_parts(folder)
            done = sum(stop - start for start, stop in map(part_range, parts))
            if about and done == about["count"]:
                found.append(_studied(results, model, about, parts))
    models = results.models()
    return sorted(
        found,
        key=lambda each: (
            models.index(each.model),
            LAYERS.index(each.case.layers),
            str(sorted(each.settings.items())),
            each.case.clusters,
        ),
    )


def _studied(results: Results, model: str, about: dict[str, Any], parts: list[Path]) -> Studied:
    table = pa.concat_tables([pq.read_table(path, partitioning=None) for path in parts])
    rows = pc.index_in(table["key"], value_set=results.images(["key"])["key"].combine_chunks())
    seconds, forwards = _timed(table)
    return Studied(
        model,
        Case(*about["case"]),
        about["settings"],
        rows.to_numpy().astype(np.int64),
        np.stack(table["deletion"].to_numpy()).astype(np.int32),
        np.stack(table["insertion"].to_numpy()).astype(np.int32),
        seconds,
        forwards,
    )


def _timed(table: pa.Table) -> tuple[float, float]:
    """Seconds per image, and as a multiple of a plain forward; NaN where they are not one thing."""
    timed = table.filter(pc.is_valid(table["seconds"]))
    if not len(timed) or len(set(timed["device"].to_pylist())) > 1:
        return float("nan"), float("nan")
    seconds, forward = (timed[name].to_numpy() for name in ("seconds", "forward"))
    return float(np.median(seconds)), float(np.median(seconds / forward))
