"""A table's columns as the compact JSON from which the gallery's script draws."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from covar_gen.commands.gallery_thumbs import name_of

_EXACT_IN_SCRIPT = 2**53
"""Whole numbers from here on are not exact in the page's script and travel as text."""


def field(name: str, column: pa.ChunkedArray, keys: Sequence[str]) -> dict[str, Any]:
    """One column of the manifest, packed; digests keep the digits that name a thumbnail."""
    if column.null_count == len(column):
        return {"all": None}
    values = column.to_pylist()
    if name in ("image", "mask"):
        # Files are named by their key, so that a place-holder makes most of them alike.
        pairs = zip(values, keys, strict=True)
        return packed([path and path.replace(key, "\0") for path, key in pairs])
    if name.endswith("sha256"):
        return packed([digest and f"{name_of(digest)}…" for digest in values])
    return packed([_plain(value) for value in values])


def _plain(value: Any) -> Any:
    """A value as the page shows it: six significant digits, lists and records as text."""
    if isinstance(value, (list, dict)):
        return json.dumps(_rounded(value), ensure_ascii=False)
    if isinstance(value, int) and abs(value) >= _EXACT_IN_SCRIPT:
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return _rounded(value)
    return str(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return str(value)
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() else short


def packed(values: Sequence[Any]) -> dict[str, Any]:
    """A column as one value, as a dictionary with places in it (-1: null), or as it is."""
    # A bool equals a number in Python, hence the type.
    words: dict[tuple[type, Any], int] = {}
    for value in values:
        if value is not None:
            words.setdefault((type(value), value), len(words))
    if len(words) <= 1 and (not words or None not in values):
        return {"all": values[0] if values else None}
    if len(words) * 2 > len(values):
        return {"each": list(values)}
    at = [-1 if value is None else words[type(value), value] for value in values]
    return {"words": [value for _, value in words], "at": at}


def choices(column: dict[str, Any]) -> list[str]:
    """The different texts of a packed column, in alphabetical order."""
    values = column.get("words") or column.get("each") or [column.get("all")]
    return sorted({value for value in values if value is not None}, key=_alphabetical)


def _alphabetical(text: str) -> tuple[str, str]:
    return text.casefold(), text


def script_text(data: dict[str, Any]) -> str:
    """JSON that stays inside its script element whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
