"""The small files of a release that are written when its tables are complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tomli_w

from covar_gen.core.store import RECIPE, Run
from covar_gen.release.configs import as_yaml, configs_head
from covar_gen.release.index import Release


@dataclass(frozen=True)
class Complete:
    """What a companion is written from.

    Attributes:
        run: that is released.
        release: with all its tables, which lie in its folder.
    """

    run: Run
    release: Release


def write_card(complete: Complete) -> bytes:
    """README.md: its head, by which `datasets` knows the configurations, and how to load them."""
    release = complete.release
    head = as_yaml(configs_head(release, complete.run.recipe))
    said = "\n".join(f"- `{config}`: {release.rows(config)} rows" for config in release.configs)
    return f"{head}\n# {release.name}\n\n{said}\n".encode()


def write_recipe(complete: Complete) -> bytes:
    """recipe.toml: the resolved recipe, without where on a machine the photographs lie."""
    return tomli_w.dumps(complete.run.recipe.hashed()).encode()


COMPANIONS: dict[str, Callable[[Complete], bytes]] = {
    "README.md": write_card,
    RECIPE: write_recipe,
}
"""Path inside the release -> what writes it. Same input, same bytes."""
