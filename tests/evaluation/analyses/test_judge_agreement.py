"""Agreement of judges worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covar_gen.core.errors import DamagedRunError
from covar_gen.evaluation.analyses.judge_agreement import judge_agreement
from covar_gen.evaluation.judgements import SCHEMA, judgements
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]
Said = dict[tuple[int, int], bool | None]


def say(results: Results, path: str, judge: str, similar: Said, same: Any = ()) -> None:
    """Write what a judge said; `same` are pairs of one name."""
    rows = [
        {"truth": a, "predicted": b, "similar": said, "judge": judge}
        | {"reason": "same_name" if (a, b) in same else None if said is not None else "no_wnid"}
        for (a, b), said in similar.items()
    ]
    target = results.root / path
    target.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), target)


@pytest.fixture
def results(evaluation: Writer, explain: Writer) -> Results:
    """Errors 0 -> 1 three times, 0 -> 2 once by the object, 0 -> 3 once by the background."""
    made = evaluation([{"label": 0}] * 5, {"m": [1, 1, 1, 2, 3]})
    made = explain(made, "m", ["object"] * 4 + ["background"])
    # Another K says the same of all: the errors are not counted twice.
    return explain(made, "m", ["object"] * 5, clusters=3)


def test_kappa_counts_pairs_once_and_again_as_often_as_errors_confuse_them(
    results: Results,
) -> None:
    say(results, "judges/a.parquet", "A", {(0, 1): True, (0, 2): False, (0, 3): True})
    say(results, "judges/b.parquet", "B", {(0, 1): True, (0, 2): True, (0, 3): None, (1, 3): True})
    (row,) = judge_agreement(results).to_pylist()
    assert (row["judge_a"], row["judge_b"]) == ("A", "B")
    assert (row["n_pairs"], row["n_scored"]) == (3, 2)
    assert (row["similar_a"], row["similar_b"]) == (50, 100)
    # They agree on (0, 1) of two pairs; by chance 0.5 of the time.
    assert (row["agreement"], row["kappa"]) == (50, 0)
    assert row["n_errors"] == 4
    assert (row["agreement_errors"], row["kappa_errors"]) == (75, 0)


def test_judges_that_always_agree_have_a_kappa_of_1(results: Results) -> None:
    said: Said = {(0, 1): True, (0, 2): False, (1, 2): False}
    for name in ("A", "B"):
        say(results, f"judges/{name}.parquet", name, said)
    (row,) = judge_agreement(results).to_pylist()
    assert (row["agreement"], row["kappa"]) == (100, 1)
    assert (row["kappa_low"], row["kappa_high"]) == (1, 1)


def test_both_orders_of_a_pair_are_drawn_together(results: Results) -> None:
    """One pair of classes in both orders says nothing about how pairs differ."""
    say(results, "judges/a.parquet", "A", {(0, 1): True, (1, 0): True})
    say(results, "judges/b.parquet", "B", {(0, 1): True, (1, 0): False})
    (row,) = judge_agreement(results).to_pylist()
    assert (row["n_scored"], row["agreement"]) == (2, 50)
    assert (row["kappa_low"], row["kappa_high"]) == (None, None)


def test_pairs_of_one_name_agree_with_nobody(results: Results) -> None:
    said: Said = {(0, 1): False, (0, 2): True}
    say(results, "judges/a.parquet", "A", said, same=[(0, 1)])
    say(results, "judges/b.parquet", "B", said, same=[(0, 1)])
    (row,) = judge_agreement(results).to_pylist()
    assert (row["n_pairs"], row["n_scored"]) == (1, 1)


def test_judges_without_a_common_pair_have_no_kappa(results: Results) -> None:
    say(results, "judges/a.parquet", "A", {(0, 1): None})
    say(results, "judges/b.parquet", "B", {(0, 1): True})
    (row,) = judge_agreement(results).to_pylist()
    assert (row["n_pairs"], row["n_scored"], row["n_errors"]) == (1, 0, 0)
    assert (row["agreement"], row["kappa"], row["kappa_errors"]) == (None, None, None)


def test_each_two_judges_have_a_row_and_the_chosen_one_comes_first(results: Results) -> None:
    said: Said = {(0, 1): True}
    for name in ("A", "B"):
        say(results, f"judges/{name}.parquet", name, said)
    say(results, "judged.parquet", "C", said)
    found = judge_agreement(results).to_pylist()
    assert [(r["judge_a"], r["judge_b"]) for r in found] == [("C", "A"), ("C", "B"), ("A", "B")]
    # The chosen judge was asked with the others too: once is enough, and its newer word counts.
    say(results, "judged.parquet", "B", {(0, 1): False})
    shown = judgements(results)
    assert [one.judge for one in shown] == ["B", "A"]
    assert shown[0].similar == said


def test_a_model_asked_in_other_words_is_another_judge(results: Results) -> None:
    for digest in ("11111111", "22222222"):
        say(results, f"judges/openai-{digest}.parquet", "openai gpt", {(0, 1): True})
    say(results, "judges/empty-33333333.parquet", "nobody", {})
    assert [one.judge for one in judgements(results)] == ["openai gpt", "openai gpt [22222222]"]


def test_one_judge_has_nobody_to_agree_with(results: Results) -> None:
    assert len(judge_agreement(results)) == 0
    say(results, "judged.parquet", "A", {(0, 1): True})
    assert len(judge_agreement(results)) == 0


def test_a_damaged_file_is_named(results: Results) -> None:
    say(results, "judges/a.parquet", "A", {(0, 1): True})
    path = results.root / "judges" / "a.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedRunError, match=r"a\.parquet"):
        judgements(results)
