"""Outlines what a text names: Grounding DINO finds boxes, SAM outlines what lies in them.

GroundedSAM as the paper uses it, with the classes of transformers. Text, thresholds and steps are
those of the authors' demonstration (grounded_sam_demo.py of Grounded-Segment-Anything): boxes whose
score is above 0.3, one outline for each, all outlines united. The default weights are the
demonstration's too, Swin-T and ViT-H: the paper names none. Better boxes come from
`IDEA-Research/grounding-dino-base` or an MM Grounding DINO, sharper outlines from a SAM 2; which
kind a checkpoint is of is read from its configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pydantic import Field

from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.checkpoints import Checkpoint, check_name, find
from covar_gen.core.plugins import PluginOptions, WeightsName
from covar_gen.neural.running import Dtype, in_halves, own_device, resolved
from covar_gen.segmenters import _detector, _sam
from covar_gen.segmenters._detector import Detector, Found, caption
from covar_gen.segmenters._loading import Sha256, Text, Threshold, images_of
from covar_gen.segmenters._sam import Outliner
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest


class GroundedSam(Segmenter):
    """Grounding DINO's boxes for a text, outlined by SAM."""

    class Options(PluginOptions):
        """What is looked for, by which weights, and how it is computed.

        Attributes:
            text: what is looked for; `{class_name}` stands for the class. It is put into lower
                case and closed with a full stop. Full stops separate phrases:
                `{class_name}. foreground object.` also outlines what is merely in the foreground.
            box_threshold: a box counts if the score of its best word is above this, 0 to 1.
            text_threshold: words whose score is above this are a box's phrase, 0 to 1.
            detector: a Grounding DINO or MM Grounding DINO: `owner/name` or
                `owner/name@revision` of the Hugging Face Hub, or a folder relative to the recipe.
            detector_sha256: SHA-256 of its model.safetensors; other weights are refused. Left
                out: any.
            sam: a SAM or SAM 2, named in the same way.
            sam_sha256: SHA-256 of its model.safetensors.
            batch: images computed together. A GPU that is too small for them takes halves.
            dtype: float32, bfloat16 or float16; auto: bfloat16 on a GPU that has it, else float32.
        """

        text: Text = "{class_name}, foreground objects"
        box_threshold: Threshold = 0.3
        text_threshold: Threshold = 0.25
        detector: WeightsName = "IDEA-Research/grounding-dino-tiny"
        detector_sha256: Sha256 | None = None
        sam: WeightsName = "facebook/sam-vit-huge"
        sam_sha256: Sha256 | None = None
        batch: int = Field(default=8, ge=1, le=1024)
        dtype: Dtype = "auto"

    options: Options
    requires = ("torch", "torchvision", "transformers", "safetensors")
    extra = "segment"

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        """The detector's files and SAM's, fetched if need be.

        Raises:
            WeightsError: they cannot be had, or are not what they should be.
        """
        given = self.options
        detector = find(given.detector, _detector.MODELS, "grounded_sam.detector", texts=True)
        sam = find(given.sam, _sam.MODELS, "grounded_sam.sam")
        detector.check_pinned(given.detector_sha256)
        sam.check_pinned(given.sam_sha256)
        return detector, sam

    def check(self) -> None:
        """Look at both checkpoints, as far as that needs no network.

        Raises:
            WeightsError: one that is not there or is of another kind.
        """
        given = self.options
        check_name(given.detector, _detector.MODELS, "grounded_sam.detector", texts=True)
        check_name(given.sam, _sam.MODELS, "grounded_sam.sam")

    def identity(self) -> dict[str, Json]:
        """Name, version and options; for each checkpoint, hashes of its content.

        Raises:
            WeightsError: the checkpoints cannot be had.
        """
        detector, sam = self.checkpoints
        found = super().identity()
        options = self.options.model_dump(mode="json", exclude={"detector_sha256", "sam_sha256"})
        # The same weights are the same, wherever they lie.
        options.update(detector=detector.identity(), sam=sam.identity())
        return {**found, "options": options}

    def setup(self) -> None:
        """Load both models onto this process's device.

        Raises:
            WeightsError: the checkpoints cannot be had or loaded.
        """
        detector, sam = self.checkpoints
        device = own_device()
        dtype = resolved(self.options.dtype, device)
        self.computed_in = str(dtype).removeprefix("torch.")
        self.detector = Detector(detector, device, dtype)
        self.outliner = Outliner(sam, device, dtype)
        self.model = f"{detector.model} {sam.model}"

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """One answer per request: one pass of the detector and one of SAM for all of a size.

        Returns:
            The mask with params `scores`, `boxes`, `phrases`, best first; `outline_scores` (the
            IoU with the object that SAM expects of each outline, 0 to 1), `text`, `dtype`, and
            `batch` if less than the batch fitted into memory. no_detection with the same and
            `best_score`, of the best box that did not count.
        """
        size = len(batch)
        found = in_halves(self._segment, batch, self.name())
        for part, answer in found:
            if part < size:
                answer.params["batch"] = part
        return [answer for _, answer in found]

    def _segment(
        self, batch: Sequence[SegmentRequest]
    ) -> list[tuple[int, Segmentation | Rejected]]:
        """Answers with the number of requests that were computed together."""
        images = images_of(batch)
        texts = [caption(self.options.text, request.class_name) for request in batch]
        given = self.options
        found = self.detector.detect(images, texts, given.box_threshold, given.text_threshold)
        chosen = [place for place, each in enumerate(found) if each.scores]
        outlines = self.outliner.outline(
            [images[place] for place in chosen], [found[place].boxes for place in chosen]
        )
        masks = dict(zip(chosen, outlines, strict=True))
        answers: list[tuple[int, Segmentation | Rejected]] = []
        for place, (each, text) in enumerate(zip(found, texts, strict=True)):
            params = self._params(each, text)
            if place in masks:
                mask, expected = masks[place]
                params["outline_scores"] = list(expected)
                answers.append((len(batch), Segmentation(mask, params)))
            else:
                params["best_score"] = each.best
                answers.append((len(batch), Rejected("no_detection", params)))
        return answers

    def _params(self, found: Found, text: str) -> dict[str, Json]:
        return {
            "scores": list(found.scores),
            "boxes": found.boxes.tolist(),
            "phrases": list(found.phrases),
            "text": text,
            "dtype": self.computed_in,
        }
