"""Image towers that are resident together, and what they say of a batch.

As many towers share a pass over the images as fit into the memory given; a tower that runs out
of memory takes its batch in halves, which is recorded on the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from covar_gen.core.errors import DeviceMemoryError, ModelError
from covar_gen.evaluation.computing import is_memory
from covar_gen.evaluation.models.base import Model
from covar_gen.evaluation.preprocessing import Grid, Preprocessing
from covar_gen.evaluation.scoring import logits, scores

if TYPE_CHECKING:
    import torch


Columns: TypeAlias = "dict[str, torch.Tensor]"
"""Scores of a batch by their column of covar_gen.evaluation.rows.PREDICTIONS, on the device."""


@dataclass
class Tower:
    """A model's image side with the classes it tells apart.

    Attributes:
        model: the model; its text tower may be gone.
        rows: float32 (C, D), class embeddings on the model's device.
        groups: int64 (C,), first class of the same name: equal names get equal logits, exactly.
        embeddings: keep the embeddings, too.
    """

    model: Model
    rows: torch.Tensor
    groups: torch.Tensor
    embeddings: bool = False

    @property
    def bytes(self) -> int:
        """Memory of the weights that are left, in bytes."""
        module = self.model.module
        return sum(p.numel() * p.element_size() for p in module.parameters())

    def see(self, pixels: torch.Tensor, labels: torch.Tensor) -> Columns:
        """Score images.

        Args:
            pixels: float32 (B, 3, H, W), normalised, on the model's device.
            labels: int64 (B,), true classes, on the model's device.

        Returns:
            The columns; `batch` is how many images went through the tower together.

        Raises:
            DeviceMemoryError: a single image does not fit.
        """
        import torch

        try:
            return self._see(pixels, labels)
        except RuntimeError as error:
            if not is_memory(error):
                raise
        if len(pixels) == 1:
            what = "the device has not enough memory for a single image"
            mend = "Lower --memory, use --precision bf16, or --device cpu"
            raise DeviceMemoryError(what, where=self.model.name, mend=mend)
        if pixels.is_cuda:
            torch.cuda.empty_cache()
        half = len(pixels) // 2
        first = self.see(pixels[:half], labels[:half])
        second = self.see(pixels[half:], labels[half:])
        return {name: torch.cat([first[name], second[name]]) for name in first}

    def _see(self, pixels: torch.Tensor, labels: torch.Tensor) -> Columns:
        import torch

        embeddings = self.model.encode_image(pixels)
        scale, bias = self.model.logit_scale, self.model.logit_bias
        found = logits(embeddings, self.rows, scale, bias)[:, self.groups]
        columns = dict(vars(scores(found, labels)))
        # Kept until the block is done: asking now would make a GPU wait.
        columns["finite"] = torch.isfinite(found).all(dim=1)
        columns["batch"] = torch.full_like(labels, len(pixels))
        if self.embeddings:
            columns["embedding"] = embeddings.to(torch.float16)
        return columns


class Normalised:
    """A batch on a device, normalised once for every preprocessing that asks for it."""

    def __init__(self, pixels: Mapping[Grid, torch.Tensor], device: torch.device) -> None:
        self._on_host = pixels
        self._device = device
        self._grids: dict[Grid, torch.Tensor] = {}
        self._ready: dict[Preprocessing, torch.Tensor] = {}

    def of(self, preprocessing: Preprocessing) -> torch.Tensor:
        """float32 (B, 3, H, W), as that preprocessing has it."""
        grid = preprocessing.grid
        if grid not in self._grids:
            self._grids[grid] = self._on_host[grid].to(self._device, non_blocking=True)
        if preprocessing not in self._ready:
            self._ready[preprocessing] = preprocessing.normalise(self._grids[grid])
        return self._ready[preprocessing]


def check_finite(columns: dict[str, np.ndarray[Any, Any]], model: Model) -> None:
    """Refuse scores that are not numbers; every comparison with them would be a guess.

    Raises:
        ModelError: the tower's arithmetic overflowed.
    """
    if not columns.pop("finite").all():
        what = f"embeddings are not finite numbers in {model.precision}"
        raise ModelError(what, where=model.name, mend="Use --precision bf16 or fp32")


def on_host(batches: Sequence[Columns]) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of consecutive batches, joined, as arrays of the types they are stored in."""
    import torch

    kinds = {"top_ids": torch.int32, "true_rank": torch.int32, "batch": torch.int32}
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    return {
        name: np.asarray(values.to(kinds.get(name, values.dtype)).cpu().numpy())
        for name, values in joined.items()
    }
