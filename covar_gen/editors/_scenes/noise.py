"""Fractal noise: sums of smooth random fields, each twice as fine and about half as strong."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from covar_gen.editors._scenes.canvas import Canvas, Floats

TILE = 256
"""Side of the periodic noise tile."""


def fractal(
    canvas: Canvas,
    cell: tuple[float, float],
    octaves: int = 5,
    gain: float = 0.5,
    size: tuple[int, int] | None = None,
) -> Floats:
    """Noise over the picture, or over a field of another size.

    Args:
        canvas: gives the size, the unit and the randomness.
        cell: (height, width) of the coarsest blobs, in units.
        octaves: number of fields summed; those finer than two pixels are left out.
        gain: strength of each field relative to the one before.
        size: (height, width) in pixels; the canvas's own if left out.

    Returns:
        float32 (height, width), roughly in [-1, 1], mean about 0.
    """
    import cv2

    height, width = size or (canvas.height, canvas.width)
    total = np.zeros((height, width), np.float32)
    strength, norm = 1.0, 0.0
    for octave in range(octaves):
        tall, wide = (edge * canvas.unit / 2**octave for edge in cell)
        if octave and min(tall, wide) < 2:  # noqa: PLR2004
            break
        rows, columns = int(height / tall) + 4, int(width / wide) + 4
        grid = canvas.draws(rows * columns, -1, 1).reshape(rows, columns).astype(np.float32)
        # The grid is moved by a random part of a cell, so that the fields' lattices never meet.
        move = np.array(
            [
                [1 / wide, 0, 1 + canvas.draw(0, 1)],
                [0, 1 / tall, 1 + canvas.draw(0, 1)],
            ]
        )
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        field = cv2.warpAffine(
            grid, move, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        total += field * np.float32(strength)
        norm += strength * strength
        strength *= gain
    return cast("Floats", total / np.float32(np.sqrt(norm)))


class NoiseTile:
    """One periodic field of smooth noise that is looked up at any coordinates.

    Args:
        canvas: gives the randomness.
        steps: table entries per blob. OpenCV looks coordinates up at 1/32 entry and joins entries
            by straight lines; blobs many pixels wide need 16 steps lest that be seen.
    """

    def __init__(self, canvas: Canvas, steps: int = 2) -> None:
        import cv2

        side = TILE // 2 if steps == 2 else 2 * TILE // steps  # noqa: PLR2004
        grid = canvas.draws(side * side, -1, 1).reshape(side, side).astype(np.float32)
        padded = np.pad(grid, 4, mode="wrap")
        smooth = cv2.resize(padded, None, fx=steps, fy=steps, interpolation=cv2.INTER_CUBIC)
        edge = 4 * steps
        self._tile = np.ascontiguousarray(smooth[edge:-edge, edge:-edge])
        self._side = np.float32(side * steps)
        self._scale = np.float32(steps / 2)

    def at(self, x: NDArray[Any], y: NDArray[Any]) -> Floats:
        """Noise at coordinates of the same shape (H, W); blobs are about 2 wide.

        Returns:
            float32 (H, W), roughly in [-1, 1].
        """
        import cv2

        # Wrapped here, because OpenCV saturates coordinates beyond 32767.
        wrapped = []
        for value in (x, y):
            entry = np.asarray(value, np.float32) * self._scale
            entry -= np.floor(entry * (1 / self._side)) * self._side
            wrapped.append(entry)
        field = cv2.remap(
            self._tile, wrapped[0], wrapped[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        return cast("Floats", field)
