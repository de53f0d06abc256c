"""Many pictures by Emu2: read in batches first, then painted in batches.

Tower and language model finish with all of them before the painter begins, so that networks which
make room for each other do so once. What they have read is kept until other pictures are asked for:
another attempt at a picture has other noise and nothing else, so only the painter works again.
While networks work, the next photographs are made ready and the last pictures looked at in other
threads.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.editors._emu2_model import ENCODER, PAINTER
from covar_gen.editors._emu2_room import HALF
from covar_gen.neural.running import in_halves, overlapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from covar_gen.editors._emu2_model import Networks, Read, Shown
    from covar_gen.editors._emu2_painting import Canvas
    from covar_gen.editors._emu2_tokens import Part

R = TypeVar("R")
T = TypeVar("T")
S = TypeVar("S")

log = logging.getLogger("covar_gen")

WHERE = "emu2"
"""Named in messages."""

SMALLER = {PAINTER: "a smaller size, ", ENCODER: "fewer references, "}
"""By which settings the work on a picture is less."""


@dataclass(frozen=True)
class Asked:
    """What is asked for one picture.

    Attributes:
        key: of the row, which all attempts at a picture share.
        parts: sentences and RGB pictures, in their order.
        seed: of its noise.
        canvas: how large and how it is painted.
    """

    key: str
    parts: Sequence[Part]
    seed: int
    canvas: Canvas

    @property
    def given(self) -> str:
        """The row and all that is read for it, in short: a hash of key and parts.

        The key counts too: a row's numbers may not depend on rows of the batch before it that
        happen to ask for the same.
        """
        found = hashlib.blake2b(repr(self.key).encode(), digest_size=16)
        for part in self.parts:
            if isinstance(part, str):
                found.update(repr(part).encode())
            else:
                found.update(repr((part.mode, part.size)).encode())
                found.update(part.tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Painted:
    """A picture.

    Attributes:
        picture: float32 (h, w, 3), RGB in [0, 1], not a number where the networks gave none.
        flagged: True if the safety checker would have blackened it.
        batch: how many were computed with it, if less than the batch fitted into memory.
    """

    picture: NDArray[np.float32]
    flagged: bool
    batch: int | None


def paint_all(
    networks: Networks,
    asked: Sequence[Asked],
    most: int,
    finish: Callable[[int, Painted], R],
) -> list[R]:
    """Paint pictures of any canvases.

    Args:
        networks: of a checkpoint.
        asked: what for.
        most: computed together; less where memory does not suffice.
        finish: is given each picture's place among `asked`, and the picture, in another thread.

    Returns:
        What `finish` returned, in their order.

    Raises:
        PluginError: what is asked is nothing that the model takes.
        DeviceMemoryError: the device's memory does not suffice for the networks, or for a single
            picture, also where networks make room for each other unless `stage` forbids it.
    """
    if not asked:
        return []
    try:
        return _painted(networks, asked, most, finish)
    except DeviceMemoryError:
        if not networks.staged.can_give_way:
            raise
    # Outside of the except clause: its traceback keeps the failed pass's memory alive.
    networks.staged.give_way()
    log.warning("emu2: beside all networks there is no room for a picture; from now on they swap")
    return _painted(networks, asked, most, finish)


def _painted(
    networks: Networks,
    asked: Sequence[Asked],
    most: int,
    finish: Callable[[int, Painted], R],
) -> list[R]:
    """See `paint_all`."""
    wanted = _read(networks, asked, most)
    make_ready(networks, PAINTER)
    groups: dict[Canvas, list[int]] = {}
    for place, each in enumerate(asked):
        groups.setdefault(each.canvas, []).append(place)
    chunks = [chunk for places in groups.values() for chunk in _cut(places, most)]

    def paint(places: Sequence[int]) -> list[tuple[NDArray[np.float32], bool]]:
        canvas = asked[places[0]].canvas
        given = [wanted[place][0] for place in places]
        pictures = networks.paint(given, [asked[place].seed for place in places], canvas)
        return list(zip(pictures, networks.flags(pictures), strict=True))

    def done(place: int, answer: tuple[tuple[NDArray[np.float32], bool], int | None]) -> R:
        (picture, flagged), painted = answer
        fitted = [each for each in (painted, wanted[place][1]) if each is not None]
        return finish(place, Painted(picture, flagged, min(fitted, default=None)))

    halved = _halved(networks, PAINTER, paint, shrinks=True)
    found = overlapped(chunks, lambda place: place, halved, done)
    placed = {
        place: answer
        for places, answers in zip(chunks, found, strict=True)
        for place, answer in zip(places, answers, strict=True)
    }
    return [placed[place] for place in range(len(asked))]


def make_ready(networks: Networks, group: str) -> None:
    """Have a group of networks on its devices.

    Raises:
        WeightsError: its files can no longer be read.
        DeviceMemoryError: the devices cannot hold it.
    """
    import torch

    try:
        networks.staged.ready(group)
    except torch.OutOfMemoryError as error:
        what = f"the device has not enough memory for Emu2's {group}"
        mend = _mend(networks, group, shrinks=False)
        raise DeviceMemoryError(what, where=WHERE, mend=mend) from error


def _mend(networks: Networks, group: str, *, shrinks: bool) -> str:
    """What takes less of a device's memory, of what is not set so already.

    Args:
        networks: and how they are placed.
        group: that it does not suffice for.
        shrinks: True if its work on a picture can be less.
    """
    placed, stage = networks.staged.placement, networks.staged.stage
    # The language model is there too while the painter works, unless it has made room.
    beside = group == ENCODER or stage == "resident"
    ways = ""
    if stage == "resident":
        ways += "stage = 'swap', "
    if beside and placed.language == "full":
        ways += "language = 'int4', "
    if beside:
        ways += "more devices, "
    if placed.dtype.itemsize > HALF:
        ways += "dtype = 'bfloat16', "
    if shrinks:
        ways += SMALLER[group]
    return f"Set {ways}or take a larger GPU" if ways else "Take a larger GPU"


def _read(networks: Networks, asked: Sequence[Asked], most: int) -> list[Read]:
    """What is painted for each; and how many were read together, where memory did not suffice.

    All of it is what was read for the last pictures, or none of it is: what a batch consists of
    depends on what is asked for together, and not on the time before.
    """

    def shown(each: Asked) -> Shown:
        return networks.shown(each.parts)

    names = [each.given for each in asked]
    if all(name in networks.read for name in names):
        return [networks.read[name] for name in names]
    networks.read = {}
    make_ready(networks, ENCODER)
    pictures = max(sum(not isinstance(part, str) for part in each.parts) for each in asked)
    embed = _halved(networks, ENCODER, networks.embed, shrinks=pictures > 1)
    chunks = overlapped(_cut(asked, most), shown, embed, lambda _, read: read)
    found = [each for chunk in chunks for each in chunk]
    networks.read = dict(zip(names, found, strict=True))
    return found


def _halved(
    networks: Networks,
    group: str,
    work: Callable[[Sequence[T]], Iterable[S]],
    *,
    shrinks: bool,
) -> Callable[[Sequence[T]], list[tuple[S, int | None]]]:
    """`work` of a group on as many as fit; each answer with their number, if these are not all.

    Where not one fits, the error names settings that take less memory; see `_mend`.
    """

    def whole(items: Sequence[T]) -> list[tuple[S, int | None]]:
        def some(part: Sequence[T]) -> list[tuple[S, int | None]]:
            fitted = len(part) if len(part) < len(items) else None
            return [(answer, fitted) for answer in work(part)]

        try:
            return in_halves(some, items, WHERE)
        except DeviceMemoryError as error:
            mend = _mend(networks, group, shrinks=shrinks)
            raise DeviceMemoryError(error.what, where=WHERE, mend=mend) from error

    return whole


def _cut(items: Sequence[T], most: int) -> list[Sequence[T]]:
    return [items[start : start + most] for start in range(0, len(items), most)]
