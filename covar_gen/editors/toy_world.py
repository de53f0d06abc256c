"""Places the object before a background of the toy world, pixel by pixel (CPU).

The object keeps its place and every one of its pixels. The editor knows the descriptions of that
world's backgrounds and no others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covar_gen.core.arrays import Json, Rejected, check_image, check_mask
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.toys.world import BACKGROUNDS, draw_background


class ToyWorld(Editor):
    """Draws the background's texture anew for each image and lays the object over it."""

    knows_masks = True
    reads_prompt = False

    def edit(self, batch: Sequence[EditRequest]) -> list[Edit | Rejected]:
        """The object of each photograph before its background.

        Args:
            batch: requests; each is answered by itself.

        Returns:
            Edits whose mask is the request's and whose transform is the identity, or empty_mask,
            or no_such_toy_background, with those that there are in its params.
        """
        return [self._edit(request) for request in batch]

    def _edit(self, request: EditRequest) -> Edit | Rejected:
        image = check_image(request.image, request.key)
        mask = check_mask(request.mask, image.shape, request.key)
        if not mask.any():
            return Rejected("empty_mask")
        description = request.background.strip().casefold()
        if description not in BACKGROUNDS:
            offered: dict[str, Json] = {
                "background": request.background,
                "known": list(BACKGROUNDS),
            }
            return Rejected("no_such_toy_background", offered)
        result = draw_background(description, image.shape, request.seed)
        result[mask] = image[mask]
        changed = np.abs(result[mask].astype(np.int16) - image[mask].astype(np.int16)).max()
        return Edit(image=result, mask=mask, transform=np.eye(3), known_pixel_max_diff=int(changed))
