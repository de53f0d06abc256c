"""`covar-gen status`: how far a run is, and what was rejected why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.flow import MANIFEST, steps
from covar_gen.core.plan import expected, lacks
from covar_gen.core.rows import OK
from covar_gen.core.store import MANIFEST as MANIFEST_FILE
from covar_gen.core.store import Run
from covar_gen.stage_manifest import count


@dataclass(frozen=True)
class TableStatus:
    """One table of a run.

    Attributes:
        table: its name.
        rows: rows so far.
        expected: rows when it is done; None while its input is not there.
        reasons: rejected rows by reason.
        tools: rows by the plugin that made them.
    """

    table: str
    rows: int
    expected: int | None
    reasons: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> bool:
        """True if no row is missing."""
        return self.expected is not None and self.rows == self.expected


def status(run: Run) -> list[TableStatus]:
    """The state of every table of a run's recipe, computed from its rows."""
    found = []
    for step in steps(run.recipe):
        if step.table == MANIFEST.table:
            continue
        rows = run.table(step.table, ["key", "status", "reason", "tool"])
        begun = not lacks(run, "sources")
        total = expected(run, step.table) if begun else None
        refused = rows.filter(pc.not_equal(rows["status"], OK))
        found.append(
            TableStatus(
                step.table,
                len(rows),
                total,
                _counted(refused["reason"]),
                _counted(rows["tool"].drop_null()),
            )
        )
    return found


def subsets(run: Run) -> dict[str, Counter[str]]:
    """Rows of the manifest by subset and reason; empty before there is one."""
    if not (run.root / MANIFEST_FILE).is_file():
        return {}
    return count(run.manifest(["subset", "status", "reason"]))


def limited(run: Run) -> tuple[int, int]:
    """Photographs in the manifest, and photographs of the run; (0, 0) before there is one."""
    if not (run.root / MANIFEST_FILE).is_file():
        return 0, 0
    kept = pc.count_distinct(run.manifest(["source"])["source"]).as_py()
    return kept, len(run.table("sources", ["key"]))


def _counted(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()})
