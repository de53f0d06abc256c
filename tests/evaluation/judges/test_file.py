"""A CSV file of judged pairs: by name, wnid or index, and nothing beyond what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.errors import PluginError
from covar_gen.evaluation.judges import Verdict, class_pair, get_judge
from covar_gen.evaluation.labels import ClassList

HEAD = "truth,predicted,similar\n"


def verdict(
    tmp_path: Path, text: str, classes: ClassList, truth: int, predicted: int, **options: Any
) -> Verdict:
    path = tmp_path / "judged.csv"
    path.write_text(text, encoding="utf-8")
    judge = get_judge("file", path=str(path), **options)
    (found,) = judge.judge([class_pair(classes, truth, predicted)])
    return found


@pytest.mark.parametrize(
    "row", ["dog,cat,1", "DOG , Cat ,yes", "n00000010,n00000011,similar", "0,1,TRUE", "0,cat,True"]
)
def test_a_class_is_found_by_name_wnid_or_index(
    tmp_path: Path, classes: ClassList, row: str
) -> None:
    found = verdict(tmp_path, HEAD + row + "\n", classes, 0, 1)
    assert (found.similar, found.reason) == (True, None)
    assert found.judge.startswith("file judged.csv@")


@pytest.mark.parametrize("word", ["0", "no", "false", "Different"])
def test_a_pair_judged_different_is_not_similar(
    tmp_path: Path, classes: ClassList, word: str
) -> None:
    assert verdict(tmp_path, f"{HEAD}dog,cat,{word}\n", classes, 0, 1).similar is False


def test_the_other_way_round_counts_unless_the_file_is_ordered(
    tmp_path: Path, classes: ClassList
) -> None:
    text = f"{HEAD}dog,cat,1\n"
    assert verdict(tmp_path, text, classes, 1, 0).similar is True
    found = verdict(tmp_path, text, classes, 1, 0, ordered=True)
    assert (found.similar, found.reason) == (None, "not_in_file")
    assert verdict(tmp_path, text, classes, 0, 1, ordered=True).similar is True


def test_a_pair_that_is_not_in_the_file_is_unscored(tmp_path: Path, classes: ClassList) -> None:
    found = verdict(tmp_path, f"{HEAD}dog,cat,1\n", classes, 0, 2)
    assert (found.similar, found.reason) == (None, "not_in_file")


def test_lines_that_say_both_leave_the_pair_unscored(tmp_path: Path, classes: ClassList) -> None:
    text = f"{HEAD}dog,cat,1\n1,0,0\n"
    found = verdict(tmp_path, text, classes, 0, 1)
    assert (found.similar, found.reason) == (None, "contradicted")
    assert verdict(tmp_path, text, classes, 0, 1, ordered=True).similar is True


def test_more_columns_blank_lines_and_a_mark_of_the_encoding_are_left_alone(
    tmp_path: Path, classes: ClassList
) -> None:
    text = "\ufeffwho,truth,predicted,similar\n\nme,dog,cat,1\n,,,\n"
    assert verdict(tmp_path, text, classes, 0, 1).similar is True


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("truth,similar\ndog,1\n", "no column predicted"),
        ("", "no column truth"),
        (f"{HEAD}dog,cat,perhaps\n", "line 2: similar is 'perhaps'"),
        (f"{HEAD}dog,cat\n", "line 2: similar is ''"),
        (f"{HEAD}dog,,1\n", "line 2 names one class only"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "judged.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PluginError, match=what) as caught:
        get_judge("file", path=str(path)).check()
    assert caught.value.where == str(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="No such file"):
        get_judge("file", path=str(tmp_path / "none.csv")).check()
    with pytest.raises(PluginError, match="cannot be read"):
        get_judge("file", path=str(tmp_path)).check()
    (tmp_path / "latin.csv").write_bytes(b"truth,predicted,similar\n\xe9,b,1\n")
    with pytest.raises(PluginError, match="no text in UTF-8"):
        get_judge("file", path=str(tmp_path / "latin.csv")).check()
