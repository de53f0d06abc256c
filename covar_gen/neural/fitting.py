"""Photographs brought to a size that a model takes, and its pictures brought back."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from covar_gen.core.arrays import Image, Mask

Size: TypeAlias = tuple[int, int]
"""(height, width), pixels."""

SHORTEST = 64
"""Edge in pixels below which some of the classes refuse a picture."""

LONGEST = 8
"""How many times as long as wide a picture may be; some of the classes refuse longer ones."""


def near_area(photograph: Size, native: int, multiple: int) -> Size:
    """The canvas of at most native x native pixels with nearly the photograph's shape.

    Args:
        photograph: its size.
        native: edge of the square that the canvas does not exceed in area.
        multiple: of which its edges are multiples.

    Returns:
        Of the sizes around the exact one, that of the nearest shape; of equals, the largest. No
        edge is shorter than SHORTEST, whatever the area.
    """
    height, width = photograph
    ideal = (native * math.sqrt(height / width), native * math.sqrt(width / height))
    least = -(-SHORTEST // multiple)
    rows, columns = (
        [max(least, math.floor(edge / multiple) + more) * multiple for more in (0, 1)]
        for edge in ideal
    )
    sizes = [(h, w) for h in rows for w in columns if h * w <= native * native]
    wanted = math.log(height / width)
    return min(
        sizes or [(rows[0], columns[0])],
        key=lambda size: (abs(math.log(size[0] / size[1]) - wanted), -size[0] * size[1]),
    )


def resized(image: Image, size: Size) -> Image:
    """An image of another size, by Lanczos' filter; itself if it has that size.

    Args:
        image: uint8 (H, W, 3), RGB.
        size: wanted.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    from PIL import Image as Pillow

    if image.shape[:2] == size:
        return image
    found = Pillow.fromarray(image).resize(size[::-1], Pillow.Resampling.LANCZOS)
    return np.asarray(found, np.uint8)


def repainted(fill: Mask, size: Size, cell: int) -> Mask:
    """What of the canvas is repainted: every square cell in which anything to repaint lies.

    A cell at the object's edge that stayed would keep a rim of the old background.

    Args:
        fill: bool (H, W), True where the photograph is to be repainted.
        size: of the canvas, in multiples of the cell.
        cell: edge of the cells, pixels of the canvas.

    Returns:
        bool (height, width).
    """
    from PIL import Image as Pillow

    levels = Pillow.fromarray(fill.astype(np.uint8) * 255)
    covered = np.asarray(levels.resize(size[::-1], Pillow.Resampling.BOX)) > 0
    rows, columns = (edge // cell for edge in size)
    cells = covered.reshape(rows, cell, columns, cell).any((1, 3))
    return np.repeat(np.repeat(cells, cell, 0), cell, 1)
