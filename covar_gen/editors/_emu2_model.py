"""Emu2-Gen: photographs and sentences in, a picture out, native on transformers and diffusers.

Three ways to ask for a picture, by what is given: photographs and sentences in any order, such as
[photograph, "wearing a red hat on the beach."]; sentences alone; or one photograph alone, which is
then drawn again from what the tower saw of it. In the first two the language model writes the
vectors that are painted.

Sources: Sun et al., Generative Multimodal Models are In-Context Learners (Emu2), 2023, and its
released configuration; agreement with the authors' code is tested on recorded cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import PluginError
from covar_gen.editors._emu2_tokens import Limits
from covar_gen.editors._emu2_tower import TowerShape, look, pixels_of
from covar_gen.neural.running import exact

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from covar_gen.editors._emu2_checker import Checker
    from covar_gen.editors._emu2_language import Writer
    from covar_gen.editors._emu2_painting import Canvas, Painter
    from covar_gen.editors._emu2_placing import Staged
    from covar_gen.editors._emu2_tokens import Part

ENCODER, PAINTER = "encoder", "painter"
"""Groups of networks that work one after the other: tower and language model, UNet and VAE."""


@dataclass(frozen=True)
class Shown:
    """What is given for one picture, as the networks take it.

    Attributes:
        ids: of the sequence, or None for a photograph alone.
        pixels: float32 (photographs, 3, edge, edge).
    """

    ids: list[int] | None
    pixels: torch.Tensor


@dataclass(frozen=True)
class Wanted:
    """What one picture is painted from.

    Attributes:
        wanted: (64, width).
        unwanted: (64, width), what it is guided away from.
    """

    wanted: torch.Tensor
    unwanted: torch.Tensor


Read = tuple[Wanted, int | None]
"""What one picture is painted from, and how many were read together if less than the batch."""


class Networks:
    """The networks of a checkpoint.

    Attributes:
        read: what was read for the last pictures, by what they were asked with: see
            `_emu2_batches`.

    Args:
        tower: of `build_tower`.
        shape: its shape.
        writer: the language model.
        painter: UNet and VAE.
        checker: the safety checker, if it is to be asked.
        staged: brings the groups ENCODER and PAINTER onto their devices.
    """

    def __init__(
        self,
        tower: nn.Module,
        shape: TowerShape,
        writer: Writer,
        painter: Painter,
        checker: Checker | None,
        staged: Staged,
    ) -> None:
        self.tower, self.shape, self.writer = tower, shape, writer
        self.painter, self.checker, self.staged = painter, checker, staged
        self.read: dict[str, Read] = {}
        self._grey: torch.Tensor | None = None

    def shown(self, parts: Sequence[Part]) -> Shown:
        """What is given for one picture, made ready; may run beside the networks.

        Args:
            parts: sentences and RGB pictures, in their order.

        Raises:
            PluginError: several photographs without a sentence, which is none of the ways that
                the model knows; a sentence with a special token; or more than it can read.
        """
        import torch

        pictures = [part for part in parts if not isinstance(part, str)]
        edge = self.shape.image_size
        pixels = pixels_of(pictures, edge) if pictures else torch.empty(0, 3, edge, edge)
        if len(pictures) < len(parts):
            positions: Any = self.writer.model.config
            limits = Limits(self.writer.tokens, int(positions.max_position_embeddings))
            return Shown(limits.ids(parts), pixels)
        if len(pictures) == 1:
            return Shown(None, pixels)
        what = f"{len(pictures)} photographs without a sentence"
        raise PluginError(what, where="emu2", mend="Give one photograph, or a sentence, even empty")

    def embed(self, batch: Sequence[Shown]) -> list[Wanted]:
        """What each picture of a batch is painted from; it does not depend on those beside it.

        Args:
            batch: of `shown`, at least one.
        """
        import torch

        self.staged.ready(ENCODER)
        with exact():
            counts = [len(item.pixels) for item in batch]
            pixels = torch.cat([item.pixels for item in batch])
            seen = torch.split(self._look(pixels), counts)
            written = self._written(batch, seen)
            return [
                Wanted(each[0], self._nothing())
                if item.ids is None
                else Wanted(next(written), self.writer.empty()[0])
                for item, each in zip(batch, seen, strict=True)
            ]

    def paint(
        self, batch: Sequence[Wanted], seeds: Sequence[int], canvas: Canvas
    ) -> NDArray[np.float32]:
        """The pictures: see `Painter.paint`.

        Args:
            batch: of `embed`.
            seeds: of each picture's noise.
            canvas: how large and how.

        Returns:
            float32 (B, height, width, 3), RGB in [0, 1].
        """
        import torch

        self.staged.ready(PAINTER)
        with exact():
            wanted, unwanted = (
                torch.stack([getattr(item, name) for item in batch])
                for name in ("wanted", "unwanted")
            )
            return self.painter.paint(wanted, unwanted, seeds, canvas)

    def flags(self, pictures: NDArray[np.float32]) -> list[bool]:
        """Which pictures the safety checker flags; none without a checker."""
        if self.checker is None:
            return [False] * len(pictures)
        self.staged.ready(PAINTER)
        with exact():
            return self.checker.flags(pictures)

    def _look(self, pixels: torch.Tensor) -> torch.Tensor:
        """(photographs, 64, width), also of none."""
        import torch

        if not len(pixels):
            return torch.empty(0, self.shape.queries, self.shape.width)
        weight = self.tower.get_parameter("cls_token")
        return look(self.tower, self.shape, pixels.to(weight.device, weight.dtype))

    def _nothing(self) -> torch.Tensor:
        """What the tower says of the mean colour, (64, width)."""
        import torch

        if self._grey is None:
            edge = self.shape.image_size
            self._grey = self._look(torch.zeros(1, 3, edge, edge))[0]
        return self._grey

    def _written(
        self, batch: Sequence[Shown], seen: Sequence[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """What follows the sequences of a batch, in their order."""
        pairs = [
            (item.ids, each.flatten(0, 1))
            for item, each in zip(batch, seen, strict=True)
            if item.ids is not None
        ]
        if pairs:
            yield from self.writer.write([ids for ids, _ in pairs], [each for _, each in pairs])
