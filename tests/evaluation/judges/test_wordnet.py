"""Wu and Palmer's similarity by hand on a small WordNet, and on the real one."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.errors import MissingExtraError, PluginError
from covar_gen.core.imagenet import by_wnid
from covar_gen.evaluation.judges import ClassPair, Verdict, default_judge, get_judge
from covar_gen.evaluation.judges import _wordnet_files as files
from covar_gen.evaluation.judges._wordnet_files import DEBIAN, Nouns, find_wordnet

Wnid = Callable[[str], str]


def verdict(folder: Path, truth: str | None, predicted: str | None, **options: Any) -> Verdict:
    judge = get_judge("wordnet", folder=str(folder), **options)
    (found,) = judge.judge([ClassPair(0, 1, "a name", "another", truth, predicted)])
    return found


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # entity 1, animal 2, mammal 3, canine 4: two nodes, one step above each.
        ("dog", "wolf", 2 * 4 / (1 + 1 + 2 * 4)),
        # By mammal (depth 3, two steps each) 6/10; by pet (depth 3, one step each) 6/8.
        ("dog", "cat", 2 * 3 / (1 + 1 + 2 * 3)),
        # By mammal: two steps each.
        ("wolf", "cat", 2 * 3 / (2 + 2 + 2 * 3)),
        # By canine, which is the second itself.
        ("wolf", "canine", 2 * 4 / (1 + 0 + 2 * 4)),
        # By entity alone: depth 1; the shortest way from dog is over pet: three steps.
        ("dog", "rock", 2 * 1 / (3 + 2 + 2 * 1)),
        ("cat", "cat", 1.0),
        # Another root.
        ("moon", "dog", 0.0),
    ],
)
def test_the_similarity_is_that_worked_by_hand(
    small_wordnet: Path, wnid: Wnid, first: str, second: str, expected: float
) -> None:
    nouns = Nouns(small_wordnet)
    assert nouns.similarity(wnid(first), wnid(second)) == pytest.approx(expected, abs=1e-15)
    assert nouns.similarity(wnid(second), wnid(first)) == pytest.approx(expected, abs=1e-15)


def test_hypernyms_are_read_and_other_pointers_and_the_gloss_are_not(
    small_wordnet: Path, wnid: Wnid
) -> None:
    nouns = Nouns(small_wordnet)
    assert nouns.hypernyms(wnid("dog")) == [wnid("canine"), wnid("pet")]
    assert nouns.hypernyms(wnid("entity")) == []
    assert nouns.words(wnid("dog")) == ["dog", "other word"]


def test_a_wnid_is_the_place_of_a_line_and_no_other_byte(small_wordnet: Path, wnid: Wnid) -> None:
    nouns = Nouns(small_wordnet)
    place = int(wnid("dog")[1:])
    assert wnid("dog") in nouns
    for other in (f"n{place + 1:08d}", "n00000000", "n99999999", f"v{place:08d}", "dog", ""):
        assert other not in nouns
        with pytest.raises(KeyError):
            nouns.similarity(other, wnid("dog"))


def test_the_threshold_itself_is_similar(small_wordnet: Path, wnid: Wnid) -> None:
    dog, wolf = wnid("dog"), wnid("wolf")
    near = verdict(small_wordnet, dog, wolf, threshold=0.8)
    assert (near.similar, near.score, near.reason) == (True, 0.8, None)
    assert near.judge == "wordnet 3.0 (Wu-Palmer >= 0.8)"
    assert verdict(small_wordnet, dog, wolf, threshold=0.81).similar is False
    assert verdict(small_wordnet, dog, wolf).similar is False


def test_without_a_wnid_or_with_an_unknown_one_nothing_is_guessed(
    small_wordnet: Path, wnid: Wnid
) -> None:
    for truth, predicted in ((None, wnid("dog")), (wnid("dog"), None), (None, None)):
        found = verdict(small_wordnet, truth, predicted)
        assert (found.similar, found.score, found.reason) == (None, None, "no_wnid")
    found = verdict(small_wordnet, wnid("dog"), "n09999999")
    assert (found.similar, found.reason, found.raw) == (None, "unknown_wnid", "n09999999")


def test_nltks_archive_is_read_as_it_is_downloaded(
    small_wordnet: Path, wnid: Wnid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = tmp_path / "nltk" / "corpora"
    corpora.mkdir(parents=True)
    with zipfile.ZipFile(corpora / "wordnet.zip", "w") as archive:
        archive.write(small_wordnet / "data.noun", "wordnet/data.noun")
    for name in ("WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(files, "DEBIAN", tmp_path / "none")
    monkeypatch.setenv("NLTK_DATA", f"{tmp_path / 'no'}:{tmp_path / 'nltk'}")
    found = find_wordnet()
    assert found == corpora / "wordnet.zip"
    assert Nouns(found).similarity(wnid("dog"), wnid("wolf")) == 0.8


def test_another_version_is_refused_because_its_places_mean_other_things(
    tmp_path: Path, small_wordnet: Path
) -> None:
    text = (small_wordnet / "data.noun").read_text(encoding="utf-8")
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.noun").write_text(text.replace("WordNet 3.0", "WordNet 3.1"), encoding="utf-8")
    with pytest.raises(
        PluginError, match=r"this is WordNet 3\.1, wnids are places in WordNet 3\.0"
    ):
        get_judge("wordnet", folder=str(other)).check()


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04 cut"])
def test_what_holds_no_wordnet_is_refused_in_a_line(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "wordnet.zip"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(PluginError, match="WordNet") as caught:
        get_judge("wordnet", folder=str(place)).check()
    assert "\n" not in caught.value.line()
    assert "wordnet-base" in caught.value.mend


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No WordNet anywhere; WNSEARCHDIR names a folder that can be filled."""
    place = tmp_path / "dict"
    monkeypatch.setattr(files, "places", lambda: iter([place]))
    return place


def test_without_wordnet_the_command_that_installs_it_is_named(nowhere: Path) -> None:
    with pytest.raises(MissingExtraError, match="apt-get install wordnet-base"):
        get_judge("wordnet").check()


def test_the_default_judge_is_wordnet_where_it_is_found_and_all_classes_have_wnids(
    nowhere: Path, small_wordnet: Path
) -> None:
    missing = default_judge(["n00000001"])
    assert missing.name == "text_similarity"
    assert "WordNet is not found here" in missing.why
    nowhere.parent.mkdir(exist_ok=True)
    nowhere.symlink_to(small_wordnet)
    found = default_judge(["n00000001", "n00000002"])
    assert (found.name, str(nowhere) in found.why) == ("wordnet", True)
    partly = default_judge(["n00000001", None])
    assert partly.name == "text_similarity"
    assert partly.why.startswith("1 of 2 classes have no wnid")


def test_wordnets_own_variables_come_first(
    small_wordnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(small_wordnet))
    assert find_wordnet() == small_wordnet
    monkeypatch.delenv("WNSEARCHDIR")
    (small_wordnet.parent / "dict").symlink_to(small_wordnet)
    monkeypatch.setenv("WNHOME", str(small_wordnet.parent))
    assert find_wordnet() == small_wordnet.parent / "dict"


@pytest.fixture(scope="module")
def real() -> Nouns:
    """WordNet as Debian has it (.ci/run installs it)."""
    return Nouns(DEBIAN)


def test_every_class_of_imagenet_is_the_synset_of_its_name(real: Nouns) -> None:
    for wnid, entry in by_wnid().items():
        assert real.words(wnid)[0] == entry.name


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # NLTK's documentation and tutorials print these of the same WordNet.
        ("n02084071", "n02121620", 0.8571428571428571),  # dog, cat
        ("n04194289", "n02858304", 0.9090909090909091),  # ship, boat
        ("n04194289", "n02958343", 0.6956521739130435),  # ship, car
        ("n04194289", "n02121620", 0.32),  # ship, cat
    ],
)
def test_the_real_wordnet_gives_the_values_that_nltk_gives(
    real: Nouns, first: str, second: str, expected: float
) -> None:
    assert real.similarity(first, second) == pytest.approx(expected, abs=1e-12)


def test_the_papers_confusions_are_similar_and_its_differences_are_not() -> None:
    index = {entry.name: wnid for wnid, entry in by_wnid().items()}
    cases = {
        ("siamang", "chimpanzee"): True,
        ("moving van", "trailer truck"): True,
        ("English springer", "Welsh springer spaniel"): True,
        ("tabby", "airliner"): False,
        ("lion", "mountain bike"): False,
    }
    pairs = [ClassPair(0, 1, truth, other, index[truth], index[other]) for truth, other in cases]
    found = get_judge("wordnet", folder=str(DEBIAN)).judge(pairs)
    assert [verdict.similar for verdict in found] == [*cases.values()]


def test_at_the_default_three_thousand_pairs_of_imagenet_are_similar(real: Nouns) -> None:
    threshold = get_judge("wordnet").options.model_dump()["threshold"]
    scores = [real.similarity(*pair) for pair in itertools.combinations(by_wnid(), 2)]
    assert len(scores) == 499_500
    assert all(0 < score < 1 for score in scores)
    assert sum(score >= threshold for score in scores) == 3_023
