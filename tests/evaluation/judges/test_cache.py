"""A pair is judged once, whoever asks; what a dying process leaves does no harm."""

from __future__ import annotations

import fcntl
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from covar_gen.core.errors import PluginError, ToolError
from covar_gen.core.plugins import PluginOptions
from covar_gen.evaluation.judges import (
    NO_JUDGE,
    ClassPair,
    Judge,
    Verdict,
    VerdictFile,
    class_pair,
    judge_pairs,
    pending,
    verdicts_file,
)
from covar_gen.evaluation.labels import ClassList


class Alphabet(Judge):
    """Names that begin with the same letter are similar; those with an x are not known."""

    kept = True

    class Options(PluginOptions):
        ordered: bool = False
        fails_after: int | None = None

    options: Options

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.asked: list[tuple[str, str]] = []
        self.ready = 0

    @property
    def ordered(self) -> bool:
        return self.options.ordered

    def setup(self) -> None:
        self.ready += 1

    def judge(self, pairs: Sequence[ClassPair]) -> list[Verdict]:
        return [verdict for _, verdict in self.as_they_come(pairs)]

    def as_they_come(self, pairs: Sequence[ClassPair]) -> Iterator[tuple[int, Verdict]]:
        # From the last to the first: places, not the order, say whose a verdict is.
        for place in reversed(range(len(pairs))):
            if len(self.asked) == self.options.fails_after:
                raise ToolError("the server is gone", mend="Start it")
            pair = pairs[place]
            self.asked.append((pair.truth_name, pair.predicted_name))
            if "x" in pair.truth_name + pair.predicted_name:
                yield place, self.unscored("not_understood", "hm")
            else:
                similar = pair.truth_name[0] == pair.predicted_name[0]
                yield place, Verdict(similar, 0.5, None, "said so", self.label)


class Instant(Alphabet):
    kept = False


GROUPS = tuple(range(100))


def pair(truth: int, predicted: int) -> ClassPair:
    names = ["ant", "ape", "bee", "bat", "ox", "fox"]
    return ClassPair(truth, predicted, names[truth], names[predicted])


@pytest.fixture
def store(tmp_path: Path) -> VerdictFile:
    return VerdictFile(tmp_path / "inner" / "verdicts.jsonl")


def test_each_question_is_asked_once_and_every_pair_gets_its_verdict(store: VerdictFile) -> None:
    judge = Alphabet()
    pairs = [pair(0, 1), pair(0, 2), pair(1, 0), pair(0, 1), pair(2, 3)]
    found = judge_pairs(pairs, judge, store, GROUPS)
    assert [verdict.similar for verdict in found] == [True, False, True, True, True]
    assert sorted(judge.asked) == [("ant", "ape"), ("ant", "bee"), ("bat", "bee")]


def test_for_an_ordered_judge_the_other_way_round_is_another_question(store: VerdictFile) -> None:
    judge = Alphabet(Alphabet.Options(ordered=True))
    judge_pairs([pair(0, 1), pair(1, 0)], judge, store, GROUPS)
    assert sorted(judge.asked) == [("ant", "ape"), ("ape", "ant")]


def test_frequent_questions_come_first() -> None:
    pairs = [pair(0, 1), pair(2, 3), pair(3, 2), pair(2, 3), pair(0, 2), pair(0, 1)]
    names = [
        (one.truth_name, one.predicted_name) for one in pending(pairs, Alphabet(), None, GROUPS)
    ]
    assert names == [("bat", "bee"), ("ant", "ape"), ("ant", "bee")]


def test_what_has_been_judged_is_never_asked_again(store: VerdictFile) -> None:
    first = judge_pairs([pair(0, 1), pair(0, 2)], Alphabet(), store, GROUPS)
    again = Alphabet()
    assert judge_pairs([pair(0, 1), pair(2, 0)], again, store, GROUPS) == first
    assert again.asked == []
    assert again.ready == 0
    more = judge_pairs([pair(2, 0), pair(2, 3)], again, store, GROUPS)
    assert [verdict.similar for verdict in more] == [False, True]
    assert again.asked == [("bat", "bee")]
    assert again.ready == 1


def test_other_options_are_another_judge(store: VerdictFile) -> None:
    judge_pairs([pair(0, 1)], Alphabet(), store, GROUPS)
    other = Alphabet(Alphabet.Options(fails_after=9))
    judge_pairs([pair(0, 1)], other, store, GROUPS)
    assert other.asked == [("ant", "ape")]
    assert len(store.path.read_text(encoding="utf-8").splitlines()) == 2


def test_an_unscored_pair_is_not_kept_but_asked_again(store: VerdictFile) -> None:
    for _ in range(2):
        judge = Alphabet()
        (found,) = judge_pairs([pair(0, 4)], judge, store, GROUPS)
        assert (found.similar, found.reason, found.raw) == (None, "not_understood", "hm")
        assert judge.asked == [("ant", "ox")]
    assert not store.path.exists()
    with pytest.raises(ValueError, match="asked again, not kept"):
        store.add(judge, pair(0, 4), found)


def test_what_came_before_a_failure_is_kept(store: VerdictFile) -> None:
    pairs = [pair(0, 1), pair(0, 2), pair(0, 3), pair(1, 2)]
    with pytest.raises(ToolError):
        judge_pairs(pairs, Alphabet(Alphabet.Options(fails_after=3)), store, GROUPS)
    assert len(store.path.read_text(encoding="utf-8").splitlines()) == 3


def test_a_judge_that_answers_from_what_it_holds_is_asked_in_any_case(store: VerdictFile) -> None:
    judge = Instant()
    for _ in range(2):
        judge_pairs([pair(0, 1)], judge, store, GROUPS)
    assert len(judge.asked) == 2
    assert not store.path.exists()


def test_classes_of_one_name_are_decided_before_any_judge_is_asked(
    classes: ClassList, store: VerdictFile
) -> None:
    judge = Alphabet()
    pairs = [class_pair(classes, 4, 5), class_pair(classes, 5, 4), class_pair(classes, 0, 4)]
    found = judge_pairs(pairs, judge, store, classes.groups)
    expected = Verdict(similar=False, score=None, reason="same_name", raw=None, judge=NO_JUDGE)
    assert found[:2] == [expected, expected]
    assert judge.asked == [("dog", "missile")]
    assert pending(pairs, judge, None, classes.groups) == [class_pair(classes, 0, 4)]


def test_the_missiles_and_sunglasses_of_imagenet_are_no_fine_grained_errors() -> None:
    from covar_gen.evaluation.labels import class_list

    imagenet = class_list("imagenet", "simple", [], "test")
    judge = Instant()
    twins = [class_pair(imagenet, 657, 744), class_pair(imagenet, 837, 836)]
    found = judge_pairs(twins, judge, None, imagenet.groups)
    assert [(one.similar, one.reason) for one in found] == [(False, "same_name")] * 2
    assert judge.asked == []


def test_two_classes_of_one_name_are_one_question_about_a_third(
    classes: ClassList, store: VerdictFile
) -> None:
    judge = Alphabet()
    judge_pairs(
        [class_pair(classes, 0, 4), class_pair(classes, 5, 0)], judge, store, classes.groups
    )
    assert judge.asked == [("dog", "missile")]
    # A judge that knows more of a class than its name is asked about both.
    instant = Instant()
    judge_pairs(
        [class_pair(classes, 0, 4), class_pair(classes, 5, 0)], instant, None, classes.groups
    )
    assert len(instant.asked) == 2


def test_a_line_tells_all_that_decided_it(store: VerdictFile) -> None:
    judge_pairs([pair(1, 0)], Alphabet(), store, GROUPS)
    line = json.loads(store.path.read_text(encoding="utf-8"))
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("asked")) == 64
    assert line == {
        "truth": "ant",
        "predicted": "ape",
        "similar": True,
        "score": 0.5,
        "raw": "said so",
        "judge": Alphabet().label,
        "identity": Alphabet().identity(),
    }


def test_an_unfinished_last_line_is_passed_over_and_the_next_one_stands_on_its_own(
    store: VerdictFile, caplog: pytest.LogCaptureFixture
) -> None:
    judge_pairs([pair(0, 1), pair(0, 2)], Alphabet(), store, GROUPS)
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-30])
    judge = Alphabet()
    with caplog.at_level(logging.WARNING):
        judge_pairs([pair(0, 1), pair(0, 2)], judge, store, GROUPS)
    assert len(judge.asked) == 1
    assert "1 unfinished lines passed over" in caplog.text
    assert len(store.known(judge)) == 2
    # So are zeros, which a power cut leaves.
    store.path.write_bytes(whole[:-30] + bytes(40))
    assert len(store.known(judge)) == 1
    store.path.write_bytes(whole + bytes(40))
    assert len(store.known(judge)) == 2
    # A line of which only the end is missing is whole.
    store.path.write_bytes(whole[:-1])
    assert len(store.known(judge)) == 2


def test_files_can_be_joined_and_the_first_verdict_stands(tmp_path: Path) -> None:
    one, other = VerdictFile(tmp_path / "one"), VerdictFile(tmp_path / "other")
    judge = Alphabet()
    one.add(judge, pair(0, 1), Verdict(True, None, None, "first", "x"))
    other.add(judge, pair(0, 1), Verdict(False, None, None, "second", "x"))
    other.add(judge, pair(0, 2), Verdict(False, None, None, "third", "x"))
    both = VerdictFile(tmp_path / "both")
    both.path.write_bytes(one.path.read_bytes() + other.path.read_bytes())
    assert [verdict.raw for verdict in both.known(judge).values()] == ["first", "third"]


@pytest.mark.parametrize(
    "content",
    ['{"a": 1}\n', "[1]\n", "name,score\nx,1\n", "a note", "\x00\x01\n\x02\n", '{"asked": 5}'],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    tmp_path: Path, content: str
) -> None:
    store = VerdictFile(tmp_path / "notes.txt")
    store.path.write_text(content, encoding="utf-8")
    judge = Alphabet()
    with pytest.raises(PluginError, match="verdict"):
        judge_pairs([pair(0, 1)], judge, store, GROUPS)
    assert judge.asked == []
    assert store.path.read_text(encoding="utf-8") == content


def test_a_folder_is_no_file_of_verdicts(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="this is a folder"):
        VerdictFile(tmp_path).known(Alphabet())


def test_names_and_answers_of_any_script_come_back(store: VerdictFile) -> None:
    judge = Alphabet()
    odd = ClassPair(0, 1, "Äffchen\u2028\n", '猫 "tab,by"')
    raw = "similar \ud800 \u2028 \x00"
    store.add(judge, odd, Verdict(True, None, None, raw, "x"))
    (found,) = store.known(judge).items()
    assert found[0] == (odd.truth_name, odd.predicted_name)
    assert found[1].raw == raw.replace("\ud800", "?")


def test_verdicts_are_kept_in_the_cache_unless_another_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COVAR_CACHE", str(tmp_path))
    assert verdicts_file() == tmp_path / "verdicts.jsonl"


def test_a_writer_waits_for_the_other(store: VerdictFile) -> None:
    judge = Alphabet()
    verdict = Verdict(True, None, None, None, "x")
    store.add(judge, pair(0, 1), verdict)
    with store.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        writer = threading.Thread(target=store.add, args=(judge, pair(0, 2), verdict))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert len(store.known(judge)) == 1
    writer.join(30)
    assert len(store.known(judge)) == 2


WRITER = """
import sys
from pathlib import Path
from covar_gen.core.plugins import Plugin
from covar_gen.evaluation.judges import ClassPair, Verdict, VerdictFile
from covar_gen.evaluation.judges.file import File

path, start = Path(sys.argv[1]), int(sys.argv[2])
judge = File(File.Options(path="pairs.csv"))
store = VerdictFile(path)
print("ready", flush=True)
sys.stdin.readline()
for number in range(start, start + 150):
    pair = ClassPair(0, 1, f"class {number}", "another " * 40)
    store.add(judge, pair, Verdict(number % 2 == 0, None, None, "raw " * 500, "x"))
"""


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    from covar_gen.evaluation.judges.file import File

    path = tmp_path / "verdicts.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(1000 * place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=60)
        assert writer.returncode == 0
    found = VerdictFile(path).known(File(File.Options(path="pairs.csv")))
    expected = {1000 * place + number for place in range(3) for number in range(150)}
    assert {int(truth.split()[1]): verdict.similar for (truth, _), verdict in found.items()} == {
        number: number % 2 == 0 for number in expected
    }
