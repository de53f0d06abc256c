"""Judges of visual similarity: is an error a confusion of classes that look alike?

from covar_gen.evaluation.judges import VerdictFile, class_pair, get_judge, judge_pairs

judge = get_judge("openai", model="gpt-4o")
pairs = [class_pair(classes, truth, predicted) for truth, predicted in errors]
verdicts = judge_pairs(pairs, judge, VerdictFile(path), classes.groups)
"""

from typing import Any

from covar_gen.core import plugins
from covar_gen.evaluation.judges.base import (
    NO_JUDGE,
    REASONS,
    ClassPair,
    Judge,
    Verdict,
    class_pair,
)
from covar_gen.evaluation.judges.cache import VerdictFile, judge_pairs, pending, verdicts_file
from covar_gen.evaluation.judges.choosing import Choice, default_judge
from covar_gen.evaluation.judges.exchange import Imported, export_questions, import_answers

__all__ = [
    "NO_JUDGE",
    "REASONS",
    "Choice",
    "ClassPair",
    "Imported",
    "Judge",
    "Verdict",
    "VerdictFile",
    "class_pair",
    "default_judge",
    "export_questions",
    "get_judge",
    "import_answers",
    "judge_pairs",
    "pending",
    "verdicts_file",
]


def get_judge(name: str, **options: Any) -> Judge:
    """A judge by its name, which is the name of its file.

    Args:
        name: for example "wordnet"; `covar-gen list judges` names them all.
        options: the judge's own.

    Raises:
        PluginError: no such judge, or an option that it does not have or that cannot be.
        MissingExtraError: the packages that it needs are not installed.
    """
    return plugins.make("judges", name, Judge, options)
