"""The toy models' tokenizer: whole words of the captions, and letters for every other text.

Written as a folder's `tokenizer.json` and `tokenizer_config.json`, which open_clip and transformers
both read. Padding has number 0 and the end of a text the largest, where open_clip's towers that
pool at the largest number look for it.
"""

from __future__ import annotations

import json
import string
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.toys.captions import words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LENGTH = 24
"""Tokens of a text, its end included; longer texts are cut."""
PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[END]"


def vocabulary() -> dict[str, int]:
    """Token -> number: padding, unknown, the captions' words, letters, digits, marks, end."""
    single = [*string.ascii_lowercase, *string.digits]
    tokens = [PADDING, UNKNOWN, *words(), *single, *(f"##{sign}" for sign in single)]
    tokens += [*string.punctuation, END]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


@cache
def make_tokenizer() -> Tokenizer:
    """The tokenizer; every text comes out with `LENGTH` numbers."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    known = vocabulary()
    tokenizer = Tokenizer(models.WordPiece(vocab=known, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, known[END])]
    )
    tokenizer.add_special_tokens([PADDING, UNKNOWN, END])
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(pad_id=known[PADDING], pad_token=PADDING, length=LENGTH)
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer's two files into a folder."""
    make_tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": LENGTH,
        "padding_side": "right",
        "pad_token": PADDING,
        "unk_token": UNKNOWN,
        "eos_token": END,
        "model_input_names": ["input_ids"],
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
