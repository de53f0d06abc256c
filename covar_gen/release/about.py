"""What only its makers can say of a release: its title, terms, authors, and where to write to.

about.toml, given to `covar-gen publish --about`; all of it may be left out:

    title = "Cats before twenty backgrounds"
    version = "1.0.0"
    licence = "cc-by-4.0"
    contact = "maker@example.org"
    date = "2026-11-21"

    [[authors]]
    family = "Doe"
    given = "Jane"
    orcid = "0000-0002-1825-0097"

    [photographs]
    licence = "cc-by-4.0"
    redistributable = true
"""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field

from covar_gen.core.errors import RecipeError
from covar_gen.core.recipe import Section
from covar_gen.core.values import checked

MEND = "Correct it there; docs/how-to/publish.md has all keys"
OneLine = Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]+$")]
Licence = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*$")]
"""Identifier of a licence: SPDX's, or the Hub's, such as cc-by-4.0; `other` for any else."""


class Author(Section):
    """One author, as citations name them.

    Attributes:
        family: family name, or the whole name of an organisation.
        given: given names; left out for an organisation.
        orcid: four groups of four digits, the last of which may be X.
        affiliation: where they work.
    """

    family: OneLine
    given: OneLine | None = None
    orcid: Annotated[str, Field(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | None = None
    affiliation: OneLine | None = None

    @property
    def name(self) -> str:
        """Given and family name."""
        return f"{self.given} {self.family}" if self.given else self.family


class PhotographsTerms(Section):
    """[photographs]: under which terms the photographs are had.

    Attributes:
        licence: identifier of their licence; left out: it differs, or is not known.
        terms: in words, with credits.
        url: of these terms.
        redistributable: false where they may not be passed on, as ImageNet's; a release then has
            to leave them out (--recipe-only). Left out: not said.
    """

    licence: Licence | None = None
    terms: str | None = None
    url: OneLine | None = None
    redistributable: bool | None = None


class About(Section):
    """What a release says of itself beside what its run knows.

    Attributes:
        title: of the data set; left out: the recipe's name.
        summary: what it was made for, a few sentences.
        version: of the release; becomes the tag of its revision.
        licence: identifier of the licence under which the release is passed on; left out: not
            stated, and the card says so.
        licence_url: where its text is; for `other`.
        authors: who made the data set.
        contact: an address for questions.
        homepage: of the project.
        doi: of the data set.
        date: of publication. A release holds no other date, so that the same run gives the same
            bytes.
        photographs: their terms.
    """

    title: OneLine | None = None
    summary: str | None = None
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = "1.0.0"
    licence: Licence | None = None
    licence_url: OneLine | None = None
    authors: list[Author] = Field(default_factory=list)
    contact: OneLine | None = None
    homepage: OneLine | None = None
    doi: Annotated[str, Field(pattern=r"^10\.\d{4,9}/\S+$")] | None = None
    date: dt.date | None = None
    photographs: PhotographsTerms = PhotographsTerms()


def read_about(path: Path | None) -> About:
    """Read and check about.toml.

    Args:
        path: the file; None: nothing is said.

    Raises:
        RecipeError: it cannot be read, is no TOML, or says something unknown or of another type.
    """
    if path is None:
        return About()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise RecipeError(what, where=path, mend="Check --about") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML: {error}", where=path, mend="Correct the line") from error
    if isinstance(values.get("date"), str):
        try:
            values["date"] = dt.date.fromisoformat(values["date"])
        except ValueError as error:
            what = f"date {values['date']!r} is no date"
            raise RecipeError(what, where=path, mend="Write it as 2026-11-21") from error
    try:
        return checked(About, values, "")
    except RecipeError as error:
        raise RecipeError(error.what, where=f"{path}, {error.where}", mend=MEND) from error
