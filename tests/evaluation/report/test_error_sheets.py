"""Sheets about errors, worked by hand: which explanation is shown, and what stands beside it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from covar_gen.evaluation.analyses.cluster_study import CLUSTER_STUDY
from covar_gen.evaluation.analyses.columns import stack
from covar_gen.evaluation.analyses.error_sources import ERROR_SOURCES, SENSITIVITY
from covar_gen.evaluation.analyses.judge_agreement import JUDGE_AGREEMENT
from covar_gen.evaluation.analyses.published_errors import COMPARED_ERRORS
from covar_gen.evaluation.report.error_methods import chosen_methods, how, short_methods
from covar_gen.evaluation.report.error_sensitivity import ABREAST
from covar_gen.evaluation.report.findings import findings
from covar_gen.evaluation.report.sections import SECTIONS, kind_of, lay_out
from covar_gen.evaluation.report.sheets import Sheet

SEVEN, THREE = (
    "cci: clusters 7, layers all, packed None",
    "cci: clusters 3, layers all, packed None",
)


def _table(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{**dict.fromkeys(schema.names), **row} for row in rows], schema)


def _sources(rows: list[dict[str, Any]]) -> pa.Table:
    shares = {
        "default": True, "judge": "wordnet", "n_errors": 10, "background": 40.0,
        "background_low": 30.0, "background_high": 50.0, "fine": 20.0, "other": 30.0,
        "unscored": 0.0, "undecided": 10.0, "unexplained": 0.0, "mass": 70.0, "chance": 25.0,
        "excess": 60.0, "excess_chance": 50.0, "method": SEVEN,
    }  # fmt: skip
    return _table(ERROR_SOURCES, [{**shares, **row} for row in rows])


def _texts(sheet: Sheet | None) -> list[list[str]]:
    assert sheet
    return [[cell.text for cell in row] for row in sheet.rows]


def _small(sheet: Sheet | None) -> list[list[str]]:
    assert sheet
    return [[cell.interval for cell in row] for row in sheet.rows]


def test_every_table_about_errors_is_known_by_its_columns() -> None:
    kinds = {
        "error_sources": ERROR_SOURCES,
        "error_sensitivity": SENSITIVITY,
        "judge_agreement": JUDGE_AGREEMENT,
        "cluster_study": CLUSTER_STUDY,
        "published_errors": COMPARED_ERRORS,
    }
    for kind, schema in kinds.items():
        assert kind_of(schema.empty_table()) == kind
    assert {SECTIONS[kind] for kind in kinds} == {"errors", "published"}


def test_shares_stand_beside_chance_first_as_a_whole_and_then_as_the_papers_table() -> None:
    rows = [
        {"model": "a", "subset": "crop"},
        {"model": "a", "subset": "average", "chance": 35.0, "undecided": 8.0, "unexplained": 2.0},
        {"model": "b", "subset": "crop", "background": 5.0, "background_low": 0.0},
        {"model": "b", "subset": "average", "background": None, "fine": None},
    ]
    laid = lay_out("error_sources", _sources(rows), "T")
    whole, pivot, *every = laid.blocks
    assert whole.sheet
    assert [column.title for column in whole.sheet.columns] == [
        "model", "errors", "BG-Er", "chance", "excess", "chance", "mass", "Fine-Er", "other",
        "undecided", "unexplained",
    ]  # fmt: skip
    assert _texts(whole.sheet)[0] == [
        "a", "10", "40.0", "35.0", "60.0", "50.0", "70.0", "20.0", "30.0", "8.0", "2.0",
    ]  # fmt: skip
    assert _small(whole.sheet)[0][2] == "[30.0, 50.0]"
    # Only where nothing is in a column is it left out, and then it is said.
    assert "No error is unscored." in whole.sheet.notes
    assert whole.sheet.title == "T, on average over the subsets"
    assert laid.sheet == pivot.sheet
    assert _texts(pivot.sheet) == [
        ["a", "40.0 / 20.0", "40.0 / 20.0"],
        ["b", "5.0 / 20.0", "\N{EN DASH}"],
    ]
    assert _small(pivot.sheet) == [["", "chance 25.0", "chance 35.0"], ["", "chance 25.0", ""]]
    assert pivot.sheet
    # 30 is above the chance of 25, not above that of 35.
    assert [[cell.best for cell in row] for row in pivot.sheet.rows] == [
        [False, True, False],
        [False, False, False],
    ]
    assert [cell.value for cell in pivot.sheet.rows[0][1:]] == [40.0, 40.0]
    assert [block.folded for block in (whole, pivot)] == [False, False]
    # Every share but the empty one by subset, with intervals.
    assert all(block.folded for block in every)
    shares = {block.name.removeprefix("error_sources_"): block.sheet for block in every}
    assert list(shares) == [
        "background", "chance", "excess", "excess_chance", "mass", "fine", "other", "undecided",
        "unexplained",
    ]  # fmt: skip
    assert _texts(shares["undecided"]) == [["a", "10.0", "8.0"], ["b", "10.0", "10.0"]]
    assert _small(shares["background"])[0][1] == "[30.0, 50.0]"


def test_why_a_model_has_errors_and_no_average_is_said() -> None:
    said = "Of a model that makes no error in a subset there is no average."
    rows: list[dict[str, Any]] = [
        {"model": model, "subset": subset}
        for model in ("a", "b")
        for subset in ("crop", "scale", "average")
    ]
    assert said not in lay_out("error_sources", _sources(rows), "Errors").blocks[0].sheet.notes
    shares = ("background", "fine", "other", "unscored", "undecided", "unexplained", "mass")
    rows[0] |= {"n_errors": 0, **dict.fromkeys(shares)}
    rows[2] |= dict.fromkeys(shares)
    assert said in lay_out("error_sources", _sources(rows), "Errors").blocks[0].sheet.notes


def test_data_without_subsets_has_one_sheet() -> None:
    laid = lay_out("error_sources", _sources([{"model": "a", "subset": "all"}]), "T")
    assert [block.name for block in laid.blocks] == ["error_sources"]
    assert laid.sheet.title == "T"


def test_of_each_model_one_explanation_is_shown_and_the_sheet_says_which() -> None:
    rows = [
        {"model": "a", "subset": "all", "method": THREE, "default": False, "background": 1.0},
        {"model": "a", "subset": "all", "background": 2.0},
        {"model": "b", "subset": "all", "background": 3.0},
        {"model": "c", "subset": "all", "method": THREE, "default": False, "background": 4.0},
    ]
    table = _sources(rows)
    assert chosen_methods(table.to_pylist()) == {"a": SEVEN, "b": SEVEN, "c": THREE}
    sheet = lay_out("error_sources", table, "T").blocks[0].sheet
    assert [row[2] for row in _texts(sheet)] == ["2.0", "3.0", "4.0"]
    assert sheet
    notes = " ".join(sheet.notes)
    assert "a, b by cci (clusters 7, layers all); c by cci (clusters 3, layers all)" in notes
    assert "0.5 of the map's maximum" in notes
    assert "judged by wordnet" in notes
    assert "explained in 1 other way too" in notes


def test_default_options_count_before_the_number_of_models_and_that_before_the_order() -> None:
    rows = [
        {"model": "a", "method": "x", "default": None},
        {"model": "a", "method": "y", "default": None},
        {"model": "b", "method": "y", "default": None},
    ]
    assert chosen_methods(rows) == {"a": "y", "b": "y"}
    assert chosen_methods([{**rows[0], "default": True}, *rows[1:]]) == {"a": "x", "b": "y"}
    assert chosen_methods(rows[:2]) == {"a": "x"}


def test_a_report_that_nobody_judged_for_says_so() -> None:
    rows = [{"model": "a", "method": "x", "judge": ""}]
    assert "Nobody judged which classes look alike." in how(rows)


def test_methods_are_named_by_what_tells_them_apart() -> None:
    assert short_methods([SEVEN, THREE, SEVEN]) == {
        SEVEN: "cci: clusters 7",
        THREE: "cci: clusters 3",
    }
    assert short_methods([SEVEN, "other: clusters 7"]) == {
        SEVEN: "cci",
        "other: clusters 7": "other",
    }


def _sensitivity(models: list[str]) -> pa.Table:
    rows = [
        {"model": model, "method": method, "default": method == SEVEN, "subset": subset,
         "threshold": threshold, "margin": margin, "n_errors": 10,
         "background": 100 * threshold + (0.0 if method == SEVEN else 5.0) + place,
         "chance": 12.0 if margin == 0.02 else 99.0, "excess": 61.0, "mass": 71.0}
        for place, model in enumerate(models)
        for method in (SEVEN, THREE)
        for subset in ("crop", "average")
        for threshold in (0.3, 0.5)
        for margin in (0.02, 0.1)
    ]  # fmt: skip
    return _table(SENSITIVITY, rows)


def test_few_models_stand_beside_each_other_for_every_way_of_reading() -> None:
    table = _sensitivity(["a", "b"])
    laid = lay_out("error_sensitivity", table, "T")
    (block,) = laid.blocks
    assert _texts(block.sheet) == [
        ["cci: clusters 7", "0.3 of the maximum", "30.0", "31.0"],
        ["cci: clusters 7", "0.5 of the maximum", "50.0", "51.0"],
        ["cci: clusters 7", "excess", "61.0", "61.0"],
        ["cci: clusters 7", "mass", "71.0", "71.0"],
        ["cci: clusters 3", "0.3 of the maximum", "35.0", "36.0"],
        ["cci: clusters 3", "0.5 of the maximum", "55.0", "56.0"],
        ["cci: clusters 3", "excess", "61.0", "61.0"],
        ["cci: clusters 3", "mass", "71.0", "71.0"],
    ]
    assert block.sheet
    assert _small(block.sheet)[1] == ["", "", "chance 12.0", "chance 12.0"]
    assert _small(block.sheet)[2] == ["", "", "", ""]
    bold = [row[1].text for row in block.sheet.rows if row[2].best]
    assert bold == ["0.5 of the maximum"]
    assert len(laid.sheet.rows) == len(table)


def test_many_models_have_a_row_each() -> None:
    models = [f"m{number}" for number in range(ABREAST + 1)]
    (block,) = lay_out("error_sensitivity", _sensitivity(models), "T").blocks
    assert block.sheet
    assert [column.title for column in block.sheet.columns] == [
        "model", "0.3", "0.5", "excess", "mass", "clusters 3",
    ]  # fmt: skip
    assert _texts(block.sheet)[1] == ["m1", "31.0", "51.0", "61.0", "71.0", "56.0"]


def test_an_explanation_that_a_model_lacks_leaves_a_gap() -> None:
    table = _sensitivity(["a", "b"])
    kept = [row for row in table.to_pylist() if (row["model"], row["method"]) != ("b", THREE)]
    (block,) = lay_out("error_sensitivity", pa.Table.from_pylist(kept, table.schema), "T").blocks
    assert _texts(block.sheet)[5] == [
        "cci: clusters 3",
        "0.5 of the maximum",
        "55.0",
        "\N{EN DASH}",
    ]


def test_judges_stand_with_their_kappa() -> None:
    row = {
        "judge_a": "wordnet", "judge_b": "openai", "n_pairs": 40, "n_scored": 38,
        "agreement": 81.25, "kappa": 0.5, "kappa_low": 0.25, "kappa_high": 0.75,
    }  # fmt: skip
    (block,) = lay_out("judge_agreement", _table(JUDGE_AGREEMENT, [row]), "T").blocks
    assert _texts(block.sheet)[0][:4] == ["wordnet", "openai", "40", "38"]
    assert "81.2" in _texts(block.sheet)[0]
    assert "[0.250, 0.750]" in _small(block.sheet)[0]
    assert block.sheet
    assert "photographs" not in " ".join(block.sheet.notes)


def test_settings_of_a_study_that_never_change_are_told_once() -> None:
    rows = [
        {"model": "a", "layers": "all", "clusters": k, "target": "predicted", "ties": ties,
         "points": 11, "seed": 0, "n_images": 12, "seconds": 0.25, "forwards": 6.5,
         "deletion_top1": 0.2, "deletion_top1_low": 0.1, "deletion_top1_high": 0.3}
        for k, ties in ((3, "random"), (7, "stable"))
    ]  # fmt: skip
    (block,) = lay_out("cluster_study", _table(CLUSTER_STUDY, rows), "T").blocks
    assert block.folded
    assert block.sheet
    assert [column.title for column in block.sheet.columns[:7]] == [
        "model", "layers", "clusters", "ties", "seconds", "forwards", "deletion top1",
    ]  # fmt: skip
    assert _texts(block.sheet)[1][2:6] == ["7", "stable", "0.250", "6.500"]
    assert block.sheet.notes[-1] == "In all rows: target predicted, points 11, seed 0, images 12."


def test_published_shares_stand_below_the_difference_by_place_and_judge() -> None:
    shares = {
        "place": "table 4", "statistic": "BG-Er", "model": "a", "data": "crop", "method": SEVEN,
        "default": True, "measured": 15.0, "published": 13.5, "difference": 1.5, "inside": True,
    }  # fmt: skip
    rows = [
        shares,
        {**shares, "data": "scale", "difference": -2.0, "inside": False},
        {**shares, "method": THREE, "default": False, "difference": 9.0},
        {**shares, "statistic": "Fine-Er", "judge": "wordnet"},
        {**shares, "statistic": "Fine-Er", "judge": "openai", "difference": 3.0},
        {**shares, "statistic": "error rate", "place": "figure 1(d)", "method": None,
         "default": None, "data": "ImageNet-1k"},
        {**shares, "statistic": "error rate", "measured": None, "difference": None},
    ]  # fmt: skip
    laid = lay_out("compare_errors", _table(COMPARED_ERRORS, rows), "T")
    assert SECTIONS[kind_of(_table(COMPARED_ERRORS, rows))] == "published"
    background, fine, rate, every = laid.blocks
    assert _texts(background.sheet) == [["a", "table 4", "+1.5", "\N{MINUS SIGN}2.0"]]
    assert background.sheet
    assert [cell.best for cell in background.sheet.rows[0]] == [False, False, False, True]
    assert _small(background.sheet)[0][2] == "15.0 / 13.5"
    assert _texts(fine.sheet) == [
        ["a", "table 4", "wordnet", "+1.5"],
        ["a", "table 4", "openai", "+3.0"],
    ]
    assert fine.sheet
    assert "The paper's judge was GPT-4o." in fine.sheet.notes
    assert _texts(rate.sheet) == [["a", "figure 1(d)", "+1.5"]]
    assert every.folded
    assert len(_texts(every.sheet)) == len(rows)


def test_the_first_lines_name_most_and_least_beside_random_maps() -> None:
    rows = [
        {"model": "a", "subset": "average"},
        {"model": "b", "subset": "average", "background": 5.0, "excess": None},
        {"model": "c", "subset": "average", "background": 20.0},
    ]
    (said,) = findings({"error_sources": _sources(rows)})
    assert said == (
        "By overlap the background drives, of the errors of a, 40.0% (random maps 25.0%), by "
        "excess 60.0% (50.0%); of b 5.0% (random maps 25.0%), on average over the subsets."
    )
    (alone,) = findings({"error_sources": _sources([{"model": "a", "subset": "all"}])})
    assert alone.endswith("of the errors of a, 40.0% (random maps 25.0%), by excess 60.0% (50.0%).")
    assert findings({"error_sources": stack(ERROR_SOURCES, [])}) == []
