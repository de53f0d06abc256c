"""Painter of a fluffy white cloud in a bright blue sky."""

from __future__ import annotations

import numpy as np

from covar_gen.editors._scenes.canvas import Canvas, blended, blurred, rgb, smoothstep
from covar_gen.editors._scenes.noise import fractal


def cloud(canvas: Canvas) -> None:
    """A towering cumulus made of hundreds of lit puffs."""
    canvas.gradient([(0, rgb("1667c4")), (0.5, rgb("4d9fe6")), (1, rgb("a9d7f5"))])
    wisps = fractal(canvas, (90, 240), 6, 0.6)
    canvas.blend(rgb("f3f9ff"), smoothstep(0.35, 1.3, wisps) * 0.75)
    height, width = canvas.height, canvas.width
    bulge = np.zeros((height, width), np.float32)
    middle = canvas.draw(0.38, 0.62)
    peak = canvas.draw(0.12, 0.2)
    size = canvas.unit * 512
    for _ in range(130):
        x = canvas.draw(-0.12, 1.12)
        top = peak + 0.34 * min(abs(x - middle) / 0.5, 1.3) ** 1.3 + canvas.draw(-0.02, 0.05)
        y = top + (0.86 - top) * canvas.draw(0, 1) ** 0.8
        radius = (0.035 + 0.1 * (y - top) + canvas.draw(0, 0.06)) * size
        _puff(bulge, x * width, y * height, radius)
        # Smaller ones on its rim: no outline is a circle.
        for way in canvas.draws(4, 0, 6.283).tolist():
            rim_x, rim_y = radius * np.cos(way) * 0.85, radius * np.sin(way) * 0.85
            part = radius * canvas.draw(0.3, 0.55)
            _puff(bulge, x * width + float(rim_x), y * height + float(rim_y), part)
    rough = fractal(canvas, (90, 90), 6, 0.62)
    body = bulge / size
    alpha = smoothstep(0.0, 0.055, body + 0.05 * rough - 0.02)
    form = blurred(body, 7 * canvas.unit) + 0.5 * blurred(body, 2.5 * canvas.unit) + 0.008 * rough
    across = np.gradient(form, axis=1) * size
    down = np.gradient(form, axis=0) * size
    light = (0.5 * across + 0.8 * down + 0.45) / np.sqrt(1 + across**2 + down**2)
    light += 0.1 * rough - 0.35 * (canvas.rows() - 0.45)
    tone = blended(rgb("9db4d6"), rgb("f2f6fc"), smoothstep(-0.75, 0.4, light))
    tone = blended(tone, rgb("ffffff"), smoothstep(0.2, 0.8, light))
    canvas.blend(tone, alpha)
    canvas.glow((0.15, 0.0), 330, rgb("ffffff"), 0.2)


def _puff(bulge: np.ndarray, x: float, y: float, radius: float) -> None:
    """Raise the field to a ball, where it is not higher already."""
    top, bottom = max(int(y - radius), 0), min(int(y + radius) + 2, bulge.shape[0])
    left, right = max(int(x - radius), 0), min(int(x + radius) + 2, bulge.shape[1])
    if top >= bottom or left >= right:
        return
    dx = np.arange(left, right, dtype=np.float32)[None] - np.float32(x)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    ball = np.sqrt(np.maximum(radius * radius - dx * dx - dy * dy, 0))
    patch = bulge[top:bottom, left:right]
    np.maximum(patch, ball, out=patch)
