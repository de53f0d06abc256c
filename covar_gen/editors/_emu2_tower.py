"""Emu2's eyes: the EVA tower that turns a photograph into 64 vectors.

A vision transformer (EVA-02-CLIP-E/14+, Sun et al. 2023) whose blocks normalise after attention and
after the perceptron instead of before. Its last block's output is averaged over squares of patches;
no norm follows. Parameters are called as in the Hub's files below `model.visual.`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture
    from torch import nn

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's photographs, by channel, in [0, 1]."""

EPSILON = 1e-6
"""Of the norms."""


@dataclass(frozen=True)
class TowerShape:
    """How large a tower is; the published one by default.

    Attributes:
        image_size: edge of the square that it sees, pixels.
        patch_size: edge of a patch, pixels.
        width: numbers per patch.
        layers: blocks.
        head_width: numbers per attention head.
        hidden: numbers between the two layers of a perceptron.
        queries: vectors that it answers with; a square number.
    """

    image_size: int = 448
    patch_size: int = 14
    width: int = 1792
    layers: int = 64
    head_width: int = 112
    hidden: int = 15360
    queries: int = 64

    @classmethod
    def of(cls, config: dict[str, Any]) -> TowerShape:
        """From `vision_config` of a checkpoint's settings."""
        width = int(config["width"])
        return cls(
            image_size=int(config["image_size"]),
            patch_size=int(config["patch_size"]),
            width=width,
            layers=int(config["layers"]),
            head_width=int(config["head_width"]),
            hidden=int(width * config["mlp_ratio"]),
            queries=int(config.get("n_query", cls.queries)),
        )

    @property
    def grid(self) -> int:
        """Patches along an edge."""
        return self.image_size // self.patch_size


def build_tower(shape: TowerShape) -> nn.Module:
    """The parameters of a tower, as PyTorch draws them; under `torch.device("meta")` none.

    Args:
        shape: of the tower.

    Returns:
        A tree of layers, which `look` runs.
    """
    import torch
    from torch import nn

    width, edge = shape.width, shape.patch_size
    tower: Any = nn.Module()
    tower.cls_token = nn.Parameter(torch.zeros(1, 1, width))
    tower.pos_embed = nn.Parameter(torch.zeros(1, shape.grid**2 + 1, width))
    patches = nn.Conv2d(3, width, kernel_size=edge, stride=edge)
    tower.patch_embed = nn.ModuleDict({"proj": patches})
    tower.blocks = nn.ModuleList(
        nn.ModuleDict(
            {
                "attn": nn.ModuleDict(
                    {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
                ),
                "norm1": nn.LayerNorm(width, eps=EPSILON),
                "mlp": nn.ModuleDict(
                    {"fc1": nn.Linear(width, shape.hidden), "fc2": nn.Linear(shape.hidden, width)}
                ),
                "norm2": nn.LayerNorm(width, eps=EPSILON),
            }
        )
        for _ in range(shape.layers)
    )
    made: nn.Module = tower
    return made


def look(tower: nn.Module, shape: TowerShape, pixels: torch.Tensor) -> torch.Tensor:
    """What a tower says of pictures.

    Args:
        tower: of `build_tower`.
        shape: its shape.
        pixels: (B, 3, image_size, image_size), of `pixels_of`, in the tower's type and place.

    Returns:
        (B, queries, width).
    """
    import torch
    from torch.nn import functional

    layers: Any = tower
    x = layers.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
    x = torch.cat([layers.cls_token.expand(len(x), -1, -1), x], dim=1) + layers.pos_embed
    for block in layers.blocks:
        x = x + block["norm1"](_attended(block["attn"], x, shape.head_width))
        hidden = functional.gelu(block["mlp"]["fc1"](x))
        x = x + block["norm2"](block["mlp"]["fc2"](hidden))
    return pooled(x[:, 1:], shape.queries)


def _attended(layers: Any, x: torch.Tensor, head: int) -> torch.Tensor:
    from torch.nn import functional

    count, tokens, width = x.shape
    apart = layers["qkv"](x).reshape(count, tokens, 3, width // head, head)
    query, key, value = apart.permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(query, key, value)
    joined: torch.Tensor = layers["proj"](mixed.transpose(1, 2).reshape(count, tokens, width))
    return joined


def pooled(tokens: torch.Tensor, queries: int) -> torch.Tensor:
    """Patches averaged over squares, so that as many are left as are asked for.

    Args:
        tokens: (B, grid x grid, width), row by row.
        queries: a square number whose root divides the grid.

    Returns:
        (B, queries, width), row by row.
    """
    from torch.nn import functional

    count, length, width = tokens.shape
    grid = math.isqrt(length)
    stride = grid // math.isqrt(queries)
    plane = tokens.transpose(1, 2).reshape(count, width, grid, grid)
    return functional.avg_pool2d(plane, stride).flatten(2).transpose(1, 2)


def squeezed(picture: Picture, edge: int) -> Picture:
    """A picture as a square, whatever its shape; one that is that square already stays as it is.

    Args:
        picture: of any mode.
        edge: of the square, pixels.
    """
    from PIL import Image

    return picture.convert("RGB").resize((edge, edge), Image.Resampling.BICUBIC)


def pixels_of(pictures: Sequence[Picture], edge: int) -> torch.Tensor:
    """Pictures as the tower sees them: squeezed to a square, whatever their shape.

    Args:
        pictures: RGB, at least one.
        edge: of the square, pixels.

    Returns:
        float32 (B, 3, edge, edge), by channel of mean 0 and deviation 1 over CLIP's photographs.
    """
    import torch

    stacked = np.stack([np.asarray(squeezed(picture, edge)) for picture in pictures])
    levels = torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
    return (levels.to(torch.float32) / 255 - mean) / deviation
