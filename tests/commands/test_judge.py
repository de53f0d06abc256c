"""`covar-gen judge`: several judges, batch files, servers that fail, and what `errors` says."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from covar_gen.commands import errors as errors_command
from covar_gen.commands import judge as command
from covar_gen.core.errors import (
    EvaluationFolderError,
    MissingExtraError,
    ModelError,
    PluginError,
    ToolError,
)
from covar_gen.evaluation.analyses.judge_agreement import judge_agreement
from covar_gen.evaluation.judges import choosing
from covar_gen.evaluation.judges import wordnet as wordnet_judge
from covar_gen.evaluation.results import CLASS_ROWS, Results, open_results

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
Answer = Callable[[dict[str, Any]], tuple[int, bytes]]
NAMES = ("tench", "goldfish", "golf ball", "sunglasses", "sunglasses")
WNIDS = ("n01440764", "n01443537", "n03445777", "n04355933", "n04356056")


def write(
    writer: ModuleType,
    root: Path,
    wnids: tuple[str | None, ...] = WNIDS,
    *,
    explain: bool = True,
) -> Results:
    """Errors that the object drives: 0 -> 1 three times, 0 -> 2 twice, 1 -> 0, 3 -> 4."""
    images = [{"label": label} for label in (0, 0, 0, 0, 0, 1, 3)]
    models = {"m/test": [1, 1, 1, 2, 2, 0, 4]}
    found: Results = writer.write_folder(root, images, models, names=NAMES, wnids=wnids)
    about = json.loads((root / "evaluation.json").read_text())
    (root / "evaluation.json").write_text(json.dumps({**about, "prompts": ["a photo of a {}."]}))
    # Tench and goldfish are the nearest pair of the model's.
    rows = np.eye(5, dtype=np.float32)
    rows[1] = [0.8, 0.6, 0, 0, 0]
    np.save(found.folder("m/test") / CLASS_ROWS, rows)
    if explain:
        writer.write_errors(found, "m/test", ["object"] * 7)
    return open_results(root)


@pytest.fixture
def results(
    writer: ModuleType, tmp_path: Path, no_accounts: None, monkeypatch: pytest.MonkeyPatch
) -> Results:
    monkeypatch.setenv("COVAR_CACHE", str(tmp_path / "cache"))
    return write(writer, tmp_path / "results")


def completion(content: object) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": content}}
    return json.dumps({"model": "the-model-2026", "choices": [choice]}).encode()


class Server(ThreadingHTTPServer):
    """Speaks /v1/chat/completions as `answer` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = lambda _: (200, completion("similar"))
        self.asked = 0
        self.ended = threading.Event()

    @property
    def options(self) -> dict[str, Any]:
        """Of the judge, so that it asks here."""
        return {
            "openai.base_url": f"http://127.0.0.1:{self.server_port}/v1",
            "openai.model": "the-model",
            "openai.retries": 1,
        }

    def handle_error(self, *_: object) -> None:
        """A client that hung up is no failure of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked += 1
        status, reply = self.server.answer(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(
    results: Results, serve: Callable[[Server], Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    assert results.count
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    running = serve(Server())
    yield running
    running.ended.set()


def rows_of(results: Results, judge: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What one judge's file in the evaluation holds."""
    (path,) = (results.root / "judges").glob(f"{judge}-*.parquet")
    rows = pq.read_table(path).to_pylist()
    return {(row["truth_name"], row["predicted_name"]): row for row in rows}


def test_without_a_choice_the_judges_that_need_no_key_are_asked(results: Results) -> None:
    said: list[str] = []
    found = command.judge(results.root, say=said.append)
    assert [one.judge.split()[0] for one in found] == ["wordnet", "text_similarity"]
    assert said == [one.line() for one in found]
    # Four pairs; of the two sunglasses nobody is asked.
    assert [(one.pairs, one.similar, one.different) for one in found] == [(4, 2, 2), (4, 2, 2)]
    assert rows_of(results, "wordnet")["sunglasses", "sunglasses"]["reason"] == "same_name"
    assert rows_of(results, "text_similarity")["tench", "goldfish"]["score"] == pytest.approx(0.8)
    (row,) = judge_agreement(results).to_pylist()
    assert (row["n_pairs"], row["agreement"], row["kappa"]) == (3, 100, 1)
    assert row["n_errors"] == 6
    assert not (results.root / "judged.parquet").exists()


def test_a_user_without_key_and_wordnet_gets_text_similarity_with_its_threshold(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "find_wordnet", lambda: None)
    said: list[str] = []
    (found,) = command.judge(results.root, say=said.append)
    assert said[0].startswith("wordnet is not asked: it is not found here")
    # The 0.99 quantile of six cosines of different names, of which one is 0.8 and the others 0.
    assert found.judge == "text_similarity 1 (>= 0.7600, quantile 0.99, 1 model)"
    said.clear()
    monkeypatch.setattr(errors_command, "run_processes", lambda *_: None)
    rows = errors_command.errors(results.root, say=said.append).rows
    assert said[-1].startswith(f"judge: {found.judge}: 4 pairs of classes, 2 similar, 2 different;")
    assert "WordNet is not found here" in said[-1]
    assert {row["judge"] for row in rows} == {found.judge}


def test_one_wnid_is_too_few_for_wordnet(writer: ModuleType, tmp_path: Path) -> None:
    made = write(writer, tmp_path / "few", (WNIDS[0], None, None, None, None))
    said: list[str] = []
    command.judge(made.root, say=said.append)
    assert said[0] == "wordnet is not asked: 1 of 5 classes have a wnid"
    assert len(said) == 2


def test_the_judge_of_the_shares_stays_what_it_is(
    results: Results, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors_command, "run_processes", lambda *_: None)
    errors_command.errors(results.root)
    before = (results.root / "judged.parquet").read_bytes()
    command.judge(results.root, judges="openai", options=server.options)
    assert (results.root / "judged.parquet").read_bytes() == before
    (row,) = judge_agreement(results).to_pylist()
    assert row["judge_a"].startswith("wordnet")
    assert row["judge_b"] == "openai the-model-2026 (paper)"


def test_what_was_judged_once_is_not_asked_again(
    results: Results, server: Server, tmp_path: Path
) -> None:
    for _ in range(2):
        (found,) = command.judge(results.root, judges="openai", options=server.options)
        assert (found.similar, found.different) == (3, 1)
    # 0 -> 1, 0 -> 2 and 1 -> 0: the paper's style asks both orders.
    assert server.asked == 3
    assert len((tmp_path / "cache" / "verdicts.jsonl").read_text().splitlines()) == 3
    own = tmp_path / "mine" / "verdicts.jsonl"
    command.judge(results.root, judges="openai", options=server.options, verdicts=own)
    assert (server.asked, len(own.read_text().splitlines())) == (6, 3)


def hang(server: Server) -> Answer:
    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        server.ended.wait(20)
        return 200, completion("different")

    return answer


FAILURES: dict[str, tuple[int, bytes]] = {
    "call_failed 3": (500, b"{}"),
    "not_an_answer 3": (200, b"<html>busy</html>"),
    "not_understood 3": (200, completion("They are not similar.")),
    "empty_answer 3": (200, completion("")),
}


@pytest.mark.parametrize("reason", [*FAILURES, "call_failed 3 ", "no_answer_in_time 3"])
def test_a_pair_without_an_answer_is_unscored_and_never_different(
    results: Results, server: Server, reason: str
) -> None:
    status = 429 if reason.endswith(" ") else 500
    server.answer = lambda _: FAILURES.get(reason, (status, b"{}"))
    options = server.options
    if reason.startswith("no_answer"):
        server.answer = hang(server)
        options |= {"openai.timeout_s": 0.1, "openai.retries": 0}
    said: list[str] = []
    (found,) = command.judge(results.root, judges="openai", options=options, say=said.append)
    # The one pair that is called different is that of one name.
    assert (found.similar, found.different, found.unscored.total()) == (0, 1, 3)
    assert said[0].endswith(f"3 unscored ({reason.strip()})")
    rows = rows_of(results, "openai")
    assert Counter(row["similar"] for row in rows.values()) == {None: 3, False: 1}
    assert rows["sunglasses", "sunglasses"]["similar"] is False


def test_slow_answers_are_waited_for(results: Results, server: Server) -> None:
    def slowly(_: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(0.2)
        return 200, completion("Different.")

    server.answer = slowly
    (found,) = command.judge(results.root, judges="openai", options=server.options)
    assert (found.different, found.unscored.total()) == (4, 0)


def test_unscored_pairs_are_unscored_in_the_shares_of_errors(
    results: Results, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors_command, "run_processes", lambda *_: None)
    server.answer = lambda _: (500, b"{}")
    own = {key.partition(".")[2]: value for key, value in server.options.items()}
    (row,) = errors_command.errors(results.root, judge="openai", judge_options=own).rows
    assert row["unscored"] == pytest.approx(600 / 7)
    assert (row["fine"], row["other"]) == (0, pytest.approx(100 / 7))


def test_questions_go_out_and_answers_come_back_without_a_key(
    results: Results, tmp_path: Path
) -> None:
    path, options = tmp_path / "new" / "questions.jsonl", {"openai.model": "gpt-4o-mini"}
    assert command.write_questions(results.root, path, options=options) == 3
    questions = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["body"]["model"] for line in questions} == {"gpt-4o-mini"}
    answers = tmp_path / "answers.jsonl"
    reply = {"status_code": 200, "body": json.loads(completion("similar"))}
    lines = [{"custom_id": line["custom_id"], "response": reply} for line in questions[:2]]
    answers.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    came, asked = command.read_answers(results.root, answers, options=options)
    assert command.came_line(came) == "2 new verdicts"
    assert asked.line() == (
        "openai the-model-2026 (paper): 4 pairs of classes, 2 similar, 1 different,"
        " 1 unscored (not_asked 1)"
    )
    assert command.write_questions(results.root, path, options=options) == 1
    came, _ = command.read_answers(results.root, answers, options=options)
    assert command.came_line(came) == "0 new verdicts, 2 known before"


def test_answers_to_the_questions_of_another_model_are_refused(
    results: Results, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    command.write_questions(results.root, path, options={"openai.model": "one"})
    with pytest.raises(PluginError, match="another judge"):
        command.read_answers(results.root, path, options={"openai.model": "other"})


def test_what_cannot_be_asked_is_refused_before_anybody_is(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for judges, options, said in (
        ("wordnet,nobody", {}, "unknown judge 'nobody'"),
        ("wordnet", {"wordnet.treshold": 1}, "treshold"),
        ("wordnet", {"threshold": 0.5}, "'threshold' names no judge"),
        ("wordnet", {"openai.model": "x"}, "unknown judge 'openai'"),
        ("wordnet,file", {"file.path": str(tmp_path / "no.csv")}, "cannot be read"),
    ):
        with pytest.raises(PluginError, match=said):
            command.judge(results.root, judges=judges, options=options)
    with pytest.raises(ToolError, match="OPENAI_API_KEY"):
        command.judge(results.root, judges="wordnet,openai")
    monkeypatch.setattr(wordnet_judge, "find_wordnet", lambda: None)
    with pytest.raises(MissingExtraError, match="wordnet"):
        command.judge(results.root, judges="text_similarity,wordnet")
    assert not (results.root / "judges").exists()


def test_a_judge_that_asks_no_server_has_no_batch_file(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    with pytest.raises(PluginError, match="asks no server"):
        command.write_questions(results.root, path, judges="wordnet")
    with pytest.raises(PluginError, match="not 2"):
        command.write_questions(results.root, path, judges="openai,wordnet")
    with pytest.raises(PluginError, match="a folder, not a file"):
        command.write_questions(results.root, tmp_path)


def test_an_evaluation_without_explained_errors_has_nothing_to_judge(
    writer: ModuleType, tmp_path: Path
) -> None:
    made = write(writer, tmp_path / "plain", explain=False)
    with pytest.raises(EvaluationFolderError, match="covar-gen errors"):
        command.judge(made.root)


def test_a_wrong_choice_of_judge_stops_errors_before_any_is_explained(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(*_: object) -> None:
        pytest.fail("errors are explained before the judge is looked at")

    monkeypatch.setattr(errors_command, "run_processes", explain)
    with pytest.raises(PluginError, match="quantil"):
        errors_command.errors(results.root, judge="text_similarity", judge_options={"quantil": 0.5})
    nowhere = {"model": str(results.root / "no-such-model")}
    with pytest.raises(ModelError, match="no such folder"):
        errors_command.errors(results.root, judge="transformers", judge_options=nowhere)


def test_a_missing_key_is_said_before_any_error_is_explained_unless_verdicts_are_there(
    results: Results, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {key.partition(".")[2]: value for key, value in server.options.items()}
    shared = tmp_path / "shared.jsonl"
    command.judge(results.root, judges="openai", options=server.options, verdicts=shared)
    monkeypatch.delenv("OPENAI_API_KEY")
    explained: list[object] = []
    monkeypatch.setattr(errors_command, "run_processes", lambda *given: explained.append(given))
    with pytest.raises(ToolError, match="OPENAI_API_KEY"):
        errors_command.errors(results.root, judge="openai", judge_options=own)
    assert not explained
    asked = server.asked
    (row,) = errors_command.errors(
        results.root, judge="openai", judge_options=own, verdicts=shared
    ).rows
    assert (server.asked, row["unscored"], row["judge"]) == (
        asked,
        0,
        "openai the-model-2026 (paper)",
    )


def test_the_command_says_what_it_did_and_what_is_wrong_in_one_line(
    results: Results, tmp_path: Path, covar: Covar
) -> None:
    done = covar("judge", "results").stdout.splitlines()
    assert done[0].startswith("wordnet 3.0 (Wu-Palmer >= 0.87): 4 pairs of classes, 2 similar")
    assert "agree on 100.0 % of 3 pairs, kappa 1.00" in done[2]
    assert done[3] == "next: covar-gen report results"
    done = covar("judge", "results", "--export", "q.jsonl").stdout.splitlines()
    assert done[0] == "3 questions in q.jsonl"
    (tmp_path / "nonsense.jsonl").write_bytes(b"\xff\x00{]\nhello\n[1]\n")
    failed = covar("judge", "results", "--import", "nonsense.jsonl", code=2)
    assert "the file holds no answer" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    failed = covar("judge", "results", "--export", "/proc/x/q.jsonl", code=2)
    said = "/proc/x: the folder cannot be made (No such file or directory)"
    assert failed.stderr == f"StorageError: {said}. Choose another folder with --export\n"
    failed = covar("judge", "results", "--import", "q.jsonl", "--export", "r.jsonl", code=2)
    assert "Give one of them" in failed.stderr
