"""How much memory Emu2's networks take on each device, told before any of them is loaded.

Weights alone are counted exactly. What working takes besides is an estimate, not measured on a
GPU: the cache of keys and values, 1.6 MB per token of a sequence in bfloat16, and the UNet's and
VAE's pictures of 1024 x 1024 pixels, one image at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.editors import _emu2_published as published
from covar_gen.editors._emu2_packing import BYTES
from covar_gen.editors._emu2_spreading import spread
from covar_gen.neural.room import GIB, free_memory, main_memory

if TYPE_CHECKING:
    import torch

Stage = Literal["auto", "resident", "swap"]
"""resident: all networks stay on their devices; swap: those that work, one group at a time; auto:
resident where there is room for it."""

Language = Literal["full", "int4"]
"""How the language model's matrices are kept: as all weights are, or in 4 bits (NF4)."""

WORKING_GIB = 3.0
"""What one image at a time takes besides the weights; an estimate."""

MOST = 16
"""GPUs that a process takes at most."""

HALF = 2
"""Bytes of a number in half precision."""


@dataclass(frozen=True)
class Loads:
    """Bytes of the weights.

    Attributes:
        groups: of each group of networks that work by themselves, without the language model's
            layers.
        home: the group that has the language model.
        layers: of each of its layers.
    """

    groups: Mapping[str, int]
    home: str
    layers: Sequence[int]

    def dealt(self, stage: Stage, devices: int) -> list[int]:
        """Which device each layer goes to; everything else is on the first."""
        fixed = self.groups[self.home] if stage == "swap" else sum(self.groups.values())
        return spread(self.layers, fixed, devices)

    def most(self, stage: Stage, devices: int) -> list[int]:
        """Bytes on each device when it holds most."""
        found = [0] * devices
        for number, size in zip(self.dealt(stage, devices), self.layers, strict=True):
            found[number] += size
        if stage == "swap":
            others = [size for name, size in self.groups.items() if name != self.home]
            found[0] = max([found[0] + self.groups[self.home], *others])
        else:
            found[0] += sum(self.groups.values())
        return found


def size(name: str, count: int, itemsize: int, language: Language) -> float:
    """Bytes of a tensor of the language model.

    Args:
        name: of the tensor.
        count: of its numbers.
        itemsize: bytes of a number that is not packed.
        language: whether the matrices are packed.
    """
    return count * (BYTES if language == "int4" and "_proj." in name else itemsize)


def published_loads(
    language: Language = "full", itemsize: int = HALF, *, safety_checker: bool = True
) -> Loads:
    """Those of the published checkpoint.

    Args:
        language: how the language model is kept.
        itemsize: bytes of a number that is not packed.
        safety_checker: True if it is loaded.
    """
    facts, counts = published.LANGUAGE, published.PARAMETERS
    wide, middle = facts["hidden_size"], facts["intermediate_size"]
    matrices = 4 * wide * wide + 3 * wide * middle
    layer = size("_proj.", matrices, itemsize, language) + 2 * wide * itemsize
    layers = [int(layer)] * facts["num_hidden_layers"]
    rest = counts["lm"] - facts["num_hidden_layers"] * (matrices + 2 * wide)
    encoder = rest + counts["visual"] + counts["project_up"] + counts["project_down"]
    painter = counts["unet"] + counts["vae"] + safety_checker * counts["safety_checker"]
    groups = {"encoder": encoder * itemsize, "painter": painter * itemsize}
    return Loads(groups, "encoder", layers)


def published_gib(stage: Stage, language: Language, devices: int, itemsize: int = HALF) -> float:
    """GiB of memory that each GPU should have for the published checkpoint.

    Args:
        stage: which networks are there at the same time; auto is as frugal as swap.
        language: how the language model is kept.
        devices: GPUs of a process.
        itemsize: bytes of a number that is not packed.
    """
    thrifty: Stage = "swap" if stage == "auto" else stage
    return max(published_loads(language, itemsize).most(thrifty, devices)) / GIB + WORKING_GIB


def thriftier(
    gib: float, stage: Stage, language: Language, devices: int, itemsize: int = HALF
) -> list[str]:
    """Settings under which the published checkpoint needs no more, as a recipe writes them.

    Args:
        gib: GiB of memory that each GPU has.
        stage: as it is set.
        language: as it is set.
        devices: as it is set.
        itemsize: bytes of a number, as it is set.
    """

    def fits(kept: Language, count: int, each: int) -> bool:
        return published_gib("swap", kept, count, each) <= gib

    more = next((n for n in range(devices + 1, MOST + 1) if fits(language, n, itemsize)), 0)
    tried: list[tuple[str, Language, int, int]] = [
        ("stage = 'auto'", language, devices if stage == "resident" else 0, itemsize),
        ("dtype = 'bfloat16'", language, devices if itemsize > HALF else 0, HALF),
        ("language = 'int4'", "int4", devices if language == "full" else 0, itemsize),
        (f"devices = {more}", language, more, itemsize),
    ]
    return [said for said, kept, count, each in tried if count and fits(kept, count, each)]


def chosen(
    loads: Mapping[Language, Loads],
    stage: Stage,
    language: Language,
    devices: Sequence[torch.device],
    named: tuple[str, str],
    half: Loads | None = None,
) -> Stage:
    """The stage that the devices have room for.

    Args:
        loads: bytes of the weights, for each way to keep the language model.
        stage: what was asked for.
        language: how the language model is kept.
        devices: of this process.
        named: the option that names the weights, and their name in messages.
        half: bytes of the weights in half precision, if they are kept in another.

    Raises:
        DeviceMemoryError: there is no room; what would fit is said.
    """
    room = _room(devices)

    def fits(how: Stage, taken: Loads) -> bool:
        most = taken.most(how, len(devices))
        return all(need <= there for need, there in zip(most, room, strict=True))

    for each in ("resident", "swap") if stage == "auto" else (stage,):
        if fits(each, loads[language]):
            return each
    thrifty: Stage = "swap" if stage == "auto" else stage
    need = max(loads[language].most(thrifty, len(devices))) / GIB
    what = f"{named[1]} takes {need:.1f} GiB"
    if devices[0].type == "cuda":
        what += f" of a GPU's memory and about {WORKING_GIB:g} GiB to work in; "
        what += f"of these GPUs, the fullest has {min(room) / GIB + WORKING_GIB:.1f} GiB free"
    else:
        what += f"; there is no GPU here, and the main memory has {min(room) / GIB:.1f} GiB"
    ways = []
    if fits("swap", loads[language]):
        ways.append("set stage = 'swap'")
    if half is not None and fits("swap", half):
        ways.append("set dtype = 'bfloat16'")
    if language == "full" and fits("swap", loads["int4"]):
        ways.append("set language = 'int4'")
    ways.append("take more GPUs (devices), or larger ones")
    mend = ", or ".join(ways)
    raise DeviceMemoryError(what, where=named[0], mend=mend[0].upper() + mend[1:])


def _room(devices: Sequence[torch.device]) -> list[float]:
    """Bytes for weights on each device; of the processor's memory, each has what there is."""
    return [
        free_memory(device) - WORKING_GIB * GIB if device.type == "cuda" else main_memory()
        for device in devices
    ]
