"""A release gives its run back byte for byte: from lossless images, or patches and photographs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.commands.rebuild import rebuild
from covar_gen.core import imaging
from covar_gen.core.errors import CovarError, PhotographsError, ReleaseFolderError, RunFolderError
from covar_gen.core.store import Run, open_run
from covar_gen.release import restoring
from covar_gen.release.index import read_release
from covar_gen.release.patches import (
    OWN,
    decode_patch,
    difference,
    encode_patch,
    predicted,
    restored,
)

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
Content = Callable[[Path], dict[str, str]]


@pytest.fixture
def photographs(finished_run: Run) -> Path:
    return finished_run.root.parent / "photographs"


def picture(seed: int, height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def rows_of(release: Path, subset: str) -> list[dict[str, Any]]:
    [entry] = read_release(release).configs[subset]
    rows: list[dict[str, Any]] = pq.read_table(release / entry.path).to_pylist()
    return rows


TRANSFORMS = st.one_of(
    st.just(np.array([[-1.0, 0, 30], [0, 1, 0], [0, 0, 1]])),
    st.tuples(st.integers(-40, 40), st.integers(-40, 40)).map(
        lambda shift: np.array([[1.0, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    ),
    st.tuples(st.floats(0.1, 0.9), st.floats(-5, 30)).map(
        lambda pair: np.array([[pair[0], 0, pair[1]], [0, pair[0], 1.5], [0, 0, 1]])
    ),
    st.tuples(st.floats(-3, 3), st.floats(-9, 9)).map(
        lambda pair: np.array([
            [np.cos(pair[0]), np.sin(pair[0]), pair[1]],
            [-np.sin(pair[0]), np.cos(pair[0]), 20.0],
            [0, 0, 1],
        ])
    ),
    st.just(np.array([[1.0, 0.1, 2], [0, 1.1, -3], [0.001, 0.002, 1]])),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TRANSFORMS, st.integers(0, 2**20), st.booleans())
def test_a_patch_and_a_parent_give_any_image_back(
    transform: np.ndarray[Any, Any], seed: int, follows: bool
) -> None:
    parent, image = picture(seed, 24, 31), picture(seed + 1, 24, 31)
    said, known = predicted(parent, transform.ravel().tolist(), (24, 31))
    if follows:
        image = np.where(known[..., None], said, image)
    patch = difference(image, said, known)
    assert np.array_equal(restored(decode_patch(encode_patch(patch)), said), image)
    told = patch[..., 3] > 0
    # What is predicted is not told, and what is not told is black.
    assert not patch[~told].any()
    if follows:
        assert np.array_equal(told, ~known)


def test_without_a_transform_or_parent_an_image_is_its_own_patch() -> None:
    image = picture(1, 9, 7)
    for parent, transform in ((None, np.eye(3).ravel().tolist()), (image, None)):
        said, known = predicted(parent, transform, (9, 7))
        patch = difference(image, said, known)
        assert not known.any()
        assert np.array_equal(patch[..., :3], image)
        assert (patch[..., 3] == 255).all()


@pytest.mark.parametrize(
    ("angle", "factor", "known_share"), [(0.0, 1.0, 1.0), (0.0, 0.5, 0.16), (20.0, 1.0, 0.5)]
)
def test_what_a_warp_knows_is_predicted(angle: float, factor: float, known_share: float) -> None:
    """Of a copy nothing is told; of a smaller or turned parent what lies around it."""
    turn = np.deg2rad(angle)
    matrix = np.array([
        [factor * np.cos(turn), factor * np.sin(turn), 16 * (1 - factor)],
        [-factor * np.sin(turn), factor * np.cos(turn), 16 * (1 - factor)],
        [0, 0, 1],
    ])  # fmt: skip
    parent = picture(3, 64, 64)
    _, known = predicted(parent, matrix.ravel().tolist(), (64, 64))
    assert known.mean() >= known_share
    assert (known.mean() == 1) == (angle == 0 and factor == 1)


@pytest.mark.parametrize("data", [b"", b"no picture", imaging.encode_png(picture(1, 8, 8))])
def test_what_is_no_patch_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a whole patch"):
        decode_patch(data)


def test_patches_and_photographs_give_every_file_of_the_run_back(
    finished_run: Run, patches: Path, photographs: Path, content: Content, tmp_path: Path
) -> None:
    made = rebuild(patches, tmp_path / "again", photographs)
    assert content(made.run.root) == content_of_made(finished_run, content)
    ok = [row for row in finished_run.manifest().to_pylist() if row["status"] == "ok"]
    assert made.images == len(ok)
    assert made.masks == sum(row["mask"] is not None for row in ok)


def test_lossless_images_give_every_file_back_without_photographs(
    finished_run: Run, png: Path, content: Content, tmp_path: Path
) -> None:
    made = rebuild(png, tmp_path / "again")
    assert content(made.run.root) == content_of_made(finished_run, content)


def content_of_made(run: Run, content: Content) -> dict[str, str]:
    """The run's content, less files whose rows were refused later."""
    named = {"manifest.parquet", "metadata.parquet"}
    for row in run.manifest().to_pylist():
        if row["status"] == "ok":
            named |= {row["image"], row["mask"]}
    return {path: digest for path, digest in content(run.root).items() if path in named}


def test_photographs_are_known_by_what_is_in_them(
    finished_run: Run, patches: Path, photographs: Path, content: Content, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    (mixed / "deep").mkdir(parents=True)
    for number, path in enumerate(sorted(photographs.rglob("*.png"))):
        shutil.copy(path, mixed / "deep" / f"{99 - number}.bin")
    made = rebuild(patches, tmp_path / "again", mixed)
    assert content(made.run.root) == content_of_made(finished_run, content)


def test_a_photograph_that_is_missing_is_named(
    patches: Path, photographs: Path, tmp_path: Path
) -> None:
    shutil.copytree(photographs, tmp_path / "some")
    first = max((tmp_path / "some").rglob("*.png"))
    first.unlink()
    with pytest.raises(PhotographsError, match=r"1 of .* photographs are not there") as caught:
        rebuild(patches, tmp_path / "again", tmp_path / "some")
    assert first.stem in caught.value.line()
    assert not (tmp_path / "again").exists()


def test_a_rebuild_that_stopped_goes_on(
    finished_run: Run, patches: Path, photographs: Path, content: Content, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stop, calls = 20, []

    def counted(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return restored(*given)

    monkeypatch.setattr(restoring, "restored", counted)
    with pytest.raises(KeyboardInterrupt):
        rebuild(patches, tmp_path / "again", photographs, threads=1)
    assert not (tmp_path / "again" / "manifest.parquet").exists()
    assert list((tmp_path / "again" / "images").rglob("*.png"))
    stop = 0
    before = len(calls)
    made = rebuild(patches, tmp_path / "again", photographs)
    assert content(made.run.root) == content_of_made(finished_run, content)
    changed = sum(row["parent"] is not None for row in made.run.manifest().to_pylist())
    assert 0 < len(calls) - before < changed


def test_a_release_of_patches_holds_no_photograph(finished_run: Run, patches: Path) -> None:
    assert all(row["image"] is None for row in rows_of(patches, "original"))
    assert not (patches / "contact_sheet.jpg").exists()
    text = (patches / "README.md").read_text(encoding="utf-8")
    assert "contact_sheet" not in text
    assert "covar-gen rebuild" in text
    for row in rows_of(patches, "bg_varied"):
        patch = decode_patch(row["image"]["bytes"])
        known = imaging.decode_mask(finished_run.read(f"masks/backgrounds/{row['key']}.png"))
        original = imaging.decode_png(finished_run.read(f"images/sources/{row['parent']}.png"))
        told = patch[..., 3] == OWN
        # Nothing of the object is told but the rim that is blended into the new background.
        same = told & (patch[..., :3] == original).all(axis=2)
        assert not same.any()
        assert told[known].mean() < 0.2
    for row in rows_of(patches, "hflip"):
        assert not decode_patch(row["image"]["bytes"]).any()


def test_images_that_lost_pixels_give_no_run_back(jpeg: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseFolderError, match="have lost pixels"):
        rebuild(jpeg, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_other_pixels_than_the_releases_stop_it_with_the_packages_to_install(
    patches: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*given: Any) -> Any:
        return restored(*given) ^ 1

    monkeypatch.setattr(restoring, "restored", other)
    with pytest.raises(ReleaseFolderError, match="has other pixels") as caught:
        rebuild(patches, tmp_path / "again", photographs)
    assert "opencv-python==" in caught.value.line()


def change(release: Path, config: str, column: str, values: Callable[[list[Any]], Any]) -> None:
    """Other values in a column of a release's files; None: the column is taken out."""
    for path in (release / "data" / config).glob("*.parquet"):
        table = pq.read_table(path)
        place, old = table.column_names.index(column), table.schema.field(column)
        new = values(table[column].to_pylist())
        table = table.remove_column(place)
        if new is not None:
            table = table.add_column(place, old, [new])
        pq.write_table(table, path)


@pytest.mark.parametrize(
    ("form", "config", "column", "says"),
    [
        ("patch", "hflip", "image", "an image that is not the release's"),
        ("png", "hflip", "image", "an image that is not the release's"),
        ("png", "masks", "mask", "a mask that is not the release's"),
    ],
)
def test_damage_is_not_blamed_on_packages(
    form: str,
    config: str,
    column: str,
    says: str,
    patches: Path,
    png: Path,
    photographs: Path,
    tmp_path: Path,
) -> None:
    def damaged(cells: list[Any]) -> list[Any]:
        data = bytearray(cells[0]["bytes"])
        data[len(data) // 2] ^= 1
        return [{**cells[0], "bytes": bytes(data)}, *cells[1:]]

    release = tmp_path / "release"
    shutil.copytree(patches if form == "patch" else png, release)
    change(release, config, column, damaged)
    with pytest.raises(ReleaseFolderError, match=says) as caught:
        rebuild(release, tmp_path / "again", photographs if form == "patch" else None)
    assert "Download the release again" in caught.value.line()
    assert "opencv" not in caught.value.line()


def test_a_release_of_other_columns_is_refused_before_an_image_is_made(
    patches: Path, photographs: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    shutil.copytree(patches, release)
    change(release, "manifest", "object_coverage", lambda _cells: None)
    made_by(release, "0.0.7")
    with pytest.raises(ReleaseFolderError, match="its rows have no column") as caught:
        rebuild(release, tmp_path / "again", photographs)
    line, own = caught.value.line(), version("covar-gen")
    assert "'object_coverage'" in line
    assert f"covar-gen 0.0.7 (format 1) wrote it, this is covar-gen {own}: " in line
    mend = "Type: pip install covar-gen==0.0.7, or publish the run again with this one"
    assert line.endswith(mend)
    assert not (tmp_path / "again" / "images").exists()


def test_a_release_with_a_column_more_is_refused_too_its_manifest_would_lose_it(
    png: Path, tmp_path: Path
) -> None:
    release = shutil.copytree(png, tmp_path / "release")
    [path] = (release / "data" / "manifest").glob("*.parquet")
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.append_column("sharpness", [[0.5] * len(table)]), path)
    with pytest.raises(ReleaseFolderError, match="its rows have the column 'sharpness'"):
        rebuild(release, tmp_path / "again")


def made_by(release: Path, number: str) -> None:
    """Write another version of the toolkit into release.json."""
    said = json.loads((release / "release.json").read_text(encoding="utf-8"))
    said["made_with"]["covar-gen"] = number
    (release / "release.json").write_text(json.dumps(said), encoding="utf-8")


@pytest.mark.parametrize("inside", ["/proc/again", "/proc/a/b"])
def test_a_folder_that_cannot_be_made_is_one_line(png: Path, covar: Covar, inside: str) -> None:
    done = covar("rebuild", png, "--out", inside, code=2)
    said = f"StorageError: {inside}: the folder cannot be made (No such file or directory)."
    assert done.stderr.splitlines() == [f"{said} Choose another folder with --out"]


def test_a_folder_with_other_things_is_left_alone(png: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="mine"):
        rebuild(png, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_release_whose_recipe_was_changed_is_refused(png: Path, tmp_path: Path) -> None:
    shutil.copytree(png, tmp_path / "release")
    recipe = tmp_path / "release" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("seed = ", "seed = 1"))
    with pytest.raises(CovarError, match="not the one that the release was made by"):
        rebuild(tmp_path / "release", tmp_path / "again")


def test_what_is_rebuilt_is_a_run(png: Path, tmp_path: Path) -> None:
    run = rebuild(png, tmp_path / "again").run
    assert open_run(run.root).recipe.digest() == read_release(png).identity["recipe_sha256"]
    keys = run.table("geometry", ["key"])["key"].to_pylist()
    assert keys
    assert set(keys) <= set(run.manifest()["key"].to_pylist())
