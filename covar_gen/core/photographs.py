"""Reading photographs: files of any common kind as upright RGB, or the reason why not."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from covar_gen.core.arrays import Image, Json, Rejected

MAX_PIXELS = 100_000_000
"""Photographs above this many pixels are rejected before they are decoded."""

MIN_EDGE = 16
"""Photographs whose shorter edge has fewer pixels are rejected: there is nothing to see."""

_FROM_PILLOW = r"PIL\."
_QUIET = ("ignore", None, Warning, re.compile(_FROM_PILLOW))
_TRIES = 9

_Found = TypeVar("_Found")


def read_photograph(
    data: bytes, size: int | Literal["original"], min_edge: int = MIN_EDGE
) -> Image | Rejected:
    """Decode a photograph of any common kind as upright RGB with its shortest edge `size`.

    EXIF orientation is applied; CMYK, palette, greyscale and 16-bit files are converted;
    transparency is laid over white; of an animation the first frame is taken.

    Args:
        data: the encoded file.
        size: shortest edge of the result in pixels (Lanczos), or "original" to leave it.
        min_edge: fewest pixels that the file's shorter edge may have.

    Returns:
        uint8 (H, W, 3), or the reason: empty_file, not_an_image, truncated, too_large, too_small.
    """
    opened = open_photograph(data, size, min_edge)
    picture = opened if isinstance(opened, Rejected) else upright_rgb(opened)
    if isinstance(picture, Rejected):
        return picture
    return np.asarray(picture) if size == "original" else _shortest_edge(picture, size)


def open_photograph(
    data: bytes, size: int | Literal["original"] = "original", min_edge: int = MIN_EDGE
) -> Pillow.Image | Rejected:
    """Read a photograph's head; its pixels are decoded later.

    Args:
        data: the encoded file.
        size: shortest edge that it will be given, or "original".
        min_edge: fewest pixels that the file's shorter edge may have.

    Returns:
        What `upright_rgb` takes, or the reason: empty_file, not_an_image, too_large, too_small.
    """
    if not data:
        return Rejected("empty_file")
    try:
        opened = _quietly(lambda: Pillow.open(io.BytesIO(data)))
    except Pillow.DecompressionBombError:
        return Rejected("too_large")
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a decoder stumbles over, the file is at fault
        return Rejected("not_an_image")
    width, height = opened.size
    edges: dict[str, Json] = {"width": width, "height": height}
    if min(width, height) < min_edge and max(width, height) <= MAX_PIXELS:
        return Rejected("too_small", edges)
    factor = 1.0 if size == "original" else max(1.0, size / min(width, height))
    if width * height * factor**2 > MAX_PIXELS:
        return Rejected("too_large", edges)
    return opened


def upright_rgb(opened: Pillow.Image) -> Pillow.Image | Rejected:
    """Decode what `open_photograph` opened: mode RGB, turned as it is meant to be seen.

    Returns:
        The picture, or the reason: truncated.
    """
    try:
        return _quietly(lambda: _rgb(ImageOps.exif_transpose(opened)))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a decoder stumbles over, the file is at fault
        return Rejected("truncated")


def _quietly(read: Callable[[], _Found]) -> _Found:
    """What `read` returns; Pillow's warnings about odd files are neither shown nor raised.

    Many threads read at once, and what `warnings.catch_warnings` puts back is not theirs alone:
    two that overlap can leave every warning of the process ignored, or undo another's filters.
    So a filter for Pillow's modules is set and stays.
    """
    for _ in range(_TRIES):
        first = warnings.filters[0] if warnings.filters else ()
        if first[:4] != _QUIET:
            warnings.filterwarnings("ignore", module=_FROM_PILLOW)
        # Another thread can have set a filter of its own in between.
        with contextlib.suppress(Warning):
            return read()
    return read()


def _rgb(picture: Pillow.Image) -> Pillow.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        levels = np.asarray(picture).astype(np.float64)
        levels[~np.isfinite(levels)] = 0  # float files may have holes
        most = levels.max(initial=0)
        # 16-bit files say so; for wider integers and floats the values have to.
        ranges = (65535.0,) if picture.mode.startswith("I;16") else (1.0, 255.0, 65535.0)
        top = next((top for top in ranges[picture.mode == "I" :] if most <= top), max(most, 1.0))
        grey = np.clip(np.rint(levels * (255.0 / top)), 0, 255).astype(np.uint8)
        return Pillow.fromarray(grey).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Pillow.new("RGBA", layer.size, "white")
        return Pillow.alpha_composite(ground, layer).convert("RGB")
    return picture.convert("RGB")


def _shortest_edge(picture: Pillow.Image, size: int) -> Image:
    """Resize (Lanczos, antialiased) so that the shorter edge has `size` pixels."""
    factor = size / min(picture.size)
    width, height = (max(size, round(edge * factor)) for edge in picture.size)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.LANCZOS))
