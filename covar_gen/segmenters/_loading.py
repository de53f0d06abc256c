"""How transformers' models are loaded, where they compute, and in which arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, check_image
from covar_gen.core.checkpoints import Checkpoint
from covar_gen.core.errors import DeviceMemoryError, WeightsError
from covar_gen.core.ranks import Ranks
from covar_gen.segmenters.base import SegmentRequest

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""An option's value: `auto` is bfloat16 on a GPU that has it, else float32."""

Threshold = Annotated[float, Field(ge=0, le=1)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]

NAME = "{class_name}"
"""What stands for the class's name in a text."""

Text = Annotated[str, Field(pattern=r"\{class_name\}")]
"""A text in which the class is named."""

MASK_PIXELS = 1 << 27
"""Most pixels of masks at the photograph's own size that are held at once: 12 bytes each."""

T = TypeVar("T")
R = TypeVar("R")


def named(text: str, class_name: str) -> str:
    """A text with the class's name in it."""
    return text.replace(NAME, " ".join(class_name.split()))


def images_of(batch: Sequence[SegmentRequest]) -> list[Image]:
    """The photographs as torch takes them: uint8 (H, W, 3), contiguous and writable."""
    return [
        np.require(check_image(request.image, f"image of {request.key}"), requirements=("C", "W"))
        for request in batch
    ]


def together(size: tuple[int, ...], most: int) -> int:
    """How many masks of a size (height, width) are held at once: at least one, at most `most`."""
    height, width = size
    return max(1, min(most, MASK_PIXELS // (height * width)))


def own_device() -> torch.device:
    """This process's GPU where there is one, else the CPU."""
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return torch.device(f"cuda:{Ranks.from_environment().local % there}" if there else "cpu")


def resolved(dtype: Dtype, device: torch.device) -> torch.dtype:
    """The type in which the large products are computed."""
    import torch

    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
            dtype
        ]
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if half else torch.float32


@contextmanager
def arithmetic(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """No gradients; products in that type, sums and norms in float32; no silent TF32.

    Weights stay in float32 and are rounded where they are used, and so are positions: in a type
    with 8 bits of precision, a box of a photograph of 1333 pixels would be off by several of them.
    """
    import torch

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            )
        )
        if dtype != torch.float32:
            stack.enter_context(torch.autocast(device.type, dtype))
        yield


def load_model(checkpoint: Checkpoint, model: str, device: torch.device) -> Any:
    """A model of transformers with all its weights, in evaluation mode.

    Args:
        checkpoint: of a kind that the class can hold.
        model: name of the class.
        device: where it goes.

    Raises:
        WeightsError: the class is not in this version of transformers, or the files are damaged
            or do not belong together.
    """
    import torch
    import transformers

    kind = getattr(transformers, model, None)
    if kind is None:
        what = f"transformers {transformers.__version__} has no {model}"
        mend = "Type: pip install -U transformers"
        raise WeightsError(what, where=checkpoint.where, mend=mend)
    with _one_line(checkpoint):
        module, report = kind.from_pretrained(
            checkpoint.folder,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            use_safetensors=True,
        )
    parameters = {name for name, _ in module.named_parameters()}
    missing = sorted(parameters.intersection(report["missing_keys"]))
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = f"the weights of {checkpoint.model} lack {missing[0]}{others}"
        raise WeightsError(
            what, where=checkpoint.where, mend="Fetch them again, or save them again"
        )
    return module.to(device).eval()


def load_images(checkpoint: Checkpoint) -> Any:
    """The image processor of a checkpoint.

    Raises:
        WeightsError: its settings cannot be used.
    """
    import transformers

    with _one_line(checkpoint):
        return transformers.AutoImageProcessor.from_pretrained(
            checkpoint.folder, local_files_only=True
        )


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        WeightsError: its settings cannot be used.
    """
    import transformers

    with _one_line(checkpoint):
        return transformers.AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)


@contextmanager
def _one_line(checkpoint: Checkpoint) -> Iterator[None]:
    """What the library cannot load is said in one line, without its bars and remarks."""
    import torch
    from transformers.utils import logging

    drawn, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # the library and those under it raise errors of every kind
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]
        what = f"transformers cannot load {checkpoint.model}: {said}"
        mend = "Check that its files are whole and belong together, or fetch them again"
        raise WeightsError(what, where=checkpoint.where, mend=mend) from error
    finally:
        logging.set_verbosity(level)
        if drawn:
            logging.enable_progress_bar()


def in_halves(work: Callable[[Sequence[T]], list[R]], items: Sequence[T], where: str) -> list[R]:
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
        return work(items)
    except torch.OutOfMemoryError as error:
        if len(items) == 1:
            what = "the device has not enough memory for a single image"
            mend = "Choose a smaller checkpoint, or smaller photographs ([classes] size)"
            raise DeviceMemoryError(what, where=where, mend=mend) from error
    # Outside of the except clause: its traceback keeps the failed pass's memory alive.
    torch.cuda.empty_cache()
    middle = (len(items) + 1) // 2
    return [
        answer
        for half in (items[:middle], items[middle:])
        for answer in in_halves(work, half, where)
    ]
