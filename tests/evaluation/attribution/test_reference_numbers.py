"""CCI's masked passes against numbers of OpenAI's own CLIP code (tests/data/attribution)."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covar_gen.evaluation.attribution._passes import plain_pass, read_passes, removed_passes
from covar_gen.evaluation.attribution._towers import tower_of
from covar_gen.evaluation.models import Model, wrap
from covar_gen.evaluation.preprocessing import Grid, Preprocessing

DATA = Path(__file__).resolve().parents[2] / "data" / "attribution" / "cci.npz"
EMBED, VISION, TEXT, PATCH, CONTEXT, WORDS = 64, 128, 64, 16, 16, 512
SHA = "7d4abe6907009daba0d56734040992b21cd760db9dca994085ec54a262d80ddc"


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "logit_scale": (),
        "positional_embedding": (CONTEXT, TEXT),
        "text_projection": (TEXT, EMBED),
        "token_embedding.weight": (WORDS, TEXT),
        "visual.class_embedding": (VISION,),
        "visual.conv1.weight": (VISION, 3, PATCH, PATCH),
        "visual.positional_embedding": (37, VISION),
        "visual.proj": (VISION, EMBED),
    }
    norms = [("ln_final", TEXT), ("visual.ln_pre", VISION), ("visual.ln_post", VISION)]
    for prefix, width, layers in (("", TEXT, 3), ("visual.", VISION, 12)):
        for layer in range(layers):
            block = f"{prefix}transformer.resblocks.{layer}"
            matrices = {
                "attn.in_proj_": (3 * width, width),
                "attn.out_proj.": (width, width),
                "mlp.c_fc.": (4 * width, width),
                "mlp.c_proj.": (width, 4 * width),
            }
            for name, shape in matrices.items():
                found |= {f"{block}.{name}weight": shape, f"{block}.{name}bias": shape[:1]}
            norms += [(f"{block}.ln_1", width), (f"{block}.ln_2", width)]
    for name, width in norms:
        found |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return found


def law(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Standard deviation and mean of a tensor's numbers."""
    if name == "logit_scale":
        return 0, math.log(100)
    if "ln_" in name:
        return (0.2, 1) if name.endswith("weight") else (0.1, 0)
    if name.endswith("bias"):
        return 0.1, 0
    if name.endswith(("class_embedding", "positional_embedding")):
        return 0.5, 0
    if name == "token_embedding.weight":
        return 1, 0
    if name == "visual.conv1.weight":
        return 1 / math.sqrt(3 * PATCH * PATCH), 0
    if name.endswith("in_proj_weight"):
        return 1.6 / math.sqrt(shape[1]), 0
    rows = name in {"visual.proj", "text_projection"}
    return 1 / math.sqrt(shape[0] if rows else shape[1]), 0


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    with np.load(DATA) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def openai(one_thread: None) -> Model:
    import open_clip

    # The recipe of the weights names this generator.
    source = np.random.RandomState(20240501)
    digest = hashlib.sha256()
    state: dict[str, torch.Tensor] = {}
    for name, shape in sorted(shapes().items()):
        std, mean = law(name, shape)
        drawn: Any = source.standard_normal(shape)
        value = np.asarray(drawn * std + mean, np.float32)
        digest.update(name.encode() + value.tobytes())
        state[name] = torch.from_numpy(value)
    assert digest.hexdigest() == SHA
    vision = {"image_size": 96, "layers": 12, "width": VISION, "head_width": 64, "patch_size": 16}
    text = {"context_length": CONTEXT, "vocab_size": WORDS, "width": TEXT, "heads": 1, "layers": 3}
    model = open_clip.CLIP(EMBED, vision, text, quick_gelu=True).eval()
    model.load_state_dict(state, strict=False)
    half = (0.5, 0.5, 0.5)
    return wrap(model, preprocessing=Preprocessing(Grid(96, 96), half, half), name="openai")


def test_masked_passes_agree_with_the_original_code(
    openai: Model, reference: dict[str, torch.Tensor]
) -> None:
    labels = reference["labels"].long().expand(2, -1)
    texts = reference["text_features"]
    with torch.no_grad():
        tower = tower_of(openai)
        plain = plain_pass(tower, reference["pixels"], "last")
        whole = plain.features @ texts.T
        masked = (removed_passes(tower, plain, labels, 7, 100) @ texts.T).transpose(0, 1)
        last = (read_passes(tower, plain, labels, 7) @ texts.T).transpose(0, 1)
    largest = reference["masked"].abs().amax()
    assert (whole - reference["whole"]).abs().amax() < 1e-5 * largest
    assert (masked - reference["masked"]).abs().amax() < 1e-5 * largest
    assert (last - reference["masked"]).abs().amax() > 0.01
