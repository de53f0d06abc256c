"""Shares of errors worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from covar_gen.evaluation.analyses import error_sources as analysis
from covar_gen.evaluation.analyses.error_sources import drivers, kinds
from covar_gen.evaluation.explained import Explained, Judged
from covar_gen.evaluation.results import Results
from covar_gen.evaluation.rows import THRESHOLDS

NAN = float("nan")
# Overlaps with object and background of six errors: background, object, object, object, a thin
# margin, no mask.
ON = [0.1, 0.6, 0.5, 0.4, 0.30, NAN]
OFF = [0.5, 0.2, 0.1, 0.1, 0.31, NAN]


def six() -> Explained:
    each = np.ones(len(THRESHOLDS))
    return Explained(
        "m",
        "cci",
        np.arange(6),
        np.array([0, 0, 0, 1, 0, 1]),
        np.array([1, 1, 2, 2, 1, 2]),
        np.array([True] * 5 + [False]),
        (None,) * 5 + ("no_mask",),
        np.zeros(6, bool),
        np.outer(ON, each),
        np.outer(OFF, each),
        np.array([0.9, 0.2, 0.3, 0.4, 0.5, NAN]),
        np.array([0.5, 0.5, 0.5, 0.5, 0.5, NAN]),
    )


def test_the_larger_overlap_drives_an_error_and_a_thin_margin_is_undecided() -> None:
    background, foreground, undecided = drivers(six())
    assert background.tolist() == [True] + [False] * 5
    assert foreground.tolist() == [False, True, True, True, False, False]
    assert undecided.tolist() == [False] * 4 + [True, False]
    assert drivers(six(), 0.5, 0.0)[0].tolist() == [True, False, False, False, True, False]


def test_a_flat_map_decides_nothing() -> None:
    found = six()
    found.flat[0] = True
    assert drivers(found)[2].tolist() == [True] + [False] * 3 + [True, False]


def test_object_driven_errors_are_fine_grained_where_the_classes_look_alike() -> None:
    pairs = Judged("j", {(0, 1): True, (0, 2): False, (1, 2): None})
    found = kinds(six(), pairs)
    assert found["fine"].tolist() == [False, True] + [False] * 4
    assert found["other"].tolist() == [False, False, True] + [False] * 3
    assert found["unscored"].tolist() == [False] * 3 + [True] + [False] * 2
    assert found["unexplained"].tolist() == [False] * 5 + [True]
    shares = ["background", "fine", "other", "unscored", "undecided", "unexplained"]
    assert sum(found[name].astype(int) for name in shares).tolist() == [1] * 6


def test_all_errors_are_in_the_denominator(
    little_benchmark: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "explained", lambda _results: [six()])
    monkeypatch.setattr(analysis, "judged", lambda _results: Judged("j", {(0, 1): True}))
    rows = analysis.error_sources(little_benchmark, replicates=10).to_pylist()
    counted = [row for row in rows if row["subset"] != "average" and row["n_errors"]]
    assert sum(row["n_errors"] for row in counted) == 6
    for row in counted:
        shares = [row[name] for name in list(analysis.SHARES)[:6]]
        assert sum(shares) == pytest.approx(100)
    total = sum(row["background"] * row["n_errors"] for row in counted) / 6
    assert total == pytest.approx(100 / 6)
    table = analysis.sensitivity(little_benchmark, replicates=2)
    assert set(table["threshold"].to_pylist()) == set(THRESHOLDS)


def test_an_evaluation_whose_errors_nobody_explained_has_empty_tables(
    little_benchmark: Results,
) -> None:
    assert len(analysis.error_sources(little_benchmark)) == 0
    assert len(analysis.sensitivity(little_benchmark)) == 0
