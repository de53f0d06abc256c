"""How pipelines are run: compiled, with an attention of one's own, unmarked."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from diffusers.pipelines.pipeline_loading_utils import _assign_components_to_devices
from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl_inpaint as xl
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file

from covar_gen.core.errors import PluginError
from covar_gen.core.hub import command
from covar_gen.core.seeds import generator
from covar_gen.neural import diffusion, room
from covar_gen.neural.diffusion import FILES, find_pipeline, load_pipeline
from covar_gen.neural.inpainting import (
    Filling,
    Hole,
    InpaintingOptions,
    Painter,
    steps_to_ask,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folders(tiny_diffusion: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipelines")
    tiny_diffusion.save_stable_diffusion(root / "sd")
    tiny_diffusion.save_stable_diffusion_xl(root / "xl")
    tiny_diffusion.save_flux_fill(root / "flux")
    return root


def painter(folder: Path, **given: Any) -> Painter:
    options = InpaintingOptions(weights=str(folder), native=64, **{"steps": 2, **given})
    return Painter(find_pipeline(str(folder), "weights"), options)


def hole(seed: int, size: tuple[int, int] = (64, 64)) -> Hole:
    image = generator(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    fill = np.zeros(size, bool)
    fill[:, : size[1] // 3] = True
    return Hole("a", image, fill, np.zeros(size, bool), "beach", "dog", seed)


def refusal(folder: Path, **given: Any) -> str:
    with pytest.raises(PluginError) as error:
        painter(folder, **given)
    return error.value.line()


def test_pictures_of_many_sizes_are_painted_by_compiled_blocks(
    folders: Path, traced_blocks: list[dict[str, Any]]
) -> None:
    holes = [hole(n, size) for size in ((64, 64), (64, 96), (72, 64)) for n in (1, 2)]
    with torch._dynamo.config.patch(recompile_limit=1):
        compiled, plain = (painter(folders / "sd", compile=each) for each in (True, False))
        for batch in (holes, holes[:1]):
            for one, other in zip(compiled.paint(batch), plain.paint(batch), strict=True):
                assert isinstance(one, Filling)
                assert isinstance(other, Filling)
                assert np.abs(one.image.astype(int) - other.image).max() <= 1
    assert traced_blocks == [{"fullgraph": True}]


def test_what_cannot_be_compiled_is_refused(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(folders / "sd", compile=True, offload="sequential")
    assert "set offload = 'model'" in line
    monkeypatch.setattr(diffusers.UNet2DConditionModel, "_repeated_blocks", [])
    line = refusal(folders / "sd", compile=True)
    assert "UNet2DConditionModel has no blocks to compile" in line


def test_an_attention_backend_is_used_by_one_network_or_refused(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # diffusers would have it taken by all networks of the process that name none.
    before = _AttentionBackendRegistry._active_backend
    monkeypatch.setattr(_AttentionBackendRegistry, "_active_backend", before)
    found = painter(folders / "flux", attention="_native_math")
    blocks = found.pipe.transformer.transformer_blocks
    assert {str(block.attn.processor._attention_backend.value) for block in blocks} == {
        "_native_math"
    }
    assert _AttentionBackendRegistry._active_backend == before != "_native_math"
    calls: list[int] = []
    usual = _AttentionBackendRegistry._backends

    def counted(**given: Any) -> Any:
        calls.append(1)
        return usual["_native_math"](**given)

    monkeypatch.setattr(_AttentionBackendRegistry, "_backends", {**usual, "_native_math": counted})
    painter(folders / "flux").paint([hole(1)])
    assert not calls
    found.paint([hole(1)])
    assert calls
    assert "takes no attention backend ('native')" in refusal(folders / "sd", attention="native")
    assert "cannot be used" in refusal(folders / "sd", attention="no_such_backend")
    assert "would run code" in refusal(folders / "flux", attention="flash_hub")


def test_networks_are_spread_over_as_many_gpus_as_the_options_say(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in {"LOCAL_RANK": 1, "RANK": 1, "WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(number))
    free = {2: 5 * 2**30, 3: 3 * 2**30}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for module in (diffusion, room):
        monkeypatch.setattr(module, "free_memory", lambda device: free[device.index])
    kind = diffusers.FluxFillPipeline
    usual, asked = kind.from_pretrained, {}

    def without_gpus(path: Path, **given: Any) -> Any:
        asked.update(given)
        maps = {name: given.pop(name) for name in ("device_map", "max_memory")}
        pipe = usual(path, **given)
        # What diffusers would do with these GPUs, all but the moving.
        sizes = {"transformer": 3, "text_encoder": 2, "text_encoder_2": 2, "vae": 1}
        dealt = _assign_components_to_devices(sizes, maps["max_memory"])
        pipe.hf_device_map = {name: gpu for gpu, names in dealt.items() for name in names}
        return pipe

    monkeypatch.setattr(kind, "from_pretrained", without_gpus)
    folder = find_pipeline(str(folders / "flux"), "tool.weights")
    options = InpaintingOptions(weights=str(folders / "flux"), devices=2)
    device = torch.device("cuda:1")
    # diffusers refuses to move what it has spread: that it is left alone.
    pipe = load_pipeline(folder, "FluxFillPipeline", options, device, torch.float32)
    assert (asked["device_map"], asked["max_memory"]) == ("balanced", free)
    assert set(pipe.hf_device_map.values()) == {2, 3}
    more, both = (
        options.model_copy(update=change) for change in ({"devices": 5}, {"offload": "model"})
    )
    with pytest.raises(PluginError, match=r"tool\.weights: a process is to take 5 GPUs, and 4"):
        load_pipeline(folder, "FluxFillPipeline", more, device, torch.float32)
    with pytest.raises(PluginError, match="do not wait in the main memory"):
        load_pipeline(folder, "FluxFillPipeline", both, device, torch.float32)


def test_networks_are_not_spread_where_there_is_no_gpu(folders: Path) -> None:
    line = refusal(folders / "flux", devices=2)
    assert "no GPUs to spread networks over (devices = 2). Leave devices out" in line


def test_weights_as_they_were_before_safetensors_are_read(folders: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folders / "sd", tmp_path / "old")
    files = sorted(place.rglob("*.safetensors"))
    assert len(files) == 3
    for path in files:
        stem = "pytorch_model" if path.stem == "model" else path.stem
        torch.save(load_file(path), path.with_name(f"{stem}.bin"))
        path.unlink()
    (old,), (new,) = (painter(each).paint([hole(1)]) for each in (place, folders / "sd"))
    assert isinstance(old, Filling)
    assert isinstance(new, Filling)
    assert (old.image == new.image).all()
    before = find_pipeline(str(place), "weights").identity()
    (place / "text_encoder" / "pytorch_model.bin").write_bytes(b"other")
    assert find_pipeline(str(place), "weights").identity() != before


def test_no_picture_is_marked(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Marker:
        def apply_watermark(self, pictures: torch.Tensor) -> torch.Tensor:
            return -torch.ones_like(pictures)

    plain = painter(folders / "xl").paint([hole(1)])
    monkeypatch.setattr(xl, "is_invisible_watermark_available", lambda: True)
    monkeypatch.setattr(xl, "StableDiffusionXLWatermarker", Marker, raising=False)
    # What diffusers makes of it, where the package is installed.
    marked = diffusers.StableDiffusionXLInpaintPipeline.from_pretrained(folders / "xl")
    assert isinstance(marked.watermark, Marker)
    for one, other in zip(painter(folders / "xl").paint([hole(1)]), plain, strict=True):
        assert isinstance(one, Filling)
        assert isinstance(other, Filling)
        assert (one.image == other.image).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_precision_a_picture_is_nearly_the_same_also_after_too_little_memory(
    folders: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    half, whole = (painter(folders / "xl", dtype=each) for each in (dtype, "float32"))
    assert half.pipe.vae.config.force_upcast
    decode, types = half.pipe.vae.decode, []

    def too_large(latents: torch.Tensor, **given: Any) -> Any:
        types.append((half.pipe.vae.dtype, len(latents)))
        if len(latents) > 1:
            # What diffusers changed for the decoding stays changed.
            raise torch.OutOfMemoryError("too small")
        return decode(latents, **given)

    monkeypatch.setattr(half.pipe.vae, "decode", too_large)
    holes = [hole(1), hole(2)]
    for one, other in zip(half.paint(holes), whole.paint(holes), strict=True):
        assert isinstance(one, Filling)
        assert isinstance(other, Filling)
        assert (one.params["batch"], one.params["dtype"]) == (1, dtype)
        assert np.abs(one.image.astype(int) - other.image).mean() < 2
    # In float16 the autoencoder would overflow.
    computed = torch.float32 if dtype == "float16" else torch.bfloat16
    assert types == [(computed, 2), (computed, 1), (computed, 1)]


@pytest.mark.parametrize(
    ("steps", "strength", "transformer", "asked"),
    [
        (30, 1.0, True, 30),
        (30, 1.0, False, 30),
        (2, 0.6, True, 3),  # one of three is skipped; of two, none would be
        (2, 0.6, False, 4),  # int(2.4) are made
        (4, 0.5, True, 8),
        (4, 0.5, False, 8),
        (7, 0.9, True, 7),  # int(0.7) are skipped
        (7, 0.9, False, 8),
    ],
)
def test_so_many_steps_are_asked_for_worked_by_hand(
    steps: int, strength: float, asked: int, *, transformer: bool
) -> None:
    assert steps_to_ask(steps, strength, transformer=transformer) == asked


@pytest.mark.parametrize("steps", [1, 4, 28, 50])
@pytest.mark.parametrize("hundredths", range(5, 101, 5))
def test_the_share_of_steps_that_is_made_is_near_the_strength(steps: int, hundredths: int) -> None:
    strength = hundredths / 100
    for transformer in (True, False):
        share = steps / steps_to_ask(steps, strength, transformer=transformer)
        assert abs(share - strength) <= max(1 / steps * strength, 1e-9)


def test_what_to_type_fetches_what_is_read_of_a_pipeline_and_no_more() -> None:
    words = shlex.split(command("me/pipeline", "v1", FILES))
    # The client's own parser: offline it fails later than at a word that it does not know.
    given = {**os.environ, "HF_HUB_OFFLINE": "1"}
    tool = str(Path(sys.executable).with_name("hf"))
    asked = [tool, *words[1:], "--dry-run"]
    done = subprocess.run(asked, check=False, env=given, capture_output=True, text=True)
    assert done.returncode == 1
    assert "offline" in (done.stdout + done.stderr).lower()
    named = {
        way: [b for a, b in pairwise(words) if a == f"--{way}"] for way in ("include", "exclude")
    }
    repository = [
        "README.md", "model_index.json", "v1-5.safetensors", "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "transformer/diffusion_pytorch_model-00001-of-2.safetensors",
        "text_encoder/model.safetensors", "text_encoder/model.fp16.safetensors",
        "text_encoder/model.safetensors.index.json", "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "safety_checker/model.safetensors", "safety_checker/config.json",
    ]  # fmt: skip
    kept = filter_repo_objects(
        repository, allow_patterns=named["include"], ignore_patterns=named["exclude"]
    )
    assert set(repository) - set(kept) == {
        "README.md", "v1-5.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.bin", "text_encoder/model.fp16.safetensors",
        "safety_checker/model.safetensors", "safety_checker/config.json",
    }  # fmt: skip
