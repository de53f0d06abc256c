"""The paper's numbers beside measured ones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covar_gen.core.imagenet import by_wnid
from covar_gen.core.shipped import shipped
from covar_gen.evaluation.analyses.marks import AVERAGE, EIGHT
from covar_gen.evaluation.analyses.published import (
    TABLE7_MODEL,
    compare_backgrounds,
    compare_paper,
    published,
    published_accuracy,
)
from covar_gen.evaluation.models.zoo import zoo
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]
OPENAI = "ViT-B-16-quickgelu/openai"


def test_table_3_is_about_the_models_of_the_paper_in_their_order() -> None:
    assert list(published_accuracy()) == [entry.name for entry in zoo("paper")]


def test_table_3_averages_its_eight_subsets() -> None:
    for row in published_accuracy().values():
        mean = np.mean([row[subset] for subset in EIGHT])
        assert row[AVERAGE] == pytest.approx(mean, abs=0.0501)


def test_what_is_printed_of_classes_are_classes_of_imagenet() -> None:
    known = set(by_wnid())
    listed = [row["wnids"].split() for row in published("table7_backgrounds")]
    listed += [[row["wnid"]] for row in published("drops") if row["wnid"]]
    assert {wnid for wnids in listed for wnid in wnids} <= known


def test_backgrounds_of_table_7_are_those_of_the_benchmark() -> None:
    path = shipped("manifests") / "covar" / "backgrounds.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        known = {row["description"] for row in csv.DictReader(stream)}
    assert {row["background"] for row in published("table7_backgrounds")} <= known


def test_measured_stands_beside_published(evaluation: Writer) -> None:
    images = [{"label": 0, "subset": s, "source": f"s{n}"} for s in EIGHT for n in range(100)]
    answers = [0 if n % 100 < 52 else 1 for n in range(800)]
    results = evaluation(images, {OPENAI: answers, "other/model": answers}, block=400)
    found = {row["subset"]: row for row in compare_paper(results).to_pylist()}
    assert {row["model"] for row in found.values()} == {OPENAI}
    assert set(found) == {*EIGHT, AVERAGE}
    row = found["bg_varied"]
    assert (row["measured"], row["published"]) == (52, 52.2)
    assert row["difference"] == pytest.approx(-0.2)
    assert row["inside"] is True
    assert found["scale"]["difference"] == 27
    assert found["scale"]["inside"] is False
    assert row["place"] == "table 3"


def test_an_average_over_fewer_subsets_is_not_compared(evaluation: Writer) -> None:
    images = [{"label": 0, "subset": s, "source": f"s{n}"} for s in EIGHT[:5] for n in range(2)]
    found = compare_paper(evaluation(images, {OPENAI: [0] * 10}))["subset"].to_pylist()
    assert found == list(EIGHT[:5])


def test_drops_of_the_text_are_compared(evaluation: Writer) -> None:
    # Cats fall from 100 to 50, spiders from 100 to 75: 37.5 points on average.
    images: list[dict[str, Any]] = []
    answers = []
    for label, right in ((0, 2), (1, 3)):
        for subset in ("original", "bg_varied"):
            for n in range(4):
                images.append({"label": label, "subset": subset, "source": f"{label}/{n}"})
                answers.append(label if subset == "original" or n < right else 3)
    wnids = ["n02123045", "n01773549", None, None]
    results = evaluation(images, {OPENAI: answers}, wnids=wnids)
    found = {(r["statistic"], r["wnid"]): r for r in compare_paper(results).to_pylist()}
    row = found["mean class drop", None]
    assert (row["measured"], row["published"], row["subset"]) == (37.5, 23.78, "bg_varied")
    assert row["measured_low"] < 37.5 < row["measured_high"]
    row = found["relative class drop", "n01773549"]
    assert (row["measured"], row["published"]) == (25, 20)
    # No zebras, no sea anemones, no scale: nothing to compare the other numbers with.
    assert {key[0] for key in found} == {"accuracy", "mean class drop", "relative class drop"}


ANEMONE, ZEBRA = "n01914609", "n02391049"


def paper_drops(
    evaluation: Writer, subsets: tuple[str, ...], photographs: tuple[int, int] = (4, 4)
) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Drops of sea anemones and zebras compared, by subset and class: half of four images fall."""
    images: list[dict[str, Any]] = []
    answers = []
    for label, many in enumerate(photographs):
        for subset in ("original", *subsets):
            for n in range(4):
                source = f"{label}/{n % many}"
                images.append({"label": label, "subset": subset, "source": source})
                answers.append(label if subset == "original" or n < 2 else 3)
    wnids = [ANEMONE, ZEBRA, None, None]
    results = evaluation(images, {OPENAI: answers}, wnids=wnids, block=50)
    rows = compare_paper(results, replicates=50).to_pylist()
    return {(r["subset"], r["wnid"]): r for r in rows if r["statistic"] != "accuracy"}


def test_a_mean_drop_over_fewer_subsets_is_not_compared(evaluation: Writer) -> None:
    assert paper_drops(evaluation, EIGHT)["mean", ANEMONE]["measured"] == 50
    found = paper_drops(evaluation, EIGHT[:1] + EIGHT[2:])
    assert set(found) == {("bg_varied", None), ("scale", ZEBRA)}


def test_a_class_of_one_photograph_has_no_interval_to_lie_in(evaluation: Writer) -> None:
    found = paper_drops(evaluation, EIGHT, photographs=(1, 4))
    # Each of the numbers is 50; a zero-width interval would say that the paper's is another.
    for key in (("mean", ANEMONE), ("bg_varied", None)):
        row = found[key]
        shown = (row["measured"], row["measured_low"], row["measured_high"], row["inside"])
        assert shown == (50, None, None, None)
    assert found["scale", ZEBRA]["measured_low"] < 50
    assert found["scale", ZEBRA]["inside"] is not None


def test_without_models_of_the_paper_there_is_nothing_to_compare(little_benchmark: Results) -> None:
    assert compare_paper(little_benchmark).num_rows == 0
    assert compare_backgrounds(little_benchmark).num_rows == 0


def test_classes_of_table_7_have_a_measured_place(evaluation: Writer) -> None:
    railway = "railway track in an outdoor setting"
    names = ["zebra", "steam locomotive", "electric locomotive", "bullet train"]
    wnids = ["n02391049", "n04310018", "n03272562", "n02917067"]
    images = [
        {"label": 0, "background": b, "source": f"s{n}"}
        for n, b in enumerate([railway] * 5 + ["moon"])
    ]
    answers = [0, 0, 1, 1, 2, 3]
    results = evaluation(images, {TABLE7_MODEL: answers}, names=names, wnids=wnids)
    rows = [row for row in compare_backgrounds(results).to_pylist() if row["reading"] == "top-1"]
    found = {(r["printed_class"], r["correct"]): (r["measured"], r["place"]) for r in rows}
    assert found["locomotive", "included"] == (40, 1)
    assert found["locomotive", "left out"] == (pytest.approx(200 / 3), 1)
    assert found["bullet train", "included"] == (0, None)
    assert found["freight car", "included"] == (0, None)
    assert {row["background"] for row in rows} == {railway}
