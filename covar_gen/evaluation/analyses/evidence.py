"""What claims are tested on: accuracies of models on subsets, of the data and of replicates.

Every number is a vector (1 + R,): the measured value first, then that of each bootstrap
replicate. All models are drawn together, so that their differences have intervals too. Where a
subset, or a class in it, has fewer than two photographs, the replicates are NaN: nothing can be
said about how photographs differ. The paper's own table 3 can stand in the place of the
measurements, with R = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.accuracy import names, too_few, with_average
from covar_gen.evaluation.analyses.class_drops import by_class
from covar_gen.evaluation.analyses.marks import AVERAGE, EIGHT, ORIGINAL, images_of, marks_of
from covar_gen.evaluation.analyses.published import published_accuracy
from covar_gen.evaluation.metrics.intervals import ratio, resample
from covar_gen.evaluation.results import Results

if TYPE_CHECKING:
    from covar_gen.evaluation.analyses.error_evidence import ErrorEvidence
    from covar_gen.evaluation.models.zoo import ZooEntry

Values = NDArray[np.float64]


class MissingEvidence(Exception):  # noqa: N818 - it ends a test, it is no error
    """What a claim is about was not measured; its text says what."""


class Evidence:
    """Accuracies that claims are about.

    Attributes:
        models: names of the M models.
        subsets: names of the subsets, and `average`.
        accuracy: float64 (1 + R, M, T), percent.
        results: where they come from; None for published numbers.
        draws: replicates and seed of the bootstrap.
    """

    def __init__(
        self,
        models: Sequence[str],
        subsets: Sequence[str],
        accuracy: Values,
        results: Results | None = None,
        draws: tuple[int, int] = (0, 0),
    ) -> None:
        self.models = tuple(models)
        self.subsets = tuple(subsets)
        self.accuracy = accuracy
        self.results = results
        self.draws = draws

    @cached_property
    def zoo(self) -> dict[str, ZooEntry]:
        """Models of the paper by name, whether measured or not."""
        from covar_gen.evaluation.models.zoo import zoo

        return {entry.name: entry for entry in zoo("paper")}

    @cached_property
    def errors(self) -> ErrorEvidence:
        """What the errors are made of; read when the first claim asks for it."""
        from covar_gen.evaluation.analyses import error_evidence

        if self.results is None:
            return error_evidence.published_errors(self.models)
        return error_evidence.measured_errors(self.results, *self.draws)

    @cached_property
    def group(self) -> tuple[str, ...]:
        """The models that a claim about all models is tested on.

        Those of the paper; where none of them was measured, all that were.
        """
        return tuple(model for model in self.models if model in self.zoo) or self.models

    def of(self, model: str, subset: str) -> Values:
        """Accuracy of a model on a subset or on `average`: (1 + R,), percent.

        Raises:
            MissingEvidence: it was not measured.
        """
        if model not in self.models:
            raise MissingEvidence(model)
        if subset not in self.subsets:
            raise MissingEvidence(f"subset {subset}")
        if subset == AVERAGE:
            self.check_whole()
        found: Values = self.accuracy[:, self.models.index(model), self.subsets.index(subset)]
        return found

    def mean(self, subset: str) -> Values:
        """Mean accuracy of the group's models on a subset: (1 + R,), percent.

        Raises:
            MissingEvidence: it was not measured.
        """
        found: Values = self.each(subset).mean(axis=1)
        return found

    def each(self, subset: str, models: Sequence[str] | None = None) -> Values:
        """Accuracies of several models, by default the group's: (1 + R, models), percent.

        Raises:
            MissingEvidence: one of them was not measured, or there is none.
        """
        chosen = self.group if models is None else models
        if not chosen:
            raise MissingEvidence("models")
        return np.stack([self.of(model, subset) for model in chosen], axis=1)

    def check_whole(self) -> None:
        """Check that a mean, minimum or maximum over the eight subsets is over all of them.

        Raises:
            MissingEvidence: one of them was not measured.
        """
        lacking = [subset for subset in EIGHT if subset not in self.subsets]
        if lacking:
            raise MissingEvidence(f"subset{'s' * (len(lacking) > 1)} {', '.join(lacking)}")

    def others(self, *but: str) -> list[str]:
        """Names of the eight subsets without some.

        Raises:
            MissingEvidence: one of the eight was not measured.
        """
        self.check_whole()
        return [subset for subset in EIGHT if subset not in but]

    def pairs(self, *, larger: float) -> list[tuple[str, str]]:
        """Models of one pretraining and resolution: (larger, smaller), by vision parameters.

        Args:
            larger: how many times as many parameters.

        Raises:
            MissingEvidence: no two such models were measured.
        """
        listed = [self.zoo[model] for model in self.group if model in self.zoo]
        found = [
            (one.name, other.name)
            for one in listed
            for other in listed
            if (one.pretraining, one.resolution) == (other.pretraining, other.resolution)
            and (one.vision_mparams or 0) >= larger * (other.vision_mparams or np.inf)
        ]
        if not found:
            raise MissingEvidence("two models of different size and the same pretraining")
        return found

    def drops(self, models: Sequence[str], subset: str) -> Values:
        """Drops of every class against its originals: (1 + R, models, classes), points.

        Args:
            models: names of models.
            subset: one of the data's, or `mean` or `maximum` over the eight.

        Raises:
            MissingEvidence: it was not measured.
        """
        original, mine = self._class_accuracies(tuple(models), subset)
        return original - mine

    def relative_drops(self, models: Sequence[str], subset: str) -> Values:
        """The same in percent of the accuracy on the originals; NaN where that is 0."""
        original, mine = self._class_accuracies(tuple(models), subset)
        return 100 * ratio(original - mine, original)

    def class_place(self, wnid: str) -> int:
        """Place of a class in the last axis of `drops`.

        Raises:
            MissingEvidence: the data does not have the class.
        """
        if self.results is None:
            raise MissingEvidence("classes")
        wnids = self.results.classes.wnids
        labels = np.unique(images_of(self.results).labels)
        if wnid not in wnids or wnids.index(wnid) not in labels:
            raise MissingEvidence(f"class {wnid}")
        return int(np.searchsorted(labels, wnids.index(wnid)))

    def _class_accuracies(self, models: tuple[str, ...], subset: str) -> tuple[Values, Values]:
        if self.results is None:
            raise MissingEvidence("accuracies per class")
        for name in (ORIGINAL, *(() if subset in {"mean", "maximum"} else (subset,))):
            if name not in self.subsets:
                raise MissingEvidence(f"subset {name}")
        for model in models:
            if model not in self.models:
                raise MissingEvidence(model)
        images = images_of(self.results)
        kept = self._by_class
        if models not in kept:
            marks = [marks_of(self.results, model) for model in models]
            kept[models] = by_class(images, marks, *self.draws).accuracy
        found = kept[models]
        original: Values = found[..., images.subsets.index(ORIGINAL)]
        if subset in {"mean", "maximum"}:
            self.check_whole()
            scored = found[..., images.eight]
            return original, scored.mean(axis=-1) if subset == "mean" else scored.min(axis=-1)
        return original, found[..., images.subsets.index(subset)]

    @cached_property
    def _by_class(self) -> dict[tuple[str, ...], Values]:
        return {}


def measured_evidence(results: Results, replicates: int, seed: int) -> Evidence:
    """Accuracies of an evaluation, on the images that all of its models were evaluated on."""
    images = images_of(results)
    models = results.models()
    marks = [marks_of(results, model) for model in models]
    ok = np.logical_and.reduce([one.ok for one in marks]) if marks else np.ones(0, bool)
    counts = [images.counts(ok)] if marks else []
    counts += [images.counts(one.top1 & ok) for one in marks]
    if not counts:
        return Evidence([], [], np.zeros((1 + replicates, 0, 0)), results, (replicates, seed))
    whole = np.stack(counts, axis=1)
    flat = whole.reshape(len(whole), -1)
    sums = np.concatenate(
        [flat.sum(axis=0)[None], resample(flat, replicates=replicates, seed=seed)]
    ).reshape(1 + replicates, *whole.shape[1:])
    accuracy = with_average(100 * ratio(sums[:, 1:], sums[:, :1]), images)
    accuracy[1:, :, too_few(counts[0], images)] = np.nan
    return Evidence(models, names(images), accuracy, results, (replicates, seed))


def published_evidence(models: Sequence[str]) -> Evidence:
    """Table 3 of the paper, of those of the models that are in it."""
    known = published_accuracy()
    chosen = [model for model in models if model in known]
    subsets = (*EIGHT, AVERAGE)
    rows = [[known[model][subset] for subset in subsets] for model in chosen]
    table = np.array(rows).reshape(len(chosen), len(subsets))
    return Evidence(chosen, subsets, table[None])
