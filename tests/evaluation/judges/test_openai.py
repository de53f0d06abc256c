"""A server that answers well, late, wrongly, or not at all: nothing is ever guessed."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.changes import changes
from covar_gen.core.errors import MissingExtraError, PluginError, ToolError
from covar_gen.core.prompts import load_prompt
from covar_gen.evaluation.judges import ClassPair, Judge, Verdict, get_judge

KEY = "secret-key-of-the-test"
Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


def completion(content: object, **changes: Any) -> bytes:
    """A chat completion as OpenAI sends it."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": content},
    }
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "the-model-2026-01-01",
        "choices": [{**choice, **changes}],
    }
    return json.dumps(body).encode()


def failure(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x", "code": "y"}}).encode()


class Server(ThreadingHTTPServer):
    """Speaks /v1/chat/completions: `answer` gives status and body for a request's body."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = lambda _: (200, completion("similar"))
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def hang(self, _: dict[str, Any]) -> tuple[int, bytes]:
        """Let the client wait until the test is over."""
        self.ended.wait(30)
        return 200, completion("similar")

    def handle_error(self, *_: object) -> None:
        """A client that hung up is no failure of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys.add(self.headers["Authorization"])
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        status, reply = self.server.answer(body)
        with self.server.lock:
            self.server.at_once -= 1
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
    serve: Callable[[Server], Server], no_accounts: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    running = serve(Server())
    yield running
    running.ended.set()


def slowly(seconds: float, content: str = "similar") -> Answer:
    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(seconds)
        return 200, completion(content)

    return answer


def asked_about(body: dict[str, Any]) -> tuple[str, str]:
    """The two names in the last message of a request in the paper's style."""
    lines = body["messages"][-1]["content"].splitlines()
    return lines[0].removeprefix("Ground truth class: "), lines[1].removeprefix("Predicted class: ")


def pair(truth: str, predicted: str, first: int = 0, second: int = 1) -> ClassPair:
    return ClassPair(first, second, truth, predicted)


def judge(server: Server, **options: Any) -> Judge:
    return get_judge("openai", **{"base_url": server.url, **options})


def several(count: int) -> list[ClassPair]:
    return [pair(f"truth {n}", f"other {n}", 2 * n, 2 * n + 1) for n in range(count)]


def only(server: Server, **options: Any) -> Verdict:
    (verdict,) = judge(server, **options).judge([pair("siamang", "chimpanzee")])
    assert KEY not in str(verdict)
    return verdict


def test_the_ordered_pair_is_asked_in_the_papers_words(server: Server) -> None:
    verdict = only(server)
    prompt = load_prompt("fine_grained_judge")
    assert server.requests == [
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": prompt.system},
                {
                    "role": "user",
                    "content": prompt.user_with(gt_class="siamang", pred_class="chimpanzee"),
                },
            ],
            "temperature": 0.0,
        }
    ]
    assert server.keys == {f"Bearer {KEY}"}
    assert verdict == Verdict(
        similar=True,
        score=None,
        reason=None,
        raw="similar",
        judge="openai the-model-2026-01-01 (paper)",
    )
    assert judge(server).ordered


def test_the_papers_examples_go_before_if_wanted(server: Server) -> None:
    only(server, examples=True)
    turns = server.requests[0]["messages"]
    assert [turn["role"] for turn in turns] == ["system", *["user", "assistant"] * 4, "user"]
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    assert answers == ["similar", "similar", "different", "different"]
    assert "border collie\nPredicted class: australian shepherd" in turns[3]["content"]


def test_the_structured_style_asks_two_equals_for_json_of_a_schema(server: Server) -> None:
    server.answer = lambda _: (200, completion('{"verdict": "different"}'))
    verdict = only(server, style="structured", temperature=None)
    assert verdict.similar is False
    assert verdict.judge == "openai the-model-2026-01-01 (structured)"
    request = server.requests[0]
    assert "temperature" not in request
    schema = request["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["verdict"]["enum"] == ["similar", "different"]
    assert "truth" not in request["messages"][1]["content"]
    assert not judge(server, style="structured").ordered


@pytest.mark.parametrize(
    ("said", "similar"),
    [
        ("Similar.", True),
        (" **different**\n", False),
        ("`similar`", True),
        ("<think>They are not similar at all, or are they?</think>\n\nDIFFERENT", False),
    ],
)
def test_marks_around_the_word_and_thoughts_before_it_do_not_count(
    server: Server, said: str, similar: bool
) -> None:
    server.answer = lambda _: (200, completion(said))
    assert only(server).similar is similar


@pytest.mark.parametrize(
    "said",
    ["not similar", "dissimilar", "similar different", "yes", "Similar, because", "42", "<think>"],
)
def test_an_answer_that_is_not_one_of_the_two_words_is_unscored(server: Server, said: str) -> None:
    server.answer = lambda _: (200, completion(said))
    verdict = only(server)
    assert (verdict.similar, verdict.reason, verdict.raw) == (None, "not_understood", said)


@pytest.mark.parametrize(
    "said",
    ["similar", "{", "[]", '{"verdict": true}', '{"verdict": "perhaps"}', '{"x": "similar"}'],
)
def test_json_of_another_schema_is_unscored(server: Server, said: str) -> None:
    server.answer = lambda _: (200, completion(said))
    assert only(server, style="structured").reason == "not_understood"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_an_answer"),
        (b"<html>welcome</html>", "not_an_answer"),
        (b"[1, 2]", "not_an_answer"),
        (b'"similar"', "not_an_answer"),
        (b'{"choices": []}', "not_an_answer"),
        (b'{"choices": "similar"}', "not_an_answer"),
        (b'{"choices": [1]}', "not_an_answer"),
        (b'{"choices": [{"message": "similar"}]}', "not_an_answer"),
        (completion(["similar"]), "not_an_answer"),
        (b"\xff\xfe\x00", "not_an_answer"),
        (completion(None), "empty_answer"),
        (completion("  \n"), "empty_answer"),
        (completion("similar", finish_reason="length"), "cut_off"),
    ],
)
def test_what_is_no_answer_is_unscored_with_what_came(
    server: Server, body: bytes, reason: str
) -> None:
    server.answer = lambda _: (200, body)
    verdict = only(server, retries=0)
    assert (verdict.similar, verdict.reason) == (None, reason)


def test_a_model_that_refuses_is_quoted(server: Server) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    server.answer = lambda _: (200, completion(None, message=message))
    verdict = only(server)
    assert (verdict.reason, verdict.raw) == ("empty_answer", "I cannot help with that.")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(server: Server, status: int) -> None:
    replies = [(status, failure("busy")), (status, failure("busy")), (200, completion("similar"))]
    server.answer = lambda _: replies.pop(0)
    assert only(server, retries=2).similar is True
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_is_always_busy_leaves_the_pair_unscored_after_the_retries(
    server: Server, status: int
) -> None:
    server.answer = lambda _: (status, failure(f"busy, {KEY}"))
    verdict = only(server, retries=3)
    assert (verdict.similar, verdict.reason) == (None, "call_failed")
    assert verdict.raw is not None
    assert str(status) in verdict.raw
    assert len(server.requests) == 4


def test_a_request_that_is_refused_is_not_repeated(server: Server) -> None:
    server.answer = lambda _: (400, failure("temperature is not supported"))
    verdict = only(server)
    assert verdict.reason == "call_failed"
    assert "temperature is not supported" in str(verdict.raw)
    assert len(server.requests) == 1


def test_a_server_that_does_not_answer_in_time_leaves_the_pair_unscored(server: Server) -> None:
    server.answer = server.hang
    before = time.monotonic()
    verdict = only(server, timeout_s=0.2, retries=0)
    assert (verdict.similar, verdict.reason) == (None, "no_answer_in_time")
    assert time.monotonic() - before < 5


def test_a_slow_answer_within_the_time_counts(server: Server) -> None:
    server.answer = slowly(0.2, "different")
    assert only(server, timeout_s=20, retries=0).similar is False


def test_without_a_server_pairs_are_unscored(server: Server) -> None:
    nobody = {"base_url": "http://127.0.0.1:9/v1", "retries": 0}
    assert only(server, **nobody).reason == "unreachable"


def test_one_failed_call_does_not_touch_the_others(server: Server) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        truth, _ = asked_about(body)
        number = int(truth.split()[1])
        if number % 3 == 0:
            return 500, failure("no")
        return 200, completion("similar" if number % 3 == 1 else "different")

    server.answer = answer
    found = judge(server, retries=1).judge(several(12))
    assert [verdict.similar for verdict in found] == [None, True, False] * 4
    assert [verdict.reason for verdict in found] == ["call_failed", None, None] * 4
    # Each failed call once more, each other call once.
    assert len(server.requests) == 4 * 2 + 8


def test_after_failures_in_a_row_the_rest_is_given_up(server: Server) -> None:
    server.answer = lambda _: (500, failure("no"))
    found = judge(server, retries=0, give_up=3, concurrency=2).judge(several(50))
    reasons = Counter(verdict.reason for verdict in found)
    # A call of the other thread may be under way when the third fails.
    assert 3 <= reasons["call_failed"] <= 4
    assert reasons["given_up"] == 50 - reasons["call_failed"]
    assert len(server.requests) == reasons["call_failed"]
    assert not [verdict for verdict in found if verdict.similar is not None]


def test_failures_that_are_not_in_a_row_are_no_reason_to_give_up(server: Server) -> None:
    replies = [(500, failure("no")), (200, completion("similar"))] * 20
    server.answer = lambda _: replies.pop(0)
    found = judge(server, retries=0, give_up=2, concurrency=1).judge(several(40))
    assert Counter(verdict.reason for verdict in found) == {"call_failed": 20, None: 20}


def test_as_many_calls_are_under_way_as_the_option_says(server: Server) -> None:
    together = threading.Barrier(4)

    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        together.wait(30)
        return 200, completion("similar")

    server.answer = answer
    found = judge(server, concurrency=4).judge(several(16))
    assert [verdict.similar for verdict in found] == [True] * 16
    assert server.most_at_once == 4


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (401, "the key is refused"),
        (403, "the key is refused"),
        (404, "the server knows no model 'gpt-4o'"),
    ],
)
def test_what_no_retry_can_mend_stops_at_once(server: Server, status: int, what: str) -> None:
    server.answer = lambda _: (status, failure(f"wrong: {KEY}"))
    with pytest.raises(ToolError) as caught:
        judge(server, concurrency=1).judge(several(20))
    assert what in caught.value.what
    assert KEY not in caught.value.line()
    assert "\n" not in caught.value.line()
    assert len(server.requests) <= 2


def test_without_a_key_nothing_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ToolError, match="no API key in the environment variable OPENAI_API_KEY"):
        judge(server).judge(several(1))
    monkeypatch.setenv("MY_KEY", "any")
    assert judge(server, api_key_env="MY_KEY").judge(several(1))[0].similar is True
    assert server.keys == {"Bearer any"}


def test_without_the_client_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from covar_gen.core import plugins

    monkeypatch.setattr(plugins, "_found", lambda module: module != "openai")
    with pytest.raises(MissingExtraError, match=r"pip install 'covar-gen\[llm\]'"):
        get_judge("openai")


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "localhost:8000"},
        {"base_url": "http://me:pass@host/v1"},
        {"style": "poem"},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"api_key": "sk-1"},
    ],
)
def test_wrong_options_are_refused_by_their_names(options: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match=next(iter(options))):
        get_judge("openai", **options)


def test_no_temperature_can_be_typed() -> None:
    """Some models take none but their own; a command line knows no null."""
    judge = get_judge("openai", **changes(["temperature=none"]))
    assert judge.identity()["temperature"] is None
    with pytest.raises(PluginError, match="temperature"):
        get_judge("openai", **changes(["temperature=nothing"]))


def test_the_identity_holds_what_decides_an_answer_and_nothing_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judge(server).identity()
    assert KEY not in json.dumps(first)
    assert judge(server, concurrency=2, timeout_s=5.0, retries=0, give_up=1).identity() == first
    for options in (
        {"model": "gpt-5"},
        {"style": "structured"},
        {"examples": True},
        {"temperature": None},
        {"base_url": "http://elsewhere/v1"},
    ):
        assert judge(server, **options).identity() != first
    monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("127", "me:pass@127") + "/")
    assert get_judge("openai").identity() == first


def test_the_verdicts_come_one_by_one(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: (
        server.hang(body)
        if asked_about(body)[0] == "truth 0"
        else (
            200,
            completion("different"),
        )
    )
    coming = judge(server, concurrency=2, retries=0, timeout_s=1).as_they_come(several(3))
    assert sorted(next(coming)[0] for _ in range(2)) == [1, 2]
    assert next(coming)[1].reason == "no_answer_in_time"
