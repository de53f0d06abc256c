"""Images read once for all models: decoded, resized to every grid that is wanted, in batches.

Threads decode ahead of the towers. What a batch holds depends on its rows alone: an image that
cannot be read keeps its place, black and marked, so that no other image meets other neighbours.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from covar_gen.core.arrays import Rejected
from covar_gen.evaluation.data import Data
from covar_gen.evaluation.images import decode, make_grids
from covar_gen.evaluation.preprocessing import Grid

if TYPE_CHECKING:
    import torch

AHEAD = 3
"""Batches that are decoded ahead of the one the towers have."""

Rows = tuple[int, int]
"""First row, and the row after the last."""


@dataclass(frozen=True)
class Batch:
    """Consecutive images.

    Attributes:
        rows: which.
        pixels: for each grid uint8 (B, 3, h, w), black where the image was rejected.
        reasons: why an image was rejected; None where it was not.
        content: first 63 bits of the SHA-256 of each encoded image; 0 where it could not be read.
    """

    rows: Rows
    pixels: dict[Grid, torch.Tensor]
    reasons: list[str | None]
    content: list[int]


@dataclass(frozen=True)
class _One:
    pixels: dict[Grid, torch.Tensor]
    reason: str | None
    content: int


def batches(
    data: Data, wanted: Iterable[Rows], grids: Sequence[Grid], threads: int, *, pin: bool = False
) -> Iterator[Batch]:
    """Batches in the order of `wanted`, a few of them made ahead.

    Args:
        data: the images.
        wanted: the rows of each batch.
        grids: what every image is resized to.
        threads: that decode; their number changes nothing but the time.
        pin: keep batches in memory that a GPU copies from at once.
    """
    sums = data.rows["sha256"].combine_chunks() if "sha256" in data.rows.column_names else None
    with ThreadPoolExecutor(threads) as pool:

        def one(row: int) -> _One:
            expected = sums[row].as_py() if sums is not None else None
            return _read(data, row, expected, grids)

        waiting: deque[tuple[Rows, list[Future[_One]]]] = deque()
        for rows in wanted:
            waiting.append((rows, [pool.submit(one, row) for row in range(*rows)]))
            if len(waiting) > AHEAD:
                yield _batch(*waiting.popleft(), grids, pin=pin)
        while waiting:
            yield _batch(*waiting.popleft(), grids, pin=pin)


def _read(data: Data, row: int, expected: str | None, grids: Sequence[Grid]) -> _One:
    try:
        encoded = data.read(row)
    except OSError:
        return _One({}, "unreadable", 0)
    sha256 = hashlib.sha256(encoded)
    content = int.from_bytes(sha256.digest()[:8], "big") >> 1
    if expected is not None and sha256.hexdigest() != expected:
        return _One({}, "not_the_file_of_its_row", content)
    image = decode(encoded)
    if isinstance(image, Rejected):
        return _One({}, image.reason, content)
    return _One(make_grids(image, grids), None, content)


def _batch(rows: Rows, futures: list[Future[_One]], grids: Sequence[Grid], *, pin: bool) -> Batch:
    import torch

    found = [future.result() for future in futures]
    pixels = {}
    for grid in grids:
        black = torch.zeros(3, grid.height, grid.width, dtype=torch.uint8)
        stacked = torch.stack([one.pixels.get(grid, black) for one in found])
        pixels[grid] = stacked.pin_memory() if pin else stacked
    return Batch(rows, pixels, [one.reason for one in found], [one.content for one in found])
