"""`covar-gen list`: the tools there are, read from their files."""

from __future__ import annotations

from pathlib import Path

from covar_gen.core import plugins
from covar_gen.core.shipped import shipped

RECIPES = "recipes"


def listing(kind: str | None = None) -> dict[str, list[tuple[str, str]]]:
    """(name, summary) of every plugin, by kind; shipped recipes under "recipes".

    Args:
        kind: one kind; None for all.

    Raises:
        PluginError: no such kind.
    """
    known = [*plugins.KINDS, RECIPES]
    if kind is not None and kind not in known:
        raise plugins.unknown("kind", kind, known, "")
    kinds = [kind] if kind is not None else known
    found: dict[str, list[tuple[str, str]]] = {}
    for each in kinds:
        if each == RECIPES:
            found[each] = [
                (p.parent.name, _first_comment(p.read_text("utf-8"))) for p in _recipes()
            ]
        else:
            found[each] = [(name, plugins.summary(each, name)) for name in plugins.names(each)]
    return found


def _recipes() -> list[Path]:
    return sorted(shipped("manifests").glob("*/recipe.toml"))


def _first_comment(text: str) -> str:
    return text.partition("\n")[0].removeprefix("#").strip()
