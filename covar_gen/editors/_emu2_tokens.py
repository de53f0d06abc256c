"""How Emu2 reads a sequence of photographs and sentences: as ids of LLaMA's tokens and its own.

LLaMA's SentencePiece pieces are followed by 272 added tokens. Each text between two of these is
read for itself, without the blanks around it, and its first word begins a word even right behind a
photograph: "[/IMG]wearing" ends in the pieces "we" and "aring" of the words' beginnings. That is
what the tokenizer of 2023 did, by which Emu2 was trained; later ones give other ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.errors import PluginError, WeightsError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    Part = str | Picture

QUERIES = 64
"""Vectors that stand for a photograph."""

BEGINNING = 1
"""Id of the token that begins every sequence."""

ADDED = (
    "[PAD]",
    "[IMG]",
    "[/IMG]",
    "<image>",
    "[gIMG]",
    "[/gIMG]",
    "[EOC]",
    "[VIDEO]",
    "<grounding>",
    "<phrase>",
    "</phrase>",
    "<object>",
    "</object>",
    "</delimiter_of_multi_objects/>",
    "<REC>",
    *(f"<patch_index_{number:04d}>" for number in range(257)),
)
"""In the order of their ids, behind those of LLaMA's pieces."""

OWN = ("<unk>", "<s>", "</s>")
"""LLaMA's own special tokens."""

_LITERAL = re.compile("|".join(map(re.escape, (*ADDED, *OWN))))


class Tokens:
    """Ids of sequences.

    Args:
        pieces: ids of a text's pieces, without any that begins the sequence.
        vocabulary: how many pieces there are; added tokens have the ids from there on.
    """

    def __init__(self, pieces: Callable[[str], list[int]], vocabulary: int) -> None:
        self.pieces, self.vocabulary = pieces, vocabulary
        self.added = {token: vocabulary + place for place, token in enumerate(ADDED)}

    @property
    def rows(self) -> int:
        """Of the embedding that these ids want."""
        return self.vocabulary + len(ADDED)

    @property
    def slot(self) -> int:
        """Id whose embedding a photograph's vectors take the place of."""
        return self.added["<image>"]

    def ids(self, parts: Sequence[Part | None]) -> list[int]:
        """Of a sequence after which a picture is to follow.

        Args:
            parts: texts, and for each photograph it or None, in their order. Texts side by side
                are one text.

        Raises:
            PluginError: a text holds one of the special tokens.
        """
        found = [BEGINNING]
        for text, together in groupby(parts, key=lambda part: isinstance(part, str)):
            if text:
                found += self._words("".join(str(part) for part in together))
            else:
                for _ in together:
                    found += [self.added["[IMG]"], *[self.slot] * QUERIES, self.added["[/IMG]"]]
        return [*found, self.added["[IMG]"]]

    def _words(self, text: str) -> list[int]:
        check_text(text)
        bare = text.strip()
        return self.pieces(bare) if bare else []


@dataclass(frozen=True)
class Limits:
    """What of sequences a language model can read.

    Attributes:
        tokens: gives ids.
        positions: of the language model, for what is read and what is written together.
    """

    tokens: Tokens
    positions: int

    def ids(self, parts: Sequence[Part | None]) -> list[int]:
        """As `Tokens.ids`, of a sequence that can be read.

        Raises:
            PluginError: it is too long, or a text holds one of the special tokens.
        """
        found = self.tokens.ids(parts)
        # The last of the vectors that are written is not read.
        most = self.positions - (QUERIES - 1)
        if len(found) > most:
            said = _shortened("".join(part for part in parts if isinstance(part, str)))
            what = f"the prompt {said!r} takes {len(found)} tokens; Emu2 reads {most}"
            raise PluginError(what, where="emu2", mend="Shorten it, or give fewer photographs")
        return found


def check_text(text: str) -> None:
    """Refuse what would be read as a token of the model instead of as words.

    Raises:
        PluginError: the text holds a special token.
    """
    found = _LITERAL.search(text)
    if found:
        what = f"the prompt {_shortened(text)!r} holds {found[0]!r}, which Emu2 reads as a mark"
        mend = "Write it in other words, in the prompt or in the background's description"
        raise PluginError(what, where="emu2", mend=mend)


def load_tokens(folder: Path, where: str) -> Tokens:
    """The tokenizer of a checkpoint.

    Args:
        folder: with `tokenizer.model` or `tokenizer.json`, the first of which is the original one,
            and `added_tokens.json` if the added tokens are listed.
        where: the option that names the checkpoint, for messages.

    Raises:
        WeightsError: it is missing or damaged, or its added tokens are not Emu2's.
    """
    original, later = folder / "tokenizer.model", folder / "tokenizer.json"
    path = original if original.is_file() else later
    if not path.is_file():
        mend = "Name a checkpoint with its tokenizer: LLaMA's tokenizer.model"
        raise WeightsError(f"{folder} lacks tokenizer.model", where=where, mend=mend)
    try:
        found = _original(path) if path == original else _later(path)
    except Exception as error:  # the library of tokenizer.json raises Exception itself
        what = f"{path} is no tokenizer of LLaMA's kind"
        raise WeightsError(what, where=where, mend="Fetch it again") from error
    _compare(found, folder / "added_tokens.json", where)
    return found


def _original(path: Path) -> Tokens:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_proto=path.read_bytes())
    return Tokens(processor.encode, processor.vocab_size())


def _later(path: Path) -> Tokens:
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(path))
    size = int(found.get_vocab_size(with_added_tokens=False))
    return Tokens(lambda text: list(found.encode(text, add_special_tokens=False).ids), size)


def _compare(tokens: Tokens, listed: Path, where: str) -> None:
    """Refuse a checkpoint whose added tokens have other ids, where it lists them."""
    if not listed.is_file():
        return
    try:
        known = json.loads(listed.read_text(encoding="utf-8"))
    except ValueError as error:
        what = f"{listed} is not JSON"
        raise WeightsError(what, where=where, mend="Fetch it again") from error
    odd = _odd(known.items(), tokens.added) if isinstance(known, dict) else "no names"
    if odd:
        what = f"{listed} lists {odd}, which is not as Emu2 has it"
        raise WeightsError(what, where=where, mend="Name a checkpoint of Emu2-Gen")


def _odd(listed: Iterable[tuple[str, int]], added: dict[str, int]) -> str:
    """The first token that has another id, or none, in Emu2's list."""
    return next(
        (f"{token!r} as {number}" for token, number in listed if added.get(token) != number), ""
    )


def _shortened(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
