"""What an attribution method does: images and texts in, one map per pair on the patch grid out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from covar_gen.core import plugins
from covar_gen.core.errors import ModelError
from covar_gen.core.plugins import Plugin

if TYPE_CHECKING:
    import torch

    from covar_gen.evaluation.models.base import Model

KIND = "methods"
"""What the command line calls them."""


@dataclass(frozen=True)
class Explanation:
    """What a method found, for B images and T texts, on an h x w patch grid.

    Attributes:
        maps: float32 (B, T, h, w), raw (not scaled to [0, 1]), without NaN, on the model's device;
            larger where the patch speaks more for the text.
        flat: bool (B, T), True where the map says nothing because all its values are the same.
    """

    maps: torch.Tensor
    flat: torch.Tensor


class Method(Plugin, ABC):
    """An attribution method: one file of this folder."""

    requires = ("torch",)
    extra = "evaluate"

    @abstractmethod
    def explain(self, model: Model, pixels: torch.Tensor, texts: torch.Tensor) -> Explanation:
        """Explain how well each image fits each text.

        Args:
            model: that compares them; it is used as it is and left as it was.
            pixels: float32 (B, 3, H, W), as `model.encode_image` takes them.
            texts: float32 (T, D), unit norm: of `model.encode_text`, or rows of a zero-shot
                classifier; or (B, T, D), texts of its own for each image.

        Returns:
            A map for each image and text.

        Raises:
            ModelError: the model's image tower is of a kind that the method cannot explain, or
                pixels or texts are not its.
        """


def get_method(name: str, **options: Any) -> Method:
    """A method by its name, which is the name of its file.

    Args:
        name: for example "cci"; `covar-gen list methods` names them all.
        options: the method's own.

    Raises:
        PluginError: no such method, or an option that it does not have or that cannot be.
        MissingExtraError: the packages that it needs are not installed.
    """
    method: Method = plugins.make(KIND, name, Method, options)
    return method


def check_inputs(
    model: Model, pixels: torch.Tensor, texts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and texts of the right shape, on the model's device.

    Args:
        model: that they are for.
        pixels: (B, 3, H, W).
        texts: (T, D) or (B, T, D).

    Returns:
        float32 (B, 3, H, W), and float32 (B, T, D).

    Raises:
        ModelError: a shape that the model does not take.
    """
    grid = model.preprocessing.grid
    size = (3, grid.height, grid.width)
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != size:  # noqa: PLR2004 - B, 3, H, W
        what = f"its images are (B, 3, {grid.height}, {grid.width}), got {tuple(pixels.shape)}"
        mend = "Resize them as its preprocessing says: images.make_grids, then normalise"
        raise ModelError(what, where=model.name, mend=mend)
    count = len(pixels)
    fits = texts.ndim == 2 or (texts.ndim == 3 and len(texts) == count)  # noqa: PLR2004 - see above
    if not fits or texts.shape[-1] != model.dim:
        what = f"its texts are (T, {model.dim}) or ({count}, T, {model.dim})"
        mend = "Embed them with this model's encode_text, as a batch"
        raise ModelError(f"{what}, got {tuple(texts.shape)}", where=model.name, mend=mend)
    found = texts.to(model.device).float()
    return pixels.to(model.device), found.expand(count, *found.shape[-2:])
