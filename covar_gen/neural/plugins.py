"""What plugins share whose weights are one pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

from covar_gen.core.arrays import Json
from covar_gen.core.plugins import Plugin
from covar_gen.neural.diffusion import (
    FILES,
    DiffusionOptions,
    Folder,
    find_pipeline,
    is_own,
)
from covar_gen.neural.inpainting import InpaintingOptions, Painter


class PipelinePlugin(Plugin):
    """A plugin with the files of one pipeline, which its option `weights` names.

    Attributes:
        parts: of the pipeline that are read; None: all that it has.
    """

    options: DiffusionOptions
    parts: ClassVar[tuple[str, ...] | None] = None
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"weights": FILES}
    requires: ClassVar[tuple[str, ...]] = ("torch", "diffusers", "transformers", "cv2")
    extra = "generate"

    @cached_property
    def folder(self) -> Folder:
        """The model's files, fetched if need be.

        Raises:
            WeightsError: they cannot be had.
        """
        return find_pipeline(self.options.weights, f"{self.name()}.weights", self.parts)

    def check(self) -> None:
        """Look at a folder of the user's own: its files, headers and settings; no Hub is asked.

        A run that could not paint is told before hours of other stages.

        Raises:
            WeightsError: it is not there, incomplete or cut off; or what is named is nothing here
                and cannot be on the Hub.
        """
        if is_own(self.options.weights, f"{self.name()}.weights"):
            _ = self.folder

    def identity(self) -> dict[str, Json]:
        """Name, version and options; for the weights, the hash of their content.

        Raises:
            WeightsError: they cannot be had.
        """
        options = self.options.model_dump(mode="json")
        return {**super().identity(), "options": {**options, "weights": self.folder.identity()}}


class PaintingPlugin(PipelinePlugin):
    """A plugin whose pipeline fills holes.

    Attributes:
        painter: the pipeline on this process's device, once it is set up.
    """

    options: InpaintingOptions
    painter: Painter

    def setup(self) -> None:
        """Load the pipeline onto this process's device.

        Raises:
            WeightsError: it cannot be had, or does not fill holes.
            PluginError: an attention backend, or offloading, that cannot be had here.
        """
        self.painter = Painter(self.folder, self.options)
        self.model = self.folder.model
