"""What a .safetensors file holds, told from its first bytes, and whether all of it is there.

The format: eight bytes say how long the header is, the header names every tensor with its type, its
shape and where its bytes lie, and the bytes follow. A file that was cut off, by a full disk or a
broken download, is shorter than its own header says.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from covar_gen.core.errors import WeightsError

POINTER = b"version https://git-lfs"
"""What a file starts with that git was to fetch and has not."""

LONGEST = 100_000_000
"""Bytes of the longest header that the format allows."""

SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2,
    "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
    "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1, "C64": 8,
}  # fmt: skip
"""Bytes of one number, by the header's names of types."""

FLOATS = frozenset({"BF16", "F16", "F32", "F64"})
"""Types that a network's weights may have."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Attributes:
        file: that holds it.
        key: its name there.
        kind: of its numbers, as the header names it.
        shape: of the tensor.
        start: where its bytes begin, counted from the end of the header.
    """

    file: Path
    key: str
    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def bytes(self) -> int:
        """Size of the tensor in the file."""
        return math.prod(self.shape) * SIZES.get(self.kind, 0)


def entries(file: Path, where: str) -> list[Entry]:
    """The tensors of a file, in the order of their bytes.

    Args:
        file: a .safetensors.
        where: the option that names it, for error messages.

    Raises:
        WeightsError: it cannot be read, is of another kind, or was cut off.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(len(POINTER))
            if start == POINTER:
                what = f"{file} is a pointer that git-lfs left, not the weights themselves"
                raise WeightsError(what, where=where, mend="Type in its folder: git lfs pull")
            length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0  # noqa: PLR2004 - bytes
            stream.seek(8)
            header = stream.read(length) if length <= LONGEST else b""
    except OSError as error:
        what = f"{file} cannot be read: {error.strerror or error}"
        raise WeightsError(
            what, where=where, mend="Check that it is there, and its rights"
        ) from error
    if not header.startswith(b"{"):
        raise _other_kind(file, where)
    if len(header) < length:
        raise _cut_off(file, size, 8 + length, where)
    found = _parsed(file, header, where)
    end = 8 + length + max((entry.start + entry.bytes for entry in found), default=0)
    if size < end:
        raise _cut_off(file, size, end, where)
    if size > end:
        what = f"{file} has {size - end} bytes more than its header names"
        raise WeightsError(what, where=where, mend="It is damaged: fetch it again")
    return found


def _parsed(file: Path, header: bytes, where: str) -> list[Entry]:
    try:
        named = json.loads(header)
        found = [
            Entry(file, key, facts["dtype"], tuple(facts["shape"]), facts["data_offsets"][0])
            for key, facts in named.items()
            if key != "__metadata__"
        ]
        ends = {key: facts["data_offsets"][1] for key, facts in named.items() if "shape" in facts}
        whole = all(
            entry.kind in SIZES and ends[entry.key] == entry.start + entry.bytes for entry in found
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _other_kind(file, where) from error
    if not whole:
        what = f"the header of {file} contradicts itself, or names a type that is not known"
        raise WeightsError(what, where=where, mend="It is damaged: fetch it again")
    return sorted(found, key=lambda entry: (entry.start, entry.key))


def _other_kind(file: Path, where: str) -> WeightsError:
    what = f"{file} is no .safetensors file"
    mend = "Name the file as it is published, or fetch it again if it should be one"
    return WeightsError(what, where=where, mend=mend)


def _cut_off(file: Path, size: int, wanted: int, where: str) -> WeightsError:
    what = f"{file} is cut off: it has {size} bytes of {wanted}"
    return WeightsError(what, where=where, mend="Fetch it again, with enough space on the disk")
