"""The boxes that a person drew around objects, read from a CSV."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covar_gen.core.errors import RecipeError
from covar_gen.segmenters._prior import Labels, grid

COLUMNS = ("photograph", "left", "top", "right", "bottom")
"""Columns that a file of boxes must have; `core` may follow."""

CORE = 0.5
"""Core of a box whose line names none: a fifth of the box's area."""


@dataclass(frozen=True)
class Box:
    """A box that a person drew around an object or a part of one.

    Attributes:
        left: fraction of the photograph's width.
        top: fraction of its height.
        right: fraction of its width.
        bottom: fraction of its height.
        core: the ellipse inscribed in the box, shrunk to this fraction of its axes, is surely
            object; 0 for none.
    """

    left: float
    top: float
    right: float
    bottom: float
    core: float = CORE


@dataclass(frozen=True)
class Hints:
    """The boxes of a file.

    Attributes:
        boxes: by photograph, CLASS/PHOTO.
        digest: SHA-256 of the file's content, in hex.
    """

    boxes: Mapping[str, Sequence[Box]]
    digest: str


def read_hints(path: Path) -> Hints:
    """Read a CSV with the columns photograph, left, top, right, bottom and perhaps core.

    Raises:
        RecipeError: no such file, other columns, a line that is no box.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        mend = "Check the path, relative to the recipe if there is one, and its encoding, UTF-8"
        raise RecipeError("the boxes cannot be read", where=path, mend=mend) from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    boxes: dict[str, list[Box]] = {}
    header: list[str] = []
    try:
        for cells in lines:
            if not header:
                header = _header(cells, path)
            elif cells:
                where = f"{path} line {lines.line_num}"
                photograph, box = _box(header, [cell.strip() for cell in cells], where)
                boxes.setdefault(photograph, []).append(box)
    except csv.Error as error:
        where = f"{path} line {lines.line_num}"
        raise RecipeError(f"no CSV: {error}", where=where, mend="Correct the line") from error
    if not boxes:
        mend = f"Write the columns {','.join(COLUMNS)} and a line for each box"
        raise RecipeError("no boxes", where=path, mend=mend)
    return Hints(boxes, hashlib.sha256(data).hexdigest())


def _header(cells: Sequence[str], path: Path) -> list[str]:
    header = [cell.strip() for cell in cells]
    if sorted(header) in (sorted(COLUMNS), sorted((*COLUMNS, "core"))):
        return header
    unknown = [name for name in header if name not in (*COLUMNS, "core")]
    missing = [name for name in COLUMNS if name not in header]
    what = "a column occurs twice"
    if unknown or missing:
        what = f"unknown column {unknown[0]!r}" if unknown else f"no column {missing[0]!r}"
    mend = f"The columns are {', '.join(COLUMNS)} and, if wanted, core"
    raise RecipeError(what, where=f"{path} line 1", mend=mend)


def _box(header: Sequence[str], cells: Sequence[str], where: str) -> tuple[str, Box]:
    if len(cells) != len(header):
        what = f"{len(cells)} values for {len(header)} columns"
        raise RecipeError(what, where=where, mend=f"Give one each for {', '.join(header)}")
    values = dict(zip(header, cells, strict=True))
    photograph = values.pop("photograph")
    parts = photograph.split("/")
    if len(parts) != 2 or not all(parts):  # noqa: PLR2004
        what = f"{photograph!r} is no photograph"
        mend = "Write CLASS/PHOTO: the first two parts of its key, without /original"
        raise RecipeError(what, where=where, mend=mend)
    if not values.get("core"):
        values["core"] = str(CORE)
    box = Box(**{name: _fraction(name, value, where) for name, value in values.items()})
    for low, high in (("left", "right"), ("top", "bottom")):
        if getattr(box, low) >= getattr(box, high):
            what = f"{low} {values[low]} is not smaller than {high} {values[high]}"
            mend = "Fractions count from the photograph's upper left corner"
            raise RecipeError(what, where=where, mend=mend)
    return photograph, box


def _fraction(name: str, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= 1:
        return value
    mend = "Write fractions of the photograph's width and height, 0 to 1"
    raise RecipeError(f"{name} is {text!r}", where=where, mend=mend)


def drawn(boxes: Sequence[Box], size: tuple[int, ...]) -> Labels:
    """Boxes as GrabCut's labels: cores are certain, what is outside all boxes is background.

    Where boxes leave nothing outside, what no inscribed ellipse covers is probably background:
    GrabCut must see some.

    Args:
        boxes: of one photograph.
        size: height and width of the labels; a pixel belongs to a box that holds its centre.
    """
    import cv2

    u, v = grid(size)
    labels = np.full(size[:2], cv2.GC_BGD, np.uint8)
    cores, ellipses = np.zeros((2, *size[:2]), np.bool_)
    for box in boxes:
        # In units of the box's half axes, from its middle.
        x = (u + 1 - box.left - box.right) / (box.right - box.left)
        y = (v + 1 - box.top - box.bottom) / (box.bottom - box.top)
        labels[(abs(x) <= 1) & (abs(y) <= 1)] = cv2.GC_PR_FGD
        cores |= x**2 + y**2 < box.core**2
        ellipses |= x**2 + y**2 < 1
    if (labels != cv2.GC_BGD).all():
        labels[~ellipses] = cv2.GC_PR_BGD
    labels[cores] = cv2.GC_FGD
    return labels
