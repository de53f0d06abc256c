"""bf16 and fp16 are near fp32; embeddings are float32 of unit norm; gradients stay the caller's."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models import load_model, wrap

FOLDERS = ["tiny_clip", "tiny_siglip", "tiny_hf_clip", "tiny_hf_siglip"]
TEXTS = ["a photo of the dog", "a red bird on a car"]


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("precision", "near"), [("bf16", 3e-2), ("fp16", 4e-3)])
def test_lower_precision_is_near_and_comes_out_as_unit_float32(
    folder: Path, precision: str, near: float
) -> None:
    exact, lower = (load_model(f"local:{folder}", precision=p) for p in ("fp32", precision))
    assert lower.precision == precision
    with torch.no_grad():
        for one, other in (
            (exact.encode_image(images()), lower.encode_image(images())),
            (exact.encode_text(TEXTS), lower.encode_text(TEXTS)),
        ):
            assert other.dtype == torch.float32
            torch.testing.assert_close(other.norm(dim=1), torch.ones(len(other)))
            torch.testing.assert_close(one, other, atol=near, rtol=0)
            assert not torch.equal(one, other)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_scale_and_bias_are_never_rounded(folder: Path, precision: str) -> None:
    exact = load_model(f"local:{folder}")
    lower = load_model(f"local:{folder}", precision=precision)
    assert (lower.logit_scale, lower.logit_bias) == (exact.logit_scale, exact.logit_bias)
    # No number of 8 bits: a rounded one would differ.
    assert exact.logit_scale == pytest.approx(1 / 0.07, rel=1e-6)


@pytest.mark.parametrize("file", ["open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"])
def test_scale_and_bias_are_restored_from_every_kind_of_file(
    file: str, tiny_siglip: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_siglip, tmp_path / "model"))
    safe = folder / "open_clip_model.safetensors"
    state = load_file(safe)
    state["logit_scale"].fill_(math.log(100))
    state["logit_bias"].fill_(-16.55)
    torch.save(state, folder / file)
    safe.unlink()
    lower = load_model(f"local:{folder}", precision="bf16")
    assert lower.logit_scale == pytest.approx(100, abs=1e-4)
    assert lower.logit_bias == pytest.approx(-16.55, rel=1e-6)


def test_scale_comes_from_the_file_that_is_loaded(tiny_siglip: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_siglip, tmp_path / "model"))
    exact = load_model(f"local:{folder}").logit_scale
    state = load_file(folder / "open_clip_model.safetensors")
    torch.save({**state, "logit_scale": torch.tensor(1.0)}, folder / "open_clip_pytorch_model.bin")
    assert load_model(f"local:{folder}", precision="bf16").logit_scale == exact


@pytest.mark.parametrize("library", ["tiny_clip", "tiny_hf_clip"])
def test_a_scale_is_the_float32_nearest_to_the_true_exponential(
    library: str, request: pytest.FixtureRequest
) -> None:
    model = load_model(f"local:{request.getfixturevalue(library)}")
    stored = model.module.logit_scale
    found, wanted = [], []
    for number in np.linspace(0, 5, 500, dtype=np.float32):
        with torch.no_grad():
            stored.fill_(float(number))
        found.append(model.logit_scale)
        wanted.append(float(np.float32(np.exp(np.longdouble(number)))))
    # In single precision one in a hundred is the neighbour, another one on every device.
    assert found == wanted


def test_pixels_of_any_type_are_taken_and_gradients_reach_them(folder: Path) -> None:
    model = load_model(f"local:{folder}", precision="bf16")
    pixels = images().requires_grad_()
    model.encode_image(pixels).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    with torch.no_grad():
        assert not model.encode_image(pixels).requires_grad


def test_models_are_loaded_in_evaluation_mode(folder: Path) -> None:
    model = load_model(f"local:{folder}")
    assert not any(module.training for module in model.module.modules())


def test_a_model_in_training_mode_is_refused(tiny_clip: Path) -> None:
    inner = load_model(f"local:{tiny_clip}").module.train()
    with pytest.raises(ModelError, match="training mode") as caught:
        wrap(inner)
    assert caught.value.mend == "Call model.eval() before wrap(model)"
    assert inner.training


def test_a_wrapped_models_precision_is_read_off_it(tiny_clip: Path) -> None:
    inner = load_model(f"local:{tiny_clip}", precision="bf16").module
    assert wrap(inner).precision == "bf16"
    with pytest.raises(ModelError, match="float64"):
        wrap(load_model(f"local:{tiny_clip}").module.double())


def test_one_text_that_is_no_list_is_refused_instead_of_being_spelt(tiny_clip: Path) -> None:
    with pytest.raises(TypeError, match="a list of texts"):
        load_model(f"local:{tiny_clip}").encode_text("dog")
