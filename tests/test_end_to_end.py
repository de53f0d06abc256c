"""A whole run through the command line, and what its user does with it next."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from covar_gen.core import imaging
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import Run, open_run

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
Steps = Callable[..., Run]
SUBSETS = {"bg_varied": 12, "crop": 12, "hflip": 12, "original": 6, "rotation": 12, "scale": 24,
           "translate": 12, "vflip": 12, "viewpoint": 24}  # fmt: skip


def test_a_stranger_builds_a_benchmark_and_looks_at_it(
    covar: Covar, recipe: Path, tmp_path: Path
) -> None:
    done = covar("run", recipe, "--run", "run", "--processes", 2)
    assert f"run: {sum(SUBSETS.values())} images" in done.stdout
    assert "next: covar-gen gallery run" in done.stdout
    assert "geometry           done" in covar("status", "run").stdout
    said = covar("verify", "run", "--sample", 3).stdout
    assert "0 problems" in said
    assert "15 rows made again (largest difference 0 grey levels)" in said
    page = covar("gallery", "run").stdout
    assert "run/gallery/index.html" in page
    assert (tmp_path / "run" / "gallery" / "index.html").is_file()
    again = covar("run", recipe, "--run", "run")
    assert again.stdout == done.stdout


def test_the_manifest_has_one_row_per_image_and_every_column(steps: Steps) -> None:
    rows = steps("run").manifest()
    assert rows.schema.names == MANIFEST.names
    assert rows.schema.field("angle_deg").metadata[b"meaning"].startswith(b"rotation, degrees")
    counts = {r["values"]: r["counts"] for r in pc.value_counts(rows["subset"]).to_pylist()}
    assert counts == SUBSETS
    assert rows["key"].to_pylist() == sorted(rows["key"].to_pylist())
    by_key = {row["key"]: row for row in rows.to_pylist()}
    rotated = by_key["n02391049/p1/16/rotation"]
    assert rotated["parent"] == "n02391049/p1/16"
    assert rotated["source"] == "n02391049/p1/original"
    assert (rotated["class_name"], rotated["wnid"], rotated["imagenet_index"]) == (
        "zebra", "n02391049", 340)  # fmt: skip
    assert (rotated["background_id"], rotated["background"]) == (16, "beach")
    assert rotated["parent_sha256"] == by_key[rotated["parent"]]["sha256"]
    assert -45 <= rotated["angle_deg"] <= 45
    assert rotated["crop_area"] is None
    assert by_key["disc/p0/05"]["prompt"].startswith("hot desert with sand dunes. Edit only")
    assert by_key["disc/p0/05/hflip"]["tool"] == "hflip"
    assert by_key["disc/p0/05/translate"]["tool"] == "telea"


def test_the_run_is_a_dataset_from_any_working_directory(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = Run(Path("run"), steps("run").recipe).dataset()
    monkeypatch.chdir("/")
    assert len(found) == sum(SUBSETS.values())
    row = found[50]
    path = open_run(tmp_path / "run").manifest(["key", "image"]).to_pylist()[50]["image"]
    stored = imaging.decode_png((tmp_path / "run" / path).read_bytes())
    assert np.array_equal(np.asarray(row["image"]), stored)
    assert row["mask"].size == row["image"].size


def test_the_run_opens_with_load_dataset_as_an_imagefolder(
    covar: Covar, steps: Steps, tmp_path: Path
) -> None:
    import datasets

    run = steps("run")
    covar("gallery", "run")
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(run.root), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert sorted(found["key"]) == run.manifest(["key"])["key"].to_pylist()
    assert found[0]["image"].size == found[0]["mask"].size


def test_stages_run_one_by_one_as_init_lists_them(
    covar: Covar, recipe: Path, steps: Steps, content: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:  # fmt: skip
    listed = covar("init", recipe, "--run", "single").stdout.splitlines()[1:]
    import sys

    for line in listed:
        arguments = line.split()
        assert arguments[:2] == ["python", "-m"]
        subprocess.run([sys.executable, *arguments[1:]], cwd=tmp_path, check=True)
    assert content(tmp_path / "single") == content(steps("whole").root)


def test_a_limited_run_covers_all_classes_and_grows_into_the_whole_one(
    covar: Covar, recipe: Path, steps: Steps, content: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:  # fmt: skip
    covar("run", recipe, "--run", "grown", "--limit", 2)
    limited = open_run(tmp_path / "grown").manifest(["source"])
    assert len(limited) == sum(SUBSETS.values()) / 3
    assert len({key.split("/")[0] for key in limited["source"].to_pylist()}) == 2
    assert content(steps("grown").root) == content(steps("whole").root)


def test_one_stage_alone_can_be_asked_for(covar: Covar, recipe: Path, tmp_path: Path) -> None:
    covar("run", recipe, "--run", "run", "--stage", "classes")
    assert (tmp_path / "run" / "tables" / "sources").is_dir()
    assert not (tmp_path / "run" / "tables" / "masks_sources").is_dir()
    said = covar("run", recipe, "--run", "run", "--stage", "nothing", code=2).stderr
    assert "no stage 'nothing'" in said


def test_the_users_own_background_photographs_win_over_painted_scenes(
    covar: Covar, recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    plain = np.full((60, 80, 3), (10, 200, 30), np.uint8)
    (tmp_path / "mine" / "16.png").write_bytes(imaging.encode_png(plain))
    mine = "backgrounds.options.collage.photographs=mine"
    covar("run", recipe, "--run", "run", "--set", mine, "--stage", "classes")
    frozen = open_run(tmp_path / "run").recipe
    assert str(tmp_path) not in str(frozen.hashed())
    for stage in ("masks_sources", "backgrounds"):
        covar("run", recipe, "--run", "run", "--set", mine, "--stage", stage)
    rows = open_run(tmp_path / "run").table("backgrounds").to_pylist()
    for row in rows:
        image = imaging.decode_png((tmp_path / "run" / row["image"]).read_bytes())
        assert ("photograph" in row["params"]) == (row["background_id"] == 16)
        assert [10, 200, 30] in image[0].tolist() or row["background_id"] != 16
    said = covar("init", recipe, "--run", "x", "--set", f"{mine}2", code=2).stderr
    assert "mine2" in said


def test_verify_finds_what_was_changed(steps: Steps, covar: Covar) -> None:
    run = steps("run")
    image, mask = (run.root / run.manifest()[c][20].as_py() for c in ("image", "mask"))
    image.write_bytes(imaging.encode_png(255 - imaging.decode_png(image.read_bytes())))
    mask.unlink()
    said = covar("verify", "run", "--sample", 0, code=2).stderr
    assert "is not the file that was written" in said
    assert "cannot be read" in said


def test_a_run_moved_elsewhere_goes_on(
    covar: Covar, recipe: Path, photographs: Path, tmp_path: Path
) -> None:
    covar("run", recipe, "--run", "run", "--stage", "classes")
    (tmp_path / "run").rename(tmp_path / "moved")
    photographs.rename(tmp_path / "elsewhere")
    covar("run", tmp_path / "moved" / "recipe.toml", "--run", "moved")
    assert len(open_run(tmp_path / "moved").manifest(["key"])) == sum(SUBSETS.values())


def test_masks_of_any_labelled_data_set(covar: Covar, photographs: Path, tmp_path: Path) -> None:
    said = covar("masks", photographs, "--out", "outlined").stdout
    assert "masks: outlined/masks/sources" in said
    rows = open_run(tmp_path / "outlined").manifest()
    assert set(rows["subset"].to_pylist()) == {"original"}
    mask = imaging.decode_mask((tmp_path / "outlined" / rows["mask"][0].as_py()).read_bytes())
    assert mask.shape == (48, 64)
    assert 0.1 < mask.mean() < 0.6
