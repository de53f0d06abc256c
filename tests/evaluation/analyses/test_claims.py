"""Claims of the paper: verdicts by hand, and on numbers made to confirm or refute them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from covar_gen.evaluation.analyses import claims as engine
from covar_gen.evaluation.analyses.claim_list import LIST
from covar_gen.evaluation.analyses.claims import (
    EVERY,
    FAILS,
    HOLDS,
    OPEN,
    Claim,
    Comparison,
    claims,
    together,
    verdict,
)
from covar_gen.evaluation.analyses.evidence import Evidence, MissingEvidence, published_evidence
from covar_gen.evaluation.analyses.marks import AVERAGE, BG_VARIED, EIGHT
from covar_gen.evaluation.analyses.published import published_accuracy
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]
Row = dict[str, Any]

SMALL = 5


def whole(results: Results) -> dict[str, Row]:
    """Verdict on each claim."""
    rows = claims(results, replicates=200).to_pylist()
    return {row["claim"]: row for row in rows if row["comparison"] == EVERY}


def table3(evaluation: Writer, seed: int = 0) -> Results:
    """All models of the paper, right as often as it prints: 400 photographs per subset."""
    count = 400
    images = [{"label": 0, "subset": s, "source": f"s{n:03d}"} for s in EIGHT for n in range(count)]
    order = np.random.default_rng(seed).permutation(count)
    models = {
        model: [int(rank >= round(row[subset] * count / 100)) for subset in EIGHT for rank in order]
        for model, row in published_accuracy().items()
    }
    return evaluation(images, models, names=("cat", "dog"), block=2000)


@pytest.mark.parametrize(
    ("ends", "relation", "expected"),
    [
        ((1, 3), ">", HOLDS),
        ((-3, -1), ">", FAILS),
        ((-1, 1), ">", OPEN),
        ((1, 3), "<", FAILS),
        ((-3, -1), "<", HOLDS),
        ((0, 3), ">", OPEN),
        ((np.nan, np.nan), ">", OPEN),
        ((np.nan, np.nan), "<", OPEN),
    ],
)
def test_the_whole_interval_has_to_lie_on_the_claims_side(
    ends: tuple[float, float], relation: str, expected: str
) -> None:
    assert verdict(*ends, relation, 0) == expected


@pytest.mark.parametrize(
    ("verdicts", "missing", "expected"),
    [
        ([HOLDS, HOLDS], None, HOLDS),
        ([HOLDS, OPEN], None, OPEN),
        ([HOLDS, FAILS, OPEN], None, FAILS),
        ([HOLDS], "a model", OPEN),
        ([FAILS], "a model", FAILS),
        ([], None, OPEN),
    ],
)
def test_one_failure_refutes_a_claim_and_only_everything_together_confirms_it(
    verdicts: list[str], missing: str | None, expected: str
) -> None:
    assert together(verdicts, missing) == expected


def test_every_claim_has_its_own_name_a_place_and_words() -> None:
    assert max(Counter(claim.name for claim in LIST).values()) == 1
    for claim in LIST:
        assert claim.place.startswith("section")
        assert claim.text.endswith(".")


def test_the_papers_own_table_supports_most_claims_and_not_all() -> None:
    """What table 3 itself says, without intervals: four claims are not borne out by it."""
    known = published_evidence(list(published_accuracy()))
    against = set()
    for claim in LIST:
        found, _ = engine._tested(claim, known)
        for one in found:
            value = float(one.values[0])
            if not (value > one.bound if one.relation == ">" else value < one.bound):
                against.add(claim.name)
    assert against == {
        # 51.3 against 59.0 on average: 7.6 points.
        "rotation is minor",
        # 29.7 for viewpoint, 31.1 for scale.
        "scale is the hardest",
        # ViT-B/16 of OpenAI: 52.2 against 42.6 under rotation.
        "subsets of ViT-B/16",
        # LAION-2B: ViT-H is below ViT-L on translation (59.4, 60.0) and viewpoint (30.1, 32.2).
        "larger is better everywhere",
    }


def test_claims_about_models_are_tested_when_these_were_measured(evaluation: Writer) -> None:
    found = whole(table3(evaluation))
    assert list(found) == [claim.name for claim in LIST]
    assert found["best model"]["verdict"] == HOLDS
    assert found["best model"]["missing"] is None
    # On LAION-2B ViT-H leads ViT-L by 0.2 points.
    assert found["larger is better on average"]["verdict"] == OPEN
    assert found["scale is the hardest"]["verdict"] == FAILS
    assert found["viewpoint and scale are the most severe"]["verdict"] == HOLDS
    assert found["finer patches are better"]["verdict"] in {HOLDS, OPEN}
    # No originals, no other classes, no backgrounds.
    for name in ("finer patches fall less on backgrounds", "scale hits every class"):
        assert found[name]["verdict"] == OPEN
        assert found[name]["missing"] == "subset original"
    assert found["railway tracks call for trains"]["verdict"] == OPEN


def test_measured_and_published_values_stand_side_by_side(evaluation: Writer) -> None:
    rows = claims(table3(evaluation), replicates=100).to_pylist()
    compared = [row for row in rows if row["published"] is not None]
    assert len(compared) > 30
    for row in compared:
        if row["comparison"].endswith("points"):
            assert row["value"] == pytest.approx(row["published"], abs=0.5)
        assert row["value_low"] <= row["value"] <= row["value_high"]


def test_a_model_missing_is_named_and_decides_nothing(evaluation: Writer) -> None:
    model = "ViT-H-14-378-quickgelu/dfn5b"
    images = [{"label": 0, "subset": BG_VARIED, "source": f"s{n}"} for n in range(SMALL)]
    found = whole(
        evaluation(images, {model: [0] * SMALL, "ViT-L-14/laion2b_s32b_b82k": [1] * SMALL})
    )
    # Better than the other one, but sixteen of the paper's models were not measured.
    assert found["best model"]["verdict"] == OPEN
    assert found["best model"]["missing"] == "16 of the paper's models"
    assert found["bigG above 62"]["missing"] == "ViT-bigG-14/laion2b_s39b_b160k"


def test_a_better_model_refutes_the_best_whatever_is_missing(evaluation: Writer) -> None:
    images = [{"label": 0, "subset": BG_VARIED, "source": f"s{n}"} for n in range(SMALL)]
    models = {
        "ViT-H-14-378-quickgelu/dfn5b": [1] * SMALL,
        "ViT-L-14/laion2b_s32b_b82k": [0] * SMALL,
    }
    assert whole(evaluation(images, models))["best model"]["verdict"] == FAILS


def test_other_models_speak_to_claims_about_subsets_where_none_of_the_paper_is_there(
    evaluation: Writer,
) -> None:
    images = [
        {"label": 0, "subset": s, "source": f"s{n}"}
        for s in ("bg_varied", "vflip", "viewpoint", "scale")
        for n in range(30)
    ]
    falls = [int(n < hard) for hard in (3, 9, 15, 29) for n in range(30)]
    found = whole(evaluation(images, {"my/model": falls}))
    assert found["scale is the hardest"]["verdict"] == HOLDS
    assert found["viewpoint and scale are the most severe"]["verdict"] == HOLDS
    assert found["larger is better on average"]["verdict"] == OPEN


def test_one_photograph_decides_nothing(evaluation: Writer) -> None:
    images = [{"label": 0, "subset": s, "source": "one"} for s in (BG_VARIED, "vflip", "scale")]
    results = evaluation(images, {"my/model": [0, 0, 1]})
    rows = claims(results).to_pylist()
    assert {row["verdict"] for row in rows} == {OPEN}
    assert all(row["value_low"] is None for row in rows)


def test_without_models_nothing_can_be_decided(evaluation: Writer) -> None:
    found = claims(evaluation([{"label": 0}, {"label": 0}], {}))
    assert set(found["verdict"].to_pylist()) == {OPEN}


def test_a_claim_is_one_entry(monkeypatch: pytest.MonkeyPatch, little_benchmark: Results) -> None:
    def strong_is_better(e: Evidence) -> Iterator[Comparison]:
        gain = e.of("strong/test", AVERAGE) - e.of("weak/test", AVERAGE)
        yield Comparison("strong minus weak, points", gain)

    entry = Claim("mine", "section 0", "Strong is better.", strong_is_better)
    monkeypatch.setattr("covar_gen.evaluation.analyses.claim_list.LIST", (entry,))
    rows = claims(little_benchmark).to_pylist()
    assert [row["verdict"] for row in rows] == [HOLDS, HOLDS]
    assert rows[1]["value"] == pytest.approx(50)
    assert rows[1]["expected"] == "> 0"


def classes(evaluation: Writer, falls: dict[str, dict[str, int]], models: list[str]) -> Results:
    """Ten photographs per class, all originals right; so many of ten fall on each subset."""
    images, answers = [], []
    for label, subsets in enumerate(falls.values()):
        for subset, wrong in {"original": 0, **subsets}.items():
            for n in range(10):
                images.append({"label": label, "subset": subset, "source": f"{label}/{n}"})
                answers.append(label if n >= wrong else len(falls))
    names = [*(f"class {n}" for n in range(len(falls))), "other"]
    return evaluation(
        images, dict.fromkeys(models, answers), names=names, wnids=[*falls, None], block=500
    )


def test_claims_about_classes_are_tested_on_their_falls(evaluation: Writer) -> None:
    openai = "ViT-B-16-quickgelu/openai"
    falls = {
        "n02481823": {"bg_varied": 0, "vflip": 1, "scale": 10},
        "n01914609": {"bg_varied": 0, "vflip": 0, "scale": 10},
        "n04552348": {"bg_varied": 0, "vflip": 1, "scale": 9},
        "n01689811": {"bg_varied": 10, "vflip": 10, "scale": 10},
        "n01685808": {"bg_varied": 10, "vflip": 8, "scale": 10},
        "n01601694": {"bg_varied": 10, "vflip": 9, "scale": 10},
        "n01945685": {"bg_varied": 10, "vflip": 9, "scale": 10},
        "n02391049": {"bg_varied": 0, "vflip": 0, "scale": 9},
        "n02504458": {"bg_varied": 0, "vflip": 2, "scale": 9},
    }
    found = whole(classes(evaluation, falls, [openai, "ViT-B-32-quickgelu/openai"]))
    assert found["backgrounds matter unevenly"]["verdict"] == HOLDS
    assert found["more than background"]["verdict"] == HOLDS
    assert found["scale hits every class"]["verdict"] == HOLDS
    assert found["scale hits robust classes"]["verdict"] == HOLDS
    assert found["easy classes stay easy"]["verdict"] == HOLDS
    assert found["classes fall alike in all models"]["verdict"] == HOLDS
    # 33 points on average is no modest fall.
    assert found["one subset can be severe"]["verdict"] == FAILS
    assert found["some classes differ by model"]["missing"] == "class n01773549"


def test_railway_tracks_call_for_trains_where_wrong_answers_are_trains(evaluation: Writer) -> None:
    names, wnids = ["zebra", "bullet train", "sock"], ["n02391049", "n02917067", None]
    rails = ["railway track in an outdoor setting"] * 40 + ["beach"] * 40
    images = [
        {"label": 0, "subset": BG_VARIED, "background": rail, "source": f"s{n % 40}"}
        for n, rail in enumerate(rails)
    ]
    answers = [0] * 10 + [1] * 25 + [2] * 5 + [0] * 20 + [2] * 18 + [1] * 2
    more = {"names": names, "wnids": wnids, "block": 100}
    results = evaluation(images, {"ViT-B-16-quickgelu/openai": answers}, **more)
    rows = [r for r in claims(results).to_pylist() if r["claim"].startswith("railway")]
    # 25 of 30 wrong answers are trains there, 2 of 20 elsewhere.
    assert rows[1]["value"] == pytest.approx(100 * (25 / 30 - 2 / 20))
    assert [row["verdict"] for row in rows] == [HOLDS, HOLDS]


def test_evidence_that_is_not_there_says_so(little_benchmark: Results) -> None:
    known = published_evidence([])
    with pytest.raises(MissingEvidence, match="models"):
        known.each(AVERAGE)
    with pytest.raises(MissingEvidence, match="classes"):
        known.class_place("n02391049")
    some = published_evidence(["ViT-B-16-quickgelu/openai"])
    with pytest.raises(MissingEvidence, match="subset afar"):
        some.of("ViT-B-16-quickgelu/openai", "afar")
    with pytest.raises(MissingEvidence, match="other subsets"):
        some.scored(but=EIGHT)
