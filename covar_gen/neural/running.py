"""Where networks compute, in which arithmetic, and how many items at once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from covar_gen.core.errors import DeviceMemoryError, PluginError
from covar_gen.core.ranks import Ranks

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""An option's value: `auto` is half precision on a GPU that has it, else float32."""

NO_MEMORY = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What a RuntimeError names where no room was left for what cuBLAS or cuDNN need to compute in:
"resource allocation failed inside the library" (cuBLAS library, cublasStatus_t), "a resource
allocation failed inside the cuDNN library" (cuDNN, cudnnStatus_t). PyTorch's own allocator raises
an OutOfMemoryError, these do not. CUDNN_STATUS_NOT_SUPPORTED is none of them: it says that what is
asked for cannot be computed, whatever the batch."""

THREADS = 2
"""That prepare and finish pictures while a network works."""

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")
F = TypeVar("F")


def own_device() -> torch.device:
    """This process's GPU where there is one, else the CPU."""
    import torch

    there = gpus()
    return torch.device(f"cuda:{Ranks.from_environment().local % there}" if there else "cpu")


def own_devices(count: int, where: str = "devices") -> tuple[torch.device, ...]:
    """This process's devices: of the GPUs here, as many in a row; the CPU where there is none.

    Args:
        count: how many GPUs a process takes.
        where: the option that says so, for the error message.

    Raises:
        PluginError: there are not that many.
    """
    import torch

    there = gpus()
    if count == 1:
        return (own_device(),)
    if count > there:
        what = f"a process is to take {count} GPUs, and {there} are here"
        raise PluginError(what, where=where, mend="Leave devices out, or start it on others")
    first = Ranks.from_environment().local * count % (there - there % count)
    return tuple(torch.device(f"cuda:{first + number}") for number in range(count))


def gpus() -> int:
    """How many GPUs PyTorch sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_name(device: torch.device) -> str:
    """What is recorded of a device: a GPU's model, or `cpu`."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def resolved(
    dtype: Dtype, device: torch.device, half: Literal["bfloat16", "float16"] = "bfloat16"
) -> torch.dtype:
    """The type that an option means on a device.

    Args:
        dtype: the option.
        device: where it computes.
        half: what `auto` is on a GPU; bfloat16 only where the GPU computes in it.
    """
    import torch

    if dtype == "auto":
        dtype = "float32"
        if device.type == "cuda":
            able = half == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
            dtype = half if able else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


@contextmanager
def exact() -> Iterator[None]:
    """No gradients, no silent TF32, the same algorithms each time."""
    import torch

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            )
        )
        yield


@contextmanager
def arithmetic(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """As `exact`; products in a smaller type, sums and norms in float32.

    Weights stay in float32 and are rounded where they are used, and so are positions: in a type
    with 8 bits of precision, a box of a photograph of 1333 pixels would be off by several of them.
    """
    import torch

    with ExitStack() as stack:
        stack.enter_context(exact())
        if dtype != torch.float32:
            stack.enter_context(torch.autocast(device.type, dtype))
        yield


def in_halves(
    work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], where: str
) -> list[R]:
    """`work` on all items at once or, where the device's memory does not suffice, on each half.

    Args:
        work: one answer per item, in their order.
        items: at least one.
        where: the tool, for the error message.

    Raises:
        DeviceMemoryError: it does not suffice for a single item.
    """
    import torch

    try:
        return list(work(items))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(items) == 1:
            what = "the device has not enough memory for a single image"
            mend = "Choose smaller weights, a smaller type, offloading, or smaller photographs"
            raise DeviceMemoryError(what, where=where, mend=mend) from error
    # Outside of the except clause: its traceback keeps the failed pass's memory alive, and what
    # refers to it in a circle does so until it is collected.
    gc.collect()
    torch.cuda.empty_cache()
    middle = (len(items) + 1) // 2
    return [
        answer
        for half in (items[:middle], items[middle:])
        for answer in in_halves(work, half, where)
    ]


def is_out_of_memory(error: RuntimeError) -> bool:
    """True if the memory of a device did not suffice, by whichever library it is said."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(
        name in str(error) for name in NO_MEMORY
    )


def overlapped(
    batches: Sequence[Sequence[T]],
    prepare: Callable[[T], S],
    work: Callable[[Sequence[S]], Sequence[R]],
    finish: Callable[[T, R], F],
) -> list[list[F]]:
    """What comes of all items, where a network that works need not wait for pictures.

    While it works on one batch, the next is prepared and the last is finished in other threads.

    Args:
        batches: of items.
        prepare: an item, in another thread.
        work: one answer per prepared item of a batch, in their order; in this thread.
        finish: an item and its answer, in another thread.

    Returns:
        By batch and item, what `finish` returns.
    """
    found: list[list[Future[F]]] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="pictures") as pool:

        def ahead(number: int) -> list[Future[S]]:
            return [pool.submit(prepare, item) for batch in batches[number:][:1] for item in batch]

        coming = ahead(0)
        for number, batch in enumerate(batches):
            ready = [future.result() for future in coming]
            coming = ahead(number + 1)
            pairs = zip(batch, work(ready), strict=True)
            found.append([pool.submit(finish, item, answer) for item, answer in pairs])
    return [[future.result() for future in batch] for batch in found]
