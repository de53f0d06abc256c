"""What the client of Xet has left in a folder that stands for Xet's store.

The client takes `local://FOLDER` for the address of a store, and keeps there what it would send:
among it shards, tables of the files that were sent whole. Their layout is that of xet-core's
`MDBShardFile`: a header of 48 bytes, then for each file a head (its hash, flags, number of
segments), its segments, as many verifications, and an extension with the SHA-256, each of 48 bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path

STEP = 48
END = b"\xff" * 32
VERIFIED, EXTENDED = 0x80000000, 0x40000000


def sent(store: Path) -> dict[str, str]:
    """SHA-256 of each file in the store -> its hash of Xet, both in hexadecimal."""
    found: dict[str, str] = {}
    for shard in store.rglob("shards/*.mdb"):
        data, place = shard.read_bytes(), STEP
        while data[place : place + 32] != END:
            name = data[place : place + 32]
            flags, segments = struct.unpack_from("<II", data, place + 32)
            place += STEP + STEP * segments * (2 if flags & VERIFIED else 1)
            if flags & EXTENDED:
                found[_hexadecimal(data[place : place + 32])] = _hexadecimal(name)
                place += STEP
    return found


def _hexadecimal(name: bytes) -> str:
    """A hash as text: four numbers of 64 bits, of which the lowest byte stands first."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", name))
