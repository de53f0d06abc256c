"""How an image leaves the run: JPEG, WebP, the master's own PNG, or a patch against its parent.

OpenCV encodes, since the toolkit needs it anyway to read the masters, it writes JPEG as fast as
anything else here (all of them are libjpeg-turbo inside), lets other threads run meanwhile, and
gives the same bytes however many there are. Its version and its codec's are recorded: another
one may give other bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from covar_gen.core.arrays import Json

Format = Literal["jpeg", "webp", "png", "patch"]
"""patch: what an image has that its parent does not predict (release/patches.py)."""

ENDINGS: dict[Format, str] = {"jpeg": "jpg", "webp": "webp", "png": "png", "patch": "png"}
"""Format -> ending of a file's name."""


@dataclass(frozen=True)
class Encoder:
    """What images of a release are encoded with.

    Attributes:
        format: of every image; masks are PNG in any case.
        quality: from 1 to 100; of `png` and `patch`, which lose nothing, it says nothing.
    """

    format: Format = "jpeg"
    quality: int = 95

    @property
    def ending(self) -> str:
        """What names of files end with, without the dot."""
        return ENDINGS[self.format]

    @property
    def lossless(self) -> bool:
        """True if images keep every pixel, or can be made again with every pixel."""
        return self.format in {"png", "patch"}

    @property
    def patches(self) -> bool:
        """True if images are not in the release, but what makes them again from photographs."""
        return self.format == "patch"

    @property
    def words(self) -> str:
        """What an image of the release is, for people."""
        name = {"jpeg": "JPEG", "webp": "WebP", "png": "PNG", "patch": "patches (PNG)"}[self.format]
        return name if self.lossless else f"{name} of quality {self.quality}"

    def identity(self) -> dict[str, Json]:
        """What decides the bytes besides the pixels: settings, library and codec."""
        if self.format == "png":
            return {"format": "png", "library": None, "codec": None}
        import cv2

        if self.patches:
            library = f"OpenCV {cv2.__version__}"
            return {"format": "patch", "library": library, "codec": _codec("png")}

        found: dict[str, Json] = {"format": self.format, "quality": self.quality}
        if self.format == "jpeg":
            found["subsampling"] = "4:4:4"
        return {**found, "library": f"OpenCV {cv2.__version__}", "codec": _codec(self.format)}

    def encode(self, master: bytes) -> bytes:
        """The file that a release holds of a master; of patches see `release.patches`.

        Args:
            master: PNG, 8-bit RGB, as the run has it.

        Raises:
            ValueError: the master is no whole image.
        """
        if self.format == "png":
            return master
        import cv2

        # OpenCV's own order of the channels: nothing has to be swapped on the way through.
        pixels = cv2.imdecode(np.frombuffer(master, np.uint8), cv2.IMREAD_COLOR_BGR)
        if pixels is None:
            msg = "not a whole PNG"
            raise ValueError(msg)
        settings = [cv2.IMWRITE_WEBP_QUALITY, self.quality]
        if self.format == "jpeg":
            settings = [
                cv2.IMWRITE_JPEG_QUALITY, self.quality,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
            ]  # fmt: skip
        done, data = cv2.imencode(f".{self.ending}", pixels, settings)
        if not done:
            msg = f"OpenCV could not encode an image of shape {pixels.shape}"
            raise ValueError(msg)
        return data.tobytes()


def _codec(form: Format) -> str:
    """The codec that this OpenCV was built with, as it says itself."""
    import cv2

    line = re.search(rf"^ *{form}: *(.+)$", cv2.getBuildInformation(), re.IGNORECASE | re.MULTILINE)
    return " ".join(line[1].split()) if line else "unknown"
