"""What Emu2 takes of each device is counted before it is loaded, and what would fit is said."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.core.plugins import make
from covar_gen.editors import _emu2_published as published
from covar_gen.editors import _emu2_room as room
from covar_gen.editors._emu2_placing import shapes
from covar_gen.editors._emu2_room import (
    WORKING_GIB,
    Language,
    Loads,
    chosen,
    published_gib,
    published_loads,
    thriftier,
)
from covar_gen.editors.base import Editor

GIB = 2**30
GPU = torch.device("cuda:0")


def parameters(module: Any) -> int:
    return sum(map(math.prod, shapes(module).values()))


def test_the_published_numbers_are_those_of_networks_of_the_published_shapes() -> None:
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    from covar_gen.editors._emu2_tower import TowerShape, build_tower

    with torch.device("meta"):
        made: dict[str, Any] = {
            "visual": build_tower(TowerShape.of(published.VISUAL)),
            "lm": transformers.LlamaModel(transformers.LlamaConfig(**published.LANGUAGE)),
            "project_up": torch.nn.Linear(1792, 6656, bias=False),
            "project_down": torch.nn.Linear(6656, 1792, bias=False),
            "unet": diffusers.UNet2DConditionModel.from_config(published.UNET),
            "vae": diffusers.AutoencoderKL.from_config(published.VAE),
            "safety_checker": StableDiffusionSafetyChecker(
                transformers.CLIPConfig.from_dict(published.SAFETY_CHECKER)
            ),
        }
    assert {name: parameters(module) for name, module in made.items()} == published.PARAMETERS
    layer = parameters(made["lm"].layers[0])
    assert set(published_loads().layers) == {2 * layer}


def test_the_published_weights_are_those_of_the_files() -> None:
    # 73.8 + 5.05 + 0.17 + 0.61 GB of files; the head for words, 0.43 GB, is not loaded.
    loads = published_loads()
    total = sum(loads.groups.values()) + sum(loads.layers)
    assert total / 1e9 == pytest.approx(73.8 + 5.05 + 0.17 + 0.61 - 0.43, abs=0.05)
    assert loads.groups["painter"] / 1e9 == pytest.approx(5.05 + 0.17 + 0.61, abs=0.01)
    assert sum(loads.most("swap", 1)) / 1e9 == pytest.approx(73.4, abs=0.05)
    bare = published_loads(safety_checker=False).groups["painter"]
    assert loads.groups["painter"] - bare == 2 * 303_981_588


def test_four_bits_take_a_quarter_of_the_language_model() -> None:
    full, packed = published_loads("full"), published_loads("int4")
    assert full.groups == packed.groups
    ratio = sum(packed.layers) / sum(full.layers)
    assert ratio == pytest.approx(4.127 / 16, rel=1e-3)


@pytest.mark.parametrize(
    ("stage", "language", "devices", "gib"),
    [
        ("resident", "full", 1, 76.8),
        ("swap", "full", 1, 71.3),
        ("auto", "full", 1, 71.3),
        ("resident", "full", 2, 39.9),
        ("swap", "full", 2, 37.5),
        ("resident", "int4", 1, 32.4),
        ("swap", "int4", 1, 27.0),
    ],
)
def test_what_each_gpu_should_have(stage: Any, language: Any, devices: int, gib: float) -> None:
    assert published_gib(stage, language, devices) == pytest.approx(gib, abs=0.06)


def test_settings_that_would_fit_are_those_that_fit() -> None:
    assert thriftier(75, "resident", "full", 1) == [
        "stage = 'auto'",
        "language = 'int4'",
        "devices = 2",
    ]
    assert thriftier(44, "auto", "full", 1) == ["language = 'int4'", "devices = 2"]
    assert thriftier(24, "auto", "full", 1) == ["devices = 4"]
    assert thriftier(23, "swap", "int4", 1) == ["devices = 2"]
    assert thriftier(27.1, "resident", "int4", 1) == ["stage = 'auto'", "devices = 2"]
    assert thriftier(4, "auto", "full", 1) == []


def test_in_float32_everything_takes_twice_as_much() -> None:
    half = published_gib("swap", "full", 1) - WORKING_GIB
    assert published_gib("swap", "full", 1, 4) - WORKING_GIB == pytest.approx(2 * half)
    packed = published_loads("int4", 4)
    layer = published_loads("full", 4).layers[0]
    assert packed.groups == published_loads("full", 4).groups
    assert packed.layers[0] / layer == pytest.approx(4.127 / 32, rel=1e-3)
    assert thriftier(75, "auto", "full", 1, 4) == [
        "dtype = 'bfloat16'",
        "language = 'int4'",
        "devices = 2",
    ]


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16", "float32"])
def test_the_editor_tells_what_its_type_takes(dtype: str) -> None:
    found = make("editors", "emu2", Editor, {"dtype": dtype})  # type: ignore[type-abstract]
    whole = dtype == "float32"
    assert found.memory_gib() == pytest.approx(139.7 if whole else 71.3, abs=0.06)
    assert ("dtype = 'bfloat16'" in found.thriftier(75)) == whole


def test_loads_are_counted_by_hand() -> None:
    loads = Loads({"encoder": 10, "painter": 30, "other": 5}, "encoder", [4, 4, 4])
    assert loads.most("resident", 1) == [57]
    assert loads.most("swap", 1) == [30]
    assert loads.most("resident", 2) == [45, 12]
    assert loads.most("swap", 2) == [30, 12]
    assert loads.dealt("swap", 2) == [1, 1, 1]
    assert loads.dealt("swap", 3) == [1, 1, 2]


def told(
    monkeypatch: pytest.MonkeyPatch,
    *free: float,
    stage: Any = "auto",
    language: Language = "full",
) -> str:
    """What is chosen for the published weights on GPUs with so many GiB free each."""
    rooms = {torch.device(f"cuda:{number}"): gib for number, gib in enumerate(free)}
    monkeypatch.setattr(room, "free_memory", lambda device: int(rooms[device] * GIB))
    loads = {each: published_loads(each) for each in get_args(Language)}
    return chosen(loads, stage, language, list(rooms), ("emu2.weights", "BAAI/Emu2-Gen@1"))


def test_auto_takes_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 139) == "resident"
    assert told(monkeypatch, 76.9) == "resident"
    assert told(monkeypatch, 76.7) == "swap"
    assert told(monkeypatch, 71.5) == "swap"
    assert told(monkeypatch, 44, 44) == "resident"
    assert told(monkeypatch, 39, 39) == "swap"
    assert told(monkeypatch, 47, language="int4") == "resident"
    assert told(monkeypatch, 31, language="int4") == "swap"


def test_what_was_asked_for_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 139, stage="swap") == "swap"
    with pytest.raises(DeviceMemoryError):
        told(monkeypatch, 75, stage="resident")


def test_where_nothing_fits_what_would_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceMemoryError) as caught:
        told(monkeypatch, 75, stage="resident")
    said = caught.value.line()
    assert "emu2.weights: BAAI/Emu2-Gen@1 takes 73.8 GiB of a GPU's memory and about 3 GiB" in said
    assert (
        "the fullest has 75.0 GiB free. Set stage = 'swap', or set language = 'int4', or " in said
    )
    with pytest.raises(DeviceMemoryError, match=r"has 37\.0 GiB free"):
        told(monkeypatch, 37, 47)
    with pytest.raises(DeviceMemoryError) as caught:
        told(monkeypatch, 47)
    said = caught.value.line()
    assert "takes 68.3 GiB" in said
    assert ". Set language = 'int4', or take more GPUs (devices), or larger ones" in said
    with pytest.raises(DeviceMemoryError) as caught:
        told(monkeypatch, 23, language="int4")
    assert ". Take more GPUs (devices), or larger ones" in caught.value.line()


def test_a_smaller_type_is_said_where_it_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = {each: published_loads(each, 4) for each in get_args(Language)}

    def said(gib: float, half: Loads | None) -> str:
        monkeypatch.setattr(room, "free_memory", lambda _: int(gib * GIB))
        with pytest.raises(DeviceMemoryError) as caught:
            chosen(loads, "auto", "full", [GPU], ("emu2.weights", "mine"), half)
        return caught.value.line()

    assert ". Set dtype = 'bfloat16', or set language = 'int4', or" in said(75, published_loads())
    assert "dtype" not in said(71, published_loads())
    assert "dtype" not in said(75, None)


def test_without_a_gpu_the_main_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = {each: Loads({"a": 3 * GIB}, "a", [GIB]) for each in get_args(Language)}
    named = ("emu2.weights", "mine")
    monkeypatch.setattr(room, "main_memory", lambda: 4 * GIB)
    assert chosen(loads, "auto", "full", [torch.device("cpu")], named) == "resident"
    monkeypatch.setattr(room, "main_memory", lambda: 4 * GIB - 1)
    with pytest.raises(DeviceMemoryError) as caught:
        chosen(loads, "auto", "full", [torch.device("cpu")], named)
    assert "mine takes 4.0 GiB; there is no GPU here, and the main memory has 4.0 GiB" in str(
        caught.value
    )
    assert WORKING_GIB > 0
