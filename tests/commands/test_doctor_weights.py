"""`covar-gen doctor` on weights: cached, to be downloaded, gated, gone, too large."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from covar_gen.commands import doctor as doctors
from covar_gen.commands import doctor_weights
from covar_gen.commands.doctor import doctor
from covar_gen.commands.doctor_own import own
from covar_gen.commands.doctor_weights import Device, room
from covar_gen.commands.findings import Finding
from covar_gen.commands.weights import Tool, Wanted, all_with_weights
from covar_gen.core import plugins
from covar_gen.core.hub import command
from covar_gen.core.pins import pin
from covar_gen.core.recipe import read_recipe
from covar_gen.editors.emu2 import Emu2Gen
from covar_gen.neural.diffusion import FILES

INPAINTING = "stable-diffusion-v1-5/stable-diffusion-inpainting"
COMMIT = "8a4288a76071f7280aedbdb3253bdb9e9d5d84bb"
GPU = Device(gpu=True, gib=80)

Found = Callable[..., dict[str, Finding]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub; nobody is logged in, and asking anybody fails."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub"


@pytest.fixture
def found(hub: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    """Findings of the small recipe with changes: found({"scale.inpainter": ...}, at=GPU)."""

    def look(changes: dict[str, Any], at: Device = GPU) -> dict[str, Finding]:
        monkeypatch.setattr(doctors, "device", lambda: at)
        findings = doctor(read_recipe(recipe, changes), home=recipe.parent)
        return {finding.name: finding for finding in findings}

    return look


def outpainted(weights: str | None = None, **options: Any) -> dict[str, Any]:
    given = {"weights": weights, **options} if weights else options
    chosen = {f"scale.options.stable_diffusion.{key}": value for key, value in given.items()}
    return {"scale.inpainter": "stable_diffusion", **chosen}


def put(hub: Path, repo: str, commit: str, **files: bytes) -> Path:
    folder = hub / f"models--{repo.replace('/', '--')}" / "snapshots" / commit
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json").replace("_st", ".st")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_weights_that_are_not_here_are_announced_with_size_licence_and_command(
    found: Found,
) -> None:
    said = found(outpainted())
    weights = said[f"weights {INPAINTING}"]
    assert weights.fine
    assert weights.said.startswith("not here; about 4 GiB, for stable_diffusion.weights; Creative")
    assert weights.mend.endswith(f"type: {command(INPAINTING, None, FILES)}")
    assert said["download"].fine
    assert said["download"].said.startswith("about 4.0 GiB of weights into ")
    assert "from 4 GiB of GPU memory" in said["scale.inpainter = stable_diffusion"].said


def test_where_the_hub_must_not_be_asked_missing_weights_have_to_be_mended(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    weights = found(outpainted())[f"weights {INPAINTING}"]
    assert not weights.fine
    assert weights.mend == f"With a network type: {command(INPAINTING, None, FILES)}"


def test_weights_in_the_cache_are_told_with_commit_and_size_and_not_downloaded(
    found: Found, hub: Path
) -> None:
    folder = put(hub, INPAINTING, COMMIT, model_index_json=b"{}", unet__config_json=b"{}")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"w" * 2**20)
    said = found(outpainted())
    weights = said[f"weights {INPAINTING}"]
    assert weights.fine
    assert weights.said.startswith(f"in the cache, 0.00 GiB at {COMMIT[:12]}, for stable_diff")
    assert weights.mend == ""
    assert "download" not in said


def test_an_incomplete_copy_names_what_it_lacks(found: Found, hub: Path) -> None:
    put(hub, INPAINTING, COMMIT, model_index_json=b"{}", unet__config_json=b"{}")
    weights = found(outpainted())[f"weights {INPAINTING}"]
    assert weights.said.startswith("incomplete in the cache, without unet/*.safetensors; about 4")


def test_the_copy_of_another_commit_is_not_the_one_that_is_pinned(found: Found, hub: Path) -> None:
    put(hub, INPAINTING, "f" * 40, model_index_json=b"{}")
    assert found(outpainted())[f"weights {INPAINTING}"].said.startswith("not here")
    named = f"{INPAINTING}@{'f' * 40}"
    assert found(outpainted(named))[f"weights {named}"].said.startswith("in the cache")


def test_a_removed_repository_is_answered_with_its_mirror(found: Found) -> None:
    gone = "runwayml/stable-diffusion-inpainting"
    weights = found(outpainted(gone))[f"weights {gone}"]
    assert not weights.fine
    assert weights.said == (
        "removed by its owner, not here, for stable_diffusion.weights; CreativeML OpenRAIL-M"
    )
    assert weights.mend == f"Name its mirror: {INPAINTING}"


def test_a_removed_repository_is_not_counted_as_a_download(found: Found) -> None:
    gone = outpainted("runwayml/stable-diffusion-inpainting")
    assert "download" not in found(gone)
    both = {
        **gone,
        "geometry.inpainter": "stable_diffusion",
        "geometry.options.stable_diffusion.weights": INPAINTING,
    }
    assert found(both)["download"].said.startswith("about 4.0 GiB of weights")


def test_a_gated_repository_is_answered_with_how_to_get_in_until_one_is_logged_in(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated = "black-forest-labs/FLUX.1-Fill-dev"
    weights = found(outpainted(gated))[f"weights {gated}"]
    assert not weights.fine
    page = f"https://huggingface.co/{gated}"
    assert weights.mend == f"Accept its terms on {page}, then type: hf auth login"
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    weights = found(outpainted(gated))[f"weights {gated}"]
    assert weights.fine
    assert f"once its terms are accepted on {page}" in weights.mend


def test_where_the_hub_must_not_be_asked_a_gated_repository_is_told_with_terms_and_login(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    gated = "black-forest-labs/FLUX.1-Fill-dev"
    for token in ("", "hf_mine"):
        monkeypatch.setenv("HF_TOKEN", token)
        weights = found(outpainted(gated))[f"weights {gated}"]
        assert not weights.fine
        assert weights.said.startswith("gated, not here; about 31.6 GiB")
        assert weights.mend == (
            f"With a network accept its terms on https://huggingface.co/{gated}, "
            f"then type: hf auth login && {command(gated, None, FILES)}"
        )


def test_a_folder_of_ones_own_is_neither_looked_for_nor_downloaded(
    found: Found, recipe: Path, tiny_diffusion: ModuleType
) -> None:
    place = tiny_diffusion.save_stable_diffusion(recipe.parent / "painter")
    said = found(outpainted("painter"))
    assert said[f"weights {place}"].said == "a folder of your own, for stable_diffusion.weights"
    assert said[f"weights {place}"].fine
    assert "download" not in said


def test_a_folder_of_ones_own_that_is_not_whole_has_to_be_mended(
    found: Found, recipe: Path, tiny_diffusion: ModuleType
) -> None:
    place = tiny_diffusion.save_stable_diffusion(recipe.parent / "painter")
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    size = weights.stat().st_size

    def told() -> Finding:
        finding = found(outpainted("painter"))[f"weights {place}"]
        assert not finding.fine
        return finding

    weights.write_bytes(weights.read_bytes()[:-1])
    assert told().said == (
        f"{weights} is cut off: it has {size - 1} bytes of {size}, for stable_diffusion.weights"
    )
    assert told().mend == "Fetch it again, with enough space on the disk"
    weights.write_bytes(b"")
    assert told().said.startswith(f"{weights} is empty")
    weights.unlink()
    assert told().said.startswith(f"{place} lacks unet, for stable_diffusion.weights")
    (place / "model_index.json").unlink()
    assert told().said.startswith(f"{place} lacks model_index.json")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "painter", "of/my/painter"])
def test_what_is_neither_here_nor_on_the_hub_has_to_be_mended_and_is_no_download(
    name: str, found: Found
) -> None:
    said = found(outpainted(name))
    assert not said["scale.inpainter = stable_diffusion"].fine
    weights = said[f"weights {name}"]
    assert not weights.fine
    assert weights.said.startswith("neither here nor owner/name of the Hugging Face Hub, for sta")
    assert "download" not in f"{weights.said} {weights.mend}"


def test_a_repository_of_the_time_before_owners_is_a_download_for_who_takes_it(
    found: Found,
) -> None:
    key = "masks.options.grounding_dino_sam.text_encoder_repo"
    chosen = {"masks.segmenter": "grounding_dino_sam", key: "bert-base-uncased"}
    weights = found(chosen)["weights bert-base-uncased"]
    assert weights.fine
    assert "hf download bert-base-uncased" in weights.mend


def test_a_part_that_the_tool_does_not_read_may_be_missing(found: Found, recipe: Path) -> None:
    tiny = Path(__file__).parents[1] / "data" / "zero123plus" / "components"
    place = shutil.copytree(tiny, recipe.parent / "zero123")
    index = json.loads((place / "model_index.json").read_text(encoding="utf-8"))
    index["a_part_of_another_version"] = ["diffusers", "UNet2DConditionModel"]
    (place / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    key = "viewpoints.options.zero123plus"
    chosen = {"viewpoints.viewer": "zero123plus", f"{key}.weights": "zero123"}
    chosen[f"{key}.normals"] = "zero123/controlnet"
    assert found(chosen)[f"weights {place}"].fine
    assert found(chosen)[f"weights {place / 'controlnet'}"].fine
    (place / "controlnet" / "config.json").unlink()
    finding = found(chosen)[f"weights {place / 'controlnet'}"]
    assert not finding.fine
    assert finding.said == f"{place / 'controlnet'} lacks config.json, for zero123plus.normals"
    shutil.rmtree(place / "vae")
    assert "lacks vae, for zero123plus.weights" in found(chosen)[f"weights {place}"].said


def test_other_networks_of_ones_own_are_looked_at_as_well(
    found: Found, recipe: Path, module_of: Callable[..., ModuleType]
) -> None:
    tiny = module_of(Path(__file__).parents[1] / "segmenters" / "tiny.py")
    place = tiny.save_sam(recipe.parent / "sam")
    chosen = {"masks.segmenter": "grounded_sam", "masks.options.grounded_sam.sam": "sam"}
    assert found(chosen)[f"weights {place}"].fine
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    finding = found(chosen)[f"weights {place}"]
    assert not finding.fine
    assert finding.said.startswith(f"{weights} is cut off: it has 1000 bytes of ")
    assert finding.said.endswith(", for grounded_sam.sam")


def test_a_folder_that_only_its_tool_knows_is_not_called_fine_beside_its_tools_refusal(
    found: Found, recipe: Path, tiny_emu2: ModuleType, module_of: Callable[..., ModuleType]
) -> None:
    place = tiny_emu2.save_hub(recipe.parent / "emu2")
    key = "backgrounds.options.emu2"
    chosen = {"backgrounds.editor": "emu2", f"{key}.weights": "emu2"}
    chosen[f"{key}.safety_checker"] = False
    assert found(chosen)[f"weights {place}"].fine
    # What is wrong, but not with the weights, is told of the tool alone.
    elsewhere = found({**chosen, f"{key}.references": "nowhere"})
    assert not elsewhere["backgrounds.editor = emu2"].fine
    assert elsewhere[f"weights {place}"].fine
    (place / "vae" / "config.json").unlink()
    said = found(chosen)
    assert not said["backgrounds.editor = emu2"].fine
    assert said[f"weights {place}"].said.endswith("lacks vae/config.json, for emu2.weights")
    sam = module_of(Path(__file__).parents[1] / "segmenters" / "tiny.py").save_sam(
        recipe.parent / "sam"
    )
    (sam / "config.json").unlink()
    said = found({"masks.segmenter": "grounded_sam", "masks.options.grounded_sam.sam": "sam"})
    assert said[f"weights {sam}"].said == f"{sam} lacks config.json, for grounded_sam.sam"


def test_a_file_of_ones_own_is_looked_at_as_well(tmp_path: Path) -> None:
    file = tmp_path / "emu2.safetensors"
    tool = Tool("backgrounds.editor", "editors", "emu2")
    wanted = Wanted("weights", str(file), local=True)
    file.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert own(tool, wanted, "it").said == "a file of your own, for emu2.weights"
    file.write_bytes(b"\x03\0\0\0\0\0\0\0{}")
    assert own(tool, wanted, "it").said.endswith("it has 10 bytes of 11, for emu2.weights")


def test_a_model_that_does_not_fit_the_gpu_is_refused_with_what_would(found: Found) -> None:
    small = Device(gpu=True, gib=10)
    flux = outpainted("black-forest-labs/FLUX.1-Fill-dev")
    tool = found(flux, small)["scale.inpainter = stable_diffusion"]
    assert not tool.fine
    assert tool.said == "takes about 36 GiB, the GPU has 10 GiB free"
    assert tool.mend.startswith(f"What would fit: offload = 'model'; or weights = {INPAINTING}")
    assert "xl-1.0-inpainting" not in tool.mend
    assert "runwayml" not in tool.mend
    assert tool.mend.endswith("another of the inpainters: telea")
    assert found(outpainted(), small)["scale.inpainter = stable_diffusion"].fine
    offloaded = flux | {"scale.options.stable_diffusion.offload": "model"}
    assert found(offloaded, small)["scale.inpainter = stable_diffusion"].fine


def test_without_a_gpu_the_main_memory_decides_and_float32_takes_twice_as_much(
    found: Found,
) -> None:
    flux = outpainted("black-forest-labs/FLUX.1-Fill-dev")
    tool = found(flux, Device(gpu=False, gib=71))["scale.inpainter = stable_diffusion"]
    assert not tool.fine
    assert tool.said.startswith("takes a GPU with about 36 GiB, there is none here")
    assert "offload" not in tool.mend
    tool = found(flux, Device(gpu=False, gib=72))["scale.inpainter = stable_diffusion"]
    assert tool.fine
    assert "there is no GPU here" in tool.said


def test_the_device_is_the_gpus_free_memory_or_the_whole_main_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _gpu: (10 * 2**30, 80 * 2**30))
    assert doctor_weights.device() == Device(gpu=True, gib=10)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pages = {"SC_PHYS_PAGES": 2**20, "SC_PAGE_SIZE": 2**14}
    monkeypatch.setattr(doctor_weights.os, "sysconf", pages.__getitem__)
    at = doctor_weights.device()
    assert at == Device(gpu=False, gib=16)
    assert at.room() == 8
    monkeypatch.setattr(doctor_weights.importlib.util, "find_spec", lambda _name: None)
    assert doctor_weights.device() is None


def test_a_disk_too_small_for_the_download_has_to_be_mended(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = doctor_weights.shutil._ntuple_diskusage  # type: ignore[attr-defined]
    monkeypatch.setattr(doctors.shutil, "disk_usage", lambda _f: usage(2**40, 2**38, 3 * 2**30))
    download = found(outpainted())["download"]
    assert not download.fine
    assert "HF_HUB_CACHE" in download.mend


def test_weights_used_twice_are_told_and_counted_once(found: Found) -> None:
    both = {**outpainted(), "geometry.inpainter": "stable_diffusion"}
    assert found(both)["download"].said.startswith("about 4.0 GiB")


def test_a_wrong_option_does_not_keep_doctor_from_the_rest(found: Found) -> None:
    said = found(outpainted(steps=0))
    assert not said["scale.inpainter = stable_diffusion"].fine
    tool = said["scale.inpainter = stable_diffusion"]
    assert tool.said.startswith("scale.options.stable_diffusion.steps: ")
    assert tool.mend == "Correct it in the recipe"
    assert "photographs" in said


def test_without_a_recipe_all_weights_are_listed_and_none_is_needed(hub: Path) -> None:
    findings = {finding.name: finding for finding in doctor()}
    assert "gated" in findings["weights facebook/sam3"].said
    assert all(f.fine for name, f in findings.items() if name.startswith("weights "))
    assert "download" not in findings


def test_every_checkpoint_that_a_plugin_loads_by_default_is_in_the_file() -> None:
    tools = all_with_weights()
    assert {"grounded_sam", "stable_diffusion", "zero123plus"} <= {tool.name for tool in tools}
    for tool in tools:
        for wanted in tool.wanted:
            known = pin(wanted.repo)
            assert known is not None, f"{tool.kind}/{tool.name}: {wanted.name}"
            assert not known.removed
            assert f"{tool.kind}/{tool.name}" in known.plugins


def test_the_default_weights_of_zero123plus_follow_its_version() -> None:
    from covar_gen.viewers.zero123plus import Zero123plus

    def named(**options: Any) -> dict[str, str]:
        return Zero123plus(Zero123plus.Options(**options)).named_weights()

    assert named() == {"weights": "sudo-ai/zero123plus-v1.2"}
    assert named(version="1.1") == {"weights": "sudo-ai/zero123plus-v1.1"}
    given = named(weights="me/mine", normals="sudo-ai/controlnet-zp12-normal-gen-v1")
    assert given == {"weights": "me/mine", "normals": "sudo-ai/controlnet-zp12-normal-gen-v1"}


def test_files_of_ones_own_are_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    from covar_gen.segmenters.grounding_dino_sam import GroundingDinoSam

    options = GroundingDinoSam.Options(detector="d.pth", text_encoder=str(tmp_path))
    assert GroundingDinoSam(options).named_weights() == {"sam_repo": "ybelkada/segment-anything"}


def test_every_plugin_of_the_file_is_there() -> None:
    from covar_gen.core.pins import pins

    for known in pins().values():
        for each in known.plugins:
            kind, _, name = each.partition("/")
            if each == "agreement/agreement":
                continue  # The network that [backgrounds.agreement] names.
            assert name in plugins.names(kind), each


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "takes about 71.3 GiB, the GPU has 44 GiB free"),
        ({"stage": "resident"}, "takes about 76.8 GiB, "),
        ({"language": "int4"}, None),
        ({"devices": 2}, None),
    ],
)
def test_what_emu2_needs_follows_its_settings_and_those_that_would_fit_are_said(
    options: dict[str, object], said: str | None
) -> None:
    made = Emu2Gen(Emu2Gen.Options.model_validate(options))
    wanted = Wanted("weights", "BAAI/Emu2-Gen", local=False)
    tool = Tool("backgrounds.editor", "editors", "emu2", (wanted,), plugin=made)
    finding = room(tool, Device(gpu=True, gib=44), "emu2")
    if said is None:
        assert finding is None
        return
    assert finding is not None
    assert said in finding.said
    assert finding.mend.startswith(
        "What would fit: language = 'int4'; or devices = 2; or another of "
    )


def test_memory_of_each_of_several_gpus_is_said_as_such() -> None:
    made = Emu2Gen(Emu2Gen.Options.model_validate({"devices": 2}))
    wanted = Wanted("weights", "BAAI/Emu2-Gen", local=False)
    tool = Tool("backgrounds.editor", "editors", "emu2", (wanted,), plugin=made)
    assert tool.memory_said == "from 37.5 GiB of memory on each of 2 GPUs"
    mine = Emu2Gen(Emu2Gen.Options.model_validate({"weights": "mine/emu2"}))
    other = Tool("backgrounds.editor", "editors", "emu2", (), plugin=mine)
    assert other.memory_gib is None
    assert other.memory_said == ""
