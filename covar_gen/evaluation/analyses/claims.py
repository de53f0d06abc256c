"""What the paper's discussion says about accuracy and errors, tested on what was measured.

The list is in claim_list.py; a claim is one entry there. Each compares a statistic with a bound:
it holds if the whole 95% interval lies on the side that the claim says, does not hold if the whole
interval lies on the other side, and cannot be decided otherwise, or where what it is about was not
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from covar_gen.evaluation.analyses.columns import REAL, TEXT, columns, measured, stack
from covar_gen.evaluation.analyses.evidence import (
    Evidence,
    MissingEvidence,
    Values,
    measured_evidence,
    published_evidence,
)
from covar_gen.evaluation.metrics.intervals import REPLICATES, SEED, interval
from covar_gen.evaluation.results import Results

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be decided"
EVERY = "all of it"
"""In the column `comparison`: the row with the verdict on the whole claim."""

CLAIMS = columns(
    claim=(TEXT, "a short name of the claim"),
    place=(TEXT, "where the paper makes it"),
    text=(TEXT, "what it says, in our words, with our bound where it gives none"),
    comparison=(TEXT, f"what is compared; `{EVERY}`: the verdict on the claim as a whole"),
    expected=(TEXT, "what the claim expects of the value; null in the row of the whole claim"),
    **measured("value", "the measured value: percent or percentage points, as the comparison says"),
    published=(REAL, "the same value by the paper's tables 3 and 4 and figure 1(d); null without"),
    verdict=(TEXT, f"`{HOLDS}`, `{FAILS}` or `{OPEN}`"),
    judge=(TEXT, "who judged here which classes look alike, where Fine-Er is compared; else null"),
    missing=(TEXT, "what was not measured and would be needed; null if nothing"),
)


@dataclass(frozen=True)
class Comparison:
    """One comparison that a claim stands on.

    Attributes:
        what: what is compared, in words, with the unit.
        values: float64 (1 + R,), the statistic; the measured value first.
        relation: the side of the bound on which the claim expects it.
        bound: in the statistic's unit.
        judge: who judged which classes look alike; None where nobody had to.
    """

    what: str
    values: Values
    relation: Literal[">", "<"] = ">"
    bound: float = 0.0
    judge: str | None = None


Test = Callable[[Evidence], Iterator[Comparison]]


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper that measured numbers can speak to.

    Attributes:
        name: a short name.
        place: where the paper makes it.
        text: what it says, in our own words.
        test: yields the comparisons; raises MissingEvidence where something was not measured.
    """

    name: str
    place: str
    text: str
    test: Test


def claims(results: Results, *, replicates: int = REPLICATES, seed: int = SEED) -> pa.Table:
    """Each claim with its verdict, followed by the comparisons that it stands on.

    Claims about all models are tested on the paper's models that were evaluated; where none of
    them was, on all models that were.

    Args:
        results: an evaluation.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The columns of CLAIMS.
    """
    from covar_gen.evaluation.analyses.claim_list import LIST

    evidence = measured_evidence(results, replicates, seed)
    known = published_evidence(evidence.models)
    rows = [row for claim in LIST for row in _rows(claim, evidence, known)]
    return stack(CLAIMS, [{name: [value] for name, value in row.items()} for row in rows])


def verdict(low: float, high: float, relation: str, bound: float) -> str:
    """Verdict on a comparison from the ends of its interval; NaN decides nothing."""
    above, below = low > bound, high < bound
    if relation == "<":
        above, below = below, above
    return HOLDS if above else FAILS if below else OPEN


def together(verdicts: list[str], missing: str | None) -> str:
    """Verdict on a claim: one comparison that fails refutes it, all together confirm it."""
    if FAILS in verdicts:
        return FAILS
    if missing or not verdicts or OPEN in verdicts:
        return OPEN
    return HOLDS


def _rows(claim: Claim, evidence: Evidence, known: Evidence) -> Iterator[dict[str, Any]]:
    found, missing = _tested(claim, evidence)
    printed = {one.what: float(one.values[0]) for one in _tested(claim, known)[0]}
    about = {"claim": claim.name, "place": claim.place, "text": claim.text}
    rows = []
    for one in found:
        low, high = (float(end) for end in interval(one.values[1:]))
        rows.append(
            {
                **about,
                "comparison": one.what,
                "expected": f"{one.relation} {one.bound:g}",
                "value": float(one.values[0]),
                "value_low": low,
                "value_high": high,
                "published": printed.get(one.what, np.nan),
                "verdict": verdict(low, high, one.relation, one.bound),
                "judge": one.judge,
                "missing": None,
            }
        )
    yield {
        **about,
        "comparison": EVERY,
        "expected": None,
        "value": np.nan,
        "value_low": np.nan,
        "value_high": np.nan,
        "published": np.nan,
        "verdict": together([str(row["verdict"]) for row in rows], missing),
        "judge": next((one.judge for one in found if one.judge), None),
        "missing": missing,
    }
    yield from rows


def _tested(claim: Claim, evidence: Evidence) -> tuple[list[Comparison], str | None]:
    """The comparisons that can be made, and what is missing for the others."""
    found: list[Comparison] = []
    try:
        found.extend(claim.test(evidence))
    except MissingEvidence as lack:
        return found, str(lack)
    return found, None
