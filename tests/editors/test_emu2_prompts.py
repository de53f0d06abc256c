"""Sentences that Emu2 cannot be asked are refused before anything is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covar_gen.core.errors import PluginError, WeightsError
from covar_gen.core.pins import revision_of
from covar_gen.core.plugins import make
from covar_gen.core.store import Run
from covar_gen.editors import emu2
from covar_gen.editors._emu2_layouts import find
from covar_gen.editors.base import Editor
from covar_gen.editors.emu2 import Emu2Gen

ROOM = 2048 - 63 - 2
"""Tokens of a sentence without pictures: less the vectors that are read again, the first mark and
the last."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_emu2: ModuleType) -> Path:
    found: Path = tiny_emu2.save_hub(tmp_path_factory.mktemp("emu2") / "tiny")
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, which must not be asked."""
    from huggingface_hub import constants

    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", never)
    return tmp_path / "hub"


def editor(weights: object, **options: Any) -> Emu2Gen:
    given = {"weights": str(weights), "safety_checker": False, **options}
    found = make("editors", "emu2", Editor, given)  # type: ignore[type-abstract]
    assert isinstance(found, Emu2Gen)
    return found


def words(count: int) -> str:
    """A sentence of so many tokens."""
    return " ".join("a" for _ in range(count))


def cached(cache: Path, folder: Path, repo: str, commit: str) -> Path:
    """Has the cache hold settings and tokenizer of a repository."""
    snapshot = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / commit
    (snapshot / "multimodal_encoder").mkdir(parents=True)
    shutil.copy(folder / "multimodal_encoder" / "config.json", snapshot / "multimodal_encoder")
    shutil.copytree(folder / "tokenizer", snapshot / "tokenizer")
    return snapshot


@pytest.mark.parametrize(
    "changes",
    [
        {
            "backgrounds.backgrounds": [
                {"background_id": 2, "description": "snow"},
                {"background_id": 3, "description": "a <image> of snow"},
            ]
        },
        {"backgrounds.prompt": "{background}</s>"},
        {
            "backgrounds.prompt": "a {class_name} on a {background}",
            "classes.classes": [{"class_id": 1, "class_name": "dog [IMG]", "label": "disc"}],
        },
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_a_mark_is_refused_before_there_is_a_run(
    changes: dict[str, Any], own: bool, folder: Path, cache: Path, steps: Callable[..., Run],
    tmp_path: Path,
) -> None:  # fmt: skip
    assert not cache.exists()
    options = {"emu2": {"weights": str(folder), "safety_checker": False}} if own else {}
    given = {"backgrounds.editor": "emu2", "backgrounds.options": options}
    with pytest.raises(PluginError, match="reads as a mark") as refused:
        steps("run", only=[], **given, **changes)
    assert "\n" not in refused.value.line()
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_a_sentence_that_is_too_long_is_refused_before_there_is_a_run(
    folder: Path, steps: Callable[..., Run], tmp_path: Path
) -> None:
    """Of two classes, the one with the longer name is too long."""
    classes = [
        {"class_id": 1, "class_name": "a", "label": "disc"},
        {"class_id": 2, "class_name": "a a", "label": "n02391049"},
    ]
    given = {
        "backgrounds.editor": "emu2",
        "backgrounds.options": {"emu2": {"weights": str(folder), "safety_checker": False}},
        "backgrounds.prompt": words(ROOM - 66 - 1) + " {class_name}",
        "classes.classes": classes[:1],
    }
    steps("fits", only=[], **given)
    given["classes.classes"] = classes
    with pytest.raises(PluginError, match="takes 1986 tokens; Emu2 reads 1985") as refused:
        steps("run", only=[], **given)
    said = refused.value.line()
    assert said.startswith("PluginError: emu2: the prompt 'a a a")
    assert len(said) < 250
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_pictures_of_the_background_count(folder: Path, tmp_path: Path) -> None:
    for name in ("01.png", "beach.png", "02.png"):
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / name)
    shown = editor(folder, references=str(tmp_path))
    shown.check_prompts(1, "beach", [words(ROOM - 3 * 66)])
    shown.check_prompts(2, "forest", [words(ROOM - 2 * 66)])
    for number, name, pictures in ((1, "beach", 3), (2, "forest", 2)):
        with pytest.raises(PluginError, match="1986 tokens"):
            shown.check_prompts(number, name, ["a", words(ROOM - pictures * 66 + 1)])


def test_what_is_not_read_is_not_looked_at(folder: Path) -> None:
    editor(folder, mode="autoencode").check_prompts(1, "beach", ["<image>", words(ROOM + 1)])
    editor(folder, mode="text").check_prompts(1, "beach", [words(ROOM)])
    with pytest.raises(PluginError, match="1986 tokens"):
        editor(folder, mode="text").check_prompts(1, "beach", [words(ROOM + 1)])


@pytest.mark.parametrize("name", ["BAAI/Emu2-Gen", "me/emu2@0123"])
def test_the_hubs_cache_tells_how_long_a_sentence_is(name: str, folder: Path, cache: Path) -> None:
    repo, _, revision = name.partition("@")
    cached(cache, folder, repo, revision or str(revision_of(repo)))
    found = editor(name)
    found.check_prompts(1, "beach", [words(ROOM - 66)])
    with pytest.raises(PluginError, match="1986 tokens"):
        found.check_prompts(1, "beach", [words(ROOM - 65)])


def test_damaged_settings_in_the_hubs_cache_are_one_line(folder: Path, cache: Path) -> None:
    snapshot = cached(cache, folder, "me/emu2", "0123")
    (snapshot / "multimodal_encoder" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read as JSON"):
        editor("me/emu2@0123").check_prompts(1, "beach", ["a"])


@pytest.mark.parametrize("there", ["nothing", "settings"])
def test_where_the_tokenizer_is_not_here_yet_it_is_told_before_the_networks_are_made(
    there: str, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there == "settings":
        shutil.rmtree(cached(cache, folder, "me/emu2", "0123") / "tokenizer")
    found = editor("me/emu2@0123")
    found.check_prompts(1, "beach", [words(ROOM - 66), words(ROOM - 65)])

    def never(*_: object) -> None:
        raise AssertionError("loaded")

    # From here on the Hub has been asked.
    monkeypatch.setattr(emu2, "find", lambda *_, **more: find(str(folder), "emu2.weights", **more))
    monkeypatch.setattr("covar_gen.editors._emu2_loading.load", never)
    with pytest.raises(PluginError, match="1986 tokens"):
        found.setup()
