"""What the number of clusters changes (the paper's supplement, figure 1): time, and both areas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.columns import (
    MODEL,
    REAL,
    TEXT,
    WHOLE,
    columns,
    measured,
    stack,
)
from covar_gen.evaluation.analyses.marks import TOP_FEW, Images, images_of
from covar_gen.evaluation.metrics.deletion_insertion import area, measured_steps
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, bootstrap, ratio
from covar_gen.evaluation.results import Results
from covar_gen.evaluation.studied import Studied, studied

CURVES = ("deletion", "insertion")
BEST = {"top1": 1, "top5": TOP_FEW}
"""Name of a curve's kind -> the largest rank that counts."""

LAYERS = (
    "where a cluster's keys are masked: all blocks, the last attention; or shuffled: the values of "
    "the map of all blocks on other patches, which is chance"
)
CLUSTER_STUDY = columns(
    model=(TEXT, MODEL),
    layers=(TEXT, LAYERS),
    clusters=(WHOLE, "K of K-means"),
    target=(TEXT, "the class whose map and rank are looked at: predicted or truth"),
    ties=(TEXT, "how pixels of equal value are ordered"),
    points=(WHOLE, "points at which each curve is measured"),
    seed=(WHOLE, "of the sample, the noise, and a random order of ties"),
    n_images=(WHOLE, "images of the sample"),
    seconds=(REAL, "of CCI per image, everything included; null if timed on several devices"),
    forwards=(REAL, "the same, divided by the time of a plain forward measured beside it"),
    **{
        key: kind
        for curve in CURVES
        for name, most in BEST.items()
        for key, kind in measured(
            f"{curve}_{name}",
            f"area under the {curve} curve, in [0, 1]: share of images whose target is among the "
            f"best {most}",
        ).items()
    },
)


def cluster_study(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """Time and areas by the number of clusters, per model and layers.

    Args:
        results: an evaluation that `covar-gen cluster-study` has looked at.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of CLUSTER_STUDY, sorted by model, layers, settings and K; no rows where nothing
        was studied.
    """
    images = images_of(results)
    parts = [_row(images, found, replicates, seed) for found in studied(results)]
    return stack(CLUSTER_STUDY, parts)


def _row(images: Images, found: Studied, replicates: int, seed: int) -> dict[str, Any]:
    shuffled = found.case.layers == "shuffled"
    row: dict[str, Any] = {
        "model": [found.model],
        "layers": found.case.layers,
        "clusters": found.case.clusters,
        "target": found.settings["target"],
        "ties": found.settings["ties"],
        "points": found.settings["points"],
        "seed": found.settings["seed"],
        "n_images": len(found.rows),
        # Shuffling costs nothing: the time is that of the map that was shuffled.
        "seconds": float("nan") if shuffled else found.seconds,
        "forwards": float("nan") if shuffled else found.forwards,
    }
    areas = image_areas(found)
    # The photographs that were drawn are those of the sample: others do not count.
    _, source = np.unique(images.sources[found.rows], return_inverse=True)
    sums = np.stack(
        [np.bincount(source, each) for each in (np.ones(len(areas)), *areas.T)], axis=1
    ).astype(np.float64)
    estimate = bootstrap(
        sums, lambda s: ratio(s[:, 1:], s[:, :1]), replicates=replicates, seed=seed
    )
    names = [f"{curve}_{name}" for curve in CURVES for name in BEST]
    for place, name in enumerate(names):
        row[name] = float(estimate.value[place])
        row[f"{name}_low"] = float(estimate.low[place])
        row[f"{name}_high"] = float(estimate.high[place])
    return row


def image_areas(found: Studied) -> NDArray[np.float64]:
    """Areas under each image's curves: float64 (N, 4), top-1 and top-5 of deletion, of insertion.

    The mean over images is the area under the curve of the share of images.
    """
    at = measured_steps(found.settings["points"], found.settings["steps"])
    ranks = (found.deletion, found.insertion)
    each = [
        area((curve <= most).astype(np.float64), at=at) for curve in ranks for most in BEST.values()
    ]
    return np.stack(each, axis=1)
