"""Everything a user can mend, named by situation.

    CovarError                     what happened, where, what to do; exit code 2
    ├── RecipeError                the recipe does not say what can be built
    ├── PluginError                a tool that is not there, or two where one is expected
    │   └── MissingExtraError      a tool whose packages are not installed
    ├── PhotographsError           the photographs cannot make the benchmark
    ├── ProposalError              the language model gave no usable list
    ├── RunFolderError             not a run folder, or one that cannot hold a run
    │   ├── AnotherRecipeError     the folder belongs to another recipe
    │   ├── MixtureError           the table was made with something else
    │   ├── IncompleteInputError   an earlier stage has not finished
    │   └── DamagedRunError        a file is missing or is not what its row says
    ├── StorageError               the disk is full, read-only, or not POSIX
    ├── ToolError                  a tool fails on everything it is given
    ├── ModelError                 a model that is not there, or not what its name says
    ├── WeightsError               a tool's weights are not there, or not what the tool needs
    ├── LabelsError                labels, classes and templates do not fit together
    ├── EvaluationFolderError      not an evaluation folder, or one that lacks what is asked for
    ├── HubError                   the Hugging Face Hub does not take what is pushed
    ├── ReleaseFolderError         not a release folder, or one that cannot hold this release
    ├── DeviceMemoryError          the device's memory does not suffice
    └── LaunchError                the processes' variables do not fit together

Each has a heading of the same name in docs/errors.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path


class CovarError(Exception):
    """An error its user can mend.

    Attributes:
        what: what happened, as a clause without a full stop.
        where: the file, key, option or folder concerned; empty if there is none.
        mend: what to do about it; usually a command or a setting.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | Path = "", mend: str) -> None:
        self.what = what
        self.where = str(where)
        self.mend = mend
        super().__init__(self.line())

    def line(self) -> str:
        """The error as one line: its name, where, what, what to do."""
        place = f"{self.where}: " if self.where else ""
        said = " ".join(f"{place}{self.what}. {self.mend}".split())
        return f"{type(self).__name__}: {said}"


class RecipeError(CovarError):
    """The recipe does not say what can be built."""


class PluginError(CovarError):
    """A tool of that name does not exist, or its file does not hold exactly one."""


class MissingExtraError(PluginError):
    """The tool exists, the packages it works with are not installed."""


class PhotographsError(CovarError):
    """The photographs given cannot make the benchmark asked for."""


class ProposalError(CovarError):
    """The language model could not be reached or gave no usable list."""


class RunFolderError(CovarError):
    """The folder is not a run, or cannot hold one."""


class AnotherRecipeError(RunFolderError):
    """The run folder was made for another recipe."""


class MixtureError(RunFolderError):
    """The table already holds rows made with something else."""


class IncompleteInputError(RunFolderError):
    """A table that the stage reads is not complete yet."""


class DamagedRunError(RunFolderError):
    """A file of the run is missing or is not what its row says."""


class StorageError(CovarError):
    """The disk is full, read-only, or not a POSIX file system."""


class ToolError(CovarError):
    """A tool fails on everything it is given: the cause is not in the items."""


class ModelError(CovarError):
    """A model that is not there, cannot be loaded, or is not what its name says."""


class WeightsError(CovarError):
    """Weights of a tool that cannot be had, are of another kind, or are not those pinned."""


class LabelsError(CovarError):
    """Labels, classes and templates do not fit together."""


class EvaluationFolderError(CovarError):
    """The folder is not an evaluation folder, or lacks what is asked for."""


class HubError(CovarError):
    """The Hugging Face Hub cannot be reached, or does not take what is pushed to it."""


class ReleaseFolderError(CovarError):
    """The folder is not a release, or cannot hold the one asked for."""


class DeviceMemoryError(CovarError):
    """The device's memory does not suffice, even for the smallest batch."""


class LaunchError(CovarError):
    """RANK, WORLD_SIZE and LOCAL_RANK do not fit together."""


_STORAGE = {
    errno.ENOSPC: ("the disk is full", "Free some space and type the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and type the same command again"),
    errno.EROFS: (
        "the file system is read-only",
        "Choose a folder that can be written with --run or --out",
    ),
    errno.EACCES: ("permission denied", "Choose a folder that can be written with --run or --out"),
    errno.EPERM: (
        "operation not permitted",
        "Choose a folder on a local disk or NFS with --run or --out",
    ),
    errno.EIO: ("the disk reports an error", "Check the disk, then type the same command again"),
    errno.ENAMETOOLONG: ("the path is too long", "Choose a shorter folder with --run or --out"),
    errno.EFBIG: (
        "the file is too large for this file system",
        "Choose another disk with --run or --out",
    ),
    errno.ENOTDIR: ("a part of the path is a file", "Choose another folder with --run or --out"),
    errno.ELOOP: ("a link leads to itself", "Choose another folder with --run or --out"),
    errno.ESTALE: ("the network file system lost the file", "Type the same command again"),
    errno.EMFILE: ("too many open files", "Raise the limit (ulimit -n 4096), then try again"),
}


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something, without its full stop.

    Args:
        error: what a library raised, in however many lines.

    Returns:
        At most 200 characters; the name of the error's class where it says nothing.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]


def storage_error(error: OSError, where: str | Path) -> StorageError | None:
    """The one-line form of an OSError of the disk; None if it is not one of the disk's.

    Args:
        error: what the operating system raised.
        where: the path to name when the error carries none.
    """
    found = _STORAGE.get(error.errno or 0)
    if found is None:
        return None
    what, mend = found
    path = os.fspath(error.filename) if isinstance(error.filename, (str, os.PathLike)) else where
    return StorageError(what, where=path, mend=f"{mend}: what was written is kept")
