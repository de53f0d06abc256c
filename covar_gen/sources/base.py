"""What a source is: labelled photographs, listed first and read one by one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from covar_gen.core.arrays import Mask
from covar_gen.core.plugins import Plugin, PluginOptions


@dataclass(frozen=True)
class Photograph:
    """One photograph of a source, not read yet.

    Attributes:
        label: its class as the source calls it: a folder's name, a wnid, a label's name.
        name: file name without its ending, or the row number in a data set.
        origin: where it is inside the source: a relative path or a row; never an absolute path.
        read: gives the encoded file's bytes; raises OSError where it cannot be read.
        mask: gives the object's outline where the source knows it: bool (H, W), True on the
            object, of the size of the decoded photograph; None where it does not. A source's
            digest covers what it gives.
    """

    label: str
    name: str
    origin: str
    read: Callable[[], bytes]
    mask: Callable[[], Mask] | None = None


class PathOptions(PluginOptions):
    """Options of a source that lies somewhere.

    Attributes:
        path: folder, file or Hub id, from `[classes] path`.
    """

    path: str


class Source(Plugin, ABC):
    """Lists photographs with their labels.

    Attributes:
        streams: True if photographs arrive in one pass only and cannot be listed beforehand.
        terms: who made its photographs and under which terms they are had, where the source
            knows; a release says it.
    """

    streams: bool = False
    terms: ClassVar[str | None] = None

    @abstractmethod
    def labels(self) -> list[str]:
        """All labels, sorted.

        Raises:
            PhotographsError: there is nothing there.
        """

    @abstractmethod
    def photographs(self, labels: Sequence[str], seed: int) -> Iterator[Photograph]:
        """Photographs of these labels: in a fixed order, or, streamed, in one drawn from seed."""

    @abstractmethod
    def digest(self, labels: Sequence[str]) -> str:
        """Names the photographs of these labels by content: hex, without paths or times."""


def digest_of_files(files: Sequence[tuple[str, Path]]) -> str:
    """SHA-256 over (relative name, SHA-256 of the content) of each file, in sorted order."""
    total = hashlib.sha256()
    for name, path in sorted(files):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()
