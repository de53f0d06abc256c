"""A small WordNet in the real format, and a class list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from covar_gen.evaluation.labels import ClassList


@pytest.fixture
def classes() -> ClassList:
    """Six classes, the last two of one name; the fifth has no wnid."""
    return ClassList(
        names=("dog", "cat", "plane", "wolf", "missile", "missile"),
        wnids=("n00000010", "n00000011", "n00000012", None, "n00000013", "n00000014"),
        imagenet=(None,) * 6,
        templates=("a photo of a {}.",),
        source="test",
        template_source="test",
    )


def write_wordnet(folder: Path, synsets: dict[str, tuple[str, ...]], version: str = "3.0") -> Path:
    """A data.noun in the real format: a header, then one line per word with its hypernyms.

    A synset's number is the byte at which its line begins, as in the original.
    """
    header = f"  1 WordNet {version} Copyright 2006 by Princeton University.  \n"
    places, at = {}, len(header)

    def line(word: str, number: dict[str, int]) -> str:
        above = [f"@ {number.get(high, 0):08d} n 0000" for high in synsets[word]]
        # A pointer down and one to a verb: they are no hypernyms.
        others = ["~ 00000001 n 0000", "+ 00000002 v 0101"]
        pointers = [others[0], *above, others[1]]
        middle = f"03 n 02 {word} 0 other_word 1 {len(pointers):03d} {' '.join(pointers)}"
        return f'{number.get(word, 0):08d} {middle} | a gloss; "with @ 00000001 in it"  \n'

    for word in synsets:
        places[word] = at
        at += len(line(word, {}))
    folder.mkdir(parents=True, exist_ok=True)
    text = header + "".join(line(word, places) for word in synsets)
    (folder / "data.noun").write_text(text, encoding="utf-8")
    (folder / "places.json").write_text(json.dumps(places), encoding="utf-8")
    return folder


ANIMALS: dict[str, tuple[str, ...]] = {
    "entity": (),
    "animal": ("entity",),
    "pet": ("animal",),
    "mammal": ("animal",),
    "canine": ("mammal",),
    "dog": ("canine", "pet"),
    "wolf": ("canine",),
    "feline": ("mammal",),
    "cat": ("feline", "pet"),
    "thing": ("entity",),
    "rock": ("thing",),
    "moon": (),
}


@pytest.fixture
def small_wordnet(tmp_path: Path) -> Path:
    return write_wordnet(tmp_path / "wordnet", ANIMALS)


@pytest.fixture
def wnid(small_wordnet: Path) -> Callable[[str], str]:
    """The wnid of a word of the small WordNet."""
    places = json.loads((small_wordnet / "places.json").read_text(encoding="utf-8"))
    return lambda word: f"n{places[word]:08d}"
