"""How towers compute: on a GPU one after another, on a CPU in threads that stay out of each other.

Libraries that share one operation between threads round it differently with each number of
threads. So every operation here has one thread, and it is batches that are shared between threads:
their number changes nothing but the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from covar_gen.core.errors import DeviceMemoryError, ModelError

if TYPE_CHECKING:
    import torch

P = ParamSpec("P")
R = TypeVar("R")
SHARE = 0.7
"""Share of the free memory that resident towers may take; the rest is for their activations."""


@dataclass(frozen=True)
class Device:
    """A device and the threads that give it work.

    Attributes:
        place: the torch device.
        pool: threads that compute; None on a GPU, which has an order of its own.
    """

    place: torch.device
    pool: ThreadPoolExecutor | None

    @property
    def name(self) -> str:
        """What it is called: the GPU's name, or `cpu`."""
        import torch

        if self.place.type == "cuda":
            return torch.cuda.get_device_name(self.place)
        return self.place.type

    def memory(self, processes: int) -> float:
        """Bytes that resident towers of one process may take together.

        Args:
            processes: that share the machine; they share its GPUs evenly.
        """
        import torch

        if self.place.type == "cuda":
            sharing = max(1, processes // torch.cuda.device_count())
            return SHARE * torch.cuda.mem_get_info(self.place)[0] / sharing
        return SHARE * _available() / processes

    def tidy(self) -> None:
        """Give memory that nobody uses any more back to the device."""
        import torch

        if self.place.type == "cuda":
            torch.cuda.empty_cache()

    def submit(self, work: Callable[P, R], *given: P.args, **named: P.kwargs) -> Future[R]:
        """Compute without gradients, at once or in one of the threads."""
        import torch

        def computed() -> R:
            with torch.inference_mode():
                return work(*given, **named)

        if self.pool is not None:
            return self.pool.submit(computed)
        done: Future[R] = Future()
        done.set_result(computed())
        return done


@contextmanager
def device_of(place: str | None, local_rank: int, threads: int) -> Iterator[Device]:
    """A device while it lasts, its arithmetic exact; the process's settings are put back.

    Args:
        place: a torch device; None: this process's GPU where there is one, else the CPU; `cuda`:
            this process's GPU.
        local_rank: number of this process on its machine.
        threads: that compute on a CPU.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if there and place in (None, "cuda"):
        place = f"cuda:{local_rank % there}"
    place = place or "cpu"
    found = torch.device(place)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    pool = None
    if found.type == "cpu":
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    # Convolutions round to 10 bits by default (patch embeddings are convolutions), and products of
    # matrices do where the environment asks for it.
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    try:
        with exact, _alone():
            yield Device(found, pool)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@contextmanager
def _alone() -> Iterator[None]:
    """One thread for OpenCV and the libraries under numpy, whose images are resized here too."""
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        cv2.setNumThreads(before)


def _available() -> float:
    """Memory that programs can still have, in bytes; caches of files make room for them."""
    facts = Path("/proc/meminfo")
    if facts.exists():
        for line in facts.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def is_memory(error: BaseException | None) -> bool:
    """True for the errors of a full GPU and of a full machine; the latter has no class."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


@contextmanager
def enough_memory(name: str) -> Iterator[None]:
    """Answer too little memory with what to lower.

    Args:
        name: of the model that needs it.

    Raises:
        DeviceMemoryError: there is not enough.
    """
    try:
        yield
    except (RuntimeError, MemoryError, ModelError) as error:
        if not is_memory(error) and not is_memory(error.__cause__):
            raise
        what = "the device has not enough memory"
        mend = "Lower --memory, --batch or --processes, use --precision bf16, or --device cpu"
        raise DeviceMemoryError(what, where=name, mend=mend) from error
