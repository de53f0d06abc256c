"""Weights in files of the user's own: whether they are all there, and none was cut off."""

from __future__ import annotations

from pathlib import Path

from covar_gen.commands.findings import Finding
from covar_gen.commands.weights import Tool, Wanted
from covar_gen.core.errors import CovarError, WeightsError
from covar_gen.neural.diffusion import CONFIG, find_network, find_pipeline
from covar_gen.neural.plugins import PipelinePlugin
from covar_gen.neural.whole import check_files


def own(tool: Tool, wanted: Wanted, title: str) -> Finding:
    """What is to be said of weights that are a file or a folder here; no network is loaded.

    Args:
        tool: that loads them.
        wanted: which.
        title: of the finding.
    """
    place = Path(wanted.name).expanduser()
    by = f"{tool.name}.{wanted.option}"
    try:
        _check(tool, wanted, place, by)
    except WeightsError as error:
        return Finding(title, fine=False, said=f"{error.what}, for {by}", mend=error.mend)
    kind = "file" if place.is_file() else "folder"
    return Finding(title, fine=True, said=f"a {kind} of your own, for {by}")


def _check(tool: Tool, wanted: Wanted, place: Path, where: str) -> None:
    """Look at the files as their plugin will; it checks itself what has a layout of its own.

    Raises:
        WeightsError: what is missing, or was cut off.
    """
    plugin = tool.plugin
    if place.is_file():
        check_files([place], where)
    elif isinstance(plugin, PipelinePlugin) and wanted.option in plugin.reads:
        find_pipeline(wanted.name, where, plugin.parts)
    elif isinstance(plugin, PipelinePlugin) or (place / CONFIG).is_file():
        find_network(wanted.name, where)
    elif (error := refusal(tool, wanted)) is not None:
        raise error


def refusal(tool: Tool, wanted: Wanted) -> WeightsError | None:
    """What the plugin itself says against weights; None where nothing, or against others.

    What else is wrong with the plugin is told where the recipe names it.

    Args:
        tool: that loads them.
        wanted: which.
    """
    if tool.plugin is None:
        return None
    try:
        tool.plugin.check()
    except CovarError as error:
        if isinstance(error, WeightsError) and error.where == f"{tool.name}.{wanted.option}":
            return error
    return None
