"""`covar-gen estimate`: images, device hours and disk of a recipe, before anything is run."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from covar_gen.commands.resolve import is_measured, knows_masks, matched_classes, part_of
from covar_gen.commands.weights import AGREEMENT, Tool, network_tool, tool_of
from covar_gen.core import plugins
from covar_gen.core.flow import children, steps
from covar_gen.core.pins import Pin, licences, of_plugin
from covar_gen.core.plugins import KINDS
from covar_gen.core.recipe import Recipe
from covar_gen.core.shipped import shipped
from covar_gen.sources.base import Source

BYTES_PER_PIXEL = 1.9
"""A PNG master of a photograph at level 1 takes 1.4 to 2.2 bytes per pixel."""
ASPECT = 1.33
"""Photographs are taken to be 4:3."""
KIND_OF = {
    "masks_": "segmenters",
    "backgrounds": "editors",
    "viewpoints": "viewers",
    "scale": "inpainters",
    "geometry": "inpainters",
}
"""Kind of plugin that makes a table."""


@dataclass(frozen=True)
class Cost:
    """What a plugin costs.

    Attributes:
        device: on which the seconds were taken.
        seconds: per call: an image, or for a viewer all views of an image.
        memory_gib: main memory of a tool without weights; None for the others, whose weights
            say what they take.
        source: where the numbers come from.
    """

    device: str
    seconds: float
    memory_gib: float | None
    source: str


@dataclass(frozen=True)
class Line:
    """One table of the estimate.

    Attributes:
        table: its name; `agreement` for what measures redrawn objects and makes no images.
        images: new images or masks in it.
        plugin: what makes them.
        calls: of the plugin.
        cost: of a call; None where nothing is known about the plugin.
        tool: its weights; None for a plugin without, or one that this version has not got.
    """

    table: str
    images: int
    plugin: str
    calls: int
    cost: Cost | None
    tool: Tool | None = None

    @property
    def hours(self) -> float | None:
        """Hours on the device."""
        return None if self.cost is None else self.calls * self.cost.seconds / 3600


@cache
def costs() -> dict[tuple[str, str, str], Cost]:
    """Costs by (kind, plugin, repository of weights or empty), from manifests/tools.csv."""
    with (shipped("manifests") / "tools.csv").open(encoding="utf-8", newline="") as stream:
        return {
            (row["kind"], row["plugin"], row["weights"]): Cost(
                row["device"],
                float(row["seconds_per_image"]),
                float(row["memory_gib"]) if row["memory_gib"] else None,
                row["source"],
            )
            for row in csv.DictReader(stream)
        }


def _cost(kind: str, plugin: str, tool: Tool | None) -> Cost | None:
    """Of a plugin with the weights that it loads, else with its usual ones."""
    found = costs()
    asked = [found.get((kind, plugin, each.repo)) for each in (tool and tool.wanted) or ()]
    return next((cost for cost in asked if cost), found.get((kind, plugin, "")))


def photographs(recipe: Recipe, folder: Path) -> int | None:
    """Photographs of a recipe: what it says, else what its source lists.

    Args:
        recipe: with its lists inlined.
        folder: of the recipe's file.

    Returns:
        None where the source has to be read whole to be counted.

    Raises:
        CovarError: the source is not there.
    """
    section = recipe.classes
    if section.per_class is not None and recipe.class_list:
        return section.per_class * len(recipe.class_list)
    options = dict(section.options.get(section.source, {}))
    if section.path is not None:
        options["path"] = section.path
    plugin = plugins.find("sources", section.source, Source, "classes.source")
    source = plugins.make(
        "sources",
        section.source,
        Source,
        plugins.with_paths(plugin, options, folder),
        "classes.source",
    )
    if source.streams:
        return None
    labels = [str(entry.label) for entry in matched_classes(recipe, source.labels())]
    counts = Counter(photograph.label for photograph in source.photographs(labels, 0))
    most = section.per_class
    return sum(count if most is None else min(count, most) for count in counts.values())


def estimate(recipe: Recipe, count: int, home: Path | None = None) -> list[Line]:
    """What each table of a recipe takes.

    Args:
        recipe: with its lists inlined.
        count: photographs.
        home: folder of the recipe's file; the working folder by default.
    """
    lines: list[Line] = []
    rows = {"sources": count}
    for step in steps(recipe)[:-1]:
        if step.table == "sources":
            lines.append(Line("sources", count, recipe.classes.source, 0, None))
            continue
        rows[step.table] = rows[step.reads[0]] * children(step.table, recipe)
        kind, plugin = _plugin(recipe, step.table)
        tool = _loaded(recipe, home or Path.cwd(), step.table, kind, plugin)
        cost = _cost(kind, plugin, tool)
        calls = rows[step.table]
        if step.table == "viewpoints":
            calls = rows[step.reads[0]]
        if step.table == "geometry" and recipe.geometry is not None:
            filled = {"rotation", "translate"} & set(recipe.geometry.variants)
            calls = rows[step.reads[0]] * len(filled)
        if step.table in ("masks_backgrounds", "masks_viewpoints") and _knows(recipe, step.table):
            plugin, cost, calls, tool = "by_construction", None, 0, None
        lines.append(Line(step.table, rows[step.table], plugin, calls, cost, tool))
        if step.table == "backgrounds" and is_measured(recipe):
            lines += _measured(recipe, calls, home or Path.cwd())
    return lines


def _measured(recipe: Recipe, calls: int, home: Path) -> list[Line]:
    """What comparing redrawn objects takes besides: the network, and the segmenter."""
    assert recipe.backgrounds is not None
    assert recipe.backgrounds.agreement is not None
    lines, network = [], network_tool(recipe, home)
    if network is not None:
        cost = _cost(AGREEMENT, AGREEMENT, network)
        lines.append(Line(AGREEMENT, 0, "network", calls, cost, network))
    name = recipe.backgrounds.agreement.segmenter
    if name in plugins.names("segmenters"):
        tool = tool_of(recipe, home, f"backgrounds.{AGREEMENT}.segmenter", "segmenters", name)
        tool_or_none = tool if tool.wanted else None
        cost = _cost("segmenters", name, tool_or_none)
        lines.append(Line(AGREEMENT, 0, name, calls, cost, tool_or_none))
    return lines


def weights(lines: list[Line]) -> list[str]:
    """What is known of the weights of all lines, in words, each plugin once."""
    said = {}
    for line in lines:
        known = line.tool.pins if line.tool else of_plugin(*_kind_of(line))[:1]
        if not line.calls or not known:
            continue
        usual = f"from {sum(each.memory_gib for each in known):g} GiB of GPU memory"
        memory = (line.tool.memory_said if line.tool else "") or usual
        said[line.plugin] = f"{line.plugin}: {memory}, {_downloads(known)}; {licences(known)}"
    return sorted(said.values())


def _downloads(known: list[Pin]) -> str:
    """What there is to download, and what there was."""
    there = [each for each in known if not each.removed]
    size = round(sum(each.download_gib for each in there), 1)
    words = (
        [f"{size:g} GiB to download ({', '.join(each.repo for each in there)})"] if there else []
    )
    for gone in known:
        if gone.removed:
            mirror = f" (its mirror: {gone.mirror})" if gone.mirror else ""
            words.append(f"{gone.repo} was removed by its owner{mirror}")
    return ", ".join(words)


def _kind_of(line: Line) -> tuple[str, str]:
    table = "masks_" if line.table.startswith("masks_") else line.table
    return KIND_OF.get(table, ""), line.plugin


def _loaded(recipe: Recipe, home: Path, table: str, kind: str, plugin: str) -> Tool | None:
    """A table's plugin with the weights that it loads."""
    if plugin not in plugins.names(kind):
        return None
    section = "masks" if table.startswith("masks_") else table
    tool = tool_of(recipe, home, f"{section}.{KINDS[kind].word}", kind, plugin)
    return tool if tool.wanted else None


def images(lines: list[Line]) -> int:
    """Images of the benchmark: all but masks and the originals."""
    return sum(
        line.images
        for line in lines
        if not line.table.startswith("masks_") and line.table != "sources"
    )


def disk_bytes(recipe: Recipe, lines: list[Line]) -> int:
    """Bytes of all masters and masks."""
    size = recipe.classes.size if isinstance(recipe.classes.size, int) else 512
    pixels = size * size * ASPECT
    total = sum(line.images for line in lines if not line.table.startswith("masks_"))
    return int(total * pixels * (BYTES_PER_PIXEL + 0.03))


def _plugin(recipe: Recipe, table: str) -> tuple[str, str]:
    if table.startswith("masks_"):
        return KIND_OF["masks_"], recipe.masks.segmenter if recipe.masks else ""
    if table == "backgrounds":
        return KIND_OF[table], recipe.backgrounds.editor if recipe.backgrounds else ""
    if table == "viewpoints":
        return KIND_OF[table], recipe.viewpoints.viewer if recipe.viewpoints else ""
    section = recipe.scale if table == "scale" else recipe.geometry
    return KIND_OF[table], section.inpainter if section else ""


def _knows(recipe: Recipe, table: str) -> bool:
    """True if the table's images come with their masks."""
    kind, name = _plugin(recipe, table.removeprefix("masks_"))
    if name not in plugins.names(kind):
        return False
    section = part_of(recipe, table.removeprefix("masks_"))
    return knows_masks(kind, name, section.options.get(name))
