"""The figures about errors, drawn from their tables alone.

What errors are made of is the paper's figure 1(d) and table 4; cost and faithfulness against the
number of clusters are its supplement's figure 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.report.drawing import (
    LINE,
    MARKERS,
    PAPER,
    SERIES,
    Drawing,
    drawn,
    new_figure,
)
from covar_gen.evaluation.report.error_methods import AVERAGE, Row, one_subset, shown_rows
from covar_gen.evaluation.report.stacks import Part, Tick, stacks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECTION = "errors"
PARTS = {
    "background": ("background", SERIES[1]),
    "fine": ("object, classes look alike", SERIES[0]),
    "other": ("object, classes do not", SERIES[5]),
    "unscored": ("object, not judged", SERIES[3]),
    "undecided": ("undecided", "#a8a39b"),
    "unexplained": ("unexplained", LINE),
}
"""Column of the table error_sources -> its name and colour; together they are all errors."""
CHANCE = "background, of random maps"
FEW = 3
"""Models up to which the page shows the subsets of each."""
LAYERS = {"last": "the last layer", "shuffled": "shuffled maps (chance)"}
PAPERS = "ViT-B-16-quickgelu/openai"
"""The model of the paper's figure 1(d)."""


def error_figures(
    table: pa.Table,
    name: str,
    accuracy: pa.Table,
    models: Sequence[str],
    folders: Mapping[str, str],
) -> list[Drawing]:
    """What errors are made of: of each model as a whole, and of each model by subset.

    Args:
        table: the table error_sources.
        name: its name.
        accuracy: the table of accuracies, for how many images are errors.
        models: in the order in which they are shown.
        folders: model -> its name as a part of a file's name.
    """
    rows = shown_rows(table.to_pylist())
    there = [model for model in models if any(row["model"] == model for row in rows)]
    if not there:
        return []
    wrong = {
        (row["model"], row["subset"]): 100 - row["accuracy"]
        for row in accuracy.to_pylist()
        if row["accuracy"] is not None
    }
    front = there if len(there) <= FEW else [PAPERS if PAPERS in there else there[0]]
    drawings = [_whole(rows, name, there)]
    for model in there:
        mine = [
            row
            for row in rows
            if row["model"] == model
            and row["subset"] != AVERAGE
            and (model, row["subset"]) in wrong
            and row["n_errors"]
        ]
        if len(mine) > 1:
            rates = np.array([wrong[model, row["subset"]] for row in mine])
            more = "" if len(there) <= FEW else " figures/ has this figure for every model."
            drawings.append(_subsets(mine, rates, name, folders[model], more, shown=model in front))
    return drawings


def _column(rows: Sequence[Row], key: str) -> NDArray[np.float64]:
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], np.float64)


def _parts(rows: Sequence[Row], scale: NDArray[np.float64]) -> list[Part]:
    return [Part(said, colour, _column(rows, key) * scale) for key, (said, colour) in PARTS.items()]


def _whole(rows: Sequence[Row], name: str, models: Sequence[str]) -> Drawing:
    subset, on = one_subset(rows)
    found = {row["model"]: row for row in rows if row["subset"] == subset}
    mine = [found[model] for model in models]
    each = np.ones(len(mine))
    figure = stacks(
        models,
        _parts(mine, each),
        "share of all errors, %",
        tick=Tick(CHANCE, _column(mine, "chance")),
    )
    about = {
        "section": SECTION,
        "title": ", ".join(filter(None, ("What errors are made of", on))),
        "caption": "Every error is in its bar, also those that could not be decided, judged or "
        "explained. Where the first part ends before the line, random maps would be called "
        "background-driven as often: the verdict then says little, and the excess is what to "
        "look at.",
        "alt": f"Stacked bars of the shares of errors by what drives them, for {len(mine)} "
        "model(s). The numbers are in the table above.",
        "beside": name,
    }
    return drawn(figure, name, **about)


def _subsets(
    rows: Sequence[Row],
    rates: NDArray[np.float64],
    name: str,
    folder: str,
    more: str,
    *,
    shown: bool,
) -> Drawing:
    """The paper's figure 1(d): bars as long as the share of images that are errors."""
    scale = rates / 100
    tick = Tick(CHANCE, _column(rows, "chance") * scale)
    ends = [f"{rate:.1f}" for rate in rates]
    names = [row["subset"] for row in rows]
    figure = stacks(names, _parts(rows, scale), "share of all images, %", tick=tick, ends=ends)
    about = {
        "section": SECTION,
        "title": f"Errors of {rows[0]['model']} by subset",
        "caption": "A bar is as long as the share of images that the model gets wrong (the number "
        "at its end), its parts are what drives these errors, as in the paper's figure 1(d)."
        f"{more}",
        "alt": f"Stacked bars of the error rate of {rows[0]['model']} on {len(rows)} subsets by "
        "what drives the errors. The numbers follow from the tables of accuracy and of errors.",
        "beside": name,
        "shown": shown,
    }
    return drawn(figure, f"{name}_{folder}", **about)


def study_figures(table: pa.Table, name: str, folders: Mapping[str, str]) -> list[Drawing]:
    """Time, deletion and insertion against the number of clusters, for each model.

    Args:
        table: the table cluster_study.
        name: its name.
        folders: model -> its name as a part of a file's name.
    """
    rows = table.to_pylist()
    models = list(dict.fromkeys(row["model"] for row in rows))
    drawings = []
    for place, model in enumerate(models):
        mine = sorted((row for row in rows if row["model"] == model), key=lambda r: r["clusters"])
        if len({row["clusters"] for row in mine}) > 1:
            folder = folders.get(model, str(place))
            drawings.append(_study(mine, name, folder, folded=place > 0))
    return drawings


def _study(rows: Sequence[Row], name: str, folder: str, *, folded: bool) -> Drawing:
    figure = new_figure(2.6)
    cost, deletion, insertion = figure.subplots(1, 3)
    series = _series(rows)
    clusters = sorted({row["clusters"] for row in rows})
    for number, (label, mine) in enumerate(series.items()):
        look = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
        # Side by side, intervals do not hide each other.
        aside = (number - (len(series) - 1) / 2) * 0.02 * (clusters[-1] - clusters[0])
        _curve(cost, mine, "seconds", look, label=label)
        for axes, key in ((deletion, "deletion"), (insertion, "insertion")):
            _curve(axes, mine, f"{key}_top1", look, aside=aside)
            _curve(axes, mine, f"{key}_top5", look, line="--", aside=aside)
    titles = ("seconds per image", "deletion AUC (lower is better)", "insertion AUC (higher)")
    for axes, title in zip((cost, deletion, insertion), titles, strict=True):
        axes.set_title(title)
        axes.grid(visible=True, axis="both")
        axes.set_xticks(clusters)
    cost.set_ylim(bottom=0)
    figure.supxlabel("clusters, K", fontsize=8.5)
    figure.legend(loc="outside upper left", ncols=min(len(series), 3))
    about = {
        "section": SECTION,
        "title": f"Cost and faithfulness against the number of clusters: {rows[0]['model']}",
        "caption": f"Over {rows[0]['n_images']:,} images, as in the supplement's figure 1. "
        "Solid: top-1, dashed: top-5; upright lines are 95% intervals of top-1. Shuffled maps have "
        "no time of their own.",
        "alt": "Curves of seconds per image, deletion and insertion AUC against the number of "
        "clusters. The numbers are in the table.",
        "beside": name,
        "folded": folded,
    }
    return drawn(figure, f"{name}_{folder}", **about)


def _series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Curves by their names: the layers, and what else was not the same in all of them."""
    settings = ("target", "ties", "points", "seed", "n_images")
    apart = [key for key in settings if len({row[key] for row in rows}) > 1]
    found: dict[str, list[Row]] = {}
    for row in rows:
        layers = LAYERS.get(row["layers"], f"{row['layers']} layers")
        more = "".join(f", {key.removeprefix('n_')} {row[key]}" for key in apart)
        found.setdefault(f"{layers}{more}", []).append(row)
    return found


def _curve(
    axes: Axes,
    rows: Sequence[Row],
    key: str,
    look: tuple[str, str],
    *,
    label: str | None = None,
    line: str = "-",
    aside: float = 0.0,
) -> None:
    colour, marker = look
    at = _column(rows, "clusters") + aside
    if line == "-":
        axes.vlines(at, _column(rows, f"{key}_low"), _column(rows, f"{key}_high"), color=colour)
    axes.plot(
        at, _column(rows, key), marker, linestyle=line, color=colour, markeredgecolor=PAPER,
        label=label,
    )  # fmt: skip
