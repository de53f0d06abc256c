"""Weights: what is here, what would be downloaded, and what does not fit this machine."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from covar_gen.commands.doctor_own import own, refusal
from covar_gen.commands.findings import Finding
from covar_gen.commands.weights import Tool, Wanted, fitting
from covar_gen.core.hub import access, command, getting, is_offline, is_repository
from covar_gen.core.hub_cache import Cached, cache_folder, cached
from covar_gen.core.pins import licences, of_plugin

GIB = 2**30
SMALL_GIB = 0.01
"""Repositories smaller than this are read for their settings alone."""
HALF = 2
"""A processor computes in float32, which takes twice what half precision takes."""


@dataclass(frozen=True)
class Device:
    """Where networks would compute.

    Attributes:
        gpu: True for a GPU.
        gib: its free memory; the whole main memory without a GPU.
    """

    gpu: bool
    gib: float

    def room(self) -> float:
        """GiB of weights in use that fit, in the types that are usual on the device."""
        return self.gib if self.gpu else self.gib / HALF


def device() -> Device | None:
    """The GPU that a process of its own would take, else the processor; None without torch."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        return Device(gpu=True, gib=torch.cuda.mem_get_info(0)[0] / GIB)
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Device(gpu=False, gib=pages * size / GIB)


def takes(tool: Tool, at: Device | None = None) -> str:
    """What a plugin's weights take, in words.

    Args:
        tool: with its weights.
        at: the device; None: nothing is known of it.
    """
    slow = "" if at is None or at.gpu else "there is no GPU here, and a processor is far slower"
    return "; ".join(filter(None, (tool.memory_said, licences(tool.pins), slow))) or "ready"


def room(tool: Tool, at: Device | None, title: str) -> Finding | None:
    """What is to be said of a plugin that does not fit the device; None where it does.

    Args:
        tool: with its weights.
        at: the device; None: nothing is known of it.
        title: of the finding.
    """
    memory = tool.memory_gib
    if at is None or memory is None or memory <= at.room() or (tool.offload and at.gpu):
        return None
    if at.gpu:
        said = f"takes about {memory:g} GiB, the GPU has {at.gib:.0f} GiB free"
    else:
        said = (
            f"takes a GPU with about {memory:g} GiB, there is none here, and twice as much in "
            f"float32 is more than the {at.gib:.0f} GiB of main memory"
        )
    smaller = [
        known.repo
        for known in of_plugin(tool.kind, tool.name)
        if known.memory_gib <= at.room() and not known.removed and len(tool.wanted) == 1
    ]
    ways = [f"offload = {'model'!r}"] if at.gpu and _can_offload(tool) else []
    ways += tool.plugin.thriftier(at.gib) if at.gpu and tool.plugin else []
    ways += [f"weights = {repo}" for repo in smaller]
    others = [name for name in fitting(tool.kind, at.room()) if name != tool.name]
    ways += [f"another of the {tool.kind}: {', '.join(others)}"] if others else []
    return Finding(title, fine=False, said=said, mend=f"What would fit: {'; or '.join(ways)}")


def _can_offload(tool: Tool) -> bool:
    from covar_gen.core import plugins

    plugin = plugins.find(tool.kind, tool.name, plugins.Plugin)
    return "offload" in plugin.Options.model_fields


def weights(tools: Sequence[Tool], *, needed: bool) -> list[Finding]:
    """What is to be said of each checkpoint, and of the download of all that is not here.

    Args:
        tools: with their weights.
        needed: True if they have to be here; False for a mere inventory, which is always fine.
    """
    found: list[Finding] = []
    seen: set[str] = set()
    total = 0.0
    for tool in tools:
        for each in tool.wanted:
            if each.name in seen:
                continue
            seen.add(each.name)
            here = None if each.local else cached(each.repo, each.revision)
            finding = _checkpoint(tool, each, here)
            found.append(finding if needed else replace(finding, fine=True))
            total += _left(each, here)
    if needed and total > SMALL_GIB:
        found.append(_download(total))
    return found


def _checkpoint(tool: Tool, wanted: Wanted, here: Cached | None) -> Finding:
    """One checkpoint: is it here, and if not, what then."""
    title = f"weights {wanted.name}"
    by = f"{tool.name}.{wanted.option}"
    if wanted.local:
        return own(tool, wanted, title)
    ownerless = "/" not in wanted.repo
    if not is_repository(wanted.repo) or (ownerless and refusal(tool, wanted) is not None):
        said = f"neither here nor owner/name of the Hugging Face Hub, for {by}"
        return Finding(title, fine=False, said=said, mend="Check the path, or the name")
    known = wanted.pin
    licence = f"; {known.licence}" if known else ""
    size = f"about {known.download_gib:g} GiB" if known else "of unknown size"
    missing = _missing(wanted, here)
    if here is not None and not missing:
        said = f"in the cache, {here.size / GIB:.2f} GiB at {here.commit[:12]}, for {by}{licence}"
        return Finding(title, fine=True, said=said)
    some = f"incomplete in the cache, without {', '.join(missing[:3])}" if missing else "not here"
    if known is not None and known.removed:
        # There is nothing to download, whatever its size was.
        said = f"removed by its owner, {some}, for {by}{licence}"
        mend = f"Name its mirror: {known.mirror}" if known.mirror else "Name other weights"
        return Finding(title, fine=False, said=said, mend=mend)
    said = f"{some}; {size}, for {by}{licence}"
    # What is there of an incomplete copy came from somewhere: all of it is sure to be enough.
    files = tool.plugin.reads.get(wanted.option, ()) if tool.plugin and not missing else ()
    gated = known is not None and known.gated
    if is_offline():
        mend = f"With a network {getting(wanted.repo, wanted.revision, files)}"
        said = f"gated, {said}" if gated else said
        return Finding(title, fine=False, said=said, mend=mend)
    if known is not None and gated and not _logged_in():
        return Finding(title, fine=False, said=f"gated, {said}", mend=access(known))
    gate = f", once its terms are accepted on {known.page}" if known and gated else ""
    download = command(wanted.repo, wanted.revision, files)
    later = f"Downloaded when it is needed{gate}; to have it before, type: {download}"
    return Finding(title, fine=True, said=said, mend=later)


def _missing(wanted: Wanted, here: Cached | None) -> tuple[str, ...]:
    """What the cache lacks of a checkpoint; some are read for their settings alone."""
    known = wanted.pin
    if here is None or (known is not None and known.download_gib < SMALL_GIB):
        return ()
    return here.missing


def _left(wanted: Wanted, here: Cached | None) -> float:
    """GiB to download."""
    known = wanted.pin
    if known is None or known.removed or (here is not None and not _missing(wanted, here)):
        return 0.0
    return max(0.0, known.download_gib - (here.size / GIB if here else 0))


def _download(total: float) -> Finding:
    """Whether all that is to be downloaded fits the disk of the cache."""
    folder = cache_folder()
    there: Path = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / GIB
    said = f"about {total:.1f} GiB of weights into {folder}, which has {free:.0f} GiB free"
    mend = "" if total < free else "Free some space, or set HF_HUB_CACHE to a folder with more"
    return Finding("download", fine=total < free, said=said, mend=mend)


def _logged_in() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None
