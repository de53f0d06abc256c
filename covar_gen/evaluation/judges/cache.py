"""Pairs are judged once: what was paid for is kept in a file that can be shared.

A line of JSON is one verdict, with all that decided it. Lines are only ever added, under a lock,
so that several processes can write, and files can be joined with `cat`. A line that a dying
process left unfinished is passed over. Unscored pairs are not kept: they are asked again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from covar_gen.core.errors import PluginError
from covar_gen.core.files import make_folder
from covar_gen.evaluation.classifiers import cache_folder
from covar_gen.evaluation.judges.base import NO_JUDGE, ClassPair, Judge, Verdict

_log = logging.getLogger(__name__)

Question: TypeAlias = tuple[str, ...]
"""What decides an answer: the two names; for a judge that knows more than these, the indices."""


class Line(BaseModel):
    """A verdict as the file holds it.

    Attributes:
        asked: digest of `identity`, by which a judge finds its own verdicts.
        truth: name of the true class; the one of two equals that sorts first.
        predicted: name of the predicted one.
        similar: the verdict.
        score: what it rests on, if that is a number.
        raw: the answer, word for word.
        judge: who spoke.
        time: when, UTC.
        identity: what decided the answer: the judge, its model, its prompt.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    asked: str
    truth: str
    predicted: str
    similar: bool
    score: float | None = None
    raw: str | None = None
    judge: str
    time: str
    identity: dict[str, Any]


def judge_digest(judge: Judge) -> str:
    """Hex: names a judge by everything that decides its answers."""
    about = json.dumps(judge.identity(), sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()


def verdicts_file() -> Path:
    """Where verdicts are kept unless another file is named: `verdicts.jsonl` in the cache."""
    return cache_folder().parent / "verdicts.jsonl"


class VerdictFile:
    """Verdicts of any number of judges in one file.

    Args:
        path: a JSONL file; made with the first verdict.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, judge: Judge) -> dict[Question, Verdict]:
        """The verdicts of a judge by the two names; of several about one pair, the first.

        Raises:
            PluginError: the file holds something else than verdicts.
        """
        asked = judge_digest(judge)
        found: dict[Question, Verdict] = {}
        for line in self._lines():
            if line.asked == asked:
                verdict = Verdict(line.similar, line.score, None, line.raw, line.judge)
                found.setdefault((line.truth, line.predicted), verdict)
        return found

    def _lines(self) -> list[Line]:
        try:
            texts = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except IsADirectoryError as error:
            what = "verdicts are kept in a file, this is a folder"
            raise PluginError(what, where=self.path, mend="Name a .jsonl file") from error
        found, torn = [], 0
        for number, text in enumerate(texts, 1):
            # A power cut may leave zeros where nothing had been written yet.
            said = text.strip(b" \t\r\0")
            if not said:
                continue
            try:
                found.append(Line.model_validate(json.loads(said)))
            except ValueError as error:
                broken = not isinstance(error, ValidationError)
                if not (broken and _BEGINNING.startswith(said[: len(_BEGINNING)])):
                    what = f"line {number} is no verdict"
                    raise PluginError(what, where=self.path, mend=_ANOTHER) from error
                torn += 1
        if torn:
            _log.warning("%s: %d unfinished lines passed over", self.path, torn)
        return found

    def add(self, judge: Judge, pair: ClassPair, verdict: Verdict) -> None:
        """Append a verdict: the whole line or, where the disk is full, nothing of it.

        Args:
            judge: whose it is.
            pair: the question, as the judge was asked.
            verdict: that has been reached.

        Raises:
            ValueError: the verdict is unscored.
            OSError: the file cannot be written.
        """
        if verdict.similar is None:
            msg = "an unscored pair is asked again, not kept"
            raise ValueError(msg)
        line = Line(
            asked=judge_digest(judge),
            truth=pair.truth_name,
            predicted=pair.predicted_name,
            similar=verdict.similar,
            score=verdict.score,
            raw=verdict.raw,
            judge=verdict.judge,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            identity=judge.identity(),
        )
        text = json.dumps(line.model_dump(), ensure_ascii=False)
        # Half a surrogate pair, as a damaged answer may hold, is no UTF-8.
        _append(self.path, text.encode("utf-8", "replace"))


_BEGINNING = b'{"asked": "'
"""How each line begins: an unfinished one is told by it from what is not ours."""
_ANOTHER = "Name another file for the verdicts: this one is left as it is"


def _append(path: Path, line: bytes) -> None:
    """Add a line under a lock, on a line of its own even after an unfinished one."""
    make_folder(path.parent, "--verdicts")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        torn = size and os.pread(handle, 1, size - 1) != b"\n"
        data = b"\n" * bool(torn) + line + b"\n"
        try:
            while data:
                data = data[os.write(handle, data) :]
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def judge_pairs(
    pairs: Sequence[ClassPair],
    judge: Judge,
    cache: VerdictFile | None,
    groups: Sequence[int],
) -> list[Verdict]:
    """The verdict on each pair; each question is asked once, the frequent ones first.

    Classes of one name (ImageNet has two such pairs: missile, sunglasses) are never fine-grained
    confusion: no judge is asked, and the verdict is "not similar" for the reason `same_name`.

    Args:
        pairs: of classes, in any order, repeated as often as they occur.
        judge: who is asked; `given` has been called where it wants classifiers.
        cache: verdicts that are there already, and where new ones go as they come; None: nothing
            is kept. Judges that answer from what they hold are asked in any case.
        groups: for each class the index of the first class of its name: `ClassList.groups`.

    Returns:
        One verdict for each pair, in their order.

    Raises:
        CovarError: the judge cannot answer at all. What came before is in the cache.
    """
    verdicts = _known(judge, cache)
    waiting = _waiting(pairs, judge, verdicts, groups)
    if waiting:
        judge.setup()
    for place, verdict in judge.as_they_come(waiting) if waiting else ():
        pair = waiting[place]
        verdicts[_question(pair, judge)] = verdict
        if cache is not None and judge.kept and verdict.similar is not None:
            cache.add(judge, pair, verdict)
    return _in_order(pairs, judge, verdicts, groups)


def known_verdicts(
    pairs: Sequence[ClassPair], judge: Judge, cache: VerdictFile, groups: Sequence[int]
) -> list[Verdict]:
    """The verdict on each pair as far as the file holds it; nobody is asked.

    Args:
        pairs: as for `judge_pairs`.
        judge: whose verdicts.
        cache: the file of verdicts.
        groups: as for `judge_pairs`.

    Returns:
        One verdict for each pair, in their order; `not_asked` where there is none.
    """
    verdicts = _known(judge, cache)
    waiting = {
        _question(pair, judge): judge.unscored("not_asked")
        for pair in _waiting(pairs, judge, verdicts, groups)
    }
    return _in_order(pairs, judge, verdicts | waiting, groups)


def _in_order(
    pairs: Sequence[ClassPair],
    judge: Judge,
    verdicts: Mapping[Question, Verdict],
    groups: Sequence[int],
) -> list[Verdict]:
    """The verdicts of the pairs; classes of one name are none that a judge is asked about."""
    same = Verdict(similar=False, score=None, reason="same_name", raw=None, judge=NO_JUDGE)
    return [
        same if _same_name(pair, groups) else verdicts[_question(as_asked(pair, judge), judge)]
        for pair in pairs
    ]


def pending(
    pairs: Sequence[ClassPair],
    judge: Judge,
    cache: VerdictFile | None,
    groups: Sequence[int],
) -> list[ClassPair]:
    """The questions that have no verdict yet, each once, the most frequent first.

    Args:
        pairs: as for `judge_pairs`.
        judge: who is to be asked.
        cache: verdicts that are there already.
        groups: as for `judge_pairs`.
    """
    return _waiting(pairs, judge, _known(judge, cache), groups)


def _known(judge: Judge, cache: VerdictFile | None) -> dict[Question, Verdict]:
    return cache.known(judge) if cache is not None and judge.kept else {}


def _waiting(
    pairs: Sequence[ClassPair],
    judge: Judge,
    known: Mapping[Question, Verdict],
    groups: Sequence[int],
) -> list[ClassPair]:
    counts: Counter[Question] = Counter()
    first: dict[Question, ClassPair] = {}
    for pair in pairs:
        if not _same_name(pair, groups):
            asked = as_asked(pair, judge)
            counts[_question(asked, judge)] += 1
            first.setdefault(_question(asked, judge), asked)
    return [first[question] for question, _ in counts.most_common() if question not in known]


def as_asked(pair: ClassPair, judge: Judge) -> ClassPair:
    """The pair in the order in which the judge is asked: sorted, unless the order matters."""
    if judge.ordered:
        return pair
    return min(pair, pair.swapped(), key=lambda one: (one.truth_name, one.truth))


def _question(pair: ClassPair, judge: Judge) -> Question:
    names = (pair.truth_name, pair.predicted_name)
    return names if judge.kept else (*names, str(pair.truth), str(pair.predicted))


def _same_name(pair: ClassPair, groups: Sequence[int]) -> bool:
    return groups[pair.truth] == groups[pair.predicted]
