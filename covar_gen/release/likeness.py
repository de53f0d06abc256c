"""How alike the patches of images that a tool drew again are to what they were drawn after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from covar_gen.core.imaging import decode_png
from covar_gen.core.rows import OK
from covar_gen.core.store import Run
from covar_gen.release.carried import alike
from covar_gen.release.contents import parent_path, patch_of
from covar_gen.release.facts import Shown
from covar_gen.release.patches import OWN, predicted
from covar_gen.release.reading import Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOKED_AT = 32
"""Images of each subset that are looked at, evenly spaced among those that were drawn again."""
COLUMNS = ["key", "parent", "subset", "status", "image", "sha256", "parent_sha256", "transform",
           "height", "width"]  # fmt: skip
_TELLS = ("subset", "parent", "status", "known_pixel_max_diff")
"""Columns that say of which images no pixels are promised."""


def likeness(run: Run, manifest: Manifest) -> dict[str, Shown]:
    """What patches show of the parents of images of which no pixels are promised.

    Args:
        run: complete.
        manifest: of the run; it is read in parts, whatever its length.

    Returns:
        By subset, of those that have such images.

    Raises:
        DamagedRunError: an image is gone, or is not what its row says.
    """
    found: dict[str, list[NDArray[np.int64]]] = {}
    first = 0
    for rows in manifest.batches(_TELLS):
        drawn = pc.and_(pc.is_valid(rows["parent"]), pc.is_null(rows["known_pixel_max_diff"]))
        drawn = pc.and_(drawn, pc.equal(rows["status"], OK))
        for subset in rows["subset"].filter(drawn).unique().to_pylist():
            there = pc.and_(drawn, pc.equal(rows["subset"], subset))
            places = np.flatnonzero(there.to_numpy(zero_copy_only=False)) + first
            found.setdefault(subset, []).append(places)
        first += len(rows)
    chosen = {subset: _evenly(np.concatenate(places)) for subset, places in found.items()}
    wanted = manifest.take(COLUMNS, sorted(place for each in chosen.values() for place in each))
    return {
        subset: Shown(len(each), float(np.mean([_share(run, wanted[place]) for place in each])))
        for subset, each in chosen.items()
    }


def _evenly(places: NDArray[np.int64]) -> list[int]:
    count = min(LOOKED_AT, len(places))
    return [int(places[(2 * n + 1) * len(places) // (2 * count)]) for n in range(count)]


def _share(run: Run, row: dict[str, Any]) -> float:
    image = decode_png(run.read(row["image"], row["sha256"]))
    parent = decode_png(run.read(parent_path(run, row), row["parent_sha256"]))
    said, _ = predicted(parent, row["transform"], (row["height"], row["width"]))
    patch, _ = patch_of(image, parent, row["transform"])
    own = patch[..., 3] == OWN
    return max(alike(image, own, parent), alike(image, own, said))
