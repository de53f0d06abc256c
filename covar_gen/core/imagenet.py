"""The 1000 classes of ILSVRC 2012: wnid, index and name, from `manifests/imagenet/classes.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from covar_gen.core.shipped import shipped


@dataclass(frozen=True)
class ImagenetClass:
    """One class of ILSVRC 2012.

    Attributes:
        wnid: WordNet id of its synset, for example n02391049.
        index: number among the 1000 classes, 0 to 999.
        name: first lemma of the synset.
    """

    wnid: str
    index: int
    name: str


@cache
def by_wnid() -> Mapping[str, ImagenetClass]:
    """All 1000 classes by wnid, in the order of their indices; read-only."""
    path = shipped("manifests") / "imagenet" / "classes.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [
            ImagenetClass(row["wnid"], int(row["imagenet_index"]), row["class_name"])
            for row in csv.DictReader(stream)
        ]
    return MappingProxyType({row.wnid: row for row in rows})


def find(label: str) -> ImagenetClass | None:
    """The class that a label means, or None where it means none or could mean two.

    A wnid must match exactly. A name matches whatever its case, underscores are spaces. Of a
    list of synonyms ("tench, Tinca tinca", as some data sets label) the first one counts. Names
    that two classes bear (crane, maillot, cardigan) are found by their wnid only.

    Args:
        label: a wnid or a name.
    """
    found = by_wnid().get(label.strip())
    if found is not None:
        return found
    named = _by_name().get(_folded(label.partition(",")[0]), ())
    return named[0] if len(named) == 1 else None


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


@cache
def _by_name() -> dict[str, tuple[ImagenetClass, ...]]:
    found: dict[str, tuple[ImagenetClass, ...]] = {}
    for entry in by_wnid().values():
        found[_folded(entry.name)] = (*found.get(_folded(entry.name), ()), entry)
    return found
