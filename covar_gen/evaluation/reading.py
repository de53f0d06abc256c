"""Images read once for all models: decoded, resized to every grid that is wanted, in batches.

Threads decode ahead of the towers. What a batch holds depends on its rows alone: an image that
cannot be read keeps its place, black and marked, so that no other image meets other neighbours.
"""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import PhotographsError
from covar_gen.evaluation.data import Data
from covar_gen.evaluation.images import decode, fill
from covar_gen.evaluation.preprocessing import Grid

if TYPE_CHECKING:
    import torch

UNREADABLE, ANOTHER_FILE = "unreadable", "not_the_file_of_its_row"
"""Reasons why an image is rejected before it is decoded."""
PASSING = {
    errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ENOTCONN,
    errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOMEM, errno.EAGAIN,
}  # fmt: skip
"""What a disk or a network says in passing: it stops the work, which can go on, and rejects no
image for ever."""
AHEAD = 3
"""Batches that are decoded ahead of the one the towers have."""


@dataclass(frozen=True)
class Batch:
    """Images that go through the towers together.

    Attributes:
        rows: which rows of the data.
        pixels: for each grid uint8 (B, 3, h, w), black where the image was rejected.
        reasons: why an image was rejected; None where it was not.
        content: first 63 bits of the SHA-256 of each encoded image; 0 where it could not be read.
        sizes: height and width of each decoded image; (0, 0) where it was rejected.
    """

    rows: Sequence[int]
    pixels: dict[Grid, torch.Tensor]
    reasons: list[str | None]
    content: list[int]
    sizes: list[tuple[int, int]]


class _Reading:
    """A batch while threads fill it."""

    def __init__(
        self, data: Data, rows: Sequence[int], grids: Sequence[Grid], *, pin: bool
    ) -> None:
        import torch

        size = len(rows)
        self.data = data
        self.batch = Batch(
            rows,
            {
                grid: torch.zeros(
                    (size, 3, grid.height, grid.width), dtype=torch.uint8, pin_memory=pin
                )
                for grid in grids
            },
            [None] * size,
            [0] * size,
            [(0, 0)] * size,
        )
        self._memory = {grid: pixels.numpy() for grid, pixels in self.batch.pixels.items()}

    def read(self, place: int, expected: str | None) -> None:
        """Read one image into its place.

        Args:
            place: in the batch.
            expected: SHA-256 that the file must have; None: any.
        """
        self.batch.reasons[place] = self._read(place, expected)

    def _read(self, place: int, expected: str | None) -> str | None:
        try:
            encoded = self.data.read(self.batch.rows[place])
        except OSError as error:
            if error.errno in PASSING:
                raise
            return UNREADABLE
        sha256 = hashlib.sha256(encoded)
        self.batch.content[place] = int.from_bytes(sha256.digest()[:8], "big") >> 1
        if expected is not None and sha256.hexdigest() != expected:
            return ANOTHER_FILE
        image = decode(encoded)
        if isinstance(image, Rejected):
            return image.reason
        self.batch.sizes[place] = image.shape[:2]
        fill(image, self._memory, place)
        return None


def batches(
    data: Data,
    wanted: Iterable[Sequence[int]],
    grids: Sequence[Grid],
    threads: int,
    *,
    pin: bool = False,
) -> Iterator[Batch]:
    """Batches in the order of `wanted`, a few of them made ahead.

    Args:
        data: the images.
        wanted: the rows of each batch.
        grids: what every image is resized to.
        threads: that decode; their number changes nothing but the time.
        pin: keep batches in memory that a GPU copies from at once.
    """
    sums = data.rows["sha256"] if "sha256" in data.rows.column_names else None
    waiting: deque[tuple[_Reading, list[Future[None]]]] = deque()

    def finished() -> Batch:
        reading, futures = waiting.popleft()
        for future in futures:
            future.result()
        if len(futures) > 1 and set(reading.batch.reasons) == {UNREADABLE}:
            what = f"none of {len(futures)} images in a row can be read"
            mend = "See that the images are where they were, then type the same command again"
            raise PhotographsError(what, where=data.place, mend=mend)
        return reading.batch

    with ThreadPoolExecutor(threads) as pool:
        for rows in wanted:
            reading = _Reading(data, rows, grids, pin=pin)
            expected = sums.take(list(rows)).to_pylist() if sums is not None else [None] * len(rows)
            waiting.append(
                (reading, [pool.submit(reading.read, n, e) for n, e in enumerate(expected)])
            )
            if len(waiting) > AHEAD:
                yield finished()
        while waiting:
            yield finished()
