"""Whether a pipeline's weights fit where they are to be computed with, told before they are loaded.

A model of twelve billion parameters on a machine without a GPU would fill its main memory for
minutes and then be killed without a word.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.core.pins import alike
from covar_gen.neural.running import gpus, own_devices

if TYPE_CHECKING:
    import torch

Offload = Literal["none", "model", "sequential"]

GIB = 2**30
HALF = 2
"""What computes in float32 takes twice what half precision takes."""


def check_room(
    parts: Mapping[str, Sequence[Path]],
    devices: Sequence[torch.device],
    dtype: torch.dtype,
    offload: Offload,
    named: tuple[str, str, str],
) -> None:
    """Refuse weights that cannot fit; whether the pictures beside them do, is seen later.

    Args:
        parts: files of each network that is loaded.
        devices: where it computes; over several, whole networks are spread.
        dtype: in which its weights are kept.
        offload: what waits in the main memory.
        named: the option that names the weights, their name in messages, and their repository,
            empty for a folder.

    Raises:
        DeviceMemoryError: they do not; what would is said.
    """
    sizes = [sum(map(elements, files)) * dtype.itemsize / GIB for files in parts.values()]
    total, largest = sum(sizes), max(sizes, default=0.0)
    main = main_memory() / GIB
    where, model, repo = named
    kind = str(dtype).removeprefix("torch.")
    if devices[0].type != "cuda":
        if total <= main:
            return
        half = total * 2 / dtype.itemsize
        what = (
            f"{model} takes {total:.1f} GiB in {kind}; there is no GPU here, and the main memory "
            f"has {main:.1f} GiB"
        )
        gpu = f"Use a GPU with more than {half:.0f} GiB, or several (devices)"
        mend = f"{gpu}{_others(repo, main / HALF)}"
        raise DeviceMemoryError(what, where=where, mend=mend)
    free = [free_memory(device) / GIB for device in devices]
    needed = {"none": total, "model": largest, "sequential": 0.0}[offload]
    if len(devices) > 1:
        if balanced(sizes, free):
            return
        has = f"the GPUs have {', '.join(f'{each:.1f}' for each in free)} GiB free"
    else:
        if needed <= free[0] and (offload == "none" or total <= main):
            return
        has = f"the GPU has {free[0]:.1f} GiB free"
    what = f"{model} takes {total:.1f} GiB in {kind}; {has}"
    if offload != "none" or len(devices) > 1:
        what += f", its largest part takes {largest:.1f} GiB"
    if offload != "none":
        what += f", the main memory has {main:.1f} GiB"
    mend = ", or ".join(_ways(sizes, free, main, offload))
    mend = f"{mend[0].upper()}{mend[1:]}{_others(repo, max(free))}"
    raise DeviceMemoryError(what, where=where, mend=mend)


def _ways(
    sizes: Sequence[float], free: Sequence[float], main: float, offload: Offload
) -> list[str]:
    """What would fit, on these GPUs or on others; sizes in GiB."""
    found = []
    if sum(sizes) <= main and offload != "sequential":
        way = "model" if max(sizes) <= free[0] and offload == "none" else "sequential"
        leave = "leave devices out and " if len(free) > 1 else ""
        found.append(f"{leave}set offload = {way!r}")
    for count in range(len(free) + 1, gpus() + 1) if offload == "none" else ():
        if balanced(sizes, [free_memory(device) / GIB for device in own_devices(count)]):
            found.append(f"set devices = {count}")
            break
    return [*found, "take more or larger GPUs" if len(free) > 1 else "take a larger GPU"]


def balanced(sizes: Sequence[float], room: Sequence[float]) -> bool:
    """Whether every network has a GPU when diffusers deals them out; else one would stay behind.

    The largest network goes to the roomiest GPU, the next to the next, then back again; one that
    does not fit is not tried on another (diffusers 0.42, device_map "balanced").

    Args:
        sizes: of the networks.
        room: of the GPUs, in the same unit.
    """
    left = sorted(room, reverse=True)
    turn = [*range(len(left)), *reversed(range(len(left)))]
    for place, size in enumerate(sorted(filter(None, sizes), reverse=True)):
        gpu = turn[place % len(turn)]
        if size > left[gpu]:
            return False
        left[gpu] -= size
    return True


def elements(path: Path) -> int:
    """Numbers in a file of weights, from its header alone.

    Args:
        path: a .safetensors; other files of weights count as half precision, settings and
            damaged files as nothing.
    """
    if path.suffix == ".bin":
        return path.stat().st_size // 2
    if path.suffix != ".safetensors":
        return 0
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, path.stat().st_size)))
        tensors = [each for name, each in header.items() if name != "__metadata__"]
        return sum(math.prod(each["shape"]) for each in tensors)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        # What loads it says what is wrong with it.
        return 0


def main_memory() -> int:
    """Bytes of this machine's main memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU."""
    import torch

    return torch.cuda.mem_get_info(device)[0]


def _others(repo: str, gib: float) -> str:
    fit = [known.repo for known in alike(repo) if known.memory_gib <= gib]
    return f", or weights that fit: {', '.join(fit)}" if fit else ", or smaller weights"
