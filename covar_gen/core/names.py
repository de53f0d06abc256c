"""Names that are safe as path components anywhere: of classes and photographs in keys."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_LONGEST = 80


def safe(name: str, otherwise: str) -> str:
    """A name as one path component of ASCII letters, digits, `.`, `_` and `-`.

    Accents are dropped, every run of other characters becomes one `_`; it never begins with a
    dot or a dash, so that `..`, hidden files and options cannot arise. A safe name is its own.

    Args:
        name: any text.
        otherwise: what stands where nothing is left.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).lstrip("_.-")
    return plain[:_LONGEST].rstrip("_") or otherwise


def short_hash(data: bytes) -> str:
    """First 8 hexadecimal digits of the SHA-256 of some content."""
    return hashlib.sha256(data).hexdigest()[:8]


def colliding(names: list[str]) -> set[str]:
    """The names that occur more than once, upper and lower case being the same to some disks."""
    seen: dict[str, list[str]] = {}
    for name in names:
        seen.setdefault(name.casefold(), []).append(name)
    return {name for same in seen.values() if len(same) > 1 for name in same}
