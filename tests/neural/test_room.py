"""Weights that cannot fit are refused before they are loaded, with what would fit."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.core.pins import alike
from covar_gen.neural import room
from covar_gen.neural.diffusion import DiffusionOptions, find_pipeline, load_pipeline
from covar_gen.neural.room import check_room, elements

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
FLUX = "black-forest-labs/FLUX.1-Fill-dev"
GIB = 2**30


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Path]]:
    """A transformer of 8 Gi parameters and a text encoder of 4 Gi, whose files are not there."""
    sizes = {"transformer": 8 * GIB, "text_encoder": 4 * GIB}
    monkeypatch.setattr(room, "elements", lambda path: sizes[path.name])
    return {name: [Path(name)] for name in sizes}


def has(monkeypatch: pytest.MonkeyPatch, main: float, gpu: float = 0) -> None:
    monkeypatch.setattr(room, "main_memory", lambda: int(main * GIB))
    monkeypatch.setattr(room, "free_memory", lambda _device: int(gpu * GIB))


def refused(parts: Any, device: torch.device, offload: Any = "none", repo: str = FLUX) -> str:
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    with pytest.raises(DeviceMemoryError) as caught:
        check_room(parts, device, dtype, offload, ("stable_diffusion.weights", "M@1", repo))
    return caught.value.line()


def fits(parts: Any, device: torch.device, offload: Any = "none") -> None:
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    check_room(parts, device, dtype, offload, ("stable_diffusion.weights", "M@1", FLUX))


def test_without_a_gpu_a_model_of_12_billion_says_which_gpu_or_which_weights(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, main=47)
    said = refused(parts, CPU)
    assert "stable_diffusion.weights: M@1 takes 48.0 GiB in float32; there is no GPU here" in said
    assert "the main memory has 47.0 GiB" in said
    assert "Use a GPU with more than 24 GiB, or weights that fit: " in said
    assert "stable-diffusion-v1-5/stable-diffusion-inpainting, " in said
    assert "runwayml" not in said
    has(monkeypatch, main=48)
    fits(parts, CPU)


def test_a_gpu_that_is_too_small_for_all_parts_at_once_is_answered_with_offloading(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, main=64, gpu=20)
    assert "takes 24.0 GiB in bfloat16; the GPU has 20.0 GiB free" in refused(parts, GPU)
    assert "Set offload = 'model', or take a larger GPU, or weights that" in refused(parts, GPU)
    fits(parts, GPU, "model")
    has(monkeypatch, main=64, gpu=12)
    said = refused(parts, GPU, "model")
    assert "its largest part takes 16.0 GiB" in said
    assert "Set offload = 'sequential', or take a larger GPU" in said
    fits(parts, GPU, "sequential")
    has(monkeypatch, main=64, gpu=24)
    fits(parts, GPU)


def test_what_is_offloaded_has_to_fit_the_main_memory(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, main=23, gpu=20)
    assert "offload =" not in refused(parts, GPU)
    assert "the main memory has 23.0 GiB" in refused(parts, GPU, "model")
    assert "main memory has 23.0 GiB" in refused(parts, GPU, "sequential")


def test_weights_that_nothing_is_known_of_are_answered_with_smaller_ones(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, main=8, gpu=4)
    assert "Take a larger GPU, or smaller weights" in refused(parts, GPU, repo="")
    assert alike("me/mine") == []


def test_numbers_are_counted_in_a_files_header(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    arrays = {"a": np.zeros((3, 5), np.float16), "b": np.zeros(7, np.float32)}
    save_file(arrays, path, metadata={"format": "pt"})
    assert elements(path) == 3 * 5 + 7
    (tmp_path / "model.bin").write_bytes(b"w" * 10)
    assert elements(tmp_path / "model.bin") == 5
    for damaged in (b"", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"[]"):
        path.write_bytes(damaged)
        assert elements(path) == 0


def test_a_pipeline_is_refused_before_it_is_loaded(
    tmp_path: Path, tiny_diffusion: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tiny_diffusion.save_stable_diffusion(tmp_path / "tiny")
    folder = find_pipeline(str(place), "tool.weights")
    options = DiffusionOptions(weights=str(place), dtype="float32")
    kind = folder.index()["_class_name"]
    monkeypatch.setattr(room, "main_memory", lambda: 1)
    with pytest.raises(DeviceMemoryError, match=r"tool\.weights: local:tiny@"):
        load_pipeline(folder, kind, options, CPU, torch.float32)
    monkeypatch.undo()
    assert load_pipeline(folder, kind, options, CPU, torch.float32) is not None
