"""Which weights the plugins of a recipe load, and what they take: for doctor and estimate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from covar_gen.commands.resolve import TOOLS, is_measured, network_of, part_of, tools
from covar_gen.core import plugins
from covar_gen.core.agreement import NETWORK
from covar_gen.core.errors import CovarError, PluginError
from covar_gen.core.pins import Pin, pin
from covar_gen.core.recipe import Recipe
from covar_gen.core.values import checked

AGREEMENT = "agreement"
"""The section of [backgrounds] that names what measures redrawn objects; in manifests/*.csv it
stands for a plugin and its kind."""


@dataclass(frozen=True)
class Wanted:
    """Weights that a plugin loads.

    Attributes:
        option: that names them.
        name: as it does: `owner/name`, `owner/name@revision` or a folder.
        local: True for a folder, or a file, that is there.
    """

    option: str
    name: str
    local: bool

    @property
    def repo(self) -> str:
        """`owner/name`."""
        return self.name.partition("@")[0]

    @property
    def revision(self) -> str | None:
        """What the user asked for; None: nothing."""
        return self.name.partition("@")[2] or None

    @property
    def pin(self) -> Pin | None:
        """What is known of the repository."""
        return None if self.local else pin(self.repo)


@dataclass(frozen=True)
class Tool:
    """A plugin as a recipe uses it, or by itself.

    Attributes:
        where: the recipe's key that names it; the kind without a recipe.
        kind: for example "editors".
        name: of the plugin.
        wanted: the weights that it loads.
        offload: True if its options let weights wait in the main memory.
        plugin: with its options; None where they are wrong, and for what is no plugin.
        refused: what is wrong with its options; None: nothing.
    """

    where: str
    kind: str
    name: str
    wanted: tuple[Wanted, ...] = ()
    offload: bool = False
    plugin: plugins.Plugin | None = None
    refused: CovarError | None = None

    @property
    def memory_gib(self) -> float | None:
        """Memory of each device that all its weights take in use; None where it is not known."""
        own = self.plugin.memory_gib() if self.plugin else None
        if own is not None:
            return round(own, 1)
        return _sum(each.pin.memory_gib if each.pin else None for each in self.wanted)

    @property
    def memory_said(self) -> str:
        """The same in words; empty where it is not known."""
        devices = getattr(self.plugin.options, "devices", 1) if self.plugin else 1
        if self.memory_gib is None:
            return ""
        if devices > 1:
            return f"from {self.memory_gib:g} GiB of memory on each of {devices} GPUs"
        return f"from {self.memory_gib:g} GiB of GPU memory"

    @property
    def pins(self) -> list[Pin]:
        """What is known of its repositories."""
        return [known for each in self.wanted if (known := each.pin) is not None]


def tool_of(recipe: Recipe, folder: Path, where: str, kind: str, name: str) -> Tool:
    """A plugin as a recipe uses it.

    Args:
        recipe: as read.
        folder: of its file, to which weights that are folders are relative.
        where: the recipe's key that names the plugin.
        kind: of the plugin.
        name: of the plugin, which must be there.
    """
    options = dict(getattr(part_of(recipe, where.rpartition(".")[0]), "options", {}).get(name, {}))
    if kind == "sources" and recipe.classes.path is not None:
        options["path"] = recipe.classes.path
    base = next((base for _, _, known, base in TOOLS if known == kind), plugins.Plugin)
    plugin = plugins.find(kind, name, base, where)
    return _tool(where, kind, plugin, plugins.with_paths(plugin, options, folder), folder)


def with_weights(recipe: Recipe, folder: Path) -> list[Tool]:
    """The plugins of a recipe that load weights, each use of them once.

    Args:
        recipe: as read.
        folder: of its file.
    """
    found = [
        tool_of(recipe, folder, where, kind, name)
        for where, kind, name, _ in tools(recipe)
        if name in plugins.names(kind)
        and (is_measured(recipe) or not where.startswith(f"backgrounds.{AGREEMENT}"))
    ]
    network = network_tool(recipe, folder)
    return [tool for tool in (*found, network) if tool is not None and tool.wanted]


def network_tool(recipe: Recipe, folder: Path) -> Tool | None:
    """The network that compares redrawn objects; None where none is asked.

    Args:
        recipe: as read.
        folder: of its file.
    """
    network = network_of(recipe, folder) if is_measured(recipe) else None
    if network is None:
        return None
    name = network.options.network
    wanted = Wanted("network", name, Path(name).is_dir())
    return Tool(f"backgrounds.{AGREEMENT}.network", AGREEMENT, AGREEMENT, (wanted,))


def all_with_weights() -> list[Tool]:
    """All that loads weights: plugins of stages with their default options, and the network."""
    bases = {kind: base for _, _, kind, base in TOOLS}
    found = []
    for kind, base in bases.items():
        for name in plugins.names(kind):
            # A file of the user's that is no plugin is told where a recipe names it.
            with contextlib.suppress(PluginError):
                found.append(_tool(kind, kind, plugins.find(kind, name, base), {}, Path()))
    found.append(Tool(AGREEMENT, AGREEMENT, AGREEMENT, (Wanted("network", NETWORK, local=False),)))
    return [tool for tool in found if tool.wanted]


def fitting(kind: str, limit: float) -> list[str]:
    """Plugins of a kind whose usual weights fit into a device's memory, and those without.

    Args:
        kind: of the plugins.
        limit: GiB.
    """
    there = {tool.name: tool for tool in all_with_weights() if tool.kind == kind}
    return [
        name
        for name in plugins.names(kind)
        if name not in there or (there[name].memory_gib or limit + 1) <= limit
    ]


def _tool(
    where: str, kind: str, plugin: type[plugins.Plugin], options: dict[str, object], folder: Path
) -> Tool:
    name = plugin.name()
    try:
        place = f"{where.rpartition('.')[0] or where}.options.{name}"
        made = plugin(checked(plugin.Options, options, place))
    except CovarError as error:
        return Tool(where, kind, name, refused=error)
    wanted = tuple(
        Wanted(option, weights, (folder / Path(weights).expanduser()).exists())
        for option, weights in made.named_weights().items()
    )
    offload = getattr(made.options, "offload", "none") != "none"
    return Tool(where, kind, name, wanted, offload, made)


def _sum(numbers: Iterable[float | None]) -> float | None:
    """Their sum; None if there are none, or one is not known."""
    found = list(numbers)
    if not found or None in found:
        return None
    return sum(number for number in found if number is not None)
