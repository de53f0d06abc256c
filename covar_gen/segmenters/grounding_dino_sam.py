"""Outlines what a text names, by the original GroundedSAM: groundingdino-py and segment-anything.

One photograph at a time, as in the authors' demonstration (grounded_sam_demo.py of IDEA-Research's
Grounded-Segment-Anything): Grounding DINO finds boxes for a text, SAM outlines what is in each
box, and the outlines are united. Checkpoints are the authors' .pth files. The segmenter
`grounded_sam` does the same with the classes of transformers, in batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from covar_gen.core.arrays import Image, Json, Rejected, check_image
from covar_gen.core.errors import WeightsError
from covar_gen.core.hub import is_offline
from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.neural.running import arithmetic, in_halves, own_device
from covar_gen.segmenters._detector import Found, caption
from covar_gen.segmenters._loading import Sha256, Text, Threshold
from covar_gen.segmenters._original_models import grounding_dino, quieten, sam, text_parts
from covar_gen.segmenters._original_weights import OriginalFile, fetched
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

if TYPE_CHECKING:
    import torch

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue over ImageNet, in [0, 1]: what Grounding DINO's images are reduced by."""

TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
"""What the text encoder needs beside the detector's checkpoint, which holds its weights."""


class GroundingDinoSam(Segmenter):
    """Grounding DINO's boxes for a text, outlined by SAM; both from their authors' packages."""

    class Options(PluginOptions):
        """What is looked for, and by which weights; all is computed in float32.

        Attributes:
            text: what is looked for; `{class_name}` stands for the class. It is put into lower
                case and closed with a full stop.
            box_threshold: a box counts if the score of its best word is above this, 0 to 1.
            text_threshold: words whose score is above this are a box's phrase, 0 to 1.
            short_side: the detector sees the photograph with this shortest side, in pixels ...
            long_side: ... unless its longest side would be above this.
            detector: checkpoint of Grounding DINO, a .pth, relative to the recipe; left out: from
                the Hub.
            detector_repo: the repository that has it, `owner/name` or `owner/name@revision`.
            detector_file: its path there: groundingdino_swint_ogc.pth, or Swin-B's
                groundingdino_swinb_cogcoor.pth.
            detector_sha256: what it must hash to; left out: a file of the Hub that has the name
                of one that the authors published must be that one.
            text_encoder: folder with the config.json and the tokenizer of the detector's BERT,
                relative to the recipe; left out: from the Hub.
            text_encoder_repo: the repository that has them, as detector_repo.
            sam: checkpoint of SAM, a .pth of any size, relative to the recipe; left out: from
                the Hub.
            sam_repo: the repository that has it, as detector_repo.
            sam_file: its path there.
            sam_sha256: as detector_sha256.
        """

        text: Text = "{class_name}, foreground objects"
        box_threshold: Threshold = 0.3
        text_threshold: Threshold = 0.25
        short_side: int = Field(default=800, ge=32, le=4096)
        long_side: int = Field(default=1333, ge=32, le=4096)
        detector: RecipePath | None = None
        detector_repo: str = "ShilongLiu/GroundingDINO"
        detector_file: str = "groundingdino_swint_ogc.pth"
        detector_sha256: Sha256 | None = None
        text_encoder: RecipePath | None = None
        text_encoder_repo: str = "google-bert/bert-base-uncased"
        sam: RecipePath | None = None
        sam_repo: str = "ybelkada/segment-anything"
        sam_file: str = "checkpoints/sam_vit_h_4b8939.pth"
        sam_sha256: Sha256 | None = None

    options: Options
    requires = ("torch", "torchvision", "transformers", "timm", "groundingdino", "segment_anything")
    extra = "groundingdino"
    _detector: Any = None
    _predictor: Any = None

    @cached_property
    def files(self) -> tuple[OriginalFile, OriginalFile]:
        """The detector's checkpoint and SAM's; nothing is read or fetched yet."""
        given, name = self.options, self.name()
        detector = OriginalFile(
            f"{name}.detector",
            given.detector,
            given.detector_repo,
            given.detector_file,
            given.detector_sha256,
        )
        sam = OriginalFile(
            f"{name}.sam", given.sam, given.sam_repo, given.sam_file, given.sam_sha256
        )
        return detector, sam

    def named_weights(self) -> dict[str, str]:
        """The repositories of what is not a file or folder here."""
        given = self.options
        asked = {
            "detector_repo": (given.detector, given.detector_repo),
            "text_encoder_repo": (given.text_encoder, given.text_encoder_repo),
            "sam_repo": (given.sam, given.sam_repo),
        }
        return {option: repo for option, (path, repo) in asked.items() if path is None}

    def check(self) -> None:
        """Look whether the files are there, as far as that needs no network.

        Raises:
            WeightsError: one is missing, or not in the cache where the Hub must not be asked.
        """
        for file in self.files:
            if file.path is not None or is_offline():
                _ = file.found
        if self.options.text_encoder is not None or is_offline():
            self._text_folder()

    def identity(self) -> dict[str, Json]:
        """Name, version, what is looked for, and hashes of what it is looked for by.

        Raises:
            WeightsError: a file whose hash is not pinned is not there.
        """
        found = super().identity()
        kept = {"text", "box_threshold", "text_threshold", "short_side", "long_side"}
        options = self.options.model_dump(mode="json", include=kept)
        # The same weights are the same, wherever they lie.
        detector, sam = self.files
        options.update(
            detector=detector.content, sam=sam.content, text_encoder=self._text_content()
        )
        return {**found, "options": options}

    def fetch(self) -> None:
        """Have the files on this machine; pinned ones are identified without being there.

        Raises:
            WeightsError: one cannot be had.
        """
        for file in self.files:
            _ = file.found
        self._text_folder()

    def setup(self) -> None:
        """Load both models onto this process's device.

        Raises:
            WeightsError: a checkpoint cannot be had, is another model's, or not the one pinned.
        """
        from segment_anything import SamPredictor

        quieten()
        detector, segmenter = self.files
        tokenizer, config = text_parts(self._text_folder(), f"{self.name()}.text_encoder")
        device = own_device()
        model = grounding_dino(detector.read(), tokenizer, config, detector.where)
        self._predictor = SamPredictor(sam(segmenter.read(), segmenter.where).to(device))
        self._detector = model.to(device)
        self.model = " ".join(f"{file.found.name}@{file.content[:12]}" for file in self.files)

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """One answer per request, each found on its own.

        Returns:
            The mask with params `scores`, `boxes`, `phrases`, best first; `outline_scores` (the
            IoU with the object that SAM expects of each outline, 0 to 1) and `text`. no_detection
            with the same and `best_score`, of the best box that did not count.

        Raises:
            DeviceMemoryError: the device's memory does not suffice for an image.
        """
        quieten()
        return [in_halves(self._outline, [request], self.name())[0] for request in batch]

    def _outline(self, requests: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        import torch

        (request,) = requests
        image = check_image(request.image, f"image of {request.key}")
        text = caption(self.options.text, request.class_name)
        with arithmetic(self._predictor.device, torch.float32):
            found = self.detect(image, text)
            params: dict[str, Json] = {
                "scores": list(found.scores),
                "boxes": found.boxes.tolist(),
                "phrases": list(found.phrases),
                "text": text,
            }
            if not found.scores:
                return [Rejected("no_detection", {**params, "best_score": found.best})]
            self._predictor.set_image(image)
            prompts = self._predictor.transform.apply_boxes_torch(found.boxes, image.shape[:2])
            masks, expected, _ = self._predictor.predict_torch(
                point_coords=None, point_labels=None, boxes=prompts, multimask_output=False
            )
        params["outline_scores"] = expected[:, 0].tolist()
        return [Segmentation(masks.any(0)[0].cpu().numpy(), params)]

    def detect(self, image: Image, text: str) -> Found:
        """Boxes for a text in one photograph, best first.

        Args:
            image: uint8 (H, W, 3), RGB.
            text: what is looked for, in lower case, with a full stop at its end.
        """
        import torch
        from groundingdino.util.utils import get_phrases_from_posmap

        device = self._predictor.device
        answer = self._detector(self.seen(image).to(device)[None], captions=[text])
        chances = answer["pred_logits"][0].sigmoid()
        scores = chances.max(1).values
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] > self.options.box_threshold]
        centre, size = answer["pred_boxes"][0][order].split(2, dim=1)
        height, width = image.shape[:2]
        boxes = torch.cat([centre - size / 2, centre + size / 2], 1)
        tokenizer = self._detector.tokenizer
        tokens = tokenizer(text)
        # What separates phrases is no part of one.
        words = [word not in self._detector.specical_tokens for word in tokens["input_ids"]]
        counts = chances[order, : len(words)] > self.options.text_threshold
        counts &= torch.tensor(words, device=device)
        phrases = [get_phrases_from_posmap(row, tokens, tokenizer) for row in counts]
        return Found(
            boxes * boxes.new_tensor([width, height] * 2),
            scores[order].tolist(),
            phrases,
            float(scores.max()),
        )

    def seen(self, image: Image) -> torch.Tensor:
        """The photograph as the detector sees it: resized by Pillow, float32 (3, h, w)."""
        from groundingdino.datasets.transforms import resize
        from PIL import Image as Pillow
        from torchvision.transforms import functional

        options = self.options
        small, _ = resize(Pillow.fromarray(image), None, options.short_side, options.long_side)
        found: torch.Tensor = functional.normalize(functional.to_tensor(small), MEAN, SPREAD)
        return found

    def _text_folder(self) -> Path:
        given, where = self.options, f"{self.name()}.text_encoder"
        if given.text_encoder is None:
            instead = "or copy its folder here and name the folder"
            return fetched(given.text_encoder_repo, TEXT_FILES, where, instead)
        folder = Path(given.text_encoder).expanduser()
        if not (folder / "config.json").is_file():
            what = f"there is no config.json in {folder}"
            mend = "Name a folder with the config.json and the tokenizer of a BERT"
            raise WeightsError(what, where=where, mend=mend)
        return folder

    def _text_content(self) -> str:
        """SHA-256 over the files of a folder; the name of a repository."""
        if self.options.text_encoder is None:
            return self.options.text_encoder_repo
        whole = hashlib.sha256()
        folder = self._text_folder()
        for path in (folder / name for name in TEXT_FILES):
            if path.is_file():
                whole.update(
                    f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n".encode()
                )
        return whole.hexdigest()
