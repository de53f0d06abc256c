"""transformers' CLIPModel and SiglipModel behind the same interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.tokenizing import Tokenizer
from covar_gen.evaluation.models.towers import Towers
from covar_gen.evaluation.preprocessing import Grid, Interpolation, Preprocessing

if TYPE_CHECKING:
    import torch

_KINDS = ("CLIPImageProcessor", "SiglipImageProcessor")
_ENDINGS = ("Fast", "Pil")
_RESAMPLES: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
"""Numbers of Pillow's filters."""


class TransformersModel(Towers):
    """A CLIPModel or SiglipModel of transformers.

    Args:
        module: the model, in evaluation mode.
        name: as users write it.
        source: where its weights were published; empty where that is not known.
        preprocessing: what its images have to be.
        tokenizer: texts -> ids; None if the model is only used with token ids.
        ours: True if the module belongs to this object alone.

    Raises:
        ModelError: another class, training mode, or an image tower without its pooling head.
    """

    library = "transformers"
    image_side = ("vision_model.", "visual_projection.")

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        name: str,
        source: str,
        preprocessing: Preprocessing,
        tokenizer: Tokenizer | None,
        ours: bool,
    ) -> None:
        check_kind(type(module).__name__, name)
        self._hf = cast("Any", module)
        super().__init__(
            module,
            name=name,
            source=source,
            preprocessing=preprocessing,
            tokenizer=tokenizer,
            ours=ours,
        )
        config = self._hf.config
        vision = config.vision_config
        side = int(vision.image_size) // int(vision.patch_size)
        self.patches = (side, side)
        self._clip = config.model_type == "clip"
        self.pooling = "cls" if self._clip else "attention"
        self.dim = int(config.projection_dim if self._clip else vision.hidden_size)
        if not self._clip and not getattr(vision, "vision_use_head", True):
            what = "its image tower has no pooling head"
            raise ModelError(what, where=name, mend="Choose a checkpoint that can be compared")

    def _image_tower(self) -> torch.nn.Module:
        tower: torch.nn.Module = self._hf.vision_model
        return tower

    def _image_parts(self) -> list[str]:
        return ["vision_model", "visual_projection"] if self._clip else ["vision_model"]

    def _text_parts(self) -> list[str]:
        return ["text_model", "text_projection"] if self._clip else ["text_model"]

    def _text_facts(self) -> dict[str, object]:
        config = self._hf.config
        names = ("hidden_act", "eos_token_id", "layer_norm_eps", "max_position_embeddings")
        said = {name: getattr(config.text_config, name, None) for name in names}
        return {"": config.model_type, **said}

    def _context_length(self) -> int:
        return int(self._hf.config.text_config.max_position_embeddings)

    def _image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return _pooled(self._hf.get_image_features(pixel_values=pixels))

    def _text_features(self, ids: torch.Tensor) -> torch.Tensor:
        # Without a mask: CLIP reads at the end of the text, where padding is not seen yet, and
        # SigLIP was trained to look at its padding.
        return _pooled(self._hf.get_text_features(input_ids=ids))


def _pooled(found: Any) -> torch.Tensor:
    """The embedding: transformers 5 hands it over inside its towers' whole output."""
    tensor: torch.Tensor = getattr(found, "pooler_output", found)
    return tensor


def check_kind(kind: str, where: str) -> None:
    """Refuse a class that is neither CLIPModel nor SiglipModel.

    Raises:
        ModelError: with what to use instead.
    """
    if kind in {"CLIPModel", "SiglipModel"}:
        return
    if kind == "Siglip2Model":
        what = "NaFlex models give every image a grid of its own"
        mend = "Use one of a fixed resolution: ViT-B-16-SigLIP2/webli"
        raise ModelError(what, where=where, mend=mend)
    mend = "Use a CLIPModel or a SiglipModel, or a model of open_clip"
    raise ModelError(f"models of class {kind} are not known", where=where, mend=mend)


def preprocessing_of(processor: Any, edge: int, where: str) -> Preprocessing:
    """An image processor's settings as ours.

    Args:
        processor: CLIPImageProcessor or SiglipImageProcessor.
        edge: pixels of the edge of the images that the tower takes.
        where: the model, for the error message.

    Raises:
        ModelError: a step that cannot be done exactly, or images of another size.
    """
    kind = type(processor).__name__
    for ending in _ENDINGS:
        kind = kind.removesuffix(ending)
    refuse = _Refusal(where)
    if kind not in _KINDS:
        raise refuse(f"a {type(processor).__name__} is not known")
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if not getattr(processor, step, False):
            raise refuse(f"{step} is off")
    if getattr(processor, "do_pad", None):
        raise refuse("do_pad is on")
    if abs(float(processor.rescale_factor) * 255 - 1) > 1e-6:  # noqa: PLR2004 - rounding of 1/255
        raise refuse(f"rescale_factor {processor.rescale_factor} is not 1/255")
    filter_number = int(processor.resample)
    if filter_number not in _RESAMPLES:
        raise refuse(f"resample {filter_number} is neither bilinear nor bicubic")
    grid = _grid(processor, _RESAMPLES[filter_number], refuse)
    if (grid.height, grid.width) != (edge, edge):
        raise refuse(f"it makes {grid.height}x{grid.width} pixels, the tower takes {edge}x{edge}")
    mean, std = (tuple(map(float, each)) for each in (processor.image_mean, processor.image_std))
    return Preprocessing(grid, _three(mean, refuse), _three(std, refuse))


class _Refusal:
    """Makes the error of a processor that is not understood."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __call__(self, what: str) -> ModelError:
        mend = "Give the preprocessing yourself: wrap(model, preprocessing=Preprocessing(...))"
        what = f"its image processor cannot be reproduced exactly: {what}"
        return ModelError(what, where=self.where, mend=mend)


def _grid(processor: Any, interpolation: Interpolation, refuse: _Refusal) -> Grid:
    size = _set(processor.size)
    crop = _set(processor.crop_size) if getattr(processor, "do_center_crop", False) else {}
    if set(size) == {"height", "width"}:
        if crop and crop != size:
            raise refuse(f"resizing to {size}, then cropping to {crop}")
        return Grid(size["height"], size["width"], "squash", 0, interpolation)
    if set(size) != {"shortest_edge"} or set(crop) != {"height", "width"}:
        raise refuse(f"size {size} with crop {crop or 'off'}")
    edge = size["shortest_edge"]
    if max(crop.values()) > edge:
        raise refuse(f"a crop of {crop} out of an edge of {edge}")
    # transformers begins its crop at the pixel before the middle, torchvision at the even one.
    return Grid(crop["height"], crop["width"], "shortest", edge, interpolation, halves="down")


def _set(size: Any) -> dict[str, int]:
    """The entries of a size that are set, whether it is a dict or transformers' own class."""
    found = dict(size) if isinstance(size, dict) else dict(vars(size))
    return {name: int(value) for name, value in found.items() if value is not None}


def _three(numbers: tuple[float, ...], refuse: _Refusal) -> tuple[float, float, float]:
    if len(numbers) != 3:  # noqa: PLR2004 - red, green, blue
        raise refuse(f"{len(numbers)} channels")
    return numbers[0], numbers[1], numbers[2]
