"""Files that are whole or not there: several writers, any of which may die at any moment.

A final file appears by a hard link from a finished temporary one, so it is never half-written,
and the first of two writers wins; it is never replaced by other bytes. Each process keeps its
temporaries in a folder of its own under `.staging/`, locked while it lives; a folder whose lock
can be taken belongs to nobody any more and is swept.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from covar_gen.core.errors import StorageError

STAGING = ".staging"
NEWBORN = 3600.0
"""Seconds for which a folder that is not locked yet is left alone."""
PROBE = ".probe-"
"""Beginning of the names of files that try out what a file system can do."""
_LACKING = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOLCK)
_OBJECT_STORES = ("s3fs", "gcsfuse", "goofys", "rclone", "mountpoint", "blobfuse", "geesefs")


class Staging:
    """A process's own folder of temporaries inside a run, and how files leave it.

    Attributes:
        token: random name of this writer; part names carry it.
    """

    def __init__(self, root: Path) -> None:
        self.token = secrets.token_hex(6)
        self.folder = root / STAGING / self.token
        # Nobody may find the folder before it is locked: sweepers pass over names with a dot.
        unseen = root / STAGING / f".{self.token}"
        unseen.mkdir(parents=True)
        self._lock: int | None = _lock(unseen / "lock")
        unseen.rename(self.folder)
        self._numbers = count()

    def write(self, data: bytes) -> Path:
        """A temporary file with this content, not yet durable."""
        path = self.folder / str(next(self._numbers))
        path.write_bytes(data)
        return path

    def publish(self, path: Path, data: bytes, whole: Callable[[bytes], bool]) -> bytes:
        """Make a final file, unless another writer has made it already.

        Not durable before the next `sync`.

        Args:
            path: the final file; its folder is made.
            data: its content.
            whole: tells whether a file found in its place is a complete one. A file that lost
                its tail in a power cut has no row and is replaced.

        Returns:
            The bytes that the final file has: ours, or those of the writer that was first.
        """
        temporary = self.write(data)
        try:
            return self._link(temporary, path, data, whole)
        finally:
            temporary.unlink(missing_ok=True)

    def _link(
        self, temporary: Path, path: Path, data: bytes, whole: Callable[[bytes], bool]
    ) -> bytes:
        try:
            os.link(temporary, path)
        except FileNotFoundError:
            if not temporary.exists():
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
            return self._link(temporary, path, data, whole)
        except FileExistsError:
            found = path.read_bytes()
            if found == data or whole(found):
                return found
            temporary.replace(path)
        return data

    def replace(self, path: Path, data: bytes) -> None:
        """Write a derived file (one that can be made again from tables) in one step, durably."""
        temporary = self.write(data)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        self.place(temporary, path)

    def place(self, temporary: Path, path: Path) -> None:
        """Give a temporary file that is durable its final name, durably."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
        _sync_folder(path.parent)

    def close(self) -> None:
        """Remove the folder and give the lock back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def make_folder(folder: Path, option: str) -> None:
    """Make a folder and those above it, unless it is there.

    Args:
        folder: to be made.
        option: by which the user says where it is to be, such as `--out`.

    Raises:
        StorageError: a file stands in its way, or nothing can be made there, as under /proc.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder cannot be made ({os.strerror(error.errno or 0)})"
        mend = f"Choose another folder with {option}"
        raise StorageError(what, where=folder, mend=mend) from error


def sweep(root: Path) -> int:
    """Remove the temporaries of writers that are dead; returns how many writers there were."""
    swept = 0
    for folder in (root / STAGING).glob("*"):
        if folder.name.startswith(".") and _age(folder) < NEWBORN:
            continue
        try:
            lock = _lock(folder / "lock")
        except BlockingIOError:
            continue
        except FileNotFoundError:
            lock = None
        except NotADirectoryError:
            # Not ours: what a file manager leaves everywhere.
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        swept += 1
    return swept


def _age(folder: Path) -> float:
    """Seconds since a folder was changed; 0 if it has just got its name."""
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _lock(path: Path) -> int:
    """An exclusive lock that ends with the process, over NFS too.

    Raises:
        BlockingIOError: a living process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    return handle


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Do something that one process may do at a time; the others wait.

    The lock ends with its process.

    Args:
        path: of the lock, which stays; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync(root: Path) -> None:
    """Make everything written so far on this file system durable: one call per block."""
    if sys.platform == "linux":
        handle = os.open(root, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(root))
        finally:
            os.close(handle)
    else:
        os.sync()


def check_storage(root: Path) -> None:
    """Refuse folders that cannot keep a run's promises.

    Raises:
        StorageError: an object store mounted as a folder, or a file system without hard links.
    """
    kind = _file_system(root)
    mend = "Choose a folder on a local disk or NFS with --run"
    if any(name in kind for name in _OBJECT_STORES):
        raise StorageError(f"an object store mounted as a folder ({kind})", where=root, mend=mend)
    name = f"{PROBE}{socket.gethostname()}-{secrets.token_hex(4)}"
    first, second = root / name, root / f"{name}-linked"
    try:
        first.write_bytes(b"")
        os.link(first, second)
        os.close(_lock(first))
    except OSError as error:
        if error.errno not in _LACKING or not first.exists():
            raise
        what = "a file system without hard links and locks cannot hold a run"
        raise StorageError(what, where=root, mend=mend) from error
    finally:
        first.unlink(missing_ok=True)
        second.unlink(missing_ok=True)


def _unescaped(field: str) -> str:
    """A field of /proc/mounts: blanks and the like stand there as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _file_system(root: Path) -> str:
    """Kind and device of the mount that holds a folder, as the kernel names them; may be ''."""
    mounts = Path("/proc/mounts")
    best, kind = "", ""
    if mounts.exists():
        place = str(root.resolve())
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            device, point, name = (_unescaped(part) for part in line.split(" ")[:3])
            inside = place == point or place.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, f"{name} {device}"
    return kind
