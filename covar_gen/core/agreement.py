"""How far an edited image still shows the photograph's object: the object beside the object.

A model that edits by instruction draws the object again. Its place is known up to a similarity
(`core.registration`); the photograph's object is moved there, and what the edited image has at its
pixels is compared with it. An object that could not be registered is compared in its own place:
that is where the instruction wants it, and the numbers then say of both, that it moved and that it
changed, without telling which. `params` says which of the two was done.

What is compared are the object's pixels without a rim of 3, where the photograph's old and the
edited image's new surroundings mix into it, on images shrunk to a longest edge of 512 pixels:

    structural similarity: Wang, Bovik, Sheikh and Simoncelli (IEEE TIP 13, 2004), with their
        Gaussian window of 11 x 11 pixels and standard deviation 1.5, K1 = 0.01, K2 = 0.03, on grey
        levels; windows weigh the object's pixels only, so that nothing around it counts; the mean
        over the object's pixels.
    colour difference: CIEDE2000 (CIE 142-2001; Sharma, Wu and Dalal, Color Res. Appl. 30, 2005) of
        sRGB under D65, as scikit-image has it; the mean over the object's pixels.
    intersection over union: of the photograph's mask, moved, and a mask of the edited image.

cv2 and skimage are imported inside functions: the command line answers before they would be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from covar_gen.core.arrays import Image, Mask, Matrix
from covar_gen.core.imaging import object_box, warp, warp_mask
from covar_gen.core.matching import without_rim
from covar_gen.core.plugins import WeightsName
from covar_gen.core.registration import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float64]

VERSION = "1"
"""Part of the identity of what is measured: raised whenever the same images give other numbers."""

NETWORK = "facebook/dinov2-base"
"""Whose features tell an object from another where the recipe names no network."""

NO_NETWORK = "none"
"""What the recipe's `network` says where there is to be none."""

RIM = 3.0
"""Width of an object's rim that is not compared, pixels."""

WINDOW, SPREAD = 11, 1.5
"""Edge of the windows of structural similarity and standard deviation of their weights, pixels."""

STABLE = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
"""Constants that keep its two factors stable, for grey levels up to 255."""


class Agreement(BaseModel):
    """[backgrounds.agreement]: how far an object that an editor draws again must stay the same.

    Structural similarity and colour difference are measured of every edit that redraws the object,
    with this section or without. An edit that keeps the object's pixels is not measured:
    known_pixel_max_diff says all of it.

    Attributes:
        network: whose patch features are compared; a DINOv2 or DINOv3: `owner/name` or
            `owner/name@revision` of the Hugging Face Hub, or a folder relative to the recipe.
            "none": no network, only structural similarity and colour difference. Networks that
            pair images with texts are refused: they would be filtered by what is evaluated.
        batch: objects that the network compares together.
        dtype: in which it computes; auto: bfloat16 on a GPU that has it, else float32.
        segmenter: what outlines the object in the edited image, for the intersection over union;
            left out: it is not measured.
        min_iou: least intersection over union with the photograph's mask, in [0, 1].
        min_similarity: least cosine similarity of the network's patches, in [-1, 1].
        min_ssim: least structural similarity, in [-1, 1].
        max_colour: largest colour difference, CIEDE2000; about 1 is just noticed.
        options: options of the segmenter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    network: WeightsName = NETWORK
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    segmenter: str | None = None
    min_iou: Annotated[float, Field(ge=0, le=1)] | None = None
    min_similarity: Annotated[float, Field(ge=-1, le=1)] | None = None
    min_ssim: Annotated[float, Field(ge=-1, le=1)] | None = None
    max_colour: Annotated[float, Field(ge=0)] | None = None
    options: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _measures_what_it_limits(self) -> Agreement:
        if self.min_iou is not None and self.segmenter is None:
            raise ValueError("min_iou needs a segmenter")
        if self.min_similarity is not None and self.network == NO_NETWORK:
            raise ValueError("min_similarity needs a network")
        return self

    def failing(
        self,
        *,
        iou: float | None,
        similarity: float | None,
        ssim: float | None,
        colour: float | None,
    ) -> list[str]:
        """Which limits an object does not keep, by name; what could not be measured keeps none.

        Args:
            iou: intersection over union of the masks, in [0, 1].
            similarity: of the patches, in [-1, 1].
            ssim: structural similarity, in [-1, 1].
            colour: CIEDE2000.
        """
        least = {"min_iou": iou, "min_similarity": similarity, "min_ssim": ssim}
        failed = [name for name, value in least.items() if _is_below(value, getattr(self, name))]
        if self.max_colour is not None and (colour is None or not colour <= self.max_colour):
            failed.append("max_colour")
        return failed


def _is_below(value: float | None, limit: float | None) -> bool:
    return limit is not None and (value is None or not value >= limit)


@dataclass(frozen=True)
class Beside:
    """The photograph's object and what the edited image has at its place, pixel by pixel.

    Attributes:
        expected: uint8 (h, w, 3), RGB: the photograph, moved into the edited image's place.
        found: uint8 (h, w, 3), RGB: the edited image.
        inside: bool (h, w), True where they are compared: on the object, without its rim. Empty
            where nothing of the object lies in the picture, or it is too small to be seen.
        seen: share of the object's pixels that lie in the edited image, fraction.
    """

    expected: Image
    found: Image
    inside: Mask
    seen: float


def beside(photograph: Image, mask: Mask, edited: Image, transform: Matrix | None = None) -> Beside:
    """Lay the photograph's object over the edited image's.

    Args:
        photograph: uint8 (H, W, 3), RGB.
        mask: bool (H, W), True on the object.
        edited: uint8 (H, W, 3), RGB, of the same size.
        transform: float64 (3, 3), photograph's pixels -> edited image's pixels, for the object: a
            similarity without rotation. None: in its own place.

    Raises:
        ValueError: the sizes differ.
    """
    import cv2

    if photograph.shape != edited.shape or mask.shape != photograph.shape[:2]:
        sizes = f"{photograph.shape}, mask {mask.shape}, edited {edited.shape}"
        raise ValueError(f"an edited image must have the photograph's size, got {sizes}")
    move = np.eye(3) if transform is None else transform
    seen = _seen(mask, move)
    height, width = mask.shape
    shrink = min(1.0, SIDE / max(height, width))
    size = (max(round(height * shrink), 1), max(round(width * shrink), 1))
    if size != mask.shape:
        photograph, edited = (
            np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
            for image in (photograph, edited)
        )
        share = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        mask = np.asarray(share > 0.5)  # noqa: PLR2004 - half of a pixel
        move = _resized(move, size[1] / width, size[0] / height)
    if not np.array_equal(move, np.eye(3)):
        # Lanczos' filter averages where it shrinks: details do not turn into grain.
        photograph, known = warp(photograph, move, size, "lanczos")
        mask = warp_mask(mask, move, size) & known
    return Beside(photograph, edited, without_rim(mask, RIM) if mask.any() else mask, seen)


def _resized(move: Matrix, across: float, down: float) -> Matrix:
    """A transform between images that are resized; their corners lie half outside of pixels."""
    grow = np.array(
        [[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]], np.float64
    )
    return np.asarray(grow @ move @ np.linalg.inv(grow), np.float64)


def _seen(mask: Mask, move: Matrix) -> float:
    y, x = np.nonzero(mask)
    if not len(x):
        return 0.0
    height, width = mask.shape
    at_x, at_y = move[0, 0] * x + move[0, 2], move[1, 1] * y + move[1, 2]
    there = (np.abs(at_x - (width - 1) / 2) <= width / 2) & (
        np.abs(at_y - (height - 1) / 2) <= height / 2
    )
    return float(there.mean())


def ssim(pair: Beside) -> float | None:
    """Structural similarity of the object's pixels, in [-1, 1]; 1 for the same ones.

    Returns:
        None where nothing is compared.
    """
    import cv2

    box = object_box(pair.inside)
    if box is None:
        return None
    left, top, right, bottom = box
    part = (slice(top, bottom), slice(left, right))
    inside = pair.inside[part]
    weight = inside.astype(np.float64)

    def mean(plane: Plane) -> Plane:
        """Weighted mean over each window's pixels of the object, at each pixel of it."""
        total = cv2.GaussianBlur(
            plane * weight, (WINDOW, WINDOW), SPREAD, borderType=cv2.BORDER_CONSTANT
        )
        return np.asarray(total[inside] / share, np.float64)

    share = np.asarray(
        cv2.GaussianBlur(weight, (WINDOW, WINDOW), SPREAD, borderType=cv2.BORDER_CONSTANT)[inside]
    )
    here, there = (
        cv2.cvtColor(np.ascontiguousarray(image[part]), cv2.COLOR_RGB2GRAY).astype(np.float64)
        for image in (pair.expected, pair.found)
    )
    first, second = mean(here), mean(there)
    spread = mean(here * here) - first**2 + mean(there * there) - second**2
    common = mean(here * there) - first * second
    light = (2 * first * second + STABLE[0]) / (first**2 + second**2 + STABLE[0])
    return float((light * (2 * common + STABLE[1]) / (spread + STABLE[1])).mean())


def colour(pair: Beside) -> float | None:
    """Mean colour difference of the object's pixels, CIEDE2000; 0 for the same ones.

    Returns:
        None where nothing is compared.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    if not pair.inside.any():
        return None
    here, there = (rgb2lab(image[pair.inside]) for image in (pair.expected, pair.found))
    return float(deltaE_ciede2000(here, there).mean())


def iou(mask: Mask, found: Mask, transform: Matrix | None = None) -> float | None:
    """Intersection over union of the photograph's object, moved, and that of the edited image.

    Args:
        mask: bool (H, W), True on the photograph's object.
        found: bool (H, W), True on the edited image's.
        transform: as in `beside`.

    Returns:
        In [0, 1]; None where both are empty.
    """
    moved = mask if transform is None else warp_mask(mask, transform, found.shape)
    union = int(np.count_nonzero(moved | found))
    return int(np.count_nonzero(moved & found)) / union if union else None
