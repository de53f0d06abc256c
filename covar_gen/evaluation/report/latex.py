"""Sheets as LaTeX: a booktabs table with its caption and its notes.

A table of many rows is a longtable, which goes over pages and repeats its head.
"""

from __future__ import annotations

import re

from covar_gen.evaluation.report.sheets import Cell, Sheet

PAGE_ROWS = 45
"""Rows beyond which a table goes over pages."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREEK SMALL LETTER KAPPA}": r"$\kappa$",
    "\N{DEGREE SIGN}": r"\textdegree{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def escaped(text: str) -> str:
    """A text as LaTeX prints it, whatever characters it holds.

    Line ends and control characters become blanks: a blank line would end the row.
    """
    plain = _UNPRINTED.sub(" ", text).strip()
    return "".join(_SPECIAL.get(character, character) for character in plain)


def latex(name: str, sheet: Sheet) -> str:
    """A sheet as LaTeX source.

    Args:
        name: of the table; its label is `tab:name`.
        sheet: the table.

    Returns:
        A `table`, or a `longtable` of more than 45 rows.
    """
    long = len(sheet.rows) > PAGE_ROWS
    packages = ("booktabs", "longtable") if long else ("booktabs",)
    needs = "".join(f"\\usepackage{{{package}}}" for package in packages)
    kinds = "".join("r" if column.number else "l" for column in sheet.columns)
    head = " & ".join(_cell(column.title) for column in sheet.columns) + r" \\"
    caption = f"\\caption{{{escaped(sheet.title)}.}}\\label{{tab:{name}}}"
    body = [line for row in sheet.rows for line in _row(row)]
    notes = " ".join(escaped(note) for note in sheet.notes)
    parts = [f"% needs {needs}"]
    if long:
        foot = f"\\multicolumn{{{len(sheet.columns)}}}{{r}}{{continued}} \\\\"
        parts += ["{", r"\small\setlength{\tabcolsep}{4pt}", f"\\begin{{longtable}}{{{kinds}}}"]
        parts += [f"{caption} \\\\", r"\toprule", head, r"\midrule", r"\endfirsthead"]
        parts += [r"\toprule", head, r"\midrule", r"\endhead"]
        parts += [r"\midrule", foot, r"\endfoot", r"\bottomrule", r"\endlastfoot"]
        parts += [*body, r"\end{longtable}"]
        parts += [f"\\noindent\\footnotesize {notes}\\par"] if notes else []
        parts += ["}"]
    else:
        parts += [r"\begin{table}", r"\centering\small\setlength{\tabcolsep}{4pt}", caption]
        parts += [f"\\begin{{tabular}}{{{kinds}}}", r"\toprule", head, r"\midrule"]
        parts += [*body, r"\bottomrule", r"\end{tabular}"]
        parts += [f"\\par\\smallskip\\footnotesize {notes}"] if notes else []
        parts += [r"\end{table}"]
    return "\n".join(parts) + "\n"


def _row(row: tuple[Cell, ...]) -> list[str]:
    """A row, and a second one in small print where its numbers have intervals."""
    texts = [f"\\textbf{{{_cell(cell.text)}}}" if cell.best else _cell(cell.text) for cell in row]
    lines = [" & ".join(texts) + r" \\"]
    if any(cell.interval for cell in row):
        small = [f"{{\\scriptsize {_cell(c.interval)}}}" if c.interval else "" for c in row]
        # The star keeps a page from ending between a number and its interval.
        lines = [lines[0] + "*", " & ".join(small) + r" \\"]
    return lines


def _cell(text: str) -> str:
    """An escaped text that the row's end before it cannot take for its own argument."""
    found = escaped(text)
    return f"{{}}{found}" if found.startswith(("[", "*")) else found
