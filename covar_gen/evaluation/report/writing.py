"""Tables and figures as files: Parquet, CSV and LaTeX; SVG and PDF.

The same tables give the same bytes. What an earlier report wrote and this one does not, goes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from covar_gen.core.files import Staging
from covar_gen.evaluation.report.drawing import Drawing, standalone
from covar_gen.evaluation.report.latex import latex
from covar_gen.evaluation.report.sheets import Sheet

TABLES, FIGURES = "tables", "figures"
_TABLE_ENDINGS = (".parquet", ".csv", ".tex")
_FIGURE_ENDINGS = (".svg", ".pdf")


def write_tables(
    root: Path, tables: Mapping[str, tuple[pa.Table, Sheet]], staging: Staging
) -> list[Path]:
    """Write each table as root/tables/NAME.parquet, .csv and .tex.

    Parquet and CSV hold the numbers as they are; LaTeX holds what a reader sees.

    Args:
        root: the evaluation folder.
        tables: name -> the table, and its sheet.
        staging: of that folder.
    """
    folder = root / TABLES
    made = []
    for name, (table, sheet) in tables.items():
        parts = (_parquet(table), _csv(table), latex(name, sheet).encode())
        for ending, content in zip(_TABLE_ENDINGS, parts, strict=True):
            made.append(folder / f"{name}{ending}")
            _write(made[-1], content, staging)
    _remove(folder, made, _TABLE_ENDINGS)
    return made


def write_figures(root: Path, drawings: Iterable[Drawing], staging: Staging) -> list[Path]:
    """Write each figure as root/figures/NAME.svg and .pdf, in the colours of paper."""
    folder = root / FIGURES
    made = []
    for one in drawings:
        parts = (standalone(one.svg).encode(), one.pdf)
        for ending, content in zip(_FIGURE_ENDINGS, parts, strict=True):
            made.append(folder / f"{one.name}{ending}")
            _write(made[-1], content, staging)
    _remove(folder, made, _FIGURE_ENDINGS)
    return made


def _write(path: Path, content: bytes, staging: Staging) -> None:
    """A file that is whole, and left alone where it is the same already."""
    if not path.is_file() or path.read_bytes() != content:
        staging.replace(path, content)


def _remove(folder: Path, made: Iterable[Path], endings: tuple[str, ...]) -> None:
    """Remove what is not of this report: numbers of another choice of models mislead."""
    kept = set(made)
    for path in folder.glob("*"):
        if path.suffix in endings and path not in kept:
            path.unlink()


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table.combine_chunks(), stream, compression="zstd")
    return stream.getvalue()


def _csv(table: pa.Table) -> bytes:
    """Comma-separated, UTF-8, a head of names; numbers with all their digits, nulls empty."""
    stream = io.BytesIO()
    options = pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="needed")
    pyarrow.csv.write_csv(table, stream, write_options=options)
    return stream.getvalue()
