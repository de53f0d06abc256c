"""Outlines what a text names with SAM 3: from the text straight to outlines, in one model.

SAM 3 finds all instances of a concept given by a short noun phrase ("Segment Anything with
Concepts", 2025), so the text is the class's name alone; the outlines of all instances are united.
Its weights are published behind terms that have to be accepted on the Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Json, Rejected
from covar_gen.core.checkpoints import Checkpoint, check_name, find
from covar_gen.core.plugins import PluginOptions, WeightsName
from covar_gen.neural.loading import load_images, load_model
from covar_gen.neural.running import Dtype, arithmetic, in_halves, own_device, resolved
from covar_gen.segmenters._loading import (
    Sha256,
    Text,
    Threshold,
    images_of,
    load_tokenizer,
    named,
    together,
)
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

if TYPE_CHECKING:
    import torch

KINDS = ("sam3", "sam3_video")
"""Kinds of checkpoints that hold a SAM 3: the published one is of the kind sam3_video."""

AT_ONCE = 64
"""Instances whose masks are brought to the photograph's size together."""

INSTANCES = ("pred_logits", "pred_boxes", "pred_masks")
"""The model's answers that are told instance by instance."""


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
        scores = outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid()
        if not scores.isfinite().all() or not outputs.pred_masks.isfinite().all():
            raise FloatingPointError("SAM 3's answers are no numbers")
        answers = []
        for place, (image, text) in enumerate(zip(images, texts, strict=True)):
            order = scores[place].argsort(descending=True, stable=True)
            chosen = order[scores[place][order] > self.options.threshold]
            answer = self._answer(outputs, place, chosen, image.shape[:2], text)
            if isinstance(answer, Rejected):
                answer.params["best_score"] = float(scores[place].max())
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
        for name in ("presence_logits", *INSTANCES):
            outputs[name] = outputs[name].float()
        return outputs

    def _answer(
        self, outputs: Any, place: int, chosen: torch.Tensor, size: tuple[int, ...], text: str
    ) -> Segmentation | Rejected:
        """The chosen instances of one image, best first, as an answer.

        A few at a time: the library keeps every mask at the photograph's own size.
        """
        import torch

        scores: list[float] = []
        boxes: list[list[float]] = []
        whole = torch.zeros(tuple(size), dtype=torch.bool, device=self.device)
        step = together(size, AT_ONCE)
        for start in range(0, len(chosen), step):
            some = chosen[start : start + step]
            part = SimpleNamespace(
                presence_logits=outputs.presence_logits[place, None],
                **{name: outputs[name][place, some][None] for name in INSTANCES},
            )
            found = self.images.post_process_instance_segmentation(
                part,
                threshold=self.options.threshold,
                mask_threshold=self.options.mask_threshold,
                target_sizes=[tuple(size)],
            )[0]
            scores += found["scores"].tolist()
            boxes += found["boxes"].tolist()
            whole |= found["masks"].bool().any(0)
        params: dict[str, Json] = {
            "scores": list(scores),
            "boxes": [list(box) for box in boxes],
            "phrases": [text] * len(scores),
            "text": text,
            "dtype": str(self.computed_in).removeprefix("torch."),
        }
        if not scores:
            return Rejected("no_detection", params)
        return Segmentation(np.asarray(whole.cpu().numpy(), np.bool_), params)
