"""Checkpoints of full size with random weights, in the folder layouts of the published ones.

Networks are laid out without weights; each tensor is then drawn on the device and written straight
into its file, so that nothing is initialised twice and no checkpoint is in memory as a whole. The
weights are of size 1 / sqrt(fan in): numbers stay of the size that trained networks have, pictures
are neither black nor grey, and nothing overflows in half precision.

Shapes are those of the published configurations: Stable Diffusion 1.5 for inpainting,
InstructPix2Pix, Zero123++ 1.2 and Emu2-Gen.
"""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from covar_gen.editors import _emu2_published as emu2
from covar_gen.editors._emu2_tower import TowerShape, build_tower

TESTS = Path(__file__).parents[1]
SHARD = 5_000_000_000
"""Bytes after which the next layer of a language model begins a new file."""

KINDS = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
"""What a .safetensors file calls a type of numbers."""

WIDE: dict[str, Any] = {
    "attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024,
    "use_linear_projection": True,
}  # fmt: skip
"""What is other in the denoising network of Stable Diffusion 2, which is Zero123++'s."""

Shapes = Mapping[str, tuple[int, ...]]


def beside(name: str) -> ModuleType:
    """A module of the folder of tests, such as tiny_diffusion, which saves tiny checkpoints."""
    spec = importlib.util.spec_from_file_location(f"covar_{name}", TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Drawn:
    """Random weights, by their names and shapes.

    Args:
        device: that draws them.
        dtype: as which they are written.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.generator = torch.Generator(device).manual_seed(0)

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Matrices and kernels of size 1 / sqrt(fan in), scales about 1, small biases."""
        found = torch.randn(shape, generator=self.generator, device=self.device)
        if len(shape) > 1:
            found *= math.prod(shape[1:]) ** -0.5
        else:
            found = found * 0.1 + (1 if name.endswith("weight") else 0)
        if name.endswith("attn.qkv.bias"):
            # The keys of Emu2's tower have none.
            found.chunk(3)[1].zero_()
        return found.to(self.dtype)

    def write(self, path: Path, shapes: Shapes) -> int:
        """Write a .safetensors file; returns its bytes."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        place = 0
        for name, shape in shapes.items():
            end = place + math.prod(shape) * self.dtype.itemsize
            facts = {"dtype": KINDS[self.dtype], "shape": [*shape], "data_offsets": [place, end]}
            header[name], place = facts, end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shapes.items():
                numbers = self.tensor(name, shape).cpu().reshape(-1).view(torch.uint8)
                numbers.numpy().tofile(stream)
        return path.stat().st_size

    def network(self, folder: Path, kind: Any, config: Any, stem: str) -> None:
        """Write a network's settings and weights.

        Args:
            folder: of this part.
            kind: class of diffusers, or of transformers.
            config: arguments of the one, configuration of the other.
            stem: how its file of weights is called.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with torch.device("meta"):
            made = kind(**config) if isinstance(config, dict) else kind(config)
        if isinstance(config, dict):
            made.save_config(folder)
        else:
            config.save_pretrained(folder)
        shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
        self.write(folder / f"{stem}.safetensors", shapes)


def vae_config(edge: int, **more: Any) -> dict[str, Any]:
    """The autoencoder of Stable Diffusion 1 and 2."""
    return {
        "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "norm_num_groups": 32,
        "up_block_types": ("UpDecoderBlock2D",) * 4, "sample_size": edge, **more,
    }  # fmt: skip


def unet_config(channels: int, **more: Any) -> dict[str, Any]:
    """The denoising network of Stable Diffusion 1.5, which reads so many channels."""
    return {
        "sample_size": 64, "in_channels": channels, "out_channels": 4, "layers_per_block": 2,
        "block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": 8,
        "cross_attention_dim": 768, **more,
    }  # fmt: skip


def text_config(tokenizer: Any, width: int, layers: int, act: str) -> Any:
    """CLIP's text encoder with its published number of words, of which a tokenizer uses a few."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=4 * width, hidden_act=act,
        num_hidden_layers=layers, num_attention_heads=width // 64, max_position_embeddings=77,
        projection_dim=width, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def vision_config() -> Any:
    """The tower of CLIP-H that shows Zero123++ its photograph."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
        patch_size=14, image_size=224, projection_dim=1024, hidden_act="gelu",
    )  # fmt: skip


def save_stable_diffusion(folder: Path, device: torch.device, channels: int) -> Path:
    """Stable Diffusion 1.5 in float16: 9 channels for inpainting, 8 for InstructPix2Pix."""
    import diffusers
    import transformers

    drawn = Drawn(device, torch.float16)
    tokenizer = beside("tiny_diffusion").clip_tokenizer()
    stem = "diffusion_pytorch_model"
    drawn.network(folder / "vae", diffusers.AutoencoderKL, vae_config(512), stem)
    drawn.network(folder / "unet", diffusers.UNet2DConditionModel, unet_config(channels), stem)
    words = text_config(tokenizer, 768, 12, "quick_gelu")
    drawn.network(folder / "text_encoder", transformers.CLIPTextModel, words, "model")
    tokenizer.save_pretrained(folder / "tokenizer")
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    kind, own = "StableDiffusionInpaintPipeline", "PNDMScheduler"
    more: dict[str, Any] = {"skip_prk_steps": True, "steps_offset": 1}
    if channels == 8:
        kind, own = "StableDiffusionInstructPix2PixPipeline", "EulerAncestralDiscreteScheduler"
        more = {"steps_offset": 1}
    getattr(diffusers, own)(**betas, **more).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": kind,
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", own],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder


def save_zero123plus(folder: Path, device: torch.device) -> Path:
    """Zero123++ 1.2 in float16; settings beside the networks are those of the tiny one."""
    import diffusers
    import transformers

    drawn = Drawn(device, torch.float16)
    tiny = TESTS / "data" / "zero123plus" / "components"
    for part in ("feature_extractor_clip", "feature_extractor_vae", "scheduler", "tokenizer"):
        shutil.copytree(tiny / part, folder / part)
    shutil.copy(tiny / "model_index.json", folder)
    seen = folder / "feature_extractor_vae" / "preprocessor_config.json"
    edge = {"size": {"shortest_edge": 512}, "crop_size": {"height": 512, "width": 512}}
    seen.write_text(json.dumps({**json.loads(seen.read_text()), **edge}))
    stem = "diffusion_pytorch_model"
    drawn.network(folder / "vae", diffusers.AutoencoderKL, vae_config(768), stem)
    wide = unet_config(4, **WIDE)
    drawn.network(folder / "unet", diffusers.UNet2DConditionModel, wide, stem)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    words = text_config(tokenizer, 1024, 23, "gelu")
    drawn.network(folder / "text_encoder", transformers.CLIPTextModel, words, "model")
    kind = transformers.CLIPVisionModelWithProjection
    drawn.network(folder / "vision_encoder", kind, vision_config(), "model")
    return folder


def save_emu2(folder: Path, device: torch.device, layers: int) -> Path:
    """Emu2-Gen in bfloat16 in the Hub's layout, with as many layers of the language model."""
    import diffusers

    drawn = Drawn(device, torch.bfloat16)
    config = {**emu2.LANGUAGE, "num_hidden_layers": layers}
    encoder = folder / "multimodal_encoder"
    encoder.mkdir(parents=True)
    both = {**config, "d_model": emu2.VISUAL["width"], "vision_config": emu2.VISUAL}
    (encoder / "config.json").write_text(json.dumps(both, indent=1))
    places: dict[str, str] = {}
    shards = list(_shards(encoder_shapes(config), drawn.dtype.itemsize))
    for number, shapes in enumerate(shards, 1):
        name = f"model.bf16-{number:05d}-of-{len(shards):05d}.safetensors"
        drawn.write(encoder / name, shapes)
        places |= dict.fromkeys(shapes, name)
    index = {"metadata": {}, "weight_map": places}
    (encoder / "model.safetensors.index.bf16.json").write_text(json.dumps(index))
    stem = "diffusion_pytorch_model.bf16"
    drawn.network(folder / "unet", diffusers.UNet2DConditionModel, emu2.UNET, stem)
    drawn.network(folder / "vae", diffusers.AutoencoderKL, emu2.VAE, stem)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(emu2.SCHEDULER))
    save_words(folder / "tokenizer")
    return folder


def encoder_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of Emu2's tower, language model and projections, as the Hub has them."""
    import transformers

    with torch.device("meta"):
        model = transformers.LlamaModel(transformers.LlamaConfig(**config))
        tower = build_tower(TowerShape.of(emu2.VISUAL))
    named = {f"model.visual.{name}": each for name, each in tower.named_parameters()}
    named |= {f"model.decoder.lm.model.{name}": each for name, each in model.named_parameters()}
    found = {name: tuple(each.shape) for name, each in named.items()}
    width, wide = emu2.VISUAL["width"], config["hidden_size"]
    return {**found, "project_up.weight": (wide, width), "project_down.weight": (width, wide)}


def _shards(shapes: Shapes, itemsize: int) -> Iterator[dict[str, tuple[int, ...]]]:
    """Tensors by file, in their order."""
    shard: dict[str, tuple[int, ...]] = {}
    size = 0
    for name, shape in shapes.items():
        shard[name] = shape
        size += math.prod(shape) * itemsize
        if size >= SHARD:
            yield shard
            shard, size = {}, 0
    if shard:
        yield shard


def save_words(folder: Path) -> None:
    """A tokenizer with LLaMA's number of words, for which every word is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    count = emu2.LANGUAGE["vocab_size"] - beside("tiny_emu2").ADDED
    words = {word: place for place, word in enumerate(("<unk>", "<s>", "</s>"))}
    words |= {f"word{place}": place for place in range(len(words), count)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
