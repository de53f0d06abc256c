"""What a judge of visual similarity is asked, what it answers, and what every judge has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.plugins import Plugin
from covar_gen.evaluation.labels import ClassList

REASONS = {
    "same_name": "the two classes bear the same name: they cannot be told apart by it, and no"
    " judge is asked",
    "not_asked": "the judge has not been asked yet: its answers come from a batch endpoint",
    "no_wnid": "one of the classes has no wnid, by which WordNet knows it",
    "unknown_wnid": "one of the wnids is no noun of WordNet 3.0",
    "not_in_file": "the file of judged pairs does not hold the pair",
    "contradicted": "lines of the file of judged pairs say both",
    "call_failed": "the server refused or failed, after all retries; its words are kept",
    "no_answer_in_time": "the server did not answer within timeout_s, after all retries",
    "unreachable": "no connection to the server, after all retries",
    "given_up": "not asked any more: too many calls before it failed one after another",
    "empty_answer": "the server answered, without a word in it",
    "not_an_answer": "the server answered something that is no chat completion",
    "cut_off": "the answer ends at the server's limit of length",
    "not_understood": "the answer is neither `similar` nor `different`",
}
"""Why a pair has no verdict or, for `same_name`, why no judge was needed."""

NO_JUDGE = "class names"
"""Stands for the judge where the names alone decide."""


@dataclass(frozen=True)
class ClassPair:
    """A class and another one that it was taken for.

    Attributes:
        truth: index of the true class in the class list.
        predicted: index of the predicted one.
        truth_name: name of the true class, as in prompts.
        predicted_name: name of the predicted one.
        truth_wnid: WordNet id of the true class; None if it has none.
        predicted_wnid: that of the predicted one.
    """

    truth: int
    predicted: int
    truth_name: str
    predicted_name: str
    truth_wnid: str | None = None
    predicted_wnid: str | None = None

    def swapped(self) -> ClassPair:
        """The pair with the two classes exchanged."""
        return ClassPair(
            self.predicted,
            self.truth,
            self.predicted_name,
            self.truth_name,
            self.predicted_wnid,
            self.truth_wnid,
        )


def class_pair(classes: ClassList, truth: int, predicted: int) -> ClassPair:
    """Two classes of a list as a pair.

    Args:
        classes: the class list of an evaluation.
        truth: index of the true class.
        predicted: index of the predicted one.
    """
    names, wnids = classes.names, classes.wnids
    return ClassPair(
        truth, predicted, names[truth], names[predicted], wnids[truth], wnids[predicted]
    )


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a pair.

    Attributes:
        similar: True if the classes look alike; None if the pair is unscored.
        score: the number that the verdict rests on, where there is one: a similarity.
        reason: a slug of `REASONS` for an unscored pair; None for a judged one.
        raw: what came back, word for word, where something did; no key is in it.
        judge: who spoke: name, and model or version.
    """

    similar: bool | None
    score: float | None
    reason: str | None
    raw: str | None
    judge: str


class Judge(Plugin, ABC):
    """Tells whether two classes look alike.

    A judge that does not know says so: an unscored verdict with a reason, never a guess.

    Attributes:
        kept: True for a judge whose answers cost time or money and belong into the file of
            verdicts; one that answers from what it holds is asked again instead.
        wants_classifiers: True for a judge that `given` must have handed text classifiers.
    """

    kept: ClassVar[bool] = False
    wants_classifiers: ClassVar[bool] = False

    @property
    def ordered(self) -> bool:
        """True if (truth, predicted) and (predicted, truth) are two questions."""
        return False

    @property
    def label(self) -> str:
        """Who speaks, for verdicts and tables: name, and model or version."""
        return f"{self.name()} {self.version}"

    def given(self, classes: ClassList, classifiers: Mapping[str, NDArray[np.float32]]) -> None:
        """Take what the evaluated models know of the classes, before anything is asked.

        Args:
            classes: the class list whose indices the pairs carry.
            classifiers: for each model float32 (C, D), unit norm: the text embeddings of the
                classes.
        """

    def reach(self) -> None:
        """See that it could answer, before hours of work that end with questions to it.

        Raises:
            CovarError: it could not: no key, no such model.
        """
        self.setup()

    @abstractmethod
    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        """One verdict for each pair, in their order.

        Args:
            pairs: of different names; for a judge that is not ordered, in an order that does
                not depend on which class was the truth.

        Raises:
            ToolError: the judge cannot answer at all (no key, no such model); what stops a
                single pair is a reason of its verdict.
        """

    def as_they_come(self, pairs: Sequence[ClassPair]) -> Iterator[tuple[int, Verdict]]:
        """Each verdict as soon as it is there, with the place of its pair, in any order.

        What has come is kept even if the rest never comes.
        """
        yield from enumerate(self.judge(pairs))

    def unscored(self, reason: str, raw: str | None = None) -> Verdict:
        """A verdict that says why there is none.

        Args:
            reason: one of `REASONS`.
            raw: what came back instead.
        """
        assert reason in REASONS
        return Verdict(None, None, reason, raw, self.label)
