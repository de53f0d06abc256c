"""Things that grow: blades, leaves, fronds, limbs, crowns and firs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covar_gen.editors._scenes.canvas import Canvas, Colour, blended, mix, smoothstep
from covar_gen.editors._scenes.noise import NoiseTile

Points = NDArray[np.float64]


def blades(
    canvas: Canvas,
    feet: NDArray[Any],
    tall: NDArray[Any],
    colours: tuple[Colour, Colour],
    lean: float = 0.35,
    wide: float = 0.035,
) -> None:
    """Grass, reeds or straw, each blade bent by the wind, drawn in the given order.

    Args:
        canvas: painted in place.
        feet: (N, 2) pixels.
        tall: (N,) pixels.
        colours: of the darkest and of the brightest blade.
        lean: how far tips bend sideways, as a share of the blade's length.
        wide: width at the foot, as a share of the length; at least 0.7 pixels.
    """
    count = len(feet)
    if not count:
        return
    wind = canvas.draw(-0.5, 0.5)
    bend = (canvas.draws(count, -1, 1) + wind) * lean * tall
    half = np.maximum(tall * wide, 0.7) / 2 * canvas.draws(count, 0.7, 1.3)
    steps = np.array([0, 0.4, 0.75, 1.0])
    spine_x = feet[:, :1] + bend[:, None] * steps**2
    spine_y = feet[:, 1:] - tall[:, None] * (steps - 0.12 * np.abs(bend / tall)[:, None] * steps**3)
    width = half[:, None] * np.array([1, 0.85, 0.5, 0.12])
    left = np.stack([spine_x - width, spine_y], axis=2)
    right = np.stack([spine_x + width, spine_y], axis=2)[:, ::-1]
    tones = blended(colours[0], colours[1], canvas.draws(count, 0, 1) ** 1.3)
    canvas.shapes(np.concatenate([left, right], axis=1), tones.tolist())


def almonds(
    at: NDArray[Any], angles: NDArray[Any], lengths: NDArray[Any], wide: float
) -> tuple[Points, Points]:
    """The two halves of almond-shaped leaves, to be filled in two tones.

    Args:
        at: (M, 2) where their stalks end, pixels.
        angles: (M,) the ways they point, radians, 0 right, positive down.
        lengths: (M,) pixels.
        wide: full width as a share of the length.

    Returns:
        Two arrays (M, N, 2), pixels.
    """
    along = np.linspace(0, 1, 8)
    out = np.sin(np.pi * along**0.8) * wide / 2
    droop = 0.12 * along**2
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    halves = []
    for side in (-1, 1):
        x = np.concatenate([along, along[::-1]])[None] * lengths[:, None]
        y = np.concatenate([side * out + droop, droop[::-1]])[None] * lengths[:, None]
        half = np.stack([at[:, :1] + x * cos - y * sin, at[:, 1:] + x * sin + y * cos], axis=2)
        halves.append(half)
    return halves[0], halves[1]


def leaves(
    canvas: Canvas,
    at: NDArray[Any],
    angles: NDArray[Any],
    lengths: NDArray[Any],
    palette: Sequence[Colour],
    wide: float = 0.45,
) -> None:
    """Many leaves, each in a colour of the palette, one half in the light.

    Args:
        canvas: painted in place.
        at: (N, 2) pixels.
        angles: (N,) radians.
        lengths: (N,) pixels.
        palette: colours to choose from.
        wide: full width as a share of the length.
    """
    count = len(at)
    kinds = np.floor(canvas.draws(count, 0, len(palette))).astype(np.intp)
    tones = np.asarray(palette)[kinds] * canvas.draws(count, 0.72, 1.12)[:, None]
    _two_toned(canvas, almonds(at, angles, lengths, wide), (tones * 0.84, tones * 1.08))


def _two_toned(
    canvas: Canvas, halves: tuple[Points, Points], tones: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    """Draw leaf after leaf, first one half, then the other."""
    shapes = np.stack(halves, axis=1).reshape(-1, *halves[0].shape[1:])
    canvas.shapes(shapes, np.stack(tones, axis=1).reshape(-1, 3).tolist())


def frond(
    canvas: Canvas,
    at: tuple[float, float],
    angle: float,
    length: float,
    colours: tuple[Colour, Colour],
    leaflets: int = 26,
    droop: float = 0.5,
) -> None:
    """A palm or fern frond that arches under its weight.

    Args:
        canvas: painted in place.
        at: where it grows, pixels.
        angle: the way it starts, radians, 0 right, positive down.
        length: in pixels.
        colours: of its shaded and its lit leaflets.
        leaflets: on each side.
        droop: how strongly it bends down.
    """
    t = np.linspace(0.08, 1, leaflets)
    x = at[0] + np.cos(angle) * length * t
    y = at[1] + np.sin(angle) * length * t + droop * length * t**2
    heading = np.arctan2(np.gradient(y), np.gradient(x))
    reach = length * 0.34 * np.sin(np.pi * (0.12 + 0.86 * t)) * canvas.draws(leaflets, 0.85, 1.1)
    rib = np.stack([x, y], axis=1)
    side = np.tile([-1.0, 1.0], leaflets)
    ways = np.repeat(heading, 2) + side * np.repeat(0.95 - 0.35 * t, 2)
    light = np.where(side * np.cos(angle) < 0, 0.2, 0.0) + canvas.draws(2 * leaflets, 0, 0.6)
    halves = almonds(np.repeat(rib, 2, axis=0), ways, np.repeat(reach, 2), 0.16)
    tones = [blended(*colours, np.minimum(light + lift, 1)) for lift in (0.0, 0.15)]
    _two_toned(canvas, halves, (tones[0], tones[1]))
    limb(canvas, rib, (length * 0.02, length * 0.004), mix(*colours, 0.6))


def limb(canvas: Canvas, spine: NDArray[Any], wide: tuple[float, float], colour: Colour) -> None:
    """A branch or trunk along a line, lit from the upper left.

    Args:
        canvas: painted in place.
        spine: (N, 2) pixels, from the thick end to the thin one.
        wide: full widths at both ends, pixels.
        colour: of its lit side.
    """
    along = np.gradient(spine, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    normal *= np.where(normal @ np.array([-0.8, -0.6]) < 0, -1, 1)[:, None]
    half = np.linspace(*wide, len(spine))[:, None] / 2
    shapes, tones = [], []
    for start, tone in ((-1.0, 0.5), (-0.5, 0.68), (-0.05, 0.86), (0.4, 1.0), (0.75, 1.14)):
        near, far = spine + normal * half * start, spine + normal * half
        shapes.append(np.concatenate([near, far[::-1]]))
        tones.append((colour[0] * tone, colour[1] * tone, colour[2] * tone))
    canvas.shapes(shapes, tones)


class Foliage:
    """Crowns, bushes and firs made of noise."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._tile = NoiseTile(canvas)

    def crown(
        self,
        at: tuple[float, float],
        wide: float,
        tall: float,
        colours: tuple[Colour, Colour],
        rough: float = 0.75,
        detail: float = 0.3,
    ) -> None:
        """A mass of leaves lit from the upper left.

        Args:
            at: its centre, pixels.
            wide: half width, pixels.
            tall: half height, pixels.
            colours: in shade and in light.
            rough: how ragged the outline is.
            detail: size of the leaf clusters as a share of the crown.
        """
        canvas = self.canvas
        left, right = int(at[0] - wide * 1.35), int(at[0] + wide * 1.35) + 2
        top, bottom = int(at[1] - tall * 1.35), int(at[1] + tall * 1.35) + 2
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, canvas.width), min(bottom, canvas.height)
        shift = canvas.draws(2, 0, 200)
        if right <= left or bottom <= top:
            return
        x = ((np.arange(left, right, dtype=np.float32) - at[0]) / wide)[None]
        y = ((np.arange(top, bottom, dtype=np.float32) - at[1]) / tall)[:, None]
        x, y = np.broadcast_arrays(x, y)
        step = max(detail * min(wide, tall), 1.5)
        u, v = x * (wide / step) + shift[0], y * (tall / step) + shift[1]
        field = self._field(u, v)
        density = 1 - x * x - y * y + rough * field
        alpha = smoothstep(0, min(0.35, 3 / min(wide, tall) + 0.06), density)
        toward = field - self._field(u - 0.45, v - 0.6)
        light = np.clip(0.42 - 0.3 * y - 0.16 * x + 0.5 * toward + 0.12 * field, 0, 1)
        leafage = blended(colours[0], colours[1], light)
        patch = canvas.pixels[top:bottom, left:right]
        for channel in range(3):
            plane = patch[..., channel]
            plane += (leafage[..., channel] - plane) * alpha

    def _field(self, u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.float32]:
        total = self._tile.at(u, v) + 0.6 * self._tile.at(u * 2.1 + 50, v * 2.1 + 90)
        return np.asarray(total + 0.35 * self._tile.at(u * 4.3 + 20, v * 4.3 + 70), np.float32)

    def tree(
        self,
        foot: tuple[float, float],
        tall: float,
        colours: tuple[Colour, Colour],
        bark: Colour,
        wide: float = 0.34,
    ) -> None:
        """A broad-leaved tree.

        Args:
            foot: pixels.
            tall: pixels.
            colours: of the leaves in shade and in light.
            bark: colour of the trunk.
            wide: half width of the crown as a share of the height.
        """
        canvas = self.canvas
        sway = canvas.draw(-0.05, 0.05) * tall
        spine = np.array([[foot[0], foot[1]], [foot[0] + sway, foot[1] - tall * 0.55]])
        limb(canvas, np.linspace(spine[0], spine[1], 5), (tall * 0.06, tall * 0.03), bark)
        top = (foot[0] + sway, foot[1] - tall * 0.66)
        self.crown(top, tall * wide, tall * 0.33, colours)
        for side in (-1, 1):
            lump = (top[0] + side * tall * wide * 0.45, top[1] + tall * canvas.draw(0.02, 0.16))
            self.crown(lump, tall * wide * 0.55, tall * 0.18, colours)

    def fir(
        self,
        foot: tuple[float, float],
        tall: float,
        colours: tuple[Colour, Colour],
        snow: Colour | None = None,
    ) -> None:
        """A fir of drooping tiers, with snow on them if a colour for it is given.

        Args:
            foot: pixels.
            tall: pixels.
            colours: in shade and in light.
            snow: its colour.
        """
        canvas = self.canvas
        tiers = int(np.clip(tall / (canvas.unit * 9), 5, 14))
        shapes: list[Points] = []
        tones: list[Colour] = []
        for tier in range(tiers):
            low = tier / tiers
            half = tall * 0.24 * (1 - low) ** 0.85 * canvas.draw(0.85, 1.12) + tall * 0.012
            base = foot[1] - tall * (0.06 + 0.9 * low)
            high = base - tall * (1.9 / tiers) * 0.94
            jag = canvas.draws(9, -0.02, 0.03) * tall
            x = np.linspace(-1, 1, 9)
            y = base - np.abs(x) * 0.02 * tall + jag * (np.arange(9) % 2)
            edge = np.stack([foot[0] + x * half, y], axis=1)
            tip = [[foot[0], high]]
            shapes.append(np.concatenate([edge, tip]))
            tones.append(mix(*colours, 0.15 + 0.25 * low))
            shapes.append(np.concatenate([edge[:5], tip]))
            tones.append(mix(*colours, 0.5 + 0.4 * low))
            if snow is not None:
                cap = edge.copy()
                cap[:, 1] -= tall * 0.055 * canvas.draws(9, 0.4, 1.2)
                inner = np.stack([foot[0] + x * half * 0.93, y - 0.01 * tall], axis=1)
                cover = np.concatenate([inner[:6], cap[:6][::-1] * [1, 1]])
                shapes.append(cover)
                tones.append(mix(snow, colours[0], canvas.draw(0.02, 0.2)))
        trunk = tall * 0.02
        stem = [[-trunk, 0], [trunk, 0], [trunk, -0.1 * tall], [-trunk, -0.1 * tall]]
        canvas.shapes([np.array(stem) + foot], [mix(colours[0], (0.2, 0.13, 0.1), 0.6)])
        canvas.shapes(shapes, tones)
