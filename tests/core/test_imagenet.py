import csv
from collections import Counter

import pytest

from covar_gen.core.imagenet import ImagenetClass, by_wnid, find
from covar_gen.core.shipped import shipped


def test_the_thousand_classes_are_numbered_by_their_wnids() -> None:
    classes = list(by_wnid().values())
    assert len(classes) == 1000
    assert [c.index for c in classes] == list(range(1000))
    assert [c.wnid for c in classes] == sorted(c.wnid for c in classes)
    assert all(c.name == c.name.strip() and c.name for c in classes)


def test_known_classes_have_their_known_numbers() -> None:
    assert by_wnid()["n01440764"] == ImagenetClass("n01440764", 0, "tench")
    assert by_wnid()["n02134084"] == ImagenetClass("n02134084", 296, "ice bear")
    assert by_wnid()["n15075141"] == ImagenetClass("n15075141", 999, "toilet tissue")


def test_the_papers_classes_bear_the_same_names_and_numbers() -> None:
    path = shipped("manifests") / "covar" / "classes.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 33
    for row in rows:
        entry = ImagenetClass(row["wnid"], int(row["imagenet_index"]), row["class_name"])
        assert by_wnid()[row["wnid"]] == entry
        assert find(row["class_name"]) == entry


def test_a_wnid_is_found_exactly() -> None:
    assert find("n02391049") == by_wnid()["n02391049"]
    assert find("N02391049") is None
    assert find("n00000000") is None


@pytest.mark.parametrize(
    "label", ["ice bear", "Ice Bear", "ICE_BEAR", " ice  bear ", "ice bear, polar bear, Ursus"]
)
def test_a_name_is_found_whatever_its_case_and_spacing(label: str) -> None:
    found = find(label)
    assert found is not None
    assert found.wnid == "n02134084"


@pytest.mark.parametrize(
    "label", ["crane", "maillot", "Maillot", "cardigan", "Cardigan", "polar bear", "", ","]
)
def test_a_name_of_two_classes_or_of_none_is_not_guessed(label: str) -> None:
    assert find(label) is None


def test_exactly_three_names_are_ambiguous() -> None:
    counted = Counter(c.name.casefold() for c in by_wnid().values())
    assert {name for name, count in counted.items() if count > 1} == {
        "crane",
        "maillot",
        "cardigan",
    }
    unfound = {c.name.casefold() for c in by_wnid().values() if find(c.name) != c}
    assert unfound == {"crane", "maillot", "cardigan"}


def test_the_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        by_wnid()["n1"] = ImagenetClass("n1", 0, "x")  # type: ignore[index]
