"""How near two classes lie for the evaluated models: the cosine of their text classifiers.

Needs nothing but what an evaluation has made anyway. It judges by the models' own eyes: classes
that a model confuses may be near because it confuses them. A judge of its own (a language model,
WordNet, people) says more; agreement: covar_gen.evaluation.metrics.agreement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from covar_gen.core.errors import PluginError
from covar_gen.core.plugins import PluginOptions, RecipePath
from covar_gen.evaluation.judges._judged_pairs import JudgedPairs
from covar_gen.evaluation.judges.base import ClassPair, Judge, Verdict
from covar_gen.evaluation.labels import ClassList
from covar_gen.evaluation.metrics.agreement import best_threshold

MOST_CLASSES = 4096
"""Classes among which the quantile is taken; of more, as many that lie evenly in the list."""
DECIMALS = 6
"""Of cosines: sums in another order must not carry a pair over the threshold."""


class TextSimilarity(Judge):
    """Cosine of two rows of a text classifier, mean over the models, at or above a threshold.

    The threshold is calibrated on the class list: a quantile of the cosines of all its pairs, or
    where Cohen's kappa with a file of judged pairs is highest. It stands in every verdict.
    """

    wants_classifiers = True

    class Options(PluginOptions):
        """How the threshold is found.

        Attributes:
            quantile: share of all pairs of different names that lie below the threshold; at 0.99
                one pair of a hundred counts as similar.
            pairs: CSV file of judged pairs (truth, predicted, similar); with it, the threshold is
                the one that agrees best with them.
            threshold: the threshold itself; nothing is calibrated then.
        """

        quantile: Annotated[float, Field(gt=0, lt=1)] = 0.99
        pairs: RecipePath | None = None
        threshold: Annotated[float, Field(ge=-1, le=1)] | None = None

    options: Options
    _rows: tuple[NDArray[np.float32], ...] = ()
    _threshold: float | None = None
    _origin: str = "not calibrated"

    @property
    def label(self) -> str:
        """The name, the threshold, and where it is from."""
        level = "" if self._threshold is None else f">= {self._threshold:.4f}, "
        return f"{self.name()} {self.version} ({level}{self._origin})"

    def given(self, classes: ClassList, classifiers: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the models' classifiers and calibrate the threshold.

        Args:
            classes: the class list.
            classifiers: for each model float32 (C, D), unit norm.

        Raises:
            PluginError: no classifier, one of another class list, or nothing to calibrate with.
        """
        where = f"judge {self.name()}"
        if not classifiers:
            mend = "Evaluate a model first, or choose another judge"
            raise PluginError("there is no text classifier", where=where, mend=mend)
        for model, rows in classifiers.items():
            if len(rows) != len(classes.names):
                what = f"{model} has {len(rows)} classes, the class list {len(classes.names)}"
                raise PluginError(what, where=where, mend="Give classifiers of this class list")
        self._rows = tuple(classifiers[model] for model in sorted(classifiers))
        count = f"{len(self._rows)} model{'s' if self._rows[1:] else ''}"
        if self.options.threshold is not None:
            self._threshold, self._origin = self.options.threshold, f"given, {count}"
        elif self.options.pairs is not None:
            self._threshold, origin = self._agreeing(classes)
            self._origin = f"{origin}, {count}"
        else:
            self._threshold = self._quantile(classes)
            self._origin = f"quantile {self.options.quantile:g}, {count}"

    def _quantile(self, classes: ClassList) -> float:
        """The quantile of the cosines of all pairs of different names."""
        distinct = np.unique(np.array(classes.groups, np.intp))
        if len(distinct) < 2:  # noqa: PLR2004 - a pair
            mend = "Choose another judge, or give the judge's threshold"
            what = "a class list of one name has no pairs to calibrate with"
            raise PluginError(what, where=f"judge {self.name()}", mend=mend)
        if len(distinct) > MOST_CLASSES:
            distinct = distinct[np.linspace(0, len(distinct) - 1, MOST_CLASSES).astype(np.intp)]
        cosines = np.zeros((len(distinct), len(distinct)), np.float32)
        for rows in self._rows:
            cosines += rows[distinct] @ rows[distinct].T
        upper = cosines[np.triu_indices(len(distinct), 1)] / len(self._rows)
        return round(float(np.quantile(upper, self.options.quantile)), DECIMALS)

    def _agreeing(self, classes: ClassList) -> tuple[float, str]:
        """The threshold that agrees best with a file of judged pairs, and how well it does."""
        path = Path(self.options.pairs or "").expanduser()
        indices, similar = JudgedPairs(path, ordered=False).among(classes)
        different = np.array(classes.groups, np.intp)[indices]
        known = different[:, 0] != different[:, 1]
        scores = np.array([self._cosine(*pair) for pair in indices[known]], float)
        try:
            threshold, kappa = best_threshold(scores, similar[known])
        except ValueError as error:
            what = f"{int(known.sum())} of its pairs are of this class list: {error}"
            raise PluginError(what, where=path, mend="Add judged pairs of its classes") from error
        return threshold, f"kappa {kappa:.2f} with {int(known.sum())} pairs of {path.name}"

    def _cosine(self, first: int, second: int) -> float:
        found = np.mean([np.dot(rows[first], rows[second]) for rows in self._rows])
        return round(float(found), DECIMALS)

    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        """Compare the rows of each pair.

        Raises:
            PluginError: there are no rows: `given` has not been called.
        """
        if self._threshold is None:
            mend = "Call judge.given(classes, classifiers) before"
            what = "there is no text classifier"
            raise PluginError(what, where=f"judge {self.name()}", mend=mend)
        found = []
        for pair in pairs:
            score = self._cosine(pair.truth, pair.predicted)
            found.append(Verdict(score >= self._threshold, score, None, None, self.label))
        return found
