"""Values that are typed as KEY=VALUE on the command line."""

from __future__ import annotations

import tomllib
from typing import Any

from covar_gen.core.errors import RecipeError


def changes(given: list[str] | None) -> dict[str, Any]:
    """Values of --set and --option: TOML where they are TOML, text otherwise."""
    found: dict[str, Any] = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            what = f"{text!r} is not KEY=VALUE"
            raise RecipeError(what, mend="For example: seed=3")
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = value
    return found
