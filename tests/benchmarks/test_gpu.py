"""The benchmark for GPUs, with tiny networks on a CPU: that it runs, and what it counts.

Its numbers mean nothing here. The checkpoints of full size are checked by their shapes, and by
small ones that are written in the same way.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import gpu
import gpu_checkpoints
import gpu_emu2
import gpu_timing
import numpy as np
import pytest
import torch
import transformers
from gpu_zero123 import PARTS, canvases
from PIL import Image
from safetensors.torch import load_file
from synthetic_runs import photographs

from covar_gen.editors._emu2_layouts import find
from covar_gen.editors._emu2_loading import load as load_emu2
from covar_gen.editors._emu2_placing import Placement
from covar_gen.neural.diffusion import find_pipeline
from covar_gen.viewers._zero123_loading import load as load_zero123
from covar_gen.viewers._zero123_model import Asked, Seeded

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def traced() -> Iterator[None]:
    """What is compiled is traced and guarded as ever, and then run as it is: no C++ is written."""
    torch.compiler.set_default_backend("eager")
    yield
    torch.compiler.set_default_backend(None)
    torch._dynamo.reset()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("part", [*gpu.STAGES])
def test_a_stage_is_timed_beside_bare_loops(
    part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu.main([part, "--tiny", "--json", str(tmp_path / "found.json")]) == 0
    said = capsys.readouterr().out
    assert "These numbers mean nothing" in said
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["finished"]
    assert not found["means_something"]
    assert found["device"] == "cpu"
    rows = {row["what"]: row for row in found["rows"]}
    assert not [row["remark"] for row in rows.values() if "failed" in row["remark"]]
    assert all(row["rate"] > 0 for row in rows.values())
    assert [row["batch"] for row in found["rows"][:2]] == [1, 2]
    assert rows["stage"]["remark"] == "compiled"
    assert found["facts"]["graphs compiled"] > 0
    assert 0 <= rows["stage, under the profiler"]["waits"] < 1
    assert found["ratios"].keys() == {"stage over plain loop", "stage over bare loop"}
    assert all(ratio > 0 for ratio in found["ratios"].values())
    assert {"writing the checkpoint", "loading the weights", "plain loop, first image"} <= set(
        found["apart_seconds"]
    )
    assert "graphs compiled while timed" not in found["facts"], "timed what was still compiled"
    print(said)


def test_memory_by_batch_and_the_comparison_can_be_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    given = ["stable-diffusion", "--tiny", "--no-compile", "--json", str(path)]
    assert gpu.main([*given, "--only", "batches"]) == 0
    found = json.loads(path.read_text())
    assert [(row["what"], row["batch"]) for row in found["rows"]] == [
        ("stage, not compiled", 1),
        ("stage, not compiled", 2),
    ]
    assert gpu.main([*given, "--only", "compare", "--batch", "2"]) == 0
    found = json.loads(path.read_text())
    what = [row["what"] for row in found["rows"]]
    assert what[0] == "bare loop, as loaded"
    assert what[1:] == [
        "plain loop, one at a time", "best bare loop", "stage", "stage, under the profiler",
    ]  # fmt: skip
    assert found["rows"][3]["remark"] == "not compiled"
    assert found["facts"]["graphs compiled"] == 0


def test_what_was_found_before_a_failure_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(gpu.Bench, "compare", broken)
    path = tmp_path / "found.json"
    with pytest.raises(RuntimeError, match="no more"):
        gpu.main(["stable-diffusion", "--tiny", "--no-compile", "--json", str(path)])
    found = json.loads(path.read_text())
    assert not found["finished"]
    assert len(found["rows"]) == 2


def test_emu2_is_timed_by_network_and_what_lacks_is_extrapolated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    assert gpu.main(["emu2", "--tiny", "--json", str(path), "--folder", str(tmp_path / "at")]) == 0
    said = capsys.readouterr().out
    assert "These numbers mean nothing" in said
    found = json.loads(path.read_text())
    assert found["finished"]
    rows = [(row["what"], row["batch"]) for row in found["rows"]]
    here, whole = "stage, 2 layers", "extrapolated to 4 layers"
    assert rows[:4] == [(here, 1), (whole, 1), (here, 2), (whole, 2)]
    facts = found["facts"]
    for batch in (1, 2):
        parts = facts[f"seconds per image, batch {batch}"]
        assert parts.keys() == {"encoder", "language model", "UNet", "VAE", "all else"}
        assert all(value > 0 for value in parts.values())
        layers = facts[f"language model, seconds of a batch of {batch}"]["layers"]
        more = facts[f"seconds per image, batch {batch}, extrapolated"]
        # Two layers more are twice what the second of two is.
        each = (layers["2"] - layers["1"]) / batch
        gained = more["language model"] - parts["language model"]
        assert math.isclose(gained, 2 * each, abs_tol=1e-9)
        assert {name: more[name] for name in more if name != "language model"} == {
            name: parts[name] for name in parts if name != "language model"
        }
    assert not list((tmp_path / "at").iterdir()), "checkpoints stay behind"
    print(said)


def test_full_size_is_refused_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "own_device", lambda: CPU)
    assert gpu.main(["emu2"]) == 2
    assert "no GPU" in capsys.readouterr().out
    assert gpu.main(["stable-diffusion", "--tiny", "--only", "compare"]) == 2
    assert "wants --batch" in capsys.readouterr().out


def test_what_overlaps_is_busy_once() -> None:
    # 0 to 3 from two streams, a gap, 5 to 6 with one computation inside another.
    assert gpu_timing.covered([(5, 6), (0, 2), (1, 3), (5.2, 5.4)]) == pytest.approx(4)
    found = gpu_timing.Waits(seconds=10, busy=4, between=6)
    assert found.idle == pytest.approx(0.6)
    assert found.idle_between == pytest.approx(1 / 3)


def test_of_a_trace_only_what_the_device_computes_is_read() -> None:
    kernel = {"cat": "kernel", "ts": 2e6, "dur": 5e5}
    copy = {"cat": "gpu_memcpy", "ts": 3e6, "dur": 1e6}
    call = {"cat": "cuda_runtime", "ts": 0, "dur": 9e6}
    trace = {"traceEvents": [kernel, copy, call, {"cat": "kernel", "ts": 1}, {"ph": "M"}]}
    assert gpu_timing.spans_of(trace, gpu_timing.BUSY["cuda"]) == [(2.0, 2.5), (3.0, 4.0)]


def test_the_profiler_sees_work_and_waiting() -> None:
    import time

    matrix = torch.randn(600, 600)

    def work() -> None:
        matrix @ matrix
        time.sleep(0.2)
        matrix @ matrix

    found = gpu_timing.waits(CPU, work)
    assert 0.2 <= found.between <= found.seconds
    assert 0 < found.busy <= found.seconds - 0.2


def test_the_plain_loop_of_views_paints_what_the_viewer_paints(tmp_path: Path) -> None:
    weights = gpu_checkpoints.TESTS / "data" / "zero123plus" / "components"
    networks = load_zero123(find_pipeline(str(weights), "test", PARTS), CPU, torch.float32)
    asked = Asked(steps=3, width=64, height=96)
    pictures = [Image.fromarray(each) for each in photographs(2, 64, 64)]
    noises = [Seeded(1), Seeded(2)]
    plain, ours = (
        canvases(networks, pictures, asked, noises),
        networks.make(pictures, noises, asked),
    )
    assert ours.std() > 0.01
    assert np.abs(plain - ours).max() < 1e-4
    assert np.abs(canvases(networks, pictures, asked) - ours).max() > 0.01, "noise is its own"


def parameters(kind: Any, config: Any) -> int:
    with torch.device("meta"):
        made = kind(**config) if isinstance(config, dict) else kind(config)
    return sum(each.numel() for each in made.parameters())


def test_networks_of_full_size_have_the_published_numbers_of_parameters() -> None:
    unet, vae = diffusers.UNet2DConditionModel, diffusers.AutoencoderKL
    # Stable Diffusion 1.5 has 859,520,964; each further channel has a kernel of 3 x 3 x 320.
    assert parameters(unet, gpu_checkpoints.unet_config(9)) == 859_520_964 + 5 * 9 * 320
    assert parameters(vae, gpu_checkpoints.vae_config(512)) == 83_653_863
    tokenizer = gpu_checkpoints.beside("tiny_diffusion").clip_tokenizer()
    words = gpu_checkpoints.text_config(tokenizer, 768, 12, "quick_gelu")
    assert parameters(transformers.CLIPTextModel, words) == 123_060_480
    # Zero123++: networks of Stable Diffusion 2 and of CLIP-H, the text's without its last layer.
    assert parameters(unet, gpu_checkpoints.unet_config(4, **gpu_checkpoints.WIDE)) == 865_910_724
    words = gpu_checkpoints.text_config(tokenizer, 1024, 23, "gelu")
    assert parameters(transformers.CLIPTextModel, words) == 340_387_840
    eyes = gpu_checkpoints.vision_config()
    assert parameters(transformers.CLIPVisionModelWithProjection, eyes) == 632_076_800
    published = gpu_checkpoints.emu2.PARAMETERS
    config = {**gpu_checkpoints.emu2.LANGUAGE, "num_hidden_layers": 60}
    shapes = gpu_checkpoints.encoder_shapes(config)
    wanted = ("visual", "lm", "project_up", "project_down")
    assert sum(map(math.prod, shapes.values())) == sum(published[name] for name in wanted)


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of full size, but narrow: what writes them stays the same."""
    unet, vae, text = (
        gpu_checkpoints.unet_config,
        gpu_checkpoints.vae_config,
        gpu_checkpoints.text_config,
    )

    def narrow(channels: int, **more: Any) -> dict[str, Any]:
        heads = (1, 2, 2, 2) if "use_linear_projection" in more else 2
        widths = {"block_out_channels": (32, 64, 64, 64), "cross_attention_dim": 64}
        return {**unet(channels, **more), **widths, "attention_head_dim": heads}

    monkeypatch.setattr(gpu_checkpoints, "unet_config", narrow)
    monkeypatch.setattr(
        gpu_checkpoints,
        "vae_config",
        lambda edge: vae(edge) | {"block_out_channels": (32, 32, 32, 32)},
    )
    monkeypatch.setattr(gpu_checkpoints, "text_config", lambda t, _w, _n, act: text(t, 64, 1, act))


@pytest.mark.parametrize("channels", [8, 9])
def test_a_pipeline_of_random_weights_loads_as_published_ones_do(
    channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    folder = gpu_checkpoints.save_stable_diffusion(tmp_path / "sd", CPU, channels)
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    kind = {8: "InstructPix2PixPipeline", 9: "InpaintPipeline"}[channels]
    assert type(pipe).__name__ == f"StableDiffusion{kind}"
    written = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    kernel = pipe.unet.conv_in.weight.detach()
    assert torch.equal(kernel, written["conv_in.weight"].float())
    assert float(kernel.std()) == pytest.approx((channels * 9) ** -0.5, rel=0.1)


def test_zero123plus_of_random_weights_loads_as_published_ones_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    eyes = transformers.CLIPVisionConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        patch_size=56, projection_dim=64,
    )  # fmt: skip
    monkeypatch.setattr(gpu_checkpoints, "vision_config", lambda: eyes)
    folder = gpu_checkpoints.save_zero123plus(tmp_path / "zero123", CPU)
    networks = load_zero123(find_pipeline(str(folder), "test", PARTS), CPU, torch.float32)
    (picture,) = photographs(1, 64, 64)
    found = networks.make([Image.fromarray(picture)], [Seeded(1)], Asked(1, width=64, height=96))
    assert found.shape == (1, 96, 64, 3)
    assert np.isfinite(found).all()
    assert networks.for_vae.size["shortest_edge"] == 512


def test_emu2_of_random_weights_loads_as_published_ones_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = gpu_checkpoints.emu2
    thin = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2}
    monkeypatch.setattr(facts, "LANGUAGE", facts.LANGUAGE | thin)
    eyes = {"width": 56, "layers": 2, "head_width": 28}
    monkeypatch.setattr(facts, "VISUAL", facts.VISUAL | eyes)
    narrow = {
        "block_out_channels": [32, 32, 64], "attention_head_dim": [1, 1, 2],
        "cross_attention_dim": 56, "transformer_layers_per_block": [1, 1, 1],
        "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 104,
    }  # fmt: skip
    monkeypatch.setattr(facts, "UNET", facts.UNET | narrow)
    monkeypatch.setattr(facts, "VAE", facts.VAE | {"block_out_channels": [32, 32, 32, 32]})
    monkeypatch.setattr(gpu_checkpoints, "SHARD", 200_000)
    folder = gpu_checkpoints.save_emu2(tmp_path / "emu2", CPU, layers=3)
    weights = find(str(folder), "test")
    assert len(weights.files) > 3, "the encoder is in shards"
    networks = load_emu2(weights, Placement((CPU,), torch.float32))
    networks.staged.ready("encoder")
    assert len(networks.writer.model.layers) == 3
    bias = networks.tower.blocks[0]["attn"]["qkv"].bias.chunk(3)
    assert [bool(each.any()) for each in bias] == [True, False, True]
    assert networks.writer.tokens.rows == 32_272
    (picture,) = photographs(1, 64, 64)
    (wanted,) = networks.embed([networks.shown([Image.fromarray(picture), "a hot desert"])])
    assert torch.isfinite(wanted.wanted).all()


def test_as_many_layers_are_taken_as_the_disk_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    def room(gib: float) -> int:
        disk = shutil._ntuple_diskusage(0, 0, int(gib * 2**30))  # type: ignore[attr-defined]
        monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
        return gpu_emu2.layers_that_fit(tmp_path, CPU)

    # A layer takes 0.997 GiB, everything else 13.41 GiB, and 3 GiB are left free: 26.38 for ten.
    assert room(200) == 60
    assert room(26.4) == 10
    assert room(26.3) == 9
    assert room(10) == 0


def test_the_commands_of_the_page_are_understood() -> None:
    page = gpu_checkpoints.TESTS.parent / "docs" / "benchmarks.md"
    said = re.findall(r"`python tests/benchmarks/gpu\.py ([^`]+)`", page.read_text("utf-8"))
    asked = [gpu.arguments(each.split()) for each in said]
    assert {each.part for each in asked} == {*gpu.STAGES, gpu_emu2.NAME}
    assert all(each.json for each in asked)
