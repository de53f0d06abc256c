"""The figures of accuracy and agreement, drawn from their tables alone.

Accuracy per subset is the paper's table 3 and figure 14, drops against bg_varied are its figure 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from covar_gen.evaluation.models.zoo import ZooEntry
from covar_gen.evaluation.report.charts import Grid, dots, heat
from covar_gen.evaluation.report.drawing import Drawing, drawn
from covar_gen.evaluation.report.scatter import Family, scatter

AVERAGE, BG_VARIED = "average", "bg_varied"
INTERVALS = "Lines are 95% intervals (photographs drawn with replacement)."


def grid_of(
    rows: Sequence[Mapping[str, Any]],
    down: str,
    across: str,
    value: str,
    *,
    order: Sequence[str] | None = None,
) -> Grid:
    """Rows of a tidy table as a grid; names as they appear, those of `down` as given."""
    names = tuple(order) if order is not None else tuple(dict.fromkeys(r[down] for r in rows))
    columns = tuple(dict.fromkeys(r[across] for r in rows))
    found = np.full((3, len(names), len(columns)), np.nan)
    at = {name: place for place, name in enumerate(names)}
    for row in rows:
        if row[down] not in at:
            continue
        place = at[row[down]], columns.index(row[across])
        for number, end in enumerate(("", "_low", "_high")):
            one = row.get(f"{value}{end}")
            found[number, *place] = np.nan if one is None else one
    return Grid(names, columns, *found)


def ranked(table: pa.Table) -> list[str]:
    """Models from the highest average accuracy to the lowest; where there is none, of their mean.

    Every figure has its models in this order, so that each has one colour in all of them.
    """
    rows = table.to_pylist()
    averages: dict[str, list[float]] = {}
    whole = [row for row in rows if row["subset"] == AVERAGE] or rows
    for row in whole:
        averages.setdefault(row["model"], []).extend(
            [] if row["accuracy"] is None else [row["accuracy"]]
        )
    found = {model: float(np.mean(v)) if v else -np.inf for model, v in averages.items()}
    return sorted(found, key=lambda model: (-found[model], model))


def accuracy_figure(table: pa.Table) -> list[Drawing]:
    """Accuracy of each model on each subset."""
    rows = table.to_pylist()
    if not rows:
        return []
    models = ranked(table)
    grid = grid_of(rows, "model", "subset", "accuracy", order=models)
    figure = dots(grid, "top-1 accuracy, %")
    best = f"{models[0]} has the highest average. " if len(models) > 1 else ""
    about = {
        "section": "accuracy",
        "title": "Accuracy on each subset",
        "caption": f"Models from the highest average to the lowest. {INTERVALS}",
        "alt": f"Points of top-1 accuracy for {_count(models)} on {len(grid.columns)} subsets. "
        f"{best}The numbers are in the table above.",
    }
    return [drawn(figure, "accuracy", **about)]


def subset_drop_figure(table: pa.Table, name: str, models: Sequence[str]) -> list[Drawing]:
    """Drop of each model on each subset against one of them (figure 7: bg_varied)."""
    rows = table.to_pylist()
    if not rows:
        return []
    grid = grid_of(rows, "model", "subset", "drop", order=models)
    reference = rows[0]["reference"]
    about = {
        "section": "subset_drops",
        "title": f"Drop against {reference}",
        "caption": f"Accuracy on {reference} minus accuracy on the subset: to the right of zero "
        f"the subset is harder. {INTERVALS}",
        "alt": f"Points of drops in accuracy against {reference} for {_count(models)} on "
        f"{len(grid.columns)} subsets. The numbers are in the table.",
    }
    return [drawn(dots(grid, "drop in accuracy, points", zero=True), name, **about)]


def consistency_figure(table: pa.Table, models: Sequence[str]) -> list[Drawing]:
    """Agreement of each two models about which images are hard, as Cohen's kappa."""
    rows = table.to_pylist()
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    if not rows or len(models) < 3:  # noqa: PLR2004 - the one number of two models stands in the table
        return []
    subset = next((name for name in (AVERAGE, BG_VARIED) if name in subsets), subsets[0])
    at = {model: place for place, model in enumerate(models)}
    found = np.full((len(models), len(models)), np.nan)
    for row in rows:
        if row["subset"] == subset and row["kappa"] is not None:
            first, second = sorted((at[row["model_a"]], at[row["model_b"]]))
            found[second, first] = row["kappa"]
    lowest = float(np.nanmin(found)) if not np.isnan(found).all() else 0.0
    grid = Grid(tuple(models), tuple(models), found, found, found)
    figure = heat(grid, "kappa", digits=2, ends=(min(0.0, lowest), 1.0), triangle=True)
    about = {
        "section": "comparisons",
        "title": f"Error consistency on {subset}",
        "caption": "Cohen's kappa between each two models: 1 where they get the same images right "
        "and wrong, 0 where they agree as often as chance makes models of their accuracies agree.",
        "alt": f"Heat map of error consistency between {len(models)} models. The numbers are in "
        "the table.",
    }
    return [drawn(figure, "consistency", **about)]


def size_figures(table: pa.Table, zoo: Mapping[str, ZooEntry]) -> list[Drawing]:
    """Average accuracy against the image tower's parameters, and against resolution."""
    rows = [
        row
        for row in table.to_pylist()
        if row["subset"] == AVERAGE and row["model"] in zoo and row["accuracy"] is not None
    ]
    drawings = []
    for name, unit, title, logarithmic in (
        ("vision_mparams", "parameters of the image tower, millions", "size", True),
        ("resolution", "resolution, pixels", "resolution", False),
    ):
        there = [row for row in rows if getattr(zoo[row["model"]], name) is not None]
        if len({getattr(zoo[row["model"]], name) for row in there}) < 2:  # noqa: PLR2004
            continue
        figure = scatter(
            _families(there, zoo, name), unit, "average accuracy, %", logarithmic=logarithmic
        )
        about = {
            "section": "accuracy",
            "title": f"Accuracy and {title}",
            "caption": f"Average over the subsets; colours and markers are what a model was "
            f"pretrained on, numbers are patch/resolution where they have room. {INTERVALS}",
            "alt": f"Average accuracy of {len(there)} models against {unit}.",
        }
        drawings.append(drawn(figure, f"accuracy_{title}", **about))
    return drawings


def _families(
    rows: Sequence[Mapping[str, Any]], zoo: Mapping[str, ZooEntry], name: str
) -> list[Family]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(zoo[row["model"]].pretraining, []).append(row)
    families = []
    for family, members in found.items():
        entries = [zoo[row["model"]] for row in members]
        x = np.array([float(getattr(entry, name)) for entry in entries])
        value, low, high = (
            np.array([np.nan if row[key] is None else row[key] for row in members], np.float64)
            for key in ("accuracy", "accuracy_low", "accuracy_high")
        )
        labels = tuple(f"{entry.patch}/{entry.resolution}" for entry in entries)
        families.append(Family(family, x, value, low, high, labels))
    return families


def _count(models: Sequence[str]) -> str:
    return "1 model" if len(models) == 1 else f"{len(models)} models"
