"""Models to explain, and an independent way to mask their tokens: hooks on the real modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from covar_gen.evaluation.models import Model, load_model

FAMILIES = ("tiny_clip", "tiny_siglip", "tiny_hf_clip", "tiny_hf_siglip")
"""Fixtures of tests/evaluation/conftest.py, one of each kind of tower."""


@pytest.fixture(params=FAMILIES)
def tiny(request: pytest.FixtureRequest) -> Path:
    """Folder of one of the four tiny models."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture
def model(tiny: Path) -> Model:
    """One of the four tiny models, with read-outs that tokens matter to."""
    return load_model(f"local:{tiny}")


@pytest.fixture
def pixels() -> torch.Tensor:
    """float32 (5, 3, 32, 32), images with some structure."""
    return images(5)


def images(count: int, side: int = 32, seed: int = 3) -> torch.Tensor:
    """Random images whose patches are not all alike."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=source)
    fine = torch.randn(count, 3, side, side, generator=source)
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") + 0.3 * fine


@pytest.fixture
def make_images() -> Callable[..., torch.Tensor]:
    """make_images(count, side=32, seed=3) -> float32 (count, 3, side, side)."""
    return images


def texts_of(model: Model, count: int = 3, seed: int = 5) -> torch.Tensor:
    """Unit vectors in a model's space."""
    found = torch.randn(count, model.dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(found, dim=-1)


@pytest.fixture
def make_texts() -> Callable[..., torch.Tensor]:
    """make_texts(model, count=3, seed=5) -> float32 (count, D), unit norm."""
    return texts_of


@contextmanager
def masked(model: Model, keep: torch.Tensor, only_last: bool = False) -> Iterator[None]:
    """A model in which the tokens that are not kept are masked as keys, by pre-hooks.

    In every block and in the pool; with `only_last` in the last attention that is read.
    """
    module: Any = model.module
    additive = torch.zeros(keep.shape).masked_fill(~keep, -torch.inf)
    square = additive[:, None, None].expand(-1, 1, keep.shape[1], -1)
    hooks: list[tuple[Any, Callable[[Any, Any], Any]]] = []
    if hasattr(module, "visual") and hasattr(module.visual, "transformer"):
        hooks += [(b.attn, _key_padding(keep)) for b in module.visual.transformer.resblocks]
    elif hasattr(module, "visual"):
        trunk = module.visual.trunk
        short = additive[:, None, None]
        hooks += [(block, _keyword("attn_mask", short)) for block in trunk.blocks]
        hooks.append((trunk.attn_pool, _keyword("attn_mask", short)))
    else:
        vision = module.vision_model
        for layer in vision.encoder.layers:
            hooks.append((layer.self_attn, _keyword("attention_mask", square)))
        if hasattr(vision, "head"):
            hooks.append((vision.head.attention, _key_padding(keep)))
    if only_last:
        hooks = hooks[-1:]
    handles = [m.register_forward_pre_hook(hook, with_kwargs=True) for m, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _key_padding(keep: torch.Tensor) -> Callable[[Any, Any], Any]:
    def hook(_module: Any, args: Any, kwargs: Any) -> Any:
        return args, {**kwargs, "key_padding_mask": ~keep}

    return hook  # type: ignore[return-value]


def _keyword(name: str, value: torch.Tensor) -> Callable[[Any, Any], Any]:
    def hook(_module: Any, args: Any, kwargs: Any) -> Any:
        return args, {**kwargs, name: value}

    return hook  # type: ignore[return-value]


def by_hooks(
    model: Model, pixels: torch.Tensor, labels: torch.Tensor, clusters: int, only_last: bool = False
) -> torch.Tensor:
    """Features (B, K, D) with each cluster masked, by K passes of the model itself."""
    prefix = 1 if model.pooling == "cls" else 0
    found = []
    for cluster in range(clusters):
        keep = torch.nn.functional.pad(labels.flatten(1) != cluster, (prefix, 0), value=True)
        with torch.no_grad(), masked(model, keep, only_last):
            found.append(model.encode_image(pixels))
    return torch.stack(found, 1)


@pytest.fixture
def masking_oracle() -> Callable[..., torch.Tensor]:
    """masking_oracle(model, pixels, labels, clusters, only_last=False) -> float32 (B, K, D)."""
    return by_hooks
