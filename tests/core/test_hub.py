"""Fetching from a stand-in of the Hub: pinned revisions, and each refusal in one helpful line."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from covar_gen.core import hub, pins
from covar_gen.core.errors import WeightsError
from covar_gen.core.hub import fetch, is_repository
from covar_gen.core.hub_cache import cache_folder, cached, whole
from covar_gen.core.pins import Pin

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
FILES = {
    "config.json": b'{"model_type": "sam"}',
    "model.safetensors": b"w" * 4096,
    "README.md": b"read me",
}

Hub = Any


@pytest.fixture
def server(empty_hub: Hub) -> Hub:
    """A Hub with me/model, an empty cache, and nobody logged in."""
    empty_hub.models["me/model"] = dict(FILES)
    return empty_hub


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says what manifests/weights.csv knows: pinned("me/model", revision=...)."""
    known: dict[str, Pin] = {}

    def say(repo: str, **facts: Any) -> None:
        usual: dict[str, Any] = {
            "revision": None,
            "licence": "its own licence",
            "gated": False,
            "download_gib": 1.0,
            "memory_gib": 2.0,
            "mirror": None,
            "removed": False,
            "plugins": (),
            "source": "made up",
        }
        known[repo] = Pin(repo, **(usual | facts))

    monkeypatch.setattr(pins, "pins", lambda: known)
    return say


def refusal(*names: str, **given: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        fetch(*names, ["*.json", "*.safetensors"], where="sam3.weights", **given)
    line = caught.value.line()
    assert "\n" not in line
    assert line.startswith("WeightsError: sam3.weights: ")
    return line


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the Hub's client meant to wait before each further try; it does not."""
    from huggingface_hub.utils import _http

    found: list[float] = []
    monkeypatch.setattr(_http.time, "sleep", found.append)
    return found


def unplugged(monkeypatch: pytest.MonkeyPatch, port: int = 9) -> None:
    """A network in which nobody listens where the Hub was."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    template = f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def forget_listing(repo: str) -> None:
    """Make the cache one that an older client filled, which kept no list of files."""
    from huggingface_hub import _tree_cache

    (cache_folder() / f"models--{repo.replace('/', '--')}" / "trees" / f"{COMMIT}.json").unlink()
    _tree_cache._IN_MEMORY_TREE_CACHE.clear()


def test_only_files_that_fit_the_patterns_are_fetched_and_named_by_the_commit(server: Hub) -> None:
    folder = fetch("me/model", ["*.json", "*.safetensors"])
    assert folder.name == COMMIT
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_without_a_revision_the_pinned_one_is_asked_for(
    server: Hub, pinned: Callable[..., None]
) -> None:
    pinned("me/model", revision=COMMIT)
    fetch("me/model", ["*.json"])
    assert any(f"/tree/{COMMIT}" in asked for asked in server.asked)
    assert not any("/revision/main" in asked for asked in server.asked)


def test_the_revision_that_the_user_gives_goes_before_the_pinned_one(
    server: Hub, pinned: Callable[..., None]
) -> None:
    pinned("me/model", revision=OTHER)
    assert fetch("me/model", ["*.json"], revision="main").name == COMMIT


def test_a_pinned_revision_that_is_gone_is_said_with_what_to_write(
    server: Hub, pinned: Callable[..., None]
) -> None:
    pinned("me/model", revision=OTHER)
    said = refusal("me/model")
    assert f"has no longer the revision '{OTHER}', which this toolkit pins" in said
    assert "me/model@main" in said


def test_a_wrong_revision_is_said(server: Hub) -> None:
    said = refusal("me/model", revision="v9")
    assert "me/model has no revision 'v9'" in said
    assert "Name a branch, tag or commit that it has" in said


def test_a_repository_that_is_not_there_is_said(server: Hub) -> None:
    said = refusal("me/nothing")
    assert "has no repository me/nothing, or does not show it to you" in said
    assert "for a private one type: hf auth login" in said


def test_a_removed_repository_is_answered_with_its_mirror(
    server: Hub, pinned: Callable[..., None]
) -> None:
    pinned("me/gone", removed=True, mirror="you/copy")
    said = refusal("me/gone")
    assert "me/gone was removed by its owner" in said
    assert "Name its mirror: you/copy" in said


def test_a_removed_repository_that_is_cached_is_still_taken(
    server: Hub, pinned: Callable[..., None]
) -> None:
    fetch("me/model", ["*.json", "*.safetensors"])
    del server.models["me/model"]
    pinned("me/model", removed=True, mirror="you/copy")
    assert fetch("me/model", ["*.json", "*.safetensors"]).name == COMMIT


@pytest.mark.parametrize("token", ["", "hf_stranger"])
def test_a_gated_repository_is_answered_with_how_to_get_in(
    server: Hub, pinned: Callable[..., None], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    server.gated.add("me/model")
    pinned("me/model", gated=True, licence="its owner's terms")
    said = refusal("me/model")
    assert "me/model is gated: its owner wants its terms accepted (its owner's terms)" in said
    assert "Accept its terms on https://huggingface.co/me/model, then type: hf auth login" in said


def test_a_gated_repository_opens_to_who_accepted_its_terms(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gated.add("me/model")
    server.welcome.add("hf_friend")
    monkeypatch.setenv("HF_TOKEN", "hf_friend")
    assert (fetch("me/model", ["*.json"]) / "config.json").is_file()


def test_without_a_network_what_to_type_elsewhere_is_said_with_the_pinned_commit(
    server: Hub, pinned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch)
    pinned("me/model", revision=COMMIT)
    said = refusal("me/model", missing=["config.json", "model.safetensors"])
    assert "neither in the cache" in said
    assert "missing: config.json, model.safetensors" in said
    assert f"hf download me/model --revision {COMMIT}; then set HF_HUB_OFFLINE=1" in said
    assert server.asked == []


@pytest.mark.parametrize("listed", [True, False])
def test_a_pinned_commit_that_is_all_in_the_cache_is_taken_without_asking_anybody(
    server: Hub, pinned: Callable[..., None], *, listed: bool
) -> None:
    pinned("me/model", revision=COMMIT)
    names = ["config.json", "model.safetensors"]
    folder = fetch("me/model", names)
    if not listed:
        forget_listing("me/model")
    server.asked.clear()
    assert fetch("me/model", names) == folder
    assert whole("me/model", COMMIT, names) == folder
    assert server.asked == []
    # Only the Hub knows where a branch stands.
    assert whole("me/model", "main", names) is None
    fetch("me/model", names, revision="main")
    assert any("/revision/main" in asked for asked in server.asked)


def test_it_is_asked_for_what_a_pattern_may_stand_for_only_where_no_list_was_kept(
    server: Hub, pinned: Callable[..., None]
) -> None:
    pinned("me/model", revision=COMMIT)
    folder = fetch("me/model", ["*.json"])
    assert whole("me/model", COMMIT, ["*.json", "*.txt"]) == folder
    assert whole("me/model", COMMIT, ["*.json", "*.safetensors"]) is None
    assert whole("me/model", COMMIT, ["model.safetensors"]) is None
    # Nothing fits, and the folder is there; without a folder there is nothing to return.
    assert whole("me/model", COMMIT, ["*.txt"]) == folder
    server.models["me/bare"] = {"README.md": b"read me"}
    fetch("me/bare", ["*.json"])
    assert whole("me/bare", COMMIT, ["*.json"]) is None
    forget_listing("me/model")
    assert whole("me/model", COMMIT, ["*.json"]) is None
    assert whole("me/model", OTHER, ["config.json"]) is None
    assert (fetch("me/model", ["*.json", "*.safetensors"]) / "model.safetensors").is_file()


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("revision", [None, COMMIT])
def test_without_a_network_the_cache_is_taken_at_once(
    server: Hub,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    revision: str | None,
    *,
    listed: bool,
) -> None:
    folder = fetch("me/model", ["*.json", "*.safetensors"], revision=revision)
    if not listed:
        forget_listing("me/model")
    unplugged(monkeypatch)
    assert fetch("me/model", ["*.json", "*.safetensors"], revision=revision) == folder
    assert waits == []


@pytest.mark.parametrize("some", [True, False])
def test_without_a_network_a_pinned_commit_that_is_not_all_there_is_refused_at_once(
    server: Hub,
    pinned: Callable[..., None],
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    *,
    some: bool,
) -> None:
    pinned("me/model", revision=COMMIT)
    if some:
        fetch("me/model", ["*.json"])
    unplugged(monkeypatch)
    said = refusal("me/model")
    assert waits == []
    if some:
        assert "the cache is incomplete and the Hub cannot be asked; missing: model.safe" in said
    else:
        assert "me/model is neither in the cache of the Hugging Face Hub nor can it be" in said
    assert f"With a network type: hf download me/model --revision {COMMIT}; then set" in said


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of somebody who takes calls and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("revision", [None, COMMIT])
def test_a_network_that_swallows_all_questions_is_not_waited_for_longer_than_was_said(
    server: Hub,
    waits: list[float],
    silent: int,
    monkeypatch: pytest.MonkeyPatch,
    revision: str | None,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    unplugged(monkeypatch, silent)
    start = time.monotonic()
    assert "nor can it be fetched" in refusal("me/model", revision=revision)
    assert time.monotonic() - start < 5
    assert waits == []


class LogIn(BaseHTTPRequestHandler):
    """A network's page that wants a password first, whatever was asked for."""

    def do_GET(self) -> None:
        body = b"<html>Welcome to the hotel</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_a_network_that_asks_for_a_password_first_is_one_line(
    server: Hub, serve: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    unplugged(monkeypatch, serve(ThreadingHTTPServer(("127.0.0.1", 0), LogIn)).server_port)
    assert "me/model could not be fetched whole: " in refusal("me/model")


def test_without_a_network_a_gated_repository_is_told_with_its_terms_and_the_login(
    server: Hub, pinned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned("me/model", revision=COMMIT, gated=True)
    offline(monkeypatch)
    said = refusal("me/model")
    assert (
        "With a network accept its terms on https://huggingface.co/me/model, then type: "
        f"hf auth login && hf download me/model --revision {COMMIT}; then set HF_HUB_OFFLINE=1"
    ) in said


def test_files_that_an_interrupted_download_left_out_are_named(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {f"model-0000{n}-of-00007.safetensors": b"w" * 100 for n in range(1, 8)}
    server.models["me/model"] = {"config.json": b"{}", **parts}
    fetch("me/model", ["*.json", "model-00001-*"])
    offline(monkeypatch)
    said = refusal("me/model")
    assert "the copy of me/model in the cache is incomplete" in said
    assert "missing: model-00002-of-00007.safetensors, " in said
    assert "model-00006-of-00007.safetensors and 1 more" in said
    assert "With a network type: hf download me/model" in said


def test_another_commit_in_the_cache_than_the_pinned_one_is_said_with_how_to_take_it(
    server: Hub, pinned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("me/model", ["*.json", "*.safetensors"])
    pinned("me/model", revision=OTHER)
    offline(monkeypatch)
    said = refusal("me/model")
    assert f"has me/model at the commit {COMMIT[:12]}, not at the pinned {OTHER[:12]}" in said
    assert f"write me/model@{COMMIT}" in said
    assert fetch("me/model", ["*.json"], revision=COMMIT).name == COMMIT


def test_a_download_that_breaks_off_says_to_try_again(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda _seconds: None)
    server.cut.add("model.safetensors")
    said = refusal("me/model")
    assert "me/model could not be fetched whole: " in said
    assert "Try again, what is there is kept; or type: hf download me/model" in said


def test_a_name_that_is_none_is_refused_before_anybody_is_asked(server: Hub) -> None:
    assert "'a/b/c' is no name of a repository" in refusal("a/b/c")
    assert server.asked == []


def test_the_cache_tells_size_commit_and_what_its_files_call_for(server: Hub) -> None:
    index = b'{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'
    server.models["me/model"] = {
        "model_index.json": b"{}",
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors.index.json": index,
        "unet/one.safetensors": b"w" * 1000,
        "unet/two.safetensors": b"w" * 1000,
        "vae/config.json": b"{}",
        "vae/model.safetensors": b"w",
    }
    assert cached("me/model") is None
    fetch("me/model", ["*.json"])
    bare = cached("me/model")
    assert bare is not None
    assert bare.missing == ("unet/one.safetensors", "unet/two.safetensors", "vae/*.safetensors")
    fetch("me/model", ["*.json", "unet/one.safetensors"])
    found = cached("me/model")
    assert found is not None
    assert found.commit == COMMIT
    assert found.missing == ("unet/two.safetensors", "vae/*.safetensors")
    assert found.size == 1000 + 3 * 2 + len(index)
    fetch("me/model", ["*"])
    whole = cached("me/model", "main")
    assert whole is not None
    assert whole.missing == ()
    assert cached("me/model", OTHER) is None


def test_of_the_indices_of_two_variants_one_whose_files_are_in_the_cache_will_do(
    server: Hub,
) -> None:
    server.models["me/model"] = {
        "config.json": b"{}",
        "model.safetensors.index.bf16.json": b'{"weight_map": {"a": "half.safetensors"}}',
        "model.safetensors.index.json": b'{"weight_map": {"a": "full.safetensors"}}',
        "half.safetensors": b"w",
    }
    fetch("me/model", ["*.json"])
    bare = cached("me/model")
    assert bare is not None
    assert bare.missing == ("half.safetensors",)
    fetch("me/model", ["*"])
    whole = cached("me/model")
    assert whole is not None
    assert whole.missing == ()


def test_the_command_names_the_pinned_revision_unless_another_is_given(
    pinned: Callable[..., None],
) -> None:
    pinned("me/model", revision=COMMIT)
    assert hub.command("me/model", None) == f"hf download me/model --revision {COMMIT}"
    assert hub.command("me/model", "v1") == "hf download me/model --revision v1"
    assert hub.command("me/other", "") == "hf download me/other"


@pytest.mark.parametrize(
    ("name", "can_be"),
    [
        ("owner/name", True),
        ("owner/name-1.5", True),
        ("bert-base-uncased", True),
        ("./name", False),
        ("~/name", False),
        ("/owner/name", False),
        ("owner/name/part", False),
    ],
)
def test_what_cannot_be_a_repository_is_told_by_its_name(name: str, can_be: bool) -> None:
    assert is_repository(name) is can_be
