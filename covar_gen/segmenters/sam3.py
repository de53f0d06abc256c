"""Outlines what a text names with SAM 3: from the text straight to outlines, in one model.

SAM 3 finds all instances of a concept given by a short noun phrase ("Segment Anything with
Concepts", 2025), so the text is the class's name alone; the outlines of all instances are united.
Its weights are published behind terms that have to be accepted on the Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Json, Rejected
from covar_gen.core.checkpoints import Checkpoint, check_name, find
from covar_gen.core.plugins import PluginOptions, WeightsName
from covar_gen.neural.running import Dtype, arithmetic, in_halves, own_device, resolved
from covar_gen.segmenters._loading import (
    Sha256,
    Text,
    Threshold,
    images_of,
    load_images,
    load_model,
    load_tokenizer,
    named,
)
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

if TYPE_CHECKING:
    import torch

KINDS = ("sam3", "sam3_video")
"""Kinds of checkpoints that hold a SAM 3: the published one is of the kind sam3_video."""


class Sam3(Segmenter):
    """SAM 3's outlines of all instances of a class."""

    class Options(PluginOptions):
        """What is looked for, by which weights, and how it is computed.

        Attributes:
            text: what is looked for: a short noun phrase; `{class_name}` stands for the class.
            threshold: an instance counts if its score is above this, 0 to 1.
            mask_threshold: a pixel belongs to an instance if its probability is above this, 0
                to 1.
            weights: a SAM 3: `owner/name` or `owner/name@revision` of the Hugging Face Hub, or a
                folder relative to the recipe.
            weights_sha256: SHA-256 of its model.safetensors; other weights are refused. Left out:
                any.
            batch: images computed together. A GPU that is too small for them takes halves.
            dtype: float32, bfloat16 or float16; auto: bfloat16 on a GPU that has it, else float32.
        """

        text: Text = "{class_name}"
        threshold: Threshold = 0.3
        mask_threshold: Threshold = 0.5
        weights: WeightsName = "facebook/sam3"
        weights_sha256: Sha256 | None = None
        batch: int = Field(default=8, ge=1, le=1024)
        dtype: Dtype = "auto"

    options: Options
    requires = ("torch", "torchvision", "transformers", "safetensors")
    extra = "segment"

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model's files, fetched if need be.

        Raises:
            WeightsError: they cannot be had, or are not what they should be.
        """
        found = find(self.options.weights, KINDS, "sam3.weights", texts=True)
        found.check_pinned(self.options.weights_sha256)
        return found

    @property
    def batch(self) -> int:
        """Images computed together."""
        return self.options.batch

    def check(self) -> None:
        """Look at the checkpoint, as far as that needs no network.

        Raises:
            WeightsError: it is not there or is of another kind.
        """
        check_name(self.options.weights, KINDS, "sam3.weights", texts=True)

    def identity(self) -> dict[str, Json]:
        """Name, version and options; for the checkpoint, hashes of its content.

        Raises:
            WeightsError: the checkpoint cannot be had.
        """
        found = super().identity()
        options = self.options.model_dump(mode="json", exclude={"weights_sha256"})
        # The same weights are the same, wherever they lie.
        return {**found, "options": {**options, "weights": self.checkpoint.identity()}}

    def setup(self) -> None:
        """Load the model onto this process's device.

        Raises:
            WeightsError: the checkpoint cannot be had or loaded.
        """
        self.device = own_device()
        self.computed_in = resolved(self.options.dtype, self.device)
        self.module: Any = load_model(self.checkpoint, "Sam3Model", self.device)
        self.images = load_images(self.checkpoint)
        self.tokenizer = load_tokenizer(self.checkpoint)
        self.model = self.checkpoint.model

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """One answer per request: one pass for all.

        Returns:
            The mask with params `scores`, `boxes`, `phrases` (the text, for each instance), best
            first; `text`, `dtype`, and `batch` if less than the batch fitted into memory.
            no_detection with the same and `best_score`, of the best instance that did not count.
        """
        found = in_halves(self._segment, batch, self.name())
        for part, answer in found:
            if part < len(batch):
                answer.params["batch"] = part
        return [answer for _, answer in found]

    def _segment(
        self, batch: Sequence[SegmentRequest]
    ) -> list[tuple[int, Segmentation | Rejected]]:
        """Answers with the number of requests that were computed together."""
        images = images_of(batch)
        texts = [named(self.options.text, request.class_name) for request in batch]
        outputs = self._outputs(images, texts)
        best = (outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid()).amax(-1)
        if not best.isfinite().all() or not outputs.pred_masks.isfinite().all():
            raise FloatingPointError("SAM 3's answers are no numbers")
        found = self.images.post_process_instance_segmentation(
            outputs,
            threshold=self.options.threshold,
            mask_threshold=self.options.mask_threshold,
            target_sizes=[image.shape[:2] for image in images],
        )
        answers = []
        for each, text, score in zip(found, texts, best.tolist(), strict=True):
            answer = self._answer(each, text)
            if isinstance(answer, Rejected):
                answer.params["best_score"] = score
            answers.append((len(batch), answer))
        return answers

    def _outputs(self, images: Sequence[Image], texts: Sequence[str]) -> Any:
        """The model's answers, in float32."""
        pixels = self.images(list(images), return_tensors="pt")["pixel_values"]
        length = self.module.config.text_config.max_position_embeddings
        words = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        with arithmetic(self.device, self.computed_in):
            outputs = self.module(
                pixel_values=pixels.to(self.device),
                input_ids=words["input_ids"].to(self.device),
                attention_mask=words["attention_mask"].to(self.device),
            )
        for name in ("pred_logits", "presence_logits", "pred_boxes", "pred_masks"):
            outputs[name] = outputs[name].float()
        return outputs

    def _answer(self, found: dict[str, torch.Tensor], text: str) -> Segmentation | Rejected:
        """The instances of one image as an answer."""
        order = found["scores"].argsort(descending=True, stable=True)
        params: dict[str, Json] = {
            "scores": found["scores"][order].tolist(),
            "boxes": found["boxes"][order].tolist(),
            "phrases": [text] * len(order),
            "text": text,
            "dtype": str(self.computed_in).removeprefix("torch."),
        }
        if not len(order):
            return Rejected("no_detection", params)
        return Segmentation(np.asarray(found["masks"].any(0).cpu().numpy(), np.bool_), params)
