"""The columns of an evaluation folder.

DIR/
  evaluation.json         what is evaluated: images, classes and templates by content
  images.parquet          one row per image, in the order of every model's rows
  classes.parquet         one row per class of the label set
  <model>/made_with.json  what the model's predictions are made with
  <model>/<first>-<last>.parquet     predictions, one part per block of images
  tables/  figures/  report.html     written by `covar-gen report`
"""

from __future__ import annotations

import pyarrow as pa

from covar_gen.evaluation.metrics.regions import MARGIN

TOP = 10
"""Classes of which a prediction keeps the logits, fewer where there are fewer classes."""


def _fields(**columns: tuple[pa.DataType, str]) -> list[pa.Field]:
    return [
        pa.field(name, kind, metadata={"meaning": meaning})
        for name, (kind, meaning) in columns.items()
    ]


PREDICTIONS = pa.schema(
    _fields(
        key=(pa.string(), "key of the image"),
        label=(pa.int32(), "true class: its index in the class list"),
        status=(pa.string(), "ok or rejected"),
        reason=(pa.string(), "slug of why the image was rejected; null if it was not"),
        top_ids=(pa.list_(pa.int32()), "the ten classes with the largest logits, best first"),
        top_logits=(pa.list_(pa.float32()), "their logits: scale x cosine + bias"),
        true_logit=(pa.float32(), "logit of the true class"),
        true_rank=(pa.int32(), "rank of the true class; 1 = best, of equals the lower index first"),
        logsumexp=(pa.float32(), "log of the sum of the exponentials of all classes' logits"),
        content=(pa.int64(), "first 63 bits of the SHA-256 of the encoded image"),
        batch=(pa.int32(), "images that went through the tower together"),
        embedding=(pa.list_(pa.float16()), "the image's embedding, unit norm; null if not kept"),
    )
)

CLASSES = pa.schema(
    _fields(
        index=(pa.int32(), "the class's index in the label set"),
        class_name=(pa.string(), "the name that the templates are filled with"),
        wnid=(pa.string(), "WordNet id; null where there is none"),
        imagenet_index=(pa.int32(), "index among the 1000 classes of ImageNet-1k; null outside"),
        group=(pa.int32(), "index of the first class of the same name: the merged label"),
    )
)

IMAGES = pa.schema(
    _fields(
        key=(pa.string(), "key of the image"),
        label=(pa.int32(), "true class: its index in the class list"),
        subset=(pa.string(), "which variation; `all` for data without subsets"),
        source=(pa.string(), "the photograph it comes from: the cluster of all intervals"),
        origin=(pa.string(), "where it lies in its data: a relative path, or a row"),
    )
)
"""Columns that every evaluation has; those of the data itself (background, ...) follow them."""

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Shares of a map's maximum from which on a pixel belongs to its region; 0.5 is the default."""

MARGINS = (0.0, MARGIN, 0.1)
"""Smallest differences of the two overlaps that decide."""

ERRORS = pa.schema(
    _fields(
        key=(pa.string(), "key of the misclassified image"),
        label=(pa.int32(), "true class: its index in the class list"),
        predicted=(pa.int32(), "predicted class: the one whose map this is about"),
        status=(pa.string(), "ok or rejected"),
        reason=(pa.string(), "slug of why there are no overlaps; null if there are"),
        flat=(pa.bool_(), "true where the map says nothing"),
        iou_object=(
            pa.list_(pa.float32()),
            "overlap (intersection over union) of the region with the object, for each threshold",
        ),
        iou_background=(pa.list_(pa.float32()), "the same with the background"),
        mass_background=(pa.float32(), "share of the map's positive mass on the background"),
        object_coverage=(pa.float32(), "share of what the model saw that is object"),
        chance=(
            pa.float32(),
            "share of random maps of the same values that would be called background-driven",
        ),
        chance_each=(
            pa.list_(pa.float32()),
            "the same for each threshold and each margin: all margins of the first threshold, ...",
        ),
        chance_excess=(
            pa.float32(),
            "share of them with more of their mass on the background than it fills",
        ),
        map=(pa.list_(pa.float32()), "the map on the patch grid, row by row, not scaled"),
        map_height=(pa.int32(), "rows of the patch grid"),
        map_width=(pa.int32(), "columns of the patch grid"),
    )
)
