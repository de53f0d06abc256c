"""What a viewer is: an image in, the same object from other camera positions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from covar_gen.core.arrays import Image, Json, Mask, Matrix, Rejected
from covar_gen.core.plugins import Plugin


@dataclass(frozen=True)
class Pose:
    """A camera position relative to the input's.

    Attributes:
        azimuth_deg: degrees around the vertical axis, positive counter-clockwise seen from above.
        elevation_deg: degrees upwards.
    """

    azimuth_deg: float
    elevation_deg: float


@dataclass(frozen=True)
class ViewRequest:
    """One image to see from other positions.

    Attributes:
        key: the parent's key, for messages.
        image: uint8 (H, W, 3), RGB.
        mask: bool (H, W), True on the object.
        wanted: indices into the viewer's `poses`.
        seed: all randomness of this item.
        background: uint8 (H, W, 3): the image without its object, for viewers that want it.
    """

    key: str
    image: Image
    mask: Mask
    wanted: tuple[int, ...]
    seed: int
    background: Image | None = None


@dataclass(frozen=True)
class View:
    """One new view.

    Attributes:
        image: uint8 (H, W, 3), RGB, the parent's size.
        mask: bool (H, W), True on the object, where the viewer knows it by construction.
        transform: float64 (3, 3), parent pixels -> this image's pixels, where there is one.
        known_pixel_max_diff: grey levels by which pixels that the parent decides differ from its
            warp; None where nothing is promised.
        params: further factors.
    """

    image: Image
    mask: Mask | None = None
    transform: Matrix | None = None
    known_pixel_max_diff: int | None = None
    params: dict[str, Json] = field(default_factory=dict)


class Viewer(Plugin, ABC):
    """Shows the object from each of its `poses`.

    Attributes:
        poses: what it can show.
        knows_masks: True if every view comes with its mask, so that no segmenter has to run;
            options may decide it.
        wants_background: True if its requests need a background; the recipe's
            `viewpoints.inpainter` then fills in what the object hides.
    """

    knows_masks: bool = False
    poses: tuple[Pose, ...]
    wants_background: bool = False

    @abstractmethod
    def views(self, batch: Sequence[ViewRequest]) -> Sequence[Sequence[View | Rejected]]:
        """Per request, one answer per wanted pose, in their order."""
