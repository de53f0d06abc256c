"""Which explanation of a model's errors is shown, where they were explained in several ways.

Of each model one method is shown: one with its default options before others, of these the one
that most models have, of equals the first. The others are in the tables' files and in the
sensitivity sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from covar_gen.evaluation.metrics.regions import MARGIN, THRESHOLD

AVERAGE = "average"

Row = Mapping[str, Any]


def chosen_methods(rows: Sequence[Row]) -> dict[str, str]:
    """The method shown for each model, models in the order of their rows.

    Args:
        rows: of a table with columns model, method and, where it has one, default.
    """
    models: dict[str, set[str]] = {}
    default: dict[str, bool] = {}
    for row in rows:
        models.setdefault(row["method"], set()).add(row["model"])
        default[row["method"]] = default.get(row["method"], False) or bool(row.get("default"))
    # Sorting is stable: of equals the first method stays the first.
    order = sorted(models, key=lambda method: (not default[method], -len(models[method])))
    names = dict.fromkeys(row["model"] for row in rows)
    return {name: next(one for one in order if name in models[one]) for name in names}


def shown_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows of the methods that are shown."""
    chosen = chosen_methods(rows)
    return [row for row in rows if chosen[row["model"]] == row["method"]]


def one_subset(rows: Sequence[Row]) -> tuple[str, str]:
    """The subset that stands for all of them, and how it is said: the average, or the first."""
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    if AVERAGE in subsets:
        return AVERAGE, "on average over the subsets"
    subset = subsets[0] if subsets else ""
    return subset, f"on {subset}" if len(subsets) > 1 else ""


def short_methods(labels: Sequence[str]) -> dict[str, str]:
    """Methods by what tells them apart: `cci: clusters 7, layers all` -> `clusters 7`.

    Args:
        labels: a method's name, and after `: ` its options, separated by `, `.

    Returns:
        label -> its name and the options that not all labels of that name share.
    """
    known = {label: parts(label) for label in dict.fromkeys(labels)}
    found = {}
    for label, (name, options) in known.items():
        others = [set(given) for other, given in known.values() if other == name]
        shared = set.intersection(*others)
        apart = [option for option in options if option not in shared]
        found[label] = f"{name}: {', '.join(apart)}" if apart else name
    return found


def parts(label: str) -> tuple[str, list[str]]:
    """A method's label as its name and its options."""
    name, _, options = label.partition(": ")
    return name, [option for option in options.split(", ") if option]


def how(rows: Sequence[Row]) -> list[str]:
    """Sentences about rows that are shown: which method, how regions were read, which judge.

    Args:
        rows: of the table error_sources, of one method for each model.
    """
    by_method: dict[str, list[str]] = {}
    for model, method in chosen_methods(rows).items():
        by_method.setdefault(method, []).append(model)
    said = []
    if len(by_method) == 1:
        said.append(f"Explained by {_plain(next(iter(by_method)))}.")
    else:
        each = "; ".join(f"{', '.join(names)} by {_plain(m)}" for m, names in by_method.items())
        said.append(f"Models were explained in different ways: {each}.")
    said.append(
        f"A region is what reaches {THRESHOLD:g} of the map's maximum; a difference of the two "
        f"overlaps below {MARGIN:g} decides nothing."
    )
    judges = [judge for judge in dict.fromkeys(row.get("judge") for row in rows) if judge]
    said.append(
        f"Which classes look alike was judged by {', '.join(judges)}."
        if judges
        else "Nobody judged which classes look alike."
    )
    return said


def _plain(label: str) -> str:
    name, options = parts(label)
    kept = [option for option in options if not option.endswith(" None")]
    return f"{name} ({', '.join(kept)})" if kept else name
