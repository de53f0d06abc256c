"""An object laid over a scene: soft edge outside, its own colours in the edge, a shadow below."""

from __future__ import annotations

import numpy as np

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.imaging import object_box
from covar_gen.editors._scenes.canvas import Floats, blurred, smoothstep
from covar_gen.editors._scenes.painted import Scene

_INSIDE = 2.5
"""Pixels this deep in the object lend their colour to its edge: those at the rim of a mask often
still show the old background."""


def place(image: Image, mask: Mask, scene: Scene, feather: float, shadow: float) -> Image:
    """Lay the object over the scene.

    Args:
        image: uint8 (H, W, 3), the photograph.
        mask: bool (H, W), not empty.
        scene: of the same size.
        feather: width of the soft edge outside the object, in pixels.
        shadow: strength of the contact shadow, 1 = as the scene's light asks.

    Returns:
        uint8 (H, W, 3); inside the mask exactly the photograph's pixels.
    """
    ground = scene.image.astype(np.float32)
    power = scene.shadow * shadow
    if scene.ground is not None and power > 0:
        dark = contact_shadow(mask, scene.ground)[..., None] * np.float32(power)
        ground += (np.asarray(scene.tint, np.float32) * 255 - ground) * dark
    alpha = soft_edge(mask, feather)[..., None]
    ground += (edge_colours(image, mask, feather) - ground) * alpha
    result = np.clip(np.rint(ground), 0, 255).astype(np.uint8)
    result[mask] = image[mask]
    return result


def soft_edge(mask: Mask, feather: float) -> Floats:
    """Opacity of the object: 1 inside the mask, falling to 0 within `feather` pixels outside.

    Returns:
        float32 (H, W).
    """
    import cv2

    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return smoothstep(feather + 0.5, 0, np.asarray(away))


def edge_colours(image: Image, mask: Mask, feather: float) -> Floats:
    """The object's colours drawn out beyond its outline, free of the old background's.

    A blur of the object alone, normalised by the blur of its weights. Thin parts without an inside
    lend their own colours.

    Returns:
        float32 (H, W, 3), grey levels; zero far from the object.
    """
    import cv2

    deep = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = np.where(np.asarray(deep) > _INSIDE, np.float32(1), np.float32(1e-3)) * mask
    sigma = max(feather, 1.0)
    total = cv2.GaussianBlur(image.astype(np.float32) * weight[..., None], (0, 0), sigma)
    share = cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.asarray(total / np.maximum(share, 1e-9)[..., None], np.float32)


def contact_shadow(mask: Mask, horizon: float) -> Floats:
    """Where the object darkens the ground: along its lowest outline, wide and soft.

    Parts that end well above the object's foot touch nothing and cast nothing here.

    Args:
        mask: bool (H, W), not empty.
        horizon: height fraction above which nothing is darkened.

    Returns:
        float32 (H, W), 0 to 1.
    """
    height = mask.shape[0]
    box = object_box(mask)
    if box is None:
        return np.zeros(mask.shape, np.float32)
    left, top, right, bottom = box
    tall, wide = bottom - top, right - left
    columns = np.flatnonzero(mask.any(axis=0))
    lowest = height - 1 - np.argmax(mask[::-1, columns], axis=0)
    touch = np.exp(-(((bottom - 1 - lowest) / (0.12 * tall + 1)) ** 2)).astype(np.float32)
    reach = max(0.022 * tall + 0.014 * wide, 1.0)
    rows = np.arange(height, dtype=np.float32)[:, None]
    line = np.zeros(mask.shape, np.float32)
    line[:, columns] = touch * np.exp(-(((rows - lowest - 0.4 * reach) / reach) ** 2))
    near = blurred(line, 0.5 * reach)
    far = blurred(line, 2.8 * reach)
    dark = np.clip(0.9 * near + 2.6 * far, 0, 1)
    edge = horizon * height
    return np.asarray(
        dark * smoothstep(edge - 0.02 * height, edge + 0.02 * height, rows), np.float32
    )
