"""A push over a Hub that drops, refuses for a while, is slow, or loses answers; a push killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hf_xet import XetAuthenticationError

from covar_gen.core.errors import HubError
from covar_gen.release import hub_refusals
from covar_gen.release.pushing import Pushed, push

Hub = Any
Write = Callable[..., Path]
# The Hub's client hands files to the HTTP client beneath in a way that the latter will give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NAMES = [f"data/{subset}/test-00000-of-00001.parquet" for subset in ("crop", "original", "scale")]
BLOBS = {name: np.random.default_rng(n).bytes(100_000) for n, name in enumerate(NAMES)}
FILES = {"README.md": b"---\nlicense: mit\n---\n", "recipe.toml": b"", **BLOBS}
STEPS = {
    "who": "GET /api/whoami",
    "info": r"GET /api/datasets/me/cats$",
    "tree": "GET .*/tree/",
    "create": "POST /api/repos/create",
    "yaml": "POST /api/validate-yaml",
    "preupload": "POST .*/preupload/",
    "xet": "GET .*/xet-write-token/",
    "batch": "POST .*/objects/batch",
    "blob": "PUT /lfs/",
    "verify": "POST .*/verify",
    "commit": "POST .*/commit/main",
    "refs": "GET .*/refs",
    "tag": "POST .*/tag/",
}
FAULTS: dict[str, dict[str, Any]] = {
    "reset": {"drop": 0},
    "answer lost": {"late": True},
    "500": {"status": 500},
    "a gateway's page": {"status": 502, "body": b"<html>Bad gateway</html>"},
    "429": {"status": 429, "headers": {"Retry-After": "7"}},
}


@pytest.fixture
def folder(tmp_path: Path, written: Write) -> Path:
    return written(tmp_path / "cats", FILES)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Breaks that were to be made, by this toolkit and by the Hub's client; none is."""
    from huggingface_hub.utils import _http

    made: list[float] = []
    watch = SimpleNamespace(sleep=made.append, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(_http, "time", watch)
    monkeypatch.setattr(hub_refusals, "time", watch)
    return made


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def pushed(folder: Path, **given: Any) -> Pushed:
    return push(folder, "me/cats", **{"waits": (1.0, 2.0, 4.0), "say": [].append, **given})


def stands(hub: Hub, folder: Path) -> None:
    """The repository is what it is after a push that nothing went wrong with."""
    repo = hub.repos["me/cats"]
    assert hub.content("me/cats") == content(folder)
    assert repo.tags == {"v1.0.0": repo.head.oid}
    assert len(repo.commits) == 2
    assert repo.private
    assert hub.received == {hashlib.sha256(data).hexdigest(): 1 for data in BLOBS.values()}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_anywhere_is_got_over(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float], step: str, fault: str
) -> None:
    # What was done although the answer was lost is not asked for a second time.
    times = 1 if fault == "answer lost" else 2
    hub.faults = [hub_parts.Fault(STEPS[step], times=times, **FAULTS[fault])]
    pushed(folder)
    assert hub.faults[0].times == 0
    if step == "blob" and fault == "answer lost":
        # A blob arrived, and then again, since the client could not know.
        assert sum(hub.received.values()) == 4
        hub.received = dict.fromkeys(hub.received, 1)
    stands(hub, folder)
    asked = {7.0, 8.0} if fault == "429" else {1.0, 2.0}
    assert slept
    assert set(slept) <= asked


def test_a_connection_lost_in_the_middle_of_a_blob_is_got_over(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    hub.faults = [hub_parts.Fault("PUT /lfs/", times=4, drop=50_000)]
    pushed(folder)
    stands(hub, folder)
    # Each of the four broke off after half of it.
    assert hub.arrived == 3 * 100_000 + 4 * 50_000


def test_a_part_of_a_blob_is_sent_again_by_itself(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    hub.part_size = 40_000
    hub.faults = [hub_parts.Fault(r"PUT /lfs/\w+/parts/2", times=1, drop=10_000)]
    pushed(folder)
    stands(hub, folder)
    assert hub.arrived == 3 * 100_000 + 10_000


def test_a_slow_hub_is_waited_for(hub: Hub, folder: Path, hub_parts: ModuleType) -> None:
    hub.faults = [hub_parts.Fault(step, wait=0.1) for step in STEPS.values()]
    pushed(folder, waits=())
    stands(hub, folder)


def test_a_hub_that_never_answers_is_given_up(
    hub: Hub,
    folder: Path,
    hub_parts: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
) -> None:
    monkeypatch.setattr("covar_gen.release.pushing.ANSWER", 0.2)
    hub.faults = [hub_parts.Fault("whoami", wait=0.6, times=9)]
    with pytest.raises(HubError, match=r"cannot be reached or is not well: .*timed out"):
        pushed(folder)
    assert slept == [1.0, 2.0, 4.0]


def test_a_hub_that_is_not_well_is_given_up_after_the_last_try(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    said: list[str] = []
    headers = {"X-Error-Message": "Internal Error"}
    hub.faults = [hub_parts.Fault("whoami", times=99, status=503, headers=headers)]
    with pytest.raises(HubError) as caught:
        pushed(folder, say=said.append)
    assert caught.value.line() == (
        "HubError: me/cats: the Hub cannot be reached or is not well: HTTP 503: Internal Error. "
        "Type the same command again: what was sent is kept"
    )
    assert slept == [1.0, 2.0, 4.0]
    assert said == [
        f"me/cats: HTTP 503: Internal Error. Trying again in {wait} s" for wait in (1, 2, 4)
    ]
    assert len(hub.asked) == 4


def test_a_hub_that_is_not_there_is_one_line(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="me/cats: the Hub cannot be reached or is not well: "):
        pushed(folder)


def test_a_break_of_hours_is_not_waited_for(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    hub.faults = [hub_parts.Fault("whoami", status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(HubError, match="HTTP 429"):
        pushed(folder)
    assert slept == []


def test_the_window_of_a_rate_limit_is_waited_for(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    headers = {"RateLimit": '"api";r=0;t=55'}
    hub.faults = [hub_parts.Fault("whoami", status=429, headers=headers)]
    pushed(folder)
    assert slept == [55.0]


def test_a_commit_in_between_is_seen_and_the_push_done_again(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    def another() -> None:
        repo = hub.repos["me/cats"]
        hub.commit(repo, "edited on the page", {**repo.head.files, "README.md": hub.regular(b"x")})

    pushed(folder)
    (folder / "README.md").write_bytes(FILES["README.md"])
    repo = hub.repos["me/cats"]
    hub.commit(repo, "a file less", {p: e for p, e in repo.head.files.items() if p != NAMES[0]})
    hub.faults = [hub_parts.Fault(STEPS["commit"], call=another)]
    pushed(folder)
    assert [commit.title for commit in repo.commits[3:]] == ["edited on the page", "cats 1.0.0"]
    assert hub.content("me/cats") == content(folder)


def test_a_hub_that_must_not_be_asked_is_not_asked_again(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids"):
        pushed(folder)
    assert slept == []


def test_a_name_taken_by_what_is_not_to_be_seen_is_one_line(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    hub.faults = [hub_parts.Fault(STEPS["create"], status=409)]
    with pytest.raises(HubError, match="the name is taken by a repository that this login does"):
        pushed(folder)
    assert slept == []


def test_a_repository_that_is_seen_late_is_waited_for(
    hub: Hub, folder: Path, hub_parts: ModuleType, slept: list[float]
) -> None:
    unseen = {"X-Error-Code": "RepoNotFound"}
    hub.faults = [hub_parts.Fault(STEPS["info"], skip=1, status=404, headers=unseen)]
    pushed(folder)
    stands(hub, folder)
    assert slept == [1.0]


def test_a_mistake_of_the_toolkit_is_no_fault_of_the_hub(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("covar_gen.release.pushing._compare", broken)
    with pytest.raises(KeyError):
        pushed(folder)


XET = "Network error: Request error: HTTP status {}, domain: http://127.0.0.1/xet-write-token/main"


@pytest.mark.parametrize(
    ("error", "tries", "said"),
    [
        (ConnectionError(XET.format("client error (403 Forbidden)")), 1, "of me may not write"),
        (ConnectionError(XET.format("client error (401 Unauthorized)")), 1, "not accept the token"),
        (ConnectionError(XET.format("server error (503 Unavailable)")), 3, "is not well: HTTP 503"),
        (ConnectionError("Network error: dns error"), 3, "is not well: Network error: dns error"),
        (XetAuthenticationError("expired"), 1, "the Hub refuses: expired"),
    ],
)
def test_what_the_client_of_xet_raises_is_understood(
    slept: list[float], error: Exception, tries: int, said: str
) -> None:
    tried: list[int] = []

    def step() -> None:
        tried.append(1)
        raise error

    with pytest.raises(HubError, match=f"me/cats: .*{said}"):
        hub_refusals.retried(step, "me/cats", user="me", waits=(1.0, 2.0), say=[].append)
    assert len(tried) == tries
    assert slept == [1.0, 2.0][: tries - 1]


PUSH = """
import sys
from pathlib import Path
from covar_gen.release.pushing import push
print(push(Path(sys.argv[1]), "me/cats", waits=(0.05, 0.05)).commit)
"""


def process(hub: Hub, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """A push in a process of its own."""
    away = {
        name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")
    }
    kept = {name: value for name, value in os.environ.items() if name not in away}
    home = str(folder.parent / "home")
    said = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_me", "HF_HOME": home, "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PUSH, str(folder)],
        env={**kept, **said, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_push_killed_anywhere_and_repeated_ends_right(
    hub: Hub, folder: Path, hub_parts: ModuleType
) -> None:
    # One process after another is killed by the Hub it asks. `drop`: the Hub does not do it either.
    fault = hub_parts.Fault
    stages: list[list[dict[str, Any]]] = [
        [{"request": "repos/create"}],
        [{"request": "PUT /lfs/"}, {"request": "PUT /lfs/", "drop": 9, "times": 2}],
        [{"request": "verify"}],
        [{"request": "commit/main", "drop": 0}],
        [{"request": "commit/main"}],
        [{"request": "/tag/", "drop": 0}],
    ]
    for stage in stages:
        running: list[subprocess.Popen[str]] = []

        def kill(running: list[subprocess.Popen[str]] = running) -> None:
            running[0].send_signal(signal.SIGKILL)

        hub.faults = [fault(**{"call": kill, **one}) for one in stage]
        running.append(process(hub, folder))
        running[0].communicate(timeout=60)
        assert running[0].returncode == -signal.SIGKILL, stage
    last = process(hub, folder)
    said, wrong = last.communicate(timeout=60)
    assert last.returncode == 0, wrong
    repo = hub.repos["me/cats"]
    assert said.splitlines()[-1] == repo.head.oid
    assert hub.content("me/cats") == content(folder)
    assert repo.tags == {"v1.0.0": repo.head.oid}
    # Where the process dies, the Hub still has what it was reading: nothing comes twice.
    assert set(hub.received.values()) == {1}
    assert len(hub.received) == 3
    assert len(repo.commits) == 2


def test_a_push_by_xet_killed_between_its_commits_ends_right(
    hub: Hub, tmp_path: Path, written: Write, hub_parts: ModuleType
) -> None:
    # By Xet the client makes a commit of some 250 files, and another one of the rest.
    hub.xet = tmp_path / "store"
    hub.xet.mkdir()
    shards = {f"data/all/test-{n:05}-of-00300.parquet": b"%05d" % n * 99 for n in range(300)}
    folder = written(tmp_path / "cats", {"README.md": FILES["README.md"], **shards})
    running: list[subprocess.Popen[str]] = []

    def kill() -> None:
        running[0].send_signal(signal.SIGKILL)

    hub.faults = [hub_parts.Fault(STEPS["commit"], call=kill, skip=1, drop=0)]
    running.append(process(hub, folder))
    running[0].communicate(timeout=60)
    assert running[0].returncode == -signal.SIGKILL
    repo = hub.repos["me/cats"]
    assert len(repo.commits) == 2
    assert 200 < len(repo.head.files) < 300
    assert "release.json" not in repo.head.files
    assert repo.tags == {}

    hub.faults = [hub_parts.Fault(STEPS["commit"], status=503)]
    last = process(hub, folder)
    _, wrong = last.communicate(timeout=60)
    assert last.returncode == 0, wrong
    there = {path: entry for path, entry in repo.head.files.items() if path != ".gitattributes"}
    assert {path: entry.sha256 for path, entry in there.items() if entry.xet} == {
        path: hashlib.sha256(data).hexdigest() for path, data in shards.items()
    }
    assert there.keys() == content(folder).keys()
    assert repo.tags == {"v1.0.0": repo.head.oid}
    assert [commit.title for commit in repo.commits[1:]] == ["cats 1.0.0"] * 2
