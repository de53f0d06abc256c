"""The study of the number of clusters on the toy world: rows, samples, kills, and refusals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w

from covar_gen.core.errors import CovarError, MixtureError, PhotographsError, PluginError
from covar_gen.core.shipped import shipped
from covar_gen.evaluation import cluster_study as stage
from covar_gen.evaluation.analyses.cluster_study import cluster_study as study_table
from covar_gen.evaluation.cluster_study import Settings, cases_of, cluster_study, sample
from covar_gen.evaluation.evaluated import evaluated_model
from covar_gen.evaluation.perturbing import Perturbation
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import Results, open_results
from covar_gen.evaluation.studied import STUDIED, Case, studied
from covar_gen.evaluation.zero_shot import evaluate

FEW = Settings(images=6, how=Perturbation(points=3))
TIMES = ["seconds", "forward", "device"]
LAYERS = "all,last,shuffled"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the toy world, and beside it the shortcut toy's predictions of it."""
    from covar_gen.commands.run import init, run_all

    folder = tmp_path_factory.mktemp("toys")
    shipped_recipe = shipped("manifests") / "toy-world" / "recipe.toml"
    whole = tomllib.loads(shipped_recipe.read_text("utf-8"))
    recipe = folder / "recipe.toml"
    sections = ("name", "seed", "classes", "masks")
    recipe.write_bytes(tomli_w.dumps({key: whole[key] for key in sections}).encode())
    run = init(recipe, folder / "run", {"classes.options.toy_world.photographs": 2})
    run_all(run, processes=1)
    evaluate(Place(str(run.root)), ["toy:shortcut"], folder / "out")
    return folder


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Results:
    """An evaluation of 16 photographs, of its own for each test."""
    return open_results(shutil.copytree(made / "out", tmp_path / "out"))


def parts(results: Results) -> dict[str, pa.Table]:
    """Every part of every study, without its times."""
    paths = sorted(results.root.glob("*/clusters-*/*.parquet"))
    tables = {path.relative_to(results.root).as_posix(): pq.read_table(path) for path in paths}
    return {name: table.drop_columns(TIMES) for name, table in tables.items()}


def test_every_case_has_curves_that_begin_with_the_photograph(results: Results) -> None:
    cluster_study(results.root, cases_of("3,1", LAYERS), settings=FEW)
    found = studied(open_results(results.root))
    assert [each.case for each in found] == [
        Case(layers, clusters) for layers in ("all", "last", "shuffled") for clusters in (1, 3)
    ]
    for each in found:
        assert each.deletion.shape == each.insertion.shape == (6, 3)
        assert (each.deletion[:, 0] == 1).all()
        assert each.forwards > 0
        assert each.rows.tolist() == found[0].rows.tolist()
    curves = {each.case: each for each in found}
    # One cluster is a flat map wherever it is masked: the same draws, so the same pixels.
    flat = [curves[Case(layers, 1)].deletion for layers in ("all", "last", "shuffled")]  # type: ignore[arg-type]
    assert (flat[0] == flat[1]).all()
    assert (flat[0] == flat[2]).all()
    assert (curves[Case("all", 3)].insertion != curves[Case("shuffled", 3)].insertion).any()
    for name, table in parts(results).items():
        assert set(table["flat"].to_pylist()) == ({True} if "-1-" in name else {False})
    table = study_table(open_results(results.root), replicates=50)
    assert table["n_images"].to_pylist() == [6] * 6
    assert table["forwards"].null_count == 2
    assert pq.read_schema(next(results.root.glob("*/clusters-*/*.parquet"))).names == STUDIED.names


def test_rows_do_not_depend_on_processes_threads_or_restarts(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK", 2)
    cases = cases_of("2", "all,shuffled")
    cluster_study(results.root, cases, settings=FEW)
    whole = parts(results)
    assert len(whole) == 6
    paths = sorted(results.root.glob("*/clusters-*/*.parquet"))
    for path in paths:
        path.unlink()
    # What a killed process leaves that had not yet given its file a name.
    paths[0].with_suffix(".tmp").write_bytes(b"PAR1")
    for rank, made in (("1", 3), ("0", 6)):
        with monkeypatch.context() as patch:
            patch.setenv("WORLD_SIZE", "2")
            patch.setenv("RANK", rank)
            cluster_study(results.root, cases, settings=FEW, threads=3)
        assert len(parts(results)) == made
    assert parts(results) == whole
    times = {path: path.stat().st_mtime_ns for path in paths}
    paths[1].unlink()
    cluster_study(results.root, cases, settings=FEW)
    assert parts(results) == whole
    assert [path for path in paths if path.stat().st_mtime_ns != times[path]] == [paths[1]]
    # Nothing is left to do, and nothing is done: no model is even loaded.
    monkeypatch.setattr(stage, "evaluated_model", None)
    cluster_study(results.root, cases, settings=FEW)


def test_killed_in_the_middle_the_same_command_goes_on(results: Results, made: Path) -> None:
    words = ["--models", "toy:shortcut", "--clusters", "2,3,4,5", "--images", "4", "--points", "5"]
    command = [sys.executable, "-m", "covar_gen.evaluation.cluster_study", str(results.root)]
    started = subprocess.Popen(
        [*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while len(parts(results)) < 2 and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    before = parts(results)
    assert 2 <= len(before) < 12
    cases, settings = cases_of("2,3,4,5", LAYERS), Settings(4, how=Perturbation(points=5))
    cluster_study(results.root, cases, settings=settings)
    after = parts(results)
    assert len(after) == 12
    assert before == {name: after[name] for name in before}
    again = open_results(shutil.copytree(made / "out", results.root.with_name("again")))
    cluster_study(again.root, cases, settings=settings)
    assert parts(again) == after


def test_the_sample_hangs_on_keys_and_seed_alone() -> None:
    keys = [f"class{n % 7}/{n}" for n in range(200)]
    ok = np.ones(200, bool)
    found = sample(keys, ok, Settings(images=20))
    chosen = [keys[row] for row in found]
    turned = sample(keys[::-1], ok, Settings(images=20))
    assert [keys[::-1][row] for row in turned] == chosen
    assert [keys[row] for row in sample(keys, ok, Settings(images=5))] == chosen[:5]
    other = sample(keys, ok, Settings(images=20, how=Perturbation(seed=1)))
    assert {keys[row] for row in other} != set(chosen)
    ok[found[0]] = False
    assert [keys[row] for row in sample(keys, ok, Settings(images=19))] == chosen[1:]
    assert len(sample(keys, ok, Settings(images=500))) == 199


def test_the_truth_can_be_looked_at_instead_of_the_prediction(results: Results) -> None:
    path = results.root / "images.parquet"
    images = pq.read_table(path)
    # The toy is right about every photograph: its answers are made wrong by other labels.
    labels = (images["label"].to_numpy() + 1) % 8
    place = images.schema.get_field_index("label")
    pq.write_table(images.set_column(place, images.schema.field("label"), pa.array(labels)), path)
    for target in ("predicted", "truth"):
        cluster_study(
            results.root,
            cases_of("2", "all"),
            settings=Settings(16, target, Perturbation(points=2)),  # type: ignore[arg-type]
        )
    predicted, truth = studied(open_results(results.root))
    assert [each.settings["target"] for each in (predicted, truth)] == ["predicted", "truth"]
    assert (predicted.deletion[:, 0] == 1).all()
    assert (truth.deletion[:, 0] > 1).all()
    tables = [pq.read_table(path) for path in results.root.glob("*/clusters-*/*.parquet")]
    found = {tuple(table["target"].to_pylist()) for table in tables}
    assert found == {tuple(labels[truth.rows]), tuple((labels[truth.rows] - 1) % 8)}


def test_a_study_that_lacks_a_part_is_in_no_table(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK", 3)
    cluster_study(results.root, cases_of("2,3", "last"), settings=FEW)
    next(results.root.glob("*/clusters-last-3-*/000000003*.parquet")).unlink()
    assert [each.case for each in studied(open_results(results.root))] == [Case("last", 2)]


@pytest.mark.parametrize(
    ("clusters", "layers", "said"),
    [
        ("0", "all", "greater than or equal to 1"),
        ("21", "all", "less than or equal to 20"),
        ("-1", "all", "'-1' is not a number"),
        ("seven", "all", "'seven' is not a number"),
        (",", "all", "not a number"),
        ("7", "first", "no layers 'first'"),
        ("7", "", "no layers"),
    ],
)
def test_numbers_of_clusters_that_there_are_not_are_refused(
    clusters: str, layers: str, said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        cases_of(clusters, layers)


@pytest.mark.parametrize("words", ["--points 1", "--points 102", "--images 0", "--seed -1"])
def test_the_programs_own_command_line_refuses_what_cannot_be(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        stage.arguments().parse_args(["out", *words.split()])
    assert end.value.code == 2
    assert words.split(maxsplit=1)[0] in capsys.readouterr().err


def test_more_clusters_than_patches_are_refused(
    results: Results, monkeypatch: pytest.MonkeyPatch, tiny_clip: Path, made: Path, tmp_path: Path
) -> None:
    place = Place(str(made / "run"))
    other = evaluate(place, [f"local:{tiny_clip}"], tmp_path / "tiny").results
    with pytest.raises(PluginError, match="17 clusters of 16 patches"):
        cluster_study(other.root, cases_of("17", "all"), settings=FEW)
    cluster_study(other.root, cases_of("16", "all"), settings=FEW)
    (found,) = studied(open_results(other.root))
    assert found.case == Case("all", 16)


def test_images_that_are_gone_or_others_stop_the_study(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made / "run", tmp_path / "run")
    found = evaluate(Place(str(run)), ["toy:shortcut"], tmp_path / "out").results
    images = sorted((run / "images").rglob("*.png"))
    contents = [path.read_bytes() for path in images]
    for path, other in zip(images, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(other)
    with pytest.raises(PhotographsError, match="is not the file that was evaluated"):
        cluster_study(found.root, cases_of("2", "all"), settings=FEW)
    for path in images:
        path.unlink()
    with pytest.raises(PhotographsError, match="cannot be read any more"):
        cluster_study(found.root, cases_of("2", "all"), settings=FEW)
    shutil.rmtree(run)
    with pytest.raises(CovarError):
        cluster_study(found.root, cases_of("2", "all"), settings=FEW)
    assert not parts(found)


def test_other_images_and_another_model_under_the_name_are_refused(
    results: Results, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.about["data"] = {"kind": "other"}
    monkeypatch.setattr(stage, "open_results", lambda _root: results)
    with pytest.raises(MixtureError, match="not those evaluated"):
        cluster_study(results.root, cases_of("2", "all"), settings=FEW)
    fresh = open_results(results.root)
    about = fresh.made_with(fresh.folder("toy:shortcut"))
    about["model"]["weights"] = "others"
    monkeypatch.setattr(Results, "made_with", lambda _self, _folder: about)
    from covar_gen.evaluation.computing import device_of

    with device_of("cpu", 0, 1) as device, pytest.raises(MixtureError, match="not the model"):
        evaluated_model(fresh, "toy:shortcut", device)
