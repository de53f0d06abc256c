"""Pushing to a Hub over HTTP with the real client: what stands there, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi, constants

from covar_gen.core.errors import CovarError, HubError, ReleaseFolderError
from covar_gen.release.pushing import Pushed, push

Hub = Any
Write = Callable[..., Path]
# The Hub's client hands files to the HTTP client beneath in a way that the latter will give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
CARD = b"---\nlicense: cc-by-4.0\n---\n# Cats\n"
BLOBS = ["data/original/test-00000-of-00001.parquet", "data/scale/test-00000-of-00001.parquet"]


def blob(seed: int, size: int = 60_000) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


FILES = {"README.md": CARD, "recipe.toml": b'name = "cats"\n', BLOBS[0]: blob(0), BLOBS[1]: blob(1)}


@pytest.fixture
def folder(tmp_path: Path, written: Write) -> Path:
    return written(tmp_path / "cats", FILES)


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def pushed(folder: Path, repo: str = "me/cats", **given: Any) -> Pushed:
    return push(folder, repo, waits=(), **{"say": [].append, **given})


def refused(folder: Path, repo: str = "me/cats", **given: Any) -> str:
    kind: type[CovarError] = given.pop("kind", HubError)
    with pytest.raises(kind) as caught:
        pushed(folder, repo, **given)
    line = caught.value.line()
    assert "\n" not in line
    assert line.startswith(f"{kind.__name__}: ")
    return line


def test_a_release_is_pushed_private_tagged_and_equal_to_the_folder(hub: Hub, folder: Path) -> None:
    said: list[str] = []
    made = pushed(folder, say=said.append)
    repo = hub.repos["me/cats"]
    assert repo.private
    assert made.private
    assert hub.content("me/cats") == content(folder)
    assert ".gitattributes" in repo.head.files
    assert repo.tags == {"v1.0.0": repo.head.oid}
    assert [commit.title for commit in repo.commits] == ["initial commit", "cats 1.0.0"]
    assert made.commit == repo.head.oid
    assert made.url == f"{hub.address}/datasets/me/cats"
    assert made.load("scale") == (
        'datasets.load_dataset("me/cats", "scale", split="test", revision="v1.0.0")'
    )
    assert hub.received == {sha(FILES[path]): 1 for path in BLOBS}
    assert constants.HF_HUB_DISABLE_XET is False
    assert said == [
        "Pushing 5 files, 0.00 GB, to me/cats",
        f"{hub.address} has no Xet storage: sent by LFS",
    ]


def test_a_push_repeated_changes_nothing(hub: Hub, folder: Path) -> None:
    first = pushed(folder)
    hub.asked.clear()
    assert pushed(folder) == first
    assert len(hub.repos["me/cats"].commits) == 2
    assert not [request for request in hub.asked if not request.startswith("GET ")]


def test_the_next_version_takes_the_place_of_the_last_in_one_commit(
    hub: Hub, folder: Path, tmp_path: Path, written: Write
) -> None:
    first = pushed(folder)
    new = {"README.md": CARD + b"more", BLOBS[0]: FILES[BLOBS[0]], "data/crop/a.parquet": blob(2)}
    second = pushed(written(tmp_path / "next", new, version="1.1.0"), message="Smaller")
    repo = hub.repos["me/cats"]
    assert [commit.title for commit in repo.commits[1:]] == ["cats 1.0.0", "Smaller"]
    assert hub.content("me/cats") == content(tmp_path / "next")
    assert hub.content("me/cats", "v1.0.0") == content(folder)
    assert repo.tags == {"v1.0.0": first.commit, "v1.1.0": second.commit}
    assert hub.received == {sha(blob(number)): 1 for number in range(3)}


def test_hidden_files_stay_at_home(hub: Hub, folder: Path) -> None:
    kept = content(folder)
    for path in (".DS_Store", ".cache/huggingface/x.json", "data/.ipynb_checkpoints/a.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"mine")
    pushed(folder)
    assert hub.content("me/cats") == kept


def test_a_public_repository_is_made_only_where_asked(hub: Hub, folder: Path) -> None:
    assert not pushed(folder, "team/cats", private=False).private
    assert not hub.repos["team/cats"].private


@pytest.mark.parametrize("private", [True, False])
def test_who_sees_a_repository_is_never_changed(hub: Hub, folder: Path, private: bool) -> None:
    hub.create("me/cats", private=private)
    said: list[str] = []
    assert pushed(folder, private=not private, say=said.append).private == private
    assert hub.repos["me/cats"].private == private
    seen = "private" if private else "public"
    assert f"me/cats is {seen} and stays so: its settings page changes that" in said


def test_what_else_a_repository_holds_is_not_overwritten_unless_asked(
    hub: Hub, folder: Path
) -> None:
    hub.create("me/cats", files={"notes.txt": b"mine", "README.md": CARD})
    assert refused(folder) == (
        "HubError: me/cats: it holds something else than an earlier release of 'cats': notes.txt. "
        "Choose another name, or add --replace to put this release in its place"
    )
    assert len(hub.repos["me/cats"].commits) == 1
    assert not hub.received
    pushed(folder, replace=True)
    assert hub.content("me/cats") == content(folder)


@pytest.mark.parametrize("index", [b'{"name": "dogs"}', b"[]", b"no JSON"])
def test_another_release_is_not_overwritten(hub: Hub, folder: Path, index: bytes) -> None:
    hub.create("me/cats", files={"release.json": index})
    assert "it holds the release " in refused(folder)
    assert not hub.received


def test_the_beginning_of_a_push_is_gone_on_with(hub: Hub, folder: Path) -> None:
    repo = hub.create("me/cats", files={"README.md": CARD})
    hub.blobs[sha(FILES[BLOBS[0]])] = FILES[BLOBS[0]]
    part = {BLOBS[0]: hub.large(sha(FILES[BLOBS[0]]), len(FILES[BLOBS[0]]))}
    hub.commit(repo, "part", {**repo.head.files, **part})
    pushed(folder)
    assert hub.content("me/cats") == content(folder)
    assert hub.received == {sha(FILES[BLOBS[1]]): 1}


def test_a_beginning_of_other_content_is_another_release(hub: Hub, folder: Path) -> None:
    hub.create("me/cats", files={"README.md": CARD.replace(b"Cats", b"Cows")})
    assert "something else than an earlier release of 'cats': README.md" in refused(folder)


def test_a_tag_that_stands_elsewhere_is_refused_before_a_byte_is_sent(
    hub: Hub, folder: Path, tmp_path: Path, written: Write
) -> None:
    first = pushed(folder)
    hub.received.clear()
    other = written(tmp_path / "next", {"README.md": CARD, BLOBS[0]: blob(5)})
    assert refused(other) == (
        f"HubError: me/cats: the tag v1.0.0 stands at another content (commit {first.commit[:12]})."
        " Choose another with --tag"
    )
    assert not hub.received
    assert pushed(other, tag="v1.0.1").tag == "v1.0.1"
    assert hub.repos["me/cats"].tags["v1.0.0"] == first.commit


def test_a_tag_that_stands_on_this_content_is_left(hub: Hub, folder: Path) -> None:
    first = pushed(folder)
    repo = hub.repos["me/cats"]
    hub.commit(repo, "a file less", {p: e for p, e in repo.head.files.items() if p != BLOBS[0]})
    again = pushed(folder)
    assert hub.content("me/cats") == content(folder)
    assert repo.tags == {"v1.0.0": first.commit}
    assert again.commit == repo.head.oid != first.commit


def test_no_tag_is_set_without_a_version(hub: Hub, tmp_path: Path, written: Write) -> None:
    made = pushed(written(tmp_path / "cats", FILES, version=None))
    assert made.tag is None
    assert hub.repos["me/cats"].tags == {}
    assert made.load("all") == 'datasets.load_dataset("me/cats", "all", split="test")'


def test_a_file_changed_since_its_release_is_found_and_nothing_tagged(
    hub: Hub, folder: Path
) -> None:
    data = bytearray(FILES[BLOBS[1]])
    data[100] ^= 1
    (folder / BLOBS[1]).write_bytes(data)
    assert refused(folder) == (
        f"HubError: me/cats: what is on the Hub now is not what release.json says: {BLOBS[1]}. "
        f"Type: covar-gen verify {folder}; nothing was tagged"
    )
    assert hub.repos["me/cats"].tags == {}
    (folder / BLOBS[1]).write_bytes(FILES[BLOBS[1]])
    pushed(folder)
    assert hub.content("me/cats") == content(folder)


def test_a_small_file_changed_since_its_release_is_found(hub: Hub, folder: Path) -> None:
    (folder / "recipe.toml").write_bytes(b'name = "cows"\n')
    assert "is not what release.json says: recipe.toml" in refused(folder)
    assert hub.repos["me/cats"].tags == {}


def test_a_file_left_over_on_the_hub_is_found_and_nothing_tagged(
    hub: Hub, folder: Path, tmp_path: Path, written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(folder)
    upload = HfApi.upload_folder

    def without_deleting(api: HfApi, **given: Any) -> Any:
        return upload(api, **{**given, "delete_patterns": None})

    monkeypatch.setattr(HfApi, "upload_folder", without_deleting)
    new = written(tmp_path / "next", {"README.md": CARD, BLOBS[0]: blob(0)}, version="2.0.0")
    assert f"is not what release.json says: {BLOBS[1]}, recipe.toml. " in refused(new)
    assert list(hub.repos["me/cats"].tags) == ["v1.0.0"]


def test_large_files_are_sent_in_parts_where_the_hub_asks(hub: Hub, folder: Path) -> None:
    hub.part_size = 25_000
    pushed(folder)
    assert hub.content("me/cats") == content(folder)
    assert len([r for r in hub.asked if "/parts/" in r]) == 6


def test_a_release_of_many_shards_is_one_commit(hub: Hub, tmp_path: Path, written: Write) -> None:
    shards = {f"data/all/test-{n:05}-of-00300.parquet": blob(n, 700) for n in range(300)}
    made = written(tmp_path / "many", {"README.md": CARD, **shards})
    hub.page = 100
    pushed(made)
    assert hub.content("me/cats") == content(made)
    assert len(hub.repos["me/cats"].commits) == 2
    assert set(hub.received.values()) == {1}
    assert len(hub.received) == 300


def test_a_repository_without_a_commit_is_filled(hub: Hub, folder: Path) -> None:
    hub.bare = True
    pushed(folder)
    assert hub.content("me/cats") == content(folder)


# What is refused.


@pytest.mark.parametrize("private", [True, False])
def test_photographs_that_may_not_be_passed_on_are_pushed_nowhere(
    hub: Hub, tmp_path: Path, written: Write, private: bool
) -> None:
    about = {"photographs": {"redistributable": False}}
    kept = written(tmp_path / "kept", FILES, about=about, kind="images")
    assert refused(kept, private=private) == (
        "HubError: me/cats: its photographs may not be passed on (redistributable = false in "
        "about.toml). Add --recipe-only, and choose another --out if this one holds images"
    )
    assert hub.asked == []
    patches = written(tmp_path / "patches", FILES, about=about, kind="recipe-only")
    assert not pushed(patches, "me/patches", private=False).private


def test_nobody_logged_in_is_one_line(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert refused(folder) == (
        "HubError: me/cats: nobody is logged in to the Hugging Face Hub. Type: hf auth login "
        "(with a token that may write, from https://huggingface.co/settings/tokens)"
    )
    assert hub.asked == []


def test_a_token_of_no_one_is_one_line(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    line = refused(folder)
    assert line.startswith("HubError: me/cats: the Hub does not accept the token (Invalid")
    assert line.endswith("Type: hf auth login --force")


def test_a_token_that_may_only_read_is_one_line(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert refused(folder) == (
        "HubError: me/cats: the token of me may only read. Make one that may write: "
        "https://huggingface.co/settings/tokens, then type: hf auth login"
    )
    assert hub.asked == ["GET /api/whoami-v2"]


@pytest.mark.parametrize("there", [True, False])
def test_a_name_of_somebody_else_is_one_line(hub: Hub, folder: Path, there: bool) -> None:
    if there:
        hub.create("you/cats")
    line = refused(folder, "you/cats")
    assert line.startswith("HubError: you/cats: the token of me may not write there (You don't ")
    assert line.endswith(", or a name of your own: me/...")
    assert not hub.received


def test_a_private_repository_of_somebody_else_is_one_line(hub: Hub, folder: Path) -> None:
    hub.create("you/cats", private=True)
    assert "may not write there" in refused(folder, "you/cats")


def test_storage_used_up_is_one_line_and_what_was_sent_is_kept(hub: Hub, folder: Path) -> None:
    hub.quota = 100_000
    assert refused(folder) == (
        "HubError: me/cats: the Hub takes no more: Private repository storage limit reached, please"
        " upgrade your plan. Free some storage or ask for more "
        "(https://huggingface.co/docs/hub/storage-limits); what was sent is kept"
    )
    hub.quota = None
    pushed(folder)
    assert hub.content("me/cats") == content(folder)


def test_storage_used_up_may_be_said_of_single_files(
    hub: Hub, folder: Path, hub_parts: Any
) -> None:
    full = {"code": 403, "message": "Storage quota exceeded"}
    answer = {"objects": [{"oid": "0" * 64, "size": 1, "error": full}]}
    hub.faults = [hub_parts.Fault("objects/batch", status=200, body=answer)]
    assert "the Hub takes no more: " in refused(folder)


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, "it is gated"),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, "the Hub has disabled"),
        (402, {"X-Error-Message": "Payment required"}, "the Hub takes no more: Payment required"),
        (413, {}, "the Hub takes no more: "),
        (400, {"X-Error-Message": "Not so"}, "the Hub refuses: Not so. Mend what it names"),
    ],
)
def test_other_answers_have_their_lines(
    hub: Hub, folder: Path, hub_parts: Any, status: int, headers: dict[str, str], said: str
) -> None:
    hub.create("me/cats")
    hub.faults = [hub_parts.Fault("GET /api/datasets/me/cats$", status=status, headers=headers)]
    assert f"HubError: me/cats: {said}" in refused(folder)
    assert not hub.received


def test_a_disabled_repository_is_one_line(hub: Hub, folder: Path) -> None:
    hub.create("me/cats").disabled = True
    assert "the Hub has disabled this repository" in refused(folder)


def test_a_token_that_runs_out_is_not_taken_for_a_name_that_is_free(
    hub: Hub, folder: Path, hub_parts: Any
) -> None:
    gone = {"X-Error-Code": "RepoNotFound"}
    hub.faults = [hub_parts.Fault("GET /api/datasets/me/cats$", status=401, headers=gone)]
    assert "the Hub does not accept the token" in refused(folder)
    assert hub.repos == {}


def test_a_repository_may_say_of_itself_that_it_is_disabled(
    hub: Hub, folder: Path, hub_parts: Any
) -> None:
    hub.create("me/cats")
    said = {"id": "me/cats", "sha": "0" * 40, "siblings": [], "disabled": True, "tags": []}
    hub.faults = [hub_parts.Fault("GET /api/datasets/me/cats$", status=200, body=said)]
    line = refused(folder)
    assert line.endswith("the Hub has disabled this repository. Push to another name")


def test_a_renamed_repository_is_one_line(hub: Hub, folder: Path) -> None:
    hub.renamed["me/cats"] = "me/felines"
    hub.create("me/felines")
    line = refused(folder)
    assert line == "HubError: me/cats: its name is me/felines now. Type: --repo me/felines"


def test_a_card_that_is_no_yaml_is_one_line(hub: Hub, tmp_path: Path, written: Write) -> None:
    made = written(tmp_path / "cats", {"README.md": b"---\na: [\n---\nhello"})
    assert "the Hub refuses: Invalid metadata in README.md" in refused(made)


@pytest.mark.parametrize("repo", ["cats", "me/", "me/cats/x", "me/ca ts", "me/--x", "me/x.git"])
def test_what_is_no_name_is_refused_before_the_hub_is_asked(
    hub: Hub, folder: Path, repo: str
) -> None:
    assert refused(folder, repo).startswith(f"HubError: --repo: {repo!r} ")
    assert hub.asked == []


@pytest.mark.parametrize("tag", ["v 1", "-v", "a..b", "v1.lock", "v1.", "/v", "v~1", "é"])
def test_what_is_no_tag_is_refused_before_the_hub_is_asked(
    hub: Hub, folder: Path, tag: str
) -> None:
    assert refused(folder, tag=tag).startswith(f"HubError: --tag: {tag!r} cannot be the name")
    assert hub.asked == []


def test_a_branch_is_no_tag(hub: Hub, folder: Path) -> None:
    assert "main is the name of a branch" in refused(folder, tag="main")


def test_a_hub_that_must_not_be_asked_is_one_line(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids to ask the Hugging Face Hub. Unset it" in refused(folder)


def test_a_folder_without_an_index_is_no_release(hub: Hub, folder: Path) -> None:
    (folder / "release.json").unlink()
    assert "not a release folder" in refused(folder, kind=ReleaseFolderError)


def test_a_folder_that_lacks_files_is_named_with_them(hub: Hub, folder: Path) -> None:
    (folder / BLOBS[0]).unlink()
    assert refused(folder, kind=ReleaseFolderError) == (
        f"ReleaseFolderError: {folder}: the release is incomplete; missing: {BLOBS[0]}. "
        "Type the `covar-gen publish` command again: it makes what is not there"
    )


def test_a_file_cut_short_is_named(hub: Hub, folder: Path) -> None:
    (folder / BLOBS[0]).write_bytes(b"short")
    line = refused(folder, kind=ReleaseFolderError)
    assert f"the release is incomplete; of another size: {BLOBS[0]}. " in line


def test_files_that_are_not_of_the_release_are_named(hub: Hub, folder: Path) -> None:
    for name in "edcba":
        (folder / name).write_text("mine")
    line = refused(folder, kind=ReleaseFolderError)
    assert "files that are not of the release: a, b, c and 2 more. Move them" in line
    assert hub.asked == []


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "data/.git/config", "data/../x"])
def test_an_index_that_names_a_path_outside_is_no_release(
    hub: Hub, folder: Path, path: str
) -> None:
    index = json.loads((folder / "release.json").read_text())
    index["files"].append({"path": path, "bytes": 0, "sha256": ""})
    (folder / "release.json").write_text(json.dumps(index))
    line = refused(folder, kind=ReleaseFolderError)
    assert f"release.json names what is no file of a release: {path}. " in line
