"""WordNet's noun hypernyms, read from the database files themselves.

The format is that of WordNet's manual page wndb(5). A line of `data.noun` begins at the byte that
is the synset's number, and so does ImageNet's wnid: n02084071 is the line at byte 2084071.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from covar_gen.core.errors import PluginError

DATA = "data.noun"
VERSION = "3.0"
"""ImageNet's wnids are places in this version; in any other one they mean other things."""

DEBIAN = Path("/usr/share/wordnet")
"""Folder of Debian's package wordnet-base."""

INSTALL = "Type: apt-get install wordnet-base (Debian), or: python -m nltk.downloader wordnet"

_HYPERNYMS = (b"@", b"@i")
_HEADER = re.compile(rb"WordNet (\d+(?:\.\d+)*) Copyright")
_WNID = re.compile(r"n(\d{8})")
_HEX = 16
_POINTER = 4
"""Fields of a pointer: symbol, place, part of speech, source and target."""


def places() -> Iterator[Path]:
    """Folders and archives where WordNet may lie, in the order in which they are tried.

    First what WordNet's own variables name (WNSEARCHDIR, WNHOME), then Debian's folder and
    Princeton's, then nltk's data folders (NLTK_DATA, the home folder, the system's).
    """
    if "WNSEARCHDIR" in os.environ:
        yield Path(os.environ["WNSEARCHDIR"])
    if "WNHOME" in os.environ:
        yield Path(os.environ["WNHOME"]) / "dict"
    yield from (DEBIAN, Path("/usr/local/WordNet-3.0/dict"))
    roots = [Path(part) for part in os.environ.get("NLTK_DATA", "").split(os.pathsep) if part]
    inner = [Path(sys.prefix) / part / "nltk_data" for part in ("", "share", "lib")]
    system = [Path(part) / "nltk_data" for part in ("/usr/share", "/usr/local/share", "/usr/lib")]
    for root in [*roots, Path.home() / "nltk_data", *inner, *system]:
        yield root / "corpora" / "wordnet"
        yield root / "corpora" / "wordnet.zip"


def find_wordnet() -> Path | None:
    """The first of `places` that holds the file of nouns; None if there is none."""
    return next((place for place in places() if _holds_nouns(place)), None)


def _holds_nouns(place: Path) -> bool:
    try:
        return (place / DATA).is_file() or (place.suffix == ".zip" and place.is_file())
    except OSError:
        return False


class Nouns:
    """The graph of noun synsets: who stands above whom.

    Args:
        place: a folder with `data.noun`, or nltk's `wordnet.zip`.

    Raises:
        PluginError: it holds no nouns, or those of another version.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._data = _read(place)
        found = _HEADER.search(self._data, 0, 4096)
        version = found[1].decode() if found else "unknown"
        if version != VERSION:
            what = f"this is WordNet {version}, wnids are places in WordNet {VERSION}"
            raise PluginError(what, where=place, mend=INSTALL)
        self._above: dict[int, tuple[int, ...]] = {}
        self._distances: dict[int, dict[int, int]] = {}
        self._depths: dict[int, int] = {}

    def __contains__(self, wnid: str) -> bool:
        """True for the wnid of a noun synset."""
        found = _WNID.fullmatch(wnid)
        return found is not None and self._line(int(found[1])) is not None

    def hypernyms(self, wnid: str) -> list[str]:
        """Wnids of the synsets directly above one, those of instances included.

        Raises:
            KeyError: no noun synset has this wnid.
        """
        return [_wnid(place) for place in self._hypernyms(_place(wnid))]

    def words(self, wnid: str) -> list[str]:
        """The words of a synset, blanks as blanks.

        Raises:
            KeyError: no noun synset has this wnid.
        """
        fields = self._fields(_place(wnid))
        count = int(fields[3], _HEX)
        return [word.decode().replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]

    def similarity(self, first: str, second: str) -> float:
        """Wu and Palmer's conceptual similarity of two synsets, in (0, 1]; 0 without a common one.

        Z. Wu, M. Palmer, *Verb semantics and lexical selection*, ACL 1994, section 4.1:
        2 N3 / (N1 + N2 + 2 N3), where N1 and N2 are the steps from the two synsets up to a
        common hypernym and N3 is the number of synsets from there to the root, both included.
        Where ways fork, N1 and N2 are the shortest and N3 is the longest, and of all common
        hypernyms the one counts with which the similarity is highest. So it is symmetric.

        Raises:
            KeyError: no noun synset has one of the wnids.
        """
        one, other = self._above_all(_place(first)), self._above_all(_place(second))
        common = one.keys() & other.keys()
        scores = (
            2 * depth / (one[place] + other[place] + 2 * depth)
            for place, depth in ((place, self._depth(place)) for place in common)
        )
        return max(scores, default=0.0)

    def _above_all(self, place: int) -> dict[int, int]:
        """All synsets above one, itself too, with the fewest steps up to each."""
        if place not in self._distances:
            found = {place: 0}
            level = [place]
            while level:
                steps = found[level[0]] + 1
                new = {high for low in level for high in self._hypernyms(low)} - found.keys()
                found |= dict.fromkeys(new, steps)
                level = list(new)
            self._distances[place] = found
        return self._distances[place]

    def _depth(self, place: int) -> int:
        """Synsets on the longest way to the root, both ends included."""
        if place not in self._depths:
            above = self._hypernyms(place)
            self._depths[place] = 1 + max(map(self._depth, above), default=0)
        return self._depths[place]

    def _hypernyms(self, place: int) -> tuple[int, ...]:
        if place not in self._above:
            fields = self._fields(place)
            at = 4 + 2 * int(fields[3], _HEX)
            ends = range(at + 1, at + 1 + _POINTER * int(fields[at]), _POINTER)
            found = [int(fields[end + 1]) for end in ends if fields[end] in _HYPERNYMS]
            self._above[place] = tuple(dict.fromkeys(found))
        return self._above[place]

    def _fields(self, place: int) -> list[bytes]:
        line = self._line(place)
        if line is None:
            raise KeyError(_wnid(place))
        return line.split(b" ")

    def _line(self, place: int) -> bytes | None:
        """The line that begins at a byte; None if no synset does."""
        if self._data[place : place + 9] != b"%08d " % place:
            return None
        return self._data[place : self._data.find(b"\n", place)]


def _read(place: Path) -> bytes:
    try:
        if place.suffix == ".zip":
            with zipfile.ZipFile(place) as archive:
                return archive.read(f"wordnet/{DATA}")
        return (place / DATA).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        what = f"no WordNet: {DATA} cannot be read"
        raise PluginError(what, where=place, mend=INSTALL) from error


def _place(wnid: str) -> int:
    found = _WNID.fullmatch(wnid)
    if found is None:
        raise KeyError(wnid)
    return int(found[1])


def _wnid(place: int) -> str:
    return f"n{place:08d}"
