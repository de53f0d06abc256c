"""A folder that is not whole, or not what it should be, is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models import load_model


def refusal(name: str) -> ModelError:
    """The error of a model that cannot be loaded, said in one line."""
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert "\n" not in caught.value.line()
    assert len(caught.value.line()) < 500
    return caught.value


def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def test_folders_that_are_missing_or_hold_no_model_are_refused(tmp_path: Path) -> None:
    assert refusal(f"local:{tmp_path}/none").what == "there is no such folder"
    assert "neither open_clip_config.json nor config.json" in refusal(f"local:{tmp_path}").what


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_hf_clip"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "lacks a tensor", "wrong shape"])
def test_weights_that_are_not_whole_are_refused(
    name: str, damage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = copy(request.getfixturevalue(name), tmp_path)
    file = next(folder.glob("*.safetensors"))
    state = load_file(file)
    inner = next(key for key in state if key.endswith(("conv1.weight", "patch_embedding.weight")))
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1000])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "lacks a tensor":
        del state[inner]
        save_file(state, file, metadata={"format": "pt"})
    else:
        state[inner] = state[inner][:, :, :4, :4].contiguous()
        save_file(state, file, metadata={"format": "pt"})
    found = refusal(f"local:{folder}")
    assert found.where == "local:model"


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_hf_clip"])
def test_a_damaged_configuration_is_refused(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = copy(request.getfixturevalue(name), tmp_path)
    file = "open_clip_config.json" if name == "tiny_clip" else "config.json"
    for text in ("{", "[]", "{}", "null"):
        (folder / file).write_text(text)
        assert refusal(f"local:{folder}").what == f"{file} is damaged"


def test_a_configuration_without_preprocessing_is_refused_not_filled_in(
    tiny_clip: Path, tmp_path: Path
) -> None:
    folder = copy(tiny_clip, tmp_path)
    said = json.loads((folder / "open_clip_config.json").read_text())
    del said["preprocess_cfg"]["mean"]
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    found = refusal(f"local:{folder}")
    assert found.what == "open_clip_config.json does not say preprocess_cfg.mean"


@pytest.mark.parametrize("name", ["tiny_siglip", "tiny_hf_siglip", "tiny_hf_clip"])
def test_a_folder_without_its_tokenizer_is_refused(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = copy(request.getfixturevalue(name), tmp_path)
    (folder / "tokenizer.json").unlink()
    assert "it holds no tokenizer" in refusal(f"local:{folder}").what


def test_a_tokenizer_of_another_model_is_refused(
    tiny_hf_siglip: Path, tiny_hf_clip: Path, tmp_path: Path
) -> None:
    folder = copy(tiny_hf_siglip, tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_hf_clip / file, folder)
    assert "its tokenizer has 49408 tokens, its text tower 512" in refusal(f"local:{folder}").what


@pytest.mark.parametrize(
    ("kind", "said"), [("siglip2", "a grid of its own"), ("bert", "are not known")]
)
def test_models_of_other_classes_are_refused(
    kind: str, said: str, tiny_hf_clip: Path, tmp_path: Path
) -> None:
    folder = copy(tiny_hf_clip, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    assert said in refusal(f"local:{folder}").what
