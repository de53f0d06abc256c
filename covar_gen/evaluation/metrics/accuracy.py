"""Right or wrong, image by image, from the stored ranks and classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def within(ranks: NDArray[np.integer], top: int) -> NDArray[np.bool_]:
    """Whether the true class is among the `top` best.

    Args:
        ranks: int (N,), rank of the true class, 1 = best; 0 where there is none.
        top: 1 for top-1 accuracy, 5 for top-5.

    Returns:
        bool (N,), False where there is no rank.
    """
    found: NDArray[np.bool_] = (ranks >= 1) & (ranks <= top)
    return found


def merged(
    predicted: NDArray[np.integer], labels: NDArray[np.integer], groups: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Whether the predicted class has the true class's name, or is it.

    Two classes of one name have equal prompts and equal logits: the one with the larger index can
    never be predicted. Counted as one class, neither is at a disadvantage.

    Args:
        predicted: int (N,), class with the largest logit; -1 where there is none.
        labels: int (N,), true class.
        groups: int (C,), one number per class, the same for classes of one name.

    Returns:
        bool (N,), False where nothing was predicted.
    """
    there = predicted >= 0
    found: NDArray[np.bool_] = there & (groups[np.where(there, predicted, 0)] == groups[labels])
    return found
