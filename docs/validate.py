"""Print how often the verdict on an error agrees with what the toy world knows, as markdown.

Run:    python docs/validate.py DIR

DIR is an evaluation of a run of the toy world whose errors were explained, by any number of
options (`covar-gen errors DIR --option layers=last`). The numbers of docs/validation.md are its.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covar_gen.evaluation.analyses.error_sources import drivers
from covar_gen.evaluation.explained import Explained, explained
from covar_gen.evaluation.metrics.regions import THRESHOLD
from covar_gen.evaluation.results import Results, open_results
from covar_gen.evaluation.rows import THRESHOLDS
from covar_gen.toys.world import TYPICAL

VARIED = "bg_varied"
CLASS_OF = {description: name for name, description in TYPICAL.items()}
"""Background -> the class that stands before it in photographs."""


@dataclass(frozen=True)
class Agreement:
    """Verdicts against the truth, over E errors.

    Attributes:
        errors: E.
        true: errors whose predicted class is that of the background.
        called: errors that the verdict calls background-driven.
        undecided: errors on which it decides nothing; they agree with neither truth.
        accuracy: share of all errors with the right verdict.
        precision: share of those called background-driven that are; NaN where none is called.
        recall: share of the truly background-driven that are called so; NaN where there is none.
    """

    errors: int
    true: int
    called: int
    undecided: int
    accuracy: float
    precision: float
    recall: float


def agreement(
    truth: NDArray[np.bool_], background: NDArray[np.bool_], foreground: NDArray[np.bool_]
) -> Agreement:
    """Count verdicts that agree.

    Args:
        truth: bool (E,), True where the error is background-driven.
        background: bool (E,), called so.
        foreground: bool (E,), called driven by the object; neither: undecided.
    """
    both = int((truth & background).sum())
    right = both + int((~truth & foreground).sum())
    called, true = int(background.sum()), int(truth.sum())
    undecided = int((~background & ~foreground).sum())
    return Agreement(
        len(truth),
        true,
        called,
        undecided,
        _share(right, len(truth)),
        _share(both, called),
        _share(both, true),
    )


def auc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Chance that a true error scores higher than another one, equals counting half.

    Args:
        truth: bool (E,).
        scores: float64 (E,); NaN is the lowest.

    Returns:
        In [0, 1]; NaN where all errors are of one kind.
    """
    values = np.where(np.isnan(scores), -np.inf, scores)
    yes, no = values[truth][:, None], values[~truth][None]
    if not yes.size or not no.size:
        return float("nan")
    return float(((yes > no) + 0.5 * (yes == no)).mean())


def truth_of(results: Results, found: Explained) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What the world knows of each error.

    Returns:
        Twice bool (E,): the error is of an image with another background; the predicted class is
        the one of that background.
    """
    images = results.images(["subset", "background"]).take(found.rows).to_pydict()
    names = results.classes.names
    varied = np.array([subset == VARIED for subset in images["subset"]], bool)
    given = [CLASS_OF.get(background) for background in images["background"]]
    said = [names[index] for index in found.predicted]
    same = np.array([a == b for a, b in zip(given, said, strict=True)], bool)
    return varied, varied & same


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def shortened(methods: list[str]) -> dict[str, str]:
    """Method -> the options that are not the same in all of them; whole where there is one."""
    options = {method: method.partition(": ")[2].split(", ") for method in methods}
    same = set.intersection(*(set(each) for each in options.values())) if len(options) > 1 else {}
    return {
        method: ", ".join(each for each in mine if each not in same) or method
        for method, mine in options.items()
    }


def pages(results: Results) -> Iterator[str]:
    """The tables, one after the other."""
    found = explained(results)
    truths = [truth_of(results, each) for each in found]
    shares, agreed, pooled = [], [], {}
    short = shortened([each.method for each in found])
    for each, (varied, truth) in zip(found, truths, strict=True):
        method = short[each.method]
        subsets = np.array(results.images(["subset"]).take(each.rows)["subset"].to_pylist())
        called = drivers(each)[0]
        for subset in dict.fromkeys(subsets.tolist()):
            here = subsets == subset
            chance = np.nanmean(np.append(each.chance[here], np.nan)) if here.any() else np.nan
            figures = [_text(float(called[here].mean())), _text(float(chance))]
            shares.append([each.model, method, subset, str(int(here.sum())), *figures])
        for threshold in THRESHOLDS:
            background, foreground, _ = drivers(each, threshold)
            kept = (truth[varied], background[varied], foreground[varied], each.mass[varied])
            if threshold == THRESHOLD:
                agreed.append([each.model, method, *_cells(agreement(*kept[:3]))])
            pooled.setdefault((method, threshold), []).append(kept)
    heads = ["model", "method", "subset", "errors", "called background-driven", "random maps"]
    yield table(heads, shares)
    counted = ["errors", "truly so", "called so", "undecided", "accuracy", "precision", "recall"]
    yield table(["model", "method", *counted], agreed)
    rows = []
    models = len({each.model for each in found})
    for (method, threshold), parts in sorted(pooled.items()):
        # Options that were not tried on every model would be compared over other errors.
        if len(parts) < models:
            continue
        truth, background, foreground, mass = (np.concatenate(x) for x in zip(*parts, strict=True))
        cells = _cells(agreement(truth, background, foreground))
        rows.append([method, str(threshold), *cells, _text(auc(truth, mass))])
    yield table(["method", "threshold", *counted, "AUC of the mass share"], rows)


def _cells(found: Agreement) -> list[str]:
    counts = (found.errors, found.true, found.called, found.undecided)
    shares = (found.accuracy, found.precision, found.recall)
    return [*map(str, counts), *map(_text, shares)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _text(share: float) -> str:
    """Percent, a dash where there is nothing to count."""
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def main() -> int:
    """Print the tables of the folder named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for each in pages(open_results(parser.parse_args().folder)):
        print(each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
