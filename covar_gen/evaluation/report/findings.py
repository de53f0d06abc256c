"""The first lines of the page: a few sentences with the numbers that matter most.

They are read off the tables; each says only what its numbers say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from covar_gen.evaluation.report.error_methods import one_subset, shown_rows
from covar_gen.evaluation.report.sheets import interval, rounded

AVERAGE, ORIGINAL, BG_VARIED = "average", "original", "bg_varied"


def findings(tables: Mapping[str, pa.Table]) -> list[str]:
    """Sentences about the tables that are there.

    Args:
        tables: name -> table, as the analyses made them.
    """
    rows = tables["accuracy"].to_pylist() if "accuracy" in tables else []
    found = [_best(rows), _hardest(rows)]
    found += [_backgrounds(rows), _errors(tables)]
    return [sentence for sentence in found if sentence]


def _said(row: Mapping[str, Any]) -> str:
    ends = interval(row.get("accuracy_low"), row.get("accuracy_high"), 1)
    return f"{rounded(row['accuracy'], 1)}%" + (f" {ends}" if ends else "")


def _best(rows: list[dict[str, Any]]) -> str:
    """Which model is the most accurate, and which the least."""
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    if not subsets:
        return ""
    subset = AVERAGE if AVERAGE in subsets else subsets[0]
    known = [row for row in rows if row["subset"] == subset and row["accuracy"] is not None]
    if not known:
        return ""
    on = {AVERAGE: "on average over the subsets"}.get(subset, f"on {subset}")
    best = max(known, key=lambda row: row["accuracy"])
    worst = min(known, key=lambda row: row["accuracy"])
    sentence = f"{best['model']} is right {on} for {_said(best)} of the images"
    if len(known) == 1:
        return f"{sentence}."
    return f"{sentence}, the most; {worst['model']} for {_said(worst)}, the least."


def _hardest(rows: list[dict[str, Any]]) -> str:
    """Which subset is hardest, by the plain mean over the models."""
    by_subset: dict[str, list[float]] = {}
    for row in rows:
        if row["subset"] not in {AVERAGE, ORIGINAL} and row["accuracy"] is not None:
            by_subset.setdefault(row["subset"], []).append(row["accuracy"])
    means = {name: sum(values) / len(values) for name, values in by_subset.items()}
    if len(means) < 2:  # noqa: PLR2004 - one is neither hardest nor easiest
        return ""
    hard, easy = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    several = len({row["model"] for row in rows}) > 1
    of = ", mean over the models" if several else ""
    return (
        f"The hardest subset is {hard} ({rounded(means[hard], 1)}%{of}), the easiest {easy} "
        f"({rounded(means[easy], 1)}%)."
    )


def _backgrounds(rows: list[dict[str, Any]]) -> str:
    """How far accuracy falls when only the background changes: the most and the least."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["subset"] in {ORIGINAL, BG_VARIED} and row["accuracy"] is not None:
            found.setdefault(row["model"], {})[row["subset"]] = row["accuracy"]
    drops = {
        model: values[ORIGINAL] - values[BG_VARIED]
        for model, values in found.items()
        if len(values) == 2  # noqa: PLR2004 - both
    }
    if not drops:
        return ""
    most, least = max(drops, key=drops.__getitem__), min(drops, key=drops.__getitem__)
    sentence = f"On varied backgrounds the accuracy of {most} {_moves(drops[most])}"
    if most == least:
        return f"{sentence}."
    return f"{sentence}, that of {least} {_moves(drops[least])}."


def _errors(tables: Mapping[str, pa.Table]) -> str:
    """How many errors are background-driven, the most and the least, beside random maps."""
    rows = shown_rows(tables["error_sources"].to_pylist()) if "error_sources" in tables else []
    subset, on = one_subset(rows)
    known = [r for r in rows if r["subset"] == subset and r["background"] is not None]
    if not known:
        return ""
    most = max(known, key=lambda row: row["background"])
    least = min(known, key=lambda row: row["background"])
    listed = [most] if most is least else [most, least]
    first, *rest = [_shares(row) for row in listed]
    where = f", {on}" if on else ""
    more = "".join(
        f"; of {row['model']} {said}" for row, said in zip(listed[1:], rest, strict=True)
    )
    return (
        f"By overlap the background drives, of the errors of {most['model']}, {first}{more}{where}."
    )


def _shares(row: Mapping[str, Any]) -> str:
    """Two ways of counting background-driven errors, each beside random maps."""
    said = f"{rounded(row['background'], 1)}% (random maps {rounded(row['chance'], 1)}%)"
    if row.get("excess") is None:
        return said
    chance = rounded(row["excess_chance"], 1)
    return f"{said}, by excess {rounded(row['excess'], 1)}% ({chance}%)"


def _moves(drop: float) -> str:
    verb = "falls" if drop >= 0 else "rises"
    return f"{verb} by {rounded(abs(drop), 1)} points"
