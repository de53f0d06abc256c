"""Weights that cannot fit are refused before they are loaded, with what would fit."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.pipeline_loading_utils import _assign_components_to_devices
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.core.pins import alike
from covar_gen.neural import room
from covar_gen.neural.diffusion import DiffusionOptions, find_pipeline, load_pipeline
from covar_gen.neural.room import balanced, check_room, elements

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
FLUX = "black-forest-labs/FLUX.1-Fill-dev"
GIB = 2**30


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Path]]:
    """A transformer of 8 Gi parameters and a text encoder of 4 Gi, whose files are not there."""
    sizes = {"transformer": 8 * GIB, "text_encoder": 4 * GIB}
    monkeypatch.setattr(room, "elements", lambda path: sizes[path.name])
    return {name: [Path(name)] for name in sizes}


def has(monkeypatch: pytest.MonkeyPatch, main: float, *gpus: float) -> None:
    """So much main memory, and GPUs with so much free, in GiB."""
    monkeypatch.setattr(room, "main_memory", lambda: int(main * GIB))
    monkeypatch.setattr(room, "free_memory", lambda device: int(gpus[device.index] * GIB))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))


def several(number: int) -> list[torch.device]:
    return [torch.device(f"cuda:{place}") for place in range(number)]


def refused(parts: Any, *devices: torch.device, offload: Any = "none", repo: str = FLUX) -> str:
    dtype = torch.float32 if devices[0].type == "cpu" else torch.bfloat16
    with pytest.raises(DeviceMemoryError) as caught:
        check_room(parts, devices, dtype, offload, ("stable_diffusion.weights", "M@1", repo))
    return caught.value.line()


def fits(parts: Any, *devices: torch.device, offload: Any = "none") -> None:
    dtype = torch.float32 if devices[0].type == "cpu" else torch.bfloat16
    check_room(parts, devices, dtype, offload, ("stable_diffusion.weights", "M@1", FLUX))


def test_without_a_gpu_a_model_of_12_billion_says_which_gpu_or_which_weights(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 47)
    said = refused(parts, CPU)
    assert "stable_diffusion.weights: M@1 takes 48.0 GiB in float32; there is no GPU here" in said
    assert "the main memory has 47.0 GiB" in said
    assert "Use a GPU with more than 24 GiB, or several (devices), or weights that fit: " in said
    assert "stable-diffusion-v1-5/stable-diffusion-inpainting, " in said
    assert "runwayml" not in said
    has(monkeypatch, 48)
    fits(parts, CPU)


def test_a_gpu_that_is_too_small_for_all_parts_at_once_is_answered_with_offloading(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 64, 20)
    assert "takes 24.0 GiB in bfloat16; the GPU has 20.0 GiB free" in refused(parts, GPU)
    assert "Set offload = 'model', or take a larger GPU, or weights that" in refused(parts, GPU)
    fits(parts, GPU, offload="model")
    has(monkeypatch, 64, 12)
    said = refused(parts, GPU, offload="model")
    assert "its largest part takes 16.0 GiB" in said
    assert "Set offload = 'sequential', or take a larger GPU" in said
    fits(parts, GPU, offload="sequential")
    has(monkeypatch, 64, 24)
    fits(parts, GPU)


def test_a_gpu_that_is_too_small_is_answered_with_those_beside_it(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 8, 20, 8, 12)
    # 16 GiB on the first, 8 on the second: of one GPU more, both find room.
    said = refused(parts, GPU)
    assert "the GPU has 20.0 GiB free" in said
    assert "Set devices = 2, or take a larger GPU" in said
    fits(parts, *several(2))
    fits(parts, *several(3))
    has(monkeypatch, 64, 15, 15)
    said = refused(parts, *several(2))
    assert "the GPUs have 15.0, 15.0 GiB free, its largest part takes 16.0 GiB" in said
    assert "Leave devices out and set offload = 'sequential', or take more or larger GPUs" in said
    has(monkeypatch, 64, 20, 7)
    assert "Leave devices out and set offload = 'model', or take more" in refused(
        parts, *several(2)
    )
    has(monkeypatch, 8, 20, 7, 8)
    assert "Set devices = 3, or take more or larger GPUs" in refused(parts, *several(2))


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    free=st.lists(st.integers(1, 60), min_size=2, max_size=4),
)
def test_networks_find_room_where_diffusers_leaves_none_behind(
    sizes: list[float], free: list[float]
) -> None:
    networks = {str(place): size for place, size in enumerate(sorted(sizes, reverse=True))}
    gpus = dict(sorted(enumerate(free), key=lambda each: each[1], reverse=True))
    dealt = _assign_components_to_devices(networks, gpus)
    assert balanced([*sizes, 0], free) == ("cpu" not in dealt)


def test_what_is_offloaded_has_to_fit_the_main_memory(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 23, 20)
    assert "offload =" not in refused(parts, GPU)
    assert "the main memory has 23.0 GiB" in refused(parts, GPU, offload="model")
    assert "main memory has 23.0 GiB" in refused(parts, GPU, offload="sequential")


def test_weights_that_nothing_is_known_of_are_answered_with_smaller_ones(
    parts: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 8, 4)
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
