"""Seconds, memory and waiting of work on a device.

On a GPU by its own records; on a CPU the same code runs on what PyTorch's operations there say,
which proves that it works and measures nothing.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

GIB = 2**30

BUSY = {"cuda": ("kernel", "gpu_memcpy", "gpu_memset"), "cpu": ("cpu_op",)}
"""Categories of a trace of PyTorch's profiler during which the device computes."""

Span = tuple[float, float]
"""Beginning and end, in one unit."""


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, work: Callable[[], Any]) -> float:
    """Seconds that work takes, until the device has done it."""
    settle(device)
    start = time.perf_counter()
    work()
    settle(device)
    return time.perf_counter() - start


def peak(device: torch.device, work: Callable[[], Any]) -> tuple[float, float | None]:
    """Seconds, and the most memory that tensors took meanwhile, GiB; None on a CPU."""
    if device.type != "cuda":
        return timed(device, work), None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    seconds = timed(device, work)
    return seconds, torch.cuda.max_memory_allocated(device) / GIB


def compiled() -> int:
    """Graphs that PyTorch has compiled so far in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@dataclass(frozen=True)
class Waits:
    """How much of some work's time the device had nothing to compute.

    Attributes:
        seconds: that the work took, under the profiler.
        busy: seconds during which the device computed or copied.
        between: seconds from the beginning of its first to the end of its last computation.
    """

    seconds: float
    busy: float
    between: float

    @property
    def idle(self) -> float:
        """Share of all seconds in which the device waited, at both ends too."""
        return 1 - self.busy / self.seconds

    @property
    def idle_between(self) -> float:
        """Share of the seconds between first and last computation in which it waited."""
        return 1 - self.busy / self.between


def waits(device: torch.device, work: Callable[[], Any]) -> Waits:
    """Run work under PyTorch's profiler; what the device waits is what its records leave over.

    Args:
        device: whose records are read.
        work: short enough that a trace of it can be kept: some hundred thousand computations.
    """
    from torch.profiler import ProfilerActivity, profile

    kind = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[kind]) as told:
        seconds = timed(device, work)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        told.export_chrome_trace(str(path))
        spans = spans_of(json.loads(path.read_text(encoding="utf-8")), BUSY[device.type])
    if not spans:
        msg = "the profiler has no record of any computation on the device"
        raise RuntimeError(msg)
    between = max(end for _, end in spans) - min(start for start, _ in spans)
    return Waits(seconds, covered(spans), between)


def spans_of(trace: dict[str, Any], kinds: Iterable[str]) -> list[Span]:
    """Beginning and end of every event of some categories of a trace, seconds.

    Args:
        trace: as PyTorch's profiler writes it, times in microseconds.
        kinds: categories.
    """
    wanted = frozenset(kinds)
    return [
        (float(event["ts"]) / 1e6, (float(event["ts"]) + float(event["dur"])) / 1e6)
        for event in trace["traceEvents"]
        if event.get("cat") in wanted and "dur" in event
    ]


def covered(spans: Iterable[Span]) -> float:
    """Length of the union of spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
