"""The script behind docs/validation.md: agreement by hand, and on a tiny evaluation."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.error_sources import error_sources
from covar_gen.evaluation.preparing import Place
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
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of the script."""
    import types

    module = types.ModuleType("validate_script")
    # Dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, "validate_script", module)
    module.__dict__.update(runpy.run_path(str(SCRIPT), run_name="validate_script"))
    return module


def test_agreement_counts_the_undecided_against_the_verdict(script: Any) -> None:
    truth = np.array([True, True, True, False, False])
    background = np.array([True, True, False, True, False])
    foreground = np.array([False, False, False, False, True])
    found = script.agreement(truth, background, foreground)
    assert (found.errors, found.true, found.called, found.undecided) == (5, 3, 3, 1)
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)


def test_the_auc_counts_equals_half_and_maps_without_mass_lowest(script: Any) -> None:
    truth = np.array([True, True, False, False])
    scores = np.array([0.9, 0.4, 0.4, float("nan")])
    assert script.auc(truth, scores) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(script.auc(truth[:2], scores[:2]))


def test_the_script_prints_what_a_tiny_evaluation_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from covar_gen.commands.run import init, run_all

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, "utf-8")
    run = init(recipe, tmp_path / "run", {})
    run_all(run, processes=1)
    place = Place(str(run.root))
    results = evaluate(place, ["toy:shortcut"], tmp_path / "out", settings=Settings()).results
    error_sources(results.root, options={"clusters": 3, "layers": "last"})
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["validate.py", str(results.root)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    (row,) = [x for x in printed.splitlines() if x.startswith("| toy:shortcut") and "bg_" not in x]
    # The shortcut toy names the background's class: 16 images, of which 2 stand before their own.
    assert row.split(" | ")[2:4] == ["14", "14"]
    assert "AUC of the mass share" in printed
