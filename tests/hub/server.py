"""The Hub's state, and the server that keeps it."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .state import Commit, Entry, Fault, Repo, User
from .xet import sent

BIG = (".parquet", ".jpg", ".png", ".webp")
"""What .gitattributes sends to LFS in a new data set of the Hub."""
ATTRIBUTES = "".join(f"*{name} filter=lfs diff=lfs merge=lfs -text\n" for name in BIG).encode()


class HubServer(ThreadingHTTPServer):
    """The Hub. Its state is plain to see and to set.

    Attributes:
        users: by token.
        repos: by `owner/name`.
        blobs: what was uploaded, by SHA-256 (LFS) or git blob id.
        received: how often each LFS blob came in whole.
        arrived: bytes of LFS blobs that came in, also of those that broke off.
        refused: blobs that were not what their names say.
        asked: each request, in order.
        unknown: requests that it has no answer for.
        faults: still to come.
        part_size: LFS blobs above it are to be sent in parts of that size.
        quota: bytes that LFS takes in all.
        page: files on a page of a tree.
        bare: repositories are made without a first commit.
        renamed: old names of repositories, and what they are called now.
        xet: folder that stands for the store of Xet; None: this Hub has no Xet.
    """

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.users = {"hf_me": User("me", orgs=("team",)), "hf_reader": User("me", "read")}
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.received: Counter[str] = Counter()
        self.arrived = 0
        self.refused: list[str] = []
        self.asked: list[str] = []
        self.unknown: list[str] = []
        self.faults: list[Fault] = []
        self.part_size: int | None = None
        self.quota: int | None = None
        self.page = 1000
        self.bare = False
        self.renamed: dict[str, str] = {}
        self.xet: Path | None = None
        self.lock = threading.RLock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about; anything else is a mistake here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.unknown.append(repr(sys.exc_info()[1]))

    def create(
        self, name: str, *, private: bool = False, files: dict[str, bytes] | None = None
    ) -> Repo:
        """A repository that is there already, with these files as regular ones."""
        repo = self.repos[name] = Repo(private, [])
        if self.bare:
            return repo
        held = {".gitattributes": ATTRIBUTES, **(files or {})}
        self.commit(repo, "initial commit", {path: self.regular(held[path]) for path in held})
        return repo

    def regular(self, data: bytes) -> Entry:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.blobs[oid] = data
        return Entry(oid, len(data), None)

    def large(self, sha256: str, size: int) -> Entry | None:
        """A blob of LFS or Xet; None where neither has it in that size."""
        xet = sent(self.xet).get(sha256) if self.xet is not None else None
        if xet is None and len(self.blobs.get(sha256, b"")) != size:
            return None
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return self.regular(pointer.encode())._replace(size=size, sha256=sha256, xet=xet)

    def commit(self, repo: Repo, title: str, files: dict[str, Entry]) -> Commit:
        parent = repo.commits[-1].oid if repo.commits else ""
        said = json.dumps([parent, title, sorted(files.items())])
        made = Commit(hashlib.sha1(said.encode()).hexdigest(), title, files)
        repo.commits.append(made)
        return made

    def came(self, count: int) -> None:
        """Bytes of blobs have arrived."""
        with self.lock:
            self.arrived += count

    def content(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Files of a repository, without .gitattributes."""
        commit = self.repos[name].at(revision)
        assert commit is not None
        files = {p: e for p, e in commit.files.items() if p != ".gitattributes"}
        return {path: self.blobs[entry.sha256 or entry.oid] for path, entry in files.items()}

    def next_fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.request, request):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None
