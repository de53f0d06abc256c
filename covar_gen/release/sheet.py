"""A contact sheet: one row per class, the same photograph in every subset."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from covar_gen.core.rows import OK
from covar_gen.core.store import Run
from covar_gen.release.facts import Facts

FILE = "contact_sheet.jpg"

THUMB = 128
"""Pixels of a picture's longer side."""
GAP = 6
LEFT = 132
"""Pixels of the column of class names."""
TOP = 22
MOST = 12
"""Classes shown; of more, as many evenly spaced ones."""
QUALITY = 85
GROUND, INK = (255, 255, 255), (34, 34, 34)

T = TypeVar("T")

COLUMNS = ["key", "parent", "subset", "source", "class_id", "image", "sha256", "status"]


def contact_sheet(run: Run, facts: Facts) -> bytes:
    """A JPEG of some of a run's images.

    Of each class the photograph with the most images is shown, the first of several, before one
    background and with what was made from that image: each class before the next background.

    Args:
        run: complete.
        facts: of its release.

    Raises:
        DamagedRunError: an image is gone, or is not what its row says.
    """
    subsets = [name for name, (ok, _) in facts.subsets() if ok]
    rows = run.manifest(COLUMNS)
    rows = rows.filter(pc.equal(rows["status"], OK))
    classes = _spread(facts.recipe.class_list, MOST)
    found = [
        (each.class_name, _of_class(rows.filter(pc.equal(rows["class_id"], each.class_id)), line))
        for line, each in enumerate(classes)
    ]
    lines = [
        (name, {subset: _thumb(run, *file) for subset, file in files.items()})
        for name, files in found
        if files
    ]
    heights = [max(picture.height for picture in pictures.values()) for _, pictures in lines]
    size = (LEFT + len(subsets) * (THUMB + GAP), TOP + sum(heights) + GAP * len(heights))
    sheet = Pillow.new("RGB", size, GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, name in enumerate(subsets):
        pen.text((LEFT + column * (THUMB + GAP) + THUMB // 2, 4), name, INK, font, anchor="ma")
    top = TOP
    for (name, pictures), height in zip(lines, heights, strict=True):
        pen.multiline_text((GAP, top + height // 2), _wrapped(name), INK, font, anchor="lm")
        for column, subset in enumerate(subsets):
            if picture := pictures.get(subset):
                left = LEFT + column * (THUMB + GAP) + (THUMB - picture.width) // 2
                sheet.paste(picture, (left, top + (height - picture.height) // 2))
        top += height + GAP
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


def _thumb(run: Run, path: str, sha256: str) -> Pillow.Image:
    with Pillow.open(io.BytesIO(run.read(path, sha256))) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((THUMB, THUMB), Pillow.Resampling.LANCZOS, reducing_gap=2)
    return picture


def _of_class(rows: pa.Table, line: int) -> dict[str, tuple[str, str]]:
    """Per subset, file and hash of what a line shows of its class; empty without images."""
    if not len(rows):
        return {}
    counted = rows.group_by("source").aggregate([("key", "count")])
    order = [("key_count", "descending"), ("source", "ascending")]
    source = counted.sort_by(order)["source"][0]
    own = rows.filter(pc.equal(rows["source"], source)).sort_by("key").to_pylist()
    grounds: dict[str, int] = {}
    for row in own:
        if row["parent"] is not None and row["parent"] != row["source"]:
            grounds[row["parent"]] = grounds.get(row["parent"], 0) + 1
    most = max(grounds.values(), default=0)
    full = sorted(key for key, count in grounds.items() if count == most)
    ground = full[line % len(full)] if full else None
    # What was made from the chosen image with a background, or is that image, comes first.
    own.sort(key=lambda row: (ground not in {row["key"], row["parent"]}, row["key"]))
    found: dict[str, tuple[str, str]] = {}
    for row in own:
        found.setdefault(row["subset"], (row["image"], row["sha256"]))
    return found


def _spread(items: Sequence[T], most: int) -> list[T]:
    if len(items) <= most:
        return list(items)
    return [items[round(n * (len(items) - 1) / (most - 1))] for n in range(most)]


def _wrapped(name: str, letters: int = 17) -> str:
    return "\n".join(textwrap.wrap(name, letters, max_lines=3, placeholder=" ..."))
