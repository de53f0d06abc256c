"""Tokenizers by what they do: two that cut texts differently never share a text classifier."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covar_gen.core.arrays import Json
from covar_gen.core.errors import ModelError

if TYPE_CHECKING:
    import torch

Tokenizer = Callable[[list[str]], "torch.Tensor"]
"""T texts -> token ids, int64 (T, L), padded and cut as the model was trained with."""

_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")

_PROBES = (
    "a photo of a dog.",
    "A PHOTO of the  small Cat!",
    "itap of my park_bench, isn't it?",
    "naïve façade №5 &amp; 犬",
    " ".join(["word"] * 300),
)
"""Texts on which cleaning, case, punctuation, escapes, padding and cutting show."""


def tokenizer_identity(tokenizer: Tokenizer) -> dict[str, Json]:
    """What decides a tokenizer's ids: its class, its vocabulary, and what it does to some texts.

    Args:
        tokenizer: open_clip's SimpleTokenizer or HFTokenizer, `PaddedTexts`, or any callable.
    """
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    return {
        "class": type(tokenizer).__name__,
        "vocabulary": _digest(_vocabulary(inner)),
        # Cleaning is code: a hash of what it does sees changes that no setting would show.
        "probes": _digest(_probe(tokenizer)),
    }


def _vocabulary(inner: Any) -> Json:
    """All that a tokenizer holds; None for a callable that shows nothing."""
    backend = getattr(inner, "backend_tokenizer", None)
    if backend is not None:
        held: dict[str, Json] = json.loads(backend.to_str())
        # Both are set by the last call.
        return {key: held[key] for key in sorted(held) if key not in {"truncation", "padding"}}
    if hasattr(inner, "encoder") and hasattr(inner, "bpe_ranks"):
        return [list(inner.encoder), [list(pair) for pair in inner.bpe_ranks]]
    if hasattr(inner, "get_vocab"):
        return dict(sorted(inner.get_vocab().items()))
    return None


def _probe(tokenizer: Tokenizer) -> Json:
    ids = tokenizer(list(_PROBES))
    return [list(map(int, row)) for row in ids]


def _digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def check_tokenizer_files(folder: Path, where: str) -> None:
    """Refuse a folder without a tokenizer: transformers would make one that knows no word.

    Raises:
        ModelError: none of the files that hold a vocabulary is there.
    """
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        what = f"it holds no tokenizer ({', '.join(_VOCABULARIES)})"
        raise ModelError(what, where=where, mend="Save the tokenizer into the model's folder")


class PaddedTexts:
    """A transformers tokenizer that pads and cuts every text to one length.

    Attributes:
        tokenizer: the tokenizer of the checkpoint.
        length: tokens of every text, L.
        lower: whether texts become lower case first.
    """

    def __init__(self, tokenizer: Any, length: int, *, lower: bool = False) -> None:
        self.tokenizer = tokenizer
        self.length = length
        self.lower = lower

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """T texts -> int64 (T, L)."""
        found = self.tokenizer(
            [text.lower() if self.lower else text for text in texts],
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        ids: torch.Tensor = found["input_ids"]
        return ids
