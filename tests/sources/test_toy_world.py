"""Photographs of the toy world: their masks travel with them into the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from covar_gen import stage_classes
from covar_gen.core import imaging
from covar_gen.core.arrays import Mask
from covar_gen.core.plugins import make
from covar_gen.core.store import Run
from covar_gen.sources import toy_world as module
from covar_gen.sources.base import Photograph, Source
from covar_gen.sources.toy_world import ToyWorld
from covar_gen.toys.batches import draw
from covar_gen.toys.world import CLASSES, TYPICAL, draw_background

RECIPE = """
name = "toys"
seed = 3
block = 4
[classes]
source = "toy_world"
size = SIZE
classes = [{class_id = 1, class_name = "star"}, {class_id = 2, class_name = "fish"}]
[classes.options.toy_world]
photographs = 2
edge = 48
[masks]
segmenter = "known"
[backgrounds]
editor = "toy_world"
backgrounds = [
    {background_id = 1, description = "red bricks"},
    {background_id = 2, description = "green grass"},
]
[viewpoints]
viewer = "homography"
[scale]
inpainter = "telea"
factors = [2]
[geometry]
inpainter = "telea"
variants = ["hflip", "rotation"]
"""


def _source(**options: int) -> ToyWorld:
    source = make("sources", "toy_world", Source, options, "classes.source")
    assert isinstance(source, ToyWorld)
    return source


def _mask(photograph: Photograph) -> Mask:
    assert photograph.mask is not None
    return photograph.mask()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """In place of the recipe that `steps` runs elsewhere."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("SIZE", '"original"'), encoding="utf-8")
    return path


def test_every_class_has_its_photographs_before_its_typical_background() -> None:
    source = _source(photographs=3, edge=64)
    assert source.labels() == sorted(CLASSES)
    found = list(source.photographs(source.labels(), seed=0))
    assert [p.origin for p in found[:4]] == ["bolt/0001", "bolt/0002", "bolt/0003", "crescent/0001"]
    assert len(found) == 3 * len(CLASSES)
    assert len({p.read() for p in found}) == len(found)
    for photograph in found:
        image, mask = imaging.decode_png(photograph.read()), _mask(photograph)
        assert image.shape == (64, 64, 3)
        assert mask.shape == (64, 64)
        typical = [draw_background(TYPICAL[photograph.label], (64, 64), s) for s in range(6)]
        mean = image[~mask].mean(axis=0)
        assert abs(mean - np.mean(typical, axis=(0, 1, 2))).max() < 40


def test_a_photograph_s_mask_is_that_of_its_pixels() -> None:
    for photograph in _source(photographs=2).photographs(["ring", "bolt"], seed=0):
        image, mask = imaging.decode_png(photograph.read()), _mask(photograph)
        assert np.array_equal(mask, _mask(photograph))
        # The rim of an object is darker than what lies within it: it follows the mask's edge.
        inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0)
        inner &= np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
        brightness = image.max(axis=2).astype(float)
        assert brightness[mask & ~inner].mean() < 0.6 * brightness[inner].mean()


def test_a_photograph_does_not_depend_on_how_many_there_are() -> None:
    few = list(_source(photographs=2).photographs(["star"], seed=0))
    many = list(_source(photographs=12).photographs(["star"], seed=5))
    assert [p.name for p in few] == [p.name for p in many[:2]]
    assert [p.read() for p in few] == [p.read() for p in many[:2]]
    other = list(_source(photographs=2, seed=1).photographs(["star"], seed=0))
    assert other[0].read() != few[0].read()


def test_the_digest_follows_labels_options_pixels_and_masks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digest = _source(photographs=1).digest(["ring", "star"])
    assert digest == _source(photographs=1).digest(["star", "ring"])
    assert digest != _source(photographs=1).digest(["ring"])
    assert digest != _source(photographs=1, seed=1).digest(["ring", "star"])
    assert digest != _source(photographs=1, edge=64).digest(["ring", "star"])
    render = module.render

    def with_a_hole(*arguments: object) -> object:
        image, drawn = render(*arguments)  # type: ignore[arg-type]
        drawn.mask[48, 48] ^= True
        return image, drawn

    monkeypatch.setattr(module, "render", with_a_hole)
    assert digest != _source(photographs=1).digest(["ring", "star"])


def test_no_photograph_is_a_picture_that_toys_are_trained_on() -> None:
    source = _source(photographs=10, edge=64)
    seen = {imaging.decode_png(p.read()).tobytes() for p in source.photographs(CLASSES, 0)}
    trained = draw("training", range(200), typical=True)
    assert not seen & {image.tobytes() for image in trained.images}


def test_the_masks_stand_in_the_sources_and_are_taken_by_construction(
    steps: Callable[..., Run],
) -> None:
    run = steps("run")
    sources = run.table("sources").to_pylist()
    assert [row["key"] for row in sources] == [
        "fish/0001/original", "fish/0002/original", "star/0001/original", "star/0002/original",
    ]  # fmt: skip
    by_key = {f"{p.origin}/original": p for p in _source(photographs=2, edge=48).photographs(
        ["fish", "star"], 0)}  # fmt: skip
    for row in sources:
        stored = imaging.decode_mask(run.read(row["mask"], row["mask_sha256"]))
        known = _mask(by_key[row["key"]])
        assert np.array_equal(stored, known)
        assert row["object_coverage"] == known.mean()
    masks = run.table("masks_sources").to_pylist()
    assert {row["tool"] for row in masks} == {"by_construction"}
    assert [row["mask"] for row in masks] == [row["mask"] for row in sources]


def test_all_stages_run_and_no_row_is_refused(steps: Callable[..., Run]) -> None:
    rows = steps("run").manifest().to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    # 4 photographs, 2 backgrounds each, and of each of these 2 views, 1 scale and 2 variants.
    counts = {"original": 4, "bg_varied": 8, "viewpoint": 16, "scale": 8, "hflip": 8, "rotation": 8}
    assert {s: sum(row["subset"] == s for row in rows) for s in counts} == counts
    assert len(rows) == sum(counts.values())
    edits = [row for row in rows if row["subset"] == "bg_varied"]
    assert {row["known_pixel_max_diff"] for row in edits} == {0}
    assert all(row["mask"] for row in rows)


def test_a_photograph_made_smaller_takes_its_mask_with_it(
    steps: Callable[..., Run], recipe: Path
) -> None:
    recipe.write_text(RECIPE.replace("SIZE", "24"), encoding="utf-8")
    run = steps("small", only=["sources"])
    (first, *_) = run.table("sources").to_pylist()
    stored = imaging.decode_mask(run.read(first["mask"], first["mask_sha256"]))
    known = _mask(next(iter(_source(photographs=2, edge=48).photographs(["fish"], 0))))
    quarters = known.reshape(24, 2, 24, 2).sum(axis=(1, 3))
    assert stored.shape == (first["height"], first["width"]) == (24, 24)
    assert np.array_equal(stored, quarters >= 2)


def test_a_working_mask_keeps_a_pixel_that_is_at_least_half_object() -> None:
    mask = np.zeros((32, 48), np.bool_)
    mask[0, 0] = mask[0, 1] = mask[2, 3] = True
    small = stage_classes._working_mask(mask, np.zeros((16, 24, 3), np.uint8), 16, "k")
    assert np.argwhere(small).tolist() == [[0, 0]]
    large = stage_classes._working_mask(mask, np.zeros((64, 96, 3), np.uint8), 64, "k")
    assert np.array_equal(large, mask.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("mask", "size"),
    [
        (np.ones((32, 40), np.bool_), 16),
        (np.ones((32, 48), np.uint8), 16),
        (np.ones((32, 48), np.bool_), "original"),
    ],
)
def test_a_mask_that_does_not_fit_its_photograph_is_a_mistake_of_the_source(
    mask: Mask, size: int
) -> None:
    with pytest.raises(ValueError, match="mask of k"):
        stage_classes._working_mask(mask, np.zeros((16, 24, 3), np.uint8), size, "k")


def test_a_mask_without_an_object_refuses_its_photograph(
    steps: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ToyWorld._photograph

    def hidden(self: ToyWorld, label: str, number: int) -> Photograph:
        found = listed(self, label, number)
        if number == 1:
            return Photograph(found.label, found.name, found.origin, found.read, _nothing)
        return found

    monkeypatch.setattr(ToyWorld, "_photograph", hidden)
    rows = steps("run", only=["sources"]).table("sources").to_pylist()
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("rejected", "empty_mask"), ("ok", None), ("rejected", "empty_mask"), ("ok", None),
    ]  # fmt: skip
    assert [row["mask"] is None for row in rows] == [True, False, True, False]


def _nothing() -> Mask:
    return np.zeros((48, 48), np.bool_)
