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


def transformers_clip(state: dict[str, Any]) -> Any:
    """transformers' CLIPModel with the weights of `tiny_clip`."""
    from transformers import CLIPConfig, CLIPModel

    ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    text = {"hidden_size": 16, "intermediate_size": 64, "num_attention_heads": 2, **ends}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config={**text, "num_hidden_layers": 2},
        vision_config={**vision, "num_hidden_layers": 3, "image_size": TINY_SIDE, "patch_size": 8},
        projection_dim=16,
    )
    found = {
        "logit_scale": state["logit_scale"],
        "text_projection.weight": state["text_projection"].T,
        "visual_projection.weight": state["visual.proj"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        **_both(state, "ln_final", "text_model.final_layer_norm"),
        **_both(state, "visual.ln_pre", "vision_model.pre_layrnorm"),
        **_both(state, "visual.ln_post", "vision_model.post_layernorm"),
        **_blocks(state, "transformer.resblocks", "text_model", 2),
        **_blocks(state, "visual.transformer.resblocks", "vision_model", 3),
    }
    return _filled(CLIPModel(config), found)


def transformers_siglip(state: dict[str, Any]) -> Any:
    """transformers' SiglipModel with the weights of `tiny_siglip`."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    size = {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4}
    ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    text = {"vocab_size": 512, "hidden_act": "gelu_pytorch_tanh", "num_hidden_layers": 2, **ends}
    vision = {"image_size": TINY_SIDE, "patch_size": 8, "hidden_act": "gelu"}
    config = SiglipConfig(
        text_config={**size, **text}, vision_config={**size, **vision, "num_hidden_layers": 3}
    )
    trunk, pool = "visual.trunk", "visual.trunk.attn_pool"
    queries = {
        f"vision_model.head.attention.in_proj_{kind}": torch.cat(
            [state[f"{pool}.q.{kind}"], state[f"{pool}.kv.{kind}"]]
        )
        for kind in ("weight", "bias")
    }
    found = {
        "logit_scale": state["logit_scale"].reshape(1),
        "logit_bias": state["logit_bias"].reshape(1),
        "text_model.embeddings.token_embedding.weight": state["text.token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["text.positional_embedding"],
        "vision_model.embeddings.position_embedding.weight": state[f"{trunk}.pos_embed"][0],
        "vision_model.head.probe": state[f"{pool}.latent"],
        **queries,
        **_both(state, f"{trunk}.patch_embed.proj", "vision_model.embeddings.patch_embedding"),
        **_both(state, "text.ln_final", "text_model.final_layer_norm"),
        **_both(state, "text.text_projection", "text_model.head"),
        **_both(state, f"{trunk}.norm", "vision_model.post_layernorm"),
        **_both(state, f"{pool}.proj", "vision_model.head.attention.out_proj"),
        **_both(state, f"{pool}.norm", "vision_model.head.layernorm"),
        **_both(state, f"{pool}.mlp.fc1", "vision_model.head.mlp.fc1"),
        **_both(state, f"{pool}.mlp.fc2", "vision_model.head.mlp.fc2"),
        **_blocks(state, "text.transformer.resblocks", "text_model", 2),
        **_blocks(state, f"{trunk}.blocks", "vision_model", 3),
    }
    return _filled(SiglipModel(config), found)


def _both(state: dict[str, Any], ours: str, theirs: str) -> dict[str, Any]:
    """Weight and bias under another name."""
    return {f"{theirs}.{kind}": state[f"{ours}.{kind}"] for kind in ("weight", "bias")}


def _blocks(state: dict[str, Any], ours: str, theirs: str, count: int) -> dict[str, Any]:
    """Transformer blocks of open_clip or timm under the names of transformers."""
    timm = f"{ours}.0.attn.qkv.weight" in state
    names = ("norm1", "norm2", "mlp.fc1", "mlp.fc2", "attn.proj")
    if not timm:
        names = ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", "attn.out_proj")
    places = ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2", "self_attn.out_proj")
    found: dict[str, Any] = {}
    for at in range(count):
        here, there = f"{ours}.{at}", f"{theirs}.encoder.layers.{at}"
        for name, place in zip(names, places, strict=True):
            found |= _both(state, f"{here}.{name}", f"{there}.{place}")
        for kind in ("weight", "bias"):
            joint = state[f"{here}.attn.qkv.{kind}" if timm else f"{here}.attn.in_proj_{kind}"]
            for name, third in zip("qkv", joint.chunk(3), strict=True):
                found[f"{there}.self_attn.{name}_proj.{kind}"] = third
    return found


def _filled(model: Any, state: dict[str, Any]) -> Any:
    """The model with all of its weights out of `state`, each once."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert not [name for name in missing if not name.endswith("position_ids")]
    return model.eval()


def clip_tokenizer() -> Any:
    """transformers' CLIP tokenizer with the vocabulary that open_clip comes with."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    original = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): at for token, at in original.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(original.bpe_ranks), model_max_length=77)


@pytest.fixture(scope="session")
def tiny_timm_tower() -> Iterator[None]:
    """timm knows the tiny tower while these tests run."""
    from timm.models import _registry

    _registry.register_model(vit_tiny_siglip_32)
    yield
    _registry._model_entrypoints.pop("vit_tiny_siglip_32")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """open_clip: class-token tower, QuickGELU, open_clip's own tokenizer."""
    return save_open_clip(tmp_path_factory.mktemp("models") / "tiny-clip", clip_config())


@pytest.fixture(scope="session")
def tiny_clip_gelu(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The same weights as `tiny_clip`, with GELU."""
    folder = tmp_path_factory.mktemp("models") / "tiny-clip-gelu"
    return save_open_clip(folder, clip_config(quick_gelu=False))


@pytest.fixture(scope="session")
def tiny_siglip(
    tmp_path_factory: pytest.TempPathFactory, one_thread: None, tiny_timm_tower: None
) -> Path:
    """open_clip: attention-pooled timm tower, bias, a transformers tokenizer in the folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny-siglip"
    save_open_clip(folder, siglip_config())
    word_tokenizer(64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hf_clip(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """transformers: CLIPModel with the weights of `tiny_clip`, its processor and tokenizer."""
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor

    folder = tmp_path_factory.mktemp("models") / "tiny-hf-clip"
    transformers_clip(load_file(tiny_clip / "open_clip_model.safetensors")).save_pretrained(folder)
    edges = {"height": TINY_SIDE, "width": TINY_SIDE}
    CLIPImageProcessor(size={"shortest_edge": TINY_SIDE}, crop_size=edges).save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hf_siglip(tmp_path_factory: pytest.TempPathFactory, tiny_siglip: Path) -> Path:
    """transformers: SiglipModel with the weights of `tiny_siglip`, its processor and tokenizer."""
    from safetensors.torch import load_file
    from transformers import SiglipImageProcessor

    folder = tmp_path_factory.mktemp("models") / "tiny-hf-siglip"
    state = load_file(tiny_siglip / "open_clip_model.safetensors")
    transformers_siglip(state).save_pretrained(folder)
    edges = {"height": TINY_SIDE, "width": TINY_SIDE}
    SiglipImageProcessor(size=edges).save_pretrained(folder)
    word_tokenizer(64).save_pretrained(folder)
    return folder
