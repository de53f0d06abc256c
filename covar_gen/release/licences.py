"""Under which terms a release's photographs, models and images are had."""

from __future__ import annotations

import re

from covar_gen.core.pins import pin
from covar_gen.release.facts import Facts, counted, repositories, shown_words

FILE = "LICENSES.md"

OTHER = "other"
"""The Hub's identifier of a licence that it does not list, or that is not stated."""

_NOT_COMMERCIAL = re.compile(r"non-?commercial|(?<![a-z])nc(?![a-z])|research only", re.IGNORECASE)

UNSTATED = "not stated by the makers of this release"


def forbids_commerce(licence: str) -> bool:
    """True if a licence's name says that commercial use is not allowed."""
    return _NOT_COMMERCIAL.search(licence) is not None


def non_commercial(facts: Facts) -> list[str]:
    """Repositories of weights among the tools whose licence forbids commercial use."""
    return [known.repo for known in facts.pins() if forbids_commerce(known.licence)]


def unknown(facts: Facts) -> list[str]:
    """Weights among the tools whose licence is not known here."""
    found = []
    for tool in facts.tools:
        repos = repositories(tool.model)
        found += [repo for repo in repos if pin(repo) is None]
        if tool.model and not repos:
            found.append(tool.model)
    return list(dict.fromkeys(found))


def identifier(facts: Facts) -> str:
    """The licence for the card's `license`: what the makers say, or `other`."""
    return facts.about.licence or OTHER


def photographs(facts: Facts) -> str:
    """What is known of the photographs' terms, in words that end without a full stop."""
    said = facts.about.photographs
    parts = [said.licence, said.terms or facts.source_terms, said.url]
    known = "; ".join(part.strip().rstrip(".") for part in parts if part)
    if said.redistributable is False:
        known = f"{known or 'their owners keep all rights'}; they may not be passed on"
    return known or UNSTATED


def licences_md(facts: Facts, *, recipe_only: bool) -> str:
    """LICENSES.md: the terms of everything that went into a release.

    Args:
        facts: of the release.
        recipe_only: True if its images are patches against the user's own photographs.
    """
    own = facts.about.licence or UNSTATED
    url = f" ({facts.about.licence_url})" if facts.about.licence_url else ""
    lines = [
        "# Licences",
        "",
        f"This release: {own}{url}.",
        "",
        f"Photographs: {photographs(facts)}.",
    ]
    if recipe_only:
        gone = "They are not part of this release; neither are pixels that images have of them."
        drawn = [f"{counted(count, 'image')} of `{name}`" for name, count in facts.drawn.items()]
        lines.append(gone)
        if again := ", ".join(drawn):
            how = "What a tool drew again after them, or blurred or recoloured,"
            lines.append(f"{how} is part of it: {again}.")
        lines += [shown_words(name, shown) for name, shown in facts.shown.items()]
    lines += ["", "Weights of the models that made images or masks:", ""]
    rows = [_row(tool.table, repo) for tool in facts.tools for repo in repositories(tool.model)]
    rows += [
        f"| {tool.table} | `{tool.model}` | {UNSTATED} |"
        for tool in facts.tools
        if tool.model and not repositories(tool.model)
    ]
    rows = list(dict.fromkeys(rows))
    if rows:
        lines += ["| made | weights | licence |", "|---|---|---|", *rows]
    else:
        lines.append("None: nothing of it was made by a model with weights.")
    forbidden = non_commercial(facts)
    if forbidden:
        names = ", ".join(f"`{name}`" for name in forbidden)
        warning = (
            f"**Not for commercial use**: the licence of {names} forbids it. Whether that extends"
            " to the images is a question of that licence and of the law; assume that it does."
        )
        lines += ["", warning]
    note = (
        "Licences of weights are those that their owners' pages named when the toolkit's list of"
        " weights was written; the pages themselves decide."
    )
    lines += ["", note, ""]
    return "\n".join(lines)


def _row(table: str, repo: str) -> str:
    known = pin(repo)
    licence = known.licence if known else "not known to the toolkit"
    return f"| {table} | [`{repo}`](https://huggingface.co/{repo}) | {licence} |"
