"""The types of options that segmenters share, and how tokenizers are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, check_image
from covar_gen.core.checkpoints import Checkpoint
from covar_gen.neural.quiet import one_line
from covar_gen.segmenters.base import SegmentRequest

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


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        WeightsError: its settings cannot be used.
    """
    import transformers

    with one_line(checkpoint.model, checkpoint.where):
        return transformers.AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
