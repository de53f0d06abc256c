"""Files are whole or not there, whoever writes them and whenever a writer dies."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from covar_gen.core import files
from covar_gen.core.errors import StorageError, storage_error
from covar_gen.core.files import STAGING, Staging, check_storage, make_folder, sweep, sync
from covar_gen.core.imaging import encode_png, is_whole_png
from covar_gen.core.masters import save_image
from covar_gen.core.recipe import Classes, Recipe
from covar_gen.core.store import Run

PNG = encode_png(np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3))
OTHER = encode_png(np.zeros((24, 24, 3), np.uint8))

WRITER = """
import sys
from pathlib import Path
from covar_gen.core.files import Staging
staging = Staging(Path(sys.argv[1]))
staging.write(b"half a picture")
print(staging.token, flush=True)
sys.stdin.read()
"""
BEGINNERS = """
import sys
from pathlib import Path
from covar_gen.core.files import Staging, sweep
root, said = Path(sys.argv[1]), []
print("ready", flush=True)
sys.stdin.readline()
for turn in range(500):
    sweep(root)
    try:
        staging = Staging(root)
        staging.write(b"x")
        staging.close()
    except Exception as error:
        said.append(f"{type(error).__name__} in turn {turn}")
print(len(said), said[:3])
"""


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    made = Staging(tmp_path)
    yield made
    made.close()


def temporaries(root: Path) -> list[str]:
    return [p.name for p in (root / STAGING).rglob("*") if p.is_file() and p.name != "lock"]


def test_a_published_file_has_its_content_and_leaves_no_temporary(
    tmp_path: Path, staging: Staging
) -> None:
    path = tmp_path / "images" / "a" / "b.png"
    assert staging.publish(path, PNG, is_whole_png) == PNG
    assert path.read_bytes() == PNG
    assert path.stat().st_nlink == 1
    assert temporaries(tmp_path) == []


def test_the_first_of_two_writers_wins(tmp_path: Path, staging: Staging) -> None:
    path = tmp_path / "a.png"
    second = Staging(tmp_path)
    staging.publish(path, PNG, is_whole_png)
    before = path.stat()
    assert second.publish(path, OTHER, is_whole_png) == PNG
    assert path.read_bytes() == PNG
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    second.close()


def test_the_same_bytes_again_are_fine_and_nothing_is_written(
    tmp_path: Path, staging: Staging
) -> None:
    path = tmp_path / "a.png"
    staging.publish(path, PNG, is_whole_png)
    before = path.stat().st_ino
    assert staging.publish(path, PNG, lambda _data: False) == PNG
    assert path.stat().st_ino == before
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, 50, len(PNG) - 20, len(PNG) - 12])
def test_a_file_that_lost_its_tail_is_replaced(tmp_path: Path, staging: Staging, size: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG[:size])
    assert staging.publish(path, OTHER, is_whole_png) == OTHER
    assert path.read_bytes() == OTHER
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("lacking", [1, 2, 4, 5, 12, 300])
def test_a_torn_master_in_an_images_place_is_made_again(
    tmp_path: Path, staging: Staging, lacking: int
) -> None:
    run = Run(tmp_path, Recipe(name="r", classes=Classes(source="folder")))
    path = tmp_path / "images/sources/a/b/original.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(PNG[:-lacking])
    image = np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)
    row = save_image(run, staging, "sources", "a/b/original", image)
    assert path.read_bytes() == PNG
    assert row["sha256"] == hashlib.sha256(PNG).hexdigest()


def test_a_row_describes_the_file_of_the_writer_that_was_first(
    tmp_path: Path, staging: Staging
) -> None:
    run = Run(tmp_path, Recipe(name="r", classes=Classes(source="folder")))
    first = np.zeros((24, 24, 3), np.uint8)
    one = save_image(run, staging, "sources", "a/b/original", first)
    other = save_image(run, staging, "sources", "a/b/original", first + 1)
    assert one == other
    assert one["sha256"] == hashlib.sha256(OTHER).hexdigest()


def test_a_replaced_file_is_the_last_one_written(tmp_path: Path, staging: Staging) -> None:
    path = tmp_path / "tables" / "manifest.parquet"
    staging.replace(path, b"first")
    staging.replace(path, b"second")
    assert path.read_bytes() == b"second"
    assert temporaries(tmp_path) == []


def test_a_failed_link_leaves_no_temporary_and_no_file(
    tmp_path: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_paths: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space"):
        staging.publish(tmp_path / "a.png", PNG, is_whole_png)
    assert temporaries(tmp_path) == []
    assert not (tmp_path / "a.png").exists()


def test_what_a_writer_leaves_behind_goes_when_it_closes(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    staging.write(b"never published")
    assert temporaries(tmp_path) == ["0"]
    staging.close()
    assert list((tmp_path / STAGING).iterdir()) == []
    staging.close()


def test_writers_have_names_of_their_own(tmp_path: Path) -> None:
    writers = [Staging(tmp_path) for _ in range(5)]
    assert len({writer.token for writer in writers}) == 5
    for writer in writers:
        writer.close()


def test_only_what_dead_writers_left_is_swept(tmp_path: Path, staging: Staging) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    token = child.stdout.readline().strip()
    theirs = tmp_path / STAGING / token
    try:
        assert sweep(tmp_path) == 0
        assert (theirs / "0").read_bytes() == b"half a picture"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert theirs.exists()
    assert sweep(tmp_path) == 1
    assert not theirs.exists()
    assert staging.folder.exists()
    staging.write(b"still mine")
    assert sweep(tmp_path) == 0


def test_a_run_without_temporaries_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path) == 0


def test_processes_that_begin_together_never_sweep_each_other(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", BEGINNERS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate()[0].strip() for child in children] == ["0 []"] * 3


def test_a_sync_of_a_folder_works_and_of_nothing_is_an_error(tmp_path: Path) -> None:
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "gone")


def test_a_folder_on_a_disk_can_hold_a_run(tmp_path: Path) -> None:
    check_storage(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kind", ["fuse.s3fs s3fs", "fuse.gcsfuse bucket", "fuse.rclone r:b", "fuse mountpoint-s3"]
)
def test_an_object_store_cannot_hold_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(files, "_file_system", lambda _root: kind)
    with pytest.raises(StorageError, match=kind):
        check_storage(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_cannot_hold_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError, match="without hard links"):
        check_storage(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "reports an error"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EMFILE, "too many open files"),
        (errno.EFBIG, ""),
        (errno.ENOTDIR, ""),
        (errno.ELOOP, "leads to itself"),
        (errno.ESTALE, ""),
    ],
)
def test_what_the_disk_says_is_one_line_with_the_path(number: int, words: str) -> None:
    found = storage_error(OSError(number, os.strerror(number), "some/file"), "elsewhere")
    assert found is not None
    assert found.line().startswith("StorageError: some/file: ")
    assert words in found.line()
    assert "what was written is kept" in found.line()
    unnamed = storage_error(OSError(number, os.strerror(number)), "elsewhere")
    assert unnamed is not None
    assert unnamed.where == "elsewhere"


@pytest.mark.parametrize("name", ["file", "file/inside", "loop", "/proc/x", "/proc/x/y"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "loop").symlink_to("loop")
    place = tmp_path / name
    with pytest.raises(StorageError, match=r"the folder cannot be made \(.+\)") as caught:
        make_folder(place, "--out")
    assert caught.value.where == str(place)
    assert caught.value.line().endswith("). Choose another folder with --out")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_folder_is_made_with_those_above_it_and_left_if_it_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b", "--out")
        assert (tmp_path / "a" / "b").is_dir()


def test_an_error_that_is_not_the_disks_is_not_taken_for_one() -> None:
    assert storage_error(OSError("odd"), "x") is None
    assert storage_error(ConnectionRefusedError(errno.ECONNREFUSED, "no"), "x") is None
