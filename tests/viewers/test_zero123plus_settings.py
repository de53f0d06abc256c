"""Zero123++ run as its options say: compiled, by another attention, waiting in the main memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models import attention_dispatch
from PIL import Image as Pillow

from covar_gen.core.errors import DeviceMemoryError, PluginError, RecipeError
from covar_gen.core.plugins import make
from covar_gen.neural import room
from covar_gen.neural.diffusion import DiffusionOptions, find_network, find_pipeline
from covar_gen.viewers import _zero123_loading
from covar_gen.viewers._zero123_loading import load, settle
from covar_gen.viewers._zero123_model import Asked, Seeded, Zero123
from covar_gen.viewers.base import Viewer
from covar_gen.viewers.zero123plus import PARTS

DATA = Path(__file__).parents[1] / "data" / "zero123plus"
CPU, FLOAT = torch.device("cpu"), torch.float32
SMALL = Asked(steps=2, width=128, height=192)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("zero123") / "tiny"
    shutil.copytree(DATA / "components", place)
    return place


def options(place: Path, **given: Any) -> DiffusionOptions:
    return DiffusionOptions(weights=str(place), **given)


def loaded(place: Path, **given: Any) -> Zero123:
    folder = find_pipeline(str(place), "zero123plus.weights", PARTS)
    control = find_network(str(place / "controlnet"), "zero123plus.normals")
    return load(folder, CPU, FLOAT, control, options(place, **given))


def made(networks: Zero123, number: int = 2, asked: Asked = SMALL) -> np.ndarray:
    """Canvases of the networks, the ControlNet's part included."""
    shown = Pillow.open(DATA / "cond_rgba_224.png")
    canvas = Pillow.open(DATA / "depth_rgb_128x192.png")
    canvas = canvas.resize((asked.width, asked.height))
    noises = [Seeded(seed) for seed in range(number)]
    pictures = [shown.rotate(90 * turn) for turn in range(number)]
    return networks.make(pictures, noises, asked, [canvas] * number)


@pytest.fixture(scope="module")
def plain(components: Path) -> np.ndarray:
    return made(loaded(components, vae_slicing=False))


def test_canvases_of_several_sizes_are_painted_by_compiled_blocks(
    components: Path, plain: np.ndarray, traced_blocks: list[dict[str, Any]]
) -> None:
    torch._dynamo.utils.counters.clear()
    other = Asked(steps=1, width=64, height=192)
    with torch._dynamo.config.patch(recompile_limit=1, error_on_recompile=False):
        compiled = loaded(components, compile=True)
        np.testing.assert_allclose(made(compiled), plain, atol=1e-4)
        np.testing.assert_allclose(
            made(compiled, 1, other), made(loaded(components), 1, other), atol=1e-4
        )
        # What was traced once serves the next batches.
        traces = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        np.testing.assert_allclose(made(compiled), plain, atol=1e-4)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == traces > 0
    assert traced_blocks == [{"fullgraph": True}]


def test_an_attention_backend_computes_all_attention_of_these_networks_and_of_no_other(
    components: Path, plain: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = attention_dispatch._AttentionBackendRegistry
    math = attention_dispatch.AttentionBackendName._NATIVE_MATH
    calls: list[tuple[int, int]] = []
    usual = registry._backends[math]

    def counted(**given: Any) -> Any:
        calls.append((given["query"].shape[1], given["key"].shape[1]))
        return usual(**given)

    active = registry._active_backend
    networks = loaded(components, attention="_native_math")
    monkeypatch.setitem(registry._backends, math, counted)
    np.testing.assert_allclose(made(networks), plain, atol=1e-4)
    layers = len(networks.unet.attn_processors)
    assert networks.control is not None
    # Written and read in each step, and once by the ControlNet.
    assert len(calls) == SMALL.steps * (2 * layers + len(networks.control.attn_processors))
    assert {there for here, there in calls if there == 77}, "the text's"
    assert {here for here, there in calls if there > here}, "the reference's"
    assert registry._active_backend == active
    calls.clear()
    made(loaded(components))
    assert not calls


@pytest.mark.parametrize("name", ["no_such_backend", "flash_hub"])
def test_an_attention_backend_that_cannot_be_used_is_refused(components: Path, name: str) -> None:
    with pytest.raises(PluginError, match=r"zero123plus\.weights: attention backend .*Leave|Name"):
        loaded(components, attention=name)


def test_layers_that_wait_in_the_main_memory_paint_the_same(
    components: Path, plain: np.ndarray
) -> None:
    networks = loaded(components)
    settle(networks, options(components, offload="sequential"), "weights")
    assert networks.control is not None
    every = (networks.vae, networks.unet, networks.text_encoder, networks.vision_encoder)
    for network in (*every, networks.control):
        assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    np.testing.assert_allclose(made(networks), plain, atol=1e-4)


def test_networks_that_wait_are_on_the_device_only_while_they_work(
    components: Path, plain: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = loaded(components)
    settle(networks, options(components, offload="model"), "weights")
    there: set[str] = set()
    most: list[int] = []
    names = ("vae", "unet", "text_encoder", "vision_encoder", "control")
    # Any device that is not the main memory's name: to torch it is the same processor.
    networks.device = torch.device("cpu:0")

    def watched(name: str) -> None:
        network = getattr(networks, name)
        move = network.to

        def to(device: Any) -> Any:
            (there.discard if device == "cpu" else there.add)(name)
            return move(device)

        def works(*_given: Any) -> None:
            assert name in there
            most.append(len(there))

        monkeypatch.setattr(network, "to", to)
        network.register_forward_pre_hook(works)
        if name == "vae":
            network.encoder.register_forward_pre_hook(works)
            network.decoder.register_forward_pre_hook(works)

    for name in names:
        watched(name)
    np.testing.assert_allclose(made(networks), plain, atol=1e-4)
    assert there == set()
    assert max(most) == 2  # two encoders, or UNet and ControlNet
    monkeypatch.setattr(networks, "_decoded", lambda _latents: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made(networks)
    assert there == set()


def test_images_are_decoded_one_by_one_where_memory_is_to_be_spared(components: Path) -> None:
    seen: dict[bool, list[int]] = {True: [], False: []}
    for sliced, sizes in seen.items():
        networks = loaded(components, vae_slicing=sliced)
        networks.vae.decoder.register_forward_pre_hook(
            lambda _module, given, sizes=sizes: sizes.append(len(given[0]))
        )
        made(networks)
    assert seen == {True: [1, 1], False: [2]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"offload": "model"}, "no GPU to offload from .*Leave offload out"),
        ({"offload": "sequential", "compile": True}, "cannot be compiled"),
        ({"attention": "no_such_backend"}, "cannot be used"),
    ],
)
def test_the_plugin_follows_these_options_or_refuses_them(
    components: Path, given: dict[str, Any], said: str
) -> None:
    named = {"weights": str(components), **given}
    found = make("viewers", "zero123plus", Viewer, named)  # type: ignore[type-abstract]
    with pytest.raises(PluginError, match=rf"zero123plus\.weights: .*{said}"):
        found.setup()


def test_weights_that_cannot_fit_are_refused_before_they_are_loaded(
    components: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "main_memory", lambda: 1)
    monkeypatch.setattr(_zero123_loading, "one_line", None)
    with pytest.raises(DeviceMemoryError, match=r"zero123plus\.weights: local:tiny@.* takes"):
        loaded(components)


def test_options_are_recorded_and_the_weights_are_those_of_the_version(components: Path) -> None:
    def viewer(**given: Any) -> Viewer:
        return make("viewers", "zero123plus", Viewer, given, "viewpoints.viewer")  # type: ignore[type-abstract]

    recorded: Any = viewer(weights=str(components), attention="native").identity()["options"]
    assert recorded["attention"] == "native"
    assert recorded["offload"] == "none"
    assert set(recorded["weights"]) == {"sha256"}
    assert viewer().named_weights() == {"weights": "sudo-ai/zero123plus-v1.2"}
    assert viewer(version="1.1").named_weights() == {"weights": "sudo-ai/zero123plus-v1.1"}
    with pytest.raises(RecipeError, match=r"viewpoints\.options\.zero123plus\.version"):
        viewer(version="2")
    with pytest.raises(RecipeError, match=r"viewpoints\.options\.zero123plus\.devices: .* 1 "):
        viewer(devices=2)
