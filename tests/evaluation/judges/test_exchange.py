"""Questions go out as a file for a batch endpoint, answers come back and are verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.errors import PluginError
from covar_gen.evaluation.judges import (
    ClassPair,
    Imported,
    Judge,
    VerdictFile,
    export_questions,
    get_judge,
    import_answers,
    judge_pairs,
)

GROUPS = (0, 1, 2, 3, 3)
NAMES = ("lion", "tiger", "bicycle", "missile", "missile")


def pair(truth: int, predicted: int) -> ClassPair:
    return ClassPair(truth, predicted, NAMES[truth], NAMES[predicted])


PAIRS = [pair(0, 2), pair(0, 1), pair(0, 1), pair(1, 0), pair(3, 4)]


@pytest.fixture
def judge() -> Judge:
    return get_judge("openai", model="gpt-4o", base_url="http://127.0.0.1:9/v1")


@pytest.fixture
def store(tmp_path: Path) -> VerdictFile:
    return VerdictFile(tmp_path / "verdicts.jsonl")


def answered(question: str, content: str | None, **changes: Any) -> dict[str, Any]:
    """What OpenAI's batch service writes about a line of the file that it was given."""
    body = {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": content}}],
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    named = json.loads(question)["custom_id"]
    return {"id": "batch_req_1", "custom_id": named, "response": response, "error": None, **changes}


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_each_pending_question_is_a_line_of_the_batch_format(
    judge: Judge, store: VerdictFile, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    assert export_questions(path, PAIRS, judge, store, GROUPS) == 3
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [list(line) for line in lines] == [["custom_id", "method", "url", "body"]] * 3
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert len({line["custom_id"] for line in lines}) == 3
    assert all(len(line["custom_id"]) <= 64 for line in lines)
    # The most frequent first; the body is that of a call.
    assert lines[0]["body"] == judge.request(pair(0, 1))  # type: ignore[attr-defined]


def test_answers_in_any_order_become_verdicts_and_no_server_is_asked(
    judge: Judge, store: VerdictFile, tmp_path: Path
) -> None:
    questions = tmp_path / "questions.jsonl"
    export_questions(questions, PAIRS, judge, store, GROUPS)
    first, second, third = questions.read_text(encoding="utf-8").splitlines()
    answers = write(
        tmp_path / "answers.jsonl",
        [answered(third, "Similar"), answered(second, "different"), answered(first, "similar")],
    )
    assert import_answers(answers, PAIRS, judge, store) == Imported(kept=3)
    found = judge_pairs(PAIRS, judge, store, GROUPS)
    assert [verdict.similar for verdict in found] == [False, True, True, True, False]
    assert found[0].judge == "openai gpt-4o-2024-08-06 (paper)"
    assert found[4].reason == "same_name"
    assert export_questions(questions, PAIRS, judge, store, GROUPS) == 0
    # The same answers once more change nothing.
    kept = store.path.read_bytes()
    assert import_answers(answers, PAIRS, judge, store) == Imported(known=3)
    assert store.path.read_bytes() == kept


def test_answers_without_a_verdict_leave_their_questions_pending(
    judge: Judge, store: VerdictFile, tmp_path: Path
) -> None:
    questions = tmp_path / "questions.jsonl"
    export_questions(questions, PAIRS, judge, store, GROUPS)
    first, second, third = questions.read_text(encoding="utf-8").splitlines()
    expired = {"code": "batch_expired", "message": "expired"}
    lines = [
        answered(first, "well, it depends"),
        answered(second, None, response=None, error=expired),
        answered(third, "similar", response={"status_code": 500, "body": {}}),
    ]
    found = import_answers(write(tmp_path / "answers.jsonl", lines), PAIRS, judge, store)
    assert found.kept == 0
    assert found.unscored == {"not_understood": 1, "call_failed": 2}
    assert export_questions(questions, PAIRS, judge, store, GROUPS) == 3


def test_damaged_lines_and_answers_about_other_pairs_are_counted(
    judge: Judge, store: VerdictFile, tmp_path: Path
) -> None:
    questions = tmp_path / "questions.jsonl"
    export_questions(questions, PAIRS, judge, store, GROUPS)
    first, second, _ = questions.read_text(encoding="utf-8").splitlines()
    answers = write(
        tmp_path / "answers.jsonl",
        [answered(first, "similar"), answered(second, "similar"), 7, {"custom_id": 3}],
    )
    with answers.open("a", encoding="utf-8") as stream:
        stream.write('{"custom_id": "torn')
    found = import_answers(answers, [pair(0, 1)], judge, store)
    assert found == Imported(kept=1, strangers=1, damaged=3)


def test_answers_to_another_judges_questions_are_refused(
    judge: Judge, store: VerdictFile, tmp_path: Path
) -> None:
    questions = tmp_path / "questions.jsonl"
    export_questions(questions, PAIRS, judge, store, GROUPS)
    first = questions.read_text(encoding="utf-8").splitlines()[0]
    answers = write(tmp_path / "answers.jsonl", [answered(first, "similar")])
    other = get_judge("openai", model="gpt-5", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(PluginError, match="a question of another judge"):
        import_answers(answers, PAIRS, other, store)
    assert not store.path.exists()


@pytest.mark.parametrize("content", [None, "", "no JSON\n", "[]\n"])
def test_a_file_without_an_answer_is_refused(
    judge: Judge, store: VerdictFile, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "answers.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(PluginError, match="answer"):
        import_answers(path, PAIRS, judge, store)


def test_a_judge_without_a_server_has_nothing_to_export(store: VerdictFile, tmp_path: Path) -> None:
    wordnet = get_judge("wordnet")
    with pytest.raises(PluginError, match="judge 'wordnet' asks no server"):
        export_questions(tmp_path / "q.jsonl", PAIRS, wordnet, store, GROUPS)
    with pytest.raises(PluginError, match="judge 'wordnet' asks no server"):
        import_answers(tmp_path / "a.jsonl", PAIRS, wordnet, store)
