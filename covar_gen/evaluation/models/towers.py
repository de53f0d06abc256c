"""What the adapters share: precision, unit norm, identity, and giving the text tower back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from covar_gen.core.arrays import Json
from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.base import Model, Precision
from covar_gen.evaluation.models.tokenizing import Tokenizer, tokenizer_identity
from covar_gen.evaluation.models.weights import (
    architecture_hash,
    exponential,
    sides,
    weights_hash,
)
from covar_gen.evaluation.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

_PRECISIONS: dict[str, Precision] = {
    "torch.float32": "fp32",
    "torch.bfloat16": "bf16",
    "torch.float16": "fp16",
}


class Towers(Model):
    """A model of a library, with what is the same for all libraries.

    Args:
        module: the library's own model, in evaluation mode.
        name: as users write it.
        source: where its weights were published; empty where that is not known.
        preprocessing: what its images have to be.
        tokenizer: texts -> ids; None if the model is only used with token ids.
        ours: True if the module belongs to this object alone, so that its weights stay as they
            are and its text tower may be taken out.

    Raises:
        ModelError: the module is in training mode, or its numbers are of a type without a name.
    """

    library: ClassVar[str]
    """Name of the library."""

    image_side: ClassVar[tuple[str, ...]]
    """Beginnings of the names of the image side's weights."""

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
        if module.training:
            # Dropout and patch dropout would make every answer another one.
            what = "the model is in training mode"
            raise ModelError(what, where=name, mend="Call model.eval() before wrap(model)")
        self._module = module
        self._source = source
        self._tokenizer = tokenizer
        self._ours = ours
        self._released = False
        self._kept: dict[str, dict[str, Json]] = {}
        self.name = name
        self.preprocessing = preprocessing
        self._dtype = _working_type(self._image_tower())
        if str(self._dtype) not in _PRECISIONS:
            what = f"its weights are {self._dtype}"
            mend = "Load it as float32, bfloat16 or float16"
            raise ModelError(what, where=name, mend=mend)
        self.precision = _PRECISIONS[str(self._dtype)]

    @property
    def logit_scale(self) -> float:
        """What a cosine is multiplied with."""
        return exponential(cast("Any", self._module).logit_scale)

    @property
    def logit_bias(self) -> float:
        """What is added after that; 0 where the model has none."""
        bias = getattr(self._module, "logit_bias", None)
        return 0.0 if bias is None else float(bias.detach())

    @property
    def module(self) -> torch.nn.Module:
        """The model itself, as its own library built it."""
        return self._module

    @property
    def device(self) -> torch.device:
        """Where the image tower is."""
        return next(self._image_tower().parameters()).device

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embeddings of images: float32 (B, D), unit norm; see `Model.encode_image`."""
        features = self._image_features(pixels.to(device=self.device, dtype=self._dtype))
        return _unit(features)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Token ids of texts: int64 (T, L); see `Model.tokenize`.

        Raises:
            ModelError: the model was wrapped without a tokenizer.
        """
        if isinstance(texts, str):
            msg = "a list of texts is expected: [text]"
            raise TypeError(msg)
        if self._tokenizer is None:
            mend = "Pass token ids, or wrap(model, tokenizer=...)"
            raise ModelError("it has no tokenizer", where=self.name, mend=mend)
        return self._tokenizer(list(texts))

    def encode_text(self, texts: Sequence[str] | torch.Tensor) -> torch.Tensor:
        """Embeddings of texts: float32 (T, D), unit norm; see `Model.encode_text`.

        Raises:
            ModelError: the text tower was given back, or there is no tokenizer.
        """
        import torch

        if self._released:
            what = "its text tower was given back by release_text()"
            raise ModelError(what, where=self.name, mend="Load the model again")
        ids = texts if isinstance(texts, torch.Tensor) else self.tokenize(texts)
        return _unit(self._text_features(ids.to(self.device)))

    def identity(self) -> dict[str, Json]:
        """What decides the answers: name, source, weights by hash, preprocessing, precision."""
        text = self.text_identity()
        text.pop("precision")
        return {
            "name": self.name,
            "library": self.library,
            "source": self._source,
            "image": self._once("image", self._image_identity),
            "text": text,
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "preprocessing": self.preprocessing.as_json(),
            "precision": self.precision,
        }

    def text_identity(self) -> dict[str, Json]:
        """What decides the embeddings of texts; the image side is left out."""
        return {**self._once("text", self._text_identity), "precision": self.precision}

    def release_text(self) -> None:
        """Give back the memory of the text tower, if the model was loaded by `load_model`."""
        if not self._ours or self._released:
            return
        self.text_identity()
        for name in self._text_parts():
            _take_out(self._module, name)
        self._released = True

    def _once(self, side: str, make: Any) -> dict[str, Json]:
        """A side's identity; kept only where nobody else can change the weights."""
        if side in self._kept:
            return dict(self._kept[side])
        found: dict[str, Json] = make()
        if self._ours:
            self._kept[side] = found
        return dict(found)

    def _image_identity(self) -> dict[str, Json]:
        image, _ = self._sides()
        parts = {name: _part(self._module, name) for name in self._image_parts()}
        return {"weights": weights_hash(image), "architecture": architecture_hash(parts)}

    def _text_identity(self) -> dict[str, Json]:
        _, text = self._sides()
        parts = {name: _part(self._module, name) for name in self._text_parts()}
        found = self._tokenizer
        return {
            "weights": weights_hash(text),
            "architecture": architecture_hash({**parts, **self._text_facts()}),
            "context_length": self._context_length(),
            "tokenizer": None if found is None else tokenizer_identity(found),
        }

    def _sides(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        state = self._module.state_dict()
        return sides(state, self._is_image, ("logit_scale", "logit_bias"))

    def _is_image(self, name: str) -> bool:
        return name.startswith(self.image_side)

    @abstractmethod
    def _image_tower(self) -> torch.nn.Module:
        """The module that images go through."""

    @abstractmethod
    def _image_parts(self) -> list[str]:
        """Attributes of the module that belong to the image side."""

    @abstractmethod
    def _text_parts(self) -> list[str]:
        """Attributes of the module that belong to the text side."""

    @abstractmethod
    def _text_facts(self) -> dict[str, object]:
        """What else decides the embeddings of texts."""

    @abstractmethod
    def _context_length(self) -> int:
        """Tokens of a text, L."""

    @abstractmethod
    def _image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) of the towers' type -> (B, D), of any norm."""

    @abstractmethod
    def _text_features(self, ids: torch.Tensor) -> torch.Tensor:
        """int64 (T, L) -> (T, D), of any norm."""


def _unit(features: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import normalize

    return normalize(features.float(), dim=-1)


def _working_type(tower: torch.nn.Module) -> torch.dtype:
    """The type that a tower computes in: of its first convolution or linear layer.

    LayerNorms and embeddings of a bf16 tower may stay float32.
    """
    import torch

    for module in tower.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            return module.weight.dtype
    return next(tower.parameters()).dtype


def _part(module: torch.nn.Module, name: str) -> object:
    return getattr(module, name)


def _take_out(module: torch.nn.Module, name: str) -> None:
    """Make a submodule, parameter or buffer None, as torch itself keeps absent ones."""
    setattr(module, name, None)
