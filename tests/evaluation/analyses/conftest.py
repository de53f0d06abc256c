"""Small evaluation folders with answers known beforehand, written as `covar-gen evaluate` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from covar_gen.evaluation.explained import wrong_rows
from covar_gen.evaluation.results import (
    ABOUT,
    CLASSES_FILE,
    IMAGES_FILE,
    MADE_WITH,
    Results,
    open_results,
    part_name,
)
from covar_gen.evaluation.rows import (
    CLASSES,
    ERRORS,
    IMAGES,
    MARGINS,
    PREDICTIONS,
    THRESHOLDS,
    TOP,
)

Answers = Sequence[int | None] | NDArray[np.floating]
Writer = Callable[..., Results]


def decided(answers: Sequence[int | None], classes: int) -> NDArray[np.float64]:
    """Logits (N, C) whose largest is that of the answer; the other classes follow in order.

    An answer of None gives a row of NaN: a rejected image.
    """
    rows = np.tile(-0.5 * np.arange(classes, dtype=np.float64), (len(answers), 1))
    for place, answer in enumerate(answers):
        rows[place, 0 if answer is None else answer] = 5.0
        if answer is None:
            rows[place] = np.nan
    return rows


def predictions(logits: NDArray[np.floating], images: pa.Table) -> pa.Table:
    """Rows of PREDICTIONS for logits (N, C); a row of NaN is a rejected image."""
    labels = images["label"].to_numpy()
    bad = np.isnan(logits).any(axis=1)
    order = np.argsort(-np.nan_to_num(logits), axis=1, kind="stable")
    top = order[:, : min(TOP, logits.shape[1])]
    shift = np.nan_to_num(logits).max(axis=1)
    columns = {
        "true_logit": np.take_along_axis(logits, labels[:, None].astype(np.int64), 1)[:, 0],
        "true_rank": (order == labels[:, None]).argmax(axis=1) + 1,
        "logsumexp": np.log(np.exp(logits - shift[:, None]).sum(axis=1)) + shift,
    }
    found: dict[str, pa.Array] = {
        name: pa.array(values, PREDICTIONS.field(name).type, mask=bad)
        for name, values in columns.items()
    }
    lists = {"top_ids": top, "top_logits": np.take_along_axis(logits, top, axis=1)}
    for name, values in lists.items():
        kept = [None if b else list(v) for v, b in zip(values, bad, strict=True)]
        found[name] = pa.array(kept, PREDICTIONS.field(name).type)
    found["key"] = images["key"].combine_chunks()
    found["label"] = images["label"].combine_chunks()
    found["status"] = pa.array(["rejected" if b else "ok" for b in bad])
    found["reason"] = pa.array(["unreadable" if b else None for b in bad], pa.string())
    found["content"] = pa.array(np.arange(len(labels)), pa.int64())
    found["batch"] = pa.array(np.full(len(labels), 1), pa.int32())
    found["embedding"] = pa.nulls(len(labels), PREDICTIONS.field("embedding").type)
    return pa.table({name: found[name] for name in PREDICTIONS.names}, schema=PREDICTIONS)


def images_table(images: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of images.parquet; what is left out of an image gets a default."""
    rows = [
        {
            "key": f"{number:06d}",
            "subset": "all",
            "source": f"{number:06d}",
            "origin": f"{number:06d}.png",
            **image,
        }
        for number, image in enumerate(images)
    ]
    own = [name for name in (rows[0] if rows else ()) if name not in IMAGES.names]
    table = pa.table({name: [row[name] for row in rows] for name in (*IMAGES.names, *own)})
    return table.cast(pa.schema([*IMAGES, *(table.schema.field(name) for name in own)]))


def write_folder(
    root: Path,
    images: Sequence[Mapping[str, Any]],
    models: Mapping[str, Answers],
    *,
    names: Sequence[str] = ("cat", "dog", "owl", "ant"),
    wnids: Sequence[str | None] | None = None,
    block: int = 5,
) -> Results:
    """An evaluation folder.

    Args:
        root: where; it must not exist.
        images: for each image its label (index into `names`), and what else is known of it: key,
            subset, source, origin, background_id, background, ...
        models: name -> for each image the class that is answered (None: the image was rejected),
            or logits, float (N, C), where a row of NaN is a rejected image.
        names: of the classes; equal names make one group.
        wnids: of the classes.
        block: images per part.
    """
    table = images_table(images)
    root.mkdir(parents=True)
    pq.write_table(table, root / IMAGES_FILE)
    listed = {
        "index": range(len(names)),
        "class_name": list(names),
        "wnid": list(wnids or [None] * len(names)),
        "imagenet_index": [None] * len(names),
        "group": [list(names).index(name) for name in names],
    }
    pq.write_table(pa.table(listed, schema=CLASSES), root / CLASSES_FILE)
    about = {
        "data": {"kind": "test"},
        "images": "0" * 64,
        "count": len(table),
        "classes": {"source": "labels", "count": len(names), "digest": "0" * 64},
        "templates": {"source": "generic", "count": 1},
        "top": min(TOP, len(names)),
        "block": block,
        "place": {},
    }
    (root / ABOUT).write_text(json.dumps(about))
    for model, answers in models.items():
        folder = root / model.replace("/", "__").replace(":", "__")
        folder.mkdir()
        made = {"model": {"name": model}, "evaluation": "0" * 64, "embeddings": False}
        (folder / MADE_WITH).write_text(json.dumps(made))
        logits = answers if isinstance(answers, np.ndarray) else decided(answers, len(names))
        rows = predictions(logits, table)
        for start in range(0, len(rows), block):
            stop = min(start + block, len(rows))
            pq.write_table(rows.slice(start, stop - start), folder / part_name(start, stop))
    return open_results(root)


DRIVEN = {"background": (0.1, 0.5), "object": (0.5, 0.1), "neither": (0.3, 0.31)}
"""Overlaps with object and background of an error that each of them drives."""


def write_errors(
    results: Results, model: str, driven: Sequence[str | None], **options: Any
) -> Results:
    """Explain a model's errors as `covar-gen errors` does, and open the folder again.

    Args:
        results: an evaluation.
        model: one of its models.
        driven: for each of its errors, in their order, a key of DRIVEN; None: it has no mask.
        options: of the method, where they are not the default ones.
    """
    from covar_gen.evaluation.attribution import get_method

    identity = get_method("cci", **options).identity()
    rows = wrong_rows(results, model)
    images = results.images(["key", "label"]).take(rows)
    predicted = results.predictions(model).top_ids[rows, 0]
    made = []
    for place, by in enumerate(driven):
        row: dict[str, Any] = dict.fromkeys(ERRORS.names)
        row |= {name: images[name][place].as_py() for name in ("key", "label")}
        row |= {"predicted": int(predicted[place]), "status": "ok" if by else "rejected"}
        row["reason"] = None if by else "no_mask"
        if by:
            on, off = DRIVEN[by]
            ways = len(THRESHOLDS) * len(MARGINS)
            row |= {"iou_object": [on] * len(THRESHOLDS), "flat": False}
            row |= {"iou_background": [off] * len(THRESHOLDS), "chance_each": [0.5] * ways}
            row |= {"mass_background": off / (on + off), "object_coverage": 0.5}
            row |= {"chance": 0.5, "chance_excess": 0.5}
        made.append(row)
    assert len(made) == len(rows)
    said = "".join(f"-{value}" for value in options.values())
    folder = results.folder(model) / f"errors-cci{said}"
    folder.mkdir()
    (folder / MADE_WITH).write_text(json.dumps({"method": identity}))
    pq.write_table(pa.Table.from_pylist(made, schema=ERRORS), folder / part_name(0, len(made)))
    return open_results(results.root)


@pytest.fixture
def evaluation(tmp_path: Path) -> Writer:
    """Writes an evaluation folder and opens it: `evaluation(images, models, names=...)`.

    See `write_folder` for the arguments; each call makes another folder.
    """
    made: list[Results] = []

    def write(
        images: Sequence[Mapping[str, Any]], models: Mapping[str, Answers], **more: Any
    ) -> Results:
        made.append(write_folder(tmp_path / f"evaluation-{len(made)}", images, models, **more))
        return made[-1]

    return write


@pytest.fixture
def explain() -> Writer:
    """Writes explained errors into an evaluation: `explain(results, model, driven)`."""
    return write_errors


BACKGROUNDS = ("beach", "farmyard")
SUBSETS = ("original", "bg_varied", "hflip", "vflip", "viewpoint", "scale")


def benchmark_images(classes: int = 4, photographs: int = 3) -> list[dict[str, Any]]:
    """A little benchmark: for each photograph the original, and each subset on two backgrounds."""
    found = []
    for label in range(classes):
        for photograph in range(photographs):
            for subset in SUBSETS:
                for number, background in enumerate(BACKGROUNDS, 1):
                    there = subset != "original"
                    if number > 1 and not there:
                        continue
                    found.append(
                        {
                            "key": f"c{label}/p{photograph}/{number:02d}/{subset}",
                            "label": label,
                            "subset": subset,
                            "source": f"c{label}/p{photograph}/original",
                            "class_id": label + 1,
                            "background_id": number if there else None,
                            "background": background if there else None,
                        }
                    )
    return found


def guesses(images: Sequence[Mapping[str, Any]], right: float, seed: int) -> list[int]:
    """Answers of which about a share `right` is correct; the others are spread."""
    rng = np.random.Generator(np.random.PCG64(seed))
    classes = 1 + max(image["label"] for image in images)
    return [
        int(image["label"]) if rng.random() < right else int(rng.integers(0, classes))
        for image in images
    ]


@pytest.fixture
def little_benchmark(evaluation: Writer) -> Results:
    """A little benchmark of four classes with two models: `strong/test` and `weak/test`."""
    images = benchmark_images()
    models = {"strong/test": guesses(images, 0.9, 1), "weak/test": guesses(images, 0.4, 2)}
    return evaluation(images, models)
