"""Tiny models with random weights, saved in the formats of the real libraries.

Each fixture is the path of a folder that `local:` loads, made once per test process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TINY_SIDE = 32
"""Pixels of an edge of the tiny models' images: a patch grid of 4 x 4."""

OPENAI = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def clip_config(**changes: Any) -> dict[str, Any]:
    """An open_clip configuration of a class-token CLIP: 4 x 4 patches, 16 dimensions."""
    model = {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": TINY_SIDE,
            "layers": 3,
            "width": 32,
            "head_width": 8,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    }
    return {
        "model_cfg": {**model, **changes},
        "preprocess_cfg": {**OPENAI, "interpolation": "bicubic", "resize_mode": "shortest"},
    }


def siglip_config() -> dict[str, Any]:
    """An open_clip configuration of a SigLIP: attention-pooled timm tower, 4 x 4 patches."""
    model = {
        "embed_dim": 32,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": TINY_SIDE,
            "timm_model_name": "vit_tiny_siglip_32",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 64,
            "vocab_size": 512,
            "hf_tokenizer_name": "a-tokenizer/of-the-folder",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 32,
            "heads": 4,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
            "act_kwargs": {"approximate": "tanh"},
        },
    }
    preprocess = {**HALF, "interpolation": "bicubic", "resize_mode": "squash"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def save_open_clip(folder: Path, config: dict[str, Any], seed: int = 0) -> Path:
    """Save a random model of that configuration as open_clip saves one for the Hub."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2)
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    model_cfg = json.loads(text)["model_cfg"]
    custom = model_cfg.pop("custom_text", False)
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(**model_cfg)
        # As built, the projections are so small that every text looks the same.
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.normal_(0, 0.2)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return folder


def word_tokenizer(length: int) -> Any:
    """A transformers tokenizer over a few hundred words: ids below 512, 1 ends and pads."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["a", "photo", "of", "the", "dog", "cat", "horse", "bird", "on", "small", "red", "blue"]
    vocabulary = {"<unk>": 0, "</s>": 1} | {word: 2 + at for at, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=length,
        padding_side="right",
    )


def vit_tiny_siglip_32(pretrained: bool = False, **changes: Any) -> Any:
    """A tower as SigLIP's: no class token, attention pooling, 4 x 4 patches of 8 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    assert not pretrained
    settings = {"img_size": TINY_SIDE, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
    kind = {"class_token": False, "global_pool": "map", "num_classes": 0}
    known = {"num_classes", "global_pool", "drop_path_rate", "patch_drop_rate"}
    passed = {name: value for name, value in changes.items() if name in known}
    return VisionTransformer(**{**settings, **kind, **passed})


@pytest.fixture(scope="session", autouse=True)
def _tiny_timm_tower() -> Iterator[None]:
    """timm knows the tiny tower while these tests run."""
    from timm.models import _registry

    _registry.register_model(vit_tiny_siglip_32)
    yield
    _registry._model_entrypoints.pop("vit_tiny_siglip_32")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip: class-token tower, QuickGELU, open_clip's own tokenizer."""
    return save_open_clip(tmp_path_factory.mktemp("models") / "tiny-clip", clip_config())


@pytest.fixture(scope="session")
def tiny_clip_gelu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as `tiny_clip`, with GELU."""
    folder = tmp_path_factory.mktemp("models") / "tiny-clip-gelu"
    return save_open_clip(folder, clip_config(quick_gelu=False))


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip: attention-pooled timm tower, bias, a transformers tokenizer in the folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny-siglip"
    save_open_clip(folder, siglip_config())
    word_tokenizer(64).save_pretrained(folder)
    return folder
