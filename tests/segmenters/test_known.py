"""The segmenter that never guesses."""

from __future__ import annotations

import numpy as np

from covar_gen.core.arrays import Rejected
from covar_gen.core.plugins import make
from covar_gen.segmenters.base import Segmenter, SegmentRequest


def test_every_image_that_comes_without_a_mask_is_refused() -> None:
    segmenter = make("segmenters", "known", Segmenter, {}, "masks.segmenter")
    image = np.zeros((20, 20, 3), np.uint8)
    image[5:15, 5:15] = 255
    requests = [SegmentRequest(f"a/{n}/original", image, "square", n) for n in range(3)]
    assert segmenter.segment(requests) == [Rejected("no_known_mask")] * 3
    assert segmenter.segment([]) == []
