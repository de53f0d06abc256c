"""Join all tables into the manifest and check it.

Reads:  every table of the run
Writes: manifest.parquet, one row per image: the contract with everything downstream;
        metadata.parquet, the same for load_dataset("imagefolder")
Launch: accelerate launch covar_gen/stage_manifest.py --run RUN

A summary: one process does it, whichever way it is launched; it never makes a Python object per
row.
"""

from __future__ import annotations

import sys
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.errors import DamagedRunError, IncompleteInputError
from covar_gen.core.files import Staging
from covar_gen.core.flow import IMAGES, steps
from covar_gen.core.journal import compact, parquet_bytes
from covar_gen.core.launch import main_of
from covar_gen.core.plan import check_masks, command_for, lacks, source_of, within
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import MANIFEST, OK, REJECTED, TABLES, mask_table
from covar_gen.core.store import MANIFEST as MANIFEST_FILE
from covar_gen.core.store import METADATA, Run


def make_manifest(run: Run, staging: Staging, limit: int | None = None) -> pa.Table:
    """Write manifest.parquet and metadata.parquet.

    Args:
        run: the run.
        staging: this process's temporaries.
        limit: photographs to put in, evenly over the classes; None for all.

    Returns:
        The manifest.

    Raises:
        IncompleteInputError: a table of the recipe is not finished.
        DamagedRunError: the tables do not fit together.
    """
    tables = {step.table for step in steps(run.recipe)[:-1]}
    for step in steps(run.recipe)[:-1]:
        missing = lacks(run, step.table, limit)
        if missing:
            what = f"table {step.table} lacks {missing} rows"
            mend = f"Type: {command_for(run)}"
            raise IncompleteInputError(what, where=run.folder(step.table), mend=mend)
    for table in tables:
        compact(run.folder(table), table, staging)
    parts = [_images(run, table, tables, limit) for table in IMAGES if table in tables]
    rows = _with_lists(run, pa.concat_tables(parts, promote_options="default"))
    rows = _with_all_columns(rows.take(pc.sort_indices(rows["key"])))
    rows = rows.cast(MANIFEST).combine_chunks()
    _check(run, rows)
    if Ranks.from_environment().first and not _is_fuller(run, rows):
        staging.replace(run.root / MANIFEST_FILE, parquet_bytes(rows))
        staging.replace(run.root / METADATA, parquet_bytes(metadata(rows)))
    return rows


def _is_fuller(run: Run, rows: pa.Table) -> bool:
    """True if the manifest that is there has more rows: a limit never takes anything away."""
    try:
        return len(run.manifest(["key"])) > len(rows)
    except (IncompleteInputError, DamagedRunError):
        return False


def metadata(rows: pa.Table) -> pa.Table:
    """The manifest's images as `imagefolder` wants them: file_name, and mask_file_name."""
    rows = rows.filter(pc.equal(rows["status"], OK))
    names = [{"image": "file_name", "mask": "mask_file_name"}.get(n, n) for n in rows.column_names]
    return rows.rename_columns(names)


def count(rows: pa.Table) -> dict[str, Counter[str]]:
    """Rows of a manifest by subset, and in it by reason; "ok" counts those that were made."""
    reasons = pc.if_else(pc.equal(rows["status"], OK), OK, rows["reason"])
    table = pa.table({"subset": rows["subset"], "reason": reasons})
    found: dict[str, Counter[str]] = {}
    for row in table.group_by(["subset", "reason"]).aggregate([([], "count_all")]).to_pylist():
        found.setdefault(row["subset"], Counter())[row["reason"]] = row["count_all"]
    return dict(sorted(found.items()))


def _images(run: Run, table: str, tables: set[str], limit: int | None) -> pa.Table:
    """A table's images with the masks that belong to them."""
    columns = [name for name in MANIFEST.names if name in TABLES[table].names]
    rows = within(run, run.table(table, columns), limit)
    masks = mask_table(table)
    if masks not in tables:
        return rows
    names = ["key", "mask", "mask_sha256", "object_coverage", "status", "reason"]
    found = within(run, run.table(masks, names), limit)
    check_masks(run, rows, found)
    # A photograph without an outline cannot be part of a controlled benchmark; the reason that
    # a row has already is the one that came first.
    refused = pc.equal(found["status"], REJECTED)
    reason = pc.if_else(refused, pc.coalesce(rows["reason"], found["reason"]), rows["reason"])
    status = pc.if_else(refused, REJECTED, rows["status"])
    for name, column in (
        ("mask", found["mask"]),
        ("mask_sha256", found["mask_sha256"]),
        ("object_coverage", found["object_coverage"]),
        ("status", status),
        ("reason", reason),
    ):
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _with_all_columns(rows: pa.Table) -> pa.Table:
    """The manifest's columns in their order; null where no table of the recipe has them."""
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in MANIFEST
    ]
    return pa.table(columns, names=MANIFEST.names)


def _with_lists(run: Run, rows: pa.Table) -> pa.Table:
    """Class and background columns, from the lists of the recipe."""
    folders = pc.replace_substring_regex(source_of(rows["key"]), r"^([^/]+)/.*$", r"\1")
    classes = {c.folder: c for c in run.recipe.class_list}
    at = pc.index_in(folders, value_set=pa.array(list(classes), pa.string()))
    for name in ("class_id", "class_name", "wnid", "imagenet_index"):
        values = pa.array([getattr(c, name) for c in classes.values()], MANIFEST.field(name).type)
        rows = rows.append_column(name, values.take(at.combine_chunks()))
    texts = {b.background_id: b.description for b in run.recipe.background_list}
    at = pc.index_in(rows["background_id"], value_set=pa.array(list(texts), pa.int64()))
    described = pa.array(list(texts.values()), pa.string()).take(at.combine_chunks())
    return rows.append_column("background", described)


def _check(run: Run, rows: pa.Table) -> None:
    """Every key once, every image with its checksum, every parent the one that is there now."""
    mend = f"Type: covar-gen verify {run.root}"
    if pc.count_distinct(rows["key"]).as_py() != len(rows):
        raise DamagedRunError("a key occurs twice", where=run.root, mend=mend)
    made = rows.filter(pc.equal(rows["status"], OK))
    if made["sha256"].null_count or made["image"].null_count:
        raise DamagedRunError("an image has no checksum", where=run.root, mend=mend)
    stale = stale_rows(rows)
    if len(stale):
        key = stale["key"][0].as_py()
        what = f"{len(stale)} images were made from parents that have changed, {key} the first"
        raise DamagedRunError(what, where=run.root, mend=mend)


def stale_rows(rows: pa.Table) -> pa.Table:
    """Rows of a manifest whose parent is not the image that they were made from."""
    children = rows.filter(pc.is_valid(rows["parent"]))
    at = pc.index_in(children["parent"], value_set=rows["key"].combine_chunks())
    now = rows["sha256"].take(at.combine_chunks())
    return children.filter(
        pc.fill_null(pc.not_equal(now, children["parent_sha256"]), fill_value=False)
    )


def main() -> int:
    """Run the stage from the command line."""
    return main_of(
        __doc__,
        lambda run, given, staging: _and_say_nothing(make_manifest(run, staging, given.limit)),
    )


def _and_say_nothing(_rows: pa.Table) -> None:
    return None


if __name__ == "__main__":
    sys.exit(main())
