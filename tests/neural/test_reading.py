"""A text is cut where diffusers' own class reads no more of it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image

from covar_gen.neural.reading import Reader

FAMILIES = {
    "StableDiffusionInpaintPipeline": "stable_diffusion",
    "StableDiffusionXLInpaintPipeline": "stable_diffusion_xl",
    "FluxFillPipeline": "flux_fill",
    "FluxKontextPipeline": "flux_kontext",
    "Flux2KleinPipeline": "flux2_klein",
    "QwenImageEditPipeline": "qwen_image_edit",
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pipes(tiny_diffusion: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    ready: dict[str, Any] = {}

    def pipe(kind: str) -> Any:
        if kind not in ready:
            place: Path = tmp_path_factory.mktemp("readers") / kind
            getattr(tiny_diffusion, f"save_{FAMILIES[kind]}")(place)
            ready[kind] = getattr(diffusers, kind).from_pretrained(place)
        return ready[kind]

    return pipe


def read(pipe: Any, kind: str, text: str) -> torch.Tensor:
    """What the class's text encoders make of a text, as its own call asks them."""
    given: dict[str, Any] = {"prompt": text, "device": torch.device("cpu")}
    if "StableDiffusion" in kind:
        given |= {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    elif "Flux" in kind and "2" not in kind:
        # The other reader, CLIP, gives a summary alone.
        given |= {"prompt_2": text}
        with torch.inference_mode():
            return torch.as_tensor(pipe.encode_prompt(**given)[0])
    elif "Qwen" in kind:
        given |= {"image": Image.new("RGB", (64, 64)), "max_sequence_length": 512}
    with torch.inference_mode():
        return torch.as_tensor(pipe.encode_prompt(**given)[0])


# Letters are tokens. Of 77 two are CLIP's marks, of 512 one is T5's; klein's conversation takes the
# rest of its 512 for the marks around the text.
LONGEST = {
    "StableDiffusionInpaintPipeline": 75,
    "StableDiffusionXLInpaintPipeline": 75,
    "FluxFillPipeline": 510,
    "FluxKontextPipeline": 510,
    "QwenImageEditPipeline": None,
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_longest_text_is_that_which_the_class_still_reads(pipes: Any, kind: str) -> None:
    pipe = pipes(kind)
    reader = Reader(pipe)
    lengths = range(1, 700)
    longest = max((n for n in lengths if not reader.cuts("a" * n)), default=0)
    if kind in LONGEST:
        assert longest == (LONGEST[kind] or lengths[-1])
    texts = ["a" * (longest - 1) + "b", "a" * longest]
    assert not any(map(reader.cuts, texts))
    one, other = (read(pipe, kind, text) for text in texts)
    assert not torch.equal(one, other), "the last letter is read"
    if longest < lengths[-1]:
        beyond = [f"{texts[1]}{'c' * 60}{end}" for end in "ab"]
        assert all(map(reader.cuts, beyond))
        one, other = (read(pipe, kind, text) for text in beyond)
        assert torch.equal(one, other), "what lies beyond is not"
