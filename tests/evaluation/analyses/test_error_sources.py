"""Shares of errors worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from covar_gen.evaluation.analyses import error_sources as analysis
from covar_gen.evaluation.analyses.error_sources import drivers, kinds
from covar_gen.evaluation.explained import Explained, Judged
from covar_gen.evaluation.results import Results
from covar_gen.evaluation.rows import MARGINS, THRESHOLDS

NAN = float("nan")
# Overlaps with object and background of six errors: background, object, object, object, a thin
# margin, no mask.
ON = [0.1, 0.6, 0.5, 0.4, 0.30, NAN]
OFF = [0.5, 0.2, 0.1, 0.1, 0.31, NAN]


def six() -> Explained:
    each = np.ones(len(THRESHOLDS))
    way = np.ones((len(THRESHOLDS), len(MARGINS)))
    return Explained(
        model="m",
        method="cci",
        rows=np.arange(6),
        labels=np.array([0, 0, 0, 1, 0, 1]),
        predicted=np.array([1, 1, 2, 2, 1, 2]),
        ok=np.array([True] * 5 + [False]),
        reasons=(None,) * 5 + ("no_mask",),
        flat=np.zeros(6, bool),
        on_object=np.outer(ON, each),
        on_background=np.outer(OFF, each),
        mass=np.array([0.9, 0.2, 0.3, 0.4, 0.5, NAN]),
        chance=np.array([0.5, 0.5, 0.5, 0.5, 0.5, NAN]),
        coverage=np.array([0.2, 0.9, 0.7, 0.5, 0.4, NAN]),
        chance_each=np.array([0.5, 0.5, 0.5, 0.5, 0.5, NAN])[:, None, None] * way,
        chance_excess=np.array([0.25, 0.5, 0.75, 0.5, 0.5, NAN]),
        short="cci",
        options={"clusters": 7, "layers": "all"},
        default=True,
        folder=Path("nowhere"),
    )


def test_excess_is_more_mass_on_the_background_than_it_fills() -> None:
    # Background fills 0.8, 0.1, 0.3, 0.5, 0.6: equal in the third is not more, nor is rounding.
    found = six()
    found.mass[2], found.coverage[2] = 0.25, 0.75
    assert not found.excess[2]
    found.mass[2] += 1e-7
    assert found.excess.tolist() == [True, True, False, False, False, False]
    found.mass[0] = NAN
    assert found.excess.tolist() == [False, True, False, False, False, False]


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
    assert sum(row["excess"] * row["n_errors"] for row in counted) / 6 == pytest.approx(200 / 6)
    assert {row["default"] for row in rows} == {True}


def test_what_random_maps_would_be_called_is_said_subset_by_subset(
    little_benchmark: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    subsets = np.array(little_benchmark.images(["subset"])["subset"].to_pylist())
    first, second = list(dict.fromkeys(subsets.tolist()))[:2]
    chosen = [np.flatnonzero(subsets == name)[:3] for name in (first, second)]
    found = replace(six(), rows=np.concatenate(chosen))
    found.chance[:] = [0.125, 0.25, 0.75, 1.0, 0.5, NAN]
    found.chance_excess[:] = [0.5, 0.5, 0.25, 0.0, 1.0, NAN]
    monkeypatch.setattr(analysis, "explained", lambda _results: [found])
    rows = {
        row["subset"]: row
        for row in analysis.error_sources(little_benchmark, replicates=2).to_pylist()
    }
    # Of all errors, as the shares that they are compared with: the last one has no mask.
    assert (rows[first]["chance"], rows[second]["chance"]) == (37.5, 50.0)
    assert rows[first]["excess_chance"] == pytest.approx(125 / 3)
    assert rows[second]["excess_chance"] == pytest.approx(100 / 3)
    assert rows[second]["mass"] == pytest.approx(45.0)
    # Nor is a map that says nothing called anything, however it is shuffled.
    found.flat[3] = True
    (row,) = [
        row
        for row in analysis.error_sources(little_benchmark, replicates=2).to_pylist()
        if row["subset"] == second
    ]
    assert row["chance"] == pytest.approx(50 / 3)


def test_errors_of_one_photograph_have_no_interval(
    little_benchmark: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = little_benchmark.images(["subset", "source"])
    subsets, sources = (np.array(rows[name].to_pylist()) for name in ("subset", "source"))
    mine = subsets == "scale"
    one = np.flatnonzero(mine & (sources == sources[mine][0]))
    other = np.flatnonzero(mine & (sources != sources[mine][0]))
    monkeypatch.setattr(analysis, "judged", lambda _results: Judged("", {}))

    def row(chosen: list[int]) -> dict[str, float | None]:
        found = replace(six(), rows=np.array(chosen))
        monkeypatch.setattr(analysis, "explained", lambda _results: [found])
        table = analysis.error_sources(little_benchmark, replicates=20).to_pylist()
        return next(each for each in table if each["subset"] == "scale")

    alone = row([int(one[0])] * 6)
    assert alone["background"] == pytest.approx(100 / 6)
    ends = [alone[f"{name}_{end}"] for name in ("background", "mass") for end in ("low", "high")]
    assert ends == [None] * 4
    # The last error has no mass: that of the others is of one photograph still.
    two = row([int(one[0])] * 5 + [int(other[0])])
    assert None not in (two["background_low"], two["background_high"])
    assert (two["mass_low"], two["mass_high"]) == (None, None)


def test_the_sensitivity_table_has_a_row_for_each_threshold_and_margin(
    little_benchmark: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = six()
    place, margin = THRESHOLDS.index(0.7), MARGINS.index(0.1)
    found.on_background[:, place] = [0.5, 0.2, 0.1, 0.1, 0.45, NAN]
    found.chance_each[:5, place, margin] = 0.125
    other = replace(found, default=False, method="grad", options={})
    monkeypatch.setattr(analysis, "explained", lambda _results: [found, other])
    table = analysis.sensitivity(little_benchmark, replicates=2).to_pylist()
    ways = {(row["threshold"], row["margin"]) for row in table}
    assert ways == {(each, least) for each in THRESHOLDS for least in MARGINS}

    def share(name: str, threshold: float, least: float) -> float:
        rows = [
            row
            for row in table
            if row["method"] == "cci"
            and (row["threshold"], row["margin"]) == (threshold, least)
            and row["subset"] != "average"
            and row["n_errors"]
        ]
        return float(sum(row[name] * row["n_errors"] for row in rows) / 6)

    # The fifth error's overlaps differ by 0.01 in favour of the background, at 0.7 by 0.15.
    assert share("background", 0.5, 0.0) == pytest.approx(200 / 6)
    assert share("background", 0.5, 0.02) == pytest.approx(100 / 6)
    assert share("undecided", 0.5, 0.02) == pytest.approx(100 / 6)
    assert share("background", 0.7, 0.1) == pytest.approx(200 / 6)
    assert share("undecided", 0.7, 0.1) == 0
    first = {(row["threshold"], row["margin"]): row for row in reversed(table)}
    assert (first[0.7, 0.1]["chance"], first[0.5, 0.1]["chance"]) == (12.5, 50)
    assert {(row["method"], row["layers"], row["clusters"], row["default"]) for row in table} == {
        ("cci", "all", 7, True),
        ("grad", None, None, False),
    }
    for least in (0.0, 0.02):
        assert share("excess", 0.5, least) == pytest.approx(200 / 6)


def test_a_sweeps_bootstrap_is_the_same_as_that_of_the_default_alone(
    little_benchmark: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "explained", lambda _results: [six()])
    rows = analysis.error_sources(little_benchmark, replicates=50).to_pylist()
    many = analysis.sensitivity(little_benchmark, replicates=50).to_pylist()
    here = [row for row in many if (row["threshold"], row["margin"]) == (0.5, 0.02)]
    names = ["background", "undecided", "chance", "excess", "mass"]
    wanted = [name + end for name in names for end in ("", "_low", "_high")]
    assert [[row[name] for name in wanted] for row in rows] == [
        [row[name] for name in wanted] for row in here
    ]


def test_an_evaluation_whose_errors_nobody_explained_has_empty_tables(
    little_benchmark: Results,
) -> None:
    assert len(analysis.error_sources(little_benchmark)) == 0
    assert len(analysis.sensitivity(little_benchmark)) == 0
