"""The painted scenes, the table that chooses them, and folders of background photographs."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from covar_gen.core.arrays import Json, Rejected
from covar_gen.core.errors import PhotographsError, RecipeError
from covar_gen.editors._scenes.canvas import Canvas, blended, smoothstep
from covar_gen.editors._scenes.ground import Ground
from covar_gen.editors._scenes.matching import RULES, scene_for
from covar_gen.editors._scenes.painted import PAINTERS, paint
from covar_gen.editors._scenes.photographs import BackgroundPhotographs, cover

Layout = NDArray[np.float64]

PAPER = {
    "railway track in an outdoor setting": "railway",
    "colorful garden with flowers and greenery": "garden",
    "dense tropical forest": "tropical_forest",
    "farmyard": "farmyard",
    "hot desert with sand dunes": "desert",
    "open grassland with tall green grasses": "grassland",
    "swampy area": "swamp",
    "cozy living room": "living_room",
    "savanna": "savanna",
    "calm ocean with clear blue water": "ocean",
    "fluffy white cloud in a bright blue sky": "cloud",
    "highway with empty road stretching behind": "highway",
    "rocky shore with waves": "rocky_shore",
    "rocky terrain": "rocky_terrain",
    "snowy landscape": "snow",
    "beach": "beach",
    "forest floor with leaves and sunlight filtering through trees": "forest_floor",
    "tree branches in a leafy forest": "branches",
    "crowded marketplace with people and stalls": "market",
    "night cityscape with artificial lights": "night_city",
}


@pytest.mark.parametrize(("description", "scene"), PAPER.items())
def test_each_background_of_the_paper_has_its_own_scene(description: str, scene: str) -> None:
    assert scene_for(description) == scene


def test_every_painter_is_asked_for_by_one_background_of_the_paper_and_by_a_rule() -> None:
    assert sorted(PAPER.values()) == sorted(PAINTERS)
    assert {rule.scene for rule in RULES} == set(PAINTERS)


@pytest.mark.parametrize(
    ("description", "scene"),
    [
        ("A sunny BEACH, with palm trees.", "beach"),
        ("sand dunes at noon", "desert"),
        ("deep snow on mountains", "snow"),
        ("snow-covered field", "snow"),
        ("a city street at night", "night_city"),
        ("Tokyo skyline, neon lights", "night_city"),
        ("swampy forest", "swamp"),
        ("pebble beach", "rocky_shore"),
        ("grass between train tracks", "railway"),
        ("market in a desert town", "market"),
        ("pine forest", "forest_floor"),
        ("rocky desert", "rocky_terrain"),
        ("jungle", "tropical_forest"),
        ("meadow under white clouds", "grassland"),
        ("the sea", "ocean"),
    ],
)
def test_other_descriptions_are_matched_by_their_words(description: str, scene: str) -> None:
    assert scene_for(description) == scene


@pytest.mark.parametrize(
    "description",
    [
        "",
        "outer space",
        "a city at noon",
        "deserted factory",
        "underwater coral reef of the ocean",
        "supermarket aisle",
        "a room with a painting of the beach",
        "railwayman",
        "Sandstrand",
    ],
)
def test_a_description_that_no_rule_fits_has_no_scene(description: str) -> None:
    assert scene_for(description) is None


@pytest.mark.parametrize("name", PAINTERS)
def test_the_same_seed_paints_the_same_bytes_and_another_seed_another_picture(name: str) -> None:
    first, again, other = (paint(name, (64, 80), seed).image for seed in (5, 5, 6))
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 1.5


@pytest.mark.parametrize("name", PAINTERS)
@pytest.mark.parametrize("size", [(97, 301), (70, 16)])
def test_every_scene_fills_canvases_of_odd_sizes(name: str, size: tuple[int, int]) -> None:
    scene = paint(name, size, 3)
    assert scene.image.shape == (*size, 3)
    assert scene.image.std() > 5
    assert scene.ground is None or 0 < scene.ground < 0.8


def _layout(name: str, seed: int) -> Layout:
    """Mean colours over a grid of 4 x 4 cells, grey levels."""
    picture = paint(name, (48, 64), seed).image.astype(np.float64)
    return np.asarray(picture.reshape(4, 12, 4, 16, 3).mean(axis=(1, 3)))


def test_scenes_are_told_apart_by_their_coarse_colours_whatever_the_seed() -> None:
    layouts = {name: [_layout(name, seed) for seed in (1, 2)] for name in PAINTERS}
    for one, other in itertools.combinations(PAINTERS, 2):
        apart = min(
            np.abs(a - b).mean() for a, b in itertools.product(layouts[one], layouts[other])
        )
        assert apart > 12, (one, other)


def test_painting_does_not_depend_on_what_was_painted_before() -> None:
    alone = paint("snow", (64, 80), 9).image
    paint("market", (64, 80), 1)
    np.random.seed(1)  # noqa: NPY002  the global generator is what must not matter
    assert np.array_equal(paint("snow", (64, 80), 9).image, alone)


def test_flat_ground_is_seen_where_perspective_puts_it() -> None:
    canvas = Canvas((200, 200), 1)
    land = Ground(canvas, 0.5, eye=1.5)
    # White beyond 10 m, black before: the border lies at horizon + focal * eye / 10.
    colour = np.repeat(np.broadcast_to(land.z > 10, land.x.shape)[..., None], 3, axis=2)
    land.render(np.zeros_like(land.x), colour.astype(np.float32))
    border = 100 + 190 * 1.5 / 10
    assert canvas.pixels[int(border) - 3, 50, 0] > 0.9
    assert canvas.pixels[int(border) + 3, 50, 0] < 0.1
    column, row, scale = land.spot(1.0, 10.0)
    assert (column, row, scale) == pytest.approx((119, border, 19))
    assert land.project(np.array([[1.0, 0.0, 10.0]]))[0] == pytest.approx([119, border])


def test_a_hill_hides_what_lies_behind_it() -> None:
    canvas = Canvas((200, 200), 1)
    land = Ground(canvas, 0.5, eye=1.5, far=100)
    wall = ((land.z > 9) & (land.z < 11)) * np.full_like(land.x, 3)
    colour = np.zeros((*land.x.shape, 3), np.float32)
    colour[land.z[:, 0] > 12] = 1
    land.render(wall.astype(np.float32), colour)
    assert canvas.pixels[80:130].max() < 0.01


def test_light_falls_on_the_slope_that_faces_it() -> None:
    land = Ground(Canvas((100, 100), 1), 0.5)
    rising = (land.x * 1.0).astype(np.float32)
    # A plane rising 45 degrees to the right: its normal points up and left.
    assert land.light(rising, (-1, 1, 0))[5, 50] == pytest.approx(1, abs=1e-3)
    assert land.light(rising, (1, 1, 0))[5, 50] == pytest.approx(0, abs=1e-3)
    # It rises neither towards nor away from the viewer, at the picture's edge either.
    assert land.light(rising, (0, 1, 1))[5, 90] == pytest.approx(0.5, abs=1e-3)


def test_blending_and_smoothstep_keep_their_ends() -> None:
    share = np.array([[0.0, 1.0, 0.5]])
    assert blended((0, 0, 0), (1, 0.5, 0), share)[0].tolist() == [
        [0, 0, 0],
        [1, 0.5, 0],
        [0.5, 0.25, 0],
    ]
    assert smoothstep(2, 4, np.array([1, 2, 3, 4, 9])).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(4, 2, np.array([1, 3, 9])).tolist() == [1, 0.5, 0]


def _photograph(path: Path, colour: str, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", size, colour).save(path)


def test_photographs_are_matched_by_number_description_and_sub_folder(tmp_path: Path) -> None:
    for name in (
        "--.png",
        "07.png",
        "7.jpg",
        "Swampy_Area.png",
        "7/a.png",
        "swampy area/b.png",
        "17.png",
    ):
        _photograph(tmp_path / name, "red")
    (tmp_path / "7.txt").write_text("no photograph")
    folder = BackgroundPhotographs(tmp_path, "photographs")
    names = ["07.png", "7.jpg", "7/a.png", "Swampy_Area.png", "swampy area/b.png"]
    assert folder.of(7, "swampy area") == names
    assert folder.of(17, "market") == ["17.png"]
    assert folder.of(1, "area") == []
    assert folder.of(1, "") == []


def test_a_number_is_never_taken_for_a_description(tmp_path: Path) -> None:
    _photograph(tmp_path / "12.png", "red")
    assert BackgroundPhotographs(tmp_path, "photographs").of(3, "12") == []


def test_the_digest_follows_contents_and_names_not_the_place(tmp_path: Path) -> None:
    for place in ("one", "two/deep"):
        _photograph(tmp_path / place / "3.png", "red")
    first, moved = (
        BackgroundPhotographs(tmp_path / p, "photographs").digest() for p in ("one", "two/deep")
    )
    assert first == moved
    _photograph(tmp_path / "one" / "3.png", "blue")
    changed = BackgroundPhotographs(tmp_path / "one", "photographs").digest()
    assert changed != first
    (tmp_path / "one" / "3.png").rename(tmp_path / "one" / "4.png")
    assert BackgroundPhotographs(tmp_path / "one", "photographs").digest() != changed


def test_a_missing_or_empty_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is not a folder"):
        BackgroundPhotographs(tmp_path / "none", "photographs").digest()
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(RecipeError, match="no photograph in"):
        BackgroundPhotographs(tmp_path, "photographs").digest()


def test_a_photograph_that_changes_during_a_run_is_refused(tmp_path: Path) -> None:
    _photograph(tmp_path / "3.png", "red")
    folder = BackgroundPhotographs(tmp_path, "photographs")
    assert isinstance(folder.read("3.png", (20, 20), 1), np.ndarray)
    _photograph(tmp_path / "3.png", "blue")
    with pytest.raises(PhotographsError, match="changed"):
        folder.read("3.png", (20, 20), 1)


def test_a_damaged_photograph_is_rejected_with_its_name_and_reason(tmp_path: Path) -> None:
    (tmp_path / "3.png").write_bytes(b"not a picture")
    answer = BackgroundPhotographs(tmp_path, "photographs").read("3.png", (20, 20), 1)
    params: dict[str, Json] = {"file": "3.png", "why": "not_an_image"}
    assert answer == Rejected("background_photograph_unreadable", params)


@pytest.mark.parametrize("size", [(50, 200), (200, 50), (64, 64)])
def test_a_photograph_covers_the_canvas_around_its_middle(size: tuple[int, int]) -> None:
    # A red middle with a blue rim of one eighth: the crop shows red at its centre, and nothing
    # but the photograph.
    picture = np.zeros((240, 240, 3), np.uint8)
    picture[..., 2] = 255
    picture[30:210, 30:210] = (255, 0, 0)
    for seed in range(4):
        cut = cover(picture, size, seed)
        assert cut.shape == (*size, 3)
        assert cut[size[0] // 2, size[1] // 2].tolist() == [255, 0, 0]
        assert cut[..., 1].max() == 0


def test_crops_of_one_photograph_differ_by_seed() -> None:
    ramp = np.repeat(np.arange(240, dtype=np.uint8)[None, :, None], 240, axis=0).repeat(3, axis=2)
    assert len({cover(ramp, (100, 60), seed).tobytes() for seed in range(8)}) > 3


def test_the_paper_s_list_of_descriptions_is_the_shipped_one() -> None:
    shipped = list(Path(__file__).parents[2].glob("manifests/*/backgrounds.csv"))
    for file in shipped:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                assert scene_for(row["description"]) is not None, (file, row)
