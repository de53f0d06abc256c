"""The toy models' two towers: one way to train them, one folder format each to load them from.

open_clip: a vision transformer with a class token, and a causal text transformer read at the end
of the text; the folder is loaded as `local-dir:FOLDER`. transformers: SiglipModel, whose vision
transformer has no class token but an attention pool; the folder is loaded with AutoModel.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covar_gen.toys.batches import EDGE
from covar_gen.toys.tokens import LENGTH, make_tokenizer, save_tokenizer, vocabulary

if TYPE_CHECKING:
    import torch

PATCH = 8
"""Edge of a patch in pixels: a grid of 8 x 8 patches."""
WIDTH, HEADS = 64, 4
"""Channels and attention heads of every layer of both towers, and channels of the embedding."""
VISION_LAYERS, TEXT_LAYERS = 4, 2
READABLE = 0o644
"""Mode of the weights' file, which safetensors would leave to its owner alone."""
MEAN = STD = (0.5, 0.5, 0.5)
"""Of the preprocessing: levels from 0 to 255 become -1 to 1."""


class Towers(ABC):
    """Two towers in training.

    Attributes:
        model: the library's own model, a torch.nn.Module.
    """

    model: Any

    def numbers(self, texts: Sequence[str]) -> torch.Tensor:
        """Token numbers of texts, int64 (N, LENGTH)."""
        import torch

        return torch.tensor([found.ids for found in make_tokenizer().encode_batch(list(texts))])

    @abstractmethod
    def look(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings, float32 (N, WIDTH) of length 1, and patch tokens (N, patches, WIDTH).

        Args:
            images: float32 (N, 3, EDGE, EDGE), -1 to 1.
        """

    @abstractmethod
    def read(self, numbers: torch.Tensor) -> torch.Tensor:
        """Embeddings of texts, float32 (N, WIDTH) of length 1, from int64 (N, LENGTH)."""

    @abstractmethod
    def loss(self, pictures: torch.Tensor, texts: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Contrastive loss; `true` is bool (N, N): which text is true of which picture."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write a folder that the library loads."""


class ClipTowers(Towers):
    """open_clip's CLIP with a class token, trained with the softmax loss."""

    def __init__(self) -> None:
        from open_clip.model import CLIP

        self.model = CLIP(**_clip_config())

    def look(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Towers.look`."""
        visual = self.model.visual
        visual.output_tokens = True
        pooled, tokens = visual(images)
        visual.output_tokens = False
        return _unit(pooled), tokens

    def read(self, numbers: torch.Tensor) -> torch.Tensor:
        """See `Towers.read`."""
        return _unit(self.model.encode_text(numbers))

    def loss(self, pictures: torch.Tensor, texts: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Softmax over texts and over pictures, shared evenly among those that are true."""
        scale: torch.Tensor = self.model.logit_scale.exp()
        logits = scale * pictures @ texts.T
        wanted = true.float()
        over_texts = wanted / wanted.sum(1, keepdim=True) * logits.log_softmax(1)
        over_pictures = wanted / wanted.sum(0, keepdim=True) * logits.log_softmax(0)
        return -(over_texts.sum() + over_pictures.sum()) / (2 * len(logits))

    def save(self, folder: Path) -> None:
        """Write open_clip_config.json, open_clip_model.safetensors and the tokenizer."""
        from safetensors.torch import save_file

        preprocessing = {
            "mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest",
        }  # fmt: skip
        config = {"model_cfg": _clip_config(), "preprocess_cfg": preprocessing}
        _write_json(folder / "open_clip_config.json", config)
        weights = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        file = folder / "open_clip_model.safetensors"
        save_file(weights, file, {"format": "pt"})
        file.chmod(READABLE)
        save_tokenizer(folder)


class SiglipTowers(Towers):
    """transformers' SiglipModel with an attention pool, trained with the sigmoid loss."""

    def __init__(self) -> None:
        import torch
        from transformers import SiglipConfig, SiglipModel

        tokens = vocabulary()
        layers = {
            "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": HEADS,
        }  # fmt: skip
        text = {
            **layers, "num_hidden_layers": TEXT_LAYERS, "vocab_size": len(tokens),
            "max_position_embeddings": LENGTH, "projection_size": WIDTH,
            "pad_token_id": 0, "bos_token_id": len(tokens) - 1, "eos_token_id": len(tokens) - 1,
        }  # fmt: skip
        vision = {
            **layers, "num_hidden_layers": VISION_LAYERS, "image_size": EDGE, "patch_size": PATCH,
        }  # fmt: skip
        self.model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        with torch.no_grad():
            # About one text in eight is true of a picture, hence the bias of -2 where the
            # paper's batches, with one in thousands, begin at -10.
            self.model.logit_scale.fill_(10.0).log_()
            self.model.logit_bias.fill_(-2.0)

    def look(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Towers.look`."""
        found = self.model.vision_model(pixel_values=images)
        return _unit(found.pooler_output), found.last_hidden_state

    def read(self, numbers: torch.Tensor) -> torch.Tensor:
        """See `Towers.read`."""
        return _unit(self.model.text_model(input_ids=numbers).pooler_output)

    def loss(self, pictures: torch.Tensor, texts: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Each pair judged by itself: Zhai et al. 2023, with several true texts per picture."""
        from torch.nn.functional import logsigmoid

        logits = self.model.logit_scale.exp() * pictures @ texts.T + self.model.logit_bias
        signs = true.float() * 2 - 1
        # Averaged over pictures and, that the strength is that of the softmax, an eighth of the
        # texts.
        return -logsigmoid(signs * logits).sum() / len(logits) / 8

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors, preprocessor_config.json and the tokenizer."""
        self.model.save_pretrained(folder)
        (folder / "model.safetensors").chmod(READABLE)
        preprocessing = {
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "SiglipProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"height": EDGE, "width": EDGE},
            "resample": 3,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": MEAN,
            "image_std": STD,
        }
        _write_json(folder / "preprocessor_config.json", preprocessing)
        save_tokenizer(folder)


def _clip_config() -> dict[str, Any]:
    return {
        "embed_dim": WIDTH,
        "vision_cfg": {
            "image_size": EDGE,
            "layers": VISION_LAYERS,
            "width": WIDTH,
            "head_width": WIDTH // HEADS,
            "patch_size": PATCH,
        },
        "text_cfg": {
            "context_length": LENGTH,
            "vocab_size": len(vocabulary()),
            # Any name: beside the configuration in a folder, the folder's own files are read.
            "hf_tokenizer_name": "toy",
            "width": WIDTH,
            "heads": HEADS,
            "layers": TEXT_LAYERS,
        },
    }


def _unit(features: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import normalize

    return normalize(features, dim=-1)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
