"""Objects of the libraries are taken as they are, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models import load_model, wrap


def embedding(model: Any) -> torch.Tensor:
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found: torch.Tensor = model.encode_image(pixels)
    return found


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_siglip"])
def test_an_open_clip_object_brings_its_preprocessing(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    built = open_clip.create_model(f"local-dir:{folder}").eval()
    loaded = load_model(f"local:{folder}")
    model = wrap(built, name="mine")
    assert model.name == "mine"
    assert model.module is built
    assert model.preprocessing == loaded.preprocessing
    assert torch.equal(embedding(model), embedding(loaded))
    ids = loaded.tokenize(["a dog"])
    assert torch.equal(model.encode_text(ids), loaded.encode_text(["a dog"]))
    with pytest.raises(ModelError, match="it has no tokenizer"):
        model.encode_text(["a dog"])


def test_a_transformers_object_takes_its_processor_and_tokenizer(tiny_hf_siglip: Path) -> None:
    from transformers import AutoProcessor, SiglipModel

    built = SiglipModel.from_pretrained(tiny_hf_siglip).eval()
    processor = AutoProcessor.from_pretrained(tiny_hf_siglip)
    with pytest.raises(ModelError, match="its preprocessing is not known"):
        wrap(built)
    model = wrap(
        built, preprocessing=processor.image_processor, tokenizer=processor.tokenizer, name="mine"
    )
    loaded = load_model(f"local:{tiny_hf_siglip}")
    assert model.preprocessing == loaded.preprocessing
    assert torch.equal(model.tokenize(["A Dog"]), loaded.tokenize(["A Dog"]))
    assert model.text_identity() == loaded.text_identity()
    assert wrap(built, preprocessing=loaded.preprocessing).name == "SiglipModel"


def test_objects_of_other_libraries_are_refused() -> None:
    with pytest.raises(ModelError, match=r"torch\.nn\.modules\.linear\.Linear is not known"):
        wrap(torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="int is not known"):
        wrap(3)


def test_an_object_whose_preprocessing_open_clip_does_not_know_is_refused(
    tiny_clip: Path,
) -> None:
    config = json.loads((tiny_clip / "open_clip_config.json").read_text())["model_cfg"]
    with pytest.raises(ModelError, match="mean, std missing"):
        wrap(open_clip.CLIP(**config).eval())
