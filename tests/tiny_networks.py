"""Tiny random networks that look at pictures, saved by the real libraries in their layouts."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf

PART = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
SIDE, CELL = 28, 7


def save_network(folder: Path, kind: str) -> Path:
    """Save a network and what prepares pictures of 28 x 28 for it.

    Args:
        folder: where to.
        kind: dinov2, dinov2_with_registers, dinov3_vit, clip or vit; patches are 7 x 7.
    """
    torch.manual_seed(3)
    sized = {"image_size": SIDE, "patch_size": CELL}
    if kind == "clip":
        words = {**PART, "vocab_size": 100, "max_position_embeddings": 16}
        config = hf.CLIPConfig(text_config=words, vision_config={**PART, **sized})
        model: hf.PreTrainedModel = hf.CLIPModel(config)
    elif kind == "dinov2":
        model = hf.Dinov2Model(hf.Dinov2Config(**PART, **sized))
    elif kind == "dinov2_with_registers":
        model = hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**PART, **sized))
    elif kind == "dinov3_vit":
        model = hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**PART, **sized, num_register_tokens=4))
    else:
        model = hf.ViTModel(hf.ViTConfig(**PART, **sized))
    # As they are initialised, tiny networks hardly look at what they are shown.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "token" not in name and "position" not in name:
                weight.normal_(0, 2 / weight[0].numel() ** 0.5)
            if "lambda" in name:
                weight.fill_(1)
    model.save_pretrained(folder)
    hf.BitImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)  # fmt: skip
    return folder
