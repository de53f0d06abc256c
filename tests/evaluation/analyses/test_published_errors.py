"""Table 4 and figure 1(d) beside shares of errors worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covar_gen.evaluation.analyses import error_evidence, published_errors
from covar_gen.evaluation.analyses.error_evidence import published_errors as of_the_paper
from covar_gen.evaluation.analyses.error_sources import error_sources
from covar_gen.evaluation.analyses.known_data import ANIMALS, EASY, HARD, KnownData
from covar_gen.evaluation.analyses.marks import EIGHT
from covar_gen.evaluation.analyses.published import published, published_accuracy
from covar_gen.evaluation.analyses.published_errors import compare_errors
from covar_gen.evaluation.judgements import SCHEMA
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]
OPENAI = "ViT-B-16-quickgelu/openai"


def say(results: Results, path: str, judge: str, similar: dict[tuple[int, int], bool]) -> None:
    """Write what a judge said of pairs of classes."""
    rows = [
        {"truth": a, "predicted": b, "similar": said, "judge": judge}
        for (a, b), said in similar.items()
    ]
    target = results.root / path
    target.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), target)


def test_table_4_is_about_the_models_of_table_3_in_their_order() -> None:
    names = [
        f"{row['open_clip_model']}/{row['open_clip_pretrained']}"
        for row in published("table4_error_sources")
    ]
    assert names == list(published_accuracy())
    found = of_the_paper(names)
    assert found.models == tuple(names)
    for kind in ("background", "fine"):
        assert not np.isnan(found.shares[kind][0, :, : len(EIGHT)]).any()
    total = found.shares["background"] + found.shares["fine"]
    assert (total[0, :, : len(EIGHT)] < 100).all()


def test_numbers_that_the_text_states_are_those_of_the_table() -> None:
    found = of_the_paper([OPENAI, "ViT-B-32-256/datacomp_s34b_b86k", "ViT-L-14-quickgelu/dfn2b"])
    assert found.of("background", OPENAI, "bg_varied") == [15.6]
    assert found.of("background", "ViT-B-32-256/datacomp_s34b_b86k", "scale") == [50.7]
    # The authors' poster has 52.8.
    assert found.of("fine", "ViT-L-14-quickgelu/dfn2b", "hflip") == [53.2]
    assert found.of("background", OPENAI, HARD) == [7.26]
    assert np.isnan(found.of("fine", OPENAI, HARD)).all()
    assert np.isnan(found.of("background", "ViT-L-14-quickgelu/dfn2b", HARD)).all()


@pytest.fixture
def explained_run(evaluation: Writer, explain: Writer) -> Results:
    """Ten photographs, all wrong on bg_varied and on scale: 4 by background, 5 by the object."""
    images = [
        {"label": 0, "subset": subset, "source": f"s{n}"}
        for subset in ("bg_varied", "scale")
        for n in range(10)
    ]
    answers = [1, 1, 1, 1, 1, 1, 1, 2, 2, 2] * 2
    driven = ["background"] * 4 + ["object"] * 5 + [None]
    made = evaluation(images, {OPENAI: answers, "own/model": answers})
    explain(made, "own/model", driven * 2)
    return explain(made, OPENAI, driven * 2)


def test_shares_stand_beside_the_published_ones_with_the_judge_that_spoke(
    explained_run: Results,
) -> None:
    say(explained_run, "judged.parquet", "first", {(0, 1): True, (0, 2): False})
    say(explained_run, "judges/b-00000000.parquet", "second", {(0, 2): True})
    found = compare_errors(explained_run).to_pylist()
    assert {row["model"] for row in found} == {OPENAI}
    assert {row["place"] for row in found} == {"table 4"}
    rows = {(row["statistic"], row["data"], row["judge"]): row for row in found}
    assert len(rows) == len(found) == 6
    background = rows["BG-Er", "bg_varied", None]
    assert (background["measured"], background["published"]) == (40, 15.6)
    assert background["difference"] == pytest.approx(24.4)
    assert background["inside"] is (background["measured_low"] <= 15.65)
    assert (background["default"], background["unscored"]) == (True, None)
    # Of the five that the object drives, three are (0, 1) and two (0, 2).
    fine = rows["Fine-Er", "scale", "first"]
    assert (fine["measured"], fine["published"], fine["unscored"]) == (30, 23.7, 0)
    assert fine["inside"] is True
    fine = rows["Fine-Er", "scale", "second"]
    assert (fine["measured"], fine["unscored"]) == (20, 30)


def test_the_shares_are_those_of_the_table_of_error_sources(explained_run: Results) -> None:
    say(explained_run, "judged.parquet", "first", {(0, 1): True, (0, 2): False})
    sources = {(r["model"], r["subset"]): r for r in error_sources(explained_run).to_pylist()}
    for row in compare_errors(explained_run).to_pylist():
        kind = "background" if row["statistic"] == "BG-Er" else "fine"
        assert row["measured"] == sources[OPENAI, row["data"]][kind]


def test_without_a_judge_there_is_no_fine_er(explained_run: Results) -> None:
    assert set(compare_errors(explained_run)["statistic"].to_pylist()) == {"BG-Er"}


def test_other_options_have_rows_of_their_own(explained_run: Results, explain: Writer) -> None:
    driven = ["background"] * 20
    found = explain(explained_run, OPENAI, driven, clusters=3)
    rows = compare_errors(found).to_pylist()
    shown = {row["default"]: row["measured"] for row in rows if row["data"] == "scale"}
    assert shown == {True: 40, False: 100}
    assert len({row["method"] for row in rows}) == 2


def test_one_photograph_has_no_interval_to_lie_in(evaluation: Writer, explain: Writer) -> None:
    images = [{"label": 0, "subset": "crop", "source": "s"}] * 2
    images += [{"label": 0, "subset": "scale", "source": f"s{n}"} for n in range(2)]
    made = explain(evaluation(images, {OPENAI: [1] * 4}), OPENAI, ["background"] * 4)
    rows = {row["data"]: row for row in compare_errors(made).to_pylist()}
    shown = [rows["crop"][key] for key in ("measured", "measured_low", "inside")]
    assert shown == [100, None, None]
    assert rows["scale"]["inside"] is False


def test_figure_1d_is_compared_where_the_data_is_known(
    explained_run: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    easy = np.arange(20) < 10
    known = [
        KnownData(EASY, easy, "a name"),
        KnownData(HARD, ~easy, "a name"),
        KnownData(ANIMALS, np.ones(20, bool), "a name"),
    ]
    for module in (published_errors, error_evidence):
        monkeypatch.setattr(module, "known_data", lambda _results: known)
    say(explained_run, "judged.parquet", "first", {(0, 1): True, (0, 2): False})
    found = compare_errors(explained_run).to_pylist()
    rows: dict[Any, dict[str, Any]] = {
        (row["statistic"], row["data"]): row for row in found if row["place"] == "figure 1(d)"
    }
    assert set(rows) == {
        ("error rate", EASY),
        ("error rate", HARD),
        ("BG-Er", EASY),
        ("BG-Er", HARD),
        ("BG-Er", ANIMALS),
        ("Fine-Er", ANIMALS),
    }
    rate = rows["error rate", EASY]
    assert (rate["measured"], rate["published"], rate["inside"]) == (100, 32.1, False)
    assert (rate["method"], rate["judge"], rate["known_by"]) == (None, None, "a name")
    assert rows["Fine-Er", ANIMALS]["published"] == 60.4
    assert rows["BG-Er", HARD]["measured"] == 40


def test_without_models_of_the_paper_there_is_nothing_to_compare(
    little_benchmark: Results, explain: Writer
) -> None:
    from covar_gen.evaluation.explained import wrong_rows

    count = len(wrong_rows(little_benchmark, "weak/test"))
    assert compare_errors(little_benchmark).num_rows == 0
    found = explain(little_benchmark, "weak/test", ["object"] * count)
    assert compare_errors(found).num_rows == 0
