"""`covar-gen doctor`: what works here, and what to do about what does not."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import shutil
import sys
from pathlib import Path

from covar_gen.commands.doctor_weights import Device, device, room, takes, weights
from covar_gen.commands.estimate import costs
from covar_gen.commands.findings import Finding
from covar_gen.commands.resolve import is_measured, network_of, tools
from covar_gen.commands.weights import all_with_weights, network_tool, tool_of, with_weights
from covar_gen.core import plugins
from covar_gen.core.environment import packages
from covar_gen.core.errors import CovarError, PluginError, ToolError
from covar_gen.core.pins import licences, of_plugin
from covar_gen.core.plugins import check_modules
from covar_gen.core.recipe import Recipe
from covar_gen.core.servers import api_key


def doctor(
    recipe: Recipe | None = None, folder: Path | None = None, home: Path | None = None
) -> list[Finding]:
    """Look at this installation and, given a recipe, at what it needs; nothing is downloaded.

    Args:
        recipe: checked as far as its tools, their weights and the photographs go; without one,
            all weights that a plugin would load are listed, and none is needed.
        folder: where a run would be made, for its disk; the working folder by default.
        home: folder of the recipe's file; the working folder by default.
    """
    found = [_python(), _opencv(), _accelerate(), _device(), _disk(folder or Path.cwd())]
    if recipe is None:
        return found + weights(all_with_weights(), needed=False)
    home = home or Path.cwd()
    at = device()
    found += [_tool(recipe, home, at, *tool) for tool in tools(recipe)]
    found += _network(recipe, home, at)
    return found + weights(with_weights(recipe, home), needed=True) + _photographs(recipe)


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    return Finding("Python", fine, platform.python_version(), "" if fine else "Use 3.11 or newer")


def _opencv() -> Finding:
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        library = "libGL" in str(error) or "libgthread" in str(error)
        mend = (
            "Type: apt-get install libgl1 libglib2.0-0"
            if library
            else "Type: pip install opencv-python"
        )
        return Finding("OpenCV", fine=False, said=str(error), mend=mend)
    both = [
        name
        for name in ("opencv-python", "opencv-python-headless")
        if importlib.util.find_spec("cv2") and _installed(name)
    ]
    if len(both) > 1:
        first = "pip uninstall opencv-python-headless"
        mend = f"Type: {first} && pip install --force-reinstall opencv-python"
        return Finding("OpenCV", fine=False, said="two builds are installed and clash", mend=mend)
    return Finding("OpenCV", fine=True, said=cv2.__version__)


def _installed(distribution: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _accelerate() -> Finding:
    version = packages().get("accelerate")
    if version is None:
        mend = "Only for `accelerate launch`: pip install 'covar-gen[launch]'"
        return Finding("accelerate", fine=True, said=f"not installed. {mend}")
    return Finding("accelerate", fine=True, said=str(version))


def _device() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("device", fine=True, said="CPU (torch is not installed)")
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return Finding("device", fine=True, said=f"CPU (torch {torch.__version__} sees no GPU)")
    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    said = ", ".join(f"{g.name} {g.total_memory / 2**30:.0f} GiB" for g in gpus)
    return Finding("device", fine=True, said=said)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 2**30
    return Finding("disk", free > 1, f"{free:.0f} GiB free", "" if free > 1 else "Free some space")


def _tool(
    recipe: Recipe,
    home: Path,
    at: Device | None,
    where: str,
    kind: str,
    name: str,
    base: type[plugins.Plugin],
) -> Finding:
    title = f"{where} = {name}"
    cost = costs().get((kind, name, ""))
    if name not in plugins.names(kind) and cost is not None:
        have = ", ".join(n for n in plugins.names(kind))
        known = of_plugin(kind, name)
        about = (
            f"from {known[0].memory_gib:g} GiB of GPU memory; {licences(known)}" if known else ""
        )
        said = f"planned, not in this version of the toolkit ({about})"
        return Finding(title, fine=False, said=said, mend=f"Use one of: {have}")
    try:
        plugin = plugins.find(kind, name, base, where)
    except PluginError as error:
        return Finding(title, fine=False, said=error.what, mend=error.mend)
    missing = plugins.missing_modules(plugin)
    if missing:
        extra = f"covar-gen[{plugin.extra}]" if plugin.extra else missing[0]
        said = f"needs {', '.join(missing)}"
        return Finding(title, fine=False, said=said, mend=f"Type: pip install '{extra}'")
    tool = tool_of(recipe, home, where, kind, name)
    if tool.refused is not None:
        said = f"{tool.refused.where}: {tool.refused.what}"
        return Finding(title, fine=False, said=said, mend=tool.refused.mend)
    try:
        if tool.plugin is not None:
            _check(tool.plugin)
    except CovarError as error:
        said = f"{error.where}: {error.what}"
        return Finding(title, fine=False, said=said, mend=error.mend)
    if tool.wanted:
        return room(tool, at, title) or Finding(title, fine=True, said=takes(tool, at))
    return Finding(title, fine=True, said="ready, without weights" if cost else "ready")


def _check(plugin: plugins.Plugin) -> None:
    """Look for the files that its options name, and for the key of the server that they name.

    Raises:
        CovarError: what is missing.
    """
    plugin.check()
    variable = getattr(plugin.options, "api_key_env", None)
    if variable is not None:
        api_key(variable, plugin.name(), ToolError)


def _network(recipe: Recipe, home: Path, at: Device | None) -> list[Finding]:
    """What compares redrawn objects, where the recipe has a section for it."""
    section = recipe.backgrounds
    if section is None or section.agreement is None:
        return []
    if not is_measured(recipe):
        said = f"not used: {section.editor} keeps the object's pixels"
        return [Finding("backgrounds.agreement", fine=True, said=said)]
    network, tool = network_of(recipe, home), network_tool(recipe, home)
    if network is None or tool is None:
        return []
    title = f"backgrounds.agreement.network = {network.options.network}"
    try:
        check_modules(type(network), "it", "")
        # What is not on this machine is told with the other weights.
        if tool.wanted[0].local:
            network.check()
    except CovarError as error:
        return [Finding(title, fine=False, said=error.what, mend=error.mend)]
    return [Finding(title, fine=True, said=takes(tool, at))]


def _photographs(recipe: Recipe) -> list[Finding]:
    path = recipe.classes.path
    if path is None or recipe.classes.source != "folder":
        return []
    if Path(path).is_dir():
        return [Finding("photographs", fine=True, said=path)]
    mend = "Set it: --set classes.path=FOLDER"
    return [Finding("photographs", fine=False, said=f"{path} is not there", mend=mend)]
