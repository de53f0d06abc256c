"""Figures: what is drawn where, the same each time, whatever names and settings there are."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest

from covar_gen.core.errors import MissingExtraError
from covar_gen.evaluation.models.zoo import zoo
from covar_gen.evaluation.report import charts, figures
from covar_gen.evaluation.report.class_figures import MOST, class_drop_figures
from covar_gen.evaluation.report.drawing import (
    SERIES,
    WIDTH,
    Drawing,
    brightness,
    drawn,
    standalone,
    style,
)

HOSTILE = ("<b>&amp; $x_1$", "猫/dog", "a_%b/c")


def grid(rows: int, columns: int) -> charts.Grid:
    value = np.arange(rows * columns, dtype=float).reshape(rows, columns) - 3
    names = tuple(HOSTILE[n] if n < 3 else f"model-{n}/tag" for n in range(rows))
    value[0, 0] = np.nan
    return charts.Grid(names, tuple(f"subset_{n}" for n in range(columns)), value, value - 1, value)


def draw(figure: charts.Figure, name: str = "try") -> Drawing:  # type: ignore[name-defined]
    return drawn(figure, name, section="s", title="t", caption="c", alt="a")


def texts(one: Drawing) -> list[str]:
    root = ET.fromstring(standalone(one.svg).encode())
    return ["".join(node.itertext()).strip() for node in root.findall(".//{*}text")]


@pytest.mark.parametrize("rows", [1, 3, charts.FEW, charts.FEW + 1, 18])
def test_every_model_and_subset_is_named_in_a_chart_of_dots(rows: int) -> None:
    with style():
        one = draw(charts.dots(grid(rows, 9), "accuracy, %", zero=True))
    said = texts(one)
    assert set(grid(rows, 9).rows) <= set(said)
    assert set(grid(rows, 9).columns) <= set(said)
    assert "accuracy, %" in said


def test_no_letter_is_smaller_than_eight_points_on_paper() -> None:
    with style():
        for figure in (
            charts.dots(grid(18, 9), "accuracy, %"),
            charts.heat(grid(18, 18), "kappa", digits=2, triangle=True),
            charts.spans(["a"] * 33, ["m/x"] * 4, [charts.Marks("mean", np.ones((33, 4)))], "p"),
        ):
            assert figure.get_size_inches()[0] == WIDTH
            sizes = re.findall(r"font-size: ([\d.]+)px", draw(figure).svg)
            assert sizes
            assert min(map(float, sizes)) >= 8
            assert figure.get_size_inches()[1] < 9.7


def test_a_heat_map_of_a_triangle_shows_what_lies_below_the_diagonal() -> None:
    values = np.array([[9.0, 8.0, 7.0], [0.25, 9.0, 6.0], [-0.5, 0.004, 9.0]])
    names = ("a", "b", "c")
    with style():
        one = draw(
            charts.heat(charts.Grid(names, names, values, values, values), "kappa", digits=2,
                        ends=(0, 1), triangle=True)
        )  # fmt: skip
    said = texts(one)
    assert {".25", "\N{MINUS SIGN}.50", ".00"} <= set(said)
    assert not {"9.00", "8.00", "7.00", "6.00"} & set(said)


def test_numbers_stand_out_from_the_cells_they_are_on() -> None:
    with style():
        one = draw(charts.heat(grid(4, 4), "points", diverging=True))
    colours = charts._colours(diverging=True)
    limit = float(np.nanmax(np.abs(grid(4, 4).value)))
    for number, shade in re.findall(
        r'fill: (#[0-9a-f]{6})" [^>]*>([\N{MINUS SIGN}\d]+)</text>', one.svg
    ):
        value = float(shade.replace("\N{MINUS SIGN}", "-"))
        ground = brightness(colours((value + limit) / (2 * limit)))
        ink = brightness([int(number[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        contrast = (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05)
        assert contrast >= 4.2, (value, contrast)


def test_series_differ_in_lightness_or_marker_for_grey_print() -> None:
    assert len(SERIES) == len(charts.MARKERS) == len(set(charts.MARKERS))
    with style():
        svg = draw(charts.dots(grid(5, 2), "x")).svg
    marks = re.findall(r'<path id="try-(m\w+)" d="([^"]+)"', svg)
    assert len({shape for _, shape in marks}) >= 5


def test_a_figure_is_the_same_each_time_and_has_ids_of_its_own() -> None:
    with style():
        first, again, other = (
            draw(charts.dots(grid(3, 4), "x"), name) for name in ("one", "one", "two")
        )
    assert (first.svg, first.pdf) == (again.svg, again.pdf)
    ids = [set(re.findall(r'\bid="([^"]+)"', one.svg)) for one in (first, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', first.svg))
    assert used <= ids[0]
    assert "date" not in first.svg.lower()
    assert b"CreationDate" not in first.pdf
    assert "<style" not in first.svg
    assert "http" not in first.svg.replace("http://www.w3.org", "")


def test_neither_the_users_settings_nor_pyplots_state_change_a_figure() -> None:
    with style():
        expected = draw(charts.dots(grid(2, 2), "x"))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "axes.linewidth": 9}):
        before = dict(mpl.rcParams)
        with style():
            found = draw(charts.dots(grid(2, 2), "x"))
        assert dict(mpl.rcParams) == before
    assert found.svg == expected.svg


@pytest.mark.parametrize("package", ["matplotlib", "scipy"])
def test_without_its_packages_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*covar-gen\[evaluate\]"), style():
        pytest.fail("not reached")


ACCURACY = [
    {"model": model, "subset": subset, "accuracy": value, "accuracy_low": value - 2,
     "accuracy_high": value + 2}
    for model, values in (("a/x", (50.0, 40.0)), ("b/x", (60.0, 30.0)), ("c/x", (70.0, None)))
    for subset, value in zip(("crop", "average"), values, strict=True)
    if value is not None
]  # fmt: skip


def test_models_are_ranked_by_their_average() -> None:
    rows = [
        *(
            {"model": "low/x", "subset": s, "accuracy": v}
            for s, v in (("crop", 90), ("average", 1))
        ),
        *(
            {"model": "top/x", "subset": s, "accuracy": v}
            for s, v in (("crop", 10), ("average", 9))
        ),
        {"model": "none/x", "subset": "average", "accuracy": None},
    ]
    assert figures.ranked(pa.Table.from_pylist(rows)) == ["top/x", "low/x", "none/x"]


def test_accuracy_is_set_against_size_and_resolution_where_the_zoo_knows_them() -> None:
    entries = {entry.name: entry for entry in zoo("paper")}
    rows = [
        {"model": name, "subset": "average", "accuracy": 40.0 + place, "accuracy_low": 39.0,
         "accuracy_high": 60.0}
        for place, name in enumerate([*entries, "own/model"])
    ]  # fmt: skip
    with style():
        size, resolution = figures.size_figures(pa.Table.from_pylist(rows), entries)
        assert figures.size_figures(pa.Table.from_pylist(rows[:1]), entries) == []
        assert figures.size_figures(pa.Table.from_pylist(rows[-1:]), entries) == []
    assert {entry.pretraining for entry in entries.values()} <= set(texts(size))
    assert "18 models" in size.alt
    assert {"14/378", "16/512", "300", "500"} <= set(texts(resolution))
    assert {"100", "1000"} <= set(texts(size))


def class_rows(classes: int, models: tuple[str, ...]) -> pa.Table:
    rows = [
        {"model": model, "subset": subset, "label": label, "class_name": f"class & {label}",
         "class_id": None, "drop": float(label) if subset != "maximum" else 99.0}
        for model in models
        for subset in ("bg_varied", "scale", "mean", "maximum")
        for label in range(classes)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def test_classes_stand_from_the_largest_drop_to_the_smallest() -> None:
    with style():
        found = class_drop_figures(class_rows(3, ("a/x",)), ["a/x"], {"a/x": "a__x"}, {})
    assert [one.name for one in found] == ["class_drops_1", "class_drops_of_a__x"]
    names = [text for text in texts(found[0]) if text.startswith("class")]
    assert names == ["class & 2 (2)", "class & 1 (1)", "class & 0 (0)"]


def test_of_many_classes_the_hardest_are_shown_and_the_figure_says_so() -> None:
    table = class_rows(MOST + 5, ("a/x", "b/x"))
    with style():
        found = class_drop_figures(table, ["a/x", "b/x"], {"a/x": "a", "b/x": "b"}, {})
    for one in found:
        names = [text for text in texts(one) if text.startswith("class")]
        assert len(names) == MOST
        assert names[0] == f"class & {MOST + 4} ({MOST + 4})"
        assert "5 are not" in one.caption


def test_models_of_one_pretraining_stand_beside_each_other() -> None:
    models = [f"m{n}/x" for n in range(6)]
    families = {"m0/x": "A", "m3/x": "A", "m1/x": "B"}
    folders = {model: model.replace("/", "__") for model in models}
    with style():
        found = class_drop_figures(class_rows(2, tuple(models)), models, folders, families)
    titles = [one.title for one in found if re.fullmatch(r"class_drops_\d", one.name)]
    assert titles == [
        "Drop of each class: m0/x, m3/x (pretrained on A)",
        "Drop of each class: m1/x (pretrained on B)",
        "Drop of each class: m2/x, m4/x, m5/x",
    ]
    heat = [one for one in found if one.name.startswith("class_drops_of_")]
    assert len(heat) == 6
    assert not any(one.shown for one in heat)


def test_nothing_is_drawn_of_empty_tables() -> None:
    empty = pa.table({"model": [], "subset": [], "accuracy": [], "reference": []})
    with style():
        assert figures.accuracy_figure(empty) == []
        assert figures.subset_drop_figure(empty, "x", []) == []
        assert figures.consistency_figure(empty, []) == []
        assert class_drop_figures(empty, [], {}, {}) == []
