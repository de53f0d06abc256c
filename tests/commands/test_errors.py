"""`covar-gen errors`: what it says, what it refuses, and that ending it costs nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from covar_gen.commands.errors import NONE, Counted, errors, lines
from covar_gen.core.errors import CovarError
from covar_gen.evaluation.explained import explained
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import open_results
from covar_gen.evaluation.zero_shot import Settings, evaluate

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
MODELS = ["toy:shortcut", "toy:honest"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 photographs, 16 images with other backgrounds, masks."""
    from covar_gen.commands.run import init, run_all

    folder = tmp_path_factory.mktemp("errors")
    (folder / "recipe.toml").write_text(RECIPE, "utf-8")
    made = init(folder / "recipe.toml", folder / "run", {})
    run_all(made, processes=1)
    return made.root


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Path:
    """Predictions of two toys; tests work on copies."""
    out = run.parent / "evaluation"
    return evaluate(Place(str(run)), MODELS, out, settings=Settings()).results.root


def parts_of(folder: Path) -> dict[str, bytes]:
    """The rows of every explanation, and what they are made with."""
    found = [*folder.glob("*/errors-*/*.parquet"), *folder.glob("*/errors-*/made_with.json")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def killed_after(command: list[str], folder: Path, parts: int) -> None:
    """Start a command and kill it as soon as there are so many parts, or it has ended."""
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and started.poll() is None:
        if len(list(folder.glob("*/errors-*/*.parquet"))) >= parts:
            break
        time.sleep(0.002)
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL, "it ended before it could be killed"


def test_killed_in_the_middle_the_same_command_ends_with_the_same_bytes(
    evaluation: Path, tmp_path: Path
) -> None:
    whole, killed = (
        Path(shutil.copytree(evaluation, tmp_path / name)) for name in ("whole", "killed")
    )
    told: list[str] = []
    counted = errors(whole, sweep=True, judge=NONE, say=told.append)
    (first,) = told
    assert first.startswith("explaining each error 5 times: cci; cci: clusters 3; cci: clusters 5")
    assert first.endswith("cci: clusters 10; cci: layers last")
    command = [sys.executable, "-m", "covar_gen.cli", "errors", str(killed), "--sweep"]
    killed_after([*command, "--judge", "none"], killed, 3)
    assert 3 <= len(list(killed.glob("*/errors-*/*.parquet"))) < 10
    assert errors(killed, sweep=True, judge=NONE) == counted
    assert parts_of(killed) == parts_of(whole)
    assert len(parts_of(whole)) == 20
    # What was asked for is the method as it is by itself; the others are named.
    said = lines(counted)
    assert len([line for line in said if line.startswith("toy:shortcut bg_varied: ")]) == 1
    assert "cci: clusters 10 (toy:honest, toy:shortcut)" in said[-1]


def row(**changes: Any) -> dict[str, Any]:
    shares = ("background", "fine", "other", "unscored", "undecided", "unexplained")
    numbers = dict.fromkeys((*shares, "chance", "excess", "excess_chance"), 0.0)
    return {"model": "m", "subset": "scale", "n_errors": 8, **numbers, **changes}


def test_a_line_tells_the_shares_and_what_random_maps_would_give() -> None:
    given = row(background=62.5, undecided=37.5, chance=50.0, excess=75.0, excess_chance=48.4)
    (said,) = lines(Counted([given], {}))
    assert said.startswith("m scale: 8 errors: background 62.5, undecided 37.5; excess 75.0; ")
    assert said.endswith("random maps: background 50.0, excess 48.4")
    nothing = row(n_errors=0, **dict.fromkeys(("background", "chance"), None))
    assert lines(Counted([nothing], {})) == ["m scale: 0 errors"]
    unsaid = {name: None for name, value in row().items() if value == 0.0}
    (said,) = lines(Counted([row(subset="average", **unsaid)], {}))
    assert said == "m average: 8 errors: no shares, as a subset has no errors"


def test_many_models_are_counted() -> None:
    others = {"cci: clusters 3": ["a"], "cci: layers last": ["a", "b", "c", "d"]}
    (said,) = lines(Counted([], others))
    assert said.endswith("cci: clusters 3 (a); cci: layers last (4 models)")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"options": {"clusters": 21}}, "PluginError: method cci.clusters"),
        ({"options": {"cluster": 3}}, "Did you mean 'clusters'?"),
        ({"method": "cc"}, "PluginError: unknown method 'cc'"),
        ({"judge": "wordnett"}, "Did you mean 'wordnet'?"),
        ({"masks": "nowhere"}, "RunFolderError: "),
        ({"models": "toy:other"}, "toy:other"),
        ({"device": "cuda:9"}, "ModelError: "),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    evaluation: Path, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(CovarError) as refused:
        errors(evaluation, **{"judge": NONE, **asked})
    assert refused.value.exit_code == 2
    assert said in refused.value.line()
    assert len(refused.value.line().splitlines()) == 1
    assert explained(open_results(evaluation)) == []
