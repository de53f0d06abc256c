"""Softmax probabilities from what is stored: the largest logits and the logsumexp of all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def probabilities(
    top_logits: NDArray[np.floating], logsumexp: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Softmax probabilities of the stored classes.

    Args:
        top_logits: float (N, k), logits of the stored classes; NaN where there are none.
        logsumexp: float (N,), log of the sum of the exponentials of all classes' logits.

    Returns:
        float64 (N, k), exp(logit - logsumexp), in [0, 1]; NaN where there is no logit.
    """
    shifted = top_logits.astype(np.float64) - logsumexp.astype(np.float64)[:, None]
    # Stored as float32, the best logit may exceed the logsumexp by a rounding error.
    found: NDArray[np.float64] = np.exp(np.minimum(shifted, 0.0))
    return found


def omitted_mass(stored: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of all the classes that are not stored.

    Args:
        stored: float64 (N, k), probabilities of the stored classes.

    Returns:
        float64 (N,), in [0, 1].
    """
    found: NDArray[np.float64] = np.clip(1.0 - stored.sum(axis=1), 0.0, 1.0)
    return found
