"""A model's identity changes with its answers, and with nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file, save_file

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models import Model, load_model, wrap
from covar_gen.evaluation.models.tokenizing import tokenizer_identity
from covar_gen.evaluation.models.weights import weights_hash

WEIGHTS = "open_clip_model.safetensors"
FOLDERS = ["tiny_clip", "tiny_siglip", "tiny_hf_siglip"]


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each tiny model, to be changed."""
    return Path(shutil.copytree(request.getfixturevalue(request.param), tmp_path / "model"))


@pytest.fixture
def clip(tiny_clip: Path, tmp_path: Path) -> Path:
    """A copy of the open_clip one."""
    return Path(shutil.copytree(tiny_clip, tmp_path / "model"))


def load(folder: Path) -> Model:
    return load_model(f"local:{folder}")


def changed(folder: Path, name: str, change: Callable[[torch.Tensor], None]) -> Path:
    """The folder, with one tensor of its weights changed."""
    file = next(folder.glob("*.safetensors"))
    state = load_file(file)
    change(state[name])
    save_file(state, file, metadata={"format": "pt"})
    return folder


def test_two_loads_have_one_identity_and_it_is_plain_json(folder: Path) -> None:
    first, second = load(folder).identity(), load(folder).identity()
    assert first == second
    assert json.loads(json.dumps(first)) == first
    assert str(folder.parent) not in json.dumps(first)


def test_the_place_of_a_folder_is_no_part_of_its_identity(folder: Path, tmp_path: Path) -> None:
    before = load(folder).identity()
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    assert load(Path(moved)).identity() == before


def test_one_changed_image_weight_changes_the_image_side_only(folder: Path) -> None:
    before = load(folder)
    name = next(
        name
        for name in load_file(next(folder.glob("*.safetensors")))
        if name.startswith(("visual.", "vision_model."))
    )
    after = load(changed(folder, name, lambda tensor: tensor.view(-1)[0].add_(1e-3)))
    assert after.text_identity() == before.text_identity()
    one, other = before.identity(), after.identity()
    assert one["image"]["weights"] != other["image"]["weights"]
    assert one | {"image": None} == other | {"image": None}


def test_one_changed_text_weight_changes_the_text_side_only(folder: Path) -> None:
    before = load(folder)
    name = next(
        name
        for name in load_file(next(folder.glob("*.safetensors")))
        if name.endswith("token_embedding.weight")
    )
    after = load(changed(folder, name, lambda tensor: tensor[-1, -1].add_(1e-3)))
    assert after.text_identity()["weights"] != before.text_identity()["weights"]
    assert after.identity()["image"] == before.identity()["image"]


def test_the_projections_of_transformers_clip_belong_to_their_sides(
    tiny_hf_clip: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_hf_clip, tmp_path / "model"))
    for side in ("visual", "text"):
        changed(folder, f"{side}_projection.weight", lambda tensor: tensor[0, 0].add_(1))
        one, other = load(tiny_hf_clip).identity(), load(folder).identity()
        assert one["image"] != other["image"]
        # The text side is changed in the second round only.
        assert (one["text"] != other["text"]) == (side == "text")


def test_a_changed_scale_leaves_the_embeddings_of_texts_what_they_were(clip: Path) -> None:
    before = load(clip)
    after = load(changed(clip, "logit_scale", lambda tensor: tensor.add_(1)))
    assert after.text_identity() == before.text_identity()
    assert after.logit_scale == pytest.approx(before.logit_scale * 2.718281828)
    assert after.identity() != before.identity()


def test_the_same_weights_under_another_activation_are_another_model(
    tiny_clip: Path, tiny_clip_gelu: Path
) -> None:
    one, other = load(tiny_clip).identity(), load(tiny_clip_gelu).identity()
    for side in ("image", "text"):
        assert one[side]["weights"] == other[side]["weights"]
        assert one[side]["architecture"] != other[side]["architecture"]


def test_other_heads_over_the_same_weights_are_another_model(clip: Path) -> None:
    before = load(clip).identity()
    config = json.loads((clip / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["head_width"] = 16
    (clip / "open_clip_config.json").write_text(json.dumps(config))
    after = load(clip).identity()
    assert after["image"]["weights"] == before["image"]["weights"]
    assert after["image"]["architecture"] != before["image"]["architecture"]
    assert after["text"] == before["text"]


def test_other_pooling_of_the_text_is_another_text_side(clip: Path) -> None:
    before = load(clip).text_identity()
    config = json.loads((clip / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["pool_type"] = "last"
    (clip / "open_clip_config.json").write_text(json.dumps(config))
    assert load(clip).text_identity()["architecture"] != before["architecture"]


def test_precision_is_part_of_both_identities(tiny_clip: Path) -> None:
    found = {load_model(f"local:{tiny_clip}", precision=p).precision for p in ("fp32", "bf16")}
    assert found == {"fp32", "bf16"}
    one = load(tiny_clip)
    other = load_model(f"local:{tiny_clip}", precision="bf16")
    assert one.text_identity() != other.text_identity()
    assert one.identity()["precision"] == "fp32"
    assert other.identity()["precision"] == "bf16"


def test_a_hash_knows_names_types_shapes_and_bytes_and_not_the_order() -> None:
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    base = weights_hash({"a": tensor, "b": tensor + 1})
    assert weights_hash({"b": tensor + 1, "a": tensor}) == base
    assert weights_hash({"a": tensor.T.contiguous().T, "b": tensor + 1}) == base
    assert weights_hash({"a": torch.nn.Parameter(tensor), "b": tensor + 1}) == base
    others = [
        {"a": tensor + 1, "b": tensor},
        {"a": tensor, "c": tensor + 1},
        {"a": tensor.reshape(3, 2), "b": tensor + 1},
        {"a": tensor.to(torch.bfloat16), "b": tensor + 1},
        {"a": tensor.to(torch.float16), "b": tensor + 1},
        {"a": tensor.view(torch.int32), "b": tensor + 1},
        {"a": tensor},
    ]
    found = {weights_hash(other) for other in others}
    assert len(found) == len(others)
    assert base not in found
    assert weights_hash({"a": torch.tensor(1.5)}) != weights_hash({"a": torch.tensor([1.5])})


def test_released_text_towers_keep_their_identity_and_refuse_texts(folder: Path) -> None:
    model = load(folder)
    before = load(folder).identity()
    pixels = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        image = model.encode_image(pixels)
    held = sum(weight.numel() for weight in model.module.parameters())
    model.release_text()
    model.release_text()
    assert sum(weight.numel() for weight in model.module.parameters()) < held
    assert model.identity() == before
    with pytest.raises(ModelError, match="text tower was given back"):
        model.encode_text(["a dog"])
    model.module.to("cpu").eval().state_dict()
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(pixels), image, rtol=0, atol=0)


def test_a_wrapped_models_text_tower_is_left_alone_and_its_changes_are_seen(
    tiny_clip: Path,
) -> None:
    inner: Any = load(tiny_clip).module
    model = wrap(inner, tokenizer=SimpleTokenizer())
    model.release_text()
    assert model.encode_text(["a dog"]).shape == (1, 16)
    before = model.identity()
    assert before["image"] == load(tiny_clip).identity()["image"]
    assert before["text"] == load(tiny_clip).identity()["text"]
    with torch.no_grad():
        inner.visual.proj[0, 0] += 1
    assert model.identity()["image"] != before["image"]


def test_a_tokenizer_that_cuts_texts_differently_is_another_one() -> None:
    base = tokenizer_identity(SimpleTokenizer())
    assert tokenizer_identity(SimpleTokenizer()) == base
    others = [
        SimpleTokenizer(clean="whitespace"),
        SimpleTokenizer(clean="canonicalize"),
        SimpleTokenizer(context_length=40),
        SimpleTokenizer(additional_special_tokens=["<extra>"]),
    ]
    assert base not in [tokenizer_identity(other) for other in others]


def test_using_a_tokenizer_does_not_change_what_it_is(folder: Path) -> None:
    model = load(folder)
    model.tokenize(["a photo of a dog", "x " * 200])
    assert model.text_identity() == load(folder).text_identity()


def test_another_vocabulary_in_the_folder_is_another_tokenizer(
    tiny_siglip: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_siglip, tmp_path / "model"))
    before = load(folder).text_identity()
    said = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(said.replace('"horse"', '"mouse"'))
    after = load(folder).text_identity()
    assert after["tokenizer"]["vocabulary"] != before["tokenizer"]["vocabulary"]
    assert after["weights"] == before["weights"]
