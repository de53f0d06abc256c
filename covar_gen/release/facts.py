"""What a release's card, licences, citation and Croissant file say, counted from its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.flow import steps
from covar_gen.core.pins import Pin, pin
from covar_gen.core.recipe import Recipe
from covar_gen.core.rows import BY_CONSTRUCTION, OK
from covar_gen.core.store import Run
from covar_gen.release.about import About

SUBSETS = (
    "original", "bg_varied", "scale", "viewpoint", "hflip", "vflip", "translate", "crop",
    "rotation",
)  # fmt: skip
"""Subsets in the order of tables; a user's own variants follow them."""

COUNTED = ["class_id", "background_id", "subset", "status"]


@dataclass(frozen=True)
class Tool:
    """A plugin that made images or masks of the release.

    Attributes:
        table: what it made rows of, such as backgrounds or masks_sources.
        plugin: its name.
        model: `repo@commit` of weights, or whatever else its rows say; None without weights.
        rows: how many.
    """

    table: str
    plugin: str
    model: str | None
    rows: int


@dataclass(frozen=True)
class Shown:
    """What patches show of the pictures that their images were drawn after.

    Attributes:
        images: looked at.
        share: mean share of the parent's detail that comes back in its place, or where the
            transform says, fraction.
    """

    images: int
    share: float


@dataclass(frozen=True)
class Facts:
    """What is known of a release.

    Attributes:
        recipe: the frozen recipe.
        about: what its makers say.
        cells: int64 class_id, background_id (null for originals), string subset, int64 ok and
            rejected: how many images; sorted.
        reasons: (subset, reason, rejected images), in the order of the tables.
        tools: in the order of the flow.
        kept: subset -> images of which known pixels are promised to be the parent's.
        source_terms: what the source of the photographs says of their terms; None: nothing.
        instructed: True if the editor reads the recipe's instruction.
        shown: subset -> what patches show, where images were drawn again; empty without patches.
    """

    recipe: Recipe
    about: About
    cells: pa.Table
    reasons: tuple[tuple[str, str, int], ...]
    tools: tuple[Tool, ...]
    kept: dict[str, int]
    source_terms: str | None = None
    instructed: bool = False
    shown: dict[str, Shown] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The data set's name."""
        return self.about.title or self.recipe.name

    @property
    def images(self) -> int:
        """Images in it, rejected ones left out."""
        return int(pc.sum(self.cells["ok"]).as_py() or 0)

    @property
    def photographs(self) -> int:
        """Original photographs in it."""
        return dict(self.subsets()).get("original", (0, 0))[0]

    def subsets(self) -> list[tuple[str, tuple[int, int]]]:
        """Subset, and its images that are there and that were rejected."""
        found = {
            str(row["subset"]): (int(row["ok_sum"]), int(row["rejected_sum"]))
            for row in self._summed(["subset"])
        }
        return sorted(found.items(), key=lambda pair: _place(pair[0]))

    @property
    def drawn(self) -> dict[str, int]:
        """Subset -> images, where there are any, of which no pixels are promised to be kept."""
        return {
            name: ok - self.kept.get(name, 0)
            for name, (ok, _) in self.subsets()
            if name != "original" and ok > self.kept.get(name, 0)
        }

    def by(self, column: str) -> dict[int, dict[str, int]]:
        """Images per value of a column and subset.

        Args:
            column: class_id or background_id; images without one are left out.
        """
        found: dict[int, dict[str, int]] = {}
        for row in self._summed([column, "subset"]):
            if row[column] is not None:
                found.setdefault(int(row[column]), {})[str(row["subset"])] = int(row["ok_sum"])
        return dict(sorted(found.items()))

    def pins(self) -> list[Pin]:
        """Known repositories of weights among the tools, each once, in the order of the flow."""
        repos = [repo for tool in self.tools for repo in repositories(tool.model)]
        known = (pin(repo) for repo in dict.fromkeys(repos))
        return [each for each in known if each is not None]

    def _summed(self, columns: list[str]) -> list[dict[str, Any]]:
        sums = [("ok", "sum"), ("rejected", "sum")]
        rows: list[dict[str, Any]] = self.cells.group_by(columns).aggregate(sums).to_pylist()
        return rows


def repositories(model: str | None) -> list[str]:
    """The repositories `owner/name` in what a row says of its weights."""
    words = (model or "").split()
    return [word.partition("@")[0] for word in words if "/" in word.partition("@")[0]]


def gather(
    run: Run, about: About, source_terms: str | None = None, *, instructed: bool = False
) -> Facts:
    """Count what there is to say of a run that is to be released.

    Args:
        run: complete.
        about: what its makers say.
        source_terms: what the source of the photographs says of their terms.
        instructed: True if the editor reads the recipe's instruction.

    Raises:
        IncompleteInputError: there is no manifest yet.
    """
    rows = run.manifest([*COUNTED, "reason", "known_pixel_max_diff"])
    reasons, tools = tuple(_reasons(rows)), tuple(_tools(run))
    cells, kept = _cells(rows), _kept(rows)
    return Facts(run.recipe, about, cells, reasons, tools, kept, source_terms, instructed)


def _cells(rows: pa.Table) -> pa.Table:
    there = pc.equal(rows["status"], OK)
    counted = rows.select(COUNTED[:3])
    counted = counted.append_column("ok", pc.cast(there, pa.int64()))
    counted = counted.append_column("rejected", pc.cast(pc.invert(there), pa.int64()))
    sums = counted.group_by(COUNTED[:3]).aggregate([("ok", "sum"), ("rejected", "sum")])
    sums = sums.rename_columns([*COUNTED[:3], "ok", "rejected"])
    return sums.sort_by([(name, "ascending") for name in COUNTED[:3]])


def _kept(rows: pa.Table) -> dict[str, int]:
    there = rows.filter(pc.equal(rows["status"], OK))
    counted = there.group_by("subset").aggregate([("known_pixel_max_diff", "count")]).to_pylist()
    return {str(row["subset"]): int(row["known_pixel_max_diff_count"]) for row in counted}


def _reasons(rows: pa.Table) -> list[tuple[str, str, int]]:
    refused = rows.filter(pc.not_equal(rows["status"], OK)).select(["subset", "reason"])
    counted = refused.group_by(["subset", "reason"]).aggregate([([], "count_all")]).to_pylist()
    found = [(str(row["subset"]), str(row["reason"]), int(row["count_all"])) for row in counted]
    return sorted(found, key=lambda row: (_place(row[0]), -row[2], row[1]))


def _tools(run: Run) -> list[Tool]:
    found: list[Tool] = []
    for step in steps(run.recipe):
        if step.table == "manifest":
            continue
        rows = run.table(step.table, ["tool", "model", "status"])
        rows = rows.filter(pc.equal(rows["status"], OK))
        counted = rows.group_by(["tool", "model"]).aggregate([([], "count_all")]).to_pylist()
        tools = [
            Tool(step.table, str(row["tool"]), row["model"], int(row["count_all"]))
            for row in counted
            if row["tool"] not in (None, BY_CONSTRUCTION)
        ]
        found += sorted(tools, key=lambda tool: (tool.plugin, tool.model or ""))
    return found


def _place(subset: str) -> tuple[int, str]:
    return (SUBSETS.index(subset) if subset in SUBSETS else len(SUBSETS)), subset


def shown_words(subset: str, shown: Shown) -> str:
    """What patches of a subset show, as a sentence."""
    images = counted(shown.images, "image")
    return (
        f"Of `{subset}`, {images} drawn again were looked at: their patches show {shown.share:.0%}"
        " of their parents' detail in its place, or where the transform says (by squares of 8 x 8"
        " pixels whose grey levels correlate by 0.9 or more; of unrelated photographs below 1 %)."
    )


def counted(count: int, name: str) -> str:
    """A number of things: `1 class`, `2 classes`."""
    several = f"{name}es" if name.endswith("s") else f"{name}s"
    return f"{count} {name if count == 1 else several}"


def columns_of(counts: Sequence[dict[str, int]]) -> list[str]:
    """The subsets that appear in some counts, in the order of tables."""
    return sorted({name for row in counts for name in row}, key=_place)
