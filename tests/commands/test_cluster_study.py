"""`covar-gen cluster-study` as it is typed: what it says, and errors in one line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.commands import cluster_study as command
from covar_gen.evaluation.cluster_study import Settings, cases_of
from covar_gen.evaluation.cluster_study import cluster_study as measure
from covar_gen.evaluation.perturbing import Perturbation
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import open_results
from covar_gen.evaluation.studied import studied
from covar_gen.evaluation.zero_shot import evaluate

Covar = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(photographs: Path, tmp_path: Path) -> Path:
    """An evaluation of a few photographs by a toy."""
    evaluate(Place(str(photographs)), ["toy:honest"], tmp_path / "results", classes="labels")
    return tmp_path / "results"


def test_it_says_both_areas_and_the_time_of_each_number_of_clusters(
    folder: Path, covar: Covar
) -> None:
    words = ["--images", "3", "--points", "3", "--layers", "all,shuffled"]
    done = covar("cluster-study", "results", "--clusters", "3,2", *words)
    *lines, last = done.stdout.splitlines()
    assert last == "next: covar-gen report results"
    assert [line.split(": top-1")[0] for line in lines] == [
        f"toy:honest {layers} K {clusters}" for layers in ("all", "shuffled") for clusters in (2, 3)
    ]
    assert all("deletion 0." in line or "deletion 1." in line for line in lines)
    assert ["forwards" in line for line in lines] == [True, True, False, False]
    assert len(studied(open_results(folder))) == 4


def test_what_was_studied_otherwise_is_not_among_the_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for images, seed in ((2, 0), (3, 0), (4, 0), (3, 1)):
        settings = Settings(images, how=Perturbation(points=2, seed=seed))
        measure(folder, cases_of("2,3", "last"), settings=settings)
    monkeypatch.setattr(command, "run_processes", lambda *_given: None)
    (row,) = command.cluster_study(folder, clusters="3", layers="last", images=3, points=2)
    assert (row["clusters"], row["n_images"], row["seed"]) == (3, 3, 0)
    (row,) = command.cluster_study(folder, clusters="3", layers="last", images=9, points=2)
    assert row["n_images"] == 4
    assert command.cluster_study(folder, clusters="3", layers="last", points=3) == []


def test_what_cannot_be_studied_is_one_line_and_exit_code_2(
    folder: Path, photographs: Path, tmp_path: Path, covar: Covar
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        (["empty"], "EvaluationFolderError: empty: not an evaluation folder"),
        (["results", "--clusters", "0"], "greater than or equal to 1"),
        (["results", "--layers", "first"], "there are no layers 'first'"),
        (["results", "--models", "toy:shortcut"], "'toy:shortcut' was not evaluated here"),
        (["results", "--models", "toy:none"], "toy:none"),
    ):
        done = covar("cluster-study", *arguments, code=2)
        assert said in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    shutil.rmtree(photographs)
    done = covar("cluster-study", "results", "--clusters", "2", code=2)
    assert len(done.stderr.splitlines()) == 1
    for path in (folder / "toy__honest").glob("0*.parquet"):
        path.unlink()
    done = covar("cluster-study", "results", code=2)
    assert done.stderr == (
        "EvaluationFolderError: results: no model is complete yet. Type the same `covar-gen "
        "evaluate` command again: it goes on\n"
    )
