"""How alike the patches of images that a tool drew again are to what they were drawn after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.imaging import decode_png
from covar_gen.core.rows import OK
from covar_gen.core.store import Run
from covar_gen.release.carried import alike
from covar_gen.release.contents import parent_path, patch_of
from covar_gen.release.facts import Shown
from covar_gen.release.patches import OWN, predicted

LOOKED_AT = 32
"""Images of each subset that are looked at, evenly spaced among those that were drawn again."""
COLUMNS = ["key", "parent", "subset", "status", "image", "sha256", "parent_sha256", "transform",
           "height", "width", "known_pixel_max_diff"]  # fmt: skip


def likeness(run: Run) -> dict[str, Shown]:
    """What patches show of the parents of images of which no pixels are promised.

    Args:
        run: complete.

    Returns:
        By subset, of those that have such images.

    Raises:
        DamagedRunError: an image is gone, or is not what its row says.
    """
    rows = run.manifest(COLUMNS)
    drawn = pc.and_(pc.is_valid(rows["parent"]), pc.is_null(rows["known_pixel_max_diff"]))
    rows = rows.filter(pc.and_(drawn, pc.equal(rows["status"], OK)))
    return {
        subset: _shown(run, rows.filter(pc.equal(rows["subset"], subset)))
        for subset in rows["subset"].unique().to_pylist()
    }


def _shown(run: Run, rows: pa.Table) -> Shown:
    count = min(LOOKED_AT, len(rows))
    chosen = rows.take([(2 * n + 1) * len(rows) // (2 * count) for n in range(count)])
    shares = [_share(run, row) for row in chosen.to_pylist()]
    return Shown(count, float(np.mean(shares)))


def _share(run: Run, row: dict[str, Any]) -> float:
    image = decode_png(run.read(row["image"], row["sha256"]))
    parent = decode_png(run.read(parent_path(run, row), row["parent_sha256"]))
    said, _ = predicted(parent, row["transform"], (row["height"], row["width"]))
    patch, _ = patch_of(image, parent, row["transform"])
    own = patch[..., 3] == OWN
    return max(alike(image, own, parent), alike(image, own, said))
