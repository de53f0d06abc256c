"""The ground in perspective: a height field in metres, shaded and seen from eye level.

A grid of samples lies on the ground: one column per column of pixels, rows at rising distance.
Painters make heights and colours on that grid; `Ground.render` finds for every pixel the first
sample on its line of sight. So hills hide what is behind them and textures shrink with distance.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from covar_gen.editors._scenes.canvas import Canvas, Colour, Floats, blended, brighten
from covar_gen.editors._scenes.noise import NoiseTile

_OVER = 2
"""Rows per pixel row when ridges are drawn: their edges are smooth after averaging."""


class Ground:
    """A piece of ground before the viewer.

    Attributes:
        z: float32 (N, 1), distance of each sample row in metres.
        x: float32 (N, W), sideways position in metres, 0 straight ahead, positive right.
        horizon: row of the horizon, in pixels.
        focal: pixels per metre at one metre.
        eye: height of the viewer's eye above height 0, in metres.
    """

    def __init__(
        self,
        canvas: Canvas,
        horizon: float,
        eye: float = 1.6,
        far: float = 500,
        middle: float = 0.5,
    ) -> None:
        self.canvas = canvas
        self.horizon = horizon * canvas.height
        self.focal = 0.95 * float(np.sqrt(canvas.height * canvas.width))
        self.eye = eye
        self.middle = middle * canvas.width
        below = max(canvas.height - self.horizon, 1.0)
        # One sample per pixel row of flat ground nearby; from there on steps of a fixed share of
        # the distance, so that far crests are found exactly too.
        split = 0.2 * below
        near = self.focal * eye / np.linspace(1.25 * below, split, max(int(1.1 * below), 40))
        steps = int(np.log(max(far / near[-1], 2)) * min(max(split, 60), 90)) + 2
        beyond = np.geomspace(near[-1], max(far, 2 * near[-1]), steps)[1:]
        self.z = np.concatenate([near, beyond]).astype(np.float32)[:, None]
        columns = np.arange(canvas.width, dtype=np.float32)[None]
        self._u = (columns - np.float32(self.middle)) / np.float32(self.focal)
        self.x: Floats = self._u * self.z
        self._fine, self._coarse = NoiseTile(canvas), NoiseTile(canvas, 16)
        self._height: Floats = np.zeros_like(self.x)
        # Metres on the ground per pixel row: what is finer cannot be shown.
        self._grain = np.maximum(np.gradient(self.z[:, 0])[:, None], self.z / self.focal)

    def noise(
        self, cell: float, octaves: int = 5, gain: float = 0.5, stretch: float = 1.0
    ) -> Floats:
        """Fractal noise lying on the ground, faded where it is too fine to be seen.

        Args:
            cell: size of the coarsest blobs in metres.
            octaves: number of fields summed.
            gain: strength of each field relative to the one before.
            stretch: how much longer the blobs are sideways than in depth.

        Returns:
            float32 (N, W), roughly in [-1, 1].
        """
        total = np.zeros_like(self.x)
        strength, norm = 1.0, 0.0
        for octave in range(octaves):
            size = cell / 2**octave
            angle = 0.0 if stretch != 1 else self.canvas.draw(0, 6.283)
            cos, sin = np.float32(np.cos(angle) * 2 / size), np.float32(np.sin(angle) * 2 / size)
            fade = np.clip(size / (self._grain * 2.0) - 0.5, 0, 1).astype(np.float32)
            shift = self.canvas.draws(2, 0, 200)
            near = slice(0, int(np.count_nonzero(fade)))
            norm += strength * strength
            strength *= gain
            if near.stop == 0:
                break
            across = self.x[near] / np.float32(stretch)
            tile = self._coarse if size > 1 else self._fine
            field = tile.at(
                across * cos - self.z[near] * sin + np.float32(shift[0]),
                across * sin + self.z[near] * cos + np.float32(shift[1]),
            )
            total[near] += field * (np.float32(strength / gain) * fade[near])
        return cast("Floats", total / np.float32(np.sqrt(norm)))

    @staticmethod
    def ledges(field: NDArray[Any], steps: float) -> Floats:
        """A field with `steps` flat terraces per unit, and steep but not upright faces between."""
        scaled = field * np.float32(steps)
        level = np.rint(scaled)
        rest = scaled - level
        return cast("Floats", (level + rest * (2 * np.abs(rest)) ** 3) / np.float32(steps))

    def scatter(
        self, count: int, near: float, far: float, power: float = 2.0, side: float = 0.62
    ) -> NDArray[np.float64]:
        """Random spots on the rendered ground, the far ones first.

        Args:
            count: how many.
            near: least distance, metres.
            far: greatest distance, metres.
            power: 1 spreads them evenly in distance; more puts more of them near.
            side: half width of the strip, as a share of the picture's width; above 0.5 some lie
                outside.

        Returns:
            (count, 3): column and row in pixels, pixels per metre.
        """
        z = near + (far - near) * np.sort(self.canvas.draws(count, 0, 1))[::-1] ** power
        columns = self.middle + self.canvas.draws(count, -side, side) * self.canvas.width
        rows = np.clip(np.searchsorted(self.z[:, 0], z), 0, len(self.z) - 1)
        beside = np.clip(columns, 0, self.canvas.width - 1).astype(np.intp)
        scale = self.focal / z
        row = self.horizon + (self.eye - self._height[rows, beside]) * scale
        return np.stack([columns, row, scale], axis=1)

    def fade(self, size: float) -> Floats:
        """float32 (N, 1): 1 where something of `size` metres can be seen, 0 where it cannot."""
        share = np.clip(size / (self._grain * 1.5) - 0.5, 0, 1)
        return np.asarray(share, np.float32)

    def light(self, height: NDArray[Any], sun: tuple[float, float, float]) -> Floats:
        """Lambert shading of a height field.

        Args:
            height: float32 (N, W), metres.
            sun: direction to it (right, up, away from the viewer), any length.

        Returns:
            float32 (N, W): cosine of the angle to the sun, negative in shade.
        """
        across = np.gradient(height, axis=1) * (self.focal / self.z)
        along = np.gradient(height, axis=0) / np.gradient(self.z[:, 0])[:, None]
        along -= self._u * across
        right, up, away = np.asarray(sun) / np.linalg.norm(sun)
        shade = (up - across * right - along * away) / np.sqrt(1 + across**2 + along**2)
        return cast("Floats", shade.astype(np.float32))

    def hazed(self, colour: NDArray[Any], haze: Colour, distance: float) -> Floats:
        """Colours that fade into the air's colour; half of them is left at `distance` metres."""
        share = 1 - 0.5 ** (self.z / np.float32(distance))
        return blended(colour, haze, np.broadcast_to(share, colour.shape[:2]))

    def render(self, height: NDArray[Any], colour: NDArray[Any]) -> None:
        """Paint the ground over the canvas.

        Args:
            height: float32 (N, W), metres.
            colour: float32 (N, W, 3).
        """
        self._height = np.asarray(height, np.float32)
        canvas, count = self.canvas, len(self.z)
        screen = (self.horizon + self.focal * (self.eye - height) / self.z).astype(np.float32)
        nearest = np.minimum.accumulate(screen, axis=0)
        top = int(np.clip(nearest[-1].min() - 1, 0, canvas.height - 1))
        rows = (canvas.height - top) * _OVER
        # A sample hides all rows below it: count, per row, the samples above which it lies.
        ends = np.ceil((nearest + (0.5 - top)) * _OVER - 0.5)
        ends = np.clip(ends, 0, rows).astype(np.intp)
        ends *= canvas.width
        ends += np.arange(canvas.width)
        hits = np.bincount(ends.ravel(), minlength=(rows + 1) * canvas.width)
        passed = hits.reshape(rows + 1, canvas.width)[:0:-1].cumsum(axis=0)[::-1]
        seen = (passed < count).astype(np.float32)
        behind = np.clip(passed, 1, count - 1)
        upper = np.take_along_axis(screen, behind, axis=0)
        lower = np.take_along_axis(screen, behind - 1, axis=0)
        y = ((np.arange(rows, dtype=np.float32) + 0.5) / _OVER - 0.5 + top)[:, None]
        share = np.clip((lower - y) / np.maximum(lower - upper, 1e-3), 0, 1)
        self._cover(top, seen, (behind - 1 + share).astype(np.float32), colour)

    def _cover(self, top: int, seen: Floats, at: Floats, colour: NDArray[Any]) -> None:
        """Average the fine rows from pixel row `top` on and lay them over the canvas."""
        import cv2

        columns = np.arange(self.canvas.width, dtype=np.float32)
        picture = cv2.remap(
            np.ascontiguousarray(colour, np.float32),
            np.ascontiguousarray(np.broadcast_to(columns, at.shape)),
            at,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        brighten(picture, seen)
        pixels = self.canvas.pixels[top:]
        brighten(pixels, 1 - np.mean([seen[i::_OVER] for i in range(_OVER)], axis=0))
        pixels += np.mean([picture[i::_OVER] for i in range(_OVER)], axis=0)

    def spot(self, x: float, z: float) -> tuple[float, float, float]:
        """Where a point of the rendered ground is seen.

        Args:
            x: metres to the right.
            z: metres ahead.

        Returns:
            Column and row in pixels, and pixels per metre there.
        """
        scale = self.focal / z
        column = self.middle + x * scale
        row = int(np.clip(np.searchsorted(self.z[:, 0], z), 0, len(self.z) - 1))
        beside = int(np.clip(column, 0, self.canvas.width - 1))
        height = float(self._height[row, beside])
        return column, self.horizon + (self.eye - height) * scale, scale

    def project(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points (N, 3), metres (right, up, ahead), to pixels (N, 2); `ahead` must be positive."""
        points = np.asarray(points, np.float64)
        scale = self.focal / np.maximum(points[:, 2], 0.05)
        return np.stack(
            [
                self.middle + points[:, 0] * scale,
                self.horizon + (self.eye - points[:, 1]) * scale,
            ],
            axis=1,
        )
