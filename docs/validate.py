"""Hold verdicts on errors against what the toy world knows, and write docs/validation.*.

Run:    python docs/validate.py WORK

In the folder WORK a toy world is built and evaluated and its errors are explained in every way that
is compared; what is there already is kept, so the same command goes on where it was ended. Then the
counts go to docs/validation.csv, and the tables of docs/validation.md are made of that file.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from validation_tables import ALL, EXCESS, SCALE, VARIED, Row, pages, read, write

from covar_gen.evaluation.analyses.error_sources import drivers
from covar_gen.evaluation.explained import Explained, explained
from covar_gen.evaluation.metrics.regions import MARGIN
from covar_gen.evaluation.results import Results, open_results
from covar_gen.evaluation.rows import MARGINS, THRESHOLDS
from covar_gen.toys.world import TYPICAL

PAGE = Path(__file__).resolve().parent / "validation.md"
COUNTS = PAGE.with_suffix(".csv")
MARK = "<!-- Below: written by docs/validate.py from validation.csv. -->"

MODELS = ("toy:honest", "toy:shortcut", "toy:honest-siglip")
SECTIONS = ("name", "seed", "classes", "masks", "backgrounds", "scale")
CLUSTERS = (3, 5, 7, 10, 15)
LAYERS = ("all", "last")
NORMALISATIONS = ("positive", "paper")
WAYS = (
    *itertools.product(LAYERS, ("positive",), CLUSTERS),
    *itertools.product(LAYERS, ("paper",), (7,)),
)
"""Layers, normalisation and K that are compared."""
CLASS_OF = {description: name for name, description in TYPICAL.items()}
"""Background -> the class that stands before it in photographs."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on E errors, and the truth.

    Attributes:
        true: bool (E,), the predicted class is that of the background.
        background: bool (E,), called background-driven.
        foreground: bool (E,), called driven by the object; neither: undecided.
        random: float64 (E,), share of random maps that would be called background-driven.
        scores: float64 (E,), larger where more of the map is on the background; NaN where the map
            says nothing.
    """

    true: NDArray[np.bool_]
    background: NDArray[np.bool_]
    foreground: NDArray[np.bool_]
    random: NDArray[np.float64]
    scores: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> Verdicts:
        """Those of some of the errors."""
        return Verdicts(*(getattr(self, each.name)[chosen] for each in fields(self)))


def made(work: Path) -> Results:
    """The evaluation in a folder, its errors explained; whatever is missing is made.

    Args:
        work: the folder.
    """
    import tomli_w

    from covar_gen.commands.run import init, run_all
    from covar_gen.core.shipped import shipped
    from covar_gen.evaluation.error_sources import error_sources
    from covar_gen.evaluation.preparing import Place
    from covar_gen.evaluation.zero_shot import Settings, evaluate

    toys = shipped("manifests") / "toy-world"
    whole = tomllib.loads((toys / "recipe.toml").read_text("utf-8"))
    work.mkdir(parents=True, exist_ok=True)
    recipe = work / "recipe.toml"
    recipe.write_bytes(tomli_w.dumps({key: whole[key] for key in SECTIONS}).encode())
    (work / "textures.csv").write_bytes((toys / "textures.csv").read_bytes())
    run = init(recipe, work / "run", {})
    run_all(run, processes=1)
    evaluate(Place(str(run.root)), list(MODELS), work / "ev", settings=Settings())
    for layers, normalisation, clusters in WAYS:
        options = {"clusters": clusters, "layers": layers, "normalisation": normalisation}
        print(f"explaining: {options}", file=sys.stderr, flush=True)
        error_sources(work / "ev", options=options, threads=1)
    return open_results(work / "ev")


def truth_of(results: Results, found: Explained) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """What the world knows of each error.

    Returns:
        Which images it belongs to, str (E,), and whether the predicted class is the one of the
        background, bool (E,).
    """
    wanted = ["subset", "background"]
    rows = results.images([*wanted, "scale_factor"]).take(found.rows).to_pylist()
    data = [
        f"scale {row['scale_factor']:g}" if row["subset"] == SCALE else row["subset"]
        for row in rows
    ]
    names = results.classes.names
    true = [
        CLASS_OF.get(row["background"]) == names[said]
        for row, said in zip(rows, found.predicted, strict=True)
    ]
    return np.array(data, str), np.array(true, bool)


def verdicts(found: Explained, true: NDArray[np.bool_], verdict: str) -> Verdicts:
    """Verdicts of one kind on all errors of an explanation.

    Args:
        found: the explanation.
        true: bool (E,), what the world knows.
        verdict: `excess`, or a threshold.
    """
    if verdict == EXCESS:
        scores = found.mass - (1 - found.coverage)
        said = found.ok & ~np.isnan(scores)
        return Verdicts(true, found.excess, said & ~found.excess, found.chance_excess, scores)
    threshold = float(verdict)
    background, foreground, _ = drivers(found, threshold)
    random = found.chance_each[:, THRESHOLDS.index(threshold), MARGINS.index(MARGIN)]
    return Verdicts(true, background, foreground, random, found.mass)


def auc(true: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Chance that a true error scores higher than another one, equals counting half.

    Args:
        true: bool (E,).
        scores: float64 (E,); NaN is the lowest.

    Returns:
        In [0, 1]; NaN where all errors are of one kind.
    """
    values = np.where(np.isnan(scores), -np.inf, scores)
    yes, no = values[true][:, None], values[~true][None]
    if not yes.size or not no.size:
        return float("nan")
    return float(((yes > no) + 0.5 * (yes == no)).mean())


def row_of(about: Sequence[Any], given: Verdicts) -> Row:
    """Count verdicts that agree with the truth.

    Args:
        about: the first six columns.
        given: verdicts.
    """
    true = given.true
    right = (true & given.background) | (~true & given.foreground)
    return Row(
        *about,
        errors=len(true),
        true=int(true.sum()),
        undecided=int((~given.background & ~given.foreground).sum()),
        agree=_percent(right),
        random_agree=_percent(np.where(true, given.random, 1 - given.random)),
        called=_percent(given.background),
        random_called=_percent(given.random),
        hits=_percent(given.background[true]),
        alarms=_percent(given.background[~true]),
        random_hits=_percent(given.random[true]),
        random_alarms=_percent(given.random[~true]),
        auc=round(100 * auc(true, given.scores), 1),
    )


def counted(results: Results) -> list[Row]:
    """Every row of validation.csv: by images, layers, normalisation, K, verdict and model."""
    ways: dict[tuple[str, str, int], list[tuple[Explained, Any, Any]]] = {}
    for found in explained(results):
        options = found.options
        way = (options["layers"], options["normalisation"], options["clusters"])
        ways.setdefault(way, []).append((found, *truth_of(results, found)))
    # Ways that were not tried on every model would be compared over other errors.
    models = max((len(each) for each in ways.values()), default=0)
    found_rows = []
    for way, each in sorted(ways.items(), key=lambda item: _place(*item[0])):
        if len(each) == models:
            found_rows += list(_rows(way, each))
    order = {name: place for place, name in enumerate(dict.fromkeys(x.data for x in found_rows))}
    return sorted(found_rows, key=lambda row: order[row.data])


def _rows(way: tuple[str, str, int], each: Sequence[tuple[Explained, Any, Any]]) -> Iterator[Row]:
    for verdict in (*map(str, THRESHOLDS), EXCESS):
        models = [found.model for found, _, _ in each]
        parts = [verdicts(found, true, verdict) for found, _, true in each]
        of_all = [np.concatenate(x) for x in zip(*map(_columns, parts), strict=True)]
        places = [data for _, data, _ in each]
        named = [*zip(models, parts, places, strict=True)]
        named.append((ALL, Verdicts(*of_all), np.concatenate(places)))
        for name in [VARIED, SCALE, *sorted(x for x in set(named[-1][2]) if SCALE in x)]:
            for model, given, data in named:
                chosen = np.char.startswith(data, SCALE) if name == SCALE else data == name
                yield row_of((model, str(name), *way, verdict), given.of(chosen))


def _columns(given: Verdicts) -> list[NDArray[Any]]:
    return [getattr(given, each.name) for each in fields(given)]


def _place(layers: str, normalisation: str, clusters: int) -> tuple[int, int, int]:
    """Sorts ways: the usual layers and normalisation first, K as a number."""
    return LAYERS.index(layers), NORMALISATIONS.index(normalisation), clusters


def _percent(values: NDArray[Any]) -> float:
    """Mean of values in [0, 1], in percent; NaN where there is none."""
    there = values[~np.isnan(values.astype(np.float64))]
    return round(100 * float(there.mean()), 1) if there.size else float("nan")


def main() -> int:
    """Make what is missing in the folder named on the command line, and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    write(counted(made(parser.parse_args().work)), COUNTS)
    said = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(f"{said}{MARK}\n\n{pages(read(COUNTS))}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
