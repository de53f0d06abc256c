"""Boxes drawn by a person start GrabCut: what they say holds, and a bad file is refused."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from covar_gen.core.arrays import Image, Mask, Rejected
from covar_gen.core.errors import RecipeError
from covar_gen.core.outlines import measured
from covar_gen.core.photographs import read_photograph
from covar_gen.core.plugins import make
from covar_gen.core.recipe import read_recipe
from covar_gen.core.shipped import shipped
from covar_gen.segmenters._hints import Box, drawn, read_hints
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest

HEADER = "photograph,left,top,right,bottom,core"


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "hints.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def grabcut(hints: Path | None) -> Segmenter:
    options = {} if hints is None else {"hints": str(hints)}
    return make("segmenters", "grabcut", Segmenter, options)


def answer(hints: Path | None, image: Image, key: str = "a/b/original", seed: int = 5) -> object:
    return grabcut(hints).segment([SegmentRequest(key, image, "thing", seed)])[0]


def outline(hints: Path | None, image: Image, key: str = "a/b/original") -> Segmentation:
    found = answer(hints, image, key)
    assert isinstance(found, Segmentation), found
    return found


def two_discs() -> tuple[Image, Mask, Mask]:
    """Two orange discs of radius 40 on textured green ground, centres (80, 120) and (240, 120)."""
    y, x = np.mgrid[:240, :320]
    left = (x - 80) ** 2 + (y - 120) ** 2 <= 1600
    right = (x - 240) ** 2 + (y - 120) ** 2 <= 1600
    noise = np.random.Generator(np.random.PCG64(3)).normal(0, 14, (240, 320, 1))
    colours = np.where((left | right)[..., None], (200, 120, 40), (70, 110, 60)) + noise
    return np.clip(colours, 0, 255).astype(np.uint8), left, right


def overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_boxes_are_read_by_photograph_and_a_core_left_out_is_a_half(tmp_path: Path) -> None:
    lines = ("n1/cat,0,0,0.5,1,", "n1/dog, 0.25 ,0,0.5,1,1", "", "n1/cat,0.5,0.5,1,1,0")
    found = read_hints(written(tmp_path, *lines))
    cats = [Box(0, 0, 0.5, 1, 0.5), Box(0.5, 0.5, 1, 1, 0)]
    assert found.boxes == {"n1/cat": cats, "n1/dog": [Box(0.25, 0, 0.5, 1, 1)]}


def test_the_core_column_may_be_missing_and_columns_stand_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "1,0.75,n1/cat,0,0.5", header="bottom,right,photograph,left,top")
    assert read_hints(path).boxes == {"n1/cat": [Box(0, 0.5, 0.75, 1)]}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("a/b,0.5,0,0.5,1,", "left 0.5 is not smaller than right 0.5"),
        ("a/b,0,0.9,1,0.1,", "top 0.9 is not smaller than bottom 0.1"),
        ("a/b,0,0,1.2,1,", "right is '1.2'"),
        ("a/b,-0.1,0,1,1,", "left is '-0.1'"),
        ("a/b,0,0,nan,1,", "right is 'nan'"),
        ("a/b,0,wide,1,1,", "top is 'wide'"),
        ("a/b,0,0,1,1,2", "core is '2'"),
        ("a/b,0,0,1,,", "bottom is ''"),
        ("a/b,0,0,1", "4 values for 6 columns"),
        ("a/b/original,0,0,1,1,", "'a/b/original' is no photograph"),
        ("a,0,0,1,1,", "'a' is no photograph"),
        ('a/b,0,0,1,1,"1', "no CSV"),
    ],
)
def test_a_line_that_is_no_box_is_refused_with_its_number(
    tmp_path: Path, line: str, what: str
) -> None:
    path = written(tmp_path, "a/b,0,0,1,1,0.5", line)
    with pytest.raises(RecipeError) as caught:
        grabcut(path).check()
    assert caught.value.where == f"{path} line 3"
    assert what in caught.value.what
    assert caught.value.mend


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("photograph,left,top,right,bottom,colour", "unknown column 'colour'"),
        ("photograph,left,top,right,core", "no column 'bottom'"),
        ("photograph,left,top,right,bottom,left", "a column occurs twice"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, header: str, what: str) -> None:
    path = written(tmp_path, "a/b,0,0,1,1,0", header=header)
    with pytest.raises(RecipeError) as caught:
        grabcut(path).identity()
    assert (caught.value.where, caught.value.what) == (f"{path} line 1", what)


def test_a_missing_file_and_one_without_boxes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        grabcut(tmp_path / "none.csv").check()
    with pytest.raises(RecipeError, match="no boxes"):
        grabcut(written(tmp_path)).check()


def test_identity_follows_the_content_of_the_file_and_not_its_folder(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    same, moved = (written(f, "a/b,0,0,1,1,0") for f in folders[:2])
    other = written(folders[2], "a/b,0,0,1,1,1")
    assert grabcut(same).identity() == grabcut(moved).identity()
    assert str(tmp_path) not in str(grabcut(same).identity())
    assert grabcut(same).identity() != grabcut(other).identity()
    assert grabcut(same).identity() != grabcut(None).identity()


def test_labels_of_a_box_are_its_pixels_and_its_core() -> None:
    # 8 x 10 pixels; the box holds columns 2..7 and rows 2..5, the core its middle.
    labels = drawn([Box(0.2, 0.25, 0.8, 0.75, core=0.5)], (8, 10))
    expected = np.zeros((8, 10), np.uint8)
    expected[2:6, 2:8] = 3
    expected[3:5, 4:6] = 1
    assert np.array_equal(labels, expected)


def test_a_box_over_the_whole_photograph_leaves_its_corners_to_the_background() -> None:
    labels = drawn([Box(0, 0, 1, 1, core=0)], (40, 40))
    assert (labels[0, 0], labels[20, 20]) == (2, 3)
    assert (labels == 2).mean() == pytest.approx(1 - np.pi / 4, abs=0.02)


def test_only_the_object_in_the_box_is_outlined_and_nothing_outside(tmp_path: Path) -> None:
    image, left, right = two_discs()
    found = outline(written(tmp_path, "a/b,0.55,0.2,0.95,0.8,"), image)
    assert overlap(found.mask, right) > 0.95
    assert not found.mask[left].any()
    assert found.params["hinted"] is True
    # This box cuts the disc: not a pixel beyond x = 240.
    cut = outline(written(tmp_path, "a/b,0.55,0.2,0.75,0.8,0.3"), image)
    assert not cut.mask[:, 240:].any()
    assert cut.mask[right].any()


def test_several_boxes_hold_several_parts_of_one_object(tmp_path: Path) -> None:
    image, left, right = two_discs()
    found = outline(written(tmp_path, "a/b,0.55,0.2,0.95,0.8,", "a/b,0.05,0.2,0.45,0.8,"), image)
    assert overlap(found.mask, left | right) > 0.95
    assert measured(found.mask).components == 2


def test_a_small_part_far_out_is_kept_where_a_core_says_so(tmp_path: Path) -> None:
    image, _, right = two_discs()
    image[4:12, 4:12] = (200, 120, 40)
    boxes = ("a/b,0.55,0.2,0.95,0.8,", "a/b,0.005,0.005,0.05,0.06,{}")
    with_core = outline(written(tmp_path, boxes[0], boxes[1].format("0.8")), image)
    assert with_core.mask[8, 8]
    assert overlap(with_core.mask, right) > 0.9
    without = outline(written(tmp_path, boxes[0], boxes[1].format("0")), image)
    assert not without.mask[8, 8]


def test_a_photograph_without_a_line_and_what_is_made_of_one_use_the_prior(tmp_path: Path) -> None:
    image, _, _ = two_discs()
    path = written(tmp_path, "a/b,0.55,0.2,0.95,0.8,")
    for key in ("a/c/original", "a/b/07"):
        found = outline(path, image, key)
        assert found.params["hinted"] is False
        assert np.array_equal(found.mask, outline(None, image).mask)


def test_a_refused_photograph_says_that_it_was_hinted(tmp_path: Path) -> None:
    flat = np.full((64, 64, 3), 7, np.uint8)
    refused = answer(written(tmp_path, "a/b,0.1,0.1,0.9,0.9,"), flat)
    assert refused == Rejected("no_object", {"hinted": True})


DEMO = shipped("manifests") / "demo"

# Points (x, y) of the object and of the background, as fractions, seen by eye.
BIKE = ((0.175, 0.65), (0.275, 0.78), (0.71, 0.68), (0.85, 0.88), (0.91, 0.8), (0.25, 0.36),
        (0.56, 0.4), (0.56, 0.68), (0.725, 0.31), (0.7, 0.51))  # fmt: skip
GROUND = ((0.05, 0.9), (0.58, 0.85), (0.95, 0.6), (0.3, 0.1), (0.6, 0.15), (0.8, 0.12),
          (0.85, 0.4), (0.1, 0.3))  # fmt: skip
POINTS = {
    "n02123045/chelsea": (
        (
            (0.15, 0.03),
            (0.82, 0.05),
            (0.12, 0.5),
            (0.2, 0.7),
            (0.76, 0.6),
            (0.6, 0.85),
            (0.05, 0.8),
        ),
        ((0.03, 0.1), (0.93, 0.3), (0.87, 0.6), (0.8, 0.9), (0.95, 0.95), (0.85, 0.27)),
    ),
    "motorcycle/motorcycle_left": (BIKE, GROUND),
    "motorcycle/motorcycle_right": (
        tuple((x - (0.058 if x < 0.3 else 0.063 if x < 0.6 else 0.075), y) for x, y in BIKE),
        GROUND,
    ),
    "n04485082/camera": (
        ((0.2, 0.6), (0.4, 0.2), (0.57, 0.8), (0.46, 0.98), (0.77, 0.97), (0.6, 0.3)),
        ((0.8, 0.2), (0.65, 0.9), (0.4, 0.85), (0.1, 0.1), (0.54, 0.9)),
    ),
    "astronaut/astronaut": (
        ((0.43, 0.15), (0.3, 0.6), (0.75, 0.85), (0.1, 0.8)),
        ((0.8, 0.3), (0.05, 0.2), (0.02, 0.9), (0.85, 0.6)),
    ),
    "rocket/rocket": (
        ((0.502, 0.32), (0.502, 0.6), (0.5, 0.93)),
        ((0.56, 0.92), (0.31, 0.6), (0.45, 0.5), (0.5, 0.2)),
    ),
}


@cache
def demo_mask(photograph: str, seed: int) -> Mask:
    import skimage

    recipe = read_recipe(DEMO / "recipe.toml")
    assert recipe.masks is not None
    hints = DEMO / recipe.masks.options["grabcut"]["hints"]
    stem = photograph.partition("/")[2]
    (path,) = (Path(skimage.__file__).parent / "data").glob(f"{stem}.[jp][pn]g")
    image = read_photograph(path.read_bytes(), recipe.classes.size)
    assert isinstance(image, np.ndarray)
    found = answer(hints, image, f"{photograph}/original", seed)
    assert isinstance(found, Segmentation)
    return found.mask


@pytest.mark.parametrize("photograph", POINTS)
def test_a_demo_photograph_s_object_is_inside_and_its_background_outside(photograph: str) -> None:
    inside, outside = POINTS[photograph]
    mask = demo_mask(photograph, 7)
    height, width = mask.shape

    def at(point: tuple[float, float]) -> bool:
        return bool(mask[int(point[1] * height), int(point[0] * width)])

    assert [point for point in inside if not at(point)] == []
    assert [point for point in outside if at(point)] == []


@pytest.mark.parametrize("photograph", POINTS)
def test_a_demo_photograph_s_outline_hardly_depends_on_the_seed(photograph: str) -> None:
    masks = [demo_mask(photograph, seed) for seed in (7, 8, 9)]
    assert min(overlap(masks[0], other) for other in masks[1:]) > 0.95


@pytest.mark.parametrize("photograph", POINTS)
def test_a_demo_photograph_s_mask_holds_every_core_and_leaves_no_box(photograph: str) -> None:
    mask = demo_mask(photograph, 7)
    labels = drawn(read_hints(DEMO / "hints.csv").boxes[photograph], mask.shape)
    assert mask[labels == 1].all()
    assert not mask[labels == 0].any()
