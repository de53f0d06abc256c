"""Which predicted mask belongs to which reference: by their paths, without endings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from covar_gen.core.arrays import Rejected


class Pairs(NamedTuple):
    """What belongs together.

    Attributes:
        partner: predicted mask -> its reference, by their places.
        alone: predicted mask -> why it has none.
        spare: references that no predicted mask belongs to, in order.
        by_file_name: the folders have no name in common; file names alone told.
    """

    partner: dict[int, int]
    alone: dict[int, Rejected]
    spare: list[int]
    by_file_name: bool


def pair(predicted: Sequence[str], references: Sequence[str]) -> Pairs:
    """Find each predicted mask's reference.

    The last part of the two names has to be the same. Of several such references the one counts
    that shares the most folders above it; where two share equally many, or two predicted masks
    want the same reference, nobody can say, and they stay alone. Where both sides have folders of
    the same names, a file of another folder is another file, whatever its name.

    Args:
        predicted: names as of covar_gen.commands.mask_files.name_of.
        references: likewise.
    """
    folders = [{PurePosixPath(name).parent.name for name in names} for names in
               (predicted, references)]  # fmt: skip
    shared = bool((folders[0] & folders[1]) - {""})
    by_file: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(references):
        by_file[PurePosixPath(name).name].append(place)
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    alone: dict[int, Rejected] = {}
    for place, name in enumerate(predicted):
        scores = {
            other: score
            for other in by_file.get(PurePosixPath(name).name, ())
            if (score := _alike(name, references[other], folders_count=shared))
        }
        best = [other for other, score in scores.items() if score == max(scores.values())]
        if len(best) == 1:
            wanted[best[0]].append((scores[best[0]], place))
        else:
            alone[place] = Rejected("ambiguous_name") if best else Rejected("no_reference")
    partner = {}
    for other, claims in wanted.items():
        top = max(score for score, _ in claims)
        first = [place for score, place in claims if score == top]
        if len(first) == 1:
            partner[first[0]] = other
        tied = Rejected("ambiguous_name")
        alone |= {
            place: tied if score == top else Rejected("no_reference")
            for score, place in claims
            if [place] != first
        }
    taken = set(partner.values())
    spare = [place for place in range(len(references)) if place not in taken]
    return Pairs(partner, alone, spare, by_file_name=not shared and any(map(any, folders)))


def _alike(first: str, second: str, *, folders_count: bool) -> int:
    """Parts that two names share, from their ends, and one more where they are the same.

    0 where their folders contradict each other.
    """
    parts = [PurePosixPath(name).parts for name in (first, second)]
    same = 0
    for one, other in zip(*(reversed(part) for part in parts), strict=False):
        if one != other:
            break
        same += 1
    if folders_count and same < 2 and min(map(len, parts)) > 1:  # noqa: PLR2004 - a folder
        return 0
    return same + (first == second)


def counted(reasons: Mapping[int, Rejected]) -> dict[str, int]:
    """How many there are of each reason."""
    found: dict[str, int] = defaultdict(int)
    for rejected in reasons.values():
        found[rejected.reason] += 1
    return dict(found)
