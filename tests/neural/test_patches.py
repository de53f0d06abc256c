"""Objects are compared by the patches of a network: tiny random ones in the real formats."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from covar_gen.core.agreement import Agreement, Beside, beside
from covar_gen.core.arrays import Image, Mask
from covar_gen.core.errors import DeviceMemoryError, WeightsError
from covar_gen.neural import patches
from covar_gen.neural.patches import Patches, coverage, cut_out, patches_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def networks(
    tmp_path_factory: pytest.TempPathFactory, module_of: Callable[[Path], ModuleType]
) -> Path:
    root = tmp_path_factory.mktemp("networks")
    tiny = module_of(Path(__file__).parents[1] / "tiny_networks.py")
    for name in ("dinov2", "dinov2_with_registers", "dinov3_vit", "clip", "vit"):
        tiny.save_network(root / name, name)
    return root


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub must not be asked, and its cache, which is returned, is empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def network(networks: Path) -> Patches:
    return loaded(networks / "dinov2")


def loaded(folder: Path, **options: Any) -> Patches:
    found = Patches(Patches.Options(network=str(folder), **options))
    found.setup()
    return found


def picture(seed: int, height: int = 60, width: int = 80) -> Image:
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3))
    return cv2.resize(colours.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def mask() -> Mask:
    y, x = np.mgrid[:60, :80]
    return (x - 42) ** 2 + (y - 29) ** 2 < 20**2


def pair(mask: Mask, here: Image, there: Image) -> Beside:
    return beside(here, mask, there)


def similarity(network: Patches, *pairs: Beside) -> list[float]:
    found = [value for value, _ in network.compare(pairs)]
    assert all(value is not None for value in found)
    return [float(str(value)) for value in found]


@pytest.mark.parametrize("name", ["dinov2", "dinov2_with_registers", "dinov3_vit"])
def test_the_same_object_before_another_background_is_the_same(
    networks: Path, mask: Mask, name: str
) -> None:
    found = loaded(networks / name)
    here = picture(0)
    same = pair(mask, here, np.where(mask[..., None], here, picture(5)))
    other = pair(mask, here, picture(1))
    one, two = similarity(found, same, other)
    assert one == pytest.approx(1, abs=1e-5)
    assert two < 0.97


def test_more_noise_is_less_alike(network: Patches, mask: Mask) -> None:
    here = picture(0)
    noise = np.random.default_rng(2).normal(0, 1, here.shape)
    found = similarity(
        network,
        *(
            pair(mask, here, np.clip(here + amount * noise, 0, 255).astype(np.uint8))
            for amount in (0, 10, 40, 120)
        ),
    )
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9999
    assert len(set(found)) == 4


def test_the_mean_is_that_of_the_networks_own_patches(network: Patches, mask: Mask) -> None:
    """The same by hand: transformers' model, its processor, and a loop over patches."""
    from transformers import AutoImageProcessor, Dinov2Model

    both = pair(mask, picture(0), picture(1))
    folder = network.checkpoint.folder
    model, processor = (
        Dinov2Model.from_pretrained(folder).eval(),
        AutoImageProcessor.from_pretrained(folder),
    )
    ground = np.rint(np.array(processor.image_mean) * 255).astype(np.uint8)
    first, second, share = cut_out(both, 28, ground)
    total, weights = 0.0, 0.0
    with torch.no_grad():
        features = [
            model(**processor(one, do_resize=False, do_center_crop=False, return_tensors="pt"))
            .last_hidden_state[0, 1:]
            .numpy()
            for one in (first, second)
        ]
    for place, (one, two) in enumerate(zip(*features, strict=True)):
        row, column = divmod(place, 4)
        weight = share[7 * row : 7 * row + 7, 7 * column : 7 * column + 7].mean()
        total += weight * (one @ two) / np.linalg.norm(one) / np.linalg.norm(two)
        weights += weight
    assert similarity(network, both)[0] == pytest.approx(total / weights, abs=1e-5)


def test_answers_do_not_depend_on_the_batch_and_say_what_made_them(
    networks: Path, network: Patches, mask: Mask
) -> None:
    pairs = [pair(mask, picture(seed), picture(seed + 1)) for seed in range(5)]
    alone = [similarity(network, each)[0] for each in pairs]
    for batch in (1, 2, 16):
        found = loaded(networks / "dinov2", batch=batch)
        assert similarity(found, *pairs) == pytest.approx(alone, abs=1e-5)
    _, about = network.compare(pairs[:1])[0]
    assert str(about["network"]).startswith("local:dinov2@")
    assert (about["dtype"], about["device"]) == ("float32", "cpu")
    assert "batch" not in about


def test_half_precision_is_close_and_said(networks: Path, network: Patches, mask: Mask) -> None:
    both = pair(mask, picture(0), picture(1))
    half = loaded(networks / "dinov2", dtype="bfloat16")
    (value, about), exact = half.compare([both])[0], similarity(network, both)[0]
    assert about["dtype"] == "bfloat16"
    assert value == pytest.approx(exact, abs=0.03)
    assert value != exact


def test_what_cannot_be_seen_has_no_similarity(network: Patches, mask: Mask) -> None:
    unseen = Beside(picture(0), picture(1), np.zeros_like(mask), 0.0)
    seen = pair(mask, picture(0), picture(0))
    (first, about), (second, _) = network.compare([unseen, seen])
    assert first is None
    assert second == pytest.approx(1, abs=1e-5)
    assert "network" in about
    assert network.compare([]) == []


def test_too_little_memory_halves_the_batch_and_is_said(
    network: Patches, mask: Mask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [pair(mask, picture(seed), picture(seed + 1)) for seed in range(5)]
    expected = similarity(network, *pairs)
    real = network.network

    def small(pixel_values: torch.Tensor) -> Any:
        if len(pixel_values) > most:
            raise torch.OutOfMemoryError
        return real(pixel_values=pixel_values)

    monkeypatch.setattr(network, "network", small)
    most = 4
    found = network.compare(pairs)
    assert [value for value, _ in found] == pytest.approx(expected, abs=1e-5)
    # Five pairs are ten pictures: three and two pairs, and of the three again two and one.
    assert [about["batch"] for _, about in found] == [2, 2, 1, 2, 2]
    most = 1
    with pytest.raises(DeviceMemoryError, match=r"agreement.network: .*not enough memory"):
        network.compare(pairs)


def test_the_object_is_cut_out_alone_and_square() -> None:
    here = np.full((40, 60, 3), 200, np.uint8)
    there = np.full((40, 60, 3), 50, np.uint8)
    inside = np.zeros((40, 60), np.bool_)
    inside[10:30, 0:40] = True
    ground = np.array([1, 2, 3], np.uint8)
    first, second, share = cut_out(Beside(here, there, inside, 1.0), 44, ground)
    # The box is 40 wide; 44 are cut out about its middle, 2 columns of them beyond the picture.
    assert first.shape == second.shape == (44, 44, 3)
    assert share.sum() == 800
    rows, columns = np.nonzero(share)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 31, 2, 41)
    assert np.all(first[share == 1] == 200)
    assert np.all(second[share == 1] == 50)
    for one in (first, second):
        assert np.all(one[share == 0] == ground)


def test_a_patch_weighs_what_of_it_is_object() -> None:
    share = np.zeros((4, 4), np.float32)
    share[:2, :2] = 1
    share[2, 2] = 0.5
    assert coverage(share, 2).tolist() == [[1, 0], [0, 0.125]]


def test_the_network_is_known_by_its_content(networks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(networks / "dinov2", tmp_path / "elsewhere")
    one, two = (
        Patches(Patches.Options(network=str(place))).identity()
        for place in (networks / "dinov2", folder)
    )
    assert one == two
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("0.485", "0.5"))
    assert Patches(Patches.Options(network=str(folder))).identity() != one
    assert Patches(Patches.Options(network=str(networks / "dinov3_vit"))).identity() != one
    assert Patches(Patches.Options(network=str(folder), batch=2)).identity() != one


def test_networks_that_pair_images_with_texts_are_refused_with_the_reason(networks: Path) -> None:
    found = Patches(Patches.Options(network=str(networks / "clip")))
    for use in (found.check, found.identity, found.setup):
        with pytest.raises(
            WeightsError,
            match=r"agreement.network: .*'clip', which pairs images.*dinov2",
        ):
            use()


def test_other_networks_are_refused_by_their_kind(networks: Path, tmp_path: Path) -> None:
    found = Patches(Patches.Options(network=str(networks / "vit")))
    with pytest.raises(WeightsError, match=r"of the kind 'vit'.*Name one of the kind dinov2 or"):
        found.check()
    with pytest.raises(WeightsError, match="there is no folder"):
        Patches(Patches.Options(network=str(tmp_path / "nothing"))).check()


def test_a_network_that_is_not_here_is_said_with_the_command(offline: Path) -> None:
    found = patches_of(Agreement())
    assert found is not None
    for use in (found.check, found.identity, found.setup):
        with pytest.raises(
            WeightsError, match=r"hf download facebook/dinov2-base --revision [0-9a-f]{40};"
        ):
            use()
    assert not offline.exists()


def test_pictures_smaller_than_a_patch_are_refused(networks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(networks / "dinov2", tmp_path / "small")
    settings = folder / "preprocessor_config.json"
    changed = json.loads(settings.read_text())
    changed["crop_size"] = {"height": 6, "width": 6}
    settings.write_text(json.dumps(changed))
    with pytest.raises(WeightsError, match="smaller than one of its patches"):
        loaded(folder)


def test_features_that_are_no_numbers_are_not_passed_on(networks: Path, mask: Mask) -> None:
    found = loaded(networks / "dinov2")
    with torch.no_grad():
        found.network.layernorm.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="no numbers"):
        found.compare([pair(mask, picture(0), picture(1))])


def test_the_recipe_says_whether_there_is_a_network() -> None:
    assert patches_of(None) is None
    assert patches_of(Agreement(network="none")) is None
    found = patches_of(Agreement(network="me/network@v1", batch=3, dtype="float32"))
    assert found is not None
    assert found.options == Patches.Options(network="me/network@v1", batch=3, dtype="float32")
    assert found.named_weights() == {"network": "me/network@v1"}
    assert patches.NETWORK == Patches.Options().network == Agreement().network
