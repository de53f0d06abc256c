"""Numbers as a reader sees them, and sheets as LaTeX: escaped whatever they hold."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from covar_gen.evaluation.analyses.columns import columns, measured
from covar_gen.evaluation.report.latex import escaped, latex
from covar_gen.evaluation.report.layouts import pivot, tidy
from covar_gen.evaluation.report.sheets import (
    Cell,
    Column,
    Sheet,
    count,
    number,
    p_value,
    rounded,
    share,
)


def test_numbers_have_a_true_minus_and_zero_has_no_sign() -> None:
    assert rounded(-3.14159, 2) == "\N{MINUS SIGN}3.14"
    assert rounded(2.5, 1, sign=True) == "+2.5"
    assert rounded(-0.04, 1) == rounded(0.04, 1, sign=True) == "0.0"
    assert rounded(12345.6, 0) == "12,346"
    assert rounded(None, 1) == rounded(float("nan"), 1) == "\N{EN DASH}"


def test_a_cell_keeps_the_number_that_it_was_rounded_from() -> None:
    cell = share(0.52249, 0.5, 0.5555)
    assert (cell.text, cell.interval) == ("52.2", "[50.0, 55.5]")
    assert cell.value == pytest.approx(52.249)
    assert number(-1.26, 1, low=-3.0, high=None) == Cell("\N{MINUS SIGN}1.3", -1.26)
    assert count(396_000).text == "396,000"
    assert [p_value(p).text for p in (0.2, 0.00049, None)] == ["0.200", "<0.001", "\N{EN DASH}"]


HOSTILE = r"a\b & c_d % $5 #1 {x} ~^ <script> |" + '"q"' + "\n\n\x07 \N{MINUS SIGN}1"


def test_latex_escapes_every_character_that_means_something() -> None:
    assert escaped("50% & $x_1$ #2 {}") == r"50\% \& \$x\_1\$ \#2 \{\}"
    assert escaped("a\\b~^") == r"a\textbackslash{}b\textasciitilde{}\textasciicircum{}"
    assert escaped("a\n\n b\x07c") == "a b c"
    assert escaped("<i>") == r"\textless{}i\textgreater{}"
    bare = re.sub(r"\\[a-zA-Z]+(\{\})?|\\[&%$#_{}]|\$-\$", "", escaped(HOSTILE))
    assert not set(bare) & set(r"\&%$#_{}~^<>|"), bare


def _columns_of(line: str) -> int:
    return len(re.findall(r"(?<!\\)&", line)) + 1


@pytest.mark.parametrize("rows", [3, 60])
def test_every_row_of_a_latex_table_has_every_column(rows: int) -> None:
    columns_ = (Column("model & co"), Column("a_b", number=True), Column("said"))
    body = tuple(
        (Cell(name), Cell("1.5", 1.5, "[1.0, 2.0]", best=True), Cell("[x]"))
        for _ in range(rows // 3)
        for name in (HOSTILE, "[crane]", "*")
    )
    text = latex("try", Sheet("100% <b>", columns_, body, ("A note_1.",)))
    kind = "longtable" if rows > 45 else "tabular"
    assert f"\\begin{{{kind}}}{{lrl}}" in text
    assert f"\\end{{{kind}}}" in text
    assert f"\\usepackage{{{'longtable' if rows > 45 else 'booktabs'}}}" in text
    lines = [line for line in text.splitlines() if re.search(r"\\\\\*?$", line) and " & " in line]
    heads = 2 if rows > 45 else 1
    assert len(lines) == heads + 2 * rows
    assert {_columns_of(line) for line in lines} == {3}
    # After \\ a bracket or a star would be taken for its argument.
    assert not re.search(r"(?m)^\s*[\[*]", text)
    assert r"\textbf{1.5}" in text
    assert r"\caption{100\% \textless{}b\textgreater{}.}\label{tab:try}" in text
    assert text.count("{") == text.count("}")


def test_the_ends_of_an_interval_stand_in_the_cell_of_its_number() -> None:
    schema = columns(
        model=(pa.string(), "the model"),
        n_images=(pa.int64(), "images"),
        **measured("drop", "percentage points"),
        p_value=(pa.float64(), "sign-flip test"),
        inside=(pa.bool_(), "whether"),
        low=(pa.float64(), "of nothing"),
    )
    rows = [
        {"model": "m", "n_images": 1200, "drop": 3.04, "drop_low": -1.0, "drop_high": 7.25,
         "p_value": 0.0001, "inside": True, "low": 1.0},
    ]  # fmt: skip
    sheet = tidy(pa.Table.from_pylist(rows, schema=schema), "T", ["Note."], leave=["model"])
    assert [column.title for column in sheet.columns] == [
        *("images", "drop", "p value", "inside", "low"),
    ]
    assert [cell.text for cell in sheet.rows[0]] == ["1,200", "+3.0", "<0.001", "yes", "1.000"]
    assert sheet.rows[0][1].interval == "[\N{MINUS SIGN}1.0, 7.2]"
    assert sheet.columns[1].meaning == "percentage points"
    assert sheet.notes[-1] == "Note."


def test_a_pivot_marks_the_best_of_each_column_and_what_is_printed_alike() -> None:
    schema = columns(
        model=(pa.string(), ""), subset=(pa.string(), ""), accuracy=(pa.float64(), "percent")
    )
    values = {
        ("a", "average"): 50.01, ("b", "average"): 50.04, ("c", "average"): 49.0,
        ("a", "scale"): 10.0, ("b", "scale"): None, ("c", "scale"): 12.0, ("c", "crop"): 1.0,
    }  # fmt: skip
    rows = [{"model": m, "subset": s, "accuracy": v} for (m, s), v in values.items()]
    table = pa.Table.from_pylist(rows, schema=schema)
    sheet = pivot(table, "accuracy", "T", best="highest", last="average")
    assert [column.title for column in sheet.columns] == ["model", "scale", "crop", "average"]
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        ["a", "10.0", "\N{EN DASH}", "50.0"],
        ["b", "\N{EN DASH}", "\N{EN DASH}", "50.0"],
        ["c", "12.0", "1.0", "49.0"],
    ]
    assert [[cell.best for cell in row[1:]] for row in sheet.rows] == [
        [False, False, True],
        [False, False, True],
        [True, True, False],
    ]
    lone = pivot(table.slice(0, 1), "accuracy", "T", best="highest")
    assert not lone.rows[0][1].best
