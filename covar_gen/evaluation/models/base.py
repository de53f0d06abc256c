"""What a model is: an image tower and a text tower that meet in one space, whoever built them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from covar_gen.core.arrays import Json
from covar_gen.evaluation.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

LOCAL = "local:"
"""Beginning of the names of models that lie in a folder of the user's."""

Precision = Literal["fp32", "bf16", "fp16"]
Pooling = Literal["cls", "attention", "other"]
"""How a tower turns tokens into one vector: by its class token, by an attention-pooling head
(SigLIP), or in another way."""


def public_name(name: str) -> str:
    """A model's name as it is stored: of a local folder only its last part, never a path."""
    if not name.startswith(LOCAL):
        return name
    return f"{LOCAL}{Path(name.removeprefix(LOCAL)).expanduser().resolve().name}"


def with_place(name: str) -> str:
    """A model's name by which it can be loaded from any folder."""
    if not name.startswith(LOCAL):
        return name
    return f"{LOCAL}{Path(name.removeprefix(LOCAL)).expanduser().resolve()}"


def folder_of(name: str) -> str:
    """A model's name as one path component: `/` and `:` become `__`."""
    return public_name(name).replace("/", "__").replace(":", "__")


class Model(ABC):
    """A CLIP-like model behind one interface.

    Attributes:
        name: as users write it: `ViT-B-16-quickgelu/openai`, `hf-hub:owner/name`, `local:folder`.
        preprocessing: what its images have to be.
        dim: width of the common space, D.
        patches: rows and columns of the patch grid; (0, 0) for towers without one.
        pooling: how its image tower pools.
        precision: of the towers' arithmetic; results are float32 always.
    """

    name: str
    preprocessing: Preprocessing
    dim: int
    patches: tuple[int, int]
    pooling: Pooling
    precision: Precision

    @property
    def folder(self) -> str:
        """The name as one path component."""
        return folder_of(self.name)

    @property
    @abstractmethod
    def module(self) -> torch.nn.Module:
        """The model itself, as its own library built it."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the towers are."""

    @property
    @abstractmethod
    def logit_scale(self) -> float:
        """What a cosine is multiplied with (the exponential of the stored parameter)."""

    @property
    @abstractmethod
    def logit_bias(self) -> float:
        """What is added after that; 0 where the model has none."""

    @abstractmethod
    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embeddings of images.

        Args:
            pixels: float32 (B, 3, H, W), normalised as `preprocessing` says, on any device.

        Returns:
            float32 (B, D), unit norm, on the model's device. Gradients are kept where they are on.
        """

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Token ids of texts as the model was trained with: int64 (T, L)."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str] | torch.Tensor) -> torch.Tensor:
        """Embeddings of texts.

        Args:
            texts: T strings, or their token ids, int64 (T, L).

        Returns:
            float32 (T, D), unit norm, on the model's device.
        """

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """What decides the answers: name, source, weights by hash, preprocessing, precision.

        No paths, no device.
        """

    @abstractmethod
    def text_identity(self) -> dict[str, Json]:
        """What decides the embeddings of texts; the image side is left out."""

    @abstractmethod
    def release_text(self) -> None:
        """Give back the memory of the text tower; `encode_text` fails after it.

        Models that were handed over by `wrap` are left as they are.
        """
