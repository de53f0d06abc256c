"""What is sent to an image server and what comes back: canvases, masks, answers as pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Json, Mask, Rejected
from covar_gen.core.photographs import open_photograph, upright_rgb

ROUND = 16
"""Servers that take any size take multiples of this."""

ASPECT = 0.02
"""By how much an answer's aspect may differ from what was asked for: servers round edges."""

BLACK, EVEN = 2, 1.0
"""Brightest level of a picture that counts as black, and spread of levels of an even one."""

_WHOLE = 255


@dataclass(frozen=True)
class Canvas:
    """How a photograph lies on the canvas that a server is sent: scaled evenly, in its middle.

    Attributes:
        size: (width, height) of the canvas, pixels.
        box: left, top, width and height of the photograph on it, pixels.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int]

    @property
    def text(self) -> str:
        """The size as servers are asked for it: WIDTHxHEIGHT."""
        return f"{self.size[0]}x{self.size[1]}"

    def picture(self, image: Image) -> Image:
        """The photograph on the canvas (Lanczos); its outermost pixels are continued beyond it.

        Args:
            image: uint8 (H, W, 3), RGB.

        Returns:
            uint8 (height, width, 3), RGB.
        """
        resized = Pillow.fromarray(image).resize(self.box[2:], Pillow.Resampling.LANCZOS)
        return np.pad(np.asarray(resized), (*self._margins(), (0, 0)), mode="edge")

    def kept(self, mask: Mask) -> Mask:
        """Pixels of the canvas in which anything of the object lies, bool (height, width)."""
        import cv2

        width, height = self.box[2:]
        way = cv2.INTER_AREA if width < mask.shape[1] else cv2.INTER_LINEAR
        part = cv2.resize(mask.astype(np.float32), (width, height), interpolation=way)
        return np.pad(np.asarray(part) > 0, self._margins())

    def back(self, answer: Image, size: tuple[int, ...]) -> Image | Rejected:
        """The photograph's part of an answer, at the photograph's size (Lanczos).

        Args:
            answer: uint8 (h, w, 3), RGB: the canvas, larger or smaller.
            size: (height, width) of the photograph.

        Returns:
            uint8 (height, width, 3); or wrong_size, where the answer has another aspect.
        """
        height, width = answer.shape[:2]
        across, down = width / self.size[0], height / self.size[1]
        if abs(np.log(across / down)) > ASPECT:
            about: dict[str, Json] = {"asked": self.text, "answered": f"{width}x{height}"}
            return Rejected("wrong_size", about)
        left, top, wide, high = self.box
        part = (left * across, top * down, (left + wide) * across, (top + high) * down)
        edges = (min(part[2], width), min(part[3], height))
        resized = Pillow.fromarray(answer).resize(
            (size[1], size[0]), Pillow.Resampling.LANCZOS, box=(*part[:2], *edges)
        )
        return np.asarray(resized)

    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        left, top, width, height = self.box
        return (top, self.size[1] - top - height), (left, self.size[0] - left - width)


def canvas_for(size: tuple[int, ...], wanted: str, sizes: tuple[str, ...]) -> Canvas:
    """The canvas for a photograph.

    Args:
        size: (height, width) of the photograph.
        wanted: WIDTHxHEIGHT; auto: that of `sizes` whose aspect is nearest the photograph's, the
            first of equals; photograph: its own size, its edges rounded up to multiples of ROUND.
        sizes: each WIDTHxHEIGHT.
    """
    height, width = size[:2]
    if wanted == "photograph":
        rounded = (-(-width // ROUND) * ROUND, -(-height // ROUND) * ROUND)
        return _centred(rounded, (width, height))
    if wanted == "auto":
        wanted = min(
            sizes, key=lambda each: round(abs(np.log(_aspect(edges_of(each)) * height / width)), 9)
        )
    edges = edges_of(wanted)
    factor = min(edges[0] / width, edges[1] / height)
    return _centred(edges, (max(round(width * factor), 1), max(round(height * factor), 1)))


def _centred(edges: tuple[int, int], inner: tuple[int, int]) -> Canvas:
    return Canvas(edges, ((edges[0] - inner[0]) // 2, (edges[1] - inner[1]) // 2, *inner))


def _aspect(edges: tuple[int, int]) -> float:
    return edges[0] / edges[1]


def edges_of(text: str) -> tuple[int, int]:
    """Width and height of WIDTHxHEIGHT.

    Raises:
        ValueError: it is not of that form, or an edge is zero.
    """
    first, cross, second = text.partition("x")
    if not (cross and first.isdecimal() and second.isdecimal() and int(first) and int(second)):
        raise ValueError("should look like 1024x1024")
    return int(first), int(second)


def png_of(picture: Image, kept: Mask | None = None) -> bytes:
    """A picture as PNG; with `kept`, opaque there and transparent where is to be painted."""
    layers = picture
    if kept is not None:
        layers = np.dstack([picture, kept.astype(np.uint8) * np.uint8(_WHOLE)])
    stream = io.BytesIO()
    Pillow.fromarray(layers).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def read_answer(data: bytes) -> Image | Rejected:
    """An answer's pixels.

    Args:
        data: an encoded image of any common kind.

    Returns:
        uint8 (h, w, 3), RGB; or not_an_image, truncated, too_large, too_small, empty_file; or, to
        be made again, bad_output, for what is transparent, black, or one colour.
    """
    opened = open_photograph(data)
    if isinstance(opened, Rejected):
        return opened
    clear = "A" in opened.getbands() or "transparency" in opened.info
    picture = upright_rgb(opened)
    if isinstance(picture, Rejected):
        return picture
    if clear and int(np.asarray(opened.convert("RGBA"))[..., 3].min()) < _WHOLE:
        return Rejected("bad_output", {"output": "transparent"}, again=True)
    levels = np.asarray(picture)
    if int(levels.max()) <= BLACK:
        return Rejected("bad_output", {"output": "black"}, again=True)
    if float(levels.reshape(-1, 3).std(0).max()) < EVEN:
        return Rejected("bad_output", {"output": "one_colour"}, again=True)
    return levels
