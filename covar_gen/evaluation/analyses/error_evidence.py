"""What claims about errors are tested on: BG-Er and Fine-Er of models, with their replicates.

Of a model's explanations the one with the default options of `cci` counts. As for accuracies,
all models are drawn together, and a subset whose errors come from fewer than two photographs has
replicates of NaN. Tables and figures of the paper can stand in the place of the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.error_sources import kinds
from covar_gen.evaluation.analyses.evidence import MissingEvidence, Values
from covar_gen.evaluation.analyses.known_data import known_data
from covar_gen.evaluation.analyses.marks import AVERAGE, EIGHT, Images, images_of
from covar_gen.evaluation.analyses.published import published
from covar_gen.evaluation.explained import Explained, explained, judged
from covar_gen.evaluation.metrics.intervals import ratio, resample
from covar_gen.evaluation.results import Results

BACKGROUND, FINE = "background", "fine"
PRINTED = {BACKGROUND: "BG-Er", FINE: "Fine-Er"}
"""Shares of errors as the paper calls them."""
METHOD = "cci"
FIGURE_MODEL = "ViT-B-16-quickgelu/openai"
"""Figure 1(d) says ViT-B/16 only; section 4.2 sets it beside table 4's of OpenAI."""
_TWO = 2
"""Photographs: the fewest that can differ."""
UNKNOWN = 5.0
"""Percent of the errors: where more lack what a share rests on, it says nothing about a claim."""
_LACKING = {BACKGROUND: ("unexplained",), FINE: ("unexplained", "unscored")}
"""Share -> kinds of errors that might be in it, and of which that is not known."""
_NEEDED = {BACKGROUND: "masks of", FINE: "masks and verdicts on"}


class ErrorEvidence:
    """Shares of errors, percent of all errors.

    Attributes:
        models: names of the M models whose errors were explained.
        parts: names of the T subsets and data sets.
        shares: for BACKGROUND and FINE float64 (1 + R, M, T); FINE is missing where nobody judged.
        judge: who judged which classes look alike; empty where nobody did.
        unknown: for the same, float64 (M, T): percent of the errors that might be in the share too,
            had they a mask or a verdict; empty where that is none.
    """

    def __init__(
        self,
        models: Sequence[str],
        parts: Sequence[str],
        shares: Mapping[str, Values],
        judge: str,
        unknown: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.models = tuple(models)
        self.parts = tuple(parts)
        self.shares = dict(shares)
        self.judge = judge
        self.unknown = dict(unknown or {})

    @cached_property
    def group(self) -> tuple[str, ...]:
        """The models that a claim about all models is tested on.

        Those of the paper; where none of them was explained, all that were.

        Raises:
            MissingEvidence: no model's errors were explained.
        """
        from covar_gen.evaluation.models.zoo import zoo

        known = {entry.name for entry in zoo("paper")}
        found = tuple(model for model in self.models if model in known) or self.models
        if not found:
            raise MissingEvidence("explained errors (covar-gen errors)")
        return found

    def of(self, kind: str, model: str, part: str) -> Values:
        """A share of a model's errors: (1 + R,), percent.

        Args:
            kind: BACKGROUND or FINE.
            model: its name.
            part: a subset, a data set of the paper, or AVERAGE: the mean over the eight.

        Raises:
            MissingEvidence: it was not measured.
        """
        if model not in self.models:
            raise MissingEvidence(f"explained errors of {model} (covar-gen errors)")
        if kind not in self.shares:
            raise MissingEvidence("a judge of which classes look alike (covar-gen errors)")
        if part == AVERAGE:
            eight = np.stack([self.of(kind, model, name) for name in EIGHT], axis=1)
            mean: Values = eight.mean(axis=1)
            return mean
        if part not in self.parts:
            known = "subset " if part in EIGHT else ""
            raise MissingEvidence(f"{known}{part}")
        place = self.models.index(model), self.parts.index(part)
        lacking = float(self.unknown[kind][place]) if kind in self.unknown else 0.0
        if lacking > UNKNOWN:
            what = f"{_NEEDED[kind]} {lacking:.1f}% of the errors of {model} on {part}"
            raise MissingEvidence(what)
        found: Values = self.shares[kind][:, *place]
        return found

    def each(self, kind: str, part: str, models: Sequence[str] | None = None) -> Values:
        """The share of several models, by default the group's: (1 + R, models), percent.

        Raises:
            MissingEvidence: one of them was not measured, or there is none.
        """
        chosen = self.group if models is None else models
        return np.stack([self.of(kind, model, part) for model in chosen], axis=1)

    def mean(self, kind: str, part: str) -> Values:
        """Mean share of the group's models: (1 + R,), percent.

        Raises:
            MissingEvidence: it was not measured.
        """
        found: Values = self.each(kind, part).mean(axis=1)
        return found


def measured_errors(results: Results, replicates: int, seed: int) -> ErrorEvidence:
    """Shares of an evaluation's errors, of those models whose errors were explained.

    Args:
        results: an evaluation.
        replicates: of the bootstrap.
        seed: of the bootstrap.
    """
    images, pairs = images_of(results), judged(results)
    parts = parts_of(results, images)
    chosen = _defaults(explained(results))
    judge = pairs.judge
    wanted = (BACKGROUND, FINE) if judge else (BACKGROUND,)
    sums = []
    unknown: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in wanted}
    for found in chosen:
        marks = kinds(found, pairs)
        for kind in wanted:
            lacking = np.any([marks[name] for name in _LACKING[kind]], axis=0)
            unknown[kind].append(part_sums(images, parts, found.rows[lacking]).sum(axis=0))
        sums.append(part_sums(images, parts, found.rows))
        sums += [part_sums(images, parts, found.rows[marks[kind].astype(bool)]) for kind in wanted]
    if not sums:
        return ErrorEvidence([], list(parts), {}, judge)
    counts = np.stack(sums, axis=1).reshape(images.source_count, len(chosen), 1 + len(wanted), -1)
    drawn = resample(
        counts.reshape(images.source_count, -1), replicates=replicates, seed=seed
    ).reshape(replicates, *counts.shape[1:])
    whole = np.concatenate([counts.sum(axis=0)[None], drawn])
    lonely = (counts[:, :, 0] > 0).sum(axis=0) < _TWO
    shares, open_shares = {}, {}
    for place, kind in enumerate(wanted, 1):
        shares[kind] = 100 * ratio(whole[:, :, place], whole[:, :, 0])
        shares[kind][1:, lonely] = np.nan
        open_shares[kind] = 100 * ratio(np.stack(unknown[kind]), whole[0, :, 0])
    names = [found.model for found in chosen]
    return ErrorEvidence(names, list(parts), shares, judge, open_shares)


def published_errors(models: Sequence[str]) -> ErrorEvidence:
    """Table 4 and figure 1(d) of the paper, of those of the models that are in them.

    Args:
        models: names of models.
    """
    listed = {
        f"{row['open_clip_model']}/{row['open_clip_pretrained']}": row
        for row in published("table4_error_sources")
    }
    chosen = [model for model in models if model in listed]
    figure = {row["dataset"]: row for row in published("figure1d")}
    shares = {}
    for kind, short in ((BACKGROUND, "bg_er"), (FINE, "fine_er")):
        values = np.full((1, len(chosen), len(EIGHT) + len(figure)), np.nan)
        for place, model in enumerate(chosen):
            said = [listed[model][f"{subset}_{short}"] for subset in EIGHT]
            shown = [row[f"{short}_percent_of_errors"] for row in figure.values()]
            said += shown if model == FIGURE_MODEL else [""] * len(shown)
            values[0, place] = [float(text) if text else np.nan for text in said]
        shares[kind] = values
    return ErrorEvidence(chosen, [*EIGHT, *figure], shares, "")


def parts_of(results: Results, images: Images) -> dict[str, NDArray[np.bool_]]:
    """Subsets and data sets of the paper: name -> which images are of it, bool (N,)."""
    subsets = {name: images.subset == place for place, name in enumerate(images.subsets)}
    return subsets | {data.name: data.chosen for data in known_data(results)}


def part_sums(
    images: Images, parts: Mapping[str, NDArray[np.bool_]], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How many of some images there are of each source in each part.

    Args:
        images: all of them, N.
        parts: name -> bool (N,).
        rows: int64 (E,), rows of images.

    Returns:
        float64 (S, T).
    """
    found = [
        np.bincount(images.sources[rows[chosen[rows]]], minlength=images.source_count)
        for chosen in parts.values()
    ]
    return np.stack(found, axis=1).astype(np.float64)


def _defaults(found: Sequence[Explained]) -> list[Explained]:
    """For each model its explanation by the default options."""
    return [one for one in found if one.default and one.method.partition(":")[0] == METHOD]
