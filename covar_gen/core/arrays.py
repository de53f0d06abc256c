"""The two arrays that flow through every plugin, and what a plugin may answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""uint8 (H, W, 3), RGB in [0, 255]."""

Mask: TypeAlias = NDArray[np.bool_]
"""bool (H, W), True on the object."""

Matrix: TypeAlias = NDArray[np.float64]
"""float64 (3, 3), acts on columns (x, y, 1); pixel centres at integers."""

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True)
class Rejected:
    """A refused item: it stays in its table as a row with this reason.

    Attributes:
        reason: a slug (lower case, underscores), counted at the end of a stage.
        params: measurements that led to it, kept in the row's `params`.
        columns: measurements that have columns of their own in the table.
        again: whether other randomness may give something better: the item is then made again
            with the next attempt's seed, up to the stage's limit.
    """

    reason: str
    params: dict[str, Json] = field(default_factory=dict)
    columns: dict[str, object] = field(default_factory=dict)
    again: bool = False


def check_image(image: NDArray[np.generic], what: str) -> Image:
    """The array itself if it is an `Image`.

    Raises:
        ValueError: expected and actual shape and dtype.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004
        msg = f"{what}: expected uint8 (H, W, 3), got {image.dtype} {image.shape}"
        raise ValueError(msg)
    return image  # type: ignore[return-value]


def check_mask(mask: NDArray[np.generic], size: tuple[int, ...], what: str) -> Mask:
    """The array itself if it is a `Mask` of that height and width.

    Raises:
        ValueError: expected and actual shape and dtype.
    """
    if mask.dtype != np.bool_ or mask.shape != size[:2]:
        msg = f"{what}: expected bool {size[:2]}, got {mask.dtype} {mask.shape}"
        raise ValueError(msg)
    return mask  # type: ignore[return-value]
