"""Error consistency: do two models fail on the same images?

R. Geirhos, K. Meding, F. A. Wichmann, *Beyond accuracy: quantifying trial-by-trial behaviour of
CNNs and humans by measuring error consistency*, NeurIPS 2020: Cohen's kappa of right and wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Consistency(NamedTuple):
    """How far two models are right and wrong together.

    Attributes:
        observed: share of the images on which both are right or both wrong, in [0, 1].
        expected: the same share if their errors were independent, in [0, 1].
        kappa: (observed - expected) / (1 - expected), in [-1, 1].
    """

    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    kappa: NDArray[np.float64]


def error_consistency(
    images: NDArray[np.floating],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    both: NDArray[np.floating],
) -> Consistency:
    """Cohen's kappa from counts; all arrays have one shape, or broadcast to one.

    Where the expected agreement is 1, both models are always right or both always wrong: they
    agree on every image, and kappa, which would be 0/0, is 1 by definition. It is NaN where there
    is no image.

    Args:
        images: number of images.
        first: of them, those that the first model gets right.
        second: those that the second model gets right.
        both: those that both get right.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        right = first / images
        other = second / images
        observed = (images - first - second + 2 * both) / images
        expected = right * other + (1 - right) * (1 - other)
        kappa = np.where(expected < 1, (observed - expected) / (1 - expected), observed)
    return Consistency(observed, expected, kappa)
