"""Errors explained row by row: the predicted class's map against the object's own mask."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
import torch
from PIL import Image

from covar_gen.core.arrays import Mask
from covar_gen.core.errors import (
    DamagedRunError,
    EvaluationFolderError,
    IncompleteInputError,
    MixtureError,
    PluginError,
)
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.shipped import shipped
from covar_gen.core.store import MANIFEST, Run
from covar_gen.evaluation import error_sources as stage
from covar_gen.evaluation import evaluated
from covar_gen.evaluation import explained as explaining
from covar_gen.evaluation.attribution.base import Explanation, Method, get_method
from covar_gen.evaluation.error_sources import SWEEP, error_sources, variants
from covar_gen.evaluation.explained import (
    explained,
    is_default,
    label,
    short_label,
    stored_maps,
    wrong_rows,
)
from covar_gen.evaluation.masks import Masks
from covar_gen.evaluation.preparing import Place
from covar_gen.evaluation.results import CLASS_ROWS, MADE_WITH, Results, open_results
from covar_gen.evaluation.rows import MARGINS, THRESHOLDS
from covar_gen.evaluation.zero_shot import Settings, evaluate


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the toy world: 8 photographs, 64 images with other backgrounds, masks."""
    from covar_gen.commands.run import init, run_all

    folder = tmp_path_factory.mktemp("toys")
    shipped_recipe = shipped("manifests") / "toy-world" / "recipe.toml"
    whole = tomllib.loads(shipped_recipe.read_text("utf-8"))
    sections = ("name", "seed", "classes", "masks", "backgrounds")
    recipe = folder / "recipe.toml"
    recipe.write_bytes(tomli_w.dumps({key: whole[key] for key in sections}).encode())
    for name in ("textures.csv",):
        (folder / name).write_bytes((shipped_recipe.parent / name).read_bytes())
    made = init(recipe, folder / "run", {"classes.options.toy_world.photographs": 1})
    run_all(made, processes=1)
    return made.root


@pytest.fixture
def results(benchmark: Path, tmp_path: Path) -> Results:
    """The shortcut toy's predictions of that run."""
    place = Place(str(benchmark))
    return evaluate(place, ["toy:shortcut"], tmp_path / "out", settings=Settings()).results


def overlap_at_half(found: Any) -> tuple[np.ndarray, np.ndarray]:
    place = THRESHOLDS.index(0.5)
    return found.on_object[:, place], found.on_background[:, place]


def test_the_shortcut_models_errors_are_background_driven(results: Results) -> None:
    error_sources(results.root)
    (found,) = explained(open_results(results.root))
    assert found.rows.tolist() == wrong_rows(results, "toy:shortcut").tolist()
    assert len(found.rows) >= 50
    assert found.ok.all()
    on, off = overlap_at_half(found)
    assert (off > on).mean() > 0.7
    assert found.mass.mean() > 0.7
    assert "cci" in found.method
    assert (found.predicted != found.labels).all()


def test_rows_do_not_depend_on_processes_or_restarts(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK", 16)
    error_sources(results.root)
    (folder,) = results.folder("toy:shortcut").glob("errors-*")
    whole = {path.name: pq.read_table(path) for path in folder.glob("*.parquet")}
    assert len(whole) >= 3
    for path in folder.glob("*.parquet"):
        path.unlink()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        error_sources(results.root, threads=3)
    assert {path.name: pq.read_table(path) for path in folder.glob("*.parquet")} == whole


def test_another_k_is_another_explanation_beside_the_first(results: Results) -> None:
    error_sources(results.root, options={"clusters": 10})
    error_sources(results.root, options={"clusters": 3})
    error_sources(results.root)
    found = explained(open_results(results.root))
    assert [(each.default, each.options["clusters"]) for each in found] == [
        (True, 7),
        (False, 3),
        (False, 10),
    ]
    assert len({each.method for each in found}) == 3


def test_a_sweep_explains_with_every_choice_and_leaves_what_is_there(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    error_sources(results.root, options={"clusters": 15})
    error_sources(results.root, options={"clusters": 3})
    folder = results.folder("toy:shortcut")
    before = {path: path.read_bytes() for path in folder.glob("errors-*/*.parquet")}
    loaded = []
    real = evaluated.load_model
    monkeypatch.setattr(evaluated, "load_model", lambda *a, **b: loaded.append(a) or real(*a, **b))
    told = []
    error_sources(results.root, sweep=True, report=lambda *each: told.append(each))
    found = explained(open_results(results.root))
    assert [(each.options["layers"], each.options["clusters"]) for each in found] == [
        ("all", 7),
        ("all", 3),
        ("all", 5),
        ("all", 10),
        ("all", 15),
        ("last", 7),
    ]
    assert {path: path.read_bytes() for path in before} == before
    # Once for all choices; K 3 was there, so four remain.
    assert len(loaded) == 1
    assert (told[0], told[-1]) == (
        (0, 4 * len(found[0].rows)),
        (4 * len(found[0].rows), 4 * len(found[0].rows)),
    )
    error_sources(results.root, sweep=True)
    assert len(loaded) == 1


def test_a_sweep_goes_around_the_options_given() -> None:
    made = variants("cci", {"clusters": 5, "restarts": 2}, SWEEP)
    options = [each.options.model_dump() for each in made]
    assert [(each["clusters"], each["layers"]) for each in options] == [
        (5, "all"),
        (3, "all"),
        (10, "all"),
        (5, "last"),
    ]
    assert {each["restarts"] for each in options} == {2}


def test_a_method_without_anything_to_sweep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "get_method", lambda _name, **_options: Corner())
    with pytest.raises(PluginError, match="neither clusters nor layers") as refused:
        variants("corner", {}, SWEEP)
    assert "--option" in refused.value.mend
    assert len(variants("corner", {}, SWEEP[:1])) == 1


ASKED: list[list[float]] = []
"""Texts that `Corner` was given."""


class Corner(Method):
    """Stands for a method: all of the map lies on the upper left patch."""

    class Options(PluginOptions):
        flat: bool = False

    options: Options

    @classmethod
    def name(cls) -> str:
        return "corner"

    def explain(self, model: Any, pixels: torch.Tensor, texts: torch.Tensor) -> Explanation:
        assert texts.shape[:2] == (len(pixels), 1)
        ASKED.extend(texts[:, 0].tolist())
        maps = torch.zeros(len(pixels), 1, 8, 8)
        maps[:, :, 0, 0] = 0.0 if self.options.flat else 1.0
        return Explanation(maps, torch.full((len(pixels), 1), self.options.flat))


def test_the_text_is_the_predicted_class_and_a_flat_map_says_so(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        stage, "get_method", lambda _name, **_options: Corner(Corner.Options(flat=True))
    )
    ASKED.clear()
    error_sources(results.root, threads=1)
    (found,) = explained(open_results(results.root))
    classes = np.load(results.folder("toy:shortcut") / CLASS_ROWS)
    assert np.allclose(ASKED, classes[found.predicted], atol=1e-6)
    assert not np.allclose(ASKED, classes[found.labels], atol=1e-6)
    assert found.flat.all()
    assert np.isnan(found.mass).all()
    assert not found.excess.any()
    assert not found.default, "a method that is not among the installed has no known defaults"
    assert [each.tolist() for each in stored_maps(found, [1])] == [[[0.0] * 8] * 8]


def test_a_method_is_called_by_its_options_in_short_by_those_that_are_not_default() -> None:
    usual = get_method("cci").identity()
    assert (short_label(usual), is_default(usual)) == ("cci", True)
    assert label(usual).startswith("cci: clusters 7, layers all, normalisation positive")
    other = get_method("cci", layers="last", clusters=3).identity()
    assert (short_label(other), is_default(other)) == ("cci: clusters 3, layers last", False)
    fewer = {"plugin": "cci", "options": {"clusters": 7}}
    assert not is_default(fewer)
    old = {**usual, "version": "0"}
    assert (short_label(old), is_default(old)) == ("cci: version 0", False)
    assert label(old) != label(usual)
    unknown = {"plugin": "unheard_of", "options": {"b": 1, "a": 2}}
    assert (short_label(unknown), is_default(unknown)) == ("unheard_of: a 2, b 1", False)
    assert not is_default({"plugin": "unheard_of", "options": {}})


def test_stored_maps_are_those_that_the_method_gave(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "get_method", lambda _name, **_options: Corner())
    error_sources(results.root)
    (found,) = explained(open_results(results.root))
    first, last = stored_maps(found, [0, len(found.rows) - 1])
    assert first is not None
    assert last is not None
    assert first.dtype == np.float32
    assert (first[0, 0], first.sum(), last[0, 0], last.sum()) == (1, 1, 1, 1)
    # The corner is background in the toy world: all of the mass lies there.
    assert (found.mass == 1).all()
    assert found.excess.all()
    # A single patch, wherever: the chance that it lies mostly on the background.
    assert 0.3 < found.chance_excess.mean() < 1
    assert (found.chance_each[:, THRESHOLDS.index(0.5), MARGINS.index(0.02)] == found.chance).all()


def test_images_without_a_mask_or_with_one_of_another_size_keep_their_row(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = wrong_rows(results, "toy:shortcut")
    real = Masks.of

    def of(self: Any, row: int) -> Mask | None:
        if row == rows[0]:
            return None
        mask = real(self, row)
        assert mask is not None
        return mask[:-1] if row == rows[1] else mask

    monkeypatch.setattr(Masks, "of", of)
    error_sources(results.root)
    (found,) = explained(open_results(results.root))
    assert found.reasons[:2] == ("no_mask", "mask_of_another_size")
    assert found.ok.tolist() == [False, False] + [True] * (len(rows) - 2)


def test_other_images_and_missing_masks_are_refused(
    results: Results, steps: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = steps("other")
    with pytest.raises(IncompleteInputError, match="covar-gen masks"):
        error_sources(results.root, masks=str(other.root))
    results.about["place"] = {"place": str(other.root)}
    monkeypatch.setattr(stage, "open_results", lambda _root: results)
    with pytest.raises(MixtureError, match="not those evaluated"):
        error_sources(results.root)


def test_only_the_parts_of_the_maps_wanted_are_read_and_each_explanation_once(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK", 16)
    monkeypatch.setattr(stage, "get_method", lambda _name, **_options: Corner())
    error_sources(results.root)
    opened = open_results(results.root)
    (found,) = explained(opened)
    count = len(found.rows)
    read: list[str] = []
    real = explaining._read
    monkeypatch.setattr(
        explaining, "_read", lambda path, columns: read.append(path.name) or real(path, columns)
    )
    assert explained(opened)[0] is found
    assert read == []
    # Another map in the second part: places count over all parts.
    second = sorted(found.folder.glob("*.parquet"))[1]
    table = pq.read_table(second)
    maps = table["map"].to_pylist()
    maps[3] = [float(number) for number in range(64)]
    place = table.column_names.index("map")
    pq.write_table(table.set_column(place, "map", pa.array(maps, pa.list_(pa.float32()))), second)
    drawn = stored_maps(found, [19, 1, 16, 19])
    assert sorted(read) == ["000000000-000000016.parquet", "000000016-000000032.parquet"]
    assert [None if one is None else one[7, 7] for one in drawn] == [63, 0, 0, 63]
    assert stored_maps(found, []) == []
    for wrong in (-1, count):
        with pytest.raises(IndexError):
            stored_maps(found, [wrong])
    second.unlink()
    assert explained(opened) == [], "a part is missing"
    error_sources(results.root)
    assert len(explained(opened)) == 1
    whole = second.read_bytes()
    pq.write_table(pq.read_table(second).drop_columns(["chance_excess"]), second)
    with pytest.raises(DamagedRunError, match="another version"):
        explained(open_results(results.root))
    second.write_bytes(whole[:-20])
    with pytest.raises(DamagedRunError, match="covar-gen errors"):
        explained(open_results(results.root))


def test_finished_rows_are_not_passed_off_as_those_of_other_masks(
    results: Results, benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks lie under the same names whoever made them."""
    monkeypatch.setattr(stage, "get_method", lambda _name, **_options: Corner())
    error_sources(results.root)
    other = tmp_path / "other"
    shutil.copytree(benchmark, other)
    manifest = pq.read_table(other / MANIFEST)
    place = manifest.column_names.index("mask_sha256")
    made = ["0" * 64 if each else None for each in manifest["mask_sha256"].to_pylist()]
    changed = manifest.set_column(place, manifest.schema.field(place), pa.array(made))
    pq.write_table(changed, other / MANIFEST)
    with pytest.raises(MixtureError, match="masks") as refused:
        error_sources(results.root, masks=str(other))
    assert "\n" not in refused.value.line()
    assert "errors-corner" in refused.value.mend
    error_sources(results.root, masks=str(benchmark))
    # Nor as those of other weights, evaluated anew in the same place.
    about = results.folder("toy:shortcut") / MADE_WITH
    changed_model = json.loads(about.read_text())
    changed_model["model"]["weights"] = "others"
    about.write_text(json.dumps(changed_model))
    with pytest.raises(MixtureError, match="model"):
        error_sources(results.root)


def test_where_the_masks_were_is_noted_beside_the_rows(
    results: Results, benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "get_method", lambda _name, **_options: Corner())
    moved = tmp_path / "moved"
    shutil.copytree(benchmark, moved)
    error_sources(results.root, masks=str(moved))
    (found,) = explained(open_results(results.root))
    (path,) = found.folder.glob("made_with-*.json")
    assert json.loads(path.read_text())["masks"] == str(moved)
    assert "masks" in json.loads((found.folder / MADE_WITH).read_text())


def test_without_a_complete_model_there_is_nothing_to_explain(results: Results) -> None:
    for part in results.parts("toy:shortcut"):
        part.unlink()
    with pytest.raises(EvaluationFolderError, match="no model is complete") as refused:
        error_sources(results.root)
    assert "\n" not in refused.value.line()
    with pytest.raises(IncompleteInputError, match="no prediction yet"):
        error_sources(results.root, models=["toy:shortcut"])


def test_masks_made_for_a_folder_of_images_are_found_by_content(
    tiny_clip: Path, photographs: Path, tmp_path: Path
) -> None:
    from covar_gen.commands.masks import segment

    twin = tmp_path / "moved" / "pictures"
    for path in photographs.rglob("*.png"):
        target = twin / path.parent.name / f"again-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    masks = segment(str(photographs), tmp_path / "masks", options={"working_edge": 48})
    place = Place(str(twin))
    found = evaluate(
        place, [f"local:{tiny_clip}"], tmp_path / "out", classes="labels", settings=Settings()
    ).results
    error_sources(found.root, masks=str(masks.root))
    (errors,) = explained(open_results(found.root))
    assert len(errors.rows) > 0
    assert errors.ok.all()
    with Image.open(next(twin.rglob("*.png"))) as image:
        assert image.size == (64, 48)
