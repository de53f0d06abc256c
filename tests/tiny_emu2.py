"""The tiny Emu2-Gen of tests/data/emu2, saved in the two layouts of the real one.

save_hub(folder, shards=2)      a folder of the Hub: a folder per part, sharded, fused biases
save_native(folder)             one file with all networks, and settings and tokenizer beside it

Both return what the option `weights` names. And, to compare with:

case(name)                      what was asked of the authors' code: parts, seed, canvas
recorded(name)                  what it gave, by name
again_and_again(...)            the language model's 64 vectors as the authors find them: the whole
                                sequence is run for each
"""

from __future__ import annotations

import json
import lzma
import shutil
import struct
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "emu2"
ADDED = 272
"""Tokens that Emu2 adds to LLaMA's."""

NATIVE = "Emu2-Gen_pytorch_model.bf16.safetensors"


def native_bytes() -> bytes:
    """The native checkpoint file."""
    packed = lzma.decompress((DATA / "weights.xz").read_bytes())
    start = 8 + struct.unpack("<Q", packed[:8])[0]
    data = bytearray(len(packed) - start)
    half = len(data) // 2
    # All high bytes stand first, then all low ones.
    data[1::2], data[0::2] = packed[start : start + half], packed[start + half :]
    return packed[:start] + bytes(data)


def native_weights() -> dict[str, Any]:
    """Its tensors by name, bfloat16."""
    from safetensors.torch import load

    found: dict[str, Any] = load(native_bytes())
    return found


def hub_weights() -> dict[str, dict[str, Any]]:
    """The same by the Hub's folders and names; biases of query, key and value are one tensor."""
    import torch

    found: dict[str, dict[str, Any]] = {"multimodal_encoder": {}, "unet": {}, "vae": {}}
    native = native_weights()
    for name, value in native.items():
        part, _, rest = name.partition(".")
        if name.endswith("attn.v_bias"):
            continue
        if name.endswith("attn.q_bias"):
            other = native[name.replace("q_bias", "v_bias")]
            value = torch.cat([value, torch.zeros_like(value), other])  # noqa: PLW2901 - fused
            rest = rest.replace("q_bias", "qkv.bias")
        if part == "multimodal_encoder" and not rest.startswith("project_"):
            rest = f"model.{rest}"
        found[part][rest] = value
    return found


def case(name: str) -> tuple[list[Any], int, Any]:
    """Parts, seed and canvas of a case in cases.json."""
    from PIL import Image

    from covar_gen.editors._emu2_painting import Canvas

    given = json.loads((DATA / "cases.json").read_text())[name]
    parts = [
        Image.open(DATA / part[1:]).convert("RGB") if part.startswith("@") else part
        for part in given["inputs"]
    ]
    canvas = Canvas(given["height"], given["width"], given["steps"], given["guidance"])
    return parts, given["seed"], canvas


def recorded(name: str) -> dict[str, Any]:
    """Arrays of a recorded case; `image` is float in [0, 1]."""
    import numpy as np

    with np.load(DATA / f"case_{name}.npz") as arrays:
        found = dict(arrays)
    found["image"] = found.pop("image_65535") / 65535
    return found


def again_and_again(writer: Any, ids: list[int], vectors: Any) -> tuple[Any, int]:
    """The vectors (64, width) that follow a sequence, and how many tokens were evaluated for them.

    Without a cache: for each vector the language model reads everything from the beginning.
    """
    import torch

    sequence = writer.model.embed_tokens(torch.tensor(ids))
    sequence[torch.tensor(ids) == writer.tokens.slot] = writer.up(vectors)
    found: list[Any] = []
    evaluated = 0
    for _ in range(64):
        evaluated += len(sequence)
        states = writer.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state
        found.append(writer.down(states[0, -1]))
        sequence = torch.cat([sequence, writer.up(found[-1])[None]])
    return torch.stack(found), evaluated


def encoder_config() -> dict[str, Any]:
    """config.json of the encoder, as the Hub has it: LLaMA's settings and the tower's."""
    found = json.loads((DATA / "tiny_config.json").read_text())
    llama = {**found["llama_config"], "vocab_size": found["llama_config"]["vocab_size"] + ADDED}
    return {
        **llama,
        "architectures": ["EmuForCausalLM"],
        "d_model": found["vision_config"]["width"],
        "rope_scaling": None,
        "torch_dtype": "bfloat16",
        "vision_config": found["vision_config"],
    }


def save_hub(folder: Path, shards: int = 2, checker: bool = False) -> Path:
    """A folder as BAAI/Emu2-Gen.

    Args:
        folder: is made.
        shards: files of the encoder; 1: one file without an index.
        checker: with a tiny safety checker beside the rest.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    for part in ("unet", "vae", "scheduler", "tokenizer"):
        shutil.copytree(DATA / part, folder / part)
    parts = hub_weights()
    encoder = folder / "multimodal_encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text(json.dumps(encoder_config(), indent=1))
    _sharded(parts.pop("multimodal_encoder"), encoder, shards)
    for part, tensors in parts.items():
        name = "diffusion_pytorch_model.bf16.safetensors"
        save_file(tensors, folder / part / name, metadata={"format": "pt"})
    index: dict[str, Any] = {
        "_class_name": "EmuVisualGeneration",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "multimodal_encoder": ["transformers_modules.multimodal_encoder", "EmuForCausalLM"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "tokenizer": ["transformers", "LlamaTokenizerFast"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    if checker:
        save_checker(folder / "safety_checker")
    return folder


def save_native(folder: Path) -> Path:
    """The native file, with configurations and tokenizer beside it."""
    folder.mkdir(parents=True)
    for part in ("unet", "vae", "scheduler", "tokenizer"):
        shutil.copytree(DATA / part, folder / part)
    (folder / "multimodal_encoder").mkdir()
    config = json.dumps(encoder_config(), indent=1)
    (folder / "multimodal_encoder" / "config.json").write_text(config)
    (folder / NATIVE).write_bytes(native_bytes())
    return folder / NATIVE


def save_checker(folder: Path, seed: int = 0) -> None:
    """A tiny safety checker of Stable Diffusion's kind, which flags nothing."""
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    from covar_gen.neural.quiet import quiet

    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 224, "patch_size": 56, "projection_dim": 8,
    }  # fmt: skip
    text = {
        "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "projection_dim": 8,
        "num_attention_heads": 2, "vocab_size": 16, "bos_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)
        network = StableDiffusionSafetyChecker(config)
    # A cosine is never above 1: nothing is flagged until a test lowers these.
    network.concept_embeds_weights.data.fill_(2)
    network.special_care_embeds_weights.data.fill_(2)
    with quiet(("transformers",)):
        network.to(torch.bfloat16).save_pretrained(folder, variant="bf16")


def _sharded(tensors: dict[str, Any], folder: Path, shards: int) -> None:
    from safetensors.torch import save_file

    if shards == 1:
        save_file(tensors, folder / "model.bf16.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    places: dict[str, str] = {}
    for number in range(shards):
        mine = names[number::shards]
        name = f"model.bf16-{number + 1:05d}-of-{shards:05d}.safetensors"
        save_file({key: tensors[key] for key in mine}, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(mine, name)
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.bf16.json").write_text(json.dumps(index))
