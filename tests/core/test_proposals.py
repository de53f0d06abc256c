import errno
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from covar_gen.core.answers import read_list
from covar_gen.core.errors import CovarError, MissingExtraError, ProposalError, StorageError
from covar_gen.core.imagenet import by_wnid
from covar_gen.core.prompts import load_prompt
from covar_gen.core.proposals import Proposal, propose_backgrounds, propose_classes
from covar_gen.core.values import checked

KEY = "secret-key-of-the-test"


class Server(ThreadingHTTPServer):
    """Speaks /v1/chat/completions; answers one queued reply after the other."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[tuple[int, bytes]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.delay = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def say(self, content: str | None, status: int = 200, end: str = "stop") -> None:
        message = {"role": "assistant", "content": content}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "the-model-2026-01-01",
            "choices": [{"index": 0, "finish_reason": end, "message": message}],
        }
        self.replies.append((status, json.dumps(body).encode()))

    def fail(self, status: int, message: str = "no", times: int = 1) -> None:
        body = json.dumps({"error": {"message": message, "type": "x", "code": "y"}}).encode()
        self.replies.extend([(status, body)] * times)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(json.loads(body))
        self.server.keys.append(self.headers["Authorization"])
        status, reply = self.server.replies.pop(0)
        if not reply:
            self.server.delay.wait(10)
            self.close_connection = True
            return
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
    running.delay.set()


def proposal(server: Server, **more: Any) -> Proposal:
    return Proposal(base_url=server.url, **more)


def refused(server: Server, store: Path, **more: Any) -> ProposalError:
    """The error of asking for backgrounds; nothing may be left behind by it."""
    with pytest.raises(ProposalError) as caught:
        propose_backgrounds(proposal(server, **more), store)
    assert not list(store.parent.iterdir())
    line = caught.value.line()
    assert KEY not in line
    assert caught.value.mend
    assert caught.value.exit_code == 2
    return caught.value


def test_backgrounds_are_asked_for_in_the_papers_words(server: Server, tmp_path: Path) -> None:
    server.say('["beach", "cozy living room"]')
    found = propose_backgrounds(proposal(server), tmp_path / "b.json")
    assert found == ["beach", "cozy living room"]
    prompt = load_prompt("background_selection")
    assert server.requests == [
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
                {
                    "role": "user",
                    "content": "Answer with a JSON array of strings and nothing else: one short"
                    " description for each background.",
                },
            ],
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]


def test_classes_are_asked_for_with_all_thousand_names(server: Server, tmp_path: Path) -> None:
    server.say('["zebra", "ice bear"]')
    found = propose_classes(proposal(server), tmp_path / "c.json")
    assert [entry.wnid for entry in found] == ["n02391049", "n02134084"]
    prompt = load_prompt("class_selection")
    system, user, wish = server.requests[0]["messages"]
    assert system == {"role": "system", "content": prompt.system}
    assert user["content"].startswith(prompt.user + "\n\nThe 1,000 classes:\ntench\ngoldfish\n")
    assert user["content"].splitlines()[-1000:] == [c.name for c in by_wnid().values()]
    assert wish["role"] == "user"
    assert "JSON array of strings" in wish["content"]


def test_model_and_temperature_are_the_recipes(server: Server, tmp_path: Path) -> None:
    server.say('["a", "b"]')
    propose_backgrounds(proposal(server, model="local-1", temperature=0.5), tmp_path / "b.json")
    assert server.requests[0]["model"] == "local-1"
    assert server.requests[0]["temperature"] == 0.5


def test_the_answer_is_stored_with_all_that_led_to_it_and_without_the_key(
    server: Server, tmp_path: Path
) -> None:
    server.say('Sure! ["Beach", "beach", "farm yard"]')
    store = tmp_path / "proposals" / "b.json"
    propose_backgrounds(proposal(server), store)
    assert [path.name for path in store.parent.iterdir()] == ["b.json"]
    assert json.loads(store.read_text(encoding="utf-8")) == {
        "task": "background_selection",
        "model": "gpt-4o",
        "answered_by": "the-model-2026-01-01",
        "base_url": server.url + "/",
        "temperature": None,
        "messages": server.requests[0]["messages"],
        "text": 'Sure! ["Beach", "beach", "farm yard"]',
        "proposed": ["Beach", "farm yard"],
        "unmatched": [],
    }
    assert KEY not in store.read_text(encoding="utf-8")


def test_a_stored_answer_is_never_asked_for_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say('["zebra", "no such beast", "hen"]')
    store = tmp_path / "c.json"
    first = propose_classes(proposal(server), store)
    kept = store.read_bytes()
    monkeypatch.delenv("OPENAI_API_KEY")
    assert propose_classes(proposal(server), store) == first
    assert len(server.requests) == 1
    assert store.read_bytes() == kept


def test_a_password_in_the_address_is_not_stored(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say('["a", "b"]')
    address = f"http://me:pass@127.0.0.1:{server.server_port}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    propose_backgrounds(Proposal(), tmp_path / "b.json")
    stored = (tmp_path / "b.json").read_text(encoding="utf-8")
    assert json.loads(stored)["base_url"] == server.url + "/"
    assert "me:pass" not in stored


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "http://me:pass@host/v1"),
        ("base_url", "localhost:8000"),
        ("base_url", "http://host:99999"),
        ("temperature", 3.0),
        ("timeout_s", 0),
        ("api_key", "sk-1"),
    ],
)
def test_a_recipe_with_a_wrong_or_unknown_key_is_refused(key: str, value: object) -> None:
    with pytest.raises(CovarError, match=key):
        checked(Proposal, {key: value}, "classes.propose")


def test_unknown_and_ambiguous_names_are_left_out_with_a_warning(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.say('["Zebra", "crane", "ICE_BEAR", "unicorn", "ice bear"]')
    store = tmp_path / "c.json"
    with caplog.at_level(logging.WARNING):
        found = propose_classes(proposal(server), store)
    assert [entry.name for entry in found] == ["zebra", "ice bear"]
    assert "crane, unicorn" in caplog.text
    assert json.loads(store.read_text(encoding="utf-8"))["unmatched"] == ["crane", "unicorn"]


@pytest.mark.parametrize("answer", ['["unicorn", "crane"]', '["unicorn", "crane", "zebra"]'])
def test_fewer_than_two_known_classes_are_no_proposal(
    server: Server, tmp_path: Path, answer: str
) -> None:
    server.say(answer)
    with pytest.raises(ProposalError, match="2 others: unicorn, crane"):
        propose_classes(proposal(server), tmp_path / "c.json")
    assert not list(tmp_path.iterdir())


def test_too_many_requests_are_waited_out(server: Server, tmp_path: Path) -> None:
    server.fail(429)
    server.say('["a", "b"]')
    assert propose_backgrounds(proposal(server), tmp_path / "b.json") == ["a", "b"]
    assert len(server.requests) == 2


def test_too_many_requests_for_ever_are_an_error(server: Server, tmp_path: Path) -> None:
    server.fail(429, "quota exceeded", times=3)
    error = refused(server, tmp_path / "b.json")
    assert "quota exceeded" in error.what
    assert error.where == server.url + "/"
    assert len(server.requests) == 3


def test_a_failing_server_is_an_error(server: Server, tmp_path: Path) -> None:
    server.fail(500, "boom", times=3)
    assert "server fails (Error code: 500" in refused(server, tmp_path / "b.json").what


def test_a_refused_key_names_its_variable_and_not_itself(server: Server, tmp_path: Path) -> None:
    server.fail(401, f"Incorrect key {KEY}")
    error = refused(server, tmp_path / "b.json")
    assert "the key is refused" in error.what
    assert "OPENAI_API_KEY" in error.mend
    assert len(server.requests) == 1


def test_an_unknown_model_is_named(server: Server, tmp_path: Path) -> None:
    server.fail(404, "no such model")
    assert "no model 'gpt-9'" in refused(server, tmp_path / "b.json", model="gpt-9").what


@pytest.mark.parametrize("content", [None, "", "   "])
def test_an_empty_answer_is_an_error(server: Server, tmp_path: Path, content: str | None) -> None:
    server.say(content)
    assert "empty" in refused(server, tmp_path / "b.json").what


def test_an_answer_without_choices_is_an_error(server: Server, tmp_path: Path) -> None:
    server.replies.append((200, b'{"object": "chat.completion", "choices": [], "model": "m"}'))
    assert "empty" in refused(server, tmp_path / "b.json").what


@pytest.mark.parametrize("body", [b"<html>a proxy's page</html>", b"[1, 2]", b'"words"', b"null"])
def test_an_answer_that_is_no_completion_is_an_error(
    server: Server, tmp_path: Path, body: bytes
) -> None:
    server.replies.append((200, body))
    refused(server, tmp_path / "b.json")


def test_an_answer_without_a_list_is_an_error(server: Server, tmp_path: Path) -> None:
    server.say("I cannot help with that, sorry.")
    error = refused(server, tmp_path / "b.json")
    assert "no list can be read from the answer 'I cannot help with that, sorry.'" in error.what


def test_an_answer_cut_off_is_an_error(server: Server, tmp_path: Path) -> None:
    server.say("- beach\n- fore", end="length")
    assert "cut off" in refused(server, tmp_path / "b.json").what


def test_a_missing_key_says_what_to_type(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    error = refused(server, tmp_path / "b.json", api_key_env="MY_KEY")
    assert "export MY_KEY=" in error.mend
    assert server.requests == []


def test_a_refused_connection_is_an_error(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ProposalError, match="cannot be reached") as caught:
            propose_backgrounds(
                Proposal(base_url=f"http://127.0.0.1:{port}/v1"), tmp_path / "b.json"
            )
    assert caught.value.where == f"http://127.0.0.1:{port}/v1/"
    assert not list(tmp_path.iterdir())


def test_a_silent_server_is_an_error_that_names_the_time(server: Server, tmp_path: Path) -> None:
    server.replies.extend([(200, b"")] * 3)
    before = time.monotonic()
    error = refused(server, tmp_path / "b.json", timeout_s=0.2)
    assert time.monotonic() - before < 6
    assert "within 0.2 s" in error.what
    assert "timeout_s" in error.mend


@pytest.mark.parametrize("content", [b"", b"{", b'{"task": "background_selection"}'])
def test_a_damaged_store_is_named_and_not_overwritten(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    store = tmp_path / "b.json"
    store.write_bytes(content)
    with pytest.raises(ProposalError, match=r"not a stored proposal.*Remove this file"):
        propose_backgrounds(proposal(server), store)
    assert store.read_bytes() == content
    assert server.requests == []


def test_the_answer_of_another_model_is_not_taken(server: Server, tmp_path: Path) -> None:
    store = tmp_path / "b.json"
    server.say('["a", "b"]')
    propose_backgrounds(proposal(server), store)
    with pytest.raises(ProposalError, match=r"'gpt-4o'.*'other'.*Remove this file"):
        propose_backgrounds(proposal(server, model="other"), store)
    with pytest.raises(ProposalError, match="class_selection"):
        propose_classes(proposal(server), store)
    assert len(server.requests) == 1


def test_of_two_writers_the_first_ones_answer_stays(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say('["first", "answer"]')
    server.say('["second", "answer"]')
    store, other = tmp_path / "b.json", tmp_path / "else" / "b.json"
    propose_backgrounds(proposal(server), other)
    link = Path.hardlink_to

    def overtaken(self: Path, target: Path) -> None:
        self.write_bytes(other.read_bytes())
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", overtaken)
    assert propose_backgrounds(proposal(server), store) == ["first", "answer"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "else"]


def test_a_place_that_cannot_hold_the_answer_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CovarError, match=r"b\.json: .*--run"):
        propose_backgrounds(proposal(server), tmp_path / "file" / "b.json")


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say('["a", "b"]')

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        propose_backgrounds(proposal(server), tmp_path / "b.json")
    assert not list(tmp_path.iterdir())


def test_without_the_client_the_extra_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'covar-gen\[llm\]'"):
        propose_backgrounds(proposal(server), tmp_path / "b.json")


def test_the_client_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, covar_gen.core.proposals; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('```json\n[\n  "a",\n  "b"\n]\n```\nHope it helps [1].', ["a", "b"]),
        ('{"classes": ["a", "b"]}', ["a", "b"]),
        ('As ["x"] asked: ["a", "b", "c"]', ["a", "b", "c"]),
        ('[1, 2] and ["a"]', ["a"]),
        ('<think>["x", "y", "z"]</think>["a", "b"]', ["a", "b"]),
        ('["say \\"hi\\"", "[b]", " c  d "]', ['say "hi"', "[b]", "c d"]),
        ('["A", "a", "", "b", "B "]', ["A", "b"]),
        ("1. a\n2) b\n 3: c", ["a", "b", "c"]),
        ("- a\n* b\n• c\n+ d", ["a", "b", "c", "d"]),
        ("Living:\n- **Ox** with horns\n- hen.\n- **Others:**\n- `slug`", ["Ox", "hen", "slug"]),
        ("1. **Beach:** sand\n2. __Farm__", ["Beach", "Farm"]),
        ("no list at all", []),
        ('["a", "b"', []),
        ("", []),
        ("3.5 is a number\n-5 too", []),
    ],
)  # fmt: skip
def test_a_list_is_read_from_whatever_surrounds_it(text: str, found: list[str]) -> None:
    assert read_list(text) == found
