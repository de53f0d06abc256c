"""A plugin is a file: its name is the file's name, its class the one class in it.

Nothing is registered. `names` reads a folder, `find` imports one file of it; so `covar-gen list`
answers without importing anything heavy, and a new tool is one new file.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from covar_gen.core.arrays import Json
from covar_gen.core.errors import MissingExtraError, PluginError
from covar_gen.core.values import checked, unknown

PACKAGE = "covar_gen"


class Kind(NamedTuple):
    """A kind of plugin.

    Attributes:
        word: for one of them.
        package: whose files they are.
        besides: files of the package that are no plugins, without `.py`; so are `base` and those
            with a leading underscore everywhere.
    """

    word: str
    package: str
    besides: tuple[str, ...] = ()


KINDS = {
    "sources": Kind("source", f"{PACKAGE}.sources"),
    "segmenters": Kind("segmenter", f"{PACKAGE}.segmenters"),
    "editors": Kind("editor", f"{PACKAGE}.editors"),
    "inpainters": Kind("inpainter", f"{PACKAGE}.inpainters"),
    "viewers": Kind("viewer", f"{PACKAGE}.viewers"),
    "variants": Kind("variant", f"{PACKAGE}.variants"),
    "methods": Kind("method", f"{PACKAGE}.evaluation.attribution", ("alignment", "pictures")),
    "judges": Kind("judge", f"{PACKAGE}.evaluation.judges", ("cache", "choosing", "exchange")),
}
"""The kinds of plugins by the names that the command line and recipes know."""


class _PathMark:
    pass


class _WeightsMark:
    pass


RecipePath = Annotated[str, _PathMark()]
"""Type of an option that names a file or folder, relative to the recipe."""

WeightsName = Annotated[str, _WeightsMark()]
"""Type of an option that names a checkpoint: a folder relative to the recipe, or a file for plugins
that take one; or `owner/name` or `owner/name@revision` of the Hugging Face Hub. What is there goes
before a repository."""


class PluginOptions(BaseModel):
    """Base of a plugin's options; unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Plugin:
    """What every plugin has: options, a version, what it needs, and how it is recorded.

    Subclasses keep heavy imports inside functions: a plugin file is imported whenever a recipe
    that names it is checked.

    Attributes:
        Options: the plugin's own options, set in the recipe under `options.<plugin name>`.
        version: part of the identity of every table the plugin makes; raised whenever the same
            input would give other pixels.
        requires: modules the plugin imports, checked before anything is computed.
        extra: the extra of this package that installs them; None if all installations have them.
        repeatable: False where the same input need not give the same again: a service of others.
        reads: by the option that names weights, patterns of the files that are read of them in a
            repository; options whose files are not known beforehand are left out.
        model: `repo@revision` of its weights; None for a plugin without weights.
    """

    Options: ClassVar[type[PluginOptions]] = PluginOptions
    version: ClassVar[str] = "1"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    repeatable: ClassVar[bool] = True
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    model: str | None = None

    def __init__(self, options: PluginOptions | None = None) -> None:
        self.options = options if options is not None else type(self).Options()

    @property
    def batch(self) -> int | None:
        """Items computed together, where that changes the last digits; None where it does not.

        The option of that name, of plugins that have it.
        """
        found: int | None = getattr(self.options, "batch", None)
        return found

    @property
    def attempts(self) -> int:
        """How often an item is made at most, where an answer asks for another attempt.

        The option of that name; 1 for plugins without it.
        """
        found: int = getattr(self.options, "attempts", 1)
        return found

    @classmethod
    def name(cls) -> str:
        """The file's name, by which recipes call the plugin."""
        return cls.__module__.rpartition(".")[2]

    def check(self) -> None:
        """Look at the files that the options name, when a run is made.

        Raises:
            RecipeError: one that is missing or cannot be used.
        """

    def named_weights(self) -> dict[str, str]:
        """Checkpoints that have to be on this machine, by the option that names each.

        Told from options of the type WeightsName; only a plugin whose weights are named in
        another way has to say which they are.
        """
        return {
            name: value
            for name, field in type(self.options).model_fields.items()
            if isinstance(value := getattr(self.options, name), str)
            and any(isinstance(mark, _WeightsMark) for mark in _marks(field.annotation, field))
        }

    def memory_gib(self) -> float | None:
        """GiB of memory that each of a process's GPUs needs under these options.

        None: as manifests/weights.csv says of the weights.
        """
        return None

    def thriftier(self, gib: float) -> list[str]:
        """Settings under which each GPU needs no more, as a recipe writes them; none by default.

        Args:
            gib: GiB of memory that a GPU has.
        """
        del gib
        return []

    def setup(self) -> None:
        """Load what is expensive, once per process, before the first batch."""

    def identity(self) -> dict[str, Json]:
        """What decides the plugin's pixels: name, version, options; weights add their hash."""
        return {
            "plugin": self.name(),
            "version": self.version,
            "options": self.options.model_dump(mode="json"),
        }


P = TypeVar("P", bound=Plugin)


def names(kind: str) -> list[str]:
    """Names of the plugins of a kind, sorted: its files, those that are no plugins left out.

    Raises:
        PluginError: no such kind.
    """
    if kind not in KINDS:
        raise unknown("kind of plugin", kind, list(KINDS), "")
    found = [file.stem for file in _folder(kind).glob("*.py") if not file.stem.startswith("_")]
    return sorted({*found} - {"base", *KINDS[kind].besides})


def summary(kind: str, name: str) -> str:
    """First line of the plugin file's docstring, read without importing it."""
    text = (_folder(kind) / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def find(kind: str, name: str, base: type[P], where: str = "") -> type[P]:
    """The plugin class in the file of that name.

    Args:
        kind: of the plugin, for example "editors".
        name: file name without `.py`.
        base: the class of `<kind>/base.py` that the plugin must derive from.
        where: the recipe key that names it, for the error message.

    Raises:
        PluginError: there is no such file (the known names are offered), or it does not hold
            exactly one plugin.
    """
    if name not in names(kind):
        raise unknown(KINDS[kind].word, name, names(kind), where)
    module = importlib.import_module(f"{KINDS[kind].package}.{name}")
    found = [
        item
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, base) and item.__module__ == module.__name__
    ]
    if len(found) != 1:
        what = f"the file holds {len(found)} {KINDS[kind].word} classes, not one"
        mend = f"Keep exactly one subclass of {base.__name__} in it"
        raise PluginError(what, where=f"{kind}/{name}.py", mend=mend)
    return found[0]


def make(
    kind: str, name: str, base: type[P], options: Mapping[str, Any] | None = None, where: str = ""
) -> P:
    """An instance of a plugin with checked options, its packages installed.

    Args:
        kind: of the plugin.
        name: of the plugin.
        base: the class of its kind's `base.py`.
        options: its own options.
        where: the recipe key that names it; empty if no recipe does.

    Raises:
        PluginError: no such plugin; without a recipe, also a wrong option.
        MissingExtraError: the packages that it imports are not installed.
        RecipeError: an unknown option or one of the wrong type, in a recipe.
    """
    plugin = find(kind, name, base, where)
    check_modules(plugin, f"{KINDS[kind].word} {name!r}", where)
    if where:
        place = f"{where.rpartition('.')[0]}.options.{name}"
        return plugin(checked(plugin.Options, dict(options or {}), place))
    place = f"{KINDS[kind].word} {name}"
    return plugin(checked(plugin.Options, dict(options or {}), place, PluginError))


def with_paths(plugin: type[Plugin], options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options of a plugin with those that are paths made absolute, relative to `folder`."""
    found = dict(options)
    for name, field in plugin.Options.model_fields.items():
        if not isinstance(found.get(name), str):
            continue
        given = (folder / Path(found[name]).expanduser()).absolute()
        for mark in _marks(field.annotation, field):
            if isinstance(mark, _PathMark) or (isinstance(mark, _WeightsMark) and given.is_dir()):
                found[name] = str(given.resolve())
            elif isinstance(mark, _WeightsMark) and given.is_file():
                # Not resolved: what belongs to a file may lie beside the link to it.
                found[name] = str(given)
    return found


def _marks(annotation: Any, field: Any) -> list[Any]:
    inner = [mark for part in getattr(annotation, "__args__", ()) for mark in _marks(part, None)]
    return [*getattr(field, "metadata", ()), *getattr(annotation, "__metadata__", ()), *inner]


def check_modules(plugin: type[Plugin], named: str, where: str) -> None:
    """See that what a plugin imports is installed.

    Args:
        plugin: whose modules.
        named: what it is called in the message.
        where: the recipe's key that names it.

    Raises:
        MissingExtraError: something is not.
    """
    missing = missing_modules(plugin)
    if missing:
        what = f"{named} needs {', '.join(missing)}, not installed here"
        package = f"{PACKAGE.replace('_', '-')}[{plugin.extra}]" if plugin.extra else missing[0]
        raise MissingExtraError(what, where=where, mend=f"Type: pip install '{package}'")


def missing_modules(plugin: type[Plugin]) -> list[str]:
    """Modules that the plugin requires and that cannot be imported here."""
    return [module for module in plugin.requires if not _found(module)]


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@cache
def _folder(kind: str) -> Path:
    return Path(__file__).resolve().parents[1].joinpath(*KINDS[kind].package.split(".")[1:])
