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
from covar_gen.evaluation.analyses.evidence import (
    Evidence,
    MissingEvidence,
    measured_evidence,
    published_evidence,
)
from covar_gen.evaluation.analyses.marks import AVERAGE, BG_VARIED, EIGHT
from covar_gen.evaluation.analyses.published import published_accuracy
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]
Row = dict[str, Any]

FEW = [{"label": 0, "subset": s, "source": f"s{n}"} for s in EIGHT for n in range(5)]
"""Five photographs in each of the eight subsets."""

OTHERS = ("hflip", "translate", "crop", "rotation", "viewpoint")


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
    """What tables 3 and 4 say, without intervals: eight claims are not borne out by them."""
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
        # ViT-B/16 of OpenAI under scale: BG-Er 33.9, Fine-Er 23.7.
        "fine-grained confusion dominates",
        # ViT-B/32: 25.0 on average, the fifteen models of other data 19.6.
        "all models of curated data have fewer",
        # OpenAI's: 17.2 with patches of 16 pixels, 16.7 with patches of 32.
        "finer patches always have fewer",
        # 36.8 under scale at 384 pixels, 39.3 at 512.
        "resolution hardly helps against backgrounds",
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
    answers = {model: [0] * len(FEW), "ViT-L-14/laion2b_s32b_b82k": [1] * len(FEW)}
    found = whole(evaluation(FEW, answers, block=50))
    # Better than the other one, but sixteen of the paper's models were not measured.
    assert found["best model"]["verdict"] == OPEN
    assert found["best model"]["missing"] == "16 of the paper's models"
    assert found["bigG above 62"]["missing"] == "ViT-bigG-14/laion2b_s39b_b160k"


def test_a_better_model_refutes_the_best_whatever_is_missing(evaluation: Writer) -> None:
    models = {
        "ViT-H-14-378-quickgelu/dfn5b": [1] * len(FEW),
        "ViT-L-14/laion2b_s32b_b82k": [0] * len(FEW),
    }
    assert whole(evaluation(FEW, models, block=50))["best model"]["verdict"] == FAILS


def test_an_average_over_fewer_than_the_eight_subsets_decides_nothing(evaluation: Writer) -> None:
    models = {
        "ViT-B-16/datacomp_xl_s13b_b90k": [0] * len(FEW),
        "ViT-B-32-256/datacomp_s34b_b86k": [1] * len(FEW),
        "ViT-B-16-quickgelu/openai": [0] * len(FEW),
        "ViT-B-32-quickgelu/openai": [1] * len(FEW),
    }
    every = whole(evaluation(FEW, models, block=50))["finer patches are better"]
    assert (every["verdict"], every["missing"]) == (HOLDS, None)
    some = [image for image in FEW if image["subset"] not in {"vflip", "scale"}]
    fewer = {model: answers[: len(some)] for model, answers in models.items()}
    found = whole(evaluation(some, fewer, block=50))
    assert found["finer patches are better"]["verdict"] == OPEN
    assert found["finer patches are better"]["missing"] == "subsets vflip, scale"
    # Backgrounds were varied, so that what is about them alone is tested as before.
    assert found["most above 55"]["missing"] is None


def test_a_hardest_subset_is_the_hardest_of_eight(evaluation: Writer) -> None:
    some = [image for image in FEW if image["subset"] != "crop"]
    answers = [int(image["subset"] in {"scale", "viewpoint"}) for image in some]
    found = whole(evaluation(some, {"my/model": answers}, block=50))
    for name in ("scale is the hardest", "viewpoint and scale are the most severe"):
        assert (found[name]["verdict"], found[name]["missing"]) == (OPEN, "subset crop")


def test_a_larger_model_is_better_everywhere_only_if_on_all_eight(evaluation: Writer) -> None:
    large, small = "ViT-L-14-quickgelu/openai", "ViT-B-16-quickgelu/openai"
    some = [image for image in FEW if image["subset"] != "crop"]
    models = {large: [0] * len(some), small: [1] * len(some)}
    found = whole(evaluation(some, models, block=50))["larger is better everywhere"]
    assert (found["verdict"], found["missing"]) == (OPEN, "subset crop")
    # Worse on one subset is enough to refute it.
    models[large] = [int(image["subset"] == "hflip") for image in some]
    models[small] = [1 - answer for answer in models[large]]
    found = whole(evaluation(some, models, block=50))["larger is better everywhere"]
    assert found["verdict"] == FAILS


def test_other_models_speak_to_claims_about_subsets_where_none_of_the_paper_is_there(
    evaluation: Writer,
) -> None:
    images = [{"label": 0, "subset": s, "source": f"s{n}"} for s in EIGHT for n in range(30)]
    falls = [int(n < hard) for hard in (3, 3, 3, 3, 9, 9, 15, 29) for n in range(30)]
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


@pytest.mark.parametrize("lonely", [BG_VARIED, "hflip", "crop"])
def test_a_subset_of_one_photograph_decides_nothing(lonely: str, evaluation: Writer) -> None:
    """Drawn with replacement it is the same photograph each time: no interval of width zero."""
    kept = [image for image in FEW if image["subset"] != lonely or image["source"] == "s0"]
    answers = [int(image["subset"] not in {"crop", BG_VARIED}) for image in kept]
    rows = claims(evaluation(kept, {"my/model": answers}, block=50), replicates=50).to_pylist()
    about = [row for row in rows if lonely in row["comparison"]]
    assert about
    for row in about:
        assert (row["verdict"], row["value_low"], row["value_high"]) == (OPEN, None, None)
        assert row["value"] is not None
    other = [row for row in rows if "translate" in row["comparison"]]
    assert (OPEN in {row["verdict"] for row in other}) == (lonely == BG_VARIED)


def test_a_class_of_one_photograph_decides_nothing(evaluation: Writer) -> None:
    openai = "ViT-B-16-quickgelu/openai"
    robust = ("n02481823", "n01914609", "n04552348", "n02504458", "n02391049")
    falls = {wnid: {"bg_varied": 0} for wnid in robust} | {"n01689811": {"bg_varied": 10}}
    made = classes(evaluation, falls, [openai], photographs={"n01689811": 1})
    rows = claims(made, replicates=50).to_pylist()
    found = {row["comparison"].partition(":")[0]: row for row in rows}
    assert found["chimpanzee"]["verdict"] == HOLDS
    row = found["alligator lizard"]
    assert (row["value"], row["value_low"], row["verdict"]) == (100, None, OPEN)
    # The mean class has it inside.
    assert found["zebra"]["value"] == pytest.approx(-100 / 6)
    assert found["zebra"]["verdict"] == OPEN


def test_wrong_answers_before_one_railway_decide_nothing(evaluation: Writer) -> None:
    names, wnids = ["zebra", "bullet train", "sock"], ["n02391049", "n02917067", None]
    images = [
        {"label": 0, "subset": BG_VARIED, "background": rail, "source": f"s{n}"}
        for rail, count in (("railway track in an outdoor setting", 1), ("beach", 9))
        for n in range(count)
    ]
    more = {"names": names, "wnids": wnids, "block": 100}
    results = evaluation(images, {"ViT-B-16-quickgelu/openai": [1] + [2] * 9}, **more)
    rows = [r for r in claims(results).to_pylist() if r["claim"].startswith("railway")]
    assert (rows[1]["value"], rows[1]["value_low"], rows[1]["verdict"]) == (100, None, OPEN)


def test_without_models_nothing_can_be_decided(evaluation: Writer) -> None:
    found = claims(evaluation([{"label": 0}, {"label": 0}], {}))
    assert set(found["verdict"].to_pylist()) == {OPEN}


def test_a_claim_is_one_entry(monkeypatch: pytest.MonkeyPatch, little_benchmark: Results) -> None:
    def strong_is_better(e: Evidence) -> Iterator[Comparison]:
        gain = e.of("strong/test", "scale") - e.of("weak/test", "scale")
        yield Comparison("strong minus weak, points", gain)

    entry = Claim("mine", "section 0", "Strong is better.", strong_is_better)
    monkeypatch.setattr("covar_gen.evaluation.analyses.claim_list.LIST", (entry,))
    rows = claims(little_benchmark).to_pylist()
    assert [row["verdict"] for row in rows] == [HOLDS, HOLDS]
    assert rows[1]["value"] == pytest.approx(62.5)
    assert rows[1]["expected"] == "> 0"


def classes(
    evaluation: Writer,
    falls: dict[str, dict[str, int]],
    models: list[str],
    photographs: dict[str, int] | None = None,
) -> Results:
    """Ten images per class and subset, all originals right; so many of ten fall on each subset.

    They are of ten photographs, or of as many as `photographs` says.
    """
    images, answers = [], []
    for label, (wnid, subsets) in enumerate(falls.items()):
        many = (photographs or {}).get(wnid, 10)
        for subset, wrong in {"original": 0, **subsets}.items():
            for n in range(10):
                images.append({"label": label, "subset": subset, "source": f"{label}/{n % many}"})
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
    falls = {wnid: mine | dict.fromkeys(OTHERS, mine["vflip"]) for wnid, mine in falls.items()}
    found = whole(classes(evaluation, falls, [openai, "ViT-B-32-quickgelu/openai"]))
    assert found["backgrounds matter unevenly"]["verdict"] == HOLDS
    assert found["more than background"]["verdict"] == HOLDS
    assert found["scale hits every class"]["verdict"] == HOLDS
    assert found["scale hits robust classes"]["verdict"] == HOLDS
    assert found["easy classes stay easy"]["verdict"] == HOLDS
    assert found["classes fall alike in all models"]["verdict"] == HOLDS
    # 12.5 points on average, all of them by scale.
    assert found["one subset can be severe"]["verdict"] == HOLDS
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
    measured = measured_evidence(little_benchmark, 10, 0)
    for wanted in (
        lambda: measured.of("weak/test", AVERAGE),
        lambda: measured.others("scale"),
        lambda: measured.drops(["weak/test"], "mean"),
        lambda: measured.relative_drops(["weak/test"], "maximum"),
    ):
        with pytest.raises(MissingEvidence, match=r"^subsets translate, crop, rotation$"):
            wanted()
    assert some.others("scale", "crop") == [s for s in EIGHT if s not in {"scale", "crop"}]
