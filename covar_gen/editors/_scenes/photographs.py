"""A folder of the user's own background photographs."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Rejected
from covar_gen.core.errors import PhotographsError, RecipeError
from covar_gen.core.photographs import read_photograph
from covar_gen.core.seeds import generator, uniform
from covar_gen.editors._scenes.matching import words_of

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_ROOM = 1.06
"""A photograph is made this much larger than it need be, so that no two crops are alike."""


class BackgroundPhotographs:
    """Photographs that stand for backgrounds, by number or by description.

    `07.jpg`, `7.png`, `swampy area.jpg`, or any photograph in a sub-folder `07` or `swampy area`.
    All that fit a background are its photographs; each item draws one of them.

    Args:
        folder: the folder; it is listed and hashed when it is first needed.
        where: the option that names it, for messages.
    """

    def __init__(self, folder: Path, where: str) -> None:
        self.folder, self.where = folder, where

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each photograph by its name relative to the folder, in sorted order.

        Raises:
            RecipeError: no such folder, or no photograph in it.
        """
        if not self.folder.is_dir():
            what = f"{str(self.folder)!r} is not a folder"
            mend = "Name a folder of background photographs"
            raise RecipeError(what, where=self.where, mend=mend)
        files = [*self.folder.iterdir()]
        files += [inner for path in files if path.is_dir() for inner in path.iterdir()]
        found = {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.suffix.lower() in SUFFIXES and path.is_file() and path.name[0] != "."
        }
        if not found:
            what = f"no photograph in {str(self.folder)!r}"
            mend = "Put photographs named after the backgrounds into it: 07.jpg, swampy area.jpg"
            raise RecipeError(what, where=self.where, mend=mend)
        return dict(sorted(found.items()))

    def digest(self) -> str:
        """SHA-256 of all names and contents; where the folder lies does not matter."""
        lines = [f"{sha256} {name}\n" for name, sha256 in self.digests.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def of(self, background_id: int, description: str) -> list[str]:
        """Names of a background's photographs, sorted; empty if there is none."""
        wanted = words_of(description)

        def fits(label: str) -> bool:
            if label.isascii() and label.isdigit():
                return int(label) == background_id
            return bool(wanted) and words_of(label) == wanted

        return [name for name in self.digests if fits(_label(name))]

    def read(self, name: str, size: tuple[int, ...], seed: int) -> Image | Rejected:
        """A photograph that covers a canvas: resized, cropped near its middle.

        Args:
            name: relative to the folder.
            size: (height, width) of the canvas.
            seed: of the crop's offset from the middle.

        Returns:
            uint8 (height, width, 3), or why it cannot be read.

        Raises:
            PhotographsError: the file is not the one that was listed.
        """
        height, width = size[:2]
        full = self.whole(name, round(max(height, width) * _ROOM) + 1)
        return full if isinstance(full, Rejected) else cover(full, (height, width), seed)

    def whole(self, name: str, size: int | Literal["original"] = "original") -> Image | Rejected:
        """All of a photograph.

        Args:
            name: relative to the folder.
            size: its shortest edge, pixels; "original" leaves it as it is.

        Returns:
            uint8 (H, W, 3), or why it cannot be read.

        Raises:
            PhotographsError: the file is not the one that was listed.
        """
        path = self.folder / name
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != self.digests[name]:
            what = "the background photograph changed while it was being used"
            raise PhotographsError(what, where=path, mend="Leave the folder alone during a run")
        full = read_photograph(data, size)
        if isinstance(full, Rejected):
            return Rejected("background_photograph_unreadable", {"file": name, "why": full.reason})
        return full


def _label(name: str) -> str:
    """What names the background: the sub-folder, or the file without its suffix."""
    folder, _, file = name.rpartition("/")
    return folder or file.rpartition(".")[0]


def cover(picture: Image, size: tuple[int, int], seed: int) -> Image:
    """Shrink a picture until it just covers a canvas, then crop near the middle.

    Args:
        picture: uint8 (H, W, 3), at least as large as the canvas along each side.
        size: (height, width) of the canvas.
        seed: of the crop's offset: up to a quarter of what is cut away, along each axis.
    """
    factor = max(_ROOM * wanted / had for wanted, had in zip(size, picture.shape, strict=False))
    tall, wide = (
        max(wanted, round(had * factor)) for wanted, had in zip(size, picture.shape, strict=False)
    )
    fitted = Pillow.fromarray(picture).resize((wide, tall), Pillow.Resampling.LANCZOS)
    rng = generator(seed)
    top, left = (
        int(uniform(rng, 0.25, 0.75) * (spare + 1)) for spare in (tall - size[0], wide - size[1])
    )
    return np.asarray(fitted)[top : top + size[0], left : left + size[1]].copy()
