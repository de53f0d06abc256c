"""open_clip's models: CLIP's class-token towers, SigLIP's attention-pooled ones, any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.base import Pooling
from covar_gen.evaluation.models.tokenizing import Tokenizer
from covar_gen.evaluation.models.towers import Towers
from covar_gen.evaluation.preprocessing import Grid, Interpolation, Preprocessing, Resize

if TYPE_CHECKING:
    import torch

_RESIZES: dict[str, Resize] = {"shortest": "shortest", "longest": "longest", "squash": "squash"}
_INTERPOLATIONS: dict[str, Interpolation] = {
    "bicubic": "bicubic",
    "bilinear": "bilinear",
    "random": "bicubic",  # open_clip's choice outside training
}


class OpenClipModel(Towers):
    """A model that open_clip built.

    Args:
        module: `open_clip.CLIP`, `CustomTextCLIP` or `CoCa`, in evaluation mode.
        name: as users write it.
        source: where its weights were published; empty where that is not known.
        preprocessing: what its images have to be.
        tokenizer: texts -> ids; None if the model is only used with token ids.
        ours: True if the module belongs to this object alone.

    Raises:
        ModelError: the module is in training mode, or its numbers are of a type without a name.
    """

    library = "open_clip"
    image_side = ("visual.",)

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
        super().__init__(
            module,
            name=name,
            source=source,
            preprocessing=preprocessing,
            tokenizer=tokenizer,
            ours=ours,
        )
        self._clip = cast("Any", module)
        self.pooling, self.patches = tower_shape(self._clip.visual)
        self.dim = self._width()

    def _image_tower(self) -> torch.nn.Module:
        tower: torch.nn.Module = self._module.visual  # type: ignore[assignment]
        return tower

    def _image_parts(self) -> list[str]:
        return ["visual"]

    def _text_parts(self) -> list[str]:
        own = {
            *(name for name, _ in self._module.named_children()),
            *(name for name, _ in self._module.named_parameters(recurse=False)),
            *(name for name, _ in self._module.named_buffers(recurse=False)),
        }
        return sorted(own - {"visual", "logit_scale", "logit_bias"})

    def _text_facts(self) -> dict[str, object]:
        names = ("text_pool_type", "text_eos_id", "context_length", "vocab_size")
        return {"": type(self._clip).__name__} | {
            name: getattr(self._clip, name, None) for name in names
        }

    def _context_length(self) -> int:
        import open_clip

        length = open_clip.get_model_tokenize_cfg(self._clip).get("context_length")
        return int(length or getattr(self._clip, "context_length", 0) or 0)

    def _image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return _first(self._clip.encode_image(pixels))

    def _text_features(self, ids: torch.Tensor) -> torch.Tensor:
        return _first(self._clip.encode_text(ids))

    def _width(self) -> int:
        """D: as the tower says, else as one image comes out."""
        import torch

        said = getattr(self._clip.visual, "output_dim", None)
        if isinstance(said, int):
            return said
        grid = self.preprocessing.grid
        with torch.no_grad():
            return self.encode_image(torch.zeros(1, 3, grid.height, grid.width)).shape[-1]


def _first(found: Any) -> torch.Tensor:
    """The embedding where a tower also returns its tokens."""
    tensor: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return tensor


def tower_shape(visual: Any) -> tuple[Pooling, tuple[int, int]]:
    """How an image tower of open_clip pools, and its patch grid.

    Args:
        visual: `open_clip.transformer.VisionTransformer`, `TimmModel`, or any other.

    Returns:
        The pooling, and rows and columns of patches; (0, 0) for a tower without a grid.
    """
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, VisionTransformer):
        by_class_token = visual.attn_pool is None and visual.pool_type == "tok"
        return ("cls" if by_class_token else "other"), _pair(visual.grid_size)
    if not isinstance(visual, TimmModel):
        return "other", (0, 0)
    trunk: Any = visual.trunk
    grid = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
    if grid is None:
        return "other", (0, 0)
    pool = getattr(trunk, "global_pool", "")
    if pool == "map" and getattr(trunk, "attn_pool", None) is not None:
        return "attention", _pair(grid)
    return ("cls" if pool == "token" else "other"), _pair(grid)


def _pair(grid: Any) -> tuple[int, int]:
    rows, columns = grid
    return int(rows), int(columns)


def preprocessing_of(config: dict[str, Any], where: str) -> Preprocessing:
    """open_clip's preprocessing configuration as ours.

    Args:
        config: what `open_clip.get_model_preprocess_cfg` gives.
        where: the model, for the error message.

    Raises:
        ModelError: something is missing or cannot be done exactly.
    """
    missing = [key for key in ("size", "mean", "std") if not config.get(key)]
    if missing:
        what = f"its preprocessing is not known ({', '.join(missing)} missing)"
        raise ModelError(what, where=where, mend="Pass it: wrap(model, preprocessing=...)")
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else _pair(size)
    resize = config.get("resize_mode") or "shortest"
    interpolation = config.get("interpolation") or "bicubic"
    if resize not in _RESIZES or interpolation not in _INTERPOLATIONS:
        what = f"resize_mode {resize!r} with interpolation {interpolation!r} is not known"
        raise ModelError(what, where=where, mend="Pass wrap(model, preprocessing=...)")
    if height != width and resize == "shortest":
        # open_clip then forgets the interpolation that was asked for.
        interpolation = "bicubic"
    # Without an edge, an image is scaled by the larger of the two ratios, or the smaller.
    edge = height if height == width and resize != "squash" else 0
    fill = int(config.get("fill_color") or 0) if resize == "longest" else 0
    grid = Grid(height, width, _RESIZES[resize], edge, _INTERPOLATIONS[interpolation], fill)
    return Preprocessing(grid, _three(config["mean"]), _three(config["std"]))


def _three(numbers: Any) -> tuple[float, float, float]:
    if isinstance(numbers, (int, float)):
        numbers = (numbers,) * 3
    red, green, blue = map(float, numbers)
    return red, green, blue
