"""Lists of classes and backgrounds, read from CSV files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from covar_gen.core.errors import RecipeError
from covar_gen.core.values import checked

T = TypeVar("T", bound=BaseModel)


def read_list(path: Path, model: type[T], number: str) -> list[T]:
    """Rows of a CSV of classes or backgrounds; columns that are not ours are passed over.

    Args:
        path: of the CSV.
        model: what a row has to be.
        number: the column that numbers the rows; counted from 1 where it is left out.

    Raises:
        RecipeError: no such file, a column missing, a value of the wrong kind, a number twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        mend = "Check the path; it is relative to the recipe"
        raise RecipeError("the list cannot be read", where=path, mend=mend) from error
    found = []
    for place, row in enumerate(rows, start=1):
        values: dict[str, Any] = {
            key: value for key, value in row.items() if key in model.model_fields and value
        }
        for key in (number, "imagenet_index"):
            text = str(values.get(key, "")).strip()
            if text.isdecimal():
                values[key] = int(text)
        values.setdefault(number, place)
        found.append(checked(model, values, f"{path.name} line {place + 1}"))
    if not found:
        raise RecipeError("the list is empty", where=path, mend="Add at least one row")
    numbered_once([getattr(row, number) for row in found], str(path))
    return found


def numbered_once(numbers: list[int], where: str) -> None:
    """Check that no number is used twice.

    Raises:
        RecipeError: one is.
    """
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    if twice:
        raise RecipeError(f"number {twice[0]} occurs twice", where=where, mend="Number each once")
