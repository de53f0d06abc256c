"""Logits are those of the libraries' own code, whichever library holds the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Pillow
from transformers import AutoProcessor, CLIPModel, SiglipModel

from covar_gen.evaluation.models import Model, load_model

NAMES = ["dog", "Cat", "small red bird"]
TEMPLATES = ["a photo of the {}.", "THE  {} on a car!"]
TEXTS = [template.format(name) for name in NAMES for template in TEMPLATES]


def noise(count: int = 4, height: int = 32, width: int = 32) -> np.ndarray:
    """uint8 (count, height, width, 3)."""
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), np.uint8)


def pixels(model: Model, images: np.ndarray) -> torch.Tensor:
    """Images of the tower's own size, as the tower wants them."""
    return model.preprocessing.normalise(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())


def logits(model: Model) -> torch.Tensor:
    """Of four images and three classes."""
    with torch.no_grad():
        text = model.encode_text(TEXTS).reshape(3, 2, -1).mean(1)
        text = text / text.norm(dim=1, keepdim=True)
        image = model.encode_image(pixels(model, noise()))
    return model.logit_scale * image @ text.T + model.logit_bias


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_clip_gelu", "tiny_siglip"])
def test_logits_are_those_of_open_clips_own_zero_shot_code(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        classifier = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, TEMPLATES)
        batch = torch.stack([transform(Pillow.fromarray(image)) for image in noise()])
        theirs = model.logit_scale.exp() * model.encode_image(batch, normalize=True) @ classifier
    if model.logit_bias is not None:
        theirs = theirs + model.logit_bias
    found = logits(load_model(f"local:{folder}"))
    assert found.std() > 0.1
    torch.testing.assert_close(found, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny_hf_clip", CLIPModel), ("tiny_hf_siglip", SiglipModel)]
)
def test_logits_are_those_of_transformers_own_forward(
    name: str, kind: type, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    processor = AutoProcessor.from_pretrained(folder)
    # The general tokenizer leaves it to its caller that SigLIP reads lower case.
    texts = [text.lower() for text in TEXTS]
    inputs = processor(
        text=texts, images=list(noise()), padding="max_length", truncation=True, return_tensors="pt"
    )
    inputs.pop("attention_mask", None)
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        theirs = kind.from_pretrained(folder)(**inputs).logits_per_image
    model = load_model(f"local:{folder}")
    with torch.no_grad():
        ours = model.encode_image(pixels(model, noise())) @ model.encode_text(TEXTS).T
    ours = model.logit_scale * ours + model.logit_bias
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("one", "other"), [("tiny_clip", "tiny_hf_clip"), ("tiny_siglip", "tiny_hf_siglip")]
)
def test_the_same_weights_in_either_library_embed_alike(
    one: str, other: str, request: pytest.FixtureRequest
) -> None:
    first, second = (load_model(f"local:{request.getfixturevalue(name)}") for name in (one, other))
    with torch.no_grad():
        images = [model.encode_image(pixels(model, noise())) for model in (first, second)]
        texts = [model.encode_text(["a photo of the dog", "red"]) for model in (first, second)]
    torch.testing.assert_close(*images, atol=1e-5, rtol=0)
    torch.testing.assert_close(*texts, atol=1e-5, rtol=0)
    shape = ("patches", "pooling", "dim", "logit_bias")
    assert [getattr(first, name) for name in shape] == [getattr(second, name) for name in shape]
    assert first.logit_scale == pytest.approx(second.logit_scale, rel=1e-6)
    assert first.preprocessing._replace(grid=None) == second.preprocessing._replace(grid=None)


def test_the_tokens_of_clip_are_the_same_in_either_library(
    tiny_clip: Path, tiny_hf_clip: Path
) -> None:
    texts = ["A photo of the  Dog!", "naïve café №5", "it's 12 o'clock", "word " * 90, ""]
    ours = load_model(f"local:{tiny_clip}").tokenize(texts)
    theirs = load_model(f"local:{tiny_hf_clip}").tokenize(texts)
    assert ours.shape == theirs.shape == (5, 77)
    assert ours.dtype == theirs.dtype == torch.int64
    end = 49407
    for one, other in zip(ours.tolist(), theirs.tolist(), strict=True):
        # open_clip pads with 0, transformers with the end once more; neither is looked at.
        assert one[: one.index(end) + 1] == other[: other.index(end) + 1]


def test_every_text_of_siglip_is_padded_to_the_full_length_and_made_lower_case(
    tiny_siglip: Path, tiny_hf_siglip: Path
) -> None:
    for folder in (tiny_siglip, tiny_hf_siglip):
        model = load_model(f"local:{folder}")
        ids = model.tokenize(["a dog", "A DOG"])
        assert ids.shape == (2, 64)
        assert ids[0].tolist() == ids[1].tolist() == [2, 6, *[1] * 62]
