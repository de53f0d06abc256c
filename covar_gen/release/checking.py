"""Checks a release by itself: files, columns, counts, images, groups, and promises about pixels.

Nothing here needs the run. What a check could not look at is said, never passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from covar_gen.core.digests import file_sha256
from covar_gen.core.imaging import decode_mask, decode_png, pixels_sha256
from covar_gen.core.recipe import read_recipe
from covar_gen.core.rows import OK
from covar_gen.core.store import RECIPE, Run
from covar_gen.release.columns import other_columns, relied_on
from covar_gen.release.complete import named
from covar_gen.release.contents import parent_path
from covar_gen.release.index import RECIPE_ONLY, Entry, Release, here
from covar_gen.release.patches import decode_patch, predicted
from covar_gen.release.schema import MASKS, ROWS, label_names

TOGETHER = 32
"""Rows read at once."""


@dataclass
class Checked:
    """What was checked and what was found.

    Attributes:
        files: files compared with their size and checksum.
        images: images and masks decoded and compared with theirs.
        complete: groups (a photograph before a background) in which nothing was rejected.
        groups: of all.
        problems: (file or key, what is wrong), sorted.
        left_out: what could not be looked at, and why.
        other_columns: its tables have not the columns that this version of the toolkit writes.
    """

    files: int = 0
    images: int = 0
    complete: int = 0
    groups: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    other_columns: bool = False


def check_release(release: Release, *, threads: int = 2) -> Checked:
    """Check a release.

    Args:
        release: complete.
        threads: for hashing and decoding.

    Raises:
        RecipeError: its recipe cannot be read.
    """
    found = Checked()
    with ThreadPoolExecutor(threads) as pool:
        whole = _check_files(release, found, pool)
        # A download in part may lack it: said with the other files that are missing.
        recipe = read_recipe(release.root / RECIPE) if (release.root / RECIPE).is_file() else None
        tables = [entry for entry in whole if entry.config]
        readable = [entry for entry in tables if _check_table(release, entry, found)]
        if recipe is None:
            found.left_out.append(f"columns: {RECIPE}, which has the names of classes, is missing")
        else:
            _compare_columns(release, readable, label_names(recipe), found)
        for entry in readable:
            if entry.config != ROWS:
                _check_contents(release, entry, found, pool)
    if len(readable) == sum(len(entries) for entries in release.configs.values()):
        _check_rows(release, found)
    else:
        found.left_out.append("counts and groups: not every table can be read")
    _say_what_is_left_out(release, found)
    found.problems.sort()
    return found


def _check_files(release: Release, found: Checked, pool: ThreadPoolExecutor) -> list[Entry]:
    """Files that are what release.json says; what lies beside them in data/ is a problem too."""

    def trouble(entry: Entry) -> str | None:
        path = release.root / entry.path
        if not path.is_file():
            return "is missing"
        if path.stat().st_size != entry.bytes:
            return f"has {path.stat().st_size} bytes, {entry.bytes} were written"
        return None if file_sha256(path) == entry.sha256 else "is not the file that was written"

    whole = []
    for entry, said in zip(release.files, pool.map(trouble, release.files), strict=True):
        found.files += 1
        if said is None:
            whole.append(entry)
        else:
            found.problems.append((entry.path, said))
    listed = {entry.path for entry in release.files}
    there = (path for path in (release.root / "data").rglob("*") if path.is_file())
    for path in there:
        name = path.relative_to(release.root).as_posix()
        if name not in listed:
            found.problems.append((name, "is not of the release"))
    return whole


def _check_table(release: Release, entry: Entry, found: Checked) -> bool:
    """Columns that every check relies on, rows, and the keys of the first and last."""
    path = release.root / entry.path
    assert entry.config is not None
    try:
        table = pq.ParquetFile(path)
        names, rows = table.schema_arrow.names, table.metadata.num_rows
        if lacking := sorted(relied_on(entry.config) - set(names)):
            said = f"lacks columns {lacking}: {release.maker} wrote it. {_mend(release)}"
            found.problems.append((entry.path, said))
            return False
        keys = pq.read_table(path, columns=["key"])["key"].to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        found.problems.append((entry.path, f"cannot be read: {_first_line(error)}"))
        return False
    if rows != entry.rows:
        found.problems.append((entry.path, f"has {rows} rows, {entry.rows} were written"))
    if keys and (keys[0], keys[-1]) != (entry.first, entry.last):
        found.problems.append((entry.path, "has other first and last keys than were written"))
    if any(first >= second for first, second in pairwise(keys)):
        found.problems.append((entry.path, "has keys out of order, or twice"))
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_contents(
    release: Release, entry: Entry, found: Checked, pool: ThreadPoolExecutor
) -> None:
    """Every image, patch and mask of a table."""
    column = "mask" if entry.config == MASKS else "image"
    check = _Contents(release, column)
    for rows in _rows_of(release.root / entry.path):
        for row, said in zip(rows, pool.map(check.trouble, rows), strict=True):
            found.images += row[column] is not None
            if said is not None:
                found.problems.append((row["key"], said))
            if entry.config not in (MASKS, row["subset"]):
                found.problems.append((row["key"], f"is of subset {row['subset']}"))


def _compare_columns(
    release: Release, tables: list[Entry], names: list[str], found: Checked
) -> None:
    """Compare columns with those of today, in one line for all tables.

    Of another version of the toolkit they may differ; a release of this one whose checksums fit
    was not written by it.

    Args:
        release: the release.
        tables: of it, that can be read.
        names: of the classes.
        found: what was found so far.
    """
    differences: dict[str, list[str]] = {}
    for entry in tables:
        assert entry.config is not None
        schema = pq.read_schema(release.root / entry.path)
        if said := other_columns(schema, entry.config, names):
            differences.setdefault(said, []).append(entry.path)
    if not differences:
        return
    found.other_columns = True
    told = "; ".join(f"{said} ({named(paths)})" for said, paths in differences.items())
    if release.of_today:
        said = f"says that {release.maker} wrote it, which writes other tables: {told}"
        found.problems.append(("release.json", f"{said}. {_mend(release)}"))
    else:
        said = f"columns: {release.maker} wrote it, this is {here()}, whose tables differ: {told}"
        found.left_out.append(f"{said}. To look at them too: pip install {release.package}")


def _mend(release: Release) -> str:
    if release.of_today:
        return "Publish the run again with this version"
    return f"Type: pip install {release.package}, or publish the run again with this one"


def _rows_of(path: Path) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(TOGETHER):
            yield batch.to_pylist()


@dataclass(frozen=True)
class _Contents:
    """What is wrong with the files inside rows."""

    release: Release
    column: str

    def trouble(self, row: dict[str, Any]) -> str | None:
        """What is wrong with a row's file; None if nothing is."""
        patches = self.release.identity["kind"] == RECIPE_ONLY
        if row[self.column] is None:
            expected = patches and self.column == "image" and row["parent"] is None
            return None if expected else f"has no {self.column}"
        data = row[self.column]["bytes"]
        digest = hashlib.sha256(data).hexdigest()
        if self.column == "mask":
            return None if digest == row["mask_sha256"] else "its mask is not the one written"
        if digest != row["export_sha256"]:
            return "its image is not the one that was written"
        try:
            if patches:
                shape = decode_patch(data).shape
            elif self._lossless:
                image = decode_png(data)
                if pixels_sha256(image) != row["pixels_sha256"]:
                    return "its image decodes to other pixels"
                shape = image.shape
            else:
                shape = _decoded(data).shape
        except ValueError:
            return "its image cannot be decoded"
        if shape[:2] != (row["height"], row["width"]):
            return f"its image is {shape[1]} x {shape[0]}, not {row['width']} x {row['height']}"
        return None

    @property
    def _lossless(self) -> bool:
        encoder = self.release.identity["encoder"]
        return isinstance(encoder, dict) and encoder["format"] == "png"


def _decoded(data: bytes) -> np.ndarray[Any, Any]:
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_BGR)
    if image is None:
        msg = "not a whole image"
        raise ValueError(msg)
    return np.asarray(image)


def _check_rows(release: Release, found: Checked) -> None:
    """Rows of the manifest against its counts, the other tables, their parents, and each other."""
    columns = ["key", "parent", "source", "subset", "background_id", "status", "reason", "sha256",
               "mask_sha256", "parent_sha256"]  # fmt: skip
    paths = [release.root / entry.path for entry in release.configs[ROWS]]
    rows = pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
    _check_counts(release, rows, found)
    made = rows.filter(pc.equal(rows["status"], OK))
    for config in (*release.subsets, MASKS):
        wanted = made.filter(
            pc.is_valid(made["mask_sha256"])
            if config == MASKS
            else pc.equal(made["subset"], config)
        )
        there = [
            pq.read_table(release.root / entry.path, columns=["key"])["key"]
            for entry in release.configs.get(config, [])
        ]
        keys = pa.chunked_array([c for one in there for c in one.chunks], pa.string())
        if sorted(keys.to_pylist()) != sorted(wanted["key"].to_pylist()):
            found.problems.append((f"data/{config}", "its rows are not those of the manifest"))
    _check_parents(rows, made, found)
    _check_groups(rows, found)


def _check_counts(release: Release, rows: pa.Table, found: Checked) -> None:
    reasons = pc.if_else(pc.equal(rows["status"], OK), OK, rows["reason"])
    table = pa.table({"subset": rows["subset"], "reason": reasons})
    counted: dict[str, dict[str, int]] = {}
    for row in table.group_by(["subset", "reason"]).aggregate([([], "count_all")]).to_pylist():
        counted.setdefault(row["subset"], {})[row["reason"]] = row["count_all"]
    if counted != release.counts:
        found.problems.append(("release.json", "its counts are not those of the manifest"))


def _check_parents(rows: pa.Table, made: pa.Table, found: Checked) -> None:
    children = made.filter(pc.is_valid(made["parent"]))
    at = pc.index_in(children["parent"], value_set=rows["key"].combine_chunks())
    now = rows["sha256"].take(at)
    fits = pc.fill_null(pc.equal(now, children["parent_sha256"]), fill_value=False)
    for key in children.filter(pc.invert(fits))["key"].to_pylist():
        found.problems.append((key, "its parent is not the image that it was made from"))


def _check_groups(rows: pa.Table, found: Checked) -> None:
    """Whether every photograph before every background has as many rows, and all of them made."""
    children = rows.filter(pc.is_valid(rows["parent"]))
    ground = children.select(["source", "background_id"])
    ground = ground.append_column("ok", pc.equal(children["status"], OK).cast(pa.int64()))
    grouped = ground.group_by(["source", "background_id"]).aggregate(
        [("ok", "count"), ("ok", "sum")]
    )
    if not len(grouped):
        return
    counts, made = grouped["ok_count"].to_numpy(), grouped["ok_sum"].to_numpy()
    found.groups, found.complete = len(grouped), int((made == counts.max()).sum())
    short = grouped.filter(pa.array(counts < counts.max()))
    for row in short.to_pylist():
        place = f"{row['source']} before background {row['background_id']}"
        found.problems.append((place, f"has {row['ok_count']} of {counts.max()} rows"))


def _say_what_is_left_out(release: Release, found: Checked) -> None:
    encoder = release.identity["encoder"]
    form = encoder["format"] if isinstance(encoder, dict) else None
    if form == "patch":
        found.left_out.append(
            "pixels: the images are not in the release; covar-gen rebuild compares every one"
        )
    elif form != "png":
        found.left_out.append(
            f"known pixels, and images made again: {form} has changed pixels; a release of"
            " --format png can be checked"
        )


def kept_problem(run: Run, row: dict[str, Any], tolerance: int = 0) -> str | None:
    """Whether an image keeps the pixels of its parent that its row promises.

    Args:
        run: with the image, its mask and its parent.
        row: of its manifest.
        tolerance: grey levels by which another OpenCV may differ.

    Returns:
        What is wrong; None if nothing is, or nothing is promised.
    """
    promised, transform = row["known_pixel_max_diff"], row["transform"]
    if promised is None or transform is None or row["parent"] is None:
        return None
    image = decode_png(run.read(row["image"]))
    parent = decode_png(run.read(parent_path(run, row)))
    said, known = predicted(parent, transform, image.shape[:2])
    if row["subset"] == "bg_varied" or '"keep": "object"' in (row["params"] or ""):
        known = known & decode_mask(run.read(row["mask"]))
    difference = np.abs(image[known].astype(np.int16) - said[known])
    most = int(difference.max(initial=0))
    if most > promised + tolerance:
        return f"known pixels differ by up to {most} grey levels, {promised} are promised"
    return None
