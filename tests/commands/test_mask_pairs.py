"""Which mask belongs to which reference."""

from __future__ import annotations

from covar_gen.commands.mask_pairs import Pairs, pair


def _told(predicted: list[str], references: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    found = pair(predicted, references)
    partner = {predicted[n]: references[m] for n, m in found.partner.items()}
    return partner, {predicted[n]: rejected.reason for n, rejected in found.alone.items()}


def test_paths_that_are_the_same_belong_together() -> None:
    names = ["cat/1", "cat/2", "dog/1"]
    partner, alone = _told(names, list(reversed(names)))
    assert partner == {name: name for name in names}
    assert alone == {}


def test_folders_above_may_differ() -> None:
    partner, alone = _told(["val/n01/a", "val/n02/b"], ["n01/a", "n02/b"])
    assert partner == {"val/n01/a": "n01/a", "val/n02/b": "n02/b"}
    assert alone == {}


def test_a_file_of_another_class_is_another_file() -> None:
    partner, alone = _told(["cat/1", "dog/1", "dog/2"], ["cat/1", "cat/2", "dog/3"])
    assert partner == {"cat/1": "cat/1"}
    assert alone == {"dog/1": "no_reference", "dog/2": "no_reference"}


def test_a_flat_folder_is_paired_by_file_names() -> None:
    found = pair(["a", "b"], ["n01/a", "n02/b", "n02/c"])
    assert found == Pairs({0: 0, 1: 1}, {}, [2], by_file_name=True)
    partner, _ = _told(["x/a", "x/b"], ["n01/a", "n02/b"])
    assert partner == {"x/a": "n01/a", "x/b": "n02/b"}
    assert not pair(["n01/a"], ["n01/a"]).by_file_name
    assert not pair(["a"], ["a"]).by_file_name


def test_what_two_references_claim_alike_stays_alone() -> None:
    partner, alone = _told(["a"], ["x/a", "y/a"])
    assert partner == {}
    assert alone == {"a": "ambiguous_name"}
    # The deeper agreement counts.
    partner, alone = _told(["v/x/a"], ["w/x/a", "y/a"])
    assert partner == {"v/x/a": "w/x/a"}


def test_a_reference_that_two_masks_want_alike_stays_alone() -> None:
    found = pair(["x/a", "y/a", "b"], ["a", "b"])
    assert found.partner == {2: 1}
    assert {n: r.reason for n, r in found.alone.items()} == {
        0: "ambiguous_name",
        1: "ambiguous_name",
    }
    assert found.spare == [0]
    # One of them may have the better claim.
    partner, alone = _told(["p/x/a", "q/x/a"], ["q/x/a"])
    assert partner == {"q/x/a": "q/x/a"}
    assert alone == {"p/x/a": "no_reference"}


def test_the_same_path_is_better_than_the_same_end() -> None:
    partner, alone = _told(["cat/2", "2"], ["bird/2", "2", "cat/9"])
    assert partner == {"2": "2"}
    assert alone == {"cat/2": "no_reference"}


def test_everything_is_in_exactly_one_place() -> None:
    predicted = ["cat/1", "cat/2", "dog/1", "dog/1b", "1", "2"]
    references = ["cat/1", "bird/2", "2", "dog/1", "cow/7"]
    found = pair(predicted, references)
    assert sorted([*found.partner, *found.alone]) == list(range(6))
    assert sorted([*found.partner.values(), *found.spare]) == list(range(5))
    assert len(set(found.partner.values())) == len(found.partner)
