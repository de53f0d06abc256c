"""Depth of the six views that a user has rendered, for Zero123++'s depth ControlNet.

The ControlNet is shown the whole canvas: six tiles of depth, laid out as the views are, scaled to
[-1, 1] and not resized. The authors render the distance to the camera's plane, stretched over the
object to the full range, with the object's mask as alpha; what is transparent lies on mid grey. No
depth of views that nobody has seen can be told from one photograph, so it has to be given.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.digests import file_sha256, together
from covar_gen.core.errors import RecipeError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MODES = ("L", "LA", "RGB", "RGBA")
"""Kinds of pictures with 8 bits per channel; deeper ones would be cut to black and white."""


class DepthCanvases:
    """A folder of canvases: `<key>.png` for an image, or `<photograph>.png` for all of one.

    The key of an image is CLASS/PHOTOGRAPH/NUMBER; the photograph's canvas CLASS/PHOTOGRAPH.png
    serves every background.

    Args:
        folder: with the canvases.
        where: the option that names it, for error messages.
    """

    def __init__(self, folder: Path, where: str) -> None:
        self.folder, self.where = folder, where

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over `hash  name` of all canvases, in hex.

        Raises:
            RecipeError: there is no folder, or no canvas in it.
        """
        files = sorted(self.folder.rglob("*.png")) if self.folder.is_dir() else []
        if not files:
            kind = "is no folder" if not self.folder.is_dir() else "has no canvas"
            mend = "Render the depth of all six views on one canvas as CLASS/PHOTOGRAPH.png in it"
            raise RecipeError(f"{self.folder} {kind}", where=self.where, mend=mend)
        return together(
            (file.relative_to(self.folder).as_posix(), file_sha256(file)) for file in files
        )

    def of(self, key: str, size: tuple[int, int]) -> Picture:
        """The canvas of an image.

        Args:
            key: of the image.
            size: of the canvas that is painted, (width, height) in pixels.

        Returns:
            RGB, or RGBA where it has an alpha channel.

        Raises:
            RecipeError: it is missing, no picture, of another size, or of more than 8 bits.
        """
        from PIL import Image as Pillow

        names = (key, key.rpartition("/")[0])
        path = next((p for name in names if (p := self.folder / f"{name}.png").is_file()), None)
        if path is None:
            what = f"there is no depth of {key}: neither {names[0]}.png nor {names[1]}.png"
            mend = f"Render its six views as one canvas of {size[0]} x {size[1]} pixels"
            raise RecipeError(what, where=self.where, mend=f"{mend} in {self.folder}")
        try:
            with Pillow.open(path) as picture:
                picture.load()
        except OSError as error:
            raise RecipeError(
                f"{path} is no picture", where=self.where, mend="Render it again"
            ) from (error)
        if picture.size != size:
            found, wanted = (f"{width} x {height}" for width, height in (picture.size, size))
            what = f"{path} has {found} pixels, the canvas has {wanted}"
            mend = "Render two columns and three rows of tiles of the size that `tile` says"
            raise RecipeError(what, where=self.where, mend=mend)
        if picture.mode not in MODES:
            what = f"{path} is of Pillow's mode {picture.mode}, not of 8 bits per channel"
            raise RecipeError(what, where=self.where, mend="Save it as grey, RGB or RGBA of 8 bits")
        return picture.convert("RGBA" if picture.mode.endswith("A") else "RGB")
