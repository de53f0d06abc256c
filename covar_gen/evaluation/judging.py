"""Judges are asked about the classes that object-driven errors confuse."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.errors import EvaluationFolderError
from covar_gen.core.files import Staging
from covar_gen.core.journal import parquet_bytes
from covar_gen.evaluation.analyses.error_sources import drivers
from covar_gen.evaluation.explained import explained
from covar_gen.evaluation.judgements import DIGITS, JUDGES, SCHEMA
from covar_gen.evaluation.judges import (
    NO_JUDGE,
    ClassPair,
    Judge,
    Verdict,
    VerdictFile,
    class_pair,
    get_judge,
    judge_pairs,
)
from covar_gen.evaluation.judges.cache import judge_digest, known_verdicts
from covar_gen.evaluation.labels import ClassList
from covar_gen.evaluation.preparing import stored_classes
from covar_gen.evaluation.results import CLASS_ROWS, Results


@dataclass(frozen=True)
class Asked:
    """What became of a judge's questions.

    Attributes:
        judge: who spoke: name, and model, version or threshold.
        pairs: different pairs (true class, predicted class).
        similar: pairs that look alike.
        different: pairs that do not; those of one name, about which nobody is asked, among them.
        unscored: pairs without a verdict, by reason.
    """

    judge: str
    pairs: int
    similar: int
    different: int
    unscored: Counter[str]

    def line(self) -> str:
        """The same in words."""
        said = f"{self.pairs} pairs of classes, {self.similar} similar, {self.different} different"
        reasons = ", ".join(f"{name} {count}" for name, count in self.unscored.most_common())
        lost = f", {self.unscored.total()} unscored ({reasons})" if reasons else ""
        return f"{self.judge}: {said}{lost}"


def ready(name: str, options: Mapping[str, Any], results: Results, classes: ClassList) -> Judge:
    """A judge that has been given what it wants of an evaluation.

    Args:
        name: of the judge.
        options: its own.
        results: the evaluation.
        classes: its label set.

    Raises:
        PluginError: no such judge or option, or nothing that it can judge by.
        MissingExtraError: what it needs is not installed.
    """
    judge = get_judge(name, **options)
    if judge.wants_classifiers:
        judge.given(classes, _class_rows(results))
    return judge


def confused(results: Results, classes: ClassList) -> list[ClassPair]:
    """The classes that object-driven errors confuse, as often as they do.

    Args:
        results: an evaluation, with any number of explanations of its errors.
        classes: its label set.

    Raises:
        EvaluationFolderError: no errors were explained.
    """
    there = explained(results)
    if not there:
        mend = f"Type: covar-gen errors {results.root} --judge none"
        raise EvaluationFolderError("no errors are explained yet", where=results.root, mend=mend)
    counts: Counter[tuple[int, int]] = Counter()
    for found in there:
        chosen = drivers(found)[1]
        labels, predicted = found.labels[chosen].tolist(), found.predicted[chosen].tolist()
        counts.update(zip(labels, predicted, strict=True))
    return [
        pair
        for (truth, said), count in sorted(counts.items())
        for pair in [class_pair(classes, truth, said)] * count
    ]


def ask(results: Results, judge: Judge, cache: VerdictFile, path: Path | None = None) -> Asked:
    """Have the confused classes judged, and keep what was said.

    Args:
        results: an evaluation whose errors were explained.
        judge: who is asked, of `ready`.
        cache: verdicts that are there already, and where new ones go.
        path: the file that keeps it; None: the judge's own below judges/.

    Raises:
        CovarError: the judge cannot answer at all; what came before is in the cache.
    """
    classes = stored_classes(results)
    pairs = confused(results, classes)
    return keep(results, judge, pairs, judge_pairs(pairs, judge, cache, classes.groups), path)


def look_up(results: Results, judge: Judge, cache: VerdictFile) -> Asked:
    """Keep what the file of verdicts holds, and ask nobody: the others are `not_asked`.

    Args:
        results: an evaluation whose errors were explained.
        judge: whose verdicts.
        cache: the file of verdicts.
    """
    classes = stored_classes(results)
    pairs = confused(results, classes)
    return keep(results, judge, pairs, known_verdicts(pairs, judge, cache, classes.groups))


def keep(
    results: Results,
    judge: Judge,
    pairs: Sequence[ClassPair],
    verdicts: Sequence[Verdict],
    path: Path | None = None,
) -> Asked:
    """Write verdicts into the evaluation folder.

    Args:
        results: the evaluation.
        judge: who was asked.
        pairs: in any order, repeated as often as they occur.
        verdicts: one for each.
        path: as for `ask`.
    """
    known = {(one.truth, one.predicted): (one, v) for one, v in zip(pairs, verdicts, strict=True)}
    speaker = _speaker(judge, [verdict for _, verdict in known.values()])
    rows = [
        {
            "truth": pair.truth,
            "predicted": pair.predicted,
            "truth_name": pair.truth_name,
            "predicted_name": pair.predicted_name,
            "similar": verdict.similar,
            "score": verdict.score,
            "reason": verdict.reason,
            "judge": speaker,
        }
        for _, (pair, verdict) in sorted(known.items())
    ]
    name = f"{judge.name()}-{judge_digest(judge)[:DIGITS]}.parquet"
    staging = Staging(results.root)
    try:
        data = parquet_bytes(pa.Table.from_pylist(rows, schema=SCHEMA))
        staging.replace(path or results.root / JUDGES / name, data)
    finally:
        staging.close()
    said = Counter(row["similar"] for row in rows)
    unscored = Counter(str(row["reason"]) for row in rows if row["similar"] is None)
    return Asked(speaker, len(rows), said[True], said[False], unscored)


def _speaker(judge: Judge, verdicts: Sequence[Verdict]) -> str:
    """Who answered: a server may name the very version of the model that was asked for."""
    said = {verdict.judge for verdict in verdicts if verdict.similar is not None} - {NO_JUDGE}
    return ", ".join(sorted(said)) or judge.label


def _class_rows(results: Results) -> dict[str, NDArray[np.float32]]:
    """The text embeddings of the classes, of every model that was evaluated."""
    found = {}
    for model in results.models():
        path = results.folder(model) / CLASS_ROWS
        if path.is_file():
            found[model] = np.load(io.BytesIO(path.read_bytes()))
    return found
