"""Outlines what a text names, by the original GroundedSAM: groundingdino-py and segment-anything.

One photograph at a time, as in the authors' demonstration (grounded_sam_demo.py of IDEA-Research's
Grounded-Segment-Anything): Grounding DINO finds boxes for a text, SAM outlines what is in each
box, and the outlines are united. Checkpoints are the authors' .pth files. The segmenter
`grounded_sam` does the same with the classes of transformers, in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from covar_gen.core.arrays import Image, Json, Rejected, check_image
from covar_gen.core.errors import PluginError, WeightsError
from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.core.ranks import Ranks
from covar_gen.segmenters._original_models import grounding_dino, quieten, sam, text_parts
from covar_gen.segmenters._original_weights import Checkpoint, fetched
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

if TYPE_CHECKING:
    import torch

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue over ImageNet, in [0, 1]: what Grounding DINO's images are reduced by."""

TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
"""What the text encoder needs beside the detector's checkpoint, which holds its weights."""

Threshold = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]


class GroundingDinoSam(Segmenter):
    """Grounding DINO's boxes for a text, outlined by SAM; both from their authors' packages."""

    class Options(PluginOptions):
        """What is looked for, which weights, and how it computes.

        Attributes:
            text: what is looked for; {} stands for the class name. Lower case, a full stop at
                the end are added, as the authors do.
            box_threshold: a box counts if the score of its best word is above this, 0 to 1.
            text_threshold: words of the text whose score is above this are a box's phrase, 0 to 1.
            short_side: the detector sees the photograph with this shortest side, in pixels ...
            long_side: ... unless its longest side would be above this.
            detector: checkpoint of Grounding DINO, a .pth, relative to the recipe; left out: from
                the Hub.
            detector_repo: repository on the Hub that has it.
            detector_file: its path there: groundingdino_swint_ogc.pth, or Swin-B's
                groundingdino_swinb_cogcoor.pth.
            detector_revision: branch, tag or commit; left out: the main branch.
            detector_sha256: what it must hash to; left out: for the files that the authors
                published, and that come from the Hub, what they hash to.
            text_encoder: folder with the config.json and the tokenizer of the detector's BERT,
                relative to the recipe; left out: from the Hub.
            text_encoder_repo: repository on the Hub that has them.
            text_encoder_revision: branch, tag or commit; left out: the main branch.
            sam: checkpoint of SAM, a .pth of any size, relative to the recipe; left out: from
                the Hub.
            sam_repo: repository on the Hub that has it.
            sam_file: its path there.
            sam_revision: branch, tag or commit; left out: the main branch.
            sam_sha256: as detector_sha256.
            device: a torch device; left out: the process's GPU where there is one.
        """

        text: str = "{}, foreground objects"
        box_threshold: Threshold = 0.3
        text_threshold: Threshold = 0.25
        short_side: int = Field(default=800, ge=32, le=4096)
        long_side: int = Field(default=1333, ge=32, le=4096)
        detector: RecipePath | None = None
        detector_repo: str = "ShilongLiu/GroundingDINO"
        detector_file: str = "groundingdino_swint_ogc.pth"
        detector_revision: str | None = None
        detector_sha256: Sha256 | None = None
        text_encoder: RecipePath | None = None
        text_encoder_repo: str = "google-bert/bert-base-uncased"
        text_encoder_revision: str | None = None
        sam: RecipePath | None = None
        sam_repo: str = "ybelkada/segment-anything"
        sam_file: str = "checkpoints/sam_vit_h_4b8939.pth"
        sam_revision: str | None = None
        sam_sha256: Sha256 | None = None
        device: str | None = None

        @field_validator("text")
        @classmethod
        def _names_the_class(cls, text: str) -> str:
            if text.replace("{}", "").count("{") or not text.strip():
                msg = "only {} has a meaning in the text, and it must not be empty"
                raise ValueError(msg)
            return text

    options: Options
    requires = ("torch", "torchvision", "transformers", "timm", "groundingdino", "segment_anything")
    extra = "groundingdino"
    _detector: Any = None
    _predictor: Any = None

    @cached_property
    def detector(self) -> Checkpoint:
        """The detector's checkpoint."""
        given = self.options
        return Checkpoint(
            f"{self.name()}.detector",
            given.detector,
            given.detector_repo,
            given.detector_file,
            given.detector_revision,
            given.detector_sha256,
        )

    @cached_property
    def sam(self) -> Checkpoint:
        """SAM's checkpoint."""
        given = self.options
        return Checkpoint(
            f"{self.name()}.sam",
            given.sam,
            given.sam_repo,
            given.sam_file,
            given.sam_revision,
            given.sam_sha256,
        )

    def check(self) -> None:
        """Look whether the files on this machine are there; nothing is fetched.

        Raises:
            WeightsError: one is missing.
        """
        for checkpoint in (self.detector, self.sam):
            if checkpoint.path is not None:
                _ = checkpoint.found
        if self.options.text_encoder is not None:
            self._text_folder()

    def identity(self) -> dict[str, Json]:
        """Name, version, what is looked for, and the SHA-256 of both checkpoints.

        Raises:
            WeightsError: one whose hash is not pinned is not there.
        """
        given = self.options
        looked_for = {"text", "box_threshold", "text_threshold", "short_side", "long_side"}
        encoder = {"text_encoder_repo", "text_encoder_revision"}
        kept = looked_for if given.text_encoder else looked_for | encoder
        return {
            "plugin": self.name(),
            "version": self.version,
            "options": given.model_dump(mode="json", include=kept),
            "detector": self.detector.content,
            "sam": self.sam.content,
        }

    def setup(self) -> None:
        """Load both models.

        Raises:
            WeightsError: a checkpoint cannot be had, is another model's, or not the one pinned.
            PluginError: the device cannot be used.
        """
        from segment_anything import SamPredictor

        if self._detector is not None:
            return
        quieten()
        place = self._place()
        where = f"{self.name()}.text_encoder"
        tokenizer, config = text_parts(self._text_folder(), where)
        weights = self.detector.read()
        detector = grounding_dino(weights, tokenizer, config, self.detector.where)
        self._predictor = SamPredictor(sam(self.sam.read(), self.sam.where).to(place))
        self._detector = detector.to(place).requires_grad_(requires_grad=False)
        named = (self.detector, self.sam)
        self.model = " + ".join(f"{part.found.name}@{part.content[:12]}" for part in named)

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """One answer per request, each found on its own.

        Returns:
            The united mask with params `scores` (of each box's best word, 0 to 1), `boxes` (left,
            top, right, bottom in pixels) and `phrases`, strongest box first; or no_detection.
        """
        self.setup()
        quieten()
        return [self._outline(request) for request in batch]

    def _outline(self, request: SegmentRequest) -> Segmentation | Rejected:
        import torch

        image = check_image(request.image, f"image of {request.key}")
        with torch.inference_mode():
            scores, boxes, phrases = self.detect(
                image, self.options.text.replace("{}", request.class_name)
            )
            params: dict[str, Json] = {
                "scores": scores.tolist(),
                "boxes": boxes.tolist(),
                "phrases": list(phrases),
            }
            if not len(boxes):
                return Rejected("no_detection", params)
            self._predictor.set_image(image)
            prompts = self._predictor.transform.apply_boxes_torch(boxes, image.shape[:2])
            masks, _, _ = self._predictor.predict_torch(
                point_coords=None,
                point_labels=None,
                boxes=prompts.to(self._predictor.device),
                multimask_output=False,
            )
        return Segmentation(masks.any(0)[0].cpu().numpy(), params)

    def detect(self, image: Image, text: str) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """Boxes for a text in one photograph, strongest first.

        Args:
            image: uint8 (H, W, 3), RGB.
            text: what is looked for.

        Returns:
            Scores in [0, 1], float32 (N,); boxes as left, top, right, bottom in pixels, float32
            (N, 4); the words of the text that each box was found by. All on the CPU.
        """
        import torch
        from groundingdino.util.utils import get_phrases_from_posmap

        words = caption(text)
        seen = self._seen(image).to(self._predictor.device)
        found = self._detector(seen[None], captions=[words])
        chances = found["pred_logits"][0].cpu().sigmoid()
        scores = chances.max(1).values
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] > self.options.box_threshold]
        centre, size = found["pred_boxes"][0].cpu()[order].split(2, dim=1)
        height, width = image.shape[:2]
        boxes = torch.cat([centre - size / 2, centre + size / 2], 1)
        tokenizer = self._detector.tokenizer
        tokens = tokenizer(words)
        phrases = [
            get_phrases_from_posmap(row > self.options.text_threshold, tokens, tokenizer)
            for row in chances[order]
        ]
        return scores[order], boxes * torch.tensor([width, height] * 2), phrases

    def _seen(self, image: Image) -> torch.Tensor:
        """The photograph as the detector sees it: resized by Pillow, float32 (3, h, w)."""
        from groundingdino.datasets.transforms import resize
        from PIL import Image as Pillow
        from torchvision.transforms import functional

        options = self.options
        small, _ = resize(Pillow.fromarray(image), None, options.short_side, options.long_side)
        seen: torch.Tensor = functional.normalize(functional.to_tensor(small), MEAN, SPREAD)
        return seen

    def _place(self) -> torch.device:
        import torch

        given = self.options.device
        if given is None and not torch.cuda.is_available():
            return torch.device("cpu")
        if given is None:
            # Processes that share a machine share its GPUs.
            given = f"cuda:{Ranks.from_environment().local % torch.cuda.device_count()}"
        try:
            return torch.zeros(0, device=given).device
        except (RuntimeError, AssertionError) as error:
            what = f"the device {given!r} cannot be used: {str(error).splitlines()[0]}"
            mend = "Write cpu, cuda or cuda:0, or leave the option out"
            raise PluginError(what, where=f"{self.name()}.device", mend=mend) from error

    def _text_folder(self) -> Path:
        given, where = self.options, f"{self.name()}.text_encoder"
        if given.text_encoder is None:
            return fetched(given.text_encoder_repo, TEXT_FILES, given.text_encoder_revision, where)
        folder = Path(given.text_encoder).expanduser()
        if not (folder / "config.json").is_file():
            what = f"there is no config.json in {folder}"
            mend = "Name a folder with the config.json and the tokenizer of a BERT"
            raise WeightsError(what, where=where, mend=mend)
        return folder


def caption(text: str) -> str:
    """A text as Grounding DINO was trained on it: lower case, without space around, a full stop."""
    words = text.lower().strip()
    return words if words.endswith(".") else f"{words}."
