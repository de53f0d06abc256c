"""THE MAP: every table of a run and every column, with its meaning, in the order of the flow.

Each table is a `pyarrow.Schema`; a column's meaning is in its field metadata and travels into
the Parquet files, the manifest and the data set on the Hub. Nulls stand where a column does not
apply; there are no magic numbers. Angles are in degrees, positive counter-clockwise as seen;
shifts are positive right and down; pixel centres lie at integers.
"""

from __future__ import annotations

from typing import TypeAlias

import pyarrow as pa

Row: TypeAlias = dict[str, object]
"""One row on its way into a table: column name -> value; a missing column is null."""

OK = "ok"
REJECTED = "rejected"
BY_CONSTRUCTION = "by_construction"
"""Tool of a mask that the image's maker knew."""
PARENT_REJECTED = "parent_rejected"
"""Reason of a row whose parent, or whose parent's mask, was rejected."""


def _fields(**columns: tuple[pa.DataType, str]) -> list[pa.Field]:
    return [
        pa.field(name, kind, metadata={"meaning": meaning})
        for name, (kind, meaning) in columns.items()
    ]


TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()

# What a row is and where it comes from.
WHICH = _fields(
    key=(TEXT, "path that sorts by itself and never depends on processes"),
    parent=(TEXT, "key of the image it was made from; null for an original"),
    subset=(TEXT, "original, bg_varied, viewpoint, scale, or the variant's name"),
    source=(TEXT, "key of the original photograph"),
    background_id=(WHOLE, "number of the background in the recipe's list"),
)

# The files of an image.
FILES = _fields(
    image=(TEXT, "path of the image inside the run"),
    mask=(TEXT, "path of the object's mask inside the run"),
    width=(WHOLE, "pixels"),
    height=(WHOLE, "pixels"),
    sha256=(TEXT, "SHA-256 of the image file"),
    pixels_sha256=(TEXT, "SHA-256 of 'H W\\n' and the decoded RGB pixels"),
    mask_sha256=(TEXT, "SHA-256 of the mask file"),
    parent_sha256=(TEXT, "SHA-256 of the parent's image file when this was made"),
)

# What became of it, by what, and from which randomness.
OUTCOME = _fields(
    status=(TEXT, "ok or rejected"),
    reason=(TEXT, "slug of why it was rejected; null if it was not"),
    seed=(WHOLE, "63-bit seed of all its randomness"),
    attempt=(WHOLE, "how many earlier attempts were rejected"),
    tool=(TEXT, "plugin that made it"),
    model=(TEXT, "repo@revision of the plugin's weights; null without weights"),
    prompt=(TEXT, "instruction given to the model"),
)

# The factors of variation.
FACTORS = _fields(
    angle_deg=(REAL, "rotation, degrees, positive counter-clockwise as seen"),
    shift_x=(REAL, "translation to the right, fraction of the width"),
    shift_y=(REAL, "translation downwards, fraction of the height"),
    crop_area=(REAL, "share of the parent's area that the crop keeps, fraction"),
    scale_factor=(REAL, "linear; 8 = the parent fills 1/8 of the side"),
    azimuth_deg=(REAL, "camera azimuth relative to the parent, degrees"),
    elevation_deg=(REAL, "camera elevation, degrees"),
    transform=(pa.list_(REAL), "3x3, row by row: parent pixels -> this image's pixels"),
    known_pixel_max_diff=(
        WHOLE,
        "grey levels by which known pixels differ from the parent's warp; null: none promised",
    ),
    object_coverage=(REAL, "share of the image that is object, fraction"),
    params=(TEXT, "JSON: further factors and measurements of the tool"),
)

IMAGES = [*WHICH, *FILES, *OUTCOME, *FACTORS]

# A photograph knows where it came from.
ORIGIN = _fields(
    label=(TEXT, "the photograph's class as its source calls it"),
    origin=(TEXT, "where it was in its source: relative path or row"),
    photograph_sha256=(TEXT, "SHA-256 of the photograph's own file"),
)

# Where an editor that draws the object again has drawn it, as estimated from the pixels inside the
# photograph's mask; null where it keeps the object's pixels, and where the object was not found.
# A rejected row has what led to it; an image that was moved back, what it was before.
# What of it is still the photograph's, once it is moved to where it was drawn; where the object was
# not found, in its own place: `agreement` in params says which, and by which network and segmenter.
EDITED = _fields(
    object_scale=(REAL, "size of the object over its size in the photograph"),
    object_shift_x=(REAL, "movement of the object's middle to the right, fraction of the width"),
    object_shift_y=(REAL, "the same downwards, fraction of the height"),
    object_match=(REAL, "correlation of the object's details with the photograph's, in [-1, 1]"),
    object_iou=(REAL, "intersection over union of the object's masks, there and in the photograph"),
    object_similarity=(REAL, "cosine similarity of a network's patches of the object, in [-1, 1]"),
    object_ssim=(REAL, "structural similarity of the object's pixels, in [-1, 1]"),
    object_colour=(REAL, "mean colour difference of the object's pixels, CIEDE2000"),
)

# A mask of a row of another table, under the same key. What was measured and detected stands on
# rejected rows too; it is null where the image's maker knew the mask, and where a segmenter does
# not detect by boxes or words.
MASKS = [
    *_fields(
        key=(TEXT, "key of the image that is outlined"),
        mask=(TEXT, "path of the mask inside the run"),
        mask_sha256=(TEXT, "SHA-256 of the mask file"),
        parent_sha256=(TEXT, "SHA-256 of the outlined image file"),
    ),
    *[field for field in OUTCOME if field.name != "prompt"],
    *[field for field in FACTORS if field.name == "object_coverage"],
    *_fields(
        border=(REAL, "share of the image's outermost pixels that are object, fraction"),
        components=(WHOLE, "connected parts of the object; pixels are connected by their sides"),
        scores=(pa.list_(REAL), "confidence of each detection that the mask is made of, in [0, 1]"),
        boxes=(
            pa.list_(pa.list_(REAL)),
            "left, top, right, bottom of each detection, pixels from the image's upper left corner",
        ),
        phrases=(pa.list_(TEXT), "words of the prompt that each detection was found by"),
    ),
    *[field for field in FACTORS if field.name == "params"],
]

# What the recipe's lists say of a row, joined in by the manifest.
CLASS = _fields(
    class_id=(WHOLE, "number of the class in the recipe's list"),
    class_name=(TEXT, "the class in words"),
    wnid=(TEXT, "WordNet id, where the class is a synset"),
    imagenet_index=(WHOLE, "index among the 1000 classes of ILSVRC 2012, where it is one"),
    background=(TEXT, "the background's description"),
)

TABLES: dict[str, pa.Schema] = {
    "photographs": pa.schema([*IMAGES, *ORIGIN]),
    "sources": pa.schema([*IMAGES, *ORIGIN]),
    "masks_sources": pa.schema(MASKS),
    "backgrounds": pa.schema([*IMAGES, *EDITED]),
    "masks_backgrounds": pa.schema(MASKS),
    "viewpoints": pa.schema(IMAGES),
    "masks_viewpoints": pa.schema(MASKS),
    "scale": pa.schema(IMAGES),
    "geometry": pa.schema(IMAGES),
}
"""Table -> its schema, in the order of the flow. `photographs` holds every photograph examined so
far; `sources`, written at once when the choice is complete, those that the benchmark keeps and
those that it refused."""

_MANIFEST_ORDER = [
    "key", "parent", "subset", "source", "class_id", "class_name", "wnid", "imagenet_index",
    "background_id", "background", "image", "mask", "width", "height", "sha256", "pixels_sha256",
    "mask_sha256", "parent_sha256", "status", "reason", "seed", "attempt", "tool", "model",
    "prompt", "angle_deg", "shift_x", "shift_y", "crop_area", "scale_factor", "azimuth_deg",
    "elevation_deg", "transform", "known_pixel_max_diff", "object_coverage", "params",
    *(field.name for field in EDITED),
]  # fmt: skip
_ALL = {field.name: field for field in [*IMAGES, *CLASS, *EDITED]}

MANIFEST: pa.Schema = pa.schema([_ALL[name] for name in _MANIFEST_ORDER])
"""One row per image: the contract with everything downstream."""


def mask_table(table: str) -> str:
    """The table that holds the masks of another table's images."""
    return f"masks_{table}"


def to_batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Arrow columns; absent values are null.

    Raises:
        ValueError: a row has a column that the table has not: a mistake in a stage.
    """
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        msg = f"no such column: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
