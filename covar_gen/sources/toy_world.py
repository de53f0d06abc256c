"""Photographs of the toy world: rendered objects with exact masks; nothing is downloaded.

Each class stands before the background that is typical of it, as in photographs of the real world.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Mask
from covar_gen.core.imaging import encode_png
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import seed_of
from covar_gen.sources.base import Photograph, Source
from covar_gen.toys.world import CLASSES, SIZE, TYPICAL, render


class ToyWorld(Source):
    """Renders photographs of the toy world from seeds of their own.

    The seed of a photograph is a hash of the option `seed`, the word "photographs", its class and
    its number; toy models are trained on pictures with seeds of another word.
    """

    requires = ("cv2",)
    terms = "drawn by the COVAR toolkit (Apache-2.0); no photographs"

    class Options(PluginOptions):
        """How many photographs there are.

        Attributes:
            photographs: of each class.
            edge: width and height of a photograph, in pixels.
            seed: another one shows other objects.
        """

        photographs: int = Field(default=8, ge=1, le=9999)
        edge: int = Field(default=SIZE, ge=32, le=1024)
        seed: int = Field(default=0, ge=0)

    options: Options

    def labels(self) -> list[str]:
        """Names of the world's classes, sorted."""
        return sorted(CLASSES)

    def photographs(self, labels: Sequence[str], seed: int) -> Iterator[Photograph]:  # noqa: ARG002
        """Photographs of these labels with their masks, by number; the seed plays no part."""
        for label in labels:
            for number in range(1, self.options.photographs + 1):
                yield self._photograph(label, number)

    def digest(self, labels: Sequence[str]) -> str:
        """SHA-256 over names, files and masks of the photographs of these labels."""
        total = hashlib.sha256()
        for photograph in self.photographs(sorted(labels), 0):
            assert photograph.mask is not None
            mask = np.packbits(photograph.mask()).tobytes()
            contents = [hashlib.sha256(data).hexdigest() for data in (photograph.read(), mask)]
            total.update(f"{photograph.origin}\0{contents[0]}\0{contents[1]}\n".encode())
        return total.hexdigest()

    def _photograph(self, label: str, number: int) -> Photograph:
        name = f"{number:04d}"
        seed = seed_of(self.options.seed, "photographs", f"{label}/{number}")

        def read() -> bytes:
            return encode_png(render(label, TYPICAL[label], seed, self.options.edge)[0])

        def mask() -> Mask:
            return render(label, TYPICAL[label], seed, self.options.edge)[1].mask

        return Photograph(label, name, f"{label}/{name}", read, mask)
