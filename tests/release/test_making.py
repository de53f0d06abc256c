"""Same input, same bytes: however many threads, processes, kills and full disks there were."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from covar_gen.core.errors import (
    DamagedRunError,
    IncompleteInputError,
    MissingExtraError,
    ReleaseFolderError,
)
from covar_gen.core.files import Staging
from covar_gen.core.launch import guarded
from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run, open_run
from covar_gen.release import making
from covar_gen.release.about import About
from covar_gen.release.encoding import Encoder
from covar_gen.release.index import WORKING, Release, read_release
from covar_gen.release.making import Options, publish_share
from covar_gen.stage_manifest import make_manifest

Covar = Callable[..., "subprocess.CompletedProcess[str]"]


def publish(
    run: Run,
    out: Path,
    options: Options | None = None,
    ranks: Ranks | None = None,
    threads: int = 2,
) -> Release | None:
    return publish_share(run, out, options or Options(), ranks or Ranks(), threads=threads)


def content(release: Path) -> dict[str, str]:
    return {
        path.relative_to(release).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in release.rglob("*")
        if path.is_file()
    }


def times(release: Path) -> dict[str, int]:
    files = (release / "data").rglob("*.parquet")
    return {path.relative_to(release).as_posix(): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def undisturbed(finished_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "release"
    assert publish(finished_run, out) is not None
    return out


@pytest.fixture
def own_run(finished_run: Run, tmp_path: Path) -> Run:
    """A copy of the run that a test may spoil."""
    shutil.copytree(finished_run.root, tmp_path / "run")
    return open_run(tmp_path / "run")


def test_the_number_of_threads_changes_nothing(
    finished_run: Run, undisturbed: Path, tmp_path: Path
) -> None:
    assert publish(finished_run, tmp_path / "again", threads=5) is not None
    assert content(tmp_path / "again") == content(undisturbed)


def test_processes_share_the_files_and_the_last_one_finishes(
    finished_run: Run, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "release"
    made = []
    for rank in (1, 2, 0):
        assert not (out / "release.json").exists()
        assert (publish(finished_run, out, ranks=Ranks(rank, 3)) is not None) == (rank == 0)
        made.append(set(times(out)))
    assert content(out) == content(undisturbed)
    everything = set(times(undisturbed))
    assert made[2] == everything
    assert made[0] < made[1] < made[2]
    assert abs(len(made[0]) - len(everything) / 3) < 1


def test_the_command_shares_a_release_over_processes(
    finished_run: Run, undisturbed: Path, tmp_path: Path, covar: Covar
) -> None:
    done = covar("publish", finished_run.root, "--out", "release", "--processes", 2)
    assert content(tmp_path / "release") == content(undisturbed)
    assert "scale" in done.stdout
    assert 'datasets.load_dataset("release", ' in done.stdout


def test_the_stage_runs_by_itself(finished_run: Run, undisturbed: Path, tmp_path: Path) -> None:
    script = Path(making.__file__).parents[1] / "stage_publish.py"
    out = tmp_path / "release"
    command = [sys.executable, str(script), "--run", str(finished_run.root), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "publish: complete\n"
    assert content(out) == content(undisturbed)


def test_kill_9_at_any_moment_and_the_same_command_again_give_the_same_bytes(
    finished_run: Run, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "release"
    module = ["-m", "covar_gen.stage_publish", "--run", str(finished_run.root), "--out", str(out)]
    kept: dict[str, int] = {}
    for wanted in (1, 4, 8):
        started = subprocess.Popen(
            [sys.executable, *module], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        process = psutil.Process(started.pid)
        deadline = time.monotonic() + 60
        while len(times(out)) < wanted and started.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.suspend()
        assert not (out / "release.json").exists()
        now = times(out)
        assert kept.items() <= now.items(), "a finished file was made again"
        kept = now
        process.kill()
        started.wait()
    assert publish(finished_run, out) is not None
    assert kept.items() <= times(out).items()
    assert content(out) == content(undisturbed)


def test_a_process_that_starts_while_another_one_works_takes_nothing_from_it(
    finished_run: Run, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "release"
    publish(finished_run, out, ranks=Ranks(0, 2))
    staging = Staging(out)
    half = staging.folder / "half"
    half.write_bytes(b"another process is writing this")
    assert publish(finished_run, out) is not None
    assert half.exists()
    staging.close()
    assert publish(finished_run, out) is not None
    assert content(out) == content(undisturbed)


def test_a_second_time_nothing_is_made_again(finished_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "release"
    publish(finished_run, out)
    before, data = times(out), content(out)
    index = (out / "release.json").stat().st_mtime_ns
    assert publish(finished_run, out) == read_release(out)
    assert (times(out), content(out)) == (before, data)
    assert (out / "release.json").stat().st_mtime_ns == index


def test_a_file_that_was_lost_is_made_again_and_no_other(
    finished_run: Run, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "release"
    shutil.copytree(undisturbed, out)
    before = times(out)
    lost = "data/crop/test-00000-of-00001.parquet"
    (out / lost).unlink()
    assert publish(finished_run, out) is not None
    assert content(out) == content(undisturbed)
    after = times(out)
    assert {name for name in before if before[name] != after[name]} == {lost}


def test_a_new_description_encodes_nothing_again(
    finished_run: Run, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "release"
    shutil.copytree(undisturbed, out)
    before = times(out)
    about = About(title="Discs everywhere", version="2.1.0")
    made = publish(finished_run, out, Options(about=about, repo="me/discs"))
    assert times(out) == before
    assert made is not None
    assert made.described["version"] == "2.1.0"
    assert "Discs everywhere" in (out / "README.md").read_text(encoding="utf-8")
    fresh = tmp_path / "fresh"
    publish(finished_run, fresh, Options(about=about, repo="me/discs"))
    assert content(fresh) == content(out)


@pytest.mark.parametrize("megabytes", [0.05, 0.3])
def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_goes_on(
    finished_run: Run,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    megabytes: float,
) -> None:
    out = tmp_path / "release"
    write, left = os.write, [int(megabytes * 1e6)]

    def until_full(handle: int, data: memoryview) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # A disk that fills takes what still fits.
        count = write(handle, data[: left[0]])
        left[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", until_full)
        assert guarded(lambda: publish(finished_run, out), out) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("StorageError: ")
    assert "the disk is full" in line
    assert len(line.splitlines()) == 1
    expected = content(undisturbed)
    there = {name: data for name, data in content(out).items() if name.startswith("data/")}
    assert there.items() <= expected.items()
    assert not (out / "release.json").exists()
    assert list((out / ".staging").iterdir()) == []
    kept = times(out)
    assert publish(finished_run, out) is not None
    assert kept.items() <= times(out).items()
    assert content(out) == expected


def test_a_kernel_that_refuses_to_write_more_is_one_line(finished_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "release"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    module = ["-m", "covar_gen.stage_publish", "--run", str(finished_run.root), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, *module], capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert done.returncode == 2
    [line] = [text for text in done.stderr.splitlines() if not text.endswith("s left")]
    assert line.startswith("StorageError: ")
    assert "too large" in line
    # Smaller files have their names, the one that was refused has none.
    assert all(path.stat().st_size <= 40_000 for path in (out / "data").rglob("*.parquet"))
    assert not list((out / "data").rglob("scale/*"))


@pytest.mark.parametrize("spoil", ["gone", "changed", "swapped", "mask"])
def test_a_file_of_the_run_that_is_not_its_rows_is_named(
    own_run: Run, tmp_path: Path, spoil: str
) -> None:
    rows = own_run.manifest(["key", "subset", "image", "mask", "status"]).to_pylist()
    # The last one of its subset: no sample of a few meets it before its file is written.
    row = [row for row in rows if row["subset"] == "vflip" and row["status"] == "ok"][-1]
    path = own_run.root / row["mask" if spoil == "mask" else "image"]
    if spoil == "gone":
        path.unlink()
    elif spoil == "swapped":
        other = next(row["image"] for row in rows if row["status"] == "ok")
        path.write_bytes((own_run.root / other).read_bytes())
    else:
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(data)
    out = tmp_path / "release"
    with pytest.raises(DamagedRunError) as caught:
        publish(own_run, out)
    assert caught.value.where == str(path)
    assert "covar-gen verify" in caught.value.mend
    assert not (out / "release.json").exists()
    assert not list((out / "data").rglob("masks/*" if spoil == "mask" else "vflip/*"))


def test_a_run_that_is_not_finished_is_refused(own_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "release"
    (own_run.root / "manifest.parquet").rename(tmp_path / "manifest")
    with pytest.raises(IncompleteInputError, match="there is no manifest yet"):
        publish(own_run, out)
    (tmp_path / "manifest").rename(own_run.root / "manifest.parquet")
    shutil.move(own_run.folder("scale"), tmp_path / "scale")
    with pytest.raises(IncompleteInputError, match=r"not finished: table scale lacks \d+ rows"):
        publish(own_run, out)
    shutil.move(tmp_path / "scale", own_run.folder("scale"))
    (own_run.root / "manifest.parquet").unlink()
    staging = Staging(own_run.root)
    make_manifest(own_run, staging, limit=2)
    staging.close()
    with pytest.raises(IncompleteInputError, match=r"the manifest has \d+ of \d+ rows"):
        publish(own_run, out)
    (own_run.root / "manifest.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DamagedRunError, match="the file is damaged"):
        publish(own_run, out)
    assert not out.exists()


def test_a_folder_that_holds_something_else_is_refused_and_stays_as_it_is(
    finished_run: Run, undisturbed: Path, tmp_path: Path, covar: Covar
) -> None:
    before = content(undisturbed)
    with pytest.raises(ReleaseFolderError, match=r"encoder.quality: 95 there, 80 here"):
        publish(finished_run, undisturbed, Options(Encoder("jpeg", 80)))
    assert content(undisturbed) == before
    begun = tmp_path / "begun"
    publish(finished_run, begun, ranks=Ranks(0, 4))
    held = content(begun)
    with pytest.raises(ReleaseFolderError, match=r"holds another release \(shard_mb: 400 there"):
        publish(finished_run, begun, Options(shard_mb=7))
    assert content(begun) == held
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = covar("publish", finished_run.root, "--out", stranger, code=2)
    assert done.stderr.startswith(f"ReleaseFolderError: {stranger}: the folder holds other things")
    assert len(done.stderr.splitlines()) == 1
    assert content(stranger).keys() == {"thesis.txt"}
    done = covar("publish", finished_run.root, "--out", stranger / "thesis.txt", code=2)
    assert "a file, not a folder" in done.stderr


@pytest.mark.parametrize(
    ("inside", "why"), [("/proc/x", "No such file or directory"), ("file/x", "Not a directory")]
)
def test_a_folder_that_cannot_be_made_is_one_line(
    finished_run: Run, tmp_path: Path, covar: Covar, inside: str, why: str
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    done = covar("publish", finished_run.root, "--out", inside, code=2)
    said = f"StorageError: {inside}: the folder cannot be made ({why})."
    assert done.stderr.splitlines() == [f"{said} Choose another folder with --out"]


def test_a_release_that_is_not_finished_is_not_read(finished_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ReleaseFolderError, match="not a release folder"):
        read_release(tmp_path)
    publish(finished_run, tmp_path / "begun", ranks=Ranks(0, 2))
    assert (tmp_path / "begun" / WORKING).is_dir()
    with pytest.raises(ReleaseFolderError, match="the release is not finished"):
        read_release(tmp_path / "begun")
    (tmp_path / "release.json").write_text('{"files": [', encoding="utf-8")
    with pytest.raises(ReleaseFolderError, match="the file is damaged"):
        read_release(tmp_path)


def test_what_describes_a_release_has_to_be_installed_before_anything_is_encoded(
    finished_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match="mlcroissant"):
        publish(finished_run, tmp_path / "release")
    assert not (tmp_path / "release").exists()
