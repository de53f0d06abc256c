"""A disk that is full, read-only or no disk: one line, and nothing that was written is lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from PIL import Image

from covar_gen.cli import main
from covar_gen.core import files
from covar_gen.core.files import Staging
from covar_gen.core.launch import guarded
from covar_gen.core.store import open_run
from covar_gen.stage_classes import sample

Covar = Callable[..., "subprocess.CompletedProcess[str]"]
Done: TypeAlias = "subprocess.CompletedProcess[str]"

RECIPE = """
name = "disks"
block = 2
[classes]
source = "folder"
path = "photographs"
size = "original"
"""
GEN = f"{sys.executable} -m covar_gen.cli"


@cache
def unshare() -> tuple[str, ...] | None:
    """The command that gives a process mounts of its own; None where that is not allowed."""
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        trial = [*command, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
        try:
            if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            return None
    return None


def with_mounts(script: str, folder: Path) -> Done:
    """Run a shell script whose mounts are seen by nobody else and end with it."""
    command = unshare()
    if command is None:
        pytest.skip("mounting is not allowed here")
    done = subprocess.run(
        [*command, "sh", "-c", script], capture_output=True, text=True, cwd=folder, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.endswith("s left")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, a recipe and a finished run."""
    root = tmp_path_factory.mktemp("undisturbed")
    rng = np.random.Generator(np.random.PCG64(1))
    for name in ("ant", "bee"):
        (root / "photographs" / name).mkdir(parents=True)
        for number in range(3):
            image = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
            Image.fromarray(image).save(root / "photographs" / name / f"p{number}.png")
        # Its rejection is told in the log, which lies on the same disk.
        (root / "photographs" / name / "words.png").write_bytes(name.encode())
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    subprocess.run(
        f"{GEN} run recipe.toml --run whole", shell=True, cwd=root, check=True, capture_output=True
    )
    return root


@pytest.fixture
def place(tmp_path: Path, undisturbed: Path) -> Path:
    """A copy of the photographs and the recipe, and of the finished run."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    return tmp_path


def files_of(run: Path) -> dict[str, bytes]:
    """What must not depend on what happened: manifests, images, masks."""
    found = [run / "manifest.parquet", run / "metadata.parquet", *run.glob("images/**/*.png")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("kilobytes", [8, 72, 92])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(place: Path, kilobytes: int) -> None:
    script = f"""
    mkdir disk && mount -t tmpfs -o size={kilobytes}k tmpfs disk || exit 9
    {GEN} run recipe.toml --run disk/run 2> said
    echo $? > code
    mount -o remount,size=64m disk
    {GEN} run recipe.toml --run disk/run || exit 8
    cp -r disk/run kept
    """
    done = with_mounts(script, place)
    assert done.returncode == 0, done.stderr
    (line,) = errors((place / "said").read_text(encoding="utf-8"))
    assert (place / "code").read_text().strip() == "2"
    assert "StorageError" in line
    assert "the disk is full" in line
    assert "Free some space and type the same command again" in line
    assert files_of(place / "kept") == files_of(place / "whole")
    assert list((place / "kept" / ".staging").iterdir()) == []


@pytest.mark.parametrize("writes", range(0, 12, 2))
def test_wherever_the_disk_is_full_nothing_is_lost(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    writes: int,
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["covar-gen", "init", "recipe.toml", "--run", "run"])
    with pytest.raises(SystemExit):
        main()
    write, left = Staging.write, [writes]

    def until_full(self: Staging, data: bytes) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    def work() -> None:
        staging = Staging(place / "run")
        try:
            sample(open_run(place / "run"), staging)
        finally:
            staging.close()

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "write", until_full)
        assert guarded(work, place / "run") == 2
    (line,) = errors(capsys.readouterr().err)
    assert "the disk is full" in line
    assert guarded(work, place / "run") == 0
    rows = open_run(place / "run").table("sources").drop(["origin"])
    assert rows.equals(open_run(place / "whole").table("sources").drop(["origin"]))
    for path, data in files_of(place / "whole").items():
        if path.startswith("images/"):
            assert (place / "run" / path).read_bytes() == data


def test_a_read_only_folder_is_one_line_and_stays_as_it_is(place: Path) -> None:
    script = f"""
    mkdir sealed && mount --bind sealed sealed && mount -o remount,ro,bind sealed || exit 9
    {GEN} run recipe.toml --run sealed/run
    """
    done = with_mounts(script, place)
    assert done.returncode == 2, done.stderr
    (line,) = errors(done.stderr)
    assert "StorageError: sealed/run: the file system is read-only" in line
    assert "--run" in line


def test_a_finished_run_on_a_read_only_disk_can_be_looked_at(place: Path) -> None:
    script = f"""
    mount --bind whole whole && mount -o remount,ro,bind whole || exit 9
    {GEN} status whole && {GEN} verify whole || exit 8
    {GEN} run recipe.toml --run whole
    """
    before = files_of(place / "whole")
    done = with_mounts(script, place)
    assert done.returncode == 2, done.stderr
    assert "0 problems" in done.stdout
    (line,) = errors(done.stderr)
    assert "read-only" in line
    assert files_of(place / "whole") == before


def test_an_object_store_is_refused_before_anything_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(files, "_file_system", lambda _root: "fuse.s3fs s3fs")
    monkeypatch.setattr(sys, "argv", ["covar-gen", "init", "recipe.toml", "--run", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = errors(capsys.readouterr().err)
    assert "an object store mounted as a folder (fuse.s3fs s3fs)" in line
    assert not list(place.glob("run/*"))


@pytest.mark.parametrize("name", ["plain", "with space", "back\\slash"])
def test_the_kind_of_a_mount_is_known_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    look = "import sys; from pathlib import Path; from covar_gen.core.files import _file_system; "
    look += "print(_file_system(Path(sys.argv[1])))"
    script = f"""
    mkdir '{name}' && mount -t tmpfs bucket '{name}' && mkdir '{name}/run' || exit 9
    {sys.executable} -c '{look}' '{name}/run'
    """
    done = with_mounts(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["tmpfs", "bucket"]


def test_logs_and_staging_take_no_part_in_what_a_run_is(undisturbed: Path) -> None:
    run = undisturbed / "whole"
    text = (run / "recipe.toml").read_text(encoding="utf-8")
    hashed = json.dumps(open_run(run).recipe.hashed())
    assert str(undisturbed) in text
    assert str(undisturbed) not in hashed
    manifest = (run / "manifest.parquet").read_bytes()
    assert str(undisturbed).encode() not in manifest
