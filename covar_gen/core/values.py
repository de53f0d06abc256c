"""Values from outside as pydantic models, and what is said of those that cannot be one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from covar_gen.core.errors import CovarError, PluginError, RecipeError

M = TypeVar("M", bound=BaseModel)


def checked(
    model: type[M], values: Mapping[str, Any], where: str, kind: type[CovarError] = RecipeError
) -> M:
    """`values` as an instance of a pydantic model, with errors that offer the known keys.

    Args:
        model: what the values have to be.
        values: by key.
        where: the place of the values, for the error message.
        kind: of the error that is raised.

    Raises:
        CovarError: of that kind: the first thing that is wrong, which key, what it may be.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _first_error(error, model, where, kind) from None


def _first_error(
    error: ValidationError, model: type[BaseModel], where: str, kind: type[CovarError]
) -> CovarError:
    """What is wrong, in one line; of the errors of a union, the one that went furthest."""
    # A misspelt key also leaves the right one missing: the misspelling is what to say.
    first = max(
        error.errors(include_url=False),
        key=lambda found: (len(found["loc"]), found["type"] != "missing"),
    )
    path, inner = _path(model, first["loc"])
    key = ".".join([where, *path] if where else path)
    if first["type"] == "extra_forbidden":
        known = sorted(inner.model_fields)
        return unknown("key", path[-1], known, key.rpartition(".")[0], kind)
    message = str(first["msg"]).removeprefix("Value error, ")
    what = message[:1].lower() + message[1:]
    # What contradicts itself is a whole section: its message names the values that matter.
    whole = first["type"] == "value_error" and isinstance(first["input"], dict)
    if first["type"] != "missing" and not whole:
        what = f"{what} (got {first['input']!r})"
    place = " in the recipe" if kind is RecipeError else ""
    return kind(what, where=key, mend=f"Correct it{place}")


def _path(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[list[str], type[BaseModel]]:
    """A pydantic location as keys and numbers of entries, and the model that holds the last.

    Locations also name the branch of a union that was tried; users never wrote that.
    """
    path: list[str] = []
    annotation: Any = model
    for part in location:
        field = model.model_fields.get(str(part))
        if isinstance(part, int):
            path.append(str(part + 1))
        elif field is not None or not _is_branch(part, annotation):
            path.append(part)
        annotation = field.annotation if field is not None else annotation
        if field is not None or isinstance(part, int):
            model = _model_in(annotation) or model
    return path, model


def _is_branch(part: str, annotation: Any) -> bool:
    """True for the name that pydantic gives to a branch of a union."""
    branches = getattr(annotation, "__args__", ())
    named = part in {getattr(branch, "__name__", "") for branch in branches}
    return named or "[" in part or part.startswith("constrained-")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `list[Model]`, `str | list[Model] | None` and the like."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def unknown(
    word: str,
    name: str,
    known: Sequence[str],
    where: str,
    kind: type[CovarError] = PluginError,
) -> CovarError:
    """The error that answers an unknown name with the nearest and the known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    choice = ", ".join(known) or "none"
    return kind(f"unknown {word} {name!r}", where=where, mend=f"{hint}Known: {choice}")
