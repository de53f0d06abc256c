"""Emu2-Gen's files are found in both layouts; everything that is wrong with them is one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from covar_gen.core.digests import file_sha256
from covar_gen.core.errors import WeightsError
from covar_gen.editors import _emu2_published as published
from covar_gen.editors._emu2_layouts import PARTS, find
from covar_gen.editors._emu2_weights import Weights

ENCODER = "multimodal_encoder"
NATIVE = "Emu2-Gen_pytorch_model.bf16.safetensors"
INDEX = f"{ENCODER}/model.safetensors.index.bf16.json"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def made(tiny_emu2: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both layouts: hub in three shards, native, and native without anything beside it."""
    folder = tmp_path_factory.mktemp("emu2")
    tiny_emu2.save_hub(folder / "hub", shards=3, checker=True)
    tiny_emu2.save_native(folder / "native")
    return folder


@pytest.fixture
def hub(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "hub", tmp_path / "hub"))


@pytest.fixture
def native(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "native", tmp_path / "native")) / NATIVE


def refused(name: object, **given: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        find(str(name), "emu2.weights", **given)
    line = caught.value.line()
    assert line.startswith("WeightsError: emu2.weights: ")
    return line


def tensors(weights: Weights, part: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in weights.stream(part)}


def changed(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    content = load_file(file)
    change(content)
    save_file(content, file)


def without(file: Path, key: str, value: Any = None) -> None:
    settings = json.loads(file.read_text())
    settings.pop(key, None)
    if value is not None:
        settings[key] = value
    file.write_text(json.dumps(settings))


def test_both_layouts_hold_the_same_tensors_under_the_same_names(made: Path) -> None:
    one, other = find(str(made / "hub"), ""), find(str(made / "native" / NATIVE), "")
    assert (one.layout, other.layout) == ("hub", "native")
    for part in PARTS:
        left, right = tensors(one, part), tensors(other, part)
        assert left
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
        assert one.stream(part).shapes == {k: tuple(v.shape) for k, v in left.items()}
        assert one.bytes(part) >= sum(v.numel() * 2 for v in left.values()) - 3 * 56 * 2
    assert one.configs == other.configs


def test_names_are_those_of_the_networks(made: Path) -> None:
    weights = find(str(made / "hub"), "", safety_checker=True)
    assert list(weights.stream("project_up").shapes.items()) == [("weight", (64, 56))]
    assert weights.stream("lm").shapes["embed_tokens.weight"] == (672, 64)
    assert weights.stream("lm").shapes["layers.1.mlp.up_proj.weight"] == (172, 64)
    assert weights.stream("visual").shapes["blocks.2.attn.qkv.bias"] == (168,)
    assert "conv_in.weight" in weights.stream("unet").shapes
    assert "decoder.conv_out.bias" in weights.stream("vae").shapes
    assert "concept_embeds" in weights.stream("safety_checker").shapes
    every = [name for part in PARTS for name in weights.stream(part).shapes]
    assert not any("inv_freq" in name or "lm_head" in name for name in every)


def test_keys_have_no_bias_in_either_layout(made: Path) -> None:
    for name in ("hub", f"native/{NATIVE}"):
        bias = tensors(find(str(made / name), ""), "visual")["blocks.0.attn.qkv.bias"]
        queries, keys, values = bias.chunk(3)
        assert not keys.any()
        assert queries.all()
        assert values.all()


def test_a_bias_of_the_keys_is_refused_when_it_is_read(hub: Path) -> None:
    shards = sorted((hub / ENCODER).glob("*.safetensors"))
    name = "model.visual.blocks.1.attn.qkv.bias"
    shard = next(shard for shard in shards if name in load_file(shard))
    changed(shard, lambda content: content[name][60].fill_(0.5))
    with pytest.raises(WeightsError, match=r"gives the keys of blocks\.1\.attn\.qkv\.bias a bias"):
        tensors(find(str(hub), ""), "visual")


def test_settings_are_those_of_the_folder_and_the_vocabulary_that_of_the_weights(hub: Path) -> None:
    without(hub / ENCODER / "config.json", "vocab_size", 400)
    configs = find(str(hub), "").configs
    assert configs["lm"]["vocab_size"] == 672
    assert configs["lm"]["num_hidden_layers"] == 2
    assert configs["visual"]["width"] == 56
    assert configs["visual"]["head_width"] == 28
    assert configs["unet"]["cross_attention_dim"] == 56
    assert configs["vae"]["scaling_factor"] == 0.13025
    assert configs["scheduler"]["timestep_spacing"] == "leading"
    assert "safety_checker" not in configs


def test_a_native_file_alone_has_the_published_shape(native: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    native.rename(alone / NATIVE)
    (native.parent / "tokenizer").rename(alone / "llama_config")
    weights = find(str(alone / NATIVE), "")
    assert weights.tokenizer == alone / "llama_config"
    assert weights.configs["lm"] == {**published.LANGUAGE, "vocab_size": 672}
    assert weights.configs["visual"] == published.VISUAL
    assert weights.configs["unet"] == published.UNET


def test_a_folder_with_the_native_file_alone_is_that_file(native: Path) -> None:
    shutil.rmtree(native.parent / ENCODER)
    weights = find(str(native.parent), "")
    assert weights.path == native
    assert weights.layout == "native"


def test_one_file_without_an_index_will_do(tiny_emu2: Any, tmp_path: Path, made: Path) -> None:
    tiny_emu2.save_hub(tmp_path / "one", shards=1)
    weights = find(str(tmp_path / "one"), "")
    assert [file.name for file in weights.files if file.parent.name == ENCODER] == [
        "model.bf16.safetensors"
    ]
    assert weights.stream("lm").shapes == find(str(made / "hub"), "").stream("lm").shapes


@pytest.mark.parametrize("variant", ["both", "plain"])
def test_an_index_without_the_name_of_the_variant_will_do(hub: Path, variant: str) -> None:
    index = hub / INDEX
    plain = hub / ENCODER / "model.safetensors.index.json"
    if variant == "plain":
        index.rename(plain)
    else:
        plain.write_text('{"weight_map": {"a": "model-00001-of-00001.safetensors"}}')
    assert find(str(hub), "").stream("lm").shapes


def test_of_two_indices_the_one_whose_files_are_there_is_taken(hub: Path) -> None:
    plain = hub / ENCODER / "model.safetensors.index.json"
    shutil.copy(hub / INDEX, plain)
    (hub / INDEX).write_text('{"weight_map": {"a": "model.bf16-00001-of-00009.safetensors"}}')
    assert find(str(hub), "").stream("lm").shapes


def test_weights_without_the_name_of_the_variant_will_do(hub: Path) -> None:
    unet = hub / "unet"
    (unet / "diffusion_pytorch_model.bf16.safetensors").rename(
        unet / "diffusion_pytorch_model.safetensors"
    )
    assert find(str(hub), "").stream("unet").shapes


def test_a_missing_shard_is_named(hub: Path) -> None:
    shards = sorted((hub / ENCODER).glob("*.safetensors"))
    shards[1].unlink()
    said = refused(hub)
    assert f"is incomplete: it lacks {ENCODER}/model.bf16-00002-of-00003.safetensors. " in said
    assert f"hf download BAAI/Emu2-Gen --local-dir {hub}" in said


def test_missing_weights_of_a_part_are_named(hub: Path) -> None:
    (hub / "vae" / "diffusion_pytorch_model.bf16.safetensors").unlink()
    said = refused(hub)
    assert "it lacks vae/diffusion_pytorch_model.bf16.safetensors" in said


def test_a_cut_off_shard_is_named_before_anything_is_loaded(hub: Path) -> None:
    shard = sorted((hub / ENCODER).glob("*.safetensors"))[2]
    shard.write_bytes(shard.read_bytes()[:-100])
    said = refused(hub)
    assert f"{shard} is cut off" in said


def test_a_damaged_index_is_said(hub: Path) -> None:
    (hub / INDEX).write_text("{")
    assert f"{hub / INDEX} cannot be read as JSON" in refused(hub)
    (hub / INDEX).write_text("{}")
    assert f"{hub / INDEX} names no files" in refused(hub)


def test_an_index_cannot_name_files_elsewhere(hub: Path, tmp_path: Path) -> None:
    (hub / INDEX).write_text('{"weight_map": {"a": "../../outside.safetensors"}}')
    (tmp_path / "outside.safetensors").write_bytes(b"")
    assert f"it lacks {ENCODER}/outside.safetensors" in refused(hub)


@pytest.mark.parametrize(
    "file",
    [f"{ENCODER}/config.json", "unet/config.json", "scheduler/scheduler_config.json"],
)
def test_missing_settings_are_named(hub: Path, file: str) -> None:
    (hub / file).unlink()
    assert f"{hub} is no Emu2-Gen: it lacks {file}. " in refused(hub)


def test_a_missing_tokenizer_is_named(hub: Path) -> None:
    for name in ("tokenizer.json", "tokenizer.model"):
        (hub / "tokenizer" / name).unlink(missing_ok=True)
    assert "it lacks tokenizer/tokenizer.json" in refused(hub)


def test_another_folder_is_no_emu2(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    said = refused(tmp_path)
    assert f"{tmp_path} is no Emu2-Gen: it lacks {ENCODER}/config.json, " in said
    assert "and 1 more" in said


def test_the_folder_of_the_encoder_is_answered_with_the_one_above(hub: Path) -> None:
    assert f"Name the folder above it: {hub}" in refused(hub / ENCODER)


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert f"there is no {tmp_path / 'x'}" in refused(tmp_path / "x")
    assert "there is no weights/x.safetensors" in refused("weights/x.safetensors")


def test_a_file_of_another_kind_is_said(tmp_path: Path) -> None:
    other = tmp_path / "Emu2-Gen.safetensors"
    other.write_bytes(b"PK\x03\x04" + b"\0" * 99)
    assert "is no .safetensors file" in refused(other)


def test_the_native_file_of_another_emu2_lacks_the_painter(native: Path) -> None:
    changed(
        native,
        lambda content: [
            content.pop(key) for key in list(content) if key.startswith(("unet.", "vae."))
        ],
    )
    assert "is no Emu2-Gen: it has no weights of unet, vae" in refused(native)


def test_tensors_that_nothing_is_known_of_are_counted_and_a_few_named(native: Path) -> None:
    changed(native, lambda c: c.update({f"lora.{n}": torch.ones(1) for n in range(6)}))
    said = refused(native)
    assert "has 6 tensors that Emu2-Gen has not: lora.0, lora.1, lora.2, lora.3 and 2 more" in said


def test_a_tensor_in_two_shards_is_refused(hub: Path) -> None:
    shards = sorted((hub / ENCODER).glob("*.safetensors"))
    key = next(key for key in load_file(shards[0]) if "mlp" in key)
    changed(shards[1], lambda content: content.update({key: torch.ones(2)}))
    assert f"has 1 tensor that Emu2-Gen has not: {key} (a second time)" in refused(hub)


def test_quantised_weights_are_refused(native: Path) -> None:
    key = "multimodal_encoder.decoder.lm.model.layers.0.mlp.up_proj.weight"
    changed(native, lambda content: content.update({key: content[key].to(torch.int8)}))
    assert "has weights of the type I8" in refused(native)


@pytest.mark.parametrize("lost", ["q_bias", "v_bias"])
def test_a_bias_without_its_partner_is_left_under_its_own_name(native: Path, lost: str) -> None:
    key = f"multimodal_encoder.visual.blocks.0.attn.{lost}"
    changed(native, lambda content: content.pop(key))
    shapes = find(str(native), "").stream("visual").shapes
    assert "blocks.0.attn.qkv.bias" not in shapes
    assert "blocks.1.attn.qkv.bias" in shapes


def test_biases_of_unequal_length_are_not_joined(native: Path) -> None:
    key = "multimodal_encoder.visual.blocks.0.attn.v_bias"
    changed(native, lambda content: content.update({key: content[key][:-1].clone()}))
    shapes = find(str(native), "").stream("visual").shapes
    assert shapes["blocks.0.attn.v_bias"] == (55,)
    assert "blocks.0.attn.qkv.bias" not in shapes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("attention_bias", 1),
        ("rope_theta", 500000.0),
    ],
)
def test_settings_of_another_language_model_are_refused(hub: Path, key: str, value: Any) -> None:
    without(hub / ENCODER / "config.json", key, value)
    assert f"asks for another network: {key}" in refused(hub)


def test_settings_of_another_tower_are_refused(hub: Path) -> None:
    config = hub / ENCODER / "config.json"
    tower = json.loads(config.read_text())["vision_config"]
    without(config, "vision_config", {**tower, "rope": True, "postnorm": False})
    assert "asks for another network: rope, postnorm" in refused(hub)


def test_settings_that_lack_a_size_are_refused(hub: Path) -> None:
    without(hub / ENCODER / "config.json", "hidden_size")
    without(hub / ENCODER / "config.json", "vision_config")
    assert "lacks hidden_size, vision_config" in refused(hub)


def test_the_safety_checker_is_asked_for_where_it_is_wanted(hub: Path, native: Path) -> None:
    assert find(str(hub), "", safety_checker=True).stream("safety_checker").shapes
    assert not find(str(hub), "").stream("safety_checker").shapes
    shutil.rmtree(hub / "safety_checker")
    assert find(str(hub), "").stream("unet").shapes
    assert "it lacks safety_checker/config.json" in refused(hub, safety_checker=True)
    assert "has no weights of safety_checker" in refused(native, safety_checker=True)


def test_a_safety_checker_in_the_native_file_is_passed_over_unless_wanted(native: Path) -> None:
    name = "safety_checker.vision_model.vision_model.embeddings.class_embedding"
    positions = "safety_checker.vision_model.vision_model.embeddings.position_ids"
    more = {name: torch.ones(3), positions: torch.arange(4)}
    changed(native, lambda content: content.update(more))
    assert not find(str(native), "").stream("safety_checker").shapes
    weights = find(str(native), "", safety_checker=True)
    shapes = {"vision_model.embeddings.class_embedding": (3,)}
    assert weights.stream("safety_checker").shapes == shapes
    assert weights.configs["safety_checker"] == published.SAFETY_CHECKER


def test_the_hash_is_of_all_weights_and_the_identity_of_the_settings_too(hub: Path) -> None:
    before = find(str(hub), "")
    lines = sorted(
        f"{file_sha256(file)}  {file.relative_to(hub).as_posix()}\n" for file in before.files
    )
    by_name = sorted(lines, key=lambda line: line.split("  ")[1])
    assert before.sha256 == hashlib.sha256("".join(by_name).encode()).hexdigest()
    assert len(before.files) == 5
    assert before.model == f"local:hub@{before.sha256[:12]}"
    without(hub / "scheduler" / "scheduler_config.json", "steps_offset", 2)
    after = find(str(hub), "").identity()
    assert after["sha256"] == before.sha256 == before.identity()["sha256"]
    assert after != before.identity()
    (hub / "tokenizer" / "tokenizer.json").write_text("{}")
    assert find(str(hub), "").identity() != after


def test_weights_of_another_hash_than_the_pinned_one_are_refused(native: Path) -> None:
    weights = find(str(native), "emu2.weights")
    assert weights.sha256 == file_sha256(native)
    weights.check_pinned(None)
    weights.check_pinned(weights.sha256.upper())
    with pytest.raises(WeightsError) as caught:
        weights.check_pinned("0" * 64)
    said = caught.value.line()
    assert f"have the SHA-256 {weights.sha256}, not the pinned {'0' * 64}" in said
    assert "correct emu2.weights_sha256" in said


def test_a_file_of_the_cache_that_is_not_what_its_name_says_is_named(
    native: Path, tmp_path: Path
) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    digest = file_sha256(native)
    native.rename(blobs / digest)
    native.symlink_to(blobs / digest)
    weights = find(str(native.parent / NATIVE), "emu2.weights")
    assert weights.sha256 == digest
    weights.check_pinned(digest)
    content = bytearray((blobs / digest).read_bytes())
    content[-1] ^= 1
    (blobs / digest).write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="its name in the cache says"):
        find(str(native.parent / NATIVE), "emu2.weights").check_pinned(digest)


def test_a_file_that_vanishes_while_it_is_read_is_one_line(hub: Path) -> None:
    weights = find(str(hub), "emu2.weights")
    (hub / "unet" / "diffusion_pytorch_model.bf16.safetensors").unlink()
    with pytest.raises(WeightsError, match="can no longer be read"):
        tensors(weights, "unet")


@pytest.fixture
def server(made: Path, empty_hub: Any) -> Any:
    """A Hub with BAAI/Emu2-Gen, remote code and all, an empty cache, and nobody logged in."""
    files = {
        path.relative_to(made / "hub").as_posix(): path.read_bytes()
        for path in (made / "hub").rglob("*")
        if path.is_file()
    }
    code = {f"{ENCODER}/modeling_emu.py": b"raise SystemExit", "pipeline_emu2_gen.py": b"1 / 0"}
    empty_hub.models["BAAI/Emu2-Gen"] = {**files, **code, "README.md": b"read me"}
    return empty_hub


NAME = f"BAAI/Emu2-Gen@{COMMIT}"


def test_a_repository_is_fetched_without_its_code_and_found_again_without_a_network(
    server: Any, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    weights = find(NAME, "emu2.weights")
    assert weights.model == NAME
    assert weights.stream("lm").shapes == find(str(made / "hub"), "").stream("lm").shapes
    fetched = [path.name for path in weights.path.rglob("*") if path.is_file()]
    assert not any(name.endswith(".py") for name in fetched)
    assert not (weights.path / "safety_checker").exists()
    asked = len(server.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find(NAME, "emu2.weights").sha256 == weights.sha256
    assert len(server.asked) == asked
    assert "missing: safety_checker/config.json" in refused(NAME, safety_checker=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert find(NAME, "emu2.weights", safety_checker=True).stream("safety_checker").shapes


def test_a_repository_that_is_another_model_is_said(server: Any) -> None:
    server.models["BAAI/Emu2"] = {"config.json": b"{}", "model.safetensors": b"w" * 99}
    said = refused(f"BAAI/Emu2@{COMMIT}")
    assert f"BAAI/Emu2 is no Emu2-Gen: it lacks {ENCODER}/config.json, " in said
    assert "or choose BAAI/Emu2-Gen" in said


def test_a_repository_without_a_shard_is_incomplete(server: Any) -> None:
    shard = f"{ENCODER}/model.bf16-00002-of-00003.safetensors"
    del server.models["BAAI/Emu2-Gen"][shard]
    assert f"it lacks {shard}" in refused(NAME)


def test_a_cache_that_a_broken_download_left_is_named_without_a_network(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    weights = find(NAME, "emu2.weights")
    lost = weights.files[1]
    lost.resolve().unlink()
    lost.unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = refused(NAME)
    assert lost.name in said
    assert f"hf download BAAI/Emu2-Gen --revision {COMMIT}" in said


def test_a_removed_repository_and_a_gated_one_are_one_line(server: Any) -> None:
    server.gated.add("BAAI/Emu2-Gen")
    said = refused(NAME)
    assert "BAAI/Emu2-Gen is gated" in said
    assert "https://huggingface.co/BAAI/Emu2-Gen" in said
    del server.models["BAAI/Emu2-Gen"]
    assert "has no repository BAAI/Emu2-Gen" in refused(NAME)


def test_without_a_network_what_else_will_do_is_said(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = refused("BAAI/Emu2-Gen")
    assert "is neither in the cache of the Hugging Face Hub nor can it be fetched" in said
    assert "or copy its folder here and name the folder, or name the native file" in said


def test_a_native_file_without_a_tokenizer_takes_that_of_the_hub(
    server: Any, native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from covar_gen.editors import _emu2_layouts as layouts

    shutil.rmtree(native.parent / "tokenizer")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert f"or copy its folder `tokenizer` into {native.parent}" in refused(native)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("covar_gen.core.hub.revision_of", lambda _repo, _given=None: COMMIT)
    assert layouts.find(str(native), "").tokenizer.parent.name == COMMIT
    assert not any("multimodal" in asked for asked in server.asked if "resolve" in asked)
