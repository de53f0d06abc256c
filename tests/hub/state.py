"""What a Hub holds, who asks it, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A file of a commit: the id of its git blob, its bytes, its SHA-256 where LFS or Xet has it.

    `xet` is Xet's own name of it, where Xet has it.
    """

    oid: str
    size: int
    sha256: str | None
    xet: str | None = None


@dataclass
class Commit:
    """A state of a repository."""

    oid: str
    title: str
    files: dict[str, Entry]


@dataclass
class Repo:
    """A data set: its commits in order, the last one being main, and its tags."""

    private: bool
    commits: list[Commit]
    tags: dict[str, str] = field(default_factory=dict)
    disabled: bool = False

    @property
    def head(self) -> Commit:
        return self.commits[-1] if self.commits else Commit("", "", {})

    def at(self, revision: str) -> Commit | None:
        if revision in ("main", "refs/heads/main"):
            return self.head
        oid = self.tags.get(revision.removeprefix("refs/tags/"), revision)
        return next((commit for commit in self.commits if commit.oid == oid), None)


@dataclass
class Fault:
    """What goes wrong with the next requests that fit.

    Attributes:
        request: pattern of "METHOD /path".
        times: how many of them.
        skip: how many are let through before.
        status: answered at once, with `headers` and `body`; 0: none.
        drop: the connection is reset after that many bytes of the body; None: it is not.
        late: the connection is reset after all was done, in place of the answer.
        wait: seconds until the request is looked at.
        call: called first.
    """

    request: str
    times: int = 1
    skip: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | bytes = field(default_factory=dict)
    drop: int | None = None
    late: bool = False
    wait: float = 0.0
    call: Callable[[], None] | None = None


class User(NamedTuple):
    """Who holds a token: `role` is read, write or fineGrained."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()


class RefusedError(Exception):
    """An answer that is an error, with the Hub's code for it."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class BrokenError(Exception):
    """The connection is to be broken."""


class AnsweredError(Exception):
    """The answer was given already."""
