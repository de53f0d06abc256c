"""What the stored predictions say: one file per table, each a pure function of the results.

A new analysis is a file with a function `Results -> pyarrow.Table`, whose columns say what they
mean (columns.py), and a line in TABLES, from which the report makes its pages, files and figures.
Tables about what the data does not have are empty, with their columns.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from covar_gen.evaluation.analyses import (
    accuracy,
    backgrounds,
    claims,
    class_drops,
    cluster_study,
    comparisons,
    drops,
    error_sources,
    judge_agreement,
    published,
    published_errors,
)
from covar_gen.evaluation.analyses.marks import BG_VARIED, ORIGINAL
from covar_gen.evaluation.results import Results


class Analysis(NamedTuple):
    """A table that can be made of an evaluation.

    Attributes:
        make: makes it.
        title: what it shows.
        needs: what the evaluation must have for it, in words; empty if nothing.
        published: whether it is about the paper's numbers, and made only when asked for.
    """

    make: Callable[[Results], pa.Table]
    title: str
    needs: str = ""
    published: bool = False


ORIGINALS = "original photographs among the images (subset `original`)"
TWO_MODELS = "at least two models"
EXPLAINED = "errors explained by `covar-gen errors`"
STUDIED = "numbers of clusters studied by `covar-gen cluster-study`"

TABLES: dict[str, Analysis] = {
    "accuracy": Analysis(accuracy.accuracy, "Accuracy per subset"),
    "subset_drops": Analysis(
        partial(drops.subset_drops, reference=BG_VARIED),
        "Drops of accuracy from varied backgrounds to the other subsets",
        "the subset `bg_varied` and another one",
    ),
    "original_drops": Analysis(
        partial(drops.subset_drops, reference=ORIGINAL),
        "Drops of accuracy from the original photographs to the subsets",
        ORIGINALS,
    ),
    "class_drops": Analysis(
        class_drops.class_drops,
        "Drops of accuracy per class from the original photographs",
        ORIGINALS,
    ),
    "top_classes": Analysis(
        backgrounds.top_classes,
        "Classes predicted most before each background",
        "a column `background`",
    ),
    "pairs": Analysis(
        comparisons.pairs, "Differences between models, with paired tests", TWO_MODELS
    ),
    "consistency": Analysis(
        comparisons.consistency, "Error consistency between models", TWO_MODELS
    ),
    "error_sources": Analysis(
        error_sources.error_sources, "What the errors are made of", EXPLAINED
    ),
    "error_sensitivity": Analysis(
        error_sources.sensitivity,
        "How much the share of background-driven errors hangs on threshold, margin, layers and K",
        EXPLAINED,
    ),
    "judge_agreement": Analysis(
        judge_agreement.judge_agreement,
        "Judges against each other: which classes look alike",
        "classes judged by two judges (`covar-gen judge`)",
    ),
    "cluster_study": Analysis(
        cluster_study.cluster_study,
        "Time, deletion and insertion of CCI by the number of clusters",
        STUDIED,
    ),
    "compare_paper": Analysis(
        published.compare_paper, "Measured beside published", "a model of the paper", published=True
    ),
    "compare_backgrounds": Analysis(
        published.compare_backgrounds,
        "The paper's classes per background in what was measured",
        "ViT-B-16-quickgelu/openai, and the paper's backgrounds",
        published=True,
    ),
    "compare_errors": Analysis(
        published_errors.compare_errors,
        "Measured shares of errors beside published ones",
        "explained errors of a model of the paper",
        published=True,
    ),
    "claims": Analysis(
        claims.claims, "Claims of the paper, tested on what was measured", published=True
    ),
}
"""Name of a table -> how it is made, in the order of the report."""
