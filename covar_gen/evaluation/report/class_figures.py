"""The figures of each class's drop against its original photographs.

The paper's figures 6 (bg_varied), 8 (mean and maximum over the subsets), 15-18 (models beside
each other) and 20 (every subset).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from covar_gen.evaluation.report.charts import Grid, Marks, heat, spans
from covar_gen.evaluation.report.drawing import Drawing, drawn
from covar_gen.evaluation.report.figures import grid_of

MEAN, MAXIMUM, BG_VARIED = "mean", "maximum", "bg_varied"
SECTION = "class_drops"
MOST = 60
"""Classes in a figure; of more, those with the largest mean drop are shown."""
ABREAST = 4
"""Models whose classes stand beside each other."""
HEAT_MAPS = 4
"""Models up to which the page shows a heat map for each; of more it has the tables."""
NAME = 30
"""Characters of a class's name in a figure."""


def class_drop_figures(
    table: pa.Table,
    models: Sequence[str],
    folders: Mapping[str, str],
    families: Mapping[str, str],
) -> list[Drawing]:
    """Figures of the table of drops per class.

    Args:
        table: columns model, subset, label, class_name, class_id, drop.
        models: in the order in which they are shown.
        folders: model -> its name as a part of a file's name.
        families: model -> what it was pretrained on, where that is known.
    """
    rows = [{**row, "class": _named(row)} for row in table.to_pylist()]
    if not rows:
        return []
    order, left_out = _order(rows)
    limit = f" The {MOST} classes of the largest mean drop are shown, {left_out} are not." * bool(
        left_out
    )
    drawings = _spans(rows, order, _grouped(models, families), limit)
    if len(models) > 1:
        drawings += _models(rows, order, models, limit)
    shown = len(models) <= HEAT_MAPS
    return drawings + [
        _subsets(rows, order, model, folders[model], limit, shown=shown) for model in models
    ]


def _named(row: Mapping[str, Any]) -> str:
    name = str(row["class_name"])
    short = name if len(name) <= NAME else f"{name[: NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    number = row["class_id"] if row["class_id"] is not None else row["label"]
    return f"{short} ({number})"


def _order(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """Classes from the largest drop to the smallest, mean over models, and how many do not fit."""
    subsets = {row["subset"] for row in rows}
    whole = MEAN if MEAN in subsets else min(subsets)
    drops: dict[str, list[float]] = {}
    for row in rows:
        if row["subset"] == whole:
            known = [] if row["drop"] is None else [row["drop"]]
            drops.setdefault(row["class"], []).extend(known)
    found = {name: float(np.mean(values)) if values else -np.inf for name, values in drops.items()}
    order = sorted(found, key=lambda name: (-found[name], name))
    return order[:MOST], len(order) - len(order[:MOST])


def _spans(
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[str],
    groups: Sequence[tuple[str, Sequence[str]]],
    limit: str,
) -> list[Drawing]:
    """Background-varied, mean and maximum of each class, a figure for each group of models."""
    drawings = []
    kinds = ((BG_VARIED, BG_VARIED), ("mean of the subsets", MEAN), ("their largest", MAXIMUM))
    for number, (family, models) in enumerate(groups, 1):
        marks = []
        for name, subset in kinds:
            mine = [row for row in rows if row["subset"] == subset and row["model"] in models]
            if mine:
                marks.append(Marks(name, _by_model(mine, order, models).value))
        trained = f" (pretrained on {family})" * bool(family)
        about = {
            "section": SECTION,
            "title": f"Drop of each class: {', '.join(models)}{trained}",
            "caption": "Accuracy on a class's original photographs minus accuracy on a subset. "
            f"Classes from the largest mean drop to the smallest, mean over all models.{limit}",
            "alt": f"Drops of {len(order)} classes for {', '.join(models)}. The numbers are in "
            "the tables.",
            "folded": number > 1,
        }
        figure = spans(order, models, marks, "drop in accuracy, points")
        drawings.append(drawn(figure, f"class_drops_{number}", **about))
    return drawings


def _grouped(models: Sequence[str], families: Mapping[str, str]) -> list[tuple[str, Sequence[str]]]:
    """Models of one pretraining together, a few of them at a time."""
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(families.get(model, ""), []).append(model)
    return [
        (family, members[start : start + ABREAST])
        for family, members in found.items()
        for start in range(0, len(members), ABREAST)
    ]


def _by_model(
    rows: Sequence[Mapping[str, Any]], order: Sequence[str], models: Sequence[str]
) -> Grid:
    """Drops of the classes, one column for each model."""
    grid = grid_of(rows, "model", "class", "drop", order=models)
    at = {name: place for place, name in enumerate(grid.columns)}
    places = [at[name] for name in order]
    parts = (part[:, places].T for part in (grid.value, grid.low, grid.high))
    return Grid(tuple(order), tuple(models), *parts)


def _models(
    rows: Sequence[Mapping[str, Any]], order: Sequence[str], models: Sequence[str], limit: str
) -> list[Drawing]:
    """Classes by models, on images with varied backgrounds, or on the mean of the subsets."""
    subsets = {row["subset"] for row in rows}
    subset = BG_VARIED if BG_VARIED in subsets else MEAN
    mine = [row for row in rows if row["subset"] == subset]
    if not mine:
        return []
    grid = _by_model(mine, order, models)
    about = {
        "section": SECTION,
        "title": f"Drop of each class on {subset}, models beside each other",
        "caption": "Accuracy on a class's original photographs minus accuracy on the subset, "
        f"points: dark orange where it falls, blue where it rises.{limit}",
        "alt": f"Heat map of the drops of {len(order)} classes on {subset} for "
        f"{len(models)} models. The numbers are in the tables.",
        "folded": True,
    }
    return [drawn(heat(grid, "drop, points", diverging=True), "class_drops_models", **about)]


def _subsets(
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[str],
    model: str,
    folder: str,
    limit: str,
    *,
    shown: bool,
) -> Drawing:
    """Classes by subsets of one model."""
    mine = [row for row in rows if row["model"] == model and row["subset"] not in {MEAN, MAXIMUM}]
    grid: Grid = grid_of(mine, "class", "subset", "drop", order=order)
    about = {
        "section": SECTION,
        "title": f"Drop of each class on each subset: {model}",
        "caption": "Accuracy on a class's original photographs minus accuracy on the subset, "
        f"points: dark orange where it falls, blue where it rises.{limit}",
        "alt": f"Heat map of the drops of {len(order)} classes on {len(grid.columns)} subsets for "
        f"{model}. The numbers are in its table.",
        "folded": True,
        "shown": shown,
    }
    figure = heat(grid, "drop, points", diverging=True, numbers=shown)
    return drawn(figure, f"class_drops_of_{folder}", **about)
