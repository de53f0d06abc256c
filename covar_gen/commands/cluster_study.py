"""`covar-gen cluster-study`: what the number of clusters changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covar_gen.core.launch import progress
from covar_gen.core.processes import run_processes
from covar_gen.evaluation.analyses.cluster_study import cluster_study as study_table
from covar_gen.evaluation.cluster_study import CLUSTERS, IMAGES, TABLE, Target, cases_of
from covar_gen.evaluation.evaluated import complete_models
from covar_gen.evaluation.metrics.deletion_insertion import POINTS, Ties
from covar_gen.evaluation.results import open_results
from covar_gen.evaluation.studied import LAYERS

_DRAWN = ("points", "ties", "seed")


def cluster_study(
    folder: Path,
    *,
    models: str | None = None,
    clusters: str | None = None,
    layers: str | None = None,
    images: int = IMAGES,
    target: Target = "predicted",
    points: int = POINTS,
    ties: Ties = "random",
    seed: int = 0,
    device: str | None = None,
    processes: int = 1,
) -> list[dict[str, Any]]:
    """Measure CCI's time and its curves of deletion and insertion for several K.

    Args:
        folder: the evaluation folder.
        models: names and groups, separated by commas; None: all that are complete.
        clusters: numbers of clusters, separated by commas; None: CLUSTERS.
        layers: of LAYERS, separated by commas; None: all of them.
        images: of the sample.
        target: class whose map and rank are looked at.
        points: of each curve.
        ties: how pixels of equal value are ordered.
        seed: of the sample and of all draws.
        device: a torch device.
        processes: how many share the work.

    Returns:
        The rows of the table `cluster_study` that were asked for, without intervals.

    Raises:
        CovarError: whatever stops it.
    """
    results = open_results(folder)
    names = complete_models(results, models)
    for name in names:
        results.folder(name)
    numbers = ",".join(map(str, CLUSTERS)) if clusters is None else clusters
    kinds = ",".join(LAYERS) if layers is None else layers
    cases = cases_of(numbers, kinds)
    arguments = [str(folder), "--models", ",".join(names)]
    given = {"clusters": numbers, "layers": kinds, "images": images, "target": target}
    more = {"points": points, "ties": ties, "seed": seed, "device": device}
    for option, value in {**given, **more}.items():
        arguments += [f"--{option}", str(value)] if value is not None else []
    run_processes("evaluation.cluster_study", arguments, processes, progress(TABLE))
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in study_table(open_results(folder), replicates=1).to_pylist():
        case = (row["layers"], row["clusters"])
        asked = all(row[name] == {**given, **more}[name] for name in ("target", *_DRAWN))
        if row["model"] in names and case in cases and asked and row["n_images"] <= images:
            best = found.setdefault((row["model"], *case), row)
            found[row["model"], *case] = max(best, row, key=lambda each: each["n_images"])
    return list(found.values())


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table in short: one line per model, layers and K."""
    said = []
    for row in rows:
        head = f"{row['model']} {row['layers']} K {row['clusters']}"
        areas = f"deletion {row['deletion_top1']:.3f}, insertion {row['insertion_top1']:.3f}"
        cost = "" if row["forwards"] is None else f", {row['forwards']:.1f} forwards"
        said.append(f"{head}: top-1 area of {areas}{cost}, {row['n_images']} images")
    return said
