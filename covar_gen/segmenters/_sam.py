"""The outline of what lies in a box, by SAM or SAM 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.checkpoints import Checkpoint
from covar_gen.neural.loading import load_images, load_model
from covar_gen.neural.running import arithmetic
from covar_gen.segmenters._loading import together

if TYPE_CHECKING:
    import torch

MODELS = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}
"""Class of transformers for each kind of checkpoint; the published SAM 2 are of the kind
sam2_video, whose image part is a SAM 2."""

AT_ONCE = 64
"""Boxes whose masks are decoded together: each holds a copy of its image's features."""


class Outliner:
    """SAM or SAM 2 on its device.

    Attributes:
        model: of transformers.
        images: its image processor.
        padded: True if images are padded to its square, False if they are stretched.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.model: Any = load_model(checkpoint, MODELS[checkpoint.kind], device)
        self.images = load_images(checkpoint)
        self.padded = checkpoint.kind == "sam"
        self.device = device
        self.dtype = dtype

    def outline(
        self, images: Sequence[Image], boxes: Sequence[torch.Tensor]
    ) -> list[tuple[Mask, list[float]]]:
        """The union of the outlines of each image's boxes: one pass of the image encoder for all.

        One mask per box (`multimask_output=False`), as in the demonstration of GroundedSAM. SAM
        decodes each box by itself, so boxes of all images go through its decoder together. The
        decoder, which is small and works on positions, computes in float32.

        Args:
            images: uint8 (H, W, 3), RGB.
            boxes: float32 (N, 4) of each, left, top, right, bottom in its pixels; N > 0.

        Returns:
            For each image the mask, and SAM's own estimate of each outline's IoU.

        Raises:
            FloatingPointError: masks are no numbers: the arithmetic has overflowed.
        """
        import torch

        if not images:
            return []
        seen = self.images(list(images), return_tensors="pt")
        pixels = seen["pixel_values"].to(self.device)
        with arithmetic(self.device, self.dtype):
            found = self.model.get_image_embeddings(pixels)
        levels = [found] if isinstance(found, torch.Tensor) else list(found)
        levels = [level.float() for level in levels]
        sizes = [image.shape[:2] for image in images]
        edges = seen.get("reshaped_input_sizes")
        if edges is None:
            edges = [pixels.shape[-2:]] * len(sizes)
        edges = [(int(height), int(width)) for height, width in edges]
        scaled = [
            given * given.new_tensor([width / size[1], height / size[0]] * 2)
            for given, size, (height, width) in zip(boxes, sizes, edges, strict=True)
        ]
        owners = [place for place, given in enumerate(boxes) for _ in given]
        logits, quality = self._decoded(levels, torch.cat(scaled).to(self.device), owners)
        answers: list[tuple[Mask, list[float]]] = []
        start = 0
        for given, size, edge in zip(boxes, sizes, edges, strict=True):
            stop = start + len(given)
            answers.append((self._union(logits[start:stop], size, edge), quality[start:stop]))
            start = stop
        return answers

    def _decoded(
        self, levels: list[torch.Tensor], boxes: torch.Tensor, owners: list[int]
    ) -> tuple[torch.Tensor, list[float]]:
        """Mask logits (boxes, 1, h, w) and estimated IoUs, each box in its image's features."""
        import torch

        logits, quality = [], []
        with arithmetic(self.device, torch.float32):
            for start in range(0, len(boxes), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                features: Any = [level[owners[part]] for level in levels]
                outputs = self.model(
                    image_embeddings=features if len(features) > 1 else features[0],
                    input_boxes=boxes[part, None],
                    multimask_output=False,
                )
                logits.append(outputs.pred_masks[:, 0])
                quality += outputs.iou_scores[:, 0, 0].tolist()
        joined = torch.cat(logits)
        if not joined.isfinite().all():
            raise FloatingPointError("SAM's masks are no numbers")
        return joined, quality

    def _union(self, logits: torch.Tensor, size: tuple[int, ...], edge: tuple[int, int]) -> Mask:
        """Where any of an image's outlines is, bool (H, W), at the image's own size."""
        import torch

        whole = torch.zeros(tuple(size), dtype=torch.bool, device=self.device)
        # SAM pads images to a square, SAM 2 stretches them.
        padded = [[edge]] if self.padded else []
        step = together(size, AT_ONCE)
        for start in range(0, len(logits), step):
            part = logits[start : start + step]
            found = self.images.post_process_masks([part], [tuple(size)], *padded)[0]
            whole |= found.flatten(0, 1).any(0)
        return np.asarray(whole.cpu().numpy(), np.bool_)
