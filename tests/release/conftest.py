"""A Hub of the tests' own, somebody logged in to it, and small releases to push there."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run
from covar_gen.release.encoding import Encoder, Format
from covar_gen.release.making import Options, publish_share

Hub = Any


@pytest.fixture(scope="session")
def hub_parts() -> ModuleType:
    """The package tests/hub."""
    folder = Path(__file__).parents[1] / "hub"
    if "covar_hub" in sys.modules:
        return sys.modules["covar_hub"]
    spec = importlib.util.spec_from_file_location(
        "covar_hub", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["covar_hub"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hub(hub_parts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running Hub; in this process it is the Hub, and `me` is logged in."""
    from huggingface_hub import close_session, constants

    with hub_parts.serving() as made:
        template = made.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", made.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        for name in (
            "HUGGING_FACE_HUB_TOKEN",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.setenv("HF_TOKEN", "hf_me")
        yield made
        close_session()
        assert made.unknown == []
        assert made.refused == []


def write_release(folder: Path, files: dict[str, bytes], **facts: Any) -> Path:
    """A folder with these files and the release.json that names them."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    listed = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(files.items())
    ]
    known = {"format": 1, "name": "cats", "version": "1.0.0", "about": None, "repo": None}
    made = {"kind": "images", "encoder": {"format": "png"}}
    sums = dict.fromkeys(("recipe_sha256", "manifest_sha256"), "0" * 64)
    index = {**known, **made, **sums, "counts": {}, "files": listed, **facts}
    (folder / "release.json").write_text(json.dumps(index, indent=1, sort_keys=True))
    return folder


@pytest.fixture(scope="session")
def written() -> Callable[..., Path]:
    """See `write_release`."""
    return write_release


@pytest.fixture(scope="session")
def released(
    finished_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Format], Path]:
    """The release of `finished_run` in a format, made once; nobody may change it."""

    @cache
    def made(form: Format) -> Path:
        out = tmp_path_factory.mktemp(form) / "release"
        options = Options(Encoder(form))
        assert publish_share(finished_run, out, options, Ranks(), threads=2) is not None
        return out

    return made


@pytest.fixture(scope="session")
def jpeg(released: Callable[[Format], Path]) -> Path:
    """The release as it is by default."""
    return released("jpeg")


@pytest.fixture(scope="session")
def png(released: Callable[[Format], Path]) -> Path:
    """The lossless one."""
    return released("png")


@pytest.fixture(scope="session")
def patches(released: Callable[[Format], Path]) -> Path:
    """The one without photographs."""
    return released("patch")
