"""Stable Diffusion and its kin, tiny and random, through diffusers' own code."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import CovarError, PluginError, RecipeError, WeightsError
from covar_gen.core.imaging import warp, warp_mask
from covar_gen.core.plugins import make
from covar_gen.core.seeds import generator
from covar_gen.inpainters.base import (
    Filled,
    FillRequest,
    Inpainter,
    OutpaintRequest,
    Shrunk,
)
from covar_gen.inpainters.stable_diffusion import StableDiffusion, _hole
from covar_gen.neural import holes, running

FAMILIES = {
    "sd": "StableDiffusionInpaintPipeline",
    "xl": "StableDiffusionXLInpaintPipeline",
    "flux": "FluxFillPipeline",
}
FACTORS = (2.0, 4.0, 8.0)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folders(tiny_diffusion: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipelines")
    tiny_diffusion.save_stable_diffusion(root / "sd")
    tiny_diffusion.save_stable_diffusion(root / "plain", 4, scheduler="DDIMScheduler")
    tiny_diffusion.save_stable_diffusion(root / "instructed", 8)
    tiny_diffusion.save_stable_diffusion_xl(root / "xl")
    tiny_diffusion.save_flux_fill(root / "flux")
    return root


def plugin(folder: Path, **options: object) -> StableDiffusion:
    given = {"weights": str(folder), "steps": 2, "native": 64, **options}
    found = make("inpainters", "stable_diffusion", Inpainter, given)
    assert isinstance(found, StableDiffusion)
    found.setup()
    return found


@pytest.fixture(scope="module")
def painters(folders: Path) -> dict[str, StableDiffusion]:
    return {name: plugin(folders / name) for name in FAMILIES}


def request(key: str = "a", seed: int = 1, size: tuple[int, int] = (64, 64)) -> FillRequest:
    """Coloured squares of which a band on the left is unknown; a disc is the object."""
    height, width = size
    colours = generator(5).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    image = np.kron(colours, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)
    known = np.ones(size, bool)
    known[:, : width // 3] = False
    image[~known] = 0
    y, x = np.mgrid[:height, :width]
    mask = (x - 0.65 * width) ** 2 + (y - height / 2) ** 2 < (height / 6) ** 2
    return FillRequest(key, image, known, mask, "beach", "dog", seed)


def image_of(answer: Filled | Rejected) -> np.ndarray:
    assert isinstance(answer, Filled), answer
    return answer.image


def changed(old: FillRequest, what: str) -> FillRequest:
    if what == "image":
        image = old.image.copy()
        image[old.known] = 255 - image[old.known]
        return replace(old, image=image)
    if what == "known":
        known = old.known.copy()
        known[:20] = False
        return replace(old, known=known)
    if what == "mask":
        return replace(old, mask=np.roll(old.mask, -12, 1))
    new = {"prompt": "snow", "negative_prompt": "cat", "seed": 2}[what]
    return replace(old, **{what: new})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("what", ["image", "known", "mask", "prompt", "negative_prompt", "seed"])
def test_what_is_painted_depends_on(
    painters: dict[str, StableDiffusion], family: str, what: str
) -> None:
    old = request()
    new = changed(old, what)
    first, second = painters[family].fill([old, replace(new, key="b")])
    unknown = ~old.known
    same = np.array_equal(image_of(first)[unknown], image_of(second)[unknown])
    # FLUX fill has no use for what not to paint.
    assert same == (family == "flux" and what == "negative_prompt")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pipeline_is_that_of_the_folder(
    painters: dict[str, StableDiffusion], family: str
) -> None:
    painter = painters[family].painter
    assert painter is not None
    assert type(painter.pipe).__name__ == FAMILIES[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_does_not_depend_on_those_painted_beside_it(
    painters: dict[str, StableDiffusion], family: str
) -> None:
    painter = painters[family].painter
    assert painter is not None
    asked = [request(f"k{seed}", seed) for seed in range(4)]
    asked[2] = changed(asked[2], "image")
    asked[3] = changed(asked[3], "prompt")
    together = pictures_of(painter, asked)
    alone = [picture for one in asked for picture in pictures_of(painter, [one])]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one - other).max() <= 1e-4
    assert np.abs(together[0] - together[1]).max() > 0.1


def pictures_of(painter: Any, batch: list[FillRequest]) -> list[np.ndarray]:
    """The model's own pictures, before they are rounded and known pixels put back."""
    kept: list[np.ndarray] = []
    finish = painter._filling

    def remember(hole: Any, canvas: Any, picture: np.ndarray, about: Any) -> Any:
        kept.append(picture)
        return finish(hole, canvas, picture, about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(painter, "_filling", remember)
        patch.setattr(running, "THREADS", 1)  # in their order
        painter.paint([_hole(one) for one in batch])
    return kept


def test_pictures_of_several_sizes_are_answered_in_order_and_known_pixels_stay(
    painters: dict[str, StableDiffusion],
) -> None:
    sizes = [(64, 64), (48, 100), (64, 64), (131, 77), (30, 30), (48, 100), (64, 300)]
    asked = [request(f"k{place}", place, size) for place, size in enumerate(sizes)]
    answers = painters["sd"].fill(asked)
    canvases = []
    for one, answer in zip(asked, answers, strict=True):
        image = image_of(answer)
        assert image.shape == one.image.shape
        assert np.array_equal(image[one.known], one.image[one.known])
        assert image[~one.known].std() > 3
        canvases.append(answer.params["canvas"])
        alone = image_of(painters["sd"].fill([one])[0])
        assert np.abs(image.astype(int) - alone).max() <= 1
    # 48 x 100 would be 64 x 133, but may be 128 long only: 61 x 128, padded; the last 27 x 128.
    assert canvases == [[64, 64], [64, 128], [64, 64], [112, 64], [64, 64], [64, 128], [32, 128]]


def test_what_is_known_of_any_mask_stays(painters: dict[str, StableDiffusion]) -> None:
    asked = []
    for seed in range(6):
        draw = generator(seed)
        one = request(f"k{seed}", seed, (56, 72))
        blocks = draw.random((7, 9)) < (seed + 1) / 8
        known = np.kron(blocks, np.ones((8, 8), bool)).astype(bool) ^ (draw.random((56, 72)) < 0.05)
        image = draw.integers(0, 256, one.image.shape).astype(np.uint8)
        asked.append(replace(one, image=image, known=known))
    for one, answer in zip(asked, painters["sd"].fill(asked), strict=True):
        assert np.array_equal(image_of(answer)[one.known], one.image[one.known])
        assert answer.known_pixel_max_diff == 0
        assert not np.array_equal(image_of(answer), one.image)


HEIGHT, WIDTH = 56, 72
"""Of warped photographs, pixels."""

warps = st.tuples(st.floats(-180, 180), st.floats(0.3, 1.2), st.floats(-30, 30), st.floats(-30, 30))
"""Degrees, factor, and shifts in pixels."""


def turned(degrees: float, scale: float, x: float, y: float) -> np.ndarray:
    """Turned and scaled about the middle, then shifted."""
    angle, middle = math.radians(degrees), np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    found = np.eye(3)
    found[:2, :2] = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    found[:2, 2] = middle - found[:2, :2] @ middle + (x, y)
    return found


@settings(max_examples=25, deadline=None)
@given(moves=st.lists(warps, min_size=1, max_size=4), feather=st.sampled_from([0, 16]))
def test_what_is_known_after_any_warp_stays_to_the_last_level(
    folders: Path, moves: list[tuple[float, float, float, float]], feather: int
) -> None:
    found = painter_with(folders, feather)
    asked = []
    for seed, move in enumerate(moves):
        matrix = turned(*move)
        image = generator(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        disc = (x - 40) ** 2 + (y - 25) ** 2 < 15**2
        moved, known = warp(image, matrix, image.shape, "cubic")
        mask = warp_mask(disc, matrix, image.shape)
        asked.append(FillRequest(f"k{seed}", moved, known, mask, "beach", "dog", seed))
    # The model's own part of the promise, before the inpainters' common one.
    for one, answer in zip(asked, found.paint(asked), strict=True):
        if not one.known.any():
            assert isinstance(answer, Rejected)
            continue
        image = image_of(answer)
        assert (image[one.known] == one.image[one.known]).all()
        unknown = ~one.known
        # A black corner of a few pixels may be painted black.
        assert np.count_nonzero(unknown) < 64 or image[unknown].any()


@cache
def painter_with(folders: Path, feather: int) -> StableDiffusion:
    return plugin(folders / "sd", feather=feather)


def test_params_say_how_it_was_painted(painters: dict[str, StableDiffusion]) -> None:
    answer = painters["xl"].fill([request()])[0]
    assert answer.params == {
        "steps": 2, "guidance": 7.5, "strength": 1.0, "scheduler": "EulerDiscreteScheduler",
        "dtype": "float32", "device": "cpu", "canvas": [64, 64],
    }  # fmt: skip
    model = painters["xl"].model
    assert model is not None
    assert model.startswith("local:xl@")


@pytest.mark.parametrize("strength", [1.0, 0.9, 0.37])
@pytest.mark.parametrize("name", ["plain", "flux"])
def test_every_step_asked_for_is_made(folders: Path, name: str, strength: float) -> None:
    found = plugin(folders / name, steps=5, strength=strength, guidance=1)
    calls: list[int] = []
    painter = found.painter
    assert painter is not None
    network = painter.pipe.components.get("unet", painter.pipe.components.get("transformer"))
    network.register_forward_hook(lambda *_: calls.append(1))
    found.fill([request()])
    assert len(calls) == 5


@pytest.mark.parametrize(("strength", "matters"), [(1.0, False), (0.5, True)])
def test_below_full_strength_the_fill_starts_from_the_colours_around_it(
    folders: Path, monkeypatch: pytest.MonkeyPatch, strength: float, matters: bool
) -> None:
    found = plugin(folders / "sd", strength=strength, feather=0)
    with_colours = image_of(found.fill([request()])[0])
    monkeypatch.setattr(holes, "continued", lambda image, _source: np.zeros_like(image))
    from_black = image_of(found.fill([request()])[0])
    assert np.array_equal(with_colours, from_black) == (not matters)


def test_a_picture_without_numbers_or_all_black_is_refused_to_be_made_again(folders: Path) -> None:
    found = plugin(folders / "sd")
    painter = found.painter
    assert painter is not None
    out = painter.pipe.vae.decoder.conv_out
    weight = out.weight.data.clone()
    for bias, said in ((float("nan"), "not_finite"), (-9.0, "black")):
        out.weight.data.zero_()
        out.bias.data.fill_(bias)
        (answer,) = found.fill([request()])
        assert isinstance(answer, Rejected)
        assert (answer.reason, answer.again) == ("bad_output", True)
        assert answer.params["output"] == said
        assert answer.params["steps"] == 2
    out.weight.data.copy_(weight)
    out.bias.data.zero_()
    assert isinstance(found.fill([request()])[0], Filled)


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_the_pipeline_is_told_the_guidance_in_batches_of_the_size_asked_for(
    folders: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plugin(folders / family, guidance=3.5, batch=2, steps=1)
    kind = type(found.painter.pipe)
    call, asked = kind.__call__, []

    def remember(pipe: Any, **given: Any) -> Any:
        asked.append(given)
        return call(pipe, **given)

    monkeypatch.setattr(kind, "__call__", remember)
    answers = found.fill([request(f"k{seed}", seed) for seed in range(5)])
    assert all(isinstance(answer, Filled) for answer in answers)
    assert [len(each["prompt"]) for each in asked] == [2, 2, 1]
    assert {each["guidance_scale"] for each in asked} == {3.5}


def test_a_single_value_that_is_no_number_spoils_its_own_picture_alone(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plugin(folders / "sd", steps=1)
    painted = found.painter._painted

    def spoiled(items: Any) -> list[np.ndarray]:
        pictures = painted(items)
        pictures[1][40, 30, 2] = np.inf
        return pictures

    monkeypatch.setattr(found.painter, "_painted", spoiled)
    first, second, third = found.fill([request(f"k{seed}", seed) for seed in range(3)])
    assert isinstance(first, Filled)
    assert isinstance(second, Rejected)
    assert (second.reason, second.again) == ("bad_output", True)
    assert second.params["output"] == "not_finite"
    assert isinstance(third, Filled)


def test_too_little_memory_halves_the_batch_and_says_so(folders: Path) -> None:
    asked = [request(f"k{seed}", seed) for seed in range(4)]
    found = plugin(folders / "sd")
    whole = [image_of(answer) for answer in found.fill(asked)]
    painter = found.painter
    assert painter is not None

    def narrow(_module: object, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 2 * 2:  # with and without the text
            raise torch.OutOfMemoryError("too small")

    painter.pipe.unet.register_forward_pre_hook(narrow)
    answers = found.fill(asked)
    assert [answer.params["batch"] for answer in answers] == [2] * 4
    for one, answer in zip(whole, answers, strict=True):
        assert np.abs(image_of(answer).astype(int) - one).max() <= 1
    assert "batch" not in found.fill(asked[:1])[0].params


def test_where_nothing_is_known_there_is_nothing_to_continue(
    painters: dict[str, StableDiffusion],
) -> None:
    one = request()
    nothing = replace(one, known=np.zeros_like(one.known))
    first, second = painters["sd"].fill([nothing, replace(one, key="b")])
    assert first == Rejected("nothing_known")
    assert isinstance(second, Filled)


def outpaint_request(**changes: Any) -> OutpaintRequest:
    one = request(size=(64, 80))
    image = generator(9).integers(0, 256, one.image.shape).astype(np.uint8)
    wanted = tuple(Shrunk(f"p/scale_{f:g}", f, int(f)) for f in FACTORS)
    plain = OutpaintRequest("p", image, one.mask, "beach", "dog", wanted, FACTORS, 7)
    return replace(plain, **changes)


def test_outpainting_takes_passes_of_at_most_twice(painters: dict[str, StableDiffusion]) -> None:
    answers = painters["sd"].outpaint([outpaint_request()])[0]
    assert [answer.params["passes"] for answer in answers] == [1, 2, 3]
    assert {answer.params["chain"] for answer in answers} == {"separate"}
    for answer in answers:
        assert image_of(answer)[[0, -1]].std() > 3


# ------------------------------------------------------------------ what cannot be used


def refusal(call: Callable[[], object], kind: type[CovarError]) -> str:
    with pytest.raises(kind) as error:
        call()
    line = error.value.line()
    assert "\n" not in line
    return line


def test_no_safety_checker_is_loaded(folders: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folders / "sd", tmp_path / "checked")
    index = json.loads((place / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["requires_safety_checker"] = True
    (place / "model_index.json").write_text(json.dumps(index))
    found = plugin(place)
    painter = found.painter
    assert painter is not None
    assert painter.pipe.safety_checker is None
    assert isinstance(found.fill([request()])[0], Filled)


def test_a_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    line = refusal(lambda: plugin(tmp_path), WeightsError)
    assert "stable_diffusion.weights" in line
    assert "model_index.json" in line


def test_a_repository_that_its_owner_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    removed = Path("runwayml/stable-diffusion-inpainting")
    line = refusal(lambda: plugin(removed), WeightsError)
    assert "Name its mirror: stable-diffusion-v1-5/stable-diffusion-inpainting" in line


def test_a_pipeline_that_fills_no_holes(folders: Path) -> None:
    line = refusal(lambda: plugin(folders / "instructed"), WeightsError)
    assert "StableDiffusionInstructPix2PixPipeline" in line


def test_a_pipeline_without_an_autoencoder(folders: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folders / "sd", tmp_path / "pixels")
    index = json.loads((place / "model_index.json").read_text())
    del index["vae"]
    (place / "model_index.json").write_text(json.dumps(index))
    assert "has no autoencoder" in refusal(lambda: plugin(place), WeightsError)


def test_a_part_without_weights(folders: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folders / "sd", tmp_path / "half")
    (place / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "lacks unet" in refusal(lambda: plugin(place), WeightsError)


def test_a_file_that_ended_too_early(folders: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folders / "sd", tmp_path / "cut")
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    said = refusal(lambda: plugin(place), WeightsError)
    assert f"{weights} is cut off: it has 1000 bytes of " in said


def test_what_this_machine_cannot_do(folders: Path) -> None:
    line = refusal(lambda: plugin(folders / "sd", attention="no_such_backend"), PluginError)
    assert "no_such_backend" in line
    line = refusal(lambda: plugin(folders / "sd", offload="model"), PluginError)
    assert "no GPU" in line


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"guidance": -1}, {"strength": 0}, {"native": 8}, {"weigths": "x"}]
)
def test_a_wrong_option_is_named(folders: Path, wrong: dict[str, object]) -> None:
    given = {"weights": str(folders / "sd"), **wrong}
    with pytest.raises(RecipeError) as error:
        make("inpainters", "stable_diffusion", Inpainter, given, "scale.inpainter")
    assert f"scale.options.stable_diffusion.{next(iter(wrong))}" in error.value.line() or (
        "unknown key 'weigths'" in error.value.line()
    )


def test_the_weights_content_is_part_of_the_identity_and_their_place_is_not(
    folders: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(folders / "sd", tmp_path / "moved")
    same, there = plugin(folders / "sd").identity(), plugin(moved).identity()
    assert same == there
    config = moved / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    assert plugin(moved).identity() != same


def test_a_text_of_which_only_the_beginning_is_read_is_said(folders: Path) -> None:
    painter = plugin(folders / "sd")
    for prompt, negative, cut in (("beach", "dog", None), ("sand " * 90, "dog", True),
                                  ("beach", "dog " * 90, True)):  # fmt: skip
        given = dataclasses.replace(request(), prompt=prompt, negative_prompt=negative)
        answer = painter.fill([given])[0]
        assert isinstance(answer, Filled)
        assert answer.params.get("text_cut") is cut
