"""`covar-gen verify` of a release finds whatever is wrong with it, and says what it left out."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from covar_gen.commands.verify_release import verify_release
from covar_gen.core import imaging
from covar_gen.core.errors import ReleaseFolderError
from covar_gen.core.store import Run
from covar_gen.release.checking import check_release, kept_problem
from covar_gen.release.encoding import Format
from covar_gen.release.index import read_release

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def release(png: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(png, tmp_path / "release")


def table_path(release: Path, config: str) -> Path:
    [entry] = read_release(release).configs[config]
    return release / entry.path


def changed(release: Path, config: str, change: Change) -> None:
    """Change a table, and release.json with it, as one would who hides something."""
    path = table_path(release, config)
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    index = json.loads((release / "release.json").read_text(encoding="utf-8"))
    data, keys = path.read_bytes(), table["key"].to_pylist()
    for entry in index["files"]:
        if entry["path"] == path.relative_to(release).as_posix():
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=len(keys),
                         first=keys[0], last=keys[-1])  # fmt: skip
    (release / "release.json").write_text(json.dumps(index), encoding="utf-8")


def with_column(name: str, change: Callable[[list[Any]], list[Any]]) -> Change:
    def apply(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        return table.set_column(place, field, pa.array(change(table[name].to_pylist()), field.type))

    return apply


def problems(release: Path) -> str:
    return "\n".join(
        f"{where}: {what}" for where, what in check_release(read_release(release)).problems
    )


def test_a_whole_release_has_no_problem_and_a_sample_is_made_again(
    png: Path, finished_run: Run
) -> None:
    found, made = verify_release(png, sample=2)
    assert found.problems == made.problems == []
    assert found.left_out == made.left_out == []
    assert found.files == len(read_release(png).files)
    ok = [row for row in finished_run.manifest().to_pylist() if row["status"] == "ok"]
    assert found.images == len(ok) + sum(row["mask"] is not None for row in ok)
    rows = finished_run.manifest().to_pylist()
    assert found.groups == len({(r["source"], r["background_id"]) for r in rows if r["parent"]})
    assert found.complete == len({(r["source"], r["background_id"]) for r in ok if r["parent"]})
    assert made.remade >= 8
    assert made.largest == 0


@pytest.mark.parametrize("form", ["jpeg", "webp", "patch"])
def test_what_cannot_be_looked_at_is_said(released: Callable[[Format], Path], form: Format) -> None:
    found, made = verify_release(released(form))
    assert found.problems == []
    assert len(found.left_out) == 1
    assert ("covar-gen rebuild" if form == "patch" else form) in found.left_out[0]
    assert made.remade == 0


def test_one_byte_that_has_changed_is_found(release: Path) -> None:
    path = table_path(release, "hflip")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "is not the file that was written" in problems(release)


def test_a_file_that_is_missing_short_or_too_many_is_found(release: Path) -> None:
    table_path(release, "vflip").unlink()
    (release / "README.md").write_bytes(b"short")
    (release / "data" / "crop" / "test-00009-of-00010.parquet").write_bytes(b"more")
    said = problems(release)
    assert "vflip/test-00000-of-00001.parquet: is missing" in said
    assert "README.md: has 5 bytes" in said
    assert "crop/test-00009-of-00010.parquet: is not of the release" in said


def test_of_a_download_in_part_what_is_there_is_checked_and_what_is_not_is_named(
    covar: Covar, release: Path
) -> None:
    """As `hf download --include "data/scale/*"` leaves it."""
    [scale] = read_release(release).configs["scale"]
    for entry in read_release(release).files:
        if entry.path != scale.path:
            (release / entry.path).unlink()
    found = check_release(read_release(release))
    missing = {entry.path for entry in read_release(release).files} - {scale.path}
    assert found.problems == [(path, "is missing") for path in sorted(missing)]
    assert found.images == scale.rows
    assert any(said.startswith("columns: recipe.toml") for said in found.left_out)
    done = covar("verify", release, code=2)
    assert "recipe.toml: is missing" in done.stderr
    assert "RecipeError" not in done.stderr


def test_an_image_that_was_exchanged_is_found(release: Path) -> None:
    other = {"bytes": imaging.encode_png(np.zeros((4, 4, 3), np.uint8)), "path": "x.png"}
    changed(release, "crop", with_column("image", lambda cells: [other, *cells[1:]]))
    assert "its image is not the one that was written" in problems(release)


def test_an_image_exchanged_with_its_checksum_is_found_by_its_pixels(release: Path) -> None:
    data = imaging.encode_png(np.zeros((4, 4, 3), np.uint8))
    digest = hashlib.sha256(data).hexdigest()
    cell = {"bytes": data, "path": "x.png"}
    changed(release, "crop", with_column("image", lambda cells: [cell, *cells[1:]]))
    changed(release, "crop", with_column("export_sha256", lambda old: [digest, *old[1:]]))
    assert "decodes to other pixels" in problems(release)


def test_a_mask_that_was_exchanged_is_found(release: Path) -> None:
    other = {"bytes": imaging.encode_mask(np.ones((4, 4), np.bool_)), "path": "x.png"}
    changed(release, "masks", with_column("mask", lambda cells: [other, *cells[1:]]))
    assert "its mask is not the one written" in problems(release)


def test_rows_that_are_missing_twice_or_out_of_order_are_found(release: Path) -> None:
    changed(release, "crop", lambda table: table.slice(1))
    changed(release, "hflip", lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    said = problems(release)
    assert "data/crop: its rows are not those of the manifest" in said
    assert "keys out of order, or twice" in said


def test_a_variant_that_the_manifest_lacks_leaves_a_group_incomplete(release: Path) -> None:
    def without_one(table: pa.Table) -> pa.Table:
        key = table.filter(pc.equal(table["subset"], "rotation"))["key"][0]
        return table.filter(pc.not_equal(table["key"], key))

    changed(release, "manifest", without_one)
    said = problems(release)
    assert "before background" in said
    assert "its counts are not those of the manifest" in said


def test_rejected_rows_leave_groups_that_are_counted_as_incomplete(release: Path) -> None:
    def refused(table: pa.Table) -> pa.Table:
        subset = table["subset"].to_pylist()
        status = table["status"].to_pylist()
        place = list(zip(subset, status, strict=True)).index(("rotation", "ok"))
        status[place] = "rejected"
        return with_column("status", lambda _old: status)(table)

    before = check_release(read_release(release)).complete
    changed(release, "manifest", refused)
    found = check_release(read_release(release))
    assert found.complete == before - 1
    assert not any("before background" in where for where, _ in found.problems)


def test_a_parent_that_is_another_image_is_found(release: Path) -> None:
    def other(old: list[Any]) -> list[Any]:
        place = next(n for n, value in enumerate(old) if value is not None)
        return [*old[:place], "0" * 64, *old[place + 1 :]]

    changed(release, "manifest", with_column("parent_sha256", other))
    assert "its parent is not the image that it was made from" in problems(release)


def test_columns_without_their_meaning_or_of_another_type_are_found(release: Path) -> None:
    def plain(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("angle_deg")
        return table.set_column(place, pa.field("angle_deg", pa.float64()), table["angle_deg"])

    changed(release, "crop", plain)
    changed(release, "hflip", lambda table: table.drop_columns(["seed"]))
    changed(release, "vflip", lambda table: table.replace_schema_metadata(None))
    said = problems(release)
    assert "another type or meaning: angle_deg" in said
    assert "lacks columns ['seed']" in said
    assert "says other types to datasets" in said


def rewritten(release: Path, **changes: Any) -> None:
    """Change what release.json says of itself; `covar_gen` is the version that wrote it."""
    path = release / "release.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    if "covar_gen" in changes:
        said["made_with"]["covar-gen"] = changes.pop("covar_gen")
    path.write_text(json.dumps({**said, **changes}), encoding="utf-8")


OWN = version("covar-gen")


def test_tables_of_another_version_are_read_and_their_columns_said_in_one_line(
    release: Path,
) -> None:
    for config in ("crop", "hflip", "manifest"):
        changed(release, config, lambda table: table.drop_columns(["seed"]))
    changed(release, "vflip", lambda table: table.append_column("sharpness", [[0.5] * len(table)]))
    said = json.loads((release / "release.json").read_text(encoding="utf-8"))
    files = [{**entry, "crc32": 0} for entry in said["files"]]
    rewritten(release, covar_gen="0.0.7", files=files, mood="good")
    found, made = verify_release(release)
    assert found.problems == made.problems == []
    assert made.remade == 0
    columns, again = found.left_out
    start = f"columns: covar-gen 0.0.7 (format 1) wrote it, this is covar-gen {OWN}, whose tables"
    assert columns.startswith(start)
    assert "lacks columns ['seed'] (data/crop/" in columns
    assert "adds columns ['sharpness'] (data/vflip/" in columns
    assert columns.endswith("To look at them too: pip install covar-gen==0.0.7")
    assert "images made again" in again
    assert found.images > 0
    assert found.groups > 0


def test_an_image_exchanged_in_a_release_of_another_version_is_found(release: Path) -> None:
    other = {"bytes": imaging.encode_png(np.zeros((4, 4, 3), np.uint8)), "path": "x.png"}
    changed(release, "crop", with_column("image", lambda cells: [other, *cells[1:]]))
    changed(release, "crop", lambda table: table.drop_columns(["seed"]))
    rewritten(release, covar_gen="0.0.7")
    assert "its image is not the one that was written" in problems(release)


def test_tables_that_this_version_does_not_write_are_one_problem(release: Path) -> None:
    for config in ("crop", "hflip", "manifest"):
        changed(release, config, lambda table: table.drop_columns(["seed"]))
    [(where, said)] = check_release(read_release(release)).problems
    assert where == "release.json"
    wrote = f"covar-gen {OWN} (format 1) wrote it, which writes other tables: "
    assert said.startswith(f"says that {wrote}lacks columns ['seed'] (data/crop/")
    assert said.endswith("Publish the run again with this version")


@pytest.mark.parametrize(
    ("config", "column"), [("crop", "subset"), ("manifest", "status"), ("masks", "mask_sha256")]
)
def test_a_column_that_checks_rely_on_is_a_problem_of_its_table(
    release: Path, config: str, column: str
) -> None:
    changed(release, config, lambda table: table.drop_columns([column]))
    rewritten(release, covar_gen="0.0.7")
    found = check_release(read_release(release))
    [(where, said)] = found.problems
    assert where == f"data/{config}/test-00000-of-00001.parquet"
    assert said == (
        f"lacks columns ['{column}']: covar-gen 0.0.7 (format 1) wrote it. "
        "Type: pip install covar-gen==0.0.7, or publish the run again with this one"
    )
    assert "counts and groups: not every table can be read" in found.left_out


@pytest.mark.parametrize(
    ("wrote", "mend"),
    [
        ({"covar-gen": "7.1.0"}, "Type: pip install --upgrade covar-gen==7.1.0"),
        ({}, "Type: pip install --upgrade covar-gen"),
        (None, "Type: pip install --upgrade covar-gen"),
    ],
)
def test_another_format_is_one_line_whatever_else_it_has(
    covar: Covar, tmp_path: Path, wrote: Any, mend: str
) -> None:
    (tmp_path / "release.json").write_text(json.dumps({"format": 2, "made_with": wrote}))
    done = covar("verify", tmp_path, code=2)
    number = (wrote or {}).get("covar-gen", "of an unknown version")
    said = f"covar-gen {number} wrote it in format 2, covar-gen {OWN} reads format 1"
    where = tmp_path / "release.json"
    assert done.stderr.splitlines() == [f"ReleaseFolderError: {where}: {said}. {mend}"]


def test_known_pixels_that_were_changed_are_found(finished_run: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(finished_run.root, tmp_path / "run"), finished_run.recipe)
    rows = run.manifest().to_pylist()
    promised = [r for r in rows if r["known_pixel_max_diff"] is not None and r["status"] == "ok"]
    assert {row["subset"] for row in promised} >= {"bg_varied", "rotation", "scale", "hflip"}
    for subset in ("rotation", "scale", "hflip", "bg_varied"):
        row = next(row for row in promised if row["subset"] == subset)
        assert kept_problem(run, row) is None
        image = imaging.decode_png(run.read(row["image"])) ^ 2
        (run.root / row["image"]).unlink()
        (run.root / row["image"]).write_bytes(imaging.encode_png(image))
        said = kept_problem(run, row)
        assert said is not None
        assert "differ by up to 2 grey levels, 0 are promised" in said
        assert kept_problem(run, row, tolerance=2) is None


def test_a_release_that_is_not_finished_is_one_line(covar: Covar, tmp_path: Path) -> None:
    (tmp_path / ".publishing").mkdir()
    with pytest.raises(ReleaseFolderError, match="not finished"):
        verify_release(tmp_path)
    assert "the release is not finished" in covar("verify", tmp_path, code=2).stderr


def test_a_release_json_that_lacks_what_readers_need_is_one_line(release: Path) -> None:
    path = release / "release.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    for name in ("kind", "encoder", "files", "counts"):
        path.write_text(json.dumps({**whole, name: None}), encoding="utf-8")
        if name != "kind":
            with pytest.raises(ReleaseFolderError, match="damaged"):
                verify_release(release)
        path.write_text(json.dumps({k: v for k, v in whole.items() if k != name}), encoding="utf-8")
        with pytest.raises(ReleaseFolderError, match="damaged"):
            verify_release(release)


def test_the_command_says_problems_and_ends_with_2(covar: Covar, release: Path) -> None:
    assert "0 problems" in covar("verify", release, "--sample", 0).stdout
    table_path(release, "hflip").unlink()
    done = covar("verify", release, code=2)
    assert "hflip/test-00000-of-00001.parquet: is missing" in done.stderr
    assert "Traceback" not in done.stderr
