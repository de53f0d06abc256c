"""How transformers' models are loaded, and the types of options that segmenters share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, check_image
from covar_gen.core.checkpoints import Checkpoint
from covar_gen.core.errors import WeightsError
from covar_gen.neural.quiet import one_line
from covar_gen.segmenters.base import SegmentRequest

if TYPE_CHECKING:
    import torch

Threshold = Annotated[float, Field(ge=0, le=1)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]

NAME = "{class_name}"
"""What stands for the class's name in a text."""

Text = Annotated[str, Field(pattern=r"\{class_name\}")]
"""A text in which the class is named."""

MASK_PIXELS = 1 << 27
"""Most pixels of masks at the photograph's own size that are held at once: 12 bytes each."""


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
    with one_line(checkpoint.model, checkpoint.where):
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

    with one_line(checkpoint.model, checkpoint.where):
        return transformers.AutoImageProcessor.from_pretrained(
            checkpoint.folder, local_files_only=True
        )


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        WeightsError: its settings cannot be used.
    """
    import transformers

    with one_line(checkpoint.model, checkpoint.where):
        return transformers.AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
