"""What Zero123++ is shown, and what becomes of the canvas that it paints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.imaging import object_box

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

GREY = 127
"""Level of the grey that the model was trained before."""

COLUMNS, ROWS = 2, 3
"""How views lie on the canvas, row by row."""

BORDER = 4
"""Width of a tile's frame from which its ground's colour is taken, pixels."""


@dataclass(frozen=True)
class Cutout:
    """An object cut out and put into the middle of a grey square.

    Attributes:
        picture: RGB.
        side: of the square in the photograph's pixels.
    """

    picture: Picture
    side: int


def cutout(image: Image, mask: Mask, share: float) -> Cutout:
    """The object alone before grey, centred in a square.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: bool (H, W), True on the object; not empty.
        share: of the square's side that the object's longer side takes, in (0, 1].

    Returns:
        The square, its pixels those of the photograph: nothing is resampled.
    """
    from PIL import Image as Pillow

    box = object_box(mask)
    assert box is not None
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    side = max(round(max(width, height) / share), width, height)
    canvas = np.full((side, side, 3), GREY, np.uint8)
    x, y = (side - width) // 2, (side - height) // 2
    inside = mask[top:bottom, left:right, None]
    place = canvas[y : y + height, x : x + width]
    place[...] = np.where(inside, image[top:bottom, left:right], place)
    return Cutout(Pillow.fromarray(canvas), side)


def centre_square(image: Image) -> Picture:
    """The largest square in the middle of a photograph: all that the model sees of it."""
    from PIL import Image as Pillow

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return Pillow.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))


def levels(canvas: NDArray[np.float32]) -> Image:
    """Pixels in [0, 1] as grey levels, uint8; what is not a number is 0."""
    return np.rint(np.nan_to_num(canvas) * 255).astype(np.uint8)


def tiles(canvas: NDArray[np.float32]) -> list[Image]:
    """The six views of a canvas, in the order of the poses.

    Args:
        canvas: float32 (3 h, 2 w, 3), RGB in [0, 1].

    Returns:
        Six of uint8 (h, w, 3).
    """
    height, width = canvas.shape[0] // ROWS, canvas.shape[1] // COLUMNS
    whole = levels(canvas)
    return [
        np.ascontiguousarray(
            whole[row * height : (row + 1) * height, column * width : (column + 1) * width]
        )
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]


def lifted(tile: Image, threshold: float, part: float) -> Mask:
    """The object of a tile: what differs from the grey ground.

    Args:
        tile: uint8 (h, w, 3), RGB.
        threshold: grey levels by which some channel differs from the ground's colour, which is
            the median of the tile's frame.
        part: connected parts smaller than this fraction of the largest are left out.

    Returns:
        bool (h, w), holes closed: grey inside the object's outline belongs to it.
    """
    from scipy.ndimage import binary_fill_holes

    frame = np.concatenate(
        [
            tile[:BORDER].reshape(-1, 3),
            tile[-BORDER:].reshape(-1, 3),
            tile[:, :BORDER].reshape(-1, 3),
            tile[:, -BORDER:].reshape(-1, 3),
        ]
    )
    ground = np.median(frame, axis=0)
    distance = np.abs(tile.astype(np.float32) - ground.astype(np.float32)).max(axis=2)
    return largest_parts(np.asarray(binary_fill_holes(distance > threshold), np.bool_), part)


def largest_parts(mask: Mask, part: float) -> Mask:
    """Connected parts (4 neighbours) of at least a fraction of the largest one's area."""
    import cv2

    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return mask
    kept = 1 + np.flatnonzero(areas >= part * areas.max())
    return np.isin(numbers, kept)


def by_normals(tile: Image, threshold: float, part: float) -> Mask:
    """The object of a tile of surface normals: where they are long.

    Args:
        tile: uint8 (h, w, 3): view-space normals, -1 as 0 and 1 as 255; the ground is grey, which
            is no direction at all.
        threshold: shortest normal that counts as a surface, in (0, 1).
        part: as of `lifted`.

    Returns:
        bool (h, w), holes closed.
    """
    from scipy.ndimage import binary_fill_holes

    length = np.linalg.norm(tile.astype(np.float32) / 127.5 - 1, axis=2)
    return largest_parts(np.asarray(binary_fill_holes(length > threshold), np.bool_), part)


def on_frame(tile: Image, mask: Mask | None, size: tuple[int, int]) -> tuple[Image, Mask | None]:
    """A square tile in the middle of a frame of grey, as large as it fits.

    Args:
        tile: uint8 (h, h, 3), RGB.
        mask: bool (h, h), True on the object, if it is known.
        size: height and width of the frame, pixels.

    Returns:
        The frame, and the mask on it.
    """
    from PIL import Image as Pillow

    side = min(size)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    found = np.full((*size, 3), GREY, np.uint8)
    grown = Pillow.fromarray(tile).resize((side, side), Pillow.Resampling.LANCZOS)
    found[top : top + side, left : left + side] = np.asarray(grown)
    if mask is None:
        return found, None
    there = np.zeros(size, np.bool_)
    there[top : top + side, left : left + side] = _resized(mask, (side, side)) >= 0.5  # noqa: PLR2004 - half
    return found, there


def recomposed(
    tile: Image, mask: Mask, background: Image, box: tuple[int, int, int, int]
) -> tuple[Image, Mask] | None:
    """The object of a tile in the place of the parent's object.

    It is scaled so that its longer side is that of the parent's object, and stands where that
    stood: centred on it sideways, on its lower edge. What leaves the frame is cut off.

    Args:
        tile: uint8 (h, h, 3), RGB.
        mask: bool (h, h), True on its object; not empty.
        background: uint8 (H, W, 3): the parent without its object.
        box: left, top, right, bottom of the parent's object, pixels.

    Returns:
        The image and its mask; None if nothing of the object is in the frame.
    """
    from PIL import Image as Pillow

    found = object_box(mask)
    assert found is not None
    left, top, right, bottom = found
    wide, high = right - left, bottom - top
    scale = max(box[2] - box[0], box[3] - box[1]) / max(wide, high)
    new = (max(round(wide * scale), 1), max(round(high * scale), 1))
    alpha = _resized(mask[top:bottom, left:right], new)
    # Colours are spread beyond the outline first, so that no grey is mixed into the edge.
    spread = _spread(tile, mask)[top:bottom, left:right]
    colours = np.asarray(Pillow.fromarray(spread).resize(new, Pillow.Resampling.LANCZOS))
    x = round((box[0] + box[2] - new[0]) / 2)
    y = box[3] - new[1]
    height, width = background.shape[:2]
    rows, columns = (
        slice(max(y, 0), min(y + new[1], height)),
        slice(max(x, 0), min(x + new[0], width)),
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    inner = (slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x))
    share = alpha[inner][..., None]
    image = background.copy()
    mixed = share * colours[inner] + (1 - share) * background[rows, columns]
    image[rows, columns] = np.rint(mixed).astype(np.uint8)
    there = np.zeros(background.shape[:2], np.bool_)
    there[rows, columns] = share[..., 0] >= 0.5  # noqa: PLR2004 - half covered
    return (image, there) if there.any() else None


def _resized(mask: Mask, size: tuple[int, int]) -> NDArray[np.float32]:
    """A mask at another size (width, height): float32 (height, width), covered share in [0, 1]."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(mask.astype(np.uint8) * 255)
    grown = np.asarray(picture.resize(size, Pillow.Resampling.BILINEAR), np.float32) / 255
    return np.asarray(grown, np.float32)


def _spread(tile: Image, mask: Mask) -> Image:
    """A tile whose pixels outside a mask have the colour of the nearest pixel well inside."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    inner = binary_erosion(mask)
    source = inner if inner.any() else mask
    nearest = distance_transform_edt(~source, return_distances=False, return_indices=True)
    return np.ascontiguousarray(tile[tuple(nearest)])
