"""docs/validation.*: agreement by hand, the script on a tiny evaluation, tables as counted."""

from __future__ import annotations

import runpy
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.error_sources import error_sources
from covar_gen.evaluation.explained import explained
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import open_results
from covar_gen.evaluation.zero_shot import Settings, evaluate

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "validate.py"
RECIPE = """
name = "toy-world"
seed = 3
[classes]
source = "toy_world"
size = "original"
[classes.options.toy_world]
photographs = 1
edge = 96
[masks]
segmenter = "known"
[backgrounds]
editor = "toy_world"
backgrounds = [
    { background_id = 1, description = "red bricks" },
    { background_id = 2, description = "green grass" },
]
[scale]
inpainter = "telea"
factors = [8]
"""
NAN = float("nan")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of the script."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    module = types.ModuleType("validate_script")
    # Dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, "validate_script", module)
    module.__dict__.update(runpy.run_path(str(SCRIPT), run_name="validate_script"))
    return module


def test_agreement_counts_the_undecided_against_the_verdict(script: Any) -> None:
    given = script.Verdicts(
        true=np.array([True, True, True, False, False]),
        background=np.array([True, True, False, True, False]),
        foreground=np.array([False, False, False, False, True]),
        random=np.array([0.5, 0.5, 0.25, 1.0, NAN]),
        scores=np.array([0.9, 0.4, 0.4, 0.4, NAN]),
    )
    row = script.row_of(("m", "bg_varied", "all", "positive", 7, "0.5"), given)
    assert (row.errors, row.true, row.undecided) == (5, 3, 1)
    assert (row.agree, row.hits, row.alarms) == (60.0, 66.7, 50.0)
    assert row.balanced == pytest.approx((66.7 + 50) / 2)
    # Of random maps, those that are not called background-driven: right for the fourth error.
    assert (row.random_hits, row.random_alarms) == (41.7, 100.0)
    assert row.random_agree == pytest.approx(100 * (0.5 + 0.5 + 0.25 + 0) / 4, abs=0.1)
    assert (row.called, row.random_called) == (60.0, 56.2)
    assert row.auc == pytest.approx(100 * (1 + 1 + 0.5 + 1 + 0.5 + 1) / 6, abs=0.1)


def test_the_auc_counts_equals_half_and_maps_without_mass_lowest(script: Any) -> None:
    true = np.array([True, True, False, False])
    scores = np.array([0.9, 0.4, 0.4, NAN])
    assert script.auc(true, scores) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(script.auc(true[:2], scores[:2]))


def test_the_script_counts_what_a_tiny_evaluation_holds(script: Any, tmp_path: Path) -> None:
    from covar_gen.commands.run import init, run_all

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, "utf-8")
    run = init(recipe, tmp_path / "run", {})
    run_all(run, processes=1)
    place = Place(str(run.root))
    results = evaluate(place, ["toy:shortcut"], tmp_path / "out", settings=Settings()).results
    error_sources(results.root, options={"clusters": 3, "layers": "last"})
    error_sources(results.root)
    results = open_results(results.root)
    rows = script.counted(results)
    assert {row.data for row in rows} == {"bg_varied", "scale", "scale 8"}
    ways = [(row.layers, row.clusters) for row in rows if row.data == "bg_varied"]
    assert list(dict.fromkeys(ways)) == [("all", 7), ("last", 3)]
    # The shortcut toy names the background's class: 16 images, of which 2 stand before their own.
    (row,) = [
        row
        for row in rows
        if (row.model, row.data, row.clusters, row.verdict)
        == ("toy:shortcut", "bg_varied", 7, "excess")
    ]
    assert (row.errors, row.true) == (14, 14)
    found = explained(results)[0]
    subsets = np.array(results.images(["subset"]).take(found.rows)["subset"].to_pylist())
    here = subsets == "bg_varied"
    assert row.hits == row.called == pytest.approx(100 * found.excess[here].mean(), abs=0.05)
    assert row.random_hits == pytest.approx(100 * found.chance_excess[here].mean(), abs=0.05)
    assert np.isnan(row.alarms)
    script.write(rows, tmp_path / "counts.csv")
    again = script.read(tmp_path / "counts.csv")
    assert list(map(repr, again)) == list(map(repr, rows))
    printed = script.pages(again)
    assert "| bg_varied | toy:shortcut | 14 | 14 |" in printed
    assert "| last | positive | 3 |" in printed


def test_the_page_shows_what_was_counted(script: Any) -> None:
    rows = script.read(script.COUNTS)
    shown = script.PAGE.read_text("utf-8").partition(script.MARK)[2]
    assert shown.strip() == script.pages(rows).strip()
    ways = {(row.layers, row.normalisation, row.clusters) for row in rows}
    assert ways == set(script.WAYS)
