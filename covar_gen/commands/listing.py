"""`covar-gen list`: the tools and models there are, read from their files."""

from __future__ import annotations

from pathlib import Path

from covar_gen.core import plugins
from covar_gen.core.shipped import shipped
from covar_gen.core.values import unknown
from covar_gen.evaluation.models.zoo import zoo

RECIPES, MODELS = "recipes", "models"


def listing(kind: str | None = None) -> dict[str, list[tuple[str, str]]]:
    """(name, summary) of every plugin, by kind; then shipped recipes, then the zoo of models.

    Args:
        kind: one kind; None for all.

    Raises:
        PluginError: no such kind.
    """
    known = [*plugins.KINDS, RECIPES, MODELS]
    if kind is not None and kind not in known:
        raise unknown("kind", kind, known, "")
    kinds = [kind] if kind is not None else known
    found: dict[str, list[tuple[str, str]]] = {}
    for each in kinds:
        if each == RECIPES:
            found[each] = [
                (p.parent.name, _first_comment(p.read_text("utf-8"))) for p in _recipes()
            ]
        elif each == MODELS:
            found[each] = [(entry.name, entry.summary()) for entry in zoo()]
        else:
            found[each] = [(name, plugins.summary(each, name)) for name in plugins.names(each)]
    return found


def _recipes() -> list[Path]:
    return sorted(shipped("manifests").glob("*/recipe.toml"))


def _first_comment(text: str) -> str:
    return text.partition("\n")[0].removeprefix("#").strip()
