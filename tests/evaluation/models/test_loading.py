"""Models by every kind of name, and one line for each thing that can be wrong with one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory, pretrained

from covar_gen.core.errors import MissingExtraError, ModelError
from covar_gen.evaluation.models import load_model, loading

WEIGHTS = "open_clip_model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Puts folders into a cache of the Hub that has no network: publish(folder, repo)."""
    import huggingface_hub.constants as hub

    cache = tmp_path / "hub"
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)

    def put(folder: Path, repo: str, reference: str = "main", commit: str = COMMIT) -> Path:
        place = cache / f"models--{repo.replace('/', '--')}"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / reference).write_text(commit)
        return Path(shutil.copytree(folder, place / "snapshots" / commit, dirs_exist_ok=True))

    return put


@pytest.fixture
def no_network(publish: Publish) -> None:
    """The Hub is out of reach and its cache empty."""


def refusal(name: str, **options: Any) -> ModelError:
    """The error of a model that cannot be loaded, said at once and in one line."""
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_model(name, **options)
    assert time.monotonic() - start < 5
    assert "\n" not in caught.value.line()
    assert len(caught.value.line()) < 500
    return caught.value


def embedding(model: Any) -> torch.Tensor:
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found: torch.Tensor = model.encode_image(pixels)
    return found


def test_a_local_folder_is_named_by_its_last_part_alone(tiny_clip: Path) -> None:
    model = load_model(f"local:{tiny_clip}/")
    assert model.name == "local:tiny-clip"
    assert model.folder == "local__tiny-clip"
    assert (model.dim, model.patches, model.pooling) == (16, (4, 4), "cls")
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_siglip", "tiny_hf_clip", "tiny_hf_siglip"])
@pytest.mark.usefixtures("no_network")
def test_a_repository_in_the_cache_loads_without_a_network(
    name: str, publish: Publish, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    publish(folder, "someone/tiny")
    # open_clip takes a tokenizer from the repository that the configuration names.
    publish(folder, "a-tokenizer/of-the-folder")
    model = load_model("hf-hub:someone/tiny")
    assert model.name == "hf-hub:someone/tiny"
    assert model.identity()["source"] == "someone/tiny"
    assert torch.equal(embedding(model), embedding(load_model(f"local:{folder}")))
    assert model.tokenize(["a dog"]).shape[0] == 1


def test_the_tokenizer_comes_from_the_repository_that_the_configuration_names(
    publish: Publish, tiny_siglip: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_siglip, tmp_path / "other"))
    said = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(said.replace('"horse"', '"mouse"'))
    publish(tiny_siglip, "someone/tiny")
    publish(other, "a-tokenizer/of-the-folder")
    horse, mouse = load_model("hf-hub:someone/tiny").tokenize(["horse", "mouse"])[:, 0].tolist()
    assert (horse, mouse) == (0, 8)
    # A repository that names itself uses its own, at its own revision.
    publish(other, "a-tokenizer/of-the-folder", "v2", COMMIT[::-1])
    publish(tiny_siglip, "a-tokenizer/of-the-folder")
    own = load_model("hf-hub:a-tokenizer/of-the-folder@v2")
    assert own.tokenize(["horse", "mouse"])[:, 0].tolist() == [0, 8]


def test_a_revision_stands_in_the_name_or_beside_it(
    publish: Publish, tiny_clip: Path, tiny_clip_gelu: Path
) -> None:
    publish(tiny_clip, "someone/tiny")
    publish(tiny_clip_gelu, "someone/tiny", "v2", COMMIT[::-1])
    first, second = load_model("hf-hub:someone/tiny"), load_model("hf-hub:someone/tiny@v2")
    assert not torch.equal(embedding(first), embedding(second))
    beside = load_model("hf-hub:someone/tiny", revision="v2")
    assert beside.name == second.name == "hf-hub:someone/tiny@v2"
    assert beside.identity() == second.identity()
    assert "two revisions" in refusal("hf-hub:someone/tiny@v2", revision="main").what
    assert "only hf-hub: models" in refusal("toy:honest", revision="v2").what


@pytest.fixture
def tiny_tag(
    publish: Publish, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """A pair of open_clip's table whose weights are in the cache: mean 0.5, squashed."""
    config = json.loads((tiny_clip / "open_clip_config.json").read_text())["model_cfg"]
    cfg = pretrained._pcfg(
        hf_hub="someone/tiny/", quick_gelu=True, mean=(0.5,) * 3, std=(0.25,) * 3,
        resize_mode="squash", interpolation="bilinear",
    )  # fmt: skip
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Tiny-quickgelu", config)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Tiny", {**config, "quick_gelu": False})
    for name in ("Tiny", "Tiny-quickgelu"):
        monkeypatch.setitem(pretrained._PRETRAINED, name, {"some_tag": cfg})
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(tiny_clip / WEIGHTS, weights)
    publish(weights, "someone/tiny")
    return "Tiny-quickgelu/some_tag"


def test_a_pair_of_open_clip_loads_out_of_the_cache_with_its_tags_preprocessing(
    tiny_tag: str, tiny_clip: Path
) -> None:
    model = load_model(tiny_tag)
    assert model.name == tiny_tag
    grid, mean, std = model.preprocessing
    assert (grid.height, grid.width, grid.resize, grid.edge) == (32, 32, "squash", 0)
    assert grid.interpolation == "bilinear"
    assert (mean, std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    local = load_model(f"local:{tiny_clip}")
    assert torch.equal(embedding(model), embedding(local))
    assert model.text_identity() == local.text_identity()
    assert torch.equal(model.tokenize(["a dog"]), local.tokenize(["a dog"]))


def test_a_name_that_builds_another_activation_is_refused_with_the_right_one(
    tiny_tag: str,
) -> None:
    found = refusal("Tiny/some_tag")
    assert found.what == "these weights were trained with QuickGELU, Tiny builds GELU"
    assert found.mend == f"Write {tiny_tag}"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("ViT-B-16/openai", "ViT-B-16-quickgelu/openai"),
        ("ViT-L-14/dfn2b", "ViT-L-14-quickgelu/dfn2b"),
        ("ViT-B-32/laion400m_e32", "ViT-B-32-quickgelu/laion400m_e32"),
    ],
)
@pytest.mark.usefixtures("no_network")
def test_published_pairs_with_the_wrong_activation_are_refused(wrong: str, right: str) -> None:
    assert refusal(wrong).mend == f"Write {right}"


@pytest.mark.usefixtures("no_network")
def test_every_published_pair_of_the_wrong_activation_is_refused() -> None:
    wrong = [
        f"{name}/{tag}"
        for name, tag in open_clip.list_pretrained()
        if bool(open_clip.get_model_config(name).get("quick_gelu"))
        != bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu"))
    ]
    assert len(wrong) > 5
    for name in wrong:
        assert "trained with" in refusal(name).what


def test_a_repository_whose_configuration_builds_another_activation_is_refused(
    publish: Publish, tiny_clip_gelu: Path
) -> None:
    publish(tiny_clip_gelu, "apple/DFN2B-CLIP-ViT-L-14")
    found = refusal("hf-hub:apple/DFN2B-CLIP-ViT-L-14")
    assert found.what == "its configuration builds GELU, it was trained with QuickGELU"


@pytest.mark.usefixtures("no_network")
def test_a_tag_that_open_clip_gives_another_tags_weights_is_refused() -> None:
    found = refusal("ViT-B-16-plus-240/laion400m_e32")
    assert found.mend == "Write ViT-B-16-plus-240/laion400m_e31, which they are"


@pytest.mark.parametrize(
    ("wrong", "offered"),
    [
        ("ViT-B-16-quickgelu/opena", "ViT-B-16-quickgelu/openai"),
        ("vit-b-16-quickgelu/openai", "ViT-B-16-quickgelu/openai"),
        ("ViT-B-16/datacomp_xl", "ViT-B-16/datacomp_xl_s13b_b90k"),
        ("ViT-B-16/opena", "ViT-B-16-quickgelu/openai"),
        ("ViT-B-16-SigLIP2-386/webli", "ViT-B-16-SigLIP2-384/webli"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong: str, offered: str) -> None:
    found = refusal(wrong)
    assert found.what == "there is no such model"
    assert offered in found.mend
    assert "covar-gen list models" in found.mend


def test_a_name_like_nothing_is_answered_with_where_names_are_listed() -> None:
    found = refusal("?").mend
    assert found == "Groups: paper, supplement, toy; `covar-gen list models` shows the zoo"
    assert refusal("?/?").mend.startswith("`covar-gen list models` shows")


def test_an_unknown_toy_is_answered_with_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_clip: Path
) -> None:
    shutil.copytree(tiny_clip, tmp_path / "toy-models" / "honest")
    monkeypatch.setattr(loading, "shipped", lambda _kind: tmp_path)
    assert load_model("toy:honest").name == "toy:honest"
    assert refusal("toy:honst").mend == "Did you mean 'honest'? Known: honest"


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "name",
    ["ViT-B-16-quickgelu/openai", "ViT-B-16-SigLIP-256/webli", "hf-hub:someone/unknown"],
)
def test_without_a_network_and_a_cache_one_line_says_at_once_what_to_fetch(name: str) -> None:
    found = refusal(name)
    assert "neither in the cache of the Hugging Face Hub nor can it be fetched" in found.what
    assert "hf download" in found.mend
    assert found.mend.endswith("or copy its folder here and write local:FOLDER")


def test_a_name_that_is_no_repository_is_refused() -> None:
    assert "is no name of a repository" in refusal("hf-hub:a b/c").what


def test_a_repository_without_weights_is_refused(
    publish: Publish, tiny_clip: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(tiny_clip / "open_clip_config.json", bare)
    publish(bare, "someone/bare")
    assert "holds no weights of a known name" in refusal("hf-hub:someone/bare").what


def test_devices_and_precisions_that_are_not_there_are_refused(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"local:{tiny_clip}"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refusal(name, device="cuda").mend == "Use another device: --device cpu"
    assert "'gpu' is no device" in refusal(name, device="gpu").what
    assert refusal(name, precision="fp8").mend == "Known: fp32, bf16, fp16"


def test_missing_packages_are_named_with_what_installs_them(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = loading.importlib.util.find_spec
    monkeypatch.setattr(
        loading.importlib.util,
        "find_spec",
        lambda name: None if name == "open_clip" else found(name),
    )
    with pytest.raises(MissingExtraError, match="models need open_clip") as caught:
        load_model(f"local:{tiny_clip}")
    assert caught.value.mend == "Type: pip install 'covar-gen[evaluate]'"
