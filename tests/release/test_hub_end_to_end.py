"""A run is published and pushed by the command, and read from the Hub by `datasets`."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from covar_gen.cli_publish import publish
from covar_gen.core.errors import HubError
from covar_gen.core.store import Run

Hub = Any
Covar = Callable[..., "subprocess.CompletedProcess[str]"]

LOAD = """
import hashlib, json, sys
import datasets

kind = datasets.Image(decode=False)
for streaming in (False, True):
    for given in json.loads(sys.argv[1]):
        found = datasets.load_dataset("me/cats", split="test", streaming=streaming, **given)
        if "image" in found.column_names:
            assert next(iter(found))["image"].size == (64, 48)
            found = found.cast_column("image", kind)
        rows = {row["key"]: row.get("image") and row["image"]["bytes"] for row in found}
        held = {key: data and hashlib.sha256(data).hexdigest() for key, data in rows.items()}
        print(json.dumps(held))
"""
FETCH = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download("me/cats", repo_type="dataset", revision="v1.0.0"))
"""
PUSH = """
import sys
from pathlib import Path
from covar_gen.release.pushing import push
print(push(Path(sys.argv[1]), "me/cats").commit)
"""


def away(hub: Hub, home: Path) -> dict[str, str]:
    """Variables of a process to which this is the Hub, and that keeps its own cache."""
    said = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_me", "HF_HOME": str(home)}
    return {**said, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1,localhost"}


def python(code: str, *given: str, **variables: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *given],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def held(release: Path, configs: list[str]) -> dict[str, str | None]:
    """SHA-256 of the images of a release, by key, read without `datasets`."""
    files = [file for config in configs for file in (release / "data" / config).iterdir()]
    rows = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
    return {
        row["key"]: hashlib.sha256(row["image"]["bytes"]).hexdigest() if "image" in row else None
        for row in rows
    }


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_run_is_published_pushed_and_loaded_in_one_line(
    hub: Hub, covar: Covar, finished_run: Run, tmp_path: Path
) -> None:
    out, variables = tmp_path / "release", away(hub, tmp_path / "home")
    given = ["publish", finished_run.root, "--out", out, "--repo", "me/cats"]
    looked_at = covar(*given, "--no-push", **variables).stdout.splitlines()
    assert hub.asked == []
    assert looked_at[-1] == f'load it: datasets.load_dataset("{out}", "scale", split="test")'
    assert '"repo": "me/cats"' in (out / "release.json").read_text()
    before = content(out)
    said = covar(*given, **variables).stdout.splitlines()
    assert content(out) == before
    commit = hub.repos["me/cats"].head.oid
    assert said[-2] == f"{hub.address}/datasets/me/cats: private, v1.0.0 at commit {commit[:12]}"
    assert said[-1] == (
        'load it: datasets.load_dataset("me/cats", "scale", split="test", revision="v1.0.0")'
    )
    assert hub.content("me/cats", "v1.0.0") == content(out)

    subsets = sorted(path.name for path in (out / "data").iterdir())
    images = [name for name in subsets if name not in ("masks", "manifest")]
    asked = [
        {"name": "scale", "revision": "v1.0.0"},
        {"name": "manifest"},
        {"name": "all"},
    ]
    expected = [held(out, ["scale"]), held(out, ["manifest"]), held(out, images)]
    assert expected[0]
    assert expected[0].keys() < expected[2].keys() < expected[1].keys()
    found = [json.loads(line) for line in python(LOAD, json.dumps(asked), **variables)]
    assert found == [*expected, *expected]


def test_a_release_goes_by_xet_where_the_hub_has_it(
    hub: Hub, tmp_path: Path, written: Callable[..., Path]
) -> None:
    hub.xet = tmp_path / "store"
    hub.xet.mkdir()
    data = {f"data/{n}.parquet": bytes([n]) * 30 + os.urandom(200_000) for n in range(3)}
    folder = written(tmp_path / "cats", {"README.md": b"---\nlicense: mit\n---\n", **data})
    variables = away(hub, tmp_path / "home")
    commit = python(PUSH, str(folder), **variables)[-1]
    repo = hub.repos["me/cats"]
    assert (commit, repo.tags) == (repo.head.oid, {"v1.0.0": repo.head.oid})
    assert not hub.received
    assert {path: e.sha256 for path, e in repo.head.files.items() if e.xet} == {
        path: hashlib.sha256(data[path]).hexdigest() for path in data
    }
    [fetched] = python(FETCH, **variables)
    there = content(Path(fetched))
    there.pop(".gitattributes")
    assert there == content(folder)
    assert python(PUSH, str(folder), **variables)[-1] == commit
    assert len(repo.commits) == 2


@pytest.mark.parametrize("given", [{"public": True}, {"tag": "v1"}, {"replace": True}])
def test_what_is_for_the_hub_needs_a_repository(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(HubError, match=r"no repository is named\. Add --repo USER/NAME"):
        publish(tmp_path / "run", tmp_path / "release", **given)


# The Hub's client hands files to the HTTP client beneath in a way that the latter will give up.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_photographs_that_may_not_be_passed_on_are_refused_before_images_are_encoded(
    hub: Hub, finished_run: Run, tmp_path: Path
) -> None:
    about = tmp_path / "about.toml"
    about.write_text("[photographs]\nredistributable = false\n", encoding="utf-8")
    with pytest.raises(HubError, match="redistributable = false"):
        publish(finished_run.root, tmp_path / "release", about=about, repo="me/cats")
    assert not (tmp_path / "release").exists()
    assert hub.asked == []
    given: dict[str, Any] = {"about": about, "repo": "me/cats"}
    publish(finished_run.root, tmp_path / "looked-at", push=False, **given)
    publish(finished_run.root, tmp_path / "patches", recipe_only=True, **given)
    assert hub.content("me/cats") == content(tmp_path / "patches")


def test_whoever_is_not_logged_in_is_told_before_images_are_encoded(
    hub: Hub, finished_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="nobody is logged in"):
        publish(finished_run.root, tmp_path / "release", repo="me/cats")
    with pytest.raises(HubError, match="names no owner"):
        publish(finished_run.root, tmp_path / "release", repo="cats", push=False)
    assert not (tmp_path / "release").exists()
