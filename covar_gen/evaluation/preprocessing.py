"""What a model wants its images to be: one grid of pixels, and the numbers that normalise it.

Nothing is assumed: both come from the configuration that the model's weights were published with.
Models that want the same grid share one resize (covar_gen/evaluation/images.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from covar_gen.core.arrays import Json

if TYPE_CHECKING:
    import torch

Resize = Literal["shortest", "longest", "squash"]
"""shortest: the shorter edge becomes `edge`, then the centre is cropped. longest: the longer edge
becomes `edge`, the rest is padded. squash: both edges are resized, the aspect ratio is lost."""

Interpolation = Literal["bicubic", "bilinear", "nearest"]

Halves = Literal["even", "down"]
"""Where a crop begins if that falls between two pixels. even: at the one with an even number
(torchvision, so open_clip). down: at the one before (transformers)."""


class Grid(NamedTuple):
    """A grid of pixels that an image is resized to.

    Attributes:
        height: of the result, pixels.
        width: of the result, pixels.
        resize: how the image's aspect ratio is treated.
        edge: pixels that the edge named by `resize` gets before the crop or the padding; 0 for
            squash, and where the grid is not square: both edges then decide.
        interpolation: always antialiased.
        fill: grey level 0-255 of the padding of `longest`.
        halves: where the crop of `shortest` begins if the rest is odd.
    """

    height: int
    width: int
    resize: Resize = "shortest"
    edge: int = 0
    interpolation: Interpolation = "bicubic"
    fill: int = 0
    halves: Halves = "even"


class Preprocessing(NamedTuple):
    """What happens to an image before a tower sees it.

    Attributes:
        grid: the pixels.
        mean: of each channel, for values in [0, 1].
        std: of each channel, for values in [0, 1].
    """

    grid: Grid
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def as_json(self) -> dict[str, Json]:
        """As it stands beside the predictions."""
        return {**self.grid._asdict(), "mean": list(self.mean), "std": list(self.std)}

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, 3, H, W) in [0, 255] -> float32 (B, 3, H, W), on the pixels' own device."""
        import torch

        mean = torch.tensor(self.mean, device=pixels.device)[:, None, None]
        std = torch.tensor(self.std, device=pixels.device)[:, None, None]
        # Divided in this order, the result equals torchvision's ToTensor and Normalize bit by bit.
        return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)
