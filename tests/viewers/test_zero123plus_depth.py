"""Zero123++ with depth that a user has rendered: where it is looked for, and what becomes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from covar_gen.core.errors import PluginError, RecipeError
from covar_gen.core.plugins import make
from covar_gen.core.store import Run
from covar_gen.viewers._zero123_depth import DepthCanvases
from covar_gen.viewers.base import View, Viewer, ViewRequest

DATA = Path(__file__).parents[1] / "data" / "zero123plus"
WEIGHTS = DATA / "components"
SIZE = (128, 192)

pytestmark = pytest.mark.usefixtures("one_thread")


def save(path: Path, level: int = 200, size: tuple[int, int] = SIZE, mode: str = "RGBA") -> None:
    """A canvas whose upper half is depth, its lower half transparent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 4), level, np.uint8)
    pixels[..., 3] = np.where(np.arange(size[1]) < size[1] // 2, 255, 0)[:, None]
    Pillow.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "depth" / "cup" / "p1.png", 200)
    save(tmp_path / "depth" / "cup" / "p2.png", 90)
    save(tmp_path / "depth" / "cup" / "p2" / "07.png", 30)
    return tmp_path / "depth"


def viewer(folder: Path, **options: Any) -> Viewer:
    given = {
        "weights": str(WEIGHTS), "version": "1.1", "steps": 1, "tile": 64, "min_area": 0.0,
        "max_area": 1.0, "depth": str(WEIGHTS / "controlnet"), "depth_canvases": str(folder),
        **options,
    }  # fmt: skip
    return make("viewers", "zero123plus", Viewer, given)  # type: ignore[type-abstract]


def request(key: str) -> ViewRequest:
    image = np.full((40, 60, 3), 200, np.uint8)
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 20:40] = True
    image[mask] = (250, 20, 10)
    return ViewRequest(key, image, mask, (0, 3), 1)


def view(answer: Any) -> View:
    assert isinstance(answer[0], View)
    return answer[0]


def test_views_follow_the_depth_of_their_photograph_or_of_their_own(folder: Path) -> None:
    found = viewer(folder)
    found.setup()
    keys = ("cup/p1/07", "cup/p1/08", "cup/p2/07", "cup/p2/08")
    seven, eight, own, other = (view(each) for each in found.views([request(key) for key in keys]))
    assert np.abs(seven.image.astype(int) - eight.image).max() <= 1
    assert (seven.image != other.image).any()
    assert (own.image != other.image).any()
    assert own.params["depth_scale"] == 0.75
    weaker = viewer(folder, depth_scale=0.0)
    weaker.setup()
    none = view(weaker.views([request("cup/p1/07")])[0])
    plain = viewer(folder, depth=None, depth_canvases=None)
    plain.setup()
    without = view(plain.views([request("cup/p1/07")])[0])
    assert (seven.image != none.image).any()
    assert np.abs(without.image.astype(int) - none.image).max() <= 1
    assert "depth_scale" not in without.params
    assert found.model is not None
    assert len(found.model.split()) == 2


def test_the_canvas_is_given_as_it_is_and_what_is_transparent_stays_so(folder: Path) -> None:
    canvases = DepthCanvases(folder, "depth_canvases")
    found = canvases.of("cup/p2/07", SIZE)
    assert found.mode == "RGBA"
    assert found.getpixel((0, 0)) == (30, 30, 30, 255)
    assert found.getpixel((0, 191)) == (30, 30, 30, 0)
    save(folder / "grey.png", mode="LA")
    assert canvases.of("grey/07", SIZE).getpixel((0, 191)) == (200, 200, 200, 0)
    save(folder / "flat.png", mode="L")
    assert canvases.of("flat/07", SIZE).mode == "RGB"


def broken(folder: Path, what: str) -> None:
    if what == "size":
        save(folder / "cup" / "p1.png", size=(64, 192))
    elif what == "deep":
        deep = np.full((192, 128), 40_000, np.uint16)
        Pillow.fromarray(deep).save(folder / "cup" / "p1.png")
    elif what == "text":
        (folder / "cup" / "p1.png").write_text("depth")
    else:
        (folder / "cup" / "p1.png").unlink()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("size", r"p1\.png has 64 x 192 pixels, the canvas has 128 x 192\. Render two columns"),
        ("deep", r"p1\.png is of Pillow's mode I;16, not of 8 bits per channel\. Save"),
        ("text", r"p1\.png is no picture\. Render it again"),
        ("gone", r"no depth of cup/p1/07: neither cup/p1/07\.png nor cup/p1\.png\. .*128 x 192"),
    ],
)
def test_depth_that_cannot_be_used_is_one_line(folder: Path, what: str, said: str) -> None:
    broken(folder, what)
    found = viewer(folder)
    found.setup()
    with pytest.raises(RecipeError, match=rf"zero123plus\.depth_canvases: .*{said}"):
        found.views([request("cup/p1/07")])


def test_identity_is_what_the_canvases_hold_not_where_they_lie(
    folder: Path, tmp_path: Path
) -> None:
    recorded: Any = viewer(folder).identity()["options"]
    assert recorded["depth_canvases"].startswith("sha256:")
    assert set(recorded["depth"]) == {"sha256"}
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert viewer(moved).identity()["options"] == recorded
    save(moved / "cup" / "p1.png", 201)
    assert viewer(moved).identity()["options"] != recorded
    shutil.rmtree(moved)
    with pytest.raises(RecipeError, match=r"moved is no folder\. Render"):
        viewer(moved).check()
    moved.mkdir()
    with pytest.raises(RecipeError, match=r"moved has no canvas\. Render"):
        viewer(moved).check()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": "1.2"}, r"depth wants version = '1\.1'"),
        ({"depth_canvases": None}, "want each other"),
        ({"depth": None}, "want each other"),
        ({"normals": "mine"}, "leave one out"),
    ],
)
def test_options_of_depth_that_do_not_belong_together_are_refused(
    folder: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        viewer(folder, **options)


def test_a_run_is_not_made_where_the_folder_of_depth_is_missing(
    steps: Callable[..., Run], tmp_path: Path
) -> None:
    tiny = {
        "weights": str(WEIGHTS), "version": "1.1", "depth": str(WEIGHTS / "controlnet"),
        "depth_canvases": str(tmp_path / "nowhere"),
    }  # fmt: skip
    changes: Any = {"viewpoints.viewer": "zero123plus", "viewpoints.options": {"zero123plus": tiny}}
    with pytest.raises(RecipeError, match=r"depth_canvases: .*nowhere is no folder"):
        steps("run", only=["sources"], **changes)
