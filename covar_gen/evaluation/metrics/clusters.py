"""Sums over the images of each cluster, and clusters that have the same sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sums_by(
    clusters: NDArray[np.integer], cells: NDArray[np.integer], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """How many images there are of each cluster in each cell.

    Args:
        clusters: int (N,), cluster of each image, in [0, S).
        cells: int (N,), its cell, in [0, K).
        shape: (S, K).

    Returns:
        float64 (S, K), whole numbers.
    """
    flat = np.bincount(clusters.astype(np.int64) * shape[1] + cells, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)


def distinct(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Different rows, and how many there are of each.

    Rows are told apart by a 64-bit hash of their numbers, because to compare them column by
    column takes far longer; two different rows in a hundred thousand meet with a probability of
    less than 1e-9.

    Args:
        rows: float64 (S, K).

    Returns:
        float64 (G, K) in an order that depends on the rows' content alone, and int64 (G,).
    """
    if not len(rows):
        return rows, np.zeros(0, np.int64)
    mixer = np.random.Generator(np.random.PCG64(2**31 - 1))
    odd = mixer.integers(0, 2**63, rows.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    # -0.0 + 0.0 = 0.0: equal numbers get equal bits.
    bits = np.ascontiguousarray(rows + 0.0).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(29))) * odd
    bits ^= bits >> np.uint64(32)
    bits *= odd
    _, first, counts = np.unique(bits.sum(axis=1), return_index=True, return_counts=True)
    return rows[first], counts.astype(np.int64)
