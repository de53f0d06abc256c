"""Reads a list from what a language model answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from pydantic import TypeAdapter

_STRINGS = TypeAdapter(list[str])
_ENTRY = re.compile(r"^\s*(?:\d+\s*[.):]|[-*+•\u2013])\s+(?P<text>\S.*)$")


def read_list(text: str) -> list[str]:
    """The list in a language model's answer, each entry once, in its order.

    The longest JSON array of strings anywhere in the text counts; without one, lines with a
    number or a bullet, of which what is set in bold, else the whole line. What a model thinks
    aloud first (<think>) is passed over.

    Returns:
        The entries; empty if there is no list.
    """
    text = text.rpartition("</think>")[2]
    entries = max(_arrays(text), key=len, default=None) or list(_lines(text))
    found: dict[str, str] = {}
    for entry in entries:
        clean = " ".join(entry.split())
        if clean:
            found.setdefault(clean.casefold(), clean)
    return list(found.values())


def _arrays(text: str) -> Iterable[list[str]]:
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\[", text):
        try:
            yield _STRINGS.validate_python(decoder.raw_decode(text, match.start())[0], strict=True)
        except ValueError:
            continue


def _lines(text: str) -> Iterable[str]:
    for line in text.splitlines():
        match = _ENTRY.match(line)
        if match:
            entry = match["text"]
            # A line that ends with a colon is a heading of the lines below it.
            if not entry.strip(" *_").endswith(":"):
                bold = re.match(r"\*\*(.+?)\*\*|__(.+?)__", entry)
                entry = (bold[1] or bold[2]) if bold else entry
                yield entry.strip(" \t\"'`*“”.,;:")
