"""Tables and figures as files: whole numbers, the same bytes, nothing of an earlier report."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covar_gen.core.files import Staging
from covar_gen.evaluation.analyses.columns import columns
from covar_gen.evaluation.report.drawing import Drawing
from covar_gen.evaluation.report.layouts import tidy
from covar_gen.evaluation.report.writing import write_figures, write_tables

SCHEMA = columns(
    model=(pa.string(), "name"), n=(pa.int64(), "images"), share=(pa.float64(), "percent")
)
ROWS = [
    {"model": 'a,"b"\nc_%', "n": 3, "share": 100 / 3},
    {"model": "<d>", "n": None, "share": None},
]


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS, schema=SCHEMA)


def test_parquet_and_csv_keep_every_digit_and_the_meanings(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    write_tables(tmp_path, {"t": (table(), tidy(table(), "T"))}, staging)
    staging.close()
    found = pq.read_table(tmp_path / "tables" / "t.parquet")
    assert found.equals(table())
    assert found.schema.field("share").metadata == {b"meaning": b"percent"}
    with (tmp_path / "tables" / "t.csv").open(encoding="utf-8", newline="") as stream:
        head, first, second = csv.reader(stream)
    assert head == ["model", "n", "share"]
    assert first == [ROWS[0]["model"], "3", repr(100 / 3)]
    assert second == ["<d>", "", ""]
    assert r"33.3" in (tmp_path / "tables" / "t.tex").read_text(encoding="utf-8")


def test_the_same_tables_leave_their_files_alone_and_others_go(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    sheet = tidy(table(), "T")
    made = write_tables(tmp_path, {"a": (table(), sheet), "b": (table(), sheet)}, staging)
    assert sorted(path.name for path in made) == [
        *("a.csv", "a.parquet", "a.tex", "b.csv", "b.parquet", "b.tex"),
    ]
    own = tmp_path / "tables" / "notes.txt"
    own.write_text("mine")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in made[:3]}
    write_tables(tmp_path, {"a": (table(), sheet)}, staging)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert sorted((tmp_path / "tables").iterdir()) == sorted([*before, own])
    changed = table().slice(1)
    write_tables(tmp_path, {"a": (changed, sheet)}, staging)
    assert pq.read_table(made[0]).num_rows == 1
    staging.close()


def test_a_figure_on_disk_has_the_colours_of_paper(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    svg = '<svg viewBox="0 0 1 1"><path style="fill: var(--ink); stroke: var(--series-0)"/></svg>'
    one = Drawing("f", "s", "t", "c", "a", svg, b"%PDF-")
    svg_path, pdf_path = write_figures(tmp_path, [one], staging)
    text = svg_path.read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert "var(" not in text
    assert "#0072b2" in text
    assert pdf_path.read_bytes() == b"%PDF-"
    write_figures(tmp_path, [], staging)
    assert list((tmp_path / "figures").iterdir()) == []
    staging.close()


def test_a_disk_that_cannot_be_written_is_an_error_and_not_a_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = Staging(tmp_path)
    monkeypatch.setattr(
        "covar_gen.evaluation.report.writing._csv",
        lambda _table: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(OSError, match="No space left"):
        write_tables(tmp_path, {"t": (table(), tidy(table(), "T"))}, staging)
    staging.close()
    assert not (tmp_path / "tables").exists()
