"""Tables laid out for the page: what they are about, what is left to the files, and first lines."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from covar_gen.evaluation.analyses import TABLES
from covar_gen.evaluation.report.blocks import SCREEN
from covar_gen.evaluation.report.findings import findings
from covar_gen.evaluation.report.page import ORDER
from covar_gen.evaluation.report.sections import SECTIONS, kind_of, lay_out
from covar_gen.evaluation.report.sheets import Sheet
from covar_gen.evaluation.results import Results

KINDS = {
    "accuracy": "accuracy",
    "subset_drops": "subset_drops",
    "original_drops": "subset_drops",
    "class_drops": "class_drops",
    "top_classes": "backgrounds",
    "pairs": "pairs",
    "consistency": "consistency",
    "compare_paper": "published",
    "compare_backgrounds": "published",
    "compare_errors": "published_errors",
    "error_sources": "error_sources",
    "error_sensitivity": "error_sensitivity",
    "judge_agreement": "judge_agreement",
    "cluster_study": "cluster_study",
    "claims": "claims",
}


def test_every_table_of_an_analysis_has_a_section(benchmark: Results) -> None:
    found = {name: kind_of(one.make(benchmark)) for name, one in TABLES.items()}
    assert {name: found[name] for name in KINDS} == KINDS
    sections = {SECTIONS.get(kind, kind) for kind in found.values()}
    assert sections <= {key for key, _ in ORDER}


def test_a_table_that_is_not_known_is_shown_as_it_is() -> None:
    table = pa.table({"colour": ["red"], "n_images": [1234]})
    laid = lay_out("own", table, "My own")
    assert kind_of(table) == "other"
    assert "other" in dict(ORDER)
    assert [[cell.text for cell in row] for row in laid.sheet.rows] == [["red", "1,234"]]
    assert [block.name for block in laid.blocks] == ["own"]


def _texts(sheet: Sheet | None) -> list[list[str]]:
    assert sheet
    return [[cell.text for cell in row] for row in sheet.rows]


def test_classes_have_a_row_each_with_their_drops_in_columns() -> None:
    rows = [
        {"model": model, "subset": subset, "label": label, "class_name": name,
         "class_id": 7 - label, "accuracy_original": 80.0, "drop": drop}
        for model in ("a/x", "b/x")
        for label, name in enumerate(("crane", "crane"))
        for subset, drop in (("scale", 50.0), ("mean", -2.5))
    ]  # fmt: skip
    laid = lay_out("class_drops", pa.Table.from_pylist(rows), "T")
    assert [column.title for column in laid.sheet.columns] == [
        *("model", "class", "id", "original", "scale", "mean"),
    ]
    assert _texts(laid.sheet)[1] == ["a/x", "crane", "6", "80.0", "+50.0", "\N{MINUS SIGN}2.5"]
    assert len(laid.sheet.rows) == 4
    assert [block.title for block in laid.blocks] == ["T: a/x", "T: b/x"]
    assert _texts(laid.blocks[1].sheet)[0][0] == "crane"


def test_a_background_names_the_classes_it_calls_for_in_every_reading() -> None:
    rows = [
        {"model": "a/x", "background_id": 1, "background": "sea", "reading": reading,
         "correct": correct, "place": place, "class_name": f"{name}{place}", "value": 50.0 / place,
         "omitted": 1.234 if reading == "softmax" else None}
        for reading, correct, name in (
            ("softmax", "included", "p"), ("top-1", "left out", "w"), ("top-1", "included", "t"),
        )
        for place in (2, 1, 4, 3)
    ]  # fmt: skip
    (block,) = lay_out("top_classes", pa.Table.from_pylist(rows), "T").blocks
    assert _texts(block.sheet) == [
        [
            "sea",
            "t1 (50.0%),\nt2 (25.0%),\nt3 (16.7%)",
            "w1 (50.0%),\nw2 (25.0%),\nw3 (16.7%)",
            "p1 (50.0%),\np2 (25.0%),\np3 (16.7%)",
            "\N{EN DASH}",
        ]
    ]
    assert block.sheet
    assert "at most 1.23% is left out" in block.sheet.notes[1]


def test_of_a_long_table_the_page_has_the_first_rows_and_says_where_the_others_are() -> None:
    rows = [
        {"model": model, "subset": "scale", "label": label, "class_name": "c", "class_id": None,
         "accuracy_original": 1.0, "drop": 1.0}
        for model in "abcd"
        for label in range(SCREEN)
    ]  # fmt: skip
    laid = lay_out("class_drops", pa.Table.from_pylist(rows), "T")
    assert len(laid.sheet.rows) == 4 * SCREEN
    for block in laid.blocks:
        assert block.sheet
        assert len(block.sheet.rows) == SCREEN // 4
        assert block.sheet.notes[-1] == (
            f"The first {SCREEN // 4} of {SCREEN:,} rows; all are in tables/class_drops.csv."
        )


def test_pairs_are_shown_on_the_average_and_all_of_them_are_in_latex() -> None:
    rows = [
        {"model_a": "a/x", "model_b": "b/x", "subset": subset, "difference": 1.0, "p_holm": 0.5,
         "only_a": None if subset == "average" else 3}
        for subset in ("crop", "average")
    ]  # fmt: skip
    laid = lay_out("pairs", pa.Table.from_pylist(rows), "T")
    assert len(laid.sheet.rows) == 2
    (block,) = laid.blocks
    assert block.sheet
    assert block.sheet.title == "T: average"
    assert [column.title for column in block.sheet.columns] == [
        *("model a", "model b", "difference", "p holm"),
    ]
    assert "Other subsets are in tables/pairs.csv." in block.sheet.notes


def test_measured_and_published_stand_below_their_difference() -> None:
    rows = [
        {"place": "table 3", "statistic": "accuracy", "model": "a/x", "subset": subset,
         "wnid": None, "measured": 50.0, "measured_low": 49.0, "measured_high": 51.0,
         "published": published, "difference": 50.0 - published, "inside": inside}
        for subset, published, inside in (("crop", 50.5, True), ("scale", 60.0, False))
    ]  # fmt: skip
    first, whole = lay_out("compare_paper", pa.Table.from_pylist(rows), "T").blocks
    assert first.sheet
    cells = first.sheet.rows[0]
    assert [(c.text, c.interval, c.best) for c in cells[1:]] == [
        ("\N{MINUS SIGN}0.5", "50.0 / 50.5", False),
        ("\N{MINUS SIGN}10.0", "50.0 / 60.0", True),
    ]
    assert whole.folded


def test_verdicts_have_their_tone_and_say_what_is_missing() -> None:
    rows = [
        {"claim": claim, "place": "p", "text": "t", "comparison": comparison, "expected": "> 0",
         "value": 1.0, "verdict": verdict, "missing": missing}
        for claim, comparison, verdict, missing in (
            ("a", "all of it", "holds", None), ("a", "x minus y", "holds", None),
            ("b", "all of it", "does not hold", None),
            ("c", "all of it", "cannot be decided", "z/x"),
        )
    ]  # fmt: skip
    verdicts, parts = lay_out("claims", pa.Table.from_pylist(rows), "T").blocks
    assert verdicts.sheet
    assert [(row[-1].text, row[-1].tone) for row in verdicts.sheet.rows] == [
        ("holds", "good"),
        ("does not hold", "bad"),
        ("cannot be decided (not measured: z/x)", ""),
    ]
    assert _texts(parts.sheet) == [["a", "x minus y", "> 0", "1.000", "holds"]]


def _accuracy(values: dict[tuple[str, str], float | None]) -> dict[str, pa.Table]:
    rows: list[dict[str, Any]] = [
        {"model": model, "subset": subset, "accuracy": value, "accuracy_low": None,
         "accuracy_high": None}
        for (model, subset), value in values.items()
    ]  # fmt: skip
    return {"accuracy": pa.Table.from_pylist(rows)}


def test_the_first_lines_say_what_the_numbers_say() -> None:
    values: dict[tuple[str, str], float | None] = {
        ("a", "original"): 90.0, ("a", "bg_varied"): 92.0, ("a", "scale"): 20.0,
        ("a", "average"): 56.0, ("b", "original"): 95.0, ("b", "bg_varied"): 35.0,
        ("b", "scale"): 10.0, ("b", "average"): 22.5,
    }  # fmt: skip
    assert findings(_accuracy(values)) == [
        (
            "a is right on average over the subsets for 56.0% of the images, the most; b for "
            "22.5%, the least."
        ),
        (
            "The hardest subset is scale (15.0%, mean over the models), the easiest bg_varied "
            "(63.5%)."
        ),
        (
            "On varied backgrounds the accuracy of b falls by 60.0 points, that of a rises by 2.0 "
            "points."
        ),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({("a", "all"): 50.0}, ["a is right on all for 50.0% of the images."]),
        ({("a", "all"): None}, []),
        ({}, []),
    ],
)
def test_the_first_lines_say_nothing_of_what_is_not_there(
    values: dict[tuple[str, str], float | None], expected: list[str]
) -> None:
    assert findings(_accuracy(values)) == expected
