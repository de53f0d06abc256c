"""Zero123++: the recorded cases of the official pipeline, batches, pictures, and the plugin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import PluginError, WeightsError
from covar_gen.core.plugins import make
from covar_gen.neural.diffusion import find_network, find_pipeline
from covar_gen.viewers._zero123_loading import load
from covar_gen.viewers._zero123_model import Asked, Seeded, Zero123, on_grey
from covar_gen.viewers._zero123_pictures import (
    by_normals,
    centre_square,
    cutout,
    lifted,
    on_frame,
    recomposed,
    tiles,
)
from covar_gen.viewers.base import View, Viewer, ViewRequest
from covar_gen.viewers.zero123plus import PARTS, Zero123plus

DATA = Path(__file__).parents[1] / "data" / "zero123plus"
CPU, FLOAT = torch.device("cpu"), torch.float32

pytestmark = pytest.mark.usefixtures("one_thread")


def folder_with(scheduler: str, place: Path) -> Path:
    """The tiny components with one of their schedulers."""
    shutil.copytree(DATA / "components", place)
    if scheduler != "scheduler":
        shutil.rmtree(place / "scheduler")
        shutil.copytree(place / scheduler, place / "scheduler")
    return place


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_with("scheduler", tmp_path_factory.mktemp("zero123") / "tiny")


@pytest.fixture(scope="module")
def ddim(tmp_path_factory: pytest.TempPathFactory) -> Zero123:
    place = folder_with("scheduler_ddim", tmp_path_factory.mktemp("zero123") / "ddim")
    control = find_network(str(place / "controlnet"), "normals")
    return load(find_pipeline(str(place), "weights", PARTS), CPU, FLOAT, control)


@pytest.fixture(scope="module")
def ancestral(components: Path) -> Zero123:
    return load(find_pipeline(str(components), "weights", PARTS), CPU, FLOAT)


class Recorded:
    """The noise of a recorded case."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays

    def generator(self, what: str, step: int) -> torch.Generator:
        return torch.Generator()

    def draw(self, what: str, step: int, shape: Sequence[int]) -> torch.Tensor:
        found = {
            "latents": lambda: self.arrays["latents_in"][0],
            "reference": lambda: self.arrays["posterior_noise_cond"][0],
            "grey": lambda: self.arrays["posterior_noise_zero"][0],
            "noise_on_grey": lambda: self.arrays["ref_noise"][step, 0],
            "noise_on_reference": lambda: self.arrays["ref_noise"][step, -1],
        }[what]()
        assert found.shape == tuple(shape)
        return torch.from_numpy(found)


CASES: dict[str, dict[str, Any]] = {
    "b_ddim_g4": {"steps": 5},
    "d_ddim_g1": {"steps": 5, "guidance": 1.0},
    "f_ddim_g4_prompt": {"steps": 3, "prompt": "a red mug"},
    "g_ddim_g4_controlnet": {"steps": 3, "control_scale": 0.75},
}


@pytest.mark.parametrize("case", CASES)
def test_images_are_those_of_the_official_pipeline(case: str, ddim: Zero123) -> None:
    arrays = np.load(DATA / f"case_{case}.npz")
    canvases = None
    if "controlnet" in case:
        canvases = [Pillow.open(DATA / "depth_rgb_128x192.png")]
    asked = Asked(width=128, height=192, **CASES[case])
    picture = Pillow.open(DATA / "cond_rgba_224.png")
    found = ddim.make([picture], [Recorded(arrays)], asked, canvases)
    np.testing.assert_allclose(found, arrays["image_np"], atol=1e-4)


@pytest.mark.parametrize("steps", [5, 28, 36, 75])
def test_steps_are_spaced_from_the_last_one_down(steps: int, ancestral: Zero123) -> None:
    known = json.loads((DATA / "schedule.json").read_text())
    known = known[f"EulerAncestralDiscreteScheduler/trailing/{steps}"]
    scheduler: Any = ancestral.scheduler
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == known["timesteps"]
    assert float(scheduler.init_noise_sigma) == pytest.approx(known["init_noise_sigma"])


SMALL = Asked(steps=3, width=128, height=192)


def picture(turn: int = 0) -> Pillow.Image:
    return Pillow.open(DATA / "cond_rgba_224.png").rotate(turn)


def test_an_images_views_do_not_depend_on_what_is_painted_beside_it(ancestral: Zero123) -> None:
    pictures = [picture(turn) for turn in (0, 90, 180, 270)]
    noises = [Seeded(seed) for seed in (1, 2, 3, 4)]
    together = ancestral.make(pictures, noises, SMALL)
    for place in range(4):
        alone = ancestral.make([pictures[place]], [noises[place]], SMALL)
        np.testing.assert_allclose(together[place], alone[0], atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_image(
    ancestral: Zero123,
) -> None:
    first, again, other = (ancestral.make([picture()], [Seeded(seed)], SMALL) for seed in (1, 1, 2))
    assert (first == again).all()
    assert np.abs(first - other).max() > 0.01


def test_every_draw_has_its_own_noise() -> None:
    noise = Seeded(5)
    draws = [noise.draw(what, step, (64,)) for what in ("latents", "reference") for step in (0, 1)]
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    assert torch.equal(noise.draw("latents", 0, (64,)), draws[0])


def test_the_networks_have_their_own_attention_again_even_after_a_failure(
    ancestral: Zero123,
) -> None:
    before = dict(ancestral.unet.attn_processors)

    class Broken(Seeded):
        def draw(self, what: str, step: int, shape: Sequence[int]) -> torch.Tensor:
            if what == "noise_on_reference" and step == 1:
                raise RuntimeError("the power is gone")
            return super().draw(what, step, shape)

    with pytest.raises(RuntimeError, match="power"):
        ancestral.make([picture()], [Broken(1)], SMALL)
    assert ancestral.unet.attn_processors == before


def test_what_is_transparent_lies_on_mid_grey() -> None:
    clear = Pillow.new("RGBA", (2, 1), (255, 0, 0, 0))
    clear.putpixel((1, 0), (255, 0, 0, 255))
    assert np.asarray(on_grey(clear)).tolist() == [[[127, 127, 127], [255, 0, 0]]]


# Pictures in and out.


def scene(height: int = 40, width: int = 60) -> tuple[Image, Mask]:
    image = np.full((height, width, 3), 200, np.uint8)
    mask = np.zeros((height, width), np.bool_)
    mask[10:30, 20:30] = True
    image[mask] = (250, 20, 10)
    return image, mask


def test_the_object_is_cut_out_and_centred_in_a_grey_square() -> None:
    found = cutout(*scene(), share=0.5)
    pixels = np.asarray(found.picture)
    assert found.side == 40
    assert pixels.shape == (40, 40, 3)
    red = (pixels == (250, 20, 10)).all(axis=2)
    assert red.sum() == 20 * 10
    assert red[10:30, 15:25].all()
    assert (pixels[~red] == 127).all()


def test_of_a_photograph_the_middle_square_is_shown() -> None:
    image = np.arange(4 * 8, dtype=np.uint8).reshape(4, 8, 1).repeat(3, 2)
    assert (np.asarray(centre_square(image)) == image[:, 2:6]).all()


def test_views_lie_row_by_row_on_the_canvas() -> None:
    canvas = np.zeros((6, 4, 3), np.float32)
    for number in range(6):
        row, column = divmod(number, 2)
        canvas[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = number / 255
    assert [int(tile[0, 0, 0]) for tile in tiles(canvas)] == [0, 1, 2, 3, 4, 5]
    assert all((tile == tile[0, 0]).all() and tile.shape == (2, 2, 3) for tile in tiles(canvas))


def tile_with(box: tuple[int, int, int, int], level: tuple[int, int, int]) -> Image:
    left, top, right, bottom = box
    tile = np.full((64, 64, 3), 126, np.uint8)
    tile[top:bottom, left:right] = level
    return tile


def test_the_object_of_a_view_is_what_is_not_grey_with_its_holes() -> None:
    tile = tile_with((16, 16, 48, 48), (250, 100, 20))
    tile[28:36, 28:36] = 127
    tile[2:4, 2:4] = 255
    found = lifted(tile, 12, 0.05)
    expected = np.zeros((64, 64), np.bool_)
    expected[16:48, 16:48] = True
    assert (found == expected).all()


def test_normals_are_long_on_the_object_and_short_on_the_ground() -> None:
    tile = tile_with((16, 16, 48, 48), (127, 127, 255))
    assert by_normals(tile, 0.4, 0.05).sum() == 32 * 32


def test_a_square_view_stands_in_the_middle_of_a_frame_of_grey() -> None:
    tile = tile_with((0, 0, 64, 64), (10, 20, 30))
    image, mask = on_frame(tile, np.ones((64, 64), np.bool_), (32, 48))
    assert mask is not None
    assert mask[:, 8:40].all()
    assert not mask[:, :8].any()
    assert (image[mask] == (10, 20, 30)).all()
    assert (image[~mask] == 127).all()


def test_the_object_of_a_view_takes_the_place_of_the_parents() -> None:
    background = np.full((40, 60, 3), 200, np.uint8)
    tile = tile_with((16, 8, 48, 56), (0, 200, 0))  # 32 wide, 48 high
    mask = lifted(tile, 12, 0.05)
    found = recomposed(tile, mask, background, (20, 10, 30, 34))  # 10 wide, 24 high
    assert found is not None
    image, there = found
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    assert (rows[0], rows[-1]) == (10, 33)  # 24 high, on the same lower edge
    assert (columns[0], columns[-1]) == (17, 32)  # 16 wide, centred
    assert (image[there] == (0, 200, 0)).all()
    assert (image[~there] == 200).all()


def test_a_view_that_is_lower_than_the_parent_stands_on_the_same_ground() -> None:
    background = np.full((40, 60, 3), 200, np.uint8)
    tile = tile_with((8, 16, 56, 48), (0, 200, 0))  # 48 wide, 32 high
    found = recomposed(tile, lifted(tile, 12, 0.05), background, (20, 10, 30, 34))
    assert found is not None
    rows, columns = (np.flatnonzero(found[1].any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (18, 33)  # 16 high, not hanging from the upper edge
    assert (columns[0], columns[-1]) == (13, 36)  # 24 wide, as the parent is high; centred


def test_an_object_that_is_placed_wholly_outside_the_frame_is_none() -> None:
    tile = tile_with((0, 30, 64, 34), (0, 200, 0))
    background = np.zeros((20, 20, 3), np.uint8)
    assert recomposed(tile, lifted(tile, 12, 0), background, (40, 5, 44, 9)) is None


# The plugin.


def viewer(components: Path, **options: Any) -> Viewer:
    given = {
        "weights": str(components),
        "steps": 2,
        "tile": 64,
        "min_area": 0.0,
        "max_area": 1.0,
        **options,
    }
    found = make("viewers", "zero123plus", Viewer, given)  # type: ignore[type-abstract]
    found.setup()
    return found


def request(seed: int = 1, key: str = "a", **changes: Any) -> ViewRequest:
    image, mask = scene()
    given: dict[str, Any] = {
        "key": key, "image": image, "mask": mask, "wanted": (0, 3), "seed": seed,
    }  # fmt: skip
    return ViewRequest(**{**given, **changes})


@pytest.fixture(scope="module")
def tiny(components: Path) -> Viewer:
    return viewer(components, batch=2)


def views(found: Sequence[View | Rejected]) -> list[View]:
    assert all(isinstance(each, View) for each in found), found
    return list(found)  # type: ignore[arg-type]


def test_views_have_the_parents_size_and_say_how_they_were_made(tiny: Viewer) -> None:
    first, second = views(tiny.views([request()])[0])
    assert first.image.shape == second.image.shape == (40, 60, 3)
    assert first.mask is None
    assert (first.image != second.image).any()
    assert first.params["steps"] == 2
    assert first.params["cut_side"] == 27
    assert first.params["dtype"] == "float32"
    assert first.params["device"] == "cpu"
    assert first.params["scheduler"] == "EulerAncestralDiscreteScheduler"
    assert tiny.model is not None
    assert tiny.model.startswith("local:tiny@")


def test_views_follow_image_mask_and_seed(tiny: Viewer) -> None:
    image, mask = scene()
    other_image, other_mask = image.copy(), mask.copy()
    other_image[mask] = (0, 0, 250)
    other_mask[10:20] = False
    plain = views(tiny.views([request()])[0])[0].image
    assert (views(tiny.views([request()])[0])[0].image == plain).all()
    for changed in (request(seed=2), request(image=other_image), request(mask=other_mask)):
        assert (views(tiny.views([changed])[0])[0].image != plain).any()


def test_views_follow_the_prompt(components: Path, tiny: Viewer) -> None:
    plain = views(tiny.views([request()])[0])[0].image
    asked = viewer(components, prompt="a red mug")
    assert (views(asked.views([request()])[0])[0].image != plain).any()


def test_batches_are_cut_and_answers_stay_with_their_requests(tiny: Viewer) -> None:
    empty = request(key="none", mask=np.zeros((40, 60), np.bool_))
    batch = [request(1, "a"), empty, request(2, "b"), request(3, "c", wanted=(5,))]
    answers = tiny.views(batch)
    assert [len(each) for each in answers] == [2, 2, 2, 1]
    assert all(isinstance(each, Rejected) and each.reason == "empty_mask" for each in answers[1])
    alone = views(tiny.views([request(3, "c", wanted=(5,))])[0])[0].image
    difference = np.abs(views(answers[3])[0].image.astype(int) - alone)
    assert difference.max() <= 1


def test_poses_are_those_of_the_version(components: Path) -> None:
    poses = {version: viewer(components, version=version).poses for version in ("1.1", "1.2")}
    assert [pose.azimuth_deg for pose in poses["1.2"]] == [30, 90, 150, 210, 270, 330]
    assert [pose.elevation_deg for pose in poses["1.2"]] == [20, -10] * 3
    assert [pose.elevation_deg for pose in poses["1.1"]] == [30, -20] * 3


def test_a_recomposed_view_keeps_the_background(components: Path) -> None:
    found = viewer(components, output="recomposed", ground=0)
    background = np.full((40, 60, 3), 90, np.uint8)
    (view,) = views(found.views([request(wanted=(1,), background=background)])[0])
    assert view.mask is not None
    assert (view.image[~_grown(view.mask)] == 90).all()
    assert (view.image[view.mask] != 90).any()


def _grown(mask: Mask) -> Mask:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, iterations=2), np.bool_)


def test_a_recomposed_view_without_a_background_is_refused(components: Path) -> None:
    found = viewer(components, output="recomposed", ground=0)
    (answer,) = found.views([request(wanted=(1,))])[0]
    assert isinstance(answer, Rejected)
    assert answer.reason == "no_background"


def test_views_that_show_nothing_are_refused_and_tried_again(components: Path) -> None:
    found = viewer(components, ground=255, min_area=0.02)
    (answer,) = found.views([request(wanted=(1,))])[0]
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.again) == ("blank_view", True)
    assert found.attempts == 3


def test_a_canvas_without_numbers_is_refused(
    components: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = viewer(components)
    assert isinstance(found, Zero123plus)

    def broken(*_: object, **__: object) -> np.ndarray:
        return np.full((1, 192, 128, 3), np.nan, np.float32)

    monkeypatch.setattr(Zero123, "make", broken)
    answers = found.views([request()])[0]
    assert [(a.reason, a.again) for a in answers if isinstance(a, Rejected)] == [
        ("bad_output", True)
    ] * 2


def test_the_networks_are_asked_what_the_options_say(
    components: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = viewer(components, steps=3, guidance=2.5, prompt="mug", tile=96)
    told: list[Asked] = []

    def make_grey(
        _self: object, images: list[Any], _noises: object, asked: Asked, *_: object
    ) -> Any:
        told.append(asked)
        return np.full((len(images), asked.height, asked.width, 3), 0.5, np.float32)

    monkeypatch.setattr(Zero123, "make", make_grey)
    found.views([request()])
    assert told == [Asked(steps=3, guidance=2.5, width=192, height=288, prompt="mug")]


def test_normals_give_the_view_its_mask(components: Path) -> None:
    found = viewer(components, normals=str(components / "controlnet"))
    (view,) = views(found.views([request(wanted=(2,))])[0])
    assert view.mask is not None
    assert view.mask.shape == (40, 60)
    assert " " in str(found.model)


def test_weights_are_told_by_content(components: Path, tmp_path: Path) -> None:
    copied = folder_with("scheduler", tmp_path / "renamed")
    one, same = (viewer(place).identity() for place in (components, copied))
    assert one == same
    index = json.loads((copied / "model_index.json").read_text())
    index["ramping_coefficients"][3] += 0.1
    (copied / "model_index.json").write_text(json.dumps(index))
    assert viewer(copied).identity() != one


@pytest.mark.parametrize("part", ["unet", "vision_encoder", "scheduler"])
def test_a_checkpoint_that_lacks_a_part_is_refused_in_a_line(part: str, tmp_path: Path) -> None:
    place = folder_with("scheduler", tmp_path / "part")
    shutil.rmtree(place / part)
    with pytest.raises(WeightsError, match=f"lacks {part}"):
        viewer(place)


def test_damaged_weights_are_refused_in_a_line(tmp_path: Path) -> None:
    place = folder_with("scheduler", tmp_path / "cut")
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="is cut off: it has 5000 bytes of "):
        viewer(place)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"lacks model_index\.json"):
        viewer(tmp_path)


def test_an_index_without_the_ramp_of_zero123plus_is_refused(tmp_path: Path) -> None:
    place = folder_with("scheduler", tmp_path / "plain")
    index = json.loads((place / "model_index.json").read_text())
    del index["ramping_coefficients"]
    (place / "model_index.json").write_text(json.dumps(index))
    said = "zero123plus.weights: .*model_index.json has no ramping_coefficients: this is no Zero123"
    with pytest.raises(WeightsError, match=said):
        viewer(place)


def test_areas_must_be_in_order() -> None:
    with pytest.raises(PluginError, match="min_area"):
        make("viewers", "zero123plus", Viewer, {"min_area": 0.5, "max_area": 0.4})  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "sudo-ai/zero123plus-v1.1"},
        {"weights": "sudo-ai/zero123plus-v1.2@main", "version": "1.1"},
        {"normals": "sudo-ai/controlnet-zp12-normal-gen-v1", "version": "1.1"},
        {"normals": "sudo-ai/controlnet-zp11-depth-v1"},
    ],
)
def test_official_weights_that_do_not_belong_together_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(PluginError, match=r"wants version = |paints no normals"):
        make("viewers", "zero123plus", Viewer, options)  # type: ignore[type-abstract]


def test_too_little_memory_halves_the_batch_and_says_so(components: Path) -> None:
    found = viewer(components, batch=4)
    assert isinstance(found, Zero123plus)
    asked = [request(seed, f"k{seed}") for seed in range(3)]
    whole = [views(each)[0] for each in found.views(asked)]
    assert found._networks is not None

    def narrow(_module: object, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 2 * 2:  # with and without guidance
            raise torch.OutOfMemoryError("too small")

    found._networks.unet.register_forward_pre_hook(narrow)
    halves = [views(each)[0] for each in found.views(asked)]
    assert [view.params["batch"] for view in halves] == [2, 2, 1]
    assert all("batch" not in view.params for view in whole)
    for one, other in zip(whole, halves, strict=True):
        assert np.abs(one.image.astype(int) - other.image).max() <= 1
