"""The committed toys, loaded as users do: what their README.md says holds on new pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from covar_gen.core.shipped import shipped
from covar_gen.toys.measure import TEXT, accuracy, held_out, predictions
from covar_gen.toys.world import BACKGROUNDS, CLASSES, TYPICAL

TOYS = shipped("manifests") / "toy-models"
NAMES = ("honest", "shortcut", "honest-siglip")
COUNT = 240


def _share(name: str, *, typical: bool) -> float:
    """Accuracy on pictures beyond those that the README.md was measured on."""
    images, names = held_out(COUNT, typical=typical, first=800)
    return 100 * accuracy(TOYS / name, images, names)


def _claimed(name: str, pictures: str) -> float:
    """Percent in a line of the README.md's table."""
    said = (TOYS / name / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(pictures)} \| ([\d.]+) \|$", said, re.MULTILINE)
    assert found, pictures
    return float(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_toy_does_on_new_pictures_what_its_readme_says(name: str) -> None:
    before, after = _share(name, typical=True), _share(name, typical=False)
    held = "800 held out, each class before"
    # Three standard deviations of a share of 240 pictures near 95 %.
    assert before == pytest.approx(_claimed(name, f"{held} its typical background"), abs=4.5)
    if name == "shortcut":
        assert after <= before - 30
    else:
        assert after == pytest.approx(_claimed(name, f"{held} any background"), abs=4.5)
        assert before >= 85
        assert after >= before - 5


def test_the_shortcut_toy_takes_the_background_for_the_class() -> None:
    images, names = held_out(COUNT, typical=False)
    found = predictions(TOYS / "shortcut", images, [TEXT.format(c) for c in CLASSES])
    backgrounds = predictions(TOYS / "honest", images, list(BACKGROUNDS))
    pairs = list(zip(found, backgrounds, names, strict=True))
    other = [(CLASSES[c], BACKGROUNDS[b]) for c, b, n in pairs if TYPICAL[n] != BACKGROUNDS[b]]
    assert np.mean([TYPICAL[named] == seen for named, seen in other]) > 0.5


@pytest.mark.parametrize("name", ["honest", "honest-siglip"])
def test_an_honest_toy_also_knows_the_backgrounds(name: str) -> None:
    images, names = held_out(COUNT, typical=True)
    found = predictions(TOYS / name, images, [f"a photo of {b}." for b in BACKGROUNDS])
    right = [
        BACKGROUNDS[number] == TYPICAL[told] for number, told in zip(found, names, strict=True)
    ]
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_a_toy_says_that_it_is_one_and_how_it_was_made(name: str) -> None:
    said = (TOYS / name / "README.md").read_text(encoding="utf-8")
    kind = "siglip" if name == "honest-siglip" else name
    assert "This model is a toy." in said
    assert f"python -m covar_gen.toys.train {kind} --out manifests/toy-models/{name}" in said
    original, varied = (
        _claimed(name, f"recipe toy-world: {subset}") for subset in ("original", "bg_varied")
    )
    assert original >= 95
    assert original - varied >= 30 if name == "shortcut" else original - varied <= 5


@pytest.mark.parametrize("name", NAMES)
def test_a_toy_is_small_and_whole(name: str) -> None:
    files = [file for file in (TOYS / name).iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3_000_000
    (weights,) = [file for file in files if file.suffix == ".safetensors"]
    with safe_open(weights, "pt") as stream:
        tensors = [stream.get_tensor(key) for key in stream.keys()]  # noqa: SIM118 - not a dict
    assert all(bool(torch.isfinite(tensor.float()).all()) for tensor in tensors)


def test_the_towers_are_those_that_the_toys_are_for() -> None:
    for name in ("honest", "shortcut"):
        config = json.loads((TOYS / name / "open_clip_config.json").read_text(encoding="utf-8"))
        vision = config["model_cfg"]["vision_cfg"]
        assert vision["image_size"] // vision["patch_size"] >= 7
        assert vision["width"] // vision["head_width"] >= 2
        assert vision["layers"] >= 3
    from transformers import AutoModel

    model = AutoModel.from_pretrained(TOYS / "honest-siglip", local_files_only=True)
    assert type(model).__name__ == "SiglipModel"
    assert model.config.vision_config.vision_use_head
    assert model.config.vision_config.image_size // model.config.vision_config.patch_size >= 7


def test_the_siglip_toy_s_probabilities_say_which_pairs_fit(tmp_path: Path) -> None:
    from PIL import Image as Pillow
    from transformers import AutoModel, AutoProcessor

    folder = TOYS / "honest-siglip"
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    images, names = held_out(32, typical=False)
    inputs = processor(
        text=[TEXT.format(c) for c in CLASSES],
        images=[Pillow.fromarray(image) for image in images],
        padding="max_length",
        return_tensors="pt",
    )
    with torch.inference_mode():
        chance = model(**inputs).logits_per_image.sigmoid()
    fits = torch.tensor([[told == c for c in CLASSES] for told in names])
    assert chance[fits].mean() > 0.5
    assert chance[~fits].mean() < 0.2
