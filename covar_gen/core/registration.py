"""How an edited image's object lies against the photograph's: larger or smaller, and shifted.

Models that edit by instruction draw the object again, often not quite where it was. What is
estimated is a similarity without rotation,

    there = scale * here + offset,

from the pixels inside the object's mask alone: what is around it was replaced. How it is found is
told in `core.matching`.

cv2 is imported inside functions: the command line answers before it would be loaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Image, Mask, Matrix
from covar_gen.core.imaging import object_box, warp
from covar_gen.core.matching import SURE, Subject, best_move

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

SIDE = 512
"""Longest edge at which is measured, pixels; larger images are shrunk."""

MATCH = 0.5
"""Correlation of details from which a large object counts as found. Unlike pictures reach 0.4."""

CHANCE = 6.0
"""Over the square root of an object's pixels, what it must reach more: little resembles much."""

_PIXELS = 64
"""Fewest pixels of an object that can be found again."""
_CONTRAST = 3.0
"""Standard deviation of an object's grey values below which it has nothing to be found by."""


_KEPT = 4
"""Objects of which is kept what was worked out: photographs are edited before many backgrounds."""

_subjects: dict[bytes, Subject] = {}
_lock = Lock()
"""Edits are measured in several threads."""


@dataclass(frozen=True)
class Estimate:
    """Where the object is in the edited image.

    Attributes:
        scale: its size there over its size in the photograph.
        shift_x: movement of the centre of the object's box to the right, fraction of the width.
        shift_y: the same downwards, fraction of the height.
        match: correlation of the details inside the mask, in [-1, 1]: how sure it is.
        transform: float64 (3, 3), photograph's pixels -> edited image's pixels, for the object.
    """

    scale: float
    shift_x: float
    shift_y: float
    match: float
    transform: Matrix


@dataclass(frozen=True)
class NoEstimate:
    """Why the object was not found.

    Attributes:
        reason: `small_object`, `plain_object` (nothing in it to be found by) or `unlike` (nothing
            in the edited image looks like it).
        match: the best correlation that was seen; None if nothing was compared.
    """

    reason: str
    match: float | None = None


def register(photograph: Image, mask: Mask, edited: Image) -> Estimate | NoEstimate:
    """Find the photograph's object in the edited image.

    Args:
        photograph: uint8 (H, W, 3), RGB.
        mask: bool (H, W), True on the object.
        edited: uint8 (H, W, 3), RGB, of the same size.

    Returns:
        Scale and shift, or why they cannot be told.

    Raises:
        ValueError: the sizes differ.
    """
    if photograph.shape != edited.shape or mask.shape != photograph.shape[:2]:
        sizes = f"{photograph.shape}, mask {mask.shape}, edited {edited.shape}"
        raise ValueError(f"an edited image must have the photograph's size, got {sizes}")
    height, width = mask.shape
    shrink = min(1.0, SIDE / max(height, width))
    size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    subject = _subject(photograph, mask, size)
    here, inside = subject.here, subject.inside
    if np.count_nonzero(inside) < _PIXELS:
        return NoEstimate("small_object")
    if float(here[inside].std()) < _CONTRAST:
        return NoEstimate("plain_object")
    match, found = best_move(subject, _grey(edited, size))
    if match < min(MATCH + CHANCE / np.sqrt(np.count_nonzero(inside)), SURE):
        return NoEstimate("unlike", match)
    # From the measured size to the image's own; edges of both lie half a pixel outside centres.
    factors = np.array([width / size[0], height / size[1]])
    offset = np.array([found.x, found.y]) + 0.5 * (found.scale - 1)
    offset = offset * factors - 0.5 * (found.scale - 1)
    box = object_box(mask)
    assert box is not None
    centre = np.array([(box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2])
    shift = ((found.scale - 1) * centre + offset) / (width, height)
    transform = np.array([[found.scale, 0, offset[0]], [0, found.scale, offset[1]], [0, 0, 1]])
    return Estimate(found.scale, float(shift[0]), float(shift[1]), match, transform)


def realigned(edited: Image, estimate: Estimate) -> tuple[Image, Mask]:
    """The edited image moved back, so that its object lies where the photograph's does.

    Args:
        edited: uint8 (H, W, 3), RGB.
        estimate: where its object is.

    Returns:
        The moved image, uint8 (H, W, 3), what it lacks continued by its mirror image; and what of
        it is known, bool (H, W).
    """
    import cv2

    back = np.asarray(np.linalg.inv(estimate.transform), np.float64)
    moved, known = warp(edited, back, edited.shape, "cubic")
    height, width = edited.shape[:2]
    mirrored = cv2.warpAffine(
        edited,
        back[:2],
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.where(known[..., None], moved, mirrored), known


def _subject(photograph: Image, mask: Mask, size: tuple[int, int]) -> Subject:
    """The object, as it is looked for; the last ones are kept, for the next background."""
    import cv2

    digest = hashlib.blake2b(photograph.tobytes(), digest_size=16)
    digest.update(f"{mask.shape} {size}".encode() + np.packbits(mask).tobytes())
    key = digest.digest()
    with _lock:
        found = _subjects.pop(key, None)
        if found is None:
            levels = mask.astype(np.float32)
            inside = cv2.resize(levels, size, interpolation=cv2.INTER_AREA) > 0.5  # noqa: PLR2004
            found = Subject(_grey(photograph, size), inside)
        _subjects[key] = found
        while len(_subjects) > _KEPT:
            del _subjects[next(iter(_subjects))]
    return found


def _grey(image: Image, size: tuple[int, int]) -> Plane:
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey.shape[::-1] != size:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.float32)
