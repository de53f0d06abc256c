"""What stands where on the page: a table's sheets and figures, in the section they belong to.

A table that is not known here is shown as it is, under the title that its analysis gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from covar_gen.evaluation.report import error_sheets, layouts
from covar_gen.evaluation.report.blocks import Block, Laid, on_page
from covar_gen.evaluation.report.sheets import Cell, Column, Sheet, count, number, share

KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    *error_sheets.KINDS,
    ("class_drops", frozenset({"label", "drop"})),
    ("subset_drops", frozenset({"reference", "drop"})),
    ("published", frozenset({"measured", "published"})),
    ("published", frozenset({"printed_class"})),
    ("pairs", frozenset({"model_a", "difference"})),
    ("consistency", frozenset({"model_a", "kappa"})),
    ("claims", frozenset({"claim"})),
    ("backgrounds", frozenset({"background", "reading"})),
    ("accuracy", frozenset({"subset", "accuracy"})),
)
"""What a table is about, told by columns that it has; the first that fits."""
SECTIONS = {
    **error_sheets.SECTIONS,
    "pairs": "comparisons",
    "consistency": "comparisons",
}
"""Kinds whose section has another name."""


def kind_of(table: pa.Table) -> str:
    """What a table is about; `other` where that is not known."""
    names = set(table.column_names)
    return next((kind for kind, columns in KINDS if columns <= names), "other")


def lay_out(name: str, table: pa.Table, title: str) -> Laid:
    """Sheets of a table for LaTeX and for the page.

    Args:
        name: of the table.
        table: as its analysis made it.
        title: of the table.
    """
    known: dict[str, Callable[[str, pa.Table, str], Laid]] = {
        **error_sheets.LAYOUTS,
        "accuracy": _accuracy,
        "subset_drops": _subset_drops,
        "class_drops": _class_drops,
        "backgrounds": _top_classes,
        "pairs": _one_subset,
        "consistency": _one_subset,
        "published": _published,
        "claims": _claims,
    }
    kind = kind_of(table)
    if kind in known and len(table):
        return known[kind](name, table, title)
    sheet = layouts.tidy(table, title)
    return Laid(sheet, (on_page(name, sheet),))


def _accuracy(name: str, table: pa.Table, title: str) -> Laid:
    average = "average" in table["subset"].to_pylist()
    notes = ["Top-1 accuracy in %, the best of each column in bold."]
    if average:
        notes.append(
            "Average: the plain mean over the scored subsets; the originals are not in it."
        )
    sheet = layouts.pivot(table, "accuracy", title, notes=notes, best="highest", last="average")
    whole = layouts.tidy(table, "Counts, top-5 accuracy, and accuracy with equal names merged")
    blocks = (Block(name, sheet=sheet), on_page(name, whole, "tidy", folded=True))
    return Laid(sheet, blocks)


def _subset_drops(name: str, table: pa.Table, title: str) -> Laid:
    reference = table["reference"][0].as_py() if len(table) else "none"
    note = f"Accuracy on {reference} minus accuracy on the subset, percentage points."
    sheet = layouts.pivot(table, "drop", title, notes=[note], last="average", sign=True)
    return Laid(sheet, (Block(name, sheet=sheet),))


def _one_subset(name: str, table: pa.Table, title: str) -> Laid:
    """Pairs of models on the average alone, or on one subset; the others are in the files."""
    subsets = list(dict.fromkeys(table["subset"].to_pylist()))
    subset = next((one for one in ("average", "bg_varied") if one in subsets), subsets[0])
    kept = table.filter([row == subset for row in table["subset"].to_pylist()])
    notes = [f"Other subsets are in tables/{name}.csv."] if len(subsets) > 1 else []
    if "p_holm" in table.column_names:
        notes.insert(0, "p holm: corrected for all these pairs by Holm's method.")
    leave = [
        field.name
        for field in kept.schema
        if field.name == "subset" or kept[field.name].null_count == len(kept)
    ]
    sheet = layouts.tidy(kept, f"{title}: {subset}", notes, leave)
    return Laid(layouts.tidy(table, title), (on_page(name, sheet),))


TONES: dict[str, Literal["good", "bad"]] = {"holds": "good", "does not hold": "bad"}
WHOLE_CLAIM = "all of it"


def _claims(name: str, table: pa.Table, title: str) -> Laid:
    """The verdicts, and folded the comparisons that they stand on."""
    rows = table.to_pylist()
    heads = [Column("claim"), Column("place"), Column("what it says"), Column("verdict")]
    body = []
    for row in rows:
        if row["comparison"] == WHOLE_CLAIM:
            why = f" (not measured: {row['missing']})" if row["missing"] else ""
            said = Cell(f"{row['verdict']}{why}", tone=TONES.get(row["verdict"], ""))
            body.append((Cell(row["claim"]), Cell(row["place"]), Cell(row["text"]), said))
    note = (
        "A claim holds where each of its comparisons lies with its whole 95% interval on the side "
        "expected, does not hold where one lies wholly on the other; else it cannot be decided."
    )
    verdicts = Sheet(title, tuple(heads), tuple(body), (note,))
    kept = table.filter([row["comparison"] != WHOLE_CLAIM for row in rows])
    leave = ["place", "text", "missing"]
    leave += [name for name in kept.column_names if kept[name].null_count == len(kept)]
    parts = layouts.tidy(kept, "What each verdict stands on", leave=leave)
    blocks = [Block(name, sheet=verdicts)]
    if len(kept):
        blocks.append(on_page(name, parts, "comparisons", folded=True))
    return Laid(verdicts, tuple(blocks))


def _published(name: str, table: pa.Table, title: str) -> Laid:
    whole = layouts.tidy(table, title)
    if "published" not in table.column_names:
        return Laid(whole, (on_page(name, whole, folded=True),))
    rows = table.to_pylist()
    plain = [row for row in rows if row["wnid"] is None and row["statistic"] == "accuracy"]
    blocks: list[Block] = []
    if plain:
        blocks.append(Block(f"{name}_differences", sheet=_differences(plain, title)))
    return Laid(whole, (*blocks, on_page(name, whole, folded=bool(blocks))))


def _differences(rows: Sequence[Mapping[str, Any]], title: str) -> Sheet:
    """A row per model, a column per subset: measured minus published, and the two below it."""
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    found = {(row["model"], row["subset"]): row for row in rows}
    body = []
    for model in dict.fromkeys(row["model"] for row in rows):
        line = [Cell(model)]
        for subset in subsets:
            row = found.get((model, subset))
            if row is None:
                line.append(Cell("\N{EN DASH}"))
                continue
            one = number(row["difference"], 1, sign=True)
            both = f"{number(row['measured'], 1).text} / {number(row['published'], 1).text}"
            outside = row["inside"] is False
            line.append(Cell(one.text, one.value, both, best=outside))
        body.append(tuple(line))
    columns = (Column("model"), *(Column(name, number=True) for name in subsets))
    note = (
        "Measured minus published accuracy in percentage points; below it measured / published. "
        "Bold: the published number lies outside the 95% interval of the measured one."
    )
    return Sheet(f"{title}: accuracy", columns, tuple(body), (note,))


def _class_drops(name: str, table: pa.Table, title: str) -> Laid:
    rows = table.to_pylist()
    return Laid(_classes(rows, title), _each_model(name, rows, title, _classes, shown=0))


def _each_model(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    title: str,
    make: Callable[[Sequence[Mapping[str, Any]], str], Sheet],
    *,
    shown: int,
) -> tuple[Block, ...]:
    """A sheet for each model, all but the first ones folded."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    blocks = []
    for place, model in enumerate(models):
        mine = [row for row in rows if row["model"] == model]
        sheet = make(mine, f"{title}: {model}")
        blocks.append(on_page(name, sheet, str(place), folded=place >= shown, of=len(models)))
    return tuple(blocks)


def _classes(rows: Sequence[Mapping[str, Any]], title: str) -> Sheet:
    """A row per model and class: its accuracy on originals, its drop on each subset."""
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    several = len({row["model"] for row in rows}) > 1
    grouped: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["model"], row["label"]), {})[row["subset"]] = row
    numbered = any(row["class_id"] is not None for row in rows)
    columns = [
        *([Column("model")] if several else []),
        Column("class"),
        *(
            [Column("id", number=True, meaning="the class's number in the data")]
            if numbered
            else []
        ),
        Column("original", number=True, meaning="accuracy on the original photographs, %"),
        *(Column(name, number=True, meaning="drop, percentage points") for name in subsets),
    ]
    body = []
    for (model, _), found in grouped.items():
        one = next(iter(found.values()))
        line = [
            *([Cell(model)] if several else []),
            Cell(str(one["class_name"])),
            *([count(one["class_id"])] if numbered else []),
            number(one["accuracy_original"], 1),
        ]
        for name in subsets:
            row = found.get(name, {})
            line.append(number(row.get("drop"), 1, sign=True))
        body.append(tuple(line))
    note = (
        "Original: accuracy on the class's original photographs in %; the others: how many "
        "percentage points lower it is on the subset. Maximum: on the subset of the largest drop. "
        "Intervals and relative drops are in tables/class_drops.csv."
    )
    return Sheet(title, tuple(columns), tuple(body), (note,))


def _top_classes(name: str, table: pa.Table, title: str) -> Laid:
    rows = table.to_pylist()
    return Laid(_scenes(rows, title), _each_model(name, rows, title, _scenes, shown=1))


READINGS = (
    ("top-1", "included", "all answers", "share of all answers"),
    ("top-1", "left out", "wrong answers", "share of the answers that are wrong"),
    ("softmax", "included", "mean probability", "mean softmax probability"),
    ("softmax", "left out", "mean probability, wrong", "the same over images answered wrongly"),
)
LISTED = 3
"""Classes that are named for each background."""


def _scenes(rows: Sequence[Mapping[str, Any]], title: str) -> Sheet:
    """A row per model and background: the classes it calls for, in every reading."""
    several = len({row["model"] for row in rows}) > 1
    grouped: dict[tuple[Any, ...], dict[tuple[str, str], list[Mapping[str, Any]]]] = {}
    for row in rows:
        key = (row["model"], row["background_id"], row["background"])
        grouped.setdefault(key, {}).setdefault((row["reading"], row["correct"]), []).append(row)
    body = []
    omitted = 0.0
    for (model, _, background), found in grouped.items():
        line = [*([Cell(model)] if several else []), Cell(str(background))]
        for reading, correct, *_ in READINGS:
            best = sorted(found.get((reading, correct), []), key=lambda row: row["place"])[:LISTED]
            said = ",\n".join(
                f"{row['class_name']} ({share(row['value'] / 100).text}%)" for row in best
            )
            line.append(Cell(said or "\N{EN DASH}"))
            omitted = max([omitted, *(row["omitted"] or 0.0 for row in best)])
        body.append(tuple(line))
    columns = (
        *([Column("model")] if several else []),
        Column("background"),
        *(Column(heading, meaning=meaning) for _, _, heading, meaning in READINGS),
    )
    notes = [
        (
            f"The {LISTED} most predicted classes with their share in %: of the answers, or as "
            "mean probability, over all images before a background and over those answered "
            "wrongly. More classes, with intervals, are in tables/top_classes.csv."
        )
    ]
    if omitted >= 0.005:  # noqa: PLR2004 - what two decimals show
        most = number(omitted, 2).text
        notes.append(f"Mean probabilities are of stored logits: at most {most}% is left out.")
    return Sheet(title, columns, tuple(body), tuple(notes))
