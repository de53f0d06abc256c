"""Questions as a file for a batch endpoint, and its answers back: cheaper, and no server waits.

The files are those of OpenAI's batch service, which vLLM's `run-batch` and others understand: one
JSON object per line, with a `custom_id` by which question and answer find each other.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from covar_gen.core.arrays import Json
from covar_gen.core.errors import PluginError
from covar_gen.evaluation.judges.base import ClassPair, Judge, Verdict
from covar_gen.evaluation.judges.cache import VerdictFile, as_asked, judge_digest, pending

URL = "/v1/chat/completions"
_OK = 200
_DIGITS = 16


@runtime_checkable
class Batched(Protocol):
    """A judge whose questions can be put into a file."""

    def request(self, pair: ClassPair) -> dict[str, Json]:
        """The body of the call about a pair."""

    def read(self, body: object) -> Verdict:
        """The verdict in a chat completion."""


@dataclass(frozen=True)
class Imported:
    """What came back from a batch endpoint.

    Attributes:
        kept: verdicts that were added to the file.
        known: answers about pairs that had a verdict already.
        unscored: answers without a verdict, by reason; their pairs stay pending.
        strangers: answers to questions about other pairs.
        damaged: lines that are no answer at all.
    """

    kept: int = 0
    known: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    strangers: int = 0
    damaged: int = 0


def custom_id(pair: ClassPair, judge: Judge) -> str:
    """Name of a question: by whom it is to be answered, and which it is; 33 characters."""
    names = json.dumps([pair.truth_name, pair.predicted_name])
    return f"{judge_digest(judge)[:_DIGITS]}-{hashlib.sha256(names.encode()).hexdigest()[:_DIGITS]}"


def export_questions(
    path: Path,
    pairs: Sequence[ClassPair],
    judge: Judge,
    cache: VerdictFile,
    groups: Sequence[int],
) -> int:
    """Write the questions that have no verdict yet, the most frequent first.

    Args:
        path: the JSONL file; one that is there is replaced.
        pairs: as for `judge_pairs`.
        judge: who is to be asked; one that speaks to a server.
        cache: verdicts that are there already.
        groups: as for `judge_pairs`.

    Returns:
        The number of questions.

    Raises:
        PluginError: the judge is none that a batch endpoint can be.
        OSError: the file cannot be written.
    """
    batched = _batched(judge)
    questions = pending(pairs, judge, cache, groups)
    with path.open("w", encoding="utf-8") as stream:
        for pair in questions:
            line = {
                "custom_id": custom_id(pair, judge),
                "method": "POST",
                "url": URL,
                "body": batched.request(pair),
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(questions)


def import_answers(
    path: Path, pairs: Sequence[ClassPair], judge: Judge, cache: VerdictFile
) -> Imported:
    """Put the answers of a batch endpoint into the file of verdicts.

    Answers may come in any order, in several files, and twice; a verdict that is there stays.

    Args:
        path: the JSONL file that the endpoint gave.
        pairs: those whose questions were exported, or more.
        judge: the judge they were exported for.
        cache: where the verdicts go.

    Raises:
        PluginError: no such file, one without an answer, or answers to another judge's questions
            (another model, style, server or prompt).
    """
    batched = _batched(judge)
    by_id = {custom_id(asked, judge): asked for asked in (as_asked(pair, judge) for pair in pairs)}
    known, digest = cache.known(judge), judge_digest(judge)[:_DIGITS]
    kept = repeated = strangers = damaged = 0
    unscored: Counter[str] = Counter()
    for line in _lines(path):
        named = line.get("custom_id")
        if not isinstance(named, str):
            damaged += 1
            continue
        if named.partition("-")[0] != digest:
            what = f"{named} is the answer to a question of another judge"
            mend = "Give the judge the options with which the questions were exported"
            raise PluginError(what, where=path, mend=mend)
        pair = by_id.get(named)
        if pair is None:
            strangers += 1
            continue
        verdict = _verdict(line, judge, batched)
        if verdict.similar is None:
            unscored[verdict.reason or ""] += 1
        elif (pair.truth_name, pair.predicted_name) in known:
            repeated += 1
        else:
            known[pair.truth_name, pair.predicted_name] = verdict
            cache.add(judge, pair, verdict)
            kept += 1
    if not (kept or repeated or strangers or unscored):
        mend = "Give the file of answers that the batch endpoint made"
        raise PluginError("the file holds no answer", where=path, mend=mend)
    return Imported(kept, repeated, unscored, strangers, damaged)


def _verdict(line: dict[str, Json], judge: Judge, batched: Batched) -> Verdict:
    response = line.get("response")
    if not isinstance(response, dict) or response.get("status_code", _OK) != _OK:
        said = json.dumps(line.get("error") or response, ensure_ascii=False)
        return judge.unscored("call_failed", said[:1000])
    return batched.read(response.get("body"))


def _batched(judge: Judge) -> Batched:
    if not isinstance(judge, Batched):
        what = f"judge {judge.name()!r} asks no server: there is nothing to export"
        raise PluginError(what, mend="Choose the judge 'openai'")
    return judge


def _lines(path: Path) -> list[dict[str, Json]]:
    """The JSON object of each line; an empty one for a line that is none."""
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        what = f"the answers cannot be read: {error.strerror}"
        raise PluginError(what, where=path, mend="Check the path") from error
    return [_json(text) for text in texts if text.strip()]


def _json(text: str) -> dict[str, Json]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
