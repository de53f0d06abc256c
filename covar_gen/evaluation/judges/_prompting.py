"""What language models are asked about a pair of classes, and how their answers are read."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from covar_gen.core.arrays import Json
from covar_gen.core.prompts import Prompt, load_prompt
from covar_gen.evaluation.judges.base import ClassPair

Style: TypeAlias = Literal["paper", "structured"]
Message: TypeAlias = dict[str, str]
"""One message to the model: its role and its content."""

EXAMPLES = (
    ("siamang", "chimpanzee", "similar"),
    ("border collie", "australian shepherd", "similar"),
    ("cat", "airplane", "different"),
    ("lion", "bicycle", "different"),
)
"""The paper's example outputs: truth, prediction, answer (supplement, A.8.1)."""

SCHEMA: dict[str, Json] = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"verdict": {"type": "string", "enum": ["similar", "different"]}},
            "required": ["verdict"],
            "additionalProperties": False,
        },
    },
}
"""`response_format` of the structured style."""

_WORDS = {"similar": True, "different": False}
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_AROUND = " \t\r\n.!*_`'\""
LONGEST = 1000
"""Characters of an answer that are kept."""


def messages(pair: ClassPair, style: Style, *, examples: bool) -> list[Message]:
    """The messages about one pair.

    Args:
        pair: the question.
        style: paper: its prompt, word for word; structured: ours, of two equals.
        examples: with the paper's example outputs before, as turns of a conversation.
    """
    turns: list[Message] = []
    for truth, predicted, answer in EXAMPLES if examples else ():
        turns.append({"role": "user", "content": _question(truth, predicted, style)})
        told = answer if style == "paper" else json.dumps({"verdict": answer})
        turns.append({"role": "assistant", "content": told})
    asked = _question(pair.truth_name, pair.predicted_name, style)
    system = _prompt(style).system or ""
    return [{"role": "system", "content": system}, *turns, {"role": "user", "content": asked}]


_NAMES = {"paper": "fine_grained_judge", "structured": "fine_grained_pair"}


@cache
def _prompt(style: Style) -> Prompt:
    return load_prompt(_NAMES[style])


def _question(first: str, second: str, style: Style) -> str:
    prompt = _prompt(style)
    if style == "paper":
        return prompt.user_with(gt_class=first, pred_class=second)
    return prompt.user_with(first_class=first, second_class=second)


def prompt_digest(style: Style, *, examples: bool) -> str:
    """SHA-256 over all words that are sent beside the names of the classes."""
    asked = messages(ClassPair(0, 1, "{first}", "{second}"), style, examples=examples)
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def verdict_in(text: str, style: Style) -> bool | None:
    """What an answer says; None if it is not clear.

    The paper's answer is one word. Case, marks around the word and what a model thought before
    (`<think>`) do not count; "not similar", or a sentence, is no answer: nothing is guessed.

    Args:
        text: the answer.
        style: in which it was asked for.
    """
    said = _THOUGHT.sub("", text)
    if style == "paper":
        return _WORDS.get(said.strip(_AROUND).lower())
    try:
        found = json.loads(said)
    except ValueError:
        return None
    word = found.get("verdict") if isinstance(found, dict) else None
    return _WORDS.get(word) if isinstance(word, str) else None


class Reply(NamedTuple):
    """What a server answered.

    Attributes:
        text: the answer; empty if there is none.
        reason: why there is none; None if there is one.
        model: that the server says answered; None if it does not say.
    """

    text: str
    reason: str | None
    model: str | None


def reply_in(body: object) -> Reply:
    """The answer in a chat completion, as JSON gave it.

    Args:
        body: what the server sent, in any shape.
    """
    model = _at(body, "model")
    named = model if isinstance(model, str) and model else None
    choices = _at(body, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = _at(first, "message")
    if not isinstance(message, dict):
        return Reply("", "not_an_answer", named)
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        return Reply("", "not_an_answer", named)
    if _at(first, "finish_reason") == "length":
        return Reply(text or "", "cut_off", named)
    if not text or not text.strip():
        # A refusal stands in a field of its own.
        refusal = message.get("refusal")
        return Reply(refusal if isinstance(refusal, str) else "", "empty_answer", named)
    return Reply(text, None, named)


def _at(body: object, key: str) -> object:
    return body.get(key) if isinstance(body, dict) else None
