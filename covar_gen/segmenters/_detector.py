"""Boxes for a text, by Grounding DINO or MM Grounding DINO.

A caption is one phrase as long as it has no full stop and no question mark inside: these, and the
tokens at its ends, are where Grounding DINO cuts captions into phrases (GroundingDINO,
models/GroundingDINO/groundingdino.py, `specical_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from covar_gen.core.arrays import Image
from covar_gen.core.checkpoints import Checkpoint
from covar_gen.neural.loading import load_images, load_model
from covar_gen.neural.running import arithmetic
from covar_gen.segmenters._loading import load_tokenizer, named

if TYPE_CHECKING:
    import torch

MODELS = {
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}
"""Class of transformers for each kind of checkpoint."""


@dataclass(frozen=True)
class Found:
    """What was detected in one image, best first.

    Attributes:
        boxes: float32 (N, 4), left, top, right, bottom in pixels; on the model's device.
        scores: of each, 0 to 1: of its best word.
        phrases: the words of each, as the tokenizer writes them.
        best: score of the best query, whether it counts or not.
    """

    boxes: torch.Tensor
    scores: list[float]
    phrases: list[str]
    best: float


def caption(text: str, class_name: str) -> str:
    """The text that the detector reads, as the authors of Grounding DINO write it.

    Lower case, no space around it, a full stop at its end. Full stops and question marks within
    the class's name would cut it in two phrases ("st" and "bernard"): they are left out.

    Args:
        text: with `{class_name}` in it.
        class_name: in words.
    """
    found = named(text, class_name.replace(".", " ").replace("?", " ")).lower().strip()
    return found if found.endswith(".") else f"{found}."


class Detector:
    """A detector on its device.

    Attributes:
        model: of transformers.
        images: its image processor.
        tokenizer: of its texts.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.model: Any = load_model(checkpoint, MODELS[checkpoint.kind], device)
        self.images = load_images(checkpoint)
        self.tokenizer = load_tokenizer(checkpoint)
        self.device = device
        self.dtype = dtype

    def detect(
        self, images: Sequence[Image], captions: Sequence[str], box: float, text: float
    ) -> list[Found]:
        """What is found in each image: one pass for all images that the model sees at one size.

        Images of different sizes are never padded to a common one. The model knows what is
        padding, its backbone does not: windows that reach over an image's edge would see another
        colour there, and a box would depend on which images happen to stand beside it.

        Args:
            images: uint8 (H, W, 3), RGB.
            captions: one for each.
            box: a query counts if the score of its best word is above this.
            text: words whose score is above this are its phrase.

        Raises:
            FloatingPointError: scores are no numbers: the arithmetic has overflowed.
        """
        import torch

        groups: dict[tuple[int, ...], list[int]] = {}
        seen = []
        for place, image in enumerate(images):
            seen.append(self.images(image, return_tensors="pt"))
            groups.setdefault(tuple(seen[-1]["pixel_values"].shape), []).append(place)
        found: dict[int, Found] = {}
        for places in groups.values():
            words = self._words([captions[place] for place in places])
            pixels = {
                name: torch.cat([seen[place][name] for place in places]).to(self.device)
                for name in ("pixel_values", "pixel_mask")
            }
            with arithmetic(self.device, self.dtype):
                outputs = self.model(**pixels, **words)
            scores, boxes = outputs.logits.float().sigmoid(), outputs.pred_boxes.float()
            if not scores.isfinite().all():
                raise FloatingPointError("the detector's scores are no numbers")
            for row, place in enumerate(places):
                height, width = images[place].shape[:2]
                size = boxes.new_tensor([width, height, width, height])
                found[place] = self._chosen(
                    scores[row], _corners(boxes[row]) * size, words["input_ids"][row], box, text
                )
        return [found[place] for place in range(len(images))]

    def _words(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        found = self.tokenizer(
            list(captions),
            padding=True,
            truncation=True,
            max_length=self.model.config.max_text_len,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        return {name: value.to(self.device) for name, value in found.items()}

    def _chosen(
        self, scores: torch.Tensor, boxes: torch.Tensor, ids: torch.Tensor, box: float, text: float
    ) -> Found:
        """The queries that count: scores (Q, L) of L words, boxes (Q, 4), ids (L',) of words."""
        best = scores.max(-1).values
        order = best.argsort(descending=True, stable=True)
        order = order[best[order] > box]
        phrases = []
        for row in (scores[order, : len(ids)] > text).cpu():
            # As the authors do: neither [CLS] nor the last place of the longest text is a word.
            row[0] = False
            row[self.model.config.max_text_len - 1 :] = False
            words = self.tokenizer.decode(ids.cpu()[row], skip_special_tokens=True)
            phrases.append(words.replace(".", "").strip())
        return Found(boxes[order], best[order].tolist(), phrases, float(best.max()))


def _corners(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes (N, 4) given by centre, width and height as left, top, right, bottom."""
    import torch

    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)
