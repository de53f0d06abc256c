"""Lossless masters: how an image and a mask become files, and the columns that name them."""

from __future__ import annotations

import hashlib
import json

from covar_gen.core import imaging
from covar_gen.core.arrays import Image, Json, Mask
from covar_gen.core.files import Staging
from covar_gen.core.rows import Row
from covar_gen.core.store import Run


def save_image(run: Run, staging: Staging, table: str, key: str, image: Image) -> Row:
    """Publish an image of a table.

    Where another writer was first, its file stands, and the columns describe that file.

    Returns:
        Columns image, width, height, sha256, pixels_sha256.
    """
    path = run.image_path(table, key)
    data = imaging.encode_png(image)
    found = staging.publish(run.root / path, data, imaging.is_whole_png)
    if found != data:
        image = imaging.decode_png(found)
    return {
        "image": path,
        "width": image.shape[1],
        "height": image.shape[0],
        "sha256": hashlib.sha256(found).hexdigest(),
        "pixels_sha256": imaging.pixels_sha256(image),
    }


def save_mask(run: Run, staging: Staging, table: str, key: str, mask: Mask) -> Row:
    """Publish the mask of an image of `table`.

    Returns:
        Columns mask, mask_sha256, object_coverage.
    """
    path = run.mask_path(table, key)
    data = imaging.encode_mask(mask)
    found = staging.publish(run.root / path, data, imaging.is_whole_png)
    if found != data:
        mask = imaging.decode_mask(found)
    return {
        "mask": path,
        "mask_sha256": hashlib.sha256(found).hexdigest(),
        "object_coverage": float(mask.mean()),
    }


def params_json(params: dict[str, Json]) -> str | None:
    """Further factors as one line of JSON; None where there are none."""
    return json.dumps(params, sort_keys=True, ensure_ascii=False) if params else None
