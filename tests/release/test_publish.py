"""A release of a run, as `datasets` and the evaluation open it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image, JpegImagePlugin

from covar_gen.core import imaging
from covar_gen.core.errors import PhotographsError, ReleaseFolderError, RunFolderError
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import read_recipe
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import Run, open_run
from covar_gen.evaluation.data import open_data
from covar_gen.evaluation.masks import masks_of
from covar_gen.release.encoding import Encoder, Format
from covar_gen.release.index import read_release
from covar_gen.release.making import Options, publish_share

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).resolve().parents[2]
SUBSETS = ["original", "bg_varied", "hflip", "vflip", "crop", "rotation", "translate",
           "viewpoint", "scale"]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def opened(release: Path, name: str | None = None, **more: Any) -> Any:
    return datasets.load_dataset(str(release), name, split="test", **more)


def ok_rows(run: Run, subset: str | None = None) -> list[dict[str, Any]]:
    rows = run.manifest().filter(pc.field("status") == "ok")
    if subset is not None:
        rows = rows.filter(pc.field("subset") == subset)
    return rows.to_pylist()  # type: ignore[no-any-return]


def tables(release: Path, config: str) -> pa.Table:
    files = sorted((release / "data" / config).iterdir())
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


@pytest.mark.parametrize("streaming", [False, True])
def test_every_subset_opens_by_its_name_with_the_manifests_values(
    finished_run: Run, png: Path, *, streaming: bool
) -> None:
    told = [name for name in MANIFEST.names if name not in ("image", "mask")]
    for subset in SUBSETS:
        expected = ok_rows(finished_run, subset)
        found = list(opened(png, subset, streaming=streaming))
        assert [row["key"] for row in found] == [row["key"] for row in expected]
        assert [{n: r[n] for n in told} for r in found] == [
            {n: r[n] for n in told} for r in expected
        ]
        for row, master in zip(found, expected, strict=True):
            pixels = imaging.decode_png(finished_run.read(master["image"]))
            assert (np.asarray(row["image"]) == pixels).all()


def test_all_is_every_subset_and_what_is_opened_where_nothing_is_named(
    finished_run: Run, jpeg: Path
) -> None:
    names = datasets.get_dataset_config_names(str(jpeg))
    assert names == ["all", *SUBSETS, "masks", "manifest"]
    expected = sorted(row["key"] for row in ok_rows(finished_run))
    for found in (opened(jpeg), opened(jpeg, "all", streaming=True)):
        assert sorted(row["key"] for row in found.remove_columns("image")) == expected


def test_masks_are_those_of_the_run(finished_run: Run, jpeg: Path) -> None:
    expected = {row["key"]: row for row in ok_rows(finished_run) if row["mask"]}
    found = opened(jpeg, "masks")
    assert found.column_names == ["key", "subset", "mask", "mask_sha256"]
    assert found["key"][:] == sorted(expected)
    for row in found:
        master = expected[row["key"]]
        assert (row["subset"], row["mask_sha256"]) == (master["subset"], master["mask_sha256"])
        mask = imaging.decode_mask(finished_run.read(master["mask"]))
        assert (np.asarray(row["mask"].convert("L")) > 127).tolist() == mask.tolist()
    for row in tables(jpeg, "masks").to_pylist():
        assert hashlib.sha256(row["mask"]["bytes"]).hexdigest() == row["mask_sha256"]
        assert row["mask"]["path"] == f"{row['key']}.png"


def test_the_manifest_has_rejected_rows_and_where_photographs_came_from(
    finished_run: Run, jpeg: Path
) -> None:
    found = opened(jpeg, "manifest")
    expected = finished_run.manifest()
    assert found["key"][:] == expected["key"].to_pylist()
    assert found["status"][:] == expected["status"].to_pylist()
    assert "rejected" in found["status"][:]
    assert not {"image", "mask"} & set(found.column_names)
    sources = finished_run.table("sources", ["key", "origin", "photograph_sha256"]).to_pylist()
    told = {row["key"]: (row["origin"], row["photograph_sha256"]) for row in found}
    for row in sources:
        assert told.pop(row["key"]) == (row["origin"], row["photograph_sha256"])
    assert set(told.values()) == {(None, None)}


def test_rows_are_filtered_by_any_column(finished_run: Run, jpeg: Path) -> None:
    expected = [r["key"] for r in ok_rows(finished_run, "scale") if r["scale_factor"] == 4]
    assert expected
    whole = opened(jpeg, "scale")
    assert (
        whole.filter(lambda factor: factor == 4, input_columns="scale_factor")["key"][:] == expected
    )
    wanted = [("scale_factor", "==", 4.0)]
    stream = opened(jpeg, "scale", streaming=True, filters=wanted, columns=["key", "image"])
    rows = list(stream)
    assert [row["key"] for row in rows] == expected
    assert rows[0]["image"].size == (64, 48)


def test_what_the_page_on_loading_shows_works(
    finished_run: Run, jpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "how-to" / "load.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    blocks = [block for block in blocks if '"release"' in block]
    assert len(blocks) == 2
    (tmp_path / "release").symlink_to(jpeg)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    for block in blocks:
        for shown, here in (("== 8", "== 4"), ('"cat"', '"disc"'), ('"==", 7', '"==", 5')):
            block = block.replace(shown, here)  # noqa: PLW2901 - the page's values, as here
        exec(block, found)
    assert found["picture"].size == (64, 48)
    assert set(found["far"]["scale_factor"]) == {4.0}
    expected = [
        row["key"]
        for row in ok_rows(finished_run)
        if row["class_name"] == "disc" and row["background_id"] == 5
    ]
    assert sorted(row["key"] for row in found["stream"]) == sorted(expected)
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        opened(jpeg, "scale", filters=[("scale_factor", "==", 4.0)])
    unchecked = {"filters": [("scale_factor", "==", 4.0)], "verification_mode": "no_checks"}
    assert len(opened(jpeg, "scale", **unchecked)) == len(found["far"])


def test_columns_are_typed_and_labels_name_the_class(jpeg: Path) -> None:
    for name in ("scale", "all"):
        found = opened(jpeg, name)
        assert isinstance(found.features["image"], datasets.Image)
        label = found.features["label"]
        assert isinstance(label, datasets.ClassLabel)
        assert [label.int2str(row) for row in found["label"]] == found["class_name"][:]
        assert len(set(found["label"])) == 2
        assert found.features["transform"] == datasets.List(datasets.Value("float64"))
    assert isinstance(opened(jpeg, "masks").features["mask"], datasets.Image)
    assert isinstance(opened(jpeg, "manifest").features["label"], datasets.ClassLabel)


def test_the_card_counts_what_is_there(finished_run: Run, jpeg: Path) -> None:
    for name in ("all", "scale", "masks", "manifest"):
        said = datasets.load_dataset_builder(str(jpeg), name).info
        found = opened(jpeg, name)
        assert said.splits["test"].num_examples == len(found)
        config = SUBSETS if name == "all" else [name]
        files = [file for one in config for file in (jpeg / "data" / one).iterdir()]
        assert said.download_size == sum(file.stat().st_size for file in files)
        assert said.features == found.features


def test_a_file_that_lacks_rows_is_noticed(jpeg: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "data" / "crop").mkdir(parents=True)
    (copy / "README.md").write_bytes((jpeg / "README.md").read_bytes())
    [file] = (jpeg / "data" / "crop").iterdir()
    pq.write_table(pq.read_table(file, partitioning=None)[1:], copy / "data" / "crop" / file.name)
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        opened(copy, "crop")


def test_png_images_are_the_masters_own_bytes(finished_run: Run, png: Path) -> None:
    for subset in SUBSETS:
        found = tables(png, subset).to_pylist()
        for row, master in zip(found, ok_rows(finished_run, subset), strict=True):
            assert row["image"]["bytes"] == finished_run.read(master["image"])
            assert row["image"]["path"] == f"{row['key']}.png"
            assert row["export_sha256"] == row["sha256"] == master["sha256"]


def test_jpeg_images_are_near_the_masters_and_keep_the_colours_of_every_pixel(
    finished_run: Run, jpeg: Path
) -> None:
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=95)
    expected = Image.open(reference).quantization  # type: ignore[attr-defined]
    for row in tables(jpeg, "bg_varied").to_pylist():
        data = row["image"]["bytes"]
        assert hashlib.sha256(data).hexdigest() == row["export_sha256"] != row["sha256"]
        assert row["image"]["path"] == f"{row['key']}.jpg"
        image = Image.open(io.BytesIO(data))
        assert image.format == "JPEG"
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
        assert image.quantization == expected
        [master] = [r for r in ok_rows(finished_run) if r["key"] == row["key"]]
        pixels = imaging.decode_png(finished_run.read(master["image"])).astype(int)
        # Red for blue would be some 70 levels on the disc.
        assert np.abs(np.asarray(image) - pixels).mean() < 3


def test_webp_images_open(finished_run: Run, released: Callable[[Format], Path]) -> None:
    release = released("webp")
    for row, master in zip(opened(release, "crop"), ok_rows(finished_run, "crop"), strict=True):
        pixels = imaging.decode_png(finished_run.read(master["image"])).astype(int)
        assert np.abs(np.asarray(row["image"]) - pixels).mean() < 8
    held = tables(release, "crop").to_pylist()[0]["image"]
    assert Image.open(io.BytesIO(held["bytes"])).format == "WEBP"
    assert held["path"].endswith("/crop.webp")


def test_every_column_says_what_it_means(jpeg: Path) -> None:
    for folder in (jpeg / "data").iterdir():
        for file in folder.iterdir():
            schema = pq.read_schema(file)
            assert all(field.metadata[b"meaning"] for field in schema)
            features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
            assert list(features) == schema.names
    said = pq.read_schema(file).field("key").metadata
    assert said == MANIFEST.field("key").metadata


def test_release_json_lists_every_file_by_content_and_keys(jpeg: Path) -> None:
    found = read_release(jpeg)
    there = {p.relative_to(jpeg).as_posix() for p in jpeg.rglob("*") if p.is_file()}
    assert {entry.path for entry in found.files} == there - {"release.json"}
    for entry in found.files:
        data = (jpeg / entry.path).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        if entry.config is not None:
            keys = tables(jpeg, entry.config)["key"].to_pylist()
            assert keys == sorted(keys)
            assert (entry.rows, entry.first, entry.last) == (len(keys), keys[0], keys[-1])
    said = json.loads((jpeg / "release.json").read_bytes())
    assert said["encoder"]["quality"] == 95
    assert re.fullmatch(r"OpenCV \d+\.\d+.*", said["encoder"]["library"])
    assert "turbo" in said["encoder"]["codec"]
    assert said["files"] == sorted(said["files"], key=lambda entry: entry["path"])


def test_nothing_in_a_release_tells_where_or_when_it_was_made(
    finished_run: Run, jpeg: Path
) -> None:
    for path in jpeg.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert str(finished_run.root.parent).encode() not in data, path
            assert str(jpeg).encode() not in data, path
    assert read_recipe(jpeg / "recipe.toml").digest() == finished_run.recipe.digest()
    assert not [path for path in jpeg.iterdir() if path.name.startswith(".")]


def test_an_evaluation_takes_the_lossless_release_for_the_run_itself(
    finished_run: Run, png: Path
) -> None:
    run, release = (open_data(str(place)) for place in (finished_run.root, png))
    assert release.identity == run.identity
    assert release.labels == run.labels
    assert release.rows.equals(run.rows)
    for row in range(0, len(run.rows), 7):
        assert release.read(row) == run.read(row)


def test_an_evaluation_knows_the_images_of_a_release_by_its_own_checksums(jpeg: Path) -> None:
    found = open_data(str(jpeg), name="scale")
    assert len(found.rows) == len(tables(jpeg, "scale"))
    for row, expected in enumerate(found.rows["sha256"].to_pylist()):
        assert hashlib.sha256(found.read(row)).hexdigest() == expected


@pytest.mark.parametrize("name", [None, "scale"])
def test_an_evaluation_does_not_take_patches_for_images(
    finished_run: Run, tmp_path: Path, name: str | None
) -> None:
    options = Options(Encoder("patch"))
    assert publish_share(finished_run, tmp_path / "out", options, Ranks(), threads=2) is not None
    with pytest.raises(PhotographsError, match="it holds patches") as caught:
        open_data(str(tmp_path / "out"), name=name)
    assert "covar-gen rebuild" in caught.value.line()


def evaluated(covar: Covar, place: Path, *more: str) -> list[str]:
    """What `covar-gen evaluate` refuses a folder with, line by line."""
    given = ["--models", "toy:honest", "--out", place.parent / "results", *more]
    return covar("evaluate", place, *given, code=2).stderr.splitlines()


def test_a_release_that_is_not_finished_is_not_evaluated(
    finished_run: Run, covar: Covar, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    assert publish_share(finished_run, begun, Options(), Ranks(0, 3), threads=2) is None
    assert any((begun / "data").rglob("*.parquet"))
    said = f"ReleaseFolderError: {begun}: the release is not finished."
    mend = "Type the `covar-gen publish` command again: it goes on from here"
    assert evaluated(covar, begun) == [f"{said} {mend}"]
    rows = pa.chunked_array([["a"]])
    with pytest.raises(ReleaseFolderError, match="not finished"):
        masks_of(str(begun), rows, np.array([1]))


def test_a_release_that_was_copied_in_part_is_not_evaluated(jpeg: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(jpeg, tmp_path / "copy")
    [crop] = (copy / "data" / "crop").iterdir()
    [scale] = (copy / "data" / "scale").iterdir()
    whole = crop.read_bytes()
    crop.write_bytes(whole[:-1])
    scale.unlink()
    with pytest.raises(ReleaseFolderError, match="the release is incomplete") as refused:
        open_data(str(copy))
    assert f"data/crop/{crop.name}, data/scale/{scale.name}. Copy" in refused.value.line()
    with pytest.raises(ReleaseFolderError, match=r"short: data/scale/[^,]*\. Copy"):
        open_data(str(copy), name="scale")
    # What is not read need not be there.
    assert len(open_data(str(copy), name="hflip").rows) == read_release(jpeg).rows("hflip")
    crop.write_bytes(whole)
    shutil.rmtree(copy / "data" / "masks")
    (copy / "README.md").unlink()
    with pytest.raises(ReleaseFolderError, match=r"short: README\.md, data/scale"):
        open_data(str(copy))
    (copy / "release.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReleaseFolderError, match="the file is damaged"):
        open_data(str(copy))


def test_masks_of_a_part_are_those_of_the_images_that_are_there(jpeg: Path, tmp_path: Path) -> None:
    part = shutil.copytree(jpeg, tmp_path / "part")
    for folder in (part / "data").iterdir():
        if folder.name not in {"scale", "masks"}:
            shutil.rmtree(folder)
    with pytest.raises(ReleaseFolderError, match=r"a whole part: --name scale"):
        open_data(str(part))
    [scale] = (part / "data" / "scale").iterdir()
    rows = pq.read_table(scale, columns=["key", "export_sha256"], partitioning=None)
    content = np.array([int(sha[:16], 16) >> 1 for sha in rows["export_sha256"].to_pylist()])
    found = masks_of(str(part), rows["key"], content)
    assert found.count == len(rows)
    scale.write_bytes(scale.read_bytes()[:-1])
    with pytest.raises(ReleaseFolderError, match=r"short: data/scale/[^,]*\. Copy"):
        masks_of(str(part), rows["key"], content)
    shutil.rmtree(part / "data" / "masks")
    scale.write_bytes((jpeg / "data" / "scale" / scale.name).read_bytes())
    with pytest.raises(ReleaseFolderError, match=r"short: data/masks/"):
        masks_of(str(part), rows["key"], content)


def test_a_download_without_its_release_json_is_no_run(
    jpeg: Path, covar: Covar, tmp_path: Path
) -> None:
    """As `hf download --include "*.md" "*.toml" "data/scale/*"` leaves it: a recipe lies there."""
    part = tmp_path / "part"
    shutil.copytree(jpeg / "data" / "scale", part / "data" / "scale")
    for name in ("README.md", "recipe.toml"):
        (part / name).write_bytes((jpeg / name).read_bytes())
    found = open_data(str(part), name="scale")
    assert len(found.rows) == read_release(jpeg).rows("scale")
    line = covar("verify", part, code=2).stderr
    assert line.startswith(f"ReleaseFolderError: {part}: not a release folder (no release.json)")
    with pytest.raises(RunFolderError, match="a release, not a run folder"):
        open_run(part)
    # A run that lies beside the data set that it was made of stays one.
    (part / "tables").mkdir()
    assert open_run(part).root == part


def test_tables_without_what_tells_them_apart_are_one_line(jpeg: Path, tmp_path: Path) -> None:
    shutil.copytree(jpeg / "data", tmp_path / "data")
    for place in (tmp_path, tmp_path / "data"):
        with pytest.raises(ReleaseFolderError, match=r"without its release\.json and README\.md"):
            open_data(str(place))
    (tmp_path / "README.md").write_bytes((jpeg / "README.md").read_bytes())
    assert len(open_data(str(tmp_path)).rows) == len(open_data(str(jpeg)).rows)


@pytest.mark.parametrize("inside", ["/proc/x", "/proc/x/y"])
def test_an_evaluation_that_cannot_be_made_there_is_one_line(
    jpeg: Path, covar: Covar, inside: str
) -> None:
    done = covar("evaluate", jpeg, "--models", "toy:honest", "--out", inside, code=2)
    assert done.stderr.splitlines() == [
        f"EvaluationFolderError: {inside}: the folder cannot be made. Choose another --out"
    ]


def test_a_release_is_not_taken_for_a_run(jpeg: Path) -> None:
    with pytest.raises(RunFolderError, match="a release, not a run folder"):
        open_run(jpeg)
