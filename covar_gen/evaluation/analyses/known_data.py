"""Which of the paper's other data sets an evaluation is of: ImageNet-1k, CounterAnimals.

Nothing is guessed from the images. The rules, of which one has to hold beside a label set of
ImageNet's 1000 classes:

ImageNet-1k      a validation split of a data set on the Hub whose name is imagenet-1k; or files
                 that are all called ILSVRC2012_val_ and their number
CounterAnimals   a data set or folder whose name, or whose parent's name, contains counteranimal
                 (whatever the case, marks between the words left out)
its halves       a column of the images, or a level of their folders, whose every value begins
                 with easy or common, or with hard or counter; or such a word in the name of the
                 data, its configuration or its split
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.marks import image_columns
from covar_gen.evaluation.data.base import words
from covar_gen.evaluation.results import Results

IMAGENET, ANIMALS = "ImageNet-1k", "CounterAnimals"
EASY, HARD = f"{ANIMALS} easy", f"{ANIMALS} hard"

_CLASSES = 1000
_HUB = re.compile(r"imagenet[-_]?1k(-wds)?", re.IGNORECASE)
_FILE = r"(^|/)ILSVRC2012_val_[0-9]{8}(\.[A-Za-z]+)?$"
_HALVES = {EASY: re.compile(r"easy|common"), HARD: re.compile(r"hard|counter(?!animal)")}
_NO_FACTORS = frozenset({"key", "origin", "source"})


@dataclass(frozen=True)
class KnownData:
    """Images of a data set that the paper has numbers of.

    Attributes:
        name: as `paper-results/figure1d.csv` calls it.
        chosen: bool (N,), which images of the evaluation are of it.
        known_by: by what it is known, in words.
    """

    name: str
    chosen: NDArray[np.bool_]
    known_by: str


def known_data(results: Results) -> list[KnownData]:
    """The data sets of figure 1(d) that an evaluation's images are of; empty if it is of others.

    Args:
        results: an evaluation.
    """
    indices = results.classes.imagenet
    if len(indices) != _CLASSES or len(np.unique(indices[indices >= 0])) != _CLASSES:
        return []
    whole = np.ones(results.count, bool)
    place = {key: str(value) for key, value in dict(results.about["place"]).items()}
    said = _imagenet(results, place)
    if said:
        return [KnownData(IMAGENET, whole, said)]
    parts = [part for part in place.get("place", "").replace("\\", "/").split("/") if part]
    named = next((part for part in parts[-2:] if "counteranimal" in _plain(part)), None)
    if named is None:
        return []
    halves = _columns(results)
    if halves:
        return [*halves, KnownData(ANIMALS, whole, f"its name, {named}")]
    for text in (place.get("name", ""), place.get("split", ""), parts[-1]):
        found = [half for half, word in _HALVES.items() if _says(text, word)]
        if len(found) == 1:
            return [KnownData(found[0], whole, f"its name, {text}")]
    return [KnownData(ANIMALS, whole, f"its name, {named}")]


def _imagenet(results: Results, place: dict[str, str]) -> str:
    """By what the images are known as ImageNet-1k's; empty if they are not."""
    data = results.about["data"]
    last = str(data.get("id", "")).rpartition("/")[2]
    if data.get("kind") == "hub" and _HUB.fullmatch(last) and str(data["split"])[:3] == "val":
        return f"its name on the Hub, {place['place']}"
    origins = results.images(["origin"])["origin"]
    if len(origins) and pc.all(pc.match_substring_regex(origins, _FILE)).as_py():
        return "the names of its files, ILSVRC2012_val_..."
    return ""


def _columns(results: Results) -> list[KnownData]:
    """The halves by the first column that tells them apart."""
    for name in image_columns(results):
        column = results.images([name])[name]
        if name in _NO_FACTORS or not words(column.type) or column.null_count:
            continue
        values = column.combine_chunks().dictionary_encode()
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        halves = [_beginning(str(value)) for value in values.dictionary.to_pylist()]
        if halves and None not in halves:
            each = np.array(halves, object)[values.indices.to_numpy()]
            said = f"its name, and column {name}"
            return [KnownData(half, each == half, said) for half in (EASY, HARD) if half in halves]
    return []


def _beginning(value: str) -> str | None:
    return next((half for half, word in _HALVES.items() if word.match(_plain(value))), None)


def _says(text: str, word: re.Pattern[str]) -> bool:
    return word.search(_plain(text)) is not None


def _plain(text: str) -> str:
    """Lower case, letters and digits only."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())
