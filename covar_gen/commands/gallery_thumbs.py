"""Small pictures for the gallery, named by what they show, so that they are made once."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image as Pillow

from covar_gen.core.arrays import Mask

MISSING = "missing file"
DAMAGED = "damaged file"

NAME_DIGITS = 16
"""Hexadecimal digits of a file's SHA-256 that name its thumbnail: 64 bits."""

_LOOK = 1
"""Part of every name; raised whenever thumbnails of the same file would look different."""

_QUALITY = 82
_FILL, _RIM, _HALO = 1, 2, 3
_PALETTE = [0, 0, 0, 255, 45, 135, 255, 45, 135, 0, 0, 0]
_OPACITY = bytes([0, 56, 255, 120])
"""Of a mask's four levels: around it, the object, its rim, and a dark line along the rim."""

_OURS = re.compile(r"[0-9a-f]{16}-\d+-\d+\.(?:jpg|png)")
_HALF_WRITTEN = re.compile(r"\..+\.tmp")
_STALE_SECONDS = 3600
"""Age above which a half-written file has no writer any more; writing takes milliseconds."""


@dataclass(frozen=True)
class Wanted:
    """A file of the run that the gallery shows.

    Attributes:
        path: relative to the run folder, with forward slashes.
        sha256: of the file, as its row says; None where the row does not say.
        is_mask: True for an object's mask, drawn as a tinted outline.
    """

    path: str
    sha256: str | None
    is_mask: bool


@dataclass(frozen=True)
class Thumbnail:
    """What became of a wanted file.

    Attributes:
        sha256: of the file, in hexadecimal; its first digits name the thumbnail.
        trouble: "missing file" or "damaged file" (no image, or other bytes than its row says);
            None where the thumbnail is there.
    """

    sha256: str | None
    trouble: str | None = None


def ending(edge: int, *, is_mask: bool) -> str:
    """What follows the digits in a thumbnail's name."""
    return f"-{edge}-{_LOOK}.{'png' if is_mask else 'jpg'}"


def make_thumbnails(
    wanted: Sequence[Wanted], root: Path, folder: Path, edge: int, workers: int | None = None
) -> dict[Wanted, Thumbnail]:
    """Make every thumbnail that is not there yet, and remove those that nothing shows any more.

    An image becomes a JPEG, a mask a PNG with transparency around the object, both at most
    `edge` pixels high and wide, so that the second laid over the first fits.

    Args:
        wanted: the files; the same one may be wanted several times.
        root: the run folder.
        folder: where thumbnails lie; made if it is not there.
        edge: longest edge in pixels; smaller images stay as they are.
        workers: threads; as many as there are processors, at most 8, by default.

    Returns:
        What became of each file.

    Raises:
        OSError: a thumbnail cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder)}
    distinct = list(dict.fromkeys(wanted))

    def one(item: Wanted) -> Thumbnail:
        return _thumbnail(item, root, folder, edge, there)

    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as threads:
        made = dict(zip(distinct, threads.map(one, distinct), strict=True))
    shown = {
        name_of(thumbnail.sha256) + ending(edge, is_mask=item.is_mask)
        for item, thumbnail in made.items()
        if thumbnail.sha256 is not None and thumbnail.trouble is None
    }
    _sweep(folder, shown)
    return made


def name_of(sha256: str) -> str:
    """The digits that begin a thumbnail's name."""
    return sha256[:NAME_DIGITS]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _thumbnail(
    item: Wanted, root: Path, folder: Path, edge: int, there: dict[str, int]
) -> Thumbnail:
    path = PurePosixPath(item.path)
    file = root / path
    if path.is_absolute() or ".." in path.parts or not file.is_file():
        return Thumbnail(item.sha256, MISSING)
    tail = ending(edge, is_mask=item.is_mask)
    if item.sha256 is not None:
        made = there.get(name_of(item.sha256) + tail)
        # A file written after its thumbnail is looked at again: it may be damaged by now.
        if made is not None and made >= file.stat().st_mtime_ns:
            return Thumbnail(item.sha256)
    try:
        data = file.read_bytes()
    except OSError:
        return Thumbnail(item.sha256, DAMAGED)
    found = hashlib.sha256(data).hexdigest()
    if item.sha256 not in (None, found):
        return Thumbnail(item.sha256, DAMAGED)
    try:
        small = _small_mask(data, edge) if item.is_mask else _small_image(data, edge)
    except (OSError, ValueError, SyntaxError, IndexError, EOFError, Pillow.DecompressionBombError):
        return Thumbnail(found, DAMAGED)
    write_atomically(folder / (name_of(found) + tail), small)
    there[name_of(found) + tail] = time.time_ns()
    return Thumbnail(found)


def _small_image(data: bytes, edge: int) -> bytes:
    with Pillow.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((edge, edge), Pillow.Resampling.LANCZOS, reducing_gap=2)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _small_mask(data: bytes, edge: int) -> bytes:
    with Pillow.open(io.BytesIO(data)) as opened:
        levels = opened.convert("L")
    levels.thumbnail((edge, edge), Pillow.Resampling.BOX)
    drawn = Pillow.fromarray(_levels(np.asarray(levels) > 127))  # noqa: PLR2004
    drawn.putpalette(_PALETTE)
    stream = io.BytesIO()
    drawn.save(stream, "PNG", transparency=_OPACITY, bits=2)
    return stream.getvalue()


def _levels(mask: Mask) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """uint8 (H, W): 0 around the object, then the object, its rim, and a line along the rim."""
    levels = np.zeros(mask.shape, np.uint8)
    levels[mask] = _FILL
    # Two pixels wide, for a thumbnail is usually shown smaller than it is.
    levels[mask & ~_all_around(_all_around(mask))] = _RIM
    levels[~mask & ~_all_around(~mask)] = _HALO
    return levels


def _all_around(mask: Mask) -> Mask:
    """True where a pixel and its four neighbours are True; beyond the border, its own value."""
    wide = np.pad(mask, 1, mode="edge")
    return wide[1:-1, 1:-1] & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]


def _sweep(folder: Path, shown: set[str]) -> None:
    """Remove thumbnails that are not shown; files of other names are not ours and stay."""
    now = time.time()
    for entry in list(os.scandir(folder)):
        unused = _OURS.fullmatch(entry.name) and entry.name not in shown
        stale = _HALF_WRITTEN.fullmatch(entry.name) and (
            now - entry.stat().st_mtime > _STALE_SECONDS
        )
        if unused or stale:
            Path(entry.path).unlink(missing_ok=True)
