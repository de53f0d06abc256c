"""`covar-gen explain`, as it is typed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covar_gen.commands.explain import explain
from covar_gen.core.errors import CovarError
from covar_gen.evaluation.attribute import attribute
from covar_gen.toys.world import BACKGROUNDS, render

Covar = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def star(tmp_path: Path) -> Path:
    """A star of the toy world before a texture, 96 x 96."""
    image, _ = render("star", BACKGROUNDS[0], 5)
    path = tmp_path / "star.png"
    Image.fromarray(image).save(path)
    return path


def test_a_map_is_drawn_and_saved(covar: Covar, star: Path, tmp_path: Path) -> None:
    given = ["explain", "--model", "toy:honest", "--image", star, "--text", "a photo of a star."]
    said = covar(*given, "--out", "map.png", "--option", "clusters=5").stdout
    assert "map.png and map-clusters.png" in said
    assert "flat" not in said
    for name in ("map.png", "map-clusters.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (96, 96)
    explain("toy:honest", "cci", star, "a photo of a star.", tmp_path / "map.npy",
            options={"clusters": 5})  # fmt: skip
    saved = np.load(tmp_path / "map.npy")
    assert saved.dtype == np.float32
    found = attribute("toy:honest", "cci", star, "a photo of a star.", options={"clusters": 5})
    assert np.array_equal(saved, found.heat)
    assert found.labels is not None
    assert set(np.unique(found.labels)) <= set(range(5))
    assert not found.flat


def test_the_honest_model_sees_the_star_where_the_star_is(star: Path) -> None:
    _, drawn = render("star", BACKGROUNDS[0], 5)
    heat = attribute("toy:honest", "cci", star, "a photo of a star.").heat
    positive = np.maximum(heat, 0)
    share = positive[drawn.mask].sum() / positive.sum()
    assert share > 2 * drawn.mask.mean()


def test_an_image_of_one_colour_has_a_flat_map_and_it_is_said(tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (40, 40), (90, 120, 60)).save(grey)
    said: list[str] = []
    explain("toy:honest", "cci", grey, "star", tmp_path / "map.png", say=said.append)
    assert "the map is flat" in said[0]
    with Image.open(tmp_path / "map.png") as picture:
        pixels = np.asarray(picture)
    assert (pixels == pixels[:1, :1, :1]).all(), "no colour is put over it"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"out": "map.gif"}, "ends with .png or .npy"),
        ({"out": "star.png/map.png"}, "no folder can be made there"),
        ({"out": "folder.png"}, "a folder, not a file"),
        ({"image": "nowhere.png"}, "cannot be read"),
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"options": {"clusters": 900}}, "clusters"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    star: Path, changes: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    given = {"method": "cci", "image": star, "text": "star", "out": "map.png", **changes}
    paths = {name: Path(given[name]) for name in ("image", "out")}
    with pytest.raises(CovarError) as refused:
        explain("toy:honest", **{**given, **paths})
    assert len(refused.value.line().splitlines()) == 1
    assert said in refused.value.line()


def test_what_a_user_can_mend_ends_the_command_with_its_line(covar: Covar, star: Path) -> None:
    done = covar("explain", "--model", "toy:honest", "--image", star, "--text", "star",
                 "--out", "map.gif", code=2)  # fmt: skip
    assert len(done.stderr.strip().splitlines()) == 1
