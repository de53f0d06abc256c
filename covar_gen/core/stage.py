"""Stage: for each row of one table, make rows of the next.

A stage file defines one subclass of `Stage`; `core.pipeline` runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from covar_gen.core.arrays import Image, Json, Mask, Matrix, Rejected
from covar_gen.core.flow import Step, step_of
from covar_gen.core.plugins import Plugin
from covar_gen.core.rows import OK, Row
from covar_gen.core.store import Run


@dataclass(frozen=True, slots=True)
class Work:
    """One row to make.

    Attributes:
        key: the row's key.
        name: its last component: what distinguishes it from its siblings.
        parent: the input row (see `core.plan.PARENT`), with the path of its mask.
        image: uint8 (H, W, 3), RGB: the parent's image.
        mask: bool (H, W): the parent's object; None where the stage reads no masks.
        seed: all randomness of this row in this attempt.
        attempt: how many earlier ones were rejected.
    """

    key: str
    name: str
    parent: dict[str, Any]
    image: Image
    mask: Mask | None
    seed: int
    attempt: int = 0

    @property
    def known_mask(self) -> Mask:
        """The parent's mask, in stages that read masks."""
        assert self.mask is not None
        return self.mask


@dataclass(frozen=True)
class Made:
    """What a stage makes of one row.

    Attributes:
        image: uint8 (H, W, 3), RGB; None in a stage that makes masks only.
        mask: bool (H, W), where it is known by construction.
        tool: the plugin that made it.
        model: `repo@revision` of its weights.
        transform: float64 (3, 3), parent pixels -> this image's pixels.
        columns: further columns of the table.
        params: further factors and measurements.
    """

    image: Image | None
    mask: Mask | None
    tool: str
    model: str | None = None
    transform: Matrix | None = None
    columns: Row = field(default_factory=dict)
    params: dict[str, Json] = field(default_factory=dict)


class Stage(ABC):
    """What a stage file defines.

    Attributes:
        table: what it makes.
        batch: rows that a model works on at once, where its answers depend on that; None where
            rows are independent, and `make` is given whatever is missing of a block.
        attempts: how often a row is made at most, where its answer asks for another attempt.
        repeatable: False where a row that is made again need not be the same.
        tool: plugin named by rows that `make` refused.
    """

    table: str
    batch: int | None = None
    attempts: int = 1
    repeatable: bool = True
    tool: str = ""
    reads_masks: ClassVar[bool] = True

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def step(self) -> Step:
        """The stage's place in the flow."""
        return step_of(self.table)

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """What decides the table's content besides its input."""

    def follow(self, plugin: Plugin) -> None:
        """Make rows as the plugin needs it: as often, and in whole blocks if it works in batches.

        A block is given to the plugin whole, of which it makes batches: so its batches are full
        even where some rows need no computing.
        """
        self.attempts, self.repeatable = plugin.attempts, plugin.repeatable
        self.batch = None if plugin.batch is None else self.run.recipe.block

    def setup(self) -> None:
        """Load what is expensive, once per process, before the first batch."""

    @abstractmethod
    def outputs(self, parent: str) -> list[str]:
        """Keys made from the parent of that key; as many for every parent."""

    def subset(self, key: str) -> str:  # noqa: ARG002 - for stages with several
        """Subset of an output: the table's name unless a stage says otherwise."""
        return self.table

    def columns(self, key: str) -> Row:  # noqa: ARG002 - for stages whose keys say more
        """Columns that the key alone decides: rejected rows have them too."""
        return {}

    @abstractmethod
    def make(self, batch: Sequence[Work]) -> Sequence[Made | Rejected]:
        """One answer per row, in their order, independent of the rows beside it."""

    def ready(self, parent: dict[str, Any]) -> Row | None:  # noqa: ARG002 - for stages that can
        """The columns of a row that needs no computing, or None."""
        return None


@dataclass
class Tally:
    """Counts of a stage's rows."""

    made: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Sequence[Row]) -> None:
        """Count a block's rows."""
        for row in rows:
            if row["status"] == OK:
                self.made += 1
            else:
                self.reasons[str(row["reason"])] += 1

    @property
    def total(self) -> int:
        """Rows made and rejected."""
        return self.made + self.reasons.total()

    def line(self) -> str:
        """The counts in words."""
        said = ", ".join(f"{n} {reason}" for reason, n in sorted(self.reasons.items()))
        return f"{self.made} made" + (f", rejected: {said}" if said else "")
