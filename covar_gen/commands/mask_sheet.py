"""The outlines of both masks of three images: the best agreement, the median, the worst.

They are drawn on the photograph where the predicted masks are a run's, else on an empty ground.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from covar_gen.commands.mask_comparison import Judged, References, load_mask
from covar_gen.core.arrays import Image, Mask
from covar_gen.core.imaging import decode_png
from covar_gen.core.store import Run
from covar_gen.evaluation.metrics.mask_overlap import IGNORE, nearest

EDGE = 420
"""Longest edge of a photograph on the sheet, in pixels."""
PREDICTED, REFERENCE, IGNORED = (255, 120, 0), (0, 160, 255), (128, 128, 128)
"""Colours: of the predicted mask's outline, of the reference's, of what is ignored."""
GROUND = 235
"""Grey level on which masks without a photograph are drawn."""

_GAP, _LINE, _FONT = 12, 20, 14
_WIDE = 3
"""Pixels of an outline, inside its mask."""


def sheet(judged: Sequence[Judged], place: Path | Run, references: References) -> bytes | None:
    """Draw the best, the median and the worst of the masks that were compared.

    Args:
        judged: every image.
        place: the run of the predicted masks, or their folder, which has no photographs.
        references: how references are read.

    Returns:
        A PNG; None without any IoU.
    """
    chosen = shown(judged)
    if not chosen:
        return None
    panels = [
        _panel(f"{word}: IoU {item.iou:.3f}", item, place, references)
        for word, item in chosen.items()
    ]
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) + 1)
    height = max(panel.height for panel in panels) + 3 * _GAP + _LINE
    drawn = Pillow.new("RGB", (width, height), "white")
    left = _GAP
    for panel in panels:
        drawn.paste(panel, (left, _GAP))
        left += panel.width + _GAP
    _legend(drawn, height - _GAP - _LINE)
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()


def shown(judged: Sequence[Judged]) -> dict[str, Judged]:
    """The best, the median (of an even number the better one) and the worst; of equals by name.

    Args:
        judged: every image.

    Returns:
        best, median, worst -> the image; empty without any IoU.
    """
    ranked = sorted(
        (item for item in judged if item.iou is not None),
        key=lambda item: (-(item.iou or 0.0), item.name),
    )
    if not ranked:
        return {}
    middle = ranked[(len(ranked) - 1) // 2]
    return {"best": ranked[0], "median": middle, "worst": ranked[-1]}


def outlined(image: Image, predicted: Mask, reference: Mask, ignored: Mask) -> Image:
    """A photograph with the outlines of two masks; where they meet, the colours alternate.

    Args:
        image: uint8 (H, W, 3).
        predicted: bool (H, W).
        reference: bool (H, W).
        ignored: bool (H, W), dimmed.
    """
    drawn = image.astype(np.float32)
    grey = np.asarray(IGNORED, np.float32)
    drawn[ignored] = 0.4 * drawn[ignored] + 0.6 * grey
    edges = [_edge(predicted), _edge(reference)]
    rows, columns = np.indices(predicted.shape)
    turn = (rows + columns) // 6 % 2 == 0
    drawn[edges[0] & (turn | ~edges[1])] = PREDICTED
    drawn[edges[1] & (~turn | ~edges[0])] = REFERENCE
    return drawn.astype(np.uint8)


def _edge(mask: Mask) -> Mask:
    """The outermost pixels of a mask; the picture's border ends it too."""
    inner = mask
    for _ in range(_WIDE):
        wide = np.pad(inner, 1)
        inner = inner & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask & ~inner


def _panel(title: str, item: Judged, place: Path | Run, references: References) -> Pillow.Image:
    assert item.mask is not None
    assert item.reference is not None
    assert item.found is not None
    if isinstance(place, Run):
        assert item.mask.photograph is not None
        photograph = Pillow.fromarray(decode_png(place.read(item.mask.photograph)))
    else:
        photograph = Pillow.new("RGB", item.found.size[::-1], (GROUND,) * 3)
    scale = EDGE / max(photograph.size)
    size = (max(1, round(photograph.height * scale)), max(1, round(photograph.width * scale)))
    image = np.asarray(photograph.resize(size[::-1], Pillow.Resampling.LANCZOS))
    mask = load_mask(item.mask, place)
    assert mask is not None
    ids = references.ids(item.reference)
    layers = [mask, np.isin(ids, item.found.objects), ids == IGNORE]
    drawn = outlined(image, *(nearest(layer, size) for layer in layers))
    font = ImageFont.load_default(_FONT)
    lines = [title, _short(item.name, font, size[1])]
    panel = Pillow.new("RGB", (size[1], size[0] + _LINE * len(lines)), "white")
    pen = ImageDraw.Draw(panel)
    for number, line in enumerate(lines):
        pen.text((0, number * _LINE), line, "black", font)
    panel.paste(Pillow.fromarray(drawn), (0, _LINE * len(lines)))
    return panel


def _short(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The end of a text that is too long for a width in pixels."""
    kept = text
    while font.getlength(kept if kept == text else f"...{kept}") > width and len(kept) > 1:
        kept = kept[1:]
    return kept if kept == text else f"...{kept}"


def _legend(drawn: Pillow.Image, top: int) -> None:
    pen = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(_FONT)
    left = _GAP
    words = {"predicted": PREDICTED, "reference": REFERENCE, "ignored": IGNORED}
    for word, colour in words.items():
        pen.rectangle((left, top + 4, left + 12, top + 16), colour)
        pen.text((left + 18, top), word, "black", font)
        left += 30 + round(font.getlength(word)) + _GAP
