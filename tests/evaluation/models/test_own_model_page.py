"""docs/how-to/own-model.md: what it says to save and to wrap is the model that was given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory
from PIL import Image
from safetensors.torch import load_file

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models import load_model

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "how-to" / "own-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the page's code runs: a checkpoint of open_clip's training and a photograph.

    open_clip knows the tiny architecture while the test runs.
    """
    monkeypatch.chdir(tmp_path)
    config = json.loads((tiny_clip / "open_clip_config.json").read_text("utf-8"))
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.json").write_text(json.dumps(config["model_cfg"]), "utf-8")
    (tmp_path / "checkpoints").mkdir()
    weights = load_file(tiny_clip / "open_clip_model.safetensors")
    torch.save({"epoch": 30, "state_dict": weights}, tmp_path / "checkpoints" / "epoch_30.pt")
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    shades = np.random.default_rng(4).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(shades).save(tmp_path / "photos" / "cat" / "tom.png")
    open_clip.add_model_config(tmp_path / "configs")
    yield tmp_path
    factory._MODEL_CONFIG_PATHS.remove(tmp_path / "configs")
    factory._rescan_model_configs()


def _same(first: str, second: str) -> None:
    one, other = load_model(first), load_model(second)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(one.encode_image(pixels), other.encode_image(pixels))
        assert torch.equal(one.encode_text(["a red dog"]), other.encode_text(["a red dog"]))
    assert one.preprocessing == other.preprocessing


def test_a_checkpoint_of_open_clip_becomes_a_folder(folder: Path, tiny_clip: Path) -> None:
    [block] = [block for block in BLOCKS if "save_config_for_hf(" in block]
    exec(block.replace('"ViT-B-32"', '"tiny"'), {})
    _same(f"local:{folder / 'my-model'}", f"local:{tiny_clip}")


def test_a_model_of_transformers_is_saved_with_its_processor(
    tmp_path: Path, tiny_hf_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [block] = [block for block in BLOCKS if "save_pretrained" in block]
    assert block.count('"checkpoints/clip"') == 2
    exec(block.replace("checkpoints/clip", str(tiny_hf_clip)), {})
    _same(f"local:{tmp_path / 'my-clip'}", f"local:{tiny_hf_clip}")


def test_an_object_is_wrapped_and_explained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = [block for block in BLOCKS if "wrap(" in block]
    exec(block.replace('"ViT-B-32"', '"tiny"'), {})
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "torch.Size([1, 2, 4, 4])"
    assert said.startswith("tensor([[")


def test_the_line_of_the_page_is_the_one_that_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = re.findall(r"^```text\n(ModelError.*)\n```", PAGE, re.MULTILINE)
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as refused:
        load_model("local:my-model")
    assert refused.value.line() == line
