"""One run over photographs of every kind: the good ones are read, the bad ones have a reason."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import covar_gen
from covar_gen.core.names import short_hash
from covar_gen.core.store import Run, open_run

Covar = Callable[..., "subprocess.CompletedProcess[str]"]

WIDTH, HEIGHT = 32, 24

RECIPE = """
name = "kinds"
block = 4
[classes]
source = "folder"
path = "photographs"
size = "original"
[masks]
segmenter = "middle"
[backgrounds]
editor = "plain"
backgrounds = [{background_id = 1, description = "grey"}, {background_id = 2, description = "red"}]
"""

MIDDLE = '''
"""Takes the middle of a photograph for its object."""

import numpy as np

from covar_gen.segmenters.base import Segmentation, Segmenter


class Middle(Segmenter):
    def segment(self, batch):
        return [Segmentation(self.outline(request.image)) for request in batch]

    def outline(self, image):
        mask = np.zeros(image.shape[:2], np.bool_)
        mask[8:-8, 8:-8] = True
        return mask
'''
PLAIN = '''
"""Paints everything around the object grey."""

import numpy as np

from covar_gen.editors.base import Edit, Editor


class Plain(Editor):
    def edit(self, batch):
        return [
            Edit(np.where(r.mask[..., None], r.image, np.uint8(99 + r.background_id)), r.mask)
            for r in batch
        ]
'''


def solid(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (WIDTH, HEIGHT), colour)


def noise(seed: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def quarters() -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:12, :16], image[:12, 16:] = (255, 0, 0), (0, 255, 0)
    image[12:, :16], image[12:, 16:] = (0, 0, 255), (255, 255, 255)
    return image


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, kind, **options)
    return stream.getvalue()


@cache
def bad_files() -> dict[str, tuple[bytes, str]]:
    """File name -> content and the reason of its refusal."""
    big = Image.new("1", (20_000, 20_000))
    jpeg = encoded(np.tile(noise(1), (3, 3, 1)), "JPEG")
    return {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "cut.png": (encoded(noise(2))[:-60], "truncated"),
        "nothing.jpg": (b"", "empty_file"),
        "words.jpg": (b"This is a text, whatever its name.\n", "not_an_image"),
        "dot.png": (encoded(Image.new("RGB", (1, 1))), "too_small"),
        "huge.png": (encoded(big), "too_large"),
        "z again.png": (encoded(noise(10)), "duplicate"),
        "z-again.bmp": (encoded(noise(10), "BMP"), "duplicate"),
    }


@cache
def kinds() -> dict[str, tuple[bytes, np.ndarray]]:
    """File name -> content and the pixels that it shows."""
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = solid("P", 0)
    palette.putpalette([200, 0, 0, 0, 0, 200, 7, 7, 7])
    palette.putpixel((3, 2), 1)
    shown = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    shown[2, 3] = 255
    levels = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256).astype(np.uint8)
    grey = np.repeat(levels[..., None], 3, axis=2)

    def all_of(*colour: int) -> np.ndarray:
        return np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.array(colour, np.uint8)

    frames = {"save_all": True, "append_images": [solid("RGB", "blue")]}
    return {
        "cmyk.jpg": (encoded(solid("CMYK", (0, 255, 255, 0)), "JPEG"), all_of(255, 0, 0)),
        "deep grey.png": (encoded(levels.astype(np.uint16) * 257), grey),
        "palette.png": (encoded(palette, transparency=1), shown),
        "grey.png": (encoded(255 - levels), 255 - grey),
        "moving.gif": (encoded(solid("RGB", "lime"), "GIF", **frames), all_of(0, 255, 0)),
        "turned.png": (encoded(quarters(), exif=exif), np.rot90(quarters(), -1)),
        "turned.jpg": (
            encoded(quarters()[:, ::-1], "JPEG", exif=exif, quality=100, subsampling=0),
            np.rot90(quarters()[:, ::-1], -1),
        ),
    }


NAMES = {
    "a b.png": "a_b",
    "Äpfel und Öl.png": "Apfel_und_Ol",
    "日本.png": "photograph",
    "x..y.png": "x..y",
    'it\'s "so".png': "it_s_so",
    "-rf.png": "rf",
    "one/same.png": "same-",
    "two/same.png": "same-",
    "two/SAME.png": "SAME-",
    "line\nbreak.png": "line_break",
    "$(touch owned).png": "touch_owned",
}
"""File name -> PHOTO of its key, to which those of one name add a hash."""

ODD_CLASS, ODD_FOLDER = 'an "odd" ..class\' é', "an_odd_..class_e"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over all of them, by a package with a segmenter and an editor of its own."""
    root = tmp_path_factory.mktemp("kinds")
    package = Path(covar_gen.__file__).parent
    shutil.copytree(package, root / "covar_gen")
    for name in ("prompts", "manifests"):
        (root / name).symlink_to(package.parent / name)
    (root / "covar_gen/segmenters/middle.py").write_text(MIDDLE.strip(), encoding="utf-8")
    (root / "covar_gen/editors/plain.py").write_text(PLAIN.strip(), encoding="utf-8")
    files = {f"bad/{name}": data for name, (data, _) in bad_files().items()}
    files |= {f"bad/good{n}.png": encoded(noise(10 + n)) for n in range(3)}
    files |= {f"kinds/{name}": data for name, (data, _) in kinds().items()}
    files |= {f"{ODD_CLASS}/{name}": encoded(noise(50 + n)) for n, name in enumerate(NAMES)}
    for name, data in files.items():
        path = root / "photographs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "covar_gen.cli", "run", "recipe.toml", "--run", "run"],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return open_run(root / "run")


def sources(run: Run, folder: str) -> dict[str, dict[str, Any]]:
    """Rows of the table `sources` of one class, by file name."""
    rows = run.table("sources").to_pylist()
    return {
        row["origin"].split("/", 1)[1]: row for row in rows if row["key"].split("/")[0] == folder
    }


def pixels(run: Run, row: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(run.root / row["image"]))


def test_every_bad_file_is_a_row_with_its_reason_and_every_good_one_is_kept(built: Run) -> None:
    rows = sources(built, "bad")
    reasons = {name: row["reason"] for name, row in rows.items()}
    wanted: dict[str, str | None] = {name: reason for name, (_, reason) in bad_files().items()}
    assert reasons == wanted | {f"good{n}.png": None for n in range(3)}
    for name, row in rows.items():
        good = name.startswith("good")
        assert row["status"] == ("ok" if good else "rejected")
        assert (row["image"] is None, row["sha256"] is None) == (not good, not good)
        assert row["photograph_sha256"]
        if good:
            assert np.array_equal(pixels(built, row), noise(10 + int(name[4])))


def test_a_refusal_keeps_what_led_to_it(built: Run) -> None:
    rows = sources(built, "bad")
    assert json.loads(rows["dot.png"]["params"]) == {"height": 1, "width": 1}
    assert json.loads(rows["z again.png"]["params"]) == {"of": "bad/good0/original"}
    assert json.loads(rows["z-again.bmp"]["params"]) == {"of": "bad/good0/original"}


def test_the_children_of_a_refused_photograph_are_refused_rows_too(built: Run) -> None:
    rows = pq.read_table(built.root / "manifest.parquet").to_pylist()
    keys = [row["key"] for row in rows]
    assert keys == sorted(set(keys))
    assert len(rows) == 3 * len(built.table("sources", ["key"]))
    bad = {name: row["key"] for name, row in sources(built, "bad").items() if row["reason"]}
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_source.setdefault(row["source"], []).append(row)
    for name, key in bad.items():
        original, *children = sorted(by_source[key], key=lambda row: row["parent"] or "")
        assert (original["subset"], original["reason"]) == ("original", bad_files()[name][1])
        assert [child["reason"] for child in children] == ["parent_rejected"] * 2
        assert not any(child["image"] or child["sha256"] for child in children)
    good = [row for row in rows if row["source"] not in bad.values()]
    assert {row["status"] for row in good} == {"ok"}
    assert {row["reason"] for row in good} == {None}


def test_a_refused_child_still_says_which_background_it_was_for(built: Run) -> None:
    rows = [row for row in built.manifest().to_pylist() if row["reason"] == "parent_rejected"]
    found = {(row["key"][-2:], row["background_id"], row["background"]) for row in rows}
    assert found == {("01", 1, "grey"), ("02", 2, "red")}


def test_the_counts_of_a_run_say_what_was_refused_and_why(built: Run, covar: Covar) -> None:
    said = covar("status", built.root).stdout
    for reason, count in (("truncated", 2), ("empty_file", 1), ("duplicate", 2), ("too_large", 1)):
        assert f"{count} {reason}" in said
    assert "16 parent_rejected" in said


@pytest.mark.parametrize("name", sorted(kinds()))
def test_a_photograph_of_any_kind_is_read_as_it_is_seen(built: Run, name: str) -> None:
    row = sources(built, "kinds")[name]
    assert row["status"] == "ok", row["reason"]
    wanted = kinds()[name][1]
    found = pixels(built, row)
    assert (row["height"], row["width"]) == found.shape[:2] == wanted.shape[:2]
    tolerance = 3 if name.endswith(".jpg") else 0
    inner = np.abs(found.astype(int) - wanted)
    if name == "turned.jpg":
        # JPEG's blocks of 8 straddle the quarters' border.
        inner = np.concatenate([inner[:7], inner[-7:]])[:, [0, 1, 2, -3, -2, -1]]
    assert inner.max() <= tolerance


def test_photographs_of_any_name_are_all_there_under_plain_keys(built: Run) -> None:
    rows = sources(built, ODD_FOLDER)
    assert set(rows) == set(NAMES)
    hashes = {name: short_hash(encoded(noise(50 + place))) for place, name in enumerate(NAMES)}
    for place, (name, photo) in enumerate(NAMES.items()):
        more = hashes[name] if photo.endswith("-") else ""
        row = rows[name]
        assert row["key"] == f"{ODD_FOLDER}/{photo}{more}/original"
        assert row["image"] == f"images/sources/{row['key']}.png"
        assert row["label"] == ODD_CLASS
        assert np.array_equal(pixels(built, row), noise(50 + place))


def test_nothing_is_written_outside_of_the_run(built: Run) -> None:
    beside = {path.name for path in built.root.parent.iterdir()}
    assert beside == {"covar_gen", "prompts", "manifests", "photographs", "recipe.toml", "run"}
    files = {p.relative_to(built.root).as_posix() for p in built.root.rglob("*.png")}
    named = pq.read_table(built.root / "manifest.parquet", columns=["image", "mask"]).to_pydict()
    assert files == {path for column in named.values() for path in column if path}


def test_the_data_set_gives_every_image_that_was_kept(built: Run) -> None:
    data = built.dataset()
    kept = [row for row in built.manifest().to_pylist() if row["status"] == "ok"]
    assert [row["key"] for row in kept] == data["key"][:]
    assert data[0]["image"].size == (kept[0]["width"], kept[0]["height"])
