"""Which judges are asked where none is named: those that need no key, and why these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from covar_gen.evaluation.judges._wordnet_files import INSTALL, find_wordnet


class Choice(NamedTuple):
    """A judge and why it was taken.

    Attributes:
        name: of the judge.
        why: a sentence for the log and the tables.
    """

    name: str
    why: str


def default_judge(wnids: Sequence[str | None]) -> Choice:
    """`wordnet` where WordNet is found and every class has a wnid, else `text_similarity`.

    Two judges are never mixed in one table: a single class without a wnid is enough for the
    second.

    Args:
        wnids: of the class list.
    """
    without = sum(wnid is None for wnid in wnids)
    if without:
        why = f"{without} of {len(wnids)} classes have no wnid, by which WordNet knows them"
        return Choice("text_similarity", why)
    place = find_wordnet()
    if place is None:
        return Choice("text_similarity", f"WordNet is not found here ({INSTALL})")
    return Choice("wordnet", f"every class has a wnid, and WordNet is in {place}")


def without_key(wnids: Sequence[str | None]) -> tuple[list[str], list[str]]:
    """The judges that can be asked here without a key, a file or a model, to be compared.

    `wordnet` is among them where WordNet is found and two classes have a wnid: a pair that it does
    not know is unscored, and is left out of the comparison.

    Args:
        wnids: of the class list.

    Returns:
        Their names, and for each that cannot be asked a sentence that says why.
    """
    known = sum(wnid is not None for wnid in wnids)
    if known < 2:  # noqa: PLR2004 - a pair
        why = f"wordnet is not asked: {known} of {len(wnids)} classes have a wnid"
        return ["text_similarity"], [why]
    if find_wordnet() is None:
        return ["text_similarity"], [f"wordnet is not asked: it is not found here ({INSTALL})"]
    return ["wordnet", "text_similarity"], []
