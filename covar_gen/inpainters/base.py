"""What an inpainter is, and the one place that keeps known pixels exactly as they were."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from covar_gen.core.arrays import Image, Json, Mask, Rejected, check_image
from covar_gen.core.plugins import Plugin


@dataclass(frozen=True)
class FillRequest:
    """One image to complete.

    Attributes:
        key: the row's key, for messages.
        image: uint8 (H, W, 3), RGB; anything where unknown.
        known: bool (H, W), True where the image must stay as it is.
        mask: bool (H, W), True on the object, which should not be continued into the fill.
        prompt: what to paint, in words.
        negative_prompt: what not to paint.
        seed: all randomness of this item.
    """

    key: str
    image: Image
    known: Mask
    mask: Mask
    prompt: str
    negative_prompt: str
    seed: int


@dataclass(frozen=True)
class Filled:
    """A completed image.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        known_pixel_max_diff: largest difference from the request at a known pixel, grey levels.
        params: further factors.
    """

    image: Image
    known_pixel_max_diff: int = 0
    params: dict[str, Json] = field(default_factory=dict)


class Inpainter(Plugin, ABC):
    """Paints what is unknown."""

    @abstractmethod
    def paint(self, batch: Sequence[FillRequest]) -> Sequence[Filled | Rejected]:
        """One completed image per request, in their order; known pixels may still differ."""

    def fill(self, batch: Sequence[FillRequest]) -> Sequence[Filled | Rejected]:
        """`paint`, then every known pixel put back; nothing is painted where all is known.

        Raises:
            ValueError: an answer of another size or dtype.
        """
        wanted = [request for request in batch if not request.known.all()]
        painted = dict(zip((r.key for r in wanted), self.paint(wanted), strict=True))
        return [
            _kept(request, painted[request.key])
            if request.key in painted
            else Filled(request.image)
            for request in batch
        ]


def _kept(request: FillRequest, painted: Filled | Rejected) -> Filled | Rejected:
    if isinstance(painted, Rejected):
        return painted
    image = check_image(painted.image, f"inpainter's image of {request.key}")
    if image.shape != request.image.shape:
        msg = (
            f"inpainter's image of {request.key}: expected {request.image.shape}, got {image.shape}"
        )
        raise ValueError(msg)
    image = np.where(request.known[..., None], request.image, image)
    difference = image[request.known].astype(np.int16) - request.image[request.known]
    return Filled(image, int(np.abs(difference).max(initial=0)), painted.params)
