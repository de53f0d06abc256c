"""How a release is cited: CITATION.cff and BibTeX."""

from __future__ import annotations

import re
from typing import Any

from covar_gen.release.about import Author
from covar_gen.release.facts import Facts

FILE = "CITATION.cff"

PAPER = {
    "title": "Concept Regions Matter: Benchmarking CLIP with a New Cluster-Importance Approach",
    "authors": [("Agarwal", "Aishwarya"), ("Karanam", "Srikrishna"), ("Gandhi", "Vineet")],
}
"""The paper that describes this kind of benchmark."""

_SPDX_CASE = {
    "apache": "Apache", "mit": "MIT", "bsd": "BSD", "cc": "CC", "odbl": "ODbL", "gpl": "GPL",
    "by": "BY", "sa": "SA", "nc": "NC", "nd": "ND", "clause": "Clause", "cc0": "CC0",
}  # fmt: skip
_VERSION = re.compile(r"\d+(\.\d+)*")


def citation_cff(facts: Facts, url: str | None = None) -> str:
    """The text of CITATION.cff, version 1.2.0 of the Citation File Format.

    Args:
        facts: of the release.
        url: where the release is; None: not published.
    """
    import yaml

    about = facts.about
    authors = [_author(author) for author in about.authors]
    message = "If you use this data set, please cite it, and the paper that describes its kind."
    content: dict[str, Any] = {
        "cff-version": "1.2.0",
        "title": facts.title,
        "message": message,
        "type": "dataset",
        "version": about.version,
        "authors": authors or [{"name": f"The makers of {facts.title}"}],
    }
    optional = {
        "date-released": about.date,
        "doi": about.doi,
        "license": _spdx(about.licence),
        "url": about.homepage,
        "repository": url,
        "abstract": about.summary,
    }
    content.update({name: value for name, value in optional.items() if value})
    content["references"] = [
        {
            "type": "unpublished",
            "title": PAPER["title"],
            "authors": [
                {"family-names": family, "given-names": given} for family, given in PAPER["authors"]
            ],
        }
    ]
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text


def bibtex(facts: Facts, url: str | None = None) -> str:
    """A BibTeX entry of the release, braces of its values escaped."""
    about = facts.about
    authors = " and ".join(
        f"{_tex(a.family)}, {_tex(a.given)}" if a.given else f"{{{_tex(a.family)}}}"
        for a in about.authors
    )
    fields = {
        "title": f"{{{_tex(facts.title)}}}",
        "author": authors or f"{{The makers of {_tex(facts.title)}}}",
        "year": str(about.date.year) if about.date else None,
        "version": about.version,
        "doi": about.doi,
        "url": url or about.homepage,
    }
    key = re.sub(r"[^a-z0-9]+", "-", facts.recipe.name.lower()).strip("-") or "dataset"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _author(author: Author) -> dict[str, str]:
    if author.given is None:
        entry = {"name": author.family}
    else:
        entry = {"family-names": author.family, "given-names": author.given}
    if author.orcid:
        entry["orcid"] = f"https://orcid.org/{author.orcid}"
    if author.affiliation and author.given is not None:
        entry["affiliation"] = author.affiliation
    return entry


def _spdx(licence: str | None) -> str | None:
    """The Hub's identifier as SPDX writes it; None for what is none of SPDX's."""
    parts = licence.lower().split("-") if licence else []
    if not parts or any(part not in _SPDX_CASE and not _VERSION.fullmatch(part) for part in parts):
        return None
    return "-".join(_SPDX_CASE.get(part, part) for part in parts)


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)
