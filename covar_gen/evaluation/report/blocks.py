"""What a page is built of: tables and figures in sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from covar_gen.evaluation.report import layouts
from covar_gen.evaluation.report.drawing import Drawing
from covar_gen.evaluation.report.error_examples import ErrorExample
from covar_gen.evaluation.report.examples import Example
from covar_gen.evaluation.report.sheets import Sheet

SCREEN = 2000
"""Rows of a table on the page, of all its parts together; the others are in its files."""


@dataclass(frozen=True)
class Block:
    """A table or a figure of a section.

    Attributes:
        name: unique on the page.
        sheet: the table, where it is one.
        drawing: the figure, where it is one.
        folded: whether it is shown on demand.
    """

    name: str
    sheet: Sheet | None = None
    drawing: Drawing | None = None
    folded: bool = False

    @property
    def title(self) -> str:
        """What it shows."""
        found = self.sheet or self.drawing
        assert found is not None
        return found.title


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: its anchor.
        title: its heading.
        intro: sentences that say how to read it.
        facts: terms and what is said of them.
        blocks: its tables and figures.
        examples: its images.
        errors: its explained errors.
    """

    key: str
    title: str
    intro: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    blocks: tuple[Block, ...] = ()
    examples: tuple[Example, ...] = ()
    errors: tuple[ErrorExample, ...] = ()


@dataclass(frozen=True)
class Laid:
    """A table laid out.

    Attributes:
        sheet: as it stands in LaTeX.
        blocks: as it stands on the page; the sheet itself by default.
    """

    sheet: Sheet
    blocks: tuple[Block, ...] = field(default=())


def on_page(name: str, sheet: Sheet, part: str = "", *, folded: bool = False, of: int = 1) -> Block:
    """A sheet as a block; of a long one the first rows, and where the others are.

    Args:
        name: of the table, and so of its files.
        sheet: the table, or a part of it.
        part: what tells parts of one table apart.
        folded: even where it is short.
        of: how many parts there are: all together have `SCREEN` rows at the most.
    """
    most = max(SCREEN // of, 20)
    if len(sheet.rows) > most:
        note = f"The first {most:,} of {len(sheet.rows):,} rows; all are in tables/{name}.csv."
        sheet = Sheet(sheet.title, sheet.columns, sheet.rows[:most], (*sheet.notes, note))
    block = f"{name}_{part}" if part else name
    return Block(block, sheet=sheet, folded=folded or len(sheet.rows) > layouts.FOLDED)
