"""Pixels that a tool carried along without saying so are found, or are not in the patch at all."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from covar_gen.core import imaging
from covar_gen.core.errors import ReleaseFolderError
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import Run
from covar_gen.release.carried import FEWEST, MOST, alike, carried
from covar_gen.release.contents import contents_of, patch_of
from covar_gen.release.encoding import Encoder
from covar_gen.release.likeness import COLUMNS, likeness
from covar_gen.release.making import Options, publish_share
from covar_gen.release.patches import (
    CLOSE,
    IN_PLACE,
    NEAR_PLACE,
    NEAR_SAID,
    OWN,
    WAYS,
    decode_patch,
    difference,
    encode_patch,
    predicted,
    restored,
)
from covar_gen.release.reading import Manifest

Picture = np.ndarray[Any, Any]
Covar = Callable[..., "subprocess.CompletedProcess[str]"]
SIZE = (96, 128)


def photograph(seed: int, size: tuple[int, int] = SIZE) -> Picture:
    """Something of everywhere as much detail as a photograph has in places."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 4, size[1] // 4, 3))
    grown = cv2.resize(coarse.astype(np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.uint8)


def told_of(image: Picture, parent: Picture, transform: list[float] | None = None) -> Picture:
    said, known = predicted(parent, transform, image.shape[:2])
    return difference(image, said, known, parent, transform)


def share(image: Picture, parent: Picture, transform: list[float] | None = None) -> float:
    """What `carried` says of the patch that is made of an image."""
    said, _ = predicted(parent, transform, image.shape[:2])
    own = told_of(image, parent, transform)[..., 3] == OWN
    return carried(image, own, parent, said)


def jpeg(image: Picture, quality: int = 98) -> Picture:
    whole = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, whole]
    _, data = cv2.imencode(".jpg", image, settings)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def grey(image: Picture) -> Picture:
    return np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


def test_pixels_left_in_their_place_are_not_in_the_patch_of_a_tool_without_transform() -> None:
    parent, image = photograph(0), photograph(1)
    image[20:70, 30:90] = parent[20:70, 30:90]
    patch = told_of(image, parent)
    alpha = patch[..., 3]
    assert (alpha[20:70, 30:90] == IN_PLACE).all()
    assert not patch[..., :3][alpha != OWN].any()
    assert not ((patch[..., :3] == parent).all(axis=2) & (alpha == OWN)).any()
    again = restored(decode_patch(encode_patch(patch)), np.zeros_like(image), parent)
    assert np.array_equal(again, image)


def test_pixels_left_in_their_place_beside_a_transform_are_not_in_the_patch() -> None:
    parent = photograph(0)
    shift = [1.0, 0, 40, 0, 1, 0, 0, 0, 1]
    said, known = predicted(parent, shift, SIZE)
    image = np.where(known[..., None], said, parent)
    patch = told_of(image, parent, shift)
    assert not (patch[..., 3] == OWN).any()
    assert np.array_equal(restored(patch, said, parent, shift), image)


@pytest.mark.parametrize("way", ["lanczos", "cubic"])
def test_another_way_to_move_pixels_than_the_usual_one_is_told_by_alpha(way: Any) -> None:
    parent = photograph(0)
    half = [0.5, 0, 16.25, 0, 0.5, 12.25, 0, 0, 1]
    matrix = np.asarray(half).reshape(3, 3)
    moved, known = imaging.warp(parent, matrix, SIZE, way)
    image = np.where(known[..., None], moved, photograph(1))
    patch = told_of(image, parent, half)
    told = patch[..., 3][known]
    # Here and there both ways give the same.
    assert (told == (0 if way == "lanczos" else WAYS + 3)).mean() > 0.8
    assert not (told == OWN).any()
    said, _ = predicted(parent, half, SIZE)
    assert np.array_equal(restored(decode_patch(encode_patch(patch)), said, parent, half), image)


@pytest.mark.parametrize("alpha", [IN_PLACE, WAYS, WAYS + 3, 77, NEAR_PLACE])
def test_a_patch_of_another_parent_is_no_whole_patch(alpha: int) -> None:
    patch = np.zeros((*SIZE, 4), np.uint8)
    patch[0, 0, 3] = alpha
    said = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(ValueError, match="another parent or transform"):
        restored(patch, said)
    if alpha not in (IN_PLACE, NEAR_PLACE):
        with pytest.raises(ValueError, match="another parent or transform"):
            restored(patch, said, photograph(0))


MOVED: dict[str, Callable[[Picture], Picture]] = {
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned": np.rot90,
    "turned and mirrored": lambda image: np.rot90(image)[::-1],
    "shifted": lambda image: np.roll(image, (13, 21), (0, 1)),
}


@pytest.mark.parametrize("how", MOVED)
def test_what_was_moved_without_a_transform_is_found(how: str) -> None:
    parent = photograph(0)
    assert share(np.ascontiguousarray(MOVED[how](parent)), parent) > 0.8


def test_what_was_moved_as_the_transform_says_is_not_in_the_patch() -> None:
    parent = photograph(0)
    flip = [-1.0, 0, SIZE[1] - 1, 0, 1, 0, 0, 0, 1]
    assert share(np.ascontiguousarray(parent[:, ::-1]), parent, flip) == 0


def test_what_was_changed_by_a_few_grey_levels_is_found_where_it_was_and_where_it_went() -> None:
    parent = photograph(0)
    assert share(jpeg(parent, 100), parent) > 0.9
    flip = [-1.0, 0, SIZE[1] - 1, 0, 1, 0, 0, 0, 1]
    turned = np.ascontiguousarray(parent[:, ::-1])
    assert share(jpeg(turned, 100), parent, flip) > 0.9
    assert share(parent // 2 * 2 + 1, parent) > 0.9
    assert share(parent ^ 1, parent) == 1


FLIP = [-1.0, 0, SIZE[1] - 1, 0, 1, 0, 0, 0, 1]
FAINT: dict[str, tuple[Callable[[Picture], Picture], list[float] | None, int]] = {
    "jpeg": (lambda image: jpeg(image, 100), None, NEAR_PLACE),
    "blur": (lambda image: cv2.GaussianBlur(image, (0, 0), 0.8), list(np.eye(3).flat), NEAR_SAID),
    "mirrored": (lambda image: jpeg(np.ascontiguousarray(image[:, ::-1]), 100), FLIP, NEAR_SAID),
}


@pytest.mark.parametrize("how", FAINT)
def test_of_what_was_changed_by_a_few_grey_levels_a_patch_holds_those_levels(how: str) -> None:
    """A weak blur, as docs/how-to/add-a-variant.md makes it, is published like any other."""
    change, transform, near = FAINT[how]
    # Softer than the others, as most of a photograph is; black and white too.
    parent = np.asarray(cv2.resize(photograph(0, (24, 32)), SIZE[::-1]), np.uint8)
    image = change(parent)
    image[:16] = photograph(1)[:16]
    assert share(image, parent, transform) > MOST
    patch, left = patch_of(image, parent, transform)
    assert left <= MOST
    alpha = patch[..., 3]
    assert (alpha == near).mean() > 0.3
    # Neither a colour of the parent nor one of the image.
    assert patch[..., :3][alpha == near].max() <= 2 * CLOSE
    assert (alpha[:16] == OWN).mean() > 0.9
    said, _ = predicted(parent, transform, SIZE)
    again = restored(decode_patch(encode_patch(patch)), said, parent, transform)
    assert np.array_equal(again, image)


def test_a_patch_that_shows_little_holds_whole_colours() -> None:
    """Of 12 x 16 squares 2 x 4 are the parent's, but for a grey level: 4 %."""
    parent, image = photograph(0), photograph(1)
    image[40:56, :32] = np.clip(parent[40:56, :32], 1, None) - 1
    patch, left = patch_of(image, parent, None)
    assert left == pytest.approx(8 / (12 * 16), abs=0.001)
    assert set(np.unique(patch[..., 3])) <= {IN_PLACE, OWN}


def test_the_share_is_that_of_the_parents_detail() -> None:
    """Of 12 x 16 squares with detail, 4 x 5 are shown: 10 %."""
    parent, image = photograph(0), photograph(1)
    image[8:40, 16:56] = parent[48:80, 80:120]
    assert share(image, parent) == pytest.approx(20 / (12 * 16), abs=0.001)


def test_what_was_drawn_anew_shows_nothing_and_neither_does_sky() -> None:
    assert share(photograph(1), photograph(0)) == 0
    sky = np.full((*SIZE, 3), 200, np.uint8)
    assert share(photograph(1), sky) == 0
    assert share(np.roll(sky, 3), sky) == 0
    few = sky.copy()
    few[:8, : 8 * (FEWEST - 1)] = photograph(0)[:8, : 8 * (FEWEST - 1)]
    assert share(np.ascontiguousarray(few[::-1]), few) == 0


@pytest.mark.parametrize("size", [(5, 128), (7, 7), (96, 9)])
def test_pictures_smaller_than_a_square_are_compared_without_error(size: tuple[int, int]) -> None:
    big = photograph(0)
    small = np.ascontiguousarray(big[: size[0], : size[1]])
    own = np.ones(small.shape[:2], np.bool_)
    assert carried(small, own, big, np.zeros_like(small)) <= 12 / (12 * 16)
    assert carried(big, np.ones(SIZE, np.bool_), small, np.zeros_like(big)) <= 1


@pytest.mark.parametrize(
    "change", [lambda i: jpeg(i, 80), grey, lambda i: i // 2 + 60], ids=["jpeg", "grey", "paler"]
)
def test_what_looks_like_its_parent_in_its_place_is_measured(
    change: Callable[[Picture], Picture],
) -> None:
    parent = photograph(0)
    image = change(parent)
    own = np.ones(SIZE, np.bool_)
    assert share(image, parent) <= MOST
    assert alike(image, own, parent) > 0.9
    half = own.copy()
    half[:48] = False
    assert alike(image, half, parent) == pytest.approx(alike(image, own, parent) / 2, abs=0.05)
    for other in (photograph(1), np.full_like(parent, 9), photograph(0, (48, 64))):
        assert alike(other, np.ones(other.shape[:2], np.bool_), parent) < 0.02
    assert alike(image, own, np.full_like(parent, 9)) == 0


def test_likeness_is_measured_where_no_pixels_are_promised_and_said(
    finished_run: Run, tmp_path: Path
) -> None:
    assert likeness(finished_run, Manifest(finished_run.root / "manifest.parquet")) == {}
    run = Run(shutil.copytree(finished_run.root, tmp_path / "run"), finished_run.recipe)
    rows = run.manifest()
    place = rows.column_names.index("known_pixel_max_diff")
    silent = pc.if_else(pc.equal(rows["subset"], "bg_varied"), None, rows[place])
    rows = rows.set_column(place, "known_pixel_max_diff", silent)
    (run.root / "manifest.parquet").write_bytes(parquet_bytes(rows.cast(MANIFEST)))
    out, options = tmp_path / "out", Options(Encoder("patch"))
    assert publish_share(run, out, options, Ranks(), threads=2) is not None
    count = len(rows.filter((pc.field("subset") == "bg_varied") & (pc.field("status") == "ok")))
    [(subset, shown)] = likeness(run, Manifest(run.root / "manifest.parquet")).items()
    assert (subset, shown.images) == ("bg_varied", count)
    # The object's own pixels are not in the patch, and the background is another one.
    assert shown.share < MOST
    sentence = f"Of `bg_varied`, {count} images drawn again were looked at: their patches show "
    for name in ("README.md", "LICENSES.md"):
        assert sentence in (out / name).read_text(encoding="utf-8")


class OneImage:
    """A run of one image, its parent's mirror image in grey, that promises nothing."""

    def __init__(self, transform: list[float] | None) -> None:
        parent = photograph(0)
        self.files = {"p": parent, "i": np.ascontiguousarray(grey(parent)[:, ::-1])}
        row: dict[str, Any] = dict.fromkeys([*COLUMNS, "known_pixel_max_diff"])
        row |= {"key": "k", "parent": "p", "subset": "mine", "status": "ok", "image": "i"}
        self.row = {**row, "transform": transform, "height": SIZE[0], "width": SIZE[1]}

    def batches(self, columns: list[str]) -> list[pa.RecordBatch]:
        whole = pa.RecordBatch.from_pylist([self.row]).select(columns)
        return [whole.slice(0, 0), whole, whole]

    def take(self, columns: list[str], places: list[int]) -> dict[int, dict[str, Any]]:
        return {place: {name: self.row[name] for name in columns} for place in places}

    def image_path(self, _table: str, key: str) -> str:
        return key

    def read(self, path: str, _sha256: str) -> bytes:
        return imaging.encode_png(self.files[path])


def test_likeness_is_looked_for_where_the_transform_says_too() -> None:
    flip = [-1.0, 0, SIZE[1] - 1, 0, 1, 0, 0, 0, 1]
    runs = [OneImage(each) for each in (flip, None)]
    shown = [likeness(cast("Run", run), cast("Manifest", run))["mine"] for run in runs]
    # A row in each of two batches.
    assert [each.images for each in shown] == [2, 2]
    assert shown[0].share > 0.9
    assert shown[1].share < 0.02


def made_row(run: Run, subset: str, **changes: Any) -> dict[str, Any]:
    rows = run.manifest().filter(pc.field("status") == "ok")
    return {**rows.filter(pc.field("subset") == subset).to_pylist()[0], **changes}


def test_a_tool_that_mirrors_without_saying_so_is_named_with_how_much_would_be_shown(
    finished_run: Run,
) -> None:
    make = contents_of(finished_run, "hflip", Encoder("patch")).make
    assert make is not None
    row = made_row(finished_run, "hflip")
    told = make(row)
    assert told is not None
    assert not decode_patch(told.data).any()
    with pytest.raises(ReleaseFolderError, match=r"would show \d+% of its parent") as refused:
        make({**row, "transform": None, "tool": "mine"})
    line = refused.value.line()
    assert row["key"] in line
    assert "the tool 'mine' moved without giving their transform" in line
    assert "publish without --recipe-only" in line


def test_an_editor_that_keeps_the_object_without_saying_so_shows_none_of_it(
    finished_run: Run,
) -> None:
    make = contents_of(finished_run, "bg_varied", Encoder("patch")).make
    assert make is not None
    row = made_row(finished_run, "bg_varied")
    said, silent = (make({**row, "transform": t}) for t in (row["transform"], None))
    assert said is not None
    assert silent is not None
    own = [decode_patch(cell.data)[..., 3] == OWN for cell in (said, silent)]
    assert np.array_equal(own[0], own[1])
    assert 0 < own[1].mean() < 1


def test_publishing_such_a_run_as_patches_ends_with_one_line_and_no_release(
    finished_run: Run, covar: Covar, tmp_path: Path
) -> None:
    run = Run(shutil.copytree(finished_run.root, tmp_path / "run"), finished_run.recipe)
    rows = run.manifest()
    silent = pc.if_else(pc.equal(rows["subset"], "hflip"), None, rows["transform"])
    rows = rows.set_column(rows.column_names.index("transform"), "transform", silent)
    (run.root / "manifest.parquet").write_bytes(parquet_bytes(rows.cast(MANIFEST)))
    done = covar("publish", run.root, "--out", tmp_path / "out", "--recipe-only", code=2)
    assert len(done.stderr.splitlines()) == 1
    assert "/hflip would show " in done.stderr
    assert not (tmp_path / "out" / "release.json").exists()
