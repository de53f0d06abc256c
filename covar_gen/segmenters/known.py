"""For sources that know every outline: takes what they give, and never guesses one.

The stage asks a segmenter only for images that came without a mask; this one refuses those.
"""

from __future__ import annotations

from collections.abc import Sequence

from covar_gen.core.arrays import Rejected
from covar_gen.segmenters.base import Segmentation, Segmenter, SegmentRequest


class Known(Segmenter):
    """Refuses whatever came without a mask."""

    reads_names = False

    def segment(self, batch: Sequence[SegmentRequest]) -> list[Segmentation | Rejected]:
        """no_known_mask for every request."""
        return [Rejected("no_known_mask") for _ in batch]
