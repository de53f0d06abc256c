"""Incomplete and cut-off files are found without loading anything, and nothing else is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from covar_gen.core.errors import WeightsError
from covar_gen.core.store import Run
from covar_gen.neural.diffusion import find_network, find_pipeline
from covar_gen.neural.whole import check_files, lacking

ZERO123 = Path(__file__).parents[1] / "data" / "zero123plus" / "components"


@pytest.fixture(scope="module")
def pipelines(tiny_diffusion: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipelines")
    tiny_diffusion.save_stable_diffusion(root / "sd")
    tiny_diffusion.save_flux_fill(root / "flux")
    tiny_diffusion.save_qwen_image_edit(root / "qwen")
    return root


@pytest.fixture
def sd(pipelines: Path, tmp_path: Path) -> Path:
    """A pipeline that may be damaged."""
    return shutil.copytree(pipelines / "sd", tmp_path / "sd")


def refused(look: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        look()
    line = caught.value.line()
    assert line.startswith("WeightsError: tool.weights: ")
    assert "\n" not in line
    return line


def refused_pipeline(folder: Path) -> str:
    return refused(lambda: find_pipeline(str(folder), "tool.weights"))


@pytest.mark.parametrize("name", ["sd", "flux", "qwen"])
def test_what_the_libraries_saved_is_whole(pipelines: Path, name: str) -> None:
    folder = find_pipeline(str(pipelines / name), "tool.weights")
    assert len(folder.parts) > 4


def test_every_file_that_is_read_is_missed_where_it_ends_too_early_or_is_empty(sd: Path) -> None:
    from covar_gen.neural.diffusion import weights_of

    folder = find_pipeline(str(sd), "tool.weights")
    files = [file for named in weights_of(folder).values() for file in named]
    assert len(files) > 8
    for file in files:
        whole = file.read_bytes()
        # Plain text has no end of its own.
        for part in [b"", whole.rstrip()[:-1]][: 1 if file.suffix in (".txt", ".jinja") else 2]:
            file.write_bytes(part)
            assert f"{file} is {'cut off' if part else 'empty'}" in refused_pipeline(sd)
        file.write_bytes(whole)
    find_pipeline(str(sd), "tool.weights")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("scheduler/scheduler_config.json", "lacks scheduler"),
        ("unet/config.json", "lacks unet/config.json"),
        ("unet/diffusion_pytorch_model.safetensors", "lacks unet"),
        ("tokenizer/tokenizer.json", "lacks tokenizer/tokenizer.json or vocab.json or vocab.txt"),
        ("model_index.json", "lacks model_index.json"),
    ],
)
def test_a_file_that_is_not_there_is_named(sd: Path, file: str, said: str) -> None:
    (sd / file).unlink()
    assert f"{sd} {said}. Name a folder in diffusers' layout" in refused_pipeline(sd)


def test_of_many_missing_parts_a_few_are_named(sd: Path) -> None:
    for part in ("unet", "vae", "text_encoder", "scheduler"):
        shutil.rmtree(sd / part)
    assert " and 1 more. Name" in refused_pipeline(sd)


def test_all_shards_that_an_index_names_have_to_be_there(sd: Path) -> None:
    import diffusers
    import transformers

    networks = {
        "unet": diffusers.UNet2DConditionModel,
        "text_encoder": transformers.CLIPTextModel,
    }
    for part, kind in networks.items():
        network = kind.from_pretrained(sd / part)
        shutil.rmtree(sd / part)
        network.save_pretrained(sd / part, max_shard_size="20KB")
    find_pipeline(str(sd), "tool.weights")
    shards = sorted((sd / "unet").glob("*.safetensors"))
    assert len(shards) > 4
    for shard in shards[1:]:
        shard.unlink()
    said = refused_pipeline(sd)
    assert f"lacks unet/{shards[1].name}, unet/{shards[2].name}, " in said
    assert f"and {len(shards) - 4} more" in said
    shards[0].unlink()
    assert f"lacks unet/{shards[0].name}, " in refused_pipeline(sd)
    index = sd / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text("{}", encoding="utf-8")
    assert f"{index} names no files" in refused_pipeline(sd)


def test_the_list_of_shards_of_a_variant_that_is_not_read_is_passed_over(sd: Path) -> None:
    listed = json.dumps({"weight_map": {"a": "nowhere.safetensors"}})
    for name in (
        "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
        "unet/diffusion_pytorch_model.bin.index.json",
        # transformers takes the one file before the list, diffusers the list before the file.
        "text_encoder/model.safetensors.index.json",
    ):
        (sd / name).write_text(listed, encoding="utf-8")
    find_pipeline(str(sd), "tool.weights")
    name = "unet/diffusion_pytorch_model.safetensors.index.json"
    (sd / name).write_text(listed, encoding="utf-8")
    assert "lacks unet/nowhere.safetensors" in refused_pipeline(sd)


def test_weights_as_torch_writes_them_are_whole_with_their_end(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    for new in (True, False):
        torch.save({"a": torch.ones(99)}, file, _use_new_zipfile_serialization=new)
        check_files([file], "tool.weights")
    torch.save({"a": torch.ones(99)}, file)
    file.write_bytes(file.read_bytes()[:-200])
    said = refused(lambda: check_files([file], "tool.weights"))
    assert f"{file} is cut off: what torch writes at its end is missing" in said


@pytest.mark.parametrize(
    "dtype",
    [torch.complex64, torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz],
)
def test_numbers_of_rare_types_are_no_damage(tmp_path: Path, dtype: torch.dtype) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(5).to(dtype)}, file)
    check_files([file], "tool.weights")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    said = refused(lambda: check_files([tmp_path / "none.json"], "tool.weights"))
    assert "none.json cannot be read: No such file or directory" in said


def test_a_single_network_needs_weights_and_settings(sd: Path) -> None:
    look = lambda: find_network(str(sd / "unet"), "tool.weights")  # noqa: E731 - is called often
    look()
    (sd / "unet" / "config.json").unlink()
    assert "lacks config.json" in refused(look)
    (sd / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "lacks its weights" in refused(look)


@pytest.mark.parametrize(
    ("kind", "files", "wanted"),
    [
        ("CLIPTokenizer", ["vocab.json", "merges.txt"], []),
        ("CLIPTokenizer", ["vocab.json"], ["merges.txt or tokenizer.json"]),
        ("CLIPTokenizer", ["vocab.json", "tokenizer.json"], []),
        ("T5TokenizerFast", ["spiece.model", "tokenizer_config.json"], []),
        ("BertTokenizer", ["vocab.txt"], []),
        ("ByT5Tokenizer", ["tokenizer_config.json"], []),
        ("MistralCommonTokenizer", ["tekken.json"], []),
        (
            "T5TokenizerFast",
            ["tokenizer_config.json", "special_tokens_map.json"],
            ["tokenizer.json or vocab.json or vocab.txt"],
        ),
        ("CLIPImageProcessor", ["preprocessor_config.json"], []),
        ("CLIPFeatureExtractor", ["x.json"], ["preprocessor_config.json or processor_config.json"]),
        ("VaeImageProcessor", ["vae_config.json"], []),
        ("FlowMatchEulerDiscreteScheduler", ["config.json"], ["scheduler_config.json"]),
        ("", ["model.safetensors"], ["config.json"]),
        ("", ["anything.json"], []),
    ],
)
def test_what_a_part_cannot_do_without_follows_its_class(
    tmp_path: Path, kind: str, files: list[str], wanted: list[str]
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert lacking(tmp_path, "tool.weights", kind) == wanted


STAGES = [
    ("scale", "inpainter", "stable_diffusion"),
    ("backgrounds", "editor", "masked"),
    ("backgrounds", "editor", "instruct_pix2pix"),
    ("viewpoints", "viewer", "zero123plus"),
]
"""Plugins whose weights are one pipeline, by the section and key that name them."""


def chosen(stage: tuple[str, str, str], **options: object) -> dict[str, Any]:
    section, key, plugin = stage
    return {f"{section}.{key}": plugin, f"{section}.options": {plugin: options}}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage[2])
def test_a_damaged_pipeline_of_ones_own_is_refused_before_there_is_a_run(
    stage: tuple[str, str, str], sd: Path, steps: Callable[..., Run], tmp_path: Path
) -> None:
    zero123 = stage[2] == "zero123plus"
    place = shutil.copytree(ZERO123, tmp_path / "views") if zero123 else sd
    steps("whole", only=[], **chosen(stage, weights=str(place)))
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=f"{weights} is cut off") as caught:
        steps("run", only=[], **chosen(stage, weights=str(place)))
    assert caught.value.line().startswith(f"WeightsError: {stage[2]}.weights: ")
    assert not (tmp_path / "run" / "recipe.toml").exists()


@pytest.mark.parametrize("control", ["normals", "depth"])
def test_a_damaged_controlnet_of_ones_own_is_refused_before_there_is_a_run(
    control: str, steps: Callable[..., Run], tmp_path: Path
) -> None:
    place = shutil.copytree(ZERO123 / "controlnet", tmp_path / "control")
    stage = ("viewpoints", "viewer", "zero123plus")
    options = {"weights": str(ZERO123), control: str(place)}
    if control == "depth":
        (tmp_path / "depth").mkdir()
        Image.new("RGBA", (64, 96)).save(tmp_path / "depth" / "a.png")
        options |= {"version": "1.1", "depth_canvases": str(tmp_path / "depth")}
    steps("whole", only=[], **chosen(stage, **options))
    (place / "config.json").unlink()
    with pytest.raises(WeightsError, match=f"zero123plus.{control}: {place} lacks config.json"):
        steps("run", only=[], **chosen(stage, **options))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./nowhere", "there is no folder nowhere. Check the path"),
        ("painter", "'painter' is no name of a repository. Write owner/name"),
        ("of/my/painter", "'of/my/painter' is no name of a repository. Write owner/name"),
        (
            "one.safetensors",
            "one.safetensors is a file, and no folder. Name a folder in diffusers'",
        ),
    ],
)
def test_what_is_neither_a_folder_nor_on_the_hub_is_refused_before_there_is_a_run(
    name: str, said: str, recipe: Path, steps: Callable[..., Run]
) -> None:
    (recipe.parent / "one.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(WeightsError) as caught:
        steps("run", only=[], **chosen(("scale", "inpainter", "stable_diffusion"), weights=name))
    assert said in caught.value.line()


def test_weights_of_the_hub_are_not_asked_for_when_a_run_is_made(
    steps: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr("covar_gen.neural.diffusion.fetch", never)
    stage = ("scale", "inpainter", "stable_diffusion")
    steps("usual", only=[], **chosen(stage))
    steps("named", only=[], **chosen(stage, weights="someone/a-painter@main"))
