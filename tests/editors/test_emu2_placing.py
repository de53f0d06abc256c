"""Emu2's networks are filled straight from their files, one group at a time, over many devices."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from covar_gen.core.errors import MissingExtraError, PluginError, WeightsError
from covar_gen.editors import _emu2_layouts as layouts
from covar_gen.editors import _emu2_placing as placing
from covar_gen.editors._emu2_loading import load
from covar_gen.editors._emu2_names import Source
from covar_gen.editors._emu2_placing import Placement, Staged, bare, empty, fill, shapes
from covar_gen.editors._emu2_spreading import follow, spread
from covar_gen.editors._emu2_weights import Weights
from covar_gen.neural.running import own_devices

CPU, META = torch.device("cpu"), torch.device("meta")
FLOAT, HALF = torch.float32, torch.bfloat16


@pytest.fixture(scope="module")
def weights(tiny_emu2: Any, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("emu2") / "hub"
    return layouts.find(str(tiny_emu2.save_hub(folder, checker=True)), "", safety_checker=True)


def language(weights: Weights) -> Any:
    from transformers import LlamaConfig, LlamaModel

    with bare():
        return LlamaModel(LlamaConfig(**weights.configs["lm"]))


def autoencoder(weights: Weights) -> Any:
    from diffusers import AutoencoderKL

    with bare():
        return AutoencoderKL.from_config(weights.configs["vae"])


def staged(weights: Weights, **placement: Any) -> Staged:
    groups: Any = {
        "encoder": {"lm": language(weights)},
        "painter": {"vae": autoencoder(weights)},
    }
    return Staged(weights, groups, Placement(**{"devices": (CPU,), "dtype": FLOAT, **placement}))


def answer(model: Any) -> torch.Tensor:
    given = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found: torch.Tensor = model(inputs_embeds=given.to(model.norm.weight.dtype))[0]
    return found.float()


def is_there(module: Any) -> bool:
    places = {parameter.is_meta for parameter in module.parameters()}
    assert len(places) == 1
    return places == {False}


def test_a_bare_network_takes_no_memory_but_knows_its_positions(weights: Weights) -> None:
    model = language(weights)
    assert not is_there(model)
    wide = 64 // 4
    expected = 10000.0 ** -(torch.arange(0, wide, 2) / wide)
    assert torch.allclose(model.rotary_emb.inv_freq, expected)


@pytest.mark.parametrize("dtype", [FLOAT, HALF])
def test_every_weight_of_every_network_is_the_files(weights: Weights, dtype: torch.dtype) -> None:
    whole = load(weights, Placement((CPU,), dtype))
    for name, group in whole.staged.groups.items():
        whole.staged.ready(name)
        for part, module in group.items():
            given = {tensor: value.clone() for tensor, value in weights.stream(part)}
            found = dict(module.named_parameters())
            assert len(found) == len(given)
            for tensor, value in given.items():
                double = tensor.replace("vision_model.", "vision_model.vision_model.", 1)
                mine = found.get(tensor, found.get(double))
                assert mine is not None
                assert mine.dtype == dtype
                assert torch.equal(mine, value.to(dtype))
                assert not mine.requires_grad
            assert not module.training


def test_rotary_frequencies_stay_float32_beside_weights_in_half(weights: Weights) -> None:
    model = language(weights)
    before = model.rotary_emb.inv_freq.clone()
    fill(model, weights.stream("lm"), CPU, HALF)
    assert model.rotary_emb.inv_freq.dtype == FLOAT
    assert torch.equal(model.rotary_emb.inv_freq, before)


def test_a_filled_network_keeps_nothing_of_the_file(tiny_emu2: Any, tmp_path: Path) -> None:
    file = tiny_emu2.save_native(tmp_path / "native")
    weights = layouts.find(str(file), "")
    model = language(weights)
    fill(model, weights.stream("lm"), CPU, HALF)
    before = answer(model)
    start = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\0" * (file.stat().st_size - start))
    assert torch.equal(answer(model), before)


def changed(weights: Weights, **more: Any) -> Weights:
    """The same files, as if the language model had other tensors."""
    named = {**weights.tensors["lm"], **{k: v for k, v in more.items() if v is not None}}
    named = {name: named[name] for name in named if name not in more or more[name] is not None}
    tensors = {**weights.tensors, "lm": named}
    return Weights("emu2.weights", weights.path, "", "hub", weights.configs, weights.words, tensors)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"norm.weight": None}, "lacks norm.weight"),
        ({"extra.weight": (3,)}, "has besides extra.weight"),
        ({"norm.weight": (65,)}, "has norm.weight (65,) instead of (64,)"),
        (
            {"norm.weight": None, "norm.bias": (64,)},
            "lacks norm.weight; it has besides norm.bias",
        ),
        (
            {f"layers.{n}.x": (1,) for n in range(7)},
            "layers.0.x, layers.1.x, layers.2.x, layers.3.x and 3 more",
        ),
    ],
)
def test_missing_unknown_and_unfit_tensors_are_refused_before_anything_is_loaded(
    weights: Weights, more: dict[str, Any], said: str
) -> None:
    entry = next(iter(weights.tensors["lm"].values())).entries
    other = changed(weights, **{k: v and Source(v, entry) for k, v in more.items()})
    model = language(weights)
    with pytest.raises(WeightsError) as caught:
        fill(model, other.stream("lm"), CPU, FLOAT)
    line = caught.value.line()
    assert line.startswith(f"WeightsError: emu2.weights: the part lm of {weights.path} ")
    assert said in line
    assert "\n" not in line
    assert not is_there(model)
    groups: Any = {"encoder": {"lm": model}}
    with pytest.raises(WeightsError):
        Staged(other, groups, Placement((CPU,), FLOAT))


def test_under_swap_one_group_is_there_and_comes_back_as_it_was(weights: Weights) -> None:
    both = staged(weights, stage="swap")
    model, vae = both.groups["encoder"]["lm"], both.groups["painter"]["vae"]
    both.ready("encoder")
    assert (is_there(model), is_there(vae)) == (True, False)
    before = answer(model)
    both.ready("painter")
    assert (is_there(model), is_there(vae)) == (False, True)
    both.ready("encoder")
    assert torch.equal(answer(model), before)
    assert not is_there(vae)
    both.release()
    assert not is_there(model)
    assert model.rotary_emb.inv_freq.device == CPU


def test_resident_networks_are_read_once_and_stay(weights: Weights) -> None:
    both = staged(weights, stage="resident")
    model, vae = both.groups["encoder"]["lm"], both.groups["painter"]["vae"]
    assert not is_there(model)
    both.ready("encoder")
    kept = model.norm.weight
    both.ready("painter")
    both.ready("encoder")
    assert (is_there(model), is_there(vae)) == (True, True)
    assert model.norm.weight is kept


@pytest.mark.parametrize("stage", ["resident", "swap"])
def test_what_was_loaded_in_part_before_memory_ran_out_is_released_too(
    stage: str, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = staged(weights, stage=stage)
    vae: Any = both.groups["painter"]["vae"]
    real, count = placing._put, iter(range(100))

    def put(*given: Any) -> None:
        if next(count) == 10:
            raise torch.OutOfMemoryError("full")
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(placing, "_put", put)
        with pytest.raises(torch.OutOfMemoryError):
            both.ready("painter")
    assert {parameter.is_meta for parameter in vae.parameters()} == {True, False}
    both.release()
    assert not is_there(vae)
    both.ready("painter")
    assert is_there(vae)


def test_an_emptied_network_has_its_shapes_and_no_memory(weights: Weights) -> None:
    model = language(weights)
    before = shapes(model)
    assert before == weights.stream("lm").shapes
    fill(model, weights.stream("lm"), CPU, FLOAT)
    empty(model)
    assert shapes(model) == before
    assert not is_there(model)


@contextmanager
def watched() -> Iterator[list[int]]:
    """Bytes of memory that this process has for itself, files mapped into it left out."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)

    def own() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])

    seen, done = [own()], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(own())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.fixture
def larger(tiny_emu2: Any, tmp_path: Path) -> Weights:
    """A language model of 190 MB in bfloat16, in two shards."""
    folder = tiny_emu2.save_hub(tmp_path / "larger", shards=1)
    encoder = folder / "multimodal_encoder"
    wide, middle, layers = 1024, 2816, 7
    config = json.loads((encoder / "config.json").read_text())
    more = {"hidden_size": wide, "intermediate_size": middle, "num_hidden_layers": layers}
    (encoder / "config.json").write_text(json.dumps({**config, **more}))
    file = encoder / "model.bf16.safetensors"
    start = "model.decoder.lm.model."
    content = {k: v for k, v in load_file(file).items() if not k.startswith(start)}
    sizes = {"q_proj": (wide, wide), "k_proj": (wide, wide), "v_proj": (wide, wide)}
    sizes |= {"o_proj": (wide, wide)}
    mlp = {"gate_proj": (middle, wide), "up_proj": (middle, wide), "down_proj": (wide, middle)}
    for layer in range(layers):
        named = {f"self_attn.{name}": shape for name, shape in sizes.items()}
        named |= {f"mlp.{name}": shape for name, shape in mlp.items()}
        named |= {"input_layernorm": (wide,), "post_attention_layernorm": (wide,)}
        for name, shape in named.items():
            content[f"{start}layers.{layer}.{name}.weight"] = torch.ones(shape, dtype=HALF)
    content[f"{start}embed_tokens.weight"] = torch.ones(672, wide, dtype=HALF)
    content[f"{start}norm.weight"] = torch.ones(wide, dtype=HALF)
    save_file(content, file)
    return layouts.find(str(folder), "")


def test_the_weights_are_in_main_memory_once_while_they_are_loaded(larger: Weights) -> None:
    size = larger.bytes("lm")
    assert size > 180e6
    model = language(larger)
    with watched() as seen:
        fill(model, larger.stream("lm"), CPU, HALF)
    assert 0.9 * size < max(seen) - seen[0] < 1.15 * size
    empty(model)
    with watched() as seen:
        fill(model, larger.stream("lm"), META, HALF)
    assert max(seen) - seen[0] < 0.1 * size


def test_layers_are_dealt_so_that_the_fullest_device_has_least() -> None:
    assert spread([1, 1, 1, 1], 0, 2) == [0, 0, 1, 1]
    assert spread([1, 1, 1, 1], 2, 2) == [0, 1, 1, 1]
    assert spread([5, 1, 1], 0, 1) == [0, 0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_way_to_deal_layers_is_better(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 9, (6,), generator=draw).tolist()
    fixed, count = int(torch.randint(0, 12, (1,), generator=draw)), 1 + seed % 3

    def fullest(numbers: Any) -> int:
        loads = [fixed] + [0] * (count - 1)
        for number, size in zip(numbers, sizes, strict=True):
            loads[number] += size
        return max(loads)

    every = [
        numbers
        for numbers in product(range(count), repeat=len(sizes))
        if all(a <= b for a, b in pairwise(numbers))
    ]
    mine = spread(sizes, fixed, count)
    assert tuple(mine) in every
    assert fullest(mine) == min(map(fullest, every))


def test_what_a_layer_is_given_follows_it_to_its_device() -> None:
    class Layer(torch.nn.Module):
        def forward(self, x: Any, pair: Any = None, word: str = "", named: Any = None) -> Any:
            assert word == "as it is"
            return x, pair, named

    layer = Layer()
    follow(layer, META)
    one = torch.ones(1)
    x, pair, named = layer(one, pair=(one, [one]), word="as it is", named={"a": one})
    assert x.is_meta
    assert pair[0].is_meta
    assert pair[1][0].is_meta
    assert named["a"].is_meta


def test_over_two_devices_layers_are_split_and_all_else_is_on_the_first(weights: Weights) -> None:
    both = staged(weights, devices=(CPU, META), stage="swap")
    both.ready("encoder")
    model: Any = both.groups["encoder"]["lm"]
    assert model.embed_tokens.weight.device == CPU
    assert model.norm.weight.device == CPU
    assert model.rotary_emb.inv_freq.device == CPU
    assert {p.device for p in model.layers[0].parameters()} == {CPU}
    assert {p.device for p in model.layers[1].parameters()} == {META}
    # All is computed, up to the copy back, of which there is none from this device.
    with torch.inference_mode(), pytest.raises(NotImplementedError, match="meta tensor"):
        model(inputs_embeds=torch.ones(1, 3, 64))


def test_a_process_takes_gpus_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_devices(1) == (CPU,)
    with pytest.raises(PluginError, match="take 2 GPUs, and 0 are here"):
        own_devices(2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    for local, first in ((0, 0), (1, 2), (2, 0)):
        monkeypatch.setenv("LOCAL_RANK", str(local))
        monkeypatch.setenv("RANK", str(local))
        monkeypatch.setenv("WORLD_SIZE", "3")
        names = [str(device) for device in own_devices(2)]
        assert names == [f"cuda:{first}", f"cuda:{first + 1}"]


def test_in_four_bits_the_matrices_are_packed_and_the_answer_is_near(weights: Weights) -> None:
    full, packed = staged(weights), staged(weights, language="int4", stage="swap")
    full.ready("encoder")
    packed.ready("encoder")
    model, other = full.groups["encoder"]["lm"], packed.groups["encoder"]["lm"]
    matrix: Any = other.get_parameter("layers.0.mlp.up_proj.weight")
    assert matrix.dtype == torch.uint8
    assert matrix.numel() == 172 * 64 // 2
    assert torch.equal(model.embed_tokens.weight, other.embed_tokens.weight)
    assert torch.equal(
        model.layers[1].input_layernorm.weight, other.layers[1].input_layernorm.weight
    )
    exact, near = answer(model), answer(other)
    error = (near - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.3
    packed.ready("painter")
    assert other.get_parameter("layers.0.mlp.up_proj.weight").is_meta
    assert shapes(other) == shapes(model)
    packed.ready("encoder")
    assert torch.equal(answer(other), near)


def test_four_bits_without_their_package_say_what_to_type(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "bitsandbytes" else real(name, *a),
    )
    with pytest.raises(MissingExtraError) as caught:
        staged(weights, language="int4")
    said = caught.value.line()
    assert "a language model in 4 bits (language = 'int4') needs bitsandbytes" in said
    assert "Type: pip install 'covar-gen[int4]'" in said
