"""The columns of a release, each with its meaning, and their types as `datasets` knows them.

Three kinds of files: images of a subset, masks, and the manifest without images. Meanings stand
in the Parquet field metadata, the types of `datasets` in the schema's metadata `huggingface`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from covar_gen.core.recipe import Recipe
from covar_gen.core.rows import MANIFEST, ORIGIN

if TYPE_CHECKING:
    import datasets

SPLIT = "test"
"""The one split of a release: it is for measuring, not for training."""
ALL, MASKS, ROWS = "all", "masks", "manifest"
"""Configurations besides the subsets: every subset together, the masks, the rows without images."""

_PATHS = ("image", "mask")
"""Columns of the manifest that name files of the run: a release has their content instead."""
_FILE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


_IMAGE = _field("image", _FILE, "the image file and its name")
_MASK = _field("mask", _FILE, "the object's mask, PNG as in the run, white on the object")
_EXPORT = _field("export_sha256", pa.string(), "SHA-256 of the image file in this release")
_LABEL = _field("label", pa.int64(), "the class as a number from 0, in the order of class_id")
_ORIGINS = [field for field in ORIGIN if field.name in ("origin", "photograph_sha256")]
"""Of photographs alone: where each came from."""


def label_names(recipe: Recipe) -> list[str]:
    """Names of the classes, in the order of their class_id; each occurs once.

    Of classes with the same name (ImageNet has two cranes) each bears its WordNet id, or its
    folder, behind it.
    """
    classes = sorted(recipe.class_list, key=lambda one: one.class_id)
    times = Counter(one.class_name for one in classes)
    return [
        one.class_name
        if times[one.class_name] == 1
        else f"{one.class_name} ({one.wnid or one.folder or one.class_id})"
        for one in classes
    ]


def class_ids(recipe: Recipe) -> list[int]:
    """The class_id of each label."""
    return sorted(one.class_id for one in recipe.class_list)


def subset_fields() -> list[pa.Field]:
    """Columns of a subset's files."""
    told = [field for field in MANIFEST if field.name not in _PATHS]
    return [_IMAGE, *told, _EXPORT, _LABEL]


def mask_fields() -> list[pa.Field]:
    """Columns of the masks' files."""
    return [MANIFEST.field("key"), MANIFEST.field("subset"), _MASK, MANIFEST.field("mask_sha256")]


def row_fields() -> list[pa.Field]:
    """Columns of the manifest's files."""
    return [*(field for field in MANIFEST if field.name not in _PATHS), *_ORIGINS, _LABEL]


def fields_of(config: str) -> list[pa.Field]:
    """Columns of a configuration's files: `masks`, `manifest`, or any subset's."""
    if config == MASKS:
        return mask_fields()
    return row_fields() if config == ROWS else subset_fields()


def features_of(config: str, names: list[str]) -> datasets.Features:
    """Columns of a configuration as `datasets` types them.

    Args:
        config: `masks`, `manifest`, or any other for a subset's.
        names: of the classes, see `label_names`.
    """
    import datasets

    found = datasets.Features.from_arrow_schema(pa.schema(fields_of(config)))
    for name in found:
        if name in _PATHS:
            found[name] = datasets.Image()
        elif name == _LABEL.name and names:
            found[name] = datasets.ClassLabel(names=names)
    return found


def schema_of(config: str, names: list[str]) -> pa.Schema:
    """Schema of a configuration's files, with meanings and the types of `datasets`."""
    typed = features_of(config, names).arrow_schema
    return pa.schema(fields_of(config), metadata=typed.metadata)
