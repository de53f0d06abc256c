"""Figures about errors: the lengths of their bars and the points of their curves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from covar_gen.evaluation.analyses.cluster_study import CLUSTER_STUDY
from covar_gen.evaluation.report import drawing, error_figures
from covar_gen.evaluation.report.drawing import Drawing
from covar_gen.evaluation.report.error_figures import PARTS, study_figures
from covar_gen.evaluation.report.stacks import Part, Tick, stacks

SHARES = {"background": 40.0, "fine": 25.0, "other": 20.0, "unscored": 5.0, "undecided": 10.0}


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with drawing.style():
        yield


def _tables(models: int, subsets: tuple[str, ...]) -> tuple[pa.Table, pa.Table]:
    names = [f"m{number}" for number in range(models)]
    errors = [
        {"model": name, "method": "cci", "subset": subset, "n_errors": 9, **SHARES,
         "unexplained": 0.0, "chance": 30.0}
        for name in names
        for subset in subsets
    ]  # fmt: skip
    accuracy = [
        {"model": name, "subset": subset, "accuracy": 60.0} for name in names for subset in subsets
    ]
    return pa.Table.from_pylist(errors), pa.Table.from_pylist(accuracy)


def _figures(models: int, subsets: tuple[str, ...]) -> list[Drawing]:
    errors, accuracy = _tables(models, subsets)
    names = [f"m{number}" for number in range(models)]
    folders = {name: name for name in names}
    return error_figures.error_figures(errors, "error_sources", accuracy, names, folders)


def test_bars_are_made_of_their_parts_from_left_to_right() -> None:
    parts = [
        Part("one", "#0072b2", np.array([40.0, 10.0])),
        Part("nowhere", "#d55e00", np.array([0.0, np.nan])),
        Part("two", "#009e73", np.array([60.0, np.nan])),
    ]
    figure = stacks(
        ["a", "b"], parts, "%", tick=Tick("mark", np.array([25.0, np.nan])), ends=["x", "y"]
    )
    axes = figure.axes[0]
    bars = [[(bar.get_x(), bar.get_width()) for bar in group] for group in axes.containers]
    assert bars == [[(0.0, 40.0), (0.0, 10.0)], [(40.0, 60.0), (10.0, 0.0)]]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["one", "two", "mark"]
    assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [("x", 100.0), ("y", 10.0)]
    assert axes.yaxis_inverted()


def test_shares_of_all_errors_and_of_all_images_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Any, ...]] = []
    real = error_figures.stacks

    def spy(rows: Any, parts: Any, unit: str, **more: Any) -> Any:
        drawn.append((list(rows), {part.name: part.value.tolist() for part in parts}, unit, more))
        return real(rows, parts, unit, **more)

    monkeypatch.setattr(error_figures, "stacks", spy)
    whole, one = _figures(1, ("crop", "scale", "average"))
    (rows, parts, unit, more), (subsets, scaled, of_images, others) = drawn
    assert (rows, unit) == (["m0"], "share of all errors, %")
    assert list(parts.values()) == [[40.0], [25.0], [20.0], [5.0], [10.0], [0.0]]
    assert sum(value for (value,) in parts.values()) == 100
    assert more["tick"].value.tolist() == [30.0]
    # 40% of the images are errors: of these 40% by the background, 16% of all images.
    assert (subsets, of_images) == (["crop", "scale"], "share of all images, %")
    assert scaled["background"] == [16.0, 16.0]
    assert others["tick"].value.tolist() == [12.0, 12.0]
    assert others["ends"] == ["40.0", "40.0"]
    assert (whole.name, one.name) == ("error_sources", "error_sources_m0")
    assert {whole.beside, one.beside} == {"error_sources"}


def test_many_models_have_one_shown_figure_by_subset_and_files_for_all() -> None:
    found = _figures(5, ("crop", "scale"))
    assert [one.shown for one in found] == [True, True, False, False, False, False]
    assert "for every model" in found[1].caption
    assert len(_figures(1, ("all",))) == 1


def test_figures_are_the_same_bytes_in_the_pages_colours() -> None:
    first, again = _figures(2, ("crop", "scale")), _figures(2, ("crop", "scale"))
    assert first == again
    assert "var(--series-1)" in first[0].svg
    known = {colour for _, colour in PARTS.values()}
    assert len(known) == len(PARTS)


def _study(layers: str, clusters: int, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(CLUSTER_STUDY.names)
    row |= {"model": "a", "layers": layers, "clusters": clusters, "target": "predicted"}
    row |= {"ties": "rows", "points": 10, "n_images": 1234, "seconds": 0.1 * clusters}
    for name in ("deletion_top1", "deletion_top5", "insertion_top1", "insertion_top5"):
        row |= {name: 0.5, f"{name}_low": 0.4, f"{name}_high": 0.6}
    return {**row, **more}


def test_cost_and_areas_are_drawn_against_k_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    real = error_figures.drawn
    monkeypatch.setattr(
        error_figures, "drawn", lambda figure, *a, **b: kept.append(figure) or real(figure, *a, **b)
    )
    rows = [_study(layers, k) for k in (5, 3) for layers in ("all", "last")]
    rows += [_study("shuffled", k, seconds=None, forwards=None) for k in (3, 5)]
    rows.append(_study("all", 7, model="b"))
    table = pa.Table.from_pylist(rows, CLUSTER_STUDY)
    (one,) = study_figures(table, "cluster_study", {"a": "folder"})
    assert (one.name, one.section, one.beside) == (
        "cluster_study_folder",
        "errors",
        "cluster_study",
    )
    assert "1,234 images" in one.caption
    cost, deletion, insertion = kept[0].axes
    times = [line.get_xydata().tolist() for line in cost.lines]
    assert times[:2] == [[[3.0, pytest.approx(0.3)], [5.0, 0.5]]] * 2
    assert np.isnan(times[2]).any()
    assert [len(axes.lines) for axes in (deletion, insertion)] == [6, 6]
    # Intervals of top-1 alone, each beside the others'.
    beside = [bars.get_segments()[0][:, 0].tolist() for bars in deletion.collections]
    assert beside == [pytest.approx([x, x]) for x in (2.96, 3.0, 3.04)]
    assert deletion.collections[0].get_segments()[0][:, 1].tolist() == [0.4, 0.6]
    names = [text.get_text() for text in kept[0].legends[0].get_texts()]
    assert names == ["all layers", "the last layer", "shuffled maps (chance)"]
    assert re.findall(r"deletion|insertion", one.svg)


def test_curves_of_different_settings_are_told_apart() -> None:
    rows = [_study("all", k, ties=ties) for k in (3, 5) for ties in ("rows", "random")]
    (one,) = study_figures(pa.Table.from_pylist(rows, CLUSTER_STUDY), "cluster_study", {})
    assert "all layers, ties rows" in one.svg
    assert "all layers, ties random" in one.svg
