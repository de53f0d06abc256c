"""How much of a text a model reads: some read its beginning only, without a word about the rest."""

from __future__ import annotations

import inspect
from typing import Any

CHAT = "Flux2"
"""Start of the names of classes that put a text into a conversation before they cut it."""
SECOND = "Flux"
"""Of classes whose second reader (T5) reads the text; the first, CLIP, gives a summary alone."""


class Reader:
    """What a pipeline of diffusers reads of its texts, as the class's own code cuts them.

    Stable Diffusion's classes read as many tokens as CLIP takes (77); FLUX's `max_sequence_length`
    tokens (512), FLUX.2 klein's of a conversation with the text in it. Qwen-Image-Edit reads
    everything, in spite of an argument of that name (diffusers 0.42.1).

    Args:
        pipe: the pipeline.
    """

    def __init__(self, pipe: Any) -> None:
        kind = type(pipe).__name__
        asked = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
        self.chat = kind.startswith(CHAT)
        self.tokenizer: Any = None
        self.limit = 0
        if getattr(pipe, "unet", None) is not None:
            self.tokenizer = pipe.tokenizer
            self.limit = int(pipe.tokenizer.model_max_length)
        elif asked is not None and kind.startswith(SECOND):
            self.tokenizer = pipe.tokenizer if self.chat else pipe.tokenizer_2
            self.limit = int(asked.default)
        self._known: dict[str, bool] = {}

    def cuts(self, text: str) -> bool:
        """Whether the model reads the beginning of a text only.

        Not to be asked in other threads than the pipeline's: tokenizers cannot be shared.
        """
        if self.tokenizer is None:
            return False
        if text not in self._known:
            self._known[text] = self._length(text) > self.limit
        return self._known[text]

    def _length(self, text: str) -> int:
        """Tokens of a text."""
        if self.chat:
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        return len(self.tokenizer(text, verbose=False).input_ids)
