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

if TYPE_CHECKING:
    import torch

Offload = Literal["none", "model", "sequential"]

GIB = 2**30
HALF = 2
"""What computes in float32 takes twice what half precision takes."""


def check_room(
    parts: Mapping[str, Sequence[Path]],
    device: torch.device,
    dtype: torch.dtype,
    offload: Offload,
    named: tuple[str, str, str],
) -> None:
    """Refuse weights that cannot fit; whether the pictures beside them do, is seen later.

    Args:
        parts: files of each network that is loaded.
        device: where it computes.
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
    if device.type != "cuda":
        if total <= main:
            return
        half = total * 2 / dtype.itemsize
        what = (
            f"{model} takes {total:.1f} GiB in {kind}; there is no GPU here, and the main memory "
            f"has {main:.1f} GiB"
        )
        mend = f"Use a GPU with more than {half:.0f} GiB{_others(repo, main / HALF)}"
        raise DeviceMemoryError(what, where=where, mend=mend)
    free = free_memory(device) / GIB
    needed = {"none": total, "model": largest, "sequential": 0.0}[offload]
    if needed <= free and (offload == "none" or total <= main):
        return
    what = f"{model} takes {total:.1f} GiB in {kind}; the GPU has {free:.1f} GiB free"
    if offload != "none":
        what += f", its largest part takes {largest:.1f} GiB, the main memory has {main:.1f} GiB"
    ways = ""
    if total <= main and offload != "sequential":
        ways = f"Set offload = {'model' if largest <= free < total else 'sequential'!r}, or take "
    mend = f"{ways or 'Take '}a larger GPU{_others(repo, free)}"
    raise DeviceMemoryError(what, where=where, mend=mend)


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
