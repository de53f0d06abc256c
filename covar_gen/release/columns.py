"""Columns of a release's tables: those that every reader relies on, and how others differ."""

from __future__ import annotations

import pyarrow as pa

from covar_gen.release.schema import MASKS, ROWS, schema_of

HUGGINGFACE = b"huggingface"
"""Key of the schema's metadata by which `datasets` knows types."""

_RELIED_ON = {
    MASKS: {"key", "subset", "mask", "mask_sha256"},
    ROWS: {
        "key", "parent", "source", "subset", "background_id", "status", "reason", "sha256",
        "mask_sha256", "parent_sha256",
    },
}  # fmt: skip
_OF_SUBSETS = {
    "key", "subset", "parent", "image", "width", "height", "pixels_sha256", "export_sha256",
}  # fmt: skip


def relied_on(config: str) -> set[str]:
    """Columns that tables of a configuration have in every version of today's format."""
    return _RELIED_ON.get(config, _OF_SUBSETS)


def other_columns(schema: pa.Schema, config: str, names: list[str]) -> str | None:
    """How the columns of a table differ from those that are written today.

    Args:
        schema: of the table.
        config: the configuration that it belongs to.
        names: of the classes.

    Returns:
        As words that go on "it"; None where they do not.
    """
    wanted = schema_of(config, names)
    lacking = [name for name in wanted.names if name not in schema.names]
    strange = [name for name in schema.names if name not in wanted.names]
    if lacking or strange:
        told = [f"{verb} columns {those}" for verb, those in (("lacks", lacking), ("adds", strange))
                if those]  # fmt: skip
        return " and ".join(told)
    other = [one.name for one in wanted if not _alike(schema.field(one.name), one)]
    if other:
        return f"has columns of another type or meaning: {', '.join(other)}"
    typed = (schema.metadata or {}).get(HUGGINGFACE)
    same = typed == (wanted.metadata or {}).get(HUGGINGFACE)
    return None if same else "says other types to datasets"


def _alike(one: pa.Field, other: pa.Field) -> bool:
    meaning = [(field.metadata or {}).get(b"meaning") for field in (one, other)]
    kinds = [field.type.value_type if pa.types.is_list(field.type) else field.type
             for field in (one, other)]  # fmt: skip
    # Parquet has a name of its own for the elements of a list.
    lists = [pa.types.is_list(field.type) for field in (one, other)]
    return meaning[0] == meaning[1] and kinds[0].equals(kinds[1]) and lists[0] == lists[1]
