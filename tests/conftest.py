"""What many tests need: a small run, photographs on disk, a command line in its own process."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from covar_gen.commands.run import init
from covar_gen.commands.stages import stage_of
from covar_gen.core import flow
from covar_gen.core.files import Staging
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.seeds import generator
from covar_gen.core.store import Run
from covar_gen.stage_classes import sample
from covar_gen.stage_manifest import make_manifest

RECIPE = """
name = "small"
seed = 3
block = 4
[classes]
source = "folder"
path = "photographs"
size = 48
[masks]
segmenter = "grabcut"
[masks.options.grabcut]
working_edge = 48
[backgrounds]
editor = "collage"
backgrounds = [
    {background_id = 5, description = "hot desert with sand dunes"},
    {background_id = 16, description = "beach"},
]
[viewpoints]
viewer = "homography"
[scale]
inpainter = "telea"
factors = [2, 4]
[geometry]
inpainter = "telea"
variants = ["hflip", "vflip", "crop", "rotation", "translate"]
"""


def picture(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A photograph of a bright disc on a dark, grainy ground: uint8 (height, width, 3)."""
    rng = generator(seed)
    grain = rng.integers(0, 24, (height, width, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    centre_x = width * (0.4 + 0.2 * rng.random())
    disc = (x - centre_x) ** 2 + (y - height / 2) ** 2 < (height * 0.3) ** 2
    colour = np.array([230, 60 + 40 * (seed % 4), 40], np.uint8)
    ground = np.array([20, 50, 70], np.uint8) + grain
    return np.where(disc[..., None], colour - grain, ground).astype(np.uint8)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Text classifiers are kept in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVAR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """torch computes with one thread: test processes share the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def module_of() -> Callable[[Path], ModuleType]:
    """The module in a file: `module_of(path)`; pytest puts no folder of tests on the path."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"covar_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def tiny_diffusion(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    """The module tiny_diffusion.py of this folder, which saves tiny pipelines of diffusers."""
    return module_of(Path(__file__).with_name("tiny_diffusion.py"))


@pytest.fixture(scope="session")
def tiny_emu2(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    """The module tiny_emu2.py of this folder, which saves tiny Emu2-Gens."""
    return module_of(Path(__file__).with_name("tiny_emu2.py"))


@pytest.fixture(scope="session")
def writer(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    """Writes evaluation folders: `write_folder`, `write_errors`, `benchmark_images`, `guesses`."""
    return module_of(Path(__file__).parent / "evaluation" / "analyses" / "conftest.py")


def _photographs(folder: Path) -> Path:
    for place, name in enumerate(("disc", "n02391049")):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            image = Image.fromarray(picture(10 * place + number))
            image.save(folder / name / f"p{number}.png")
    return folder


CHROMIUM = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --window-size=1280,900 --enable-logging=stderr"
)


@pytest.fixture
def browser(tmp_path: Path) -> Callable[..., str]:
    """Opens a page in Chromium: browser(page, *flags, after="#part"); what it prints.

    No console message is let by.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("neither chromium nor google-chrome is installed")
        pytest.skip("neither chromium nor google-chrome is installed")

    def opened(page: Path, *flags: str, after: str = "") -> str:
        done = subprocess.run(
            [
                program,
                *CHROMIUM.split(),
                *flags,
                f"--user-data-dir={tmp_path / 'profile'}",
                page.as_uri() + after,
            ],
            capture_output=True,
            text=True,
            timeout=200,
            check=True,
        )
        assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
        return done.stdout

    return opened


@pytest.fixture
def traced_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What each network's blocks are asked to be compiled with.

    They are traced for each kind of input as ever, without a compiler for what comes of it.
    """
    import diffusers
    import torch

    kind = diffusers.UNet2DConditionModel
    usual = kind.compile_repeated_blocks
    asked: list[dict[str, Any]] = []

    def traced(self: Any, **given: Any) -> None:
        asked.append(given)
        usual(self, **given, backend="eager")

    monkeypatch.setattr(kind, "compile_repeated_blocks", traced)
    torch._dynamo.reset()
    yield asked
    torch._dynamo.reset()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two class folders of three photographs each."""
    return _photographs(tmp_path / "photographs")


@pytest.fixture
def recipe(tmp_path: Path, photographs: Path) -> Path:
    """A recipe of all stages over `photographs`, quick to run."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of `RECIPE`, one of whose photographs was refused; nobody may change it."""
    folder = tmp_path_factory.mktemp("finished")
    broken = _photographs(folder / "photographs") / "disc" / "p1-broken.png"
    broken.write_bytes(b"no picture")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    made = init(folder / "recipe.toml", folder / "run")
    _run_steps(made, None)
    return made


def content_of(run: Path) -> dict[str, str]:
    """What the laws promise to be the same: every image, mask and manifest, by SHA-256."""
    files = [run / "manifest.parquet", run / "metadata.parquet"]
    files += [p for kind in ("images", "masks") for p in (run / kind).rglob("*") if p.is_file()]
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, str]]:
    """See `content_of`."""
    return content_of


@pytest.fixture
def steps(recipe: Path, tmp_path: Path) -> Callable[..., Run]:
    """Runs stages of `recipe` in this process: steps("name", only=[tables], block=...)."""

    def run(name: str, only: list[str] | None = None, **changes: object) -> Run:
        made = init(recipe, tmp_path / name, changes)
        _run_steps(made, only)
        return made

    return run


@pytest.fixture(scope="session")
def run_steps() -> Callable[..., None]:
    """Runs the stages of a run in this process: run_steps(run, only=[tables])."""
    return _run_steps


@pytest.fixture(scope="session")
def accelerated() -> Callable[..., None]:
    """Runs one stage file as users do, by `accelerate launch`; in two processes unless told."""
    return _accelerated


def _accelerated(
    made: Run, table: str, arguments: Sequence[str] = ("--multi_gpu", "--num_processes", "2")
) -> None:
    root = Path(__file__).parents[1]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *arguments]
    script = root / "covar_gen" / f"stage_{table}.py"
    done = subprocess.run(
        # Any free port: launches of other tests have the usual one.
        [*launch, "--main_process_port", "0", str(script), "--run", str(made.root)],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr, done.stderr


def _run_steps(made: Run, only: list[str] | None = None) -> None:
    staging = Staging(made.root)
    try:
        for step in flow.steps(made.recipe):
            if only is not None and step.table not in only:
                continue
            if step.table == "sources":
                sample(made, staging)
            elif step.table == "manifest":
                make_manifest(made, staging)
            else:
                run_stage(stage_of(made, step.table), staging, Ranks(), threads=2)
    finally:
        staging.close()


Covar = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def covar(tmp_path: Path) -> Covar:
    """Runs `covar-gen ARGUMENTS` in a process of its own, in tmp_path."""

    def run(*arguments: object, code: int | None = 0, **environment: str) -> object:
        done = subprocess.run(
            [sys.executable, "-m", "covar_gen.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, done.stderr + done.stdout
        return done

    return run  # type: ignore[return-value]


HUB_COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """The part of the Hub that serves one data set, and repositories of models.

    Attributes:
        files: of the data set me/photos.
        asked: each request.
        models: files of each repository of models, all at `HUB_COMMIT`; others are not there.
        gated: those whose terms have to be accepted.
        welcome: tokens whose owners have accepted them.
        cut: files that break off in the middle.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files = files
        self.asked: list[str] = []
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.welcome: set[str] = set()
        self.cut: set[str] = set()


class HubHandler(BaseHTTPRequestHandler):
    """Answers for the data set me/photos at `HUB_COMMIT`; me/secret is refused."""

    server: Hub

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        headers = {"Content_Length": str(len(body)), "X_Repo_Commit": HUB_COMMIT, **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def entry(self, name: str, files: dict[str, bytes] | None = None) -> dict[str, Any]:
        data = (self.server.files if files is None else files)[name]
        return {
            "type": "file",
            "path": name,
            "size": len(data),
            "oid": hashlib.sha256(data).hexdigest()[:40],
        }

    def as_json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {self.path}")
        files = self.server.files
        if path.startswith("/api/models/") or not path.startswith(("/api/", "/datasets/")):
            self.model(path)
        elif path.startswith("/api/datasets/me/secret"):
            self.answer(401, b"{}", X_Error_Code="RepoNotFound")
        elif path.startswith("/api/datasets/me/photos/revision/v9"):
            self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        elif path == f"/api/datasets/me/photos/tree/{HUB_COMMIT}":
            self.as_json([self.entry(name) for name in files])
        elif path in ("/api/datasets/me/photos", f"/api/datasets/me/photos/revision/{HUB_COMMIT}"):
            names = [{"rfilename": name} for name in files]
            facts = {"private": False, "gated": False, "disabled": False, "tags": []}
            self.as_json({"id": "me/photos", "sha": HUB_COMMIT, "siblings": names, **facts})
        elif path.startswith("/datasets/me/photos/resolve/"):
            self.file(path.split("/", 6)[6], files)
        else:
            self.answer(404, b"{}", X_Error_Code="EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def file(self, name: str, files: dict[str, bytes]) -> None:
        if name not in files:
            self.answer(404, b"", X_Error_Code="EntryNotFound")
            return
        data, etag = files[name], self.entry(name, files)["oid"]
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, _, last = asked[6:].partition("-")
            end = min(int(last or len(data)), len(data) - 1)
            part = data[int(first) : end + 1]
            span = f"bytes {first}-{end}/{len(data)}"
            self.answer(206, part, ETag=f'"{etag}"', Content_Range=span)
        elif self.command == "GET" and name in self.server.cut:
            half = data[: len(data) // 2]
            self.answer(200, half, ETag=f'"{etag}"', Content_Length=str(len(data)))
            self.close_connection = True
        else:
            self.answer(200, data, ETag=f'"{etag}"')

    def model(self, path: str) -> None:
        """Answer for a repository of models, with the headers that the Hub sends."""
        parts = path.removeprefix("/api/models").strip("/").split("/", 4)
        repo, rest = "/".join(parts[:2]), parts[2:]
        if repo not in self.server.models:
            # So the Hub answers whoever is not logged in; 404 whoever is.
            status = 404 if "Authorization" in self.headers else 401
            self.answer(status, b"{}", X_Error_Code="RepoNotFound")
            return
        files = self.server.models[repo]
        if rest[1:] and rest[1] not in ("main", HUB_COMMIT):
            self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        elif path.startswith("/api/") and rest[:1] == ["tree"]:
            self.as_json([self.entry(name, files) for name in files])
        elif path.startswith("/api/"):
            names = [{"rfilename": name} for name in files]
            self.as_json({"id": repo, "sha": HUB_COMMIT, "siblings": names, "private": False})
        elif repo in self.server.gated and not self.is_welcome():
            status = 403 if "Authorization" in self.headers else 401
            self.answer(status, b"", X_Error_Code="GatedRepo")
        else:
            self.file("/".join(rest[2:]), files)

    def is_welcome(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return token in self.server.welcome

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append(f"POST {self.path} {body}")
        try:
            wanted = json.loads(body)["paths"]
        except ValueError:
            wanted = [part.split("=")[1] for part in body.split("&") if part.startswith("paths=")]
        self.as_json([self.entry(name) for name in wanted if name in self.server.files])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Any]]:
    """Runs a server in a thread until the test is over: `serve(Server()) -> Server`."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(server: ThreadingHTTPServer) -> ThreadingHTTPServer:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, and neither key nor address of a server of OpenAI's protocol."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("OPENAI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve_hub(serve: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], Hub]:
    """Serves files as the data set me/photos: serve_hub({"data/x.parquet": bytes}) -> Hub."""
    return lambda files: serve(Hub(files))  # type: ignore[no-any-return]


@pytest.fixture
def empty_hub(
    serve_hub: Callable[[dict[str, bytes]], Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Hub:
    """A Hub without a file that huggingface_hub asks, an empty cache, and nobody logged in."""
    from huggingface_hub import constants

    made = serve_hub({})
    at = f"http://127.0.0.1:{made.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", at)
    template = at + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return made
