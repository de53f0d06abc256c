"""What is read of a Hub: trees and files."""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .plumbing import Plumbing
from .state import Commit, Entry, RefusedError


class Reading(Plumbing):
    """The routes of trees and files."""

    def entry(self, path: str, entry: Entry) -> dict[str, Any]:
        said: dict[str, Any] = {"type": "file", "path": path, "oid": entry.oid, "size": entry.size}
        if entry.sha256 is not None:
            said["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}
        return said

    def folders(self, commit: Commit) -> set[str]:
        parts = [path.split("/")[:-1] for path in commit.files]
        return {"/".join(names[:deep]) for names in parts for deep in range(1, len(names) + 1)}

    def tree(
        self, name: str, revision: str, under: str | None, query: dict[str, list[str]]
    ) -> None:
        commit = self.commit_of(self.repo(name), revision)
        below = (under or "").strip("/")
        folders = self.folders(commit)
        if below and below not in folders:
            raise RefusedError(404, f"{below} does not exist on {revision!r}", "EntryNotFound")
        deep = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        listed = [self.entry(path, entry) for path, entry in commit.files.items()]
        listed += [
            {
                "type": "directory",
                "path": path,
                "oid": hashlib.sha1(path.encode()).hexdigest(),
                "size": 0,
            }
            for path in folders
        ]
        prefix = f"{below}/" if below else ""
        listed = [
            one
            for one in sorted(listed, key=lambda one: one["path"])
            if one["path"].startswith(prefix) and (deep or "/" not in one["path"][len(prefix) :])
        ]
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.server.page
        more = {}
        if end < len(listed):
            at = f"{self.server.address}{urlsplit(self.path).path}?recursive={deep}&cursor={end}"
            more = {"Link": f'<{at}>; rel="next"'}
        self.as_json(listed[start:end], **more)

    def paths_info(self, name: str, revision: str, query: Any) -> None:
        commit = self.commit_of(self.repo(name), revision)
        body = self.body().decode()
        paths = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
        folders = self.folders(commit)
        said = [self.entry(path, commit.files[path]) for path in paths if path in commit.files]
        said += [
            {
                "type": "directory",
                "path": path,
                "oid": hashlib.sha1(path.encode()).hexdigest(),
                "size": 0,
            }
            for path in paths
            if path in folders
        ]
        self.as_json(said)

    def resolve(self, name: str, revision: str, path: str, query: Any) -> None:
        commit = self.commit_of(self.repo(name), revision)
        entry, said = commit.files.get(path), {"X-Repo-Commit": commit.oid}
        if entry is None:
            raise RefusedError(404, "Entry not found", "EntryNotFound")
        if entry.sha256 is None:
            self.ranged(self.server.blobs[entry.oid], ETag=f'"{entry.oid}"', **said)
            return
        # Another host, as the Hub's store is one: no token may be sent there.
        away = f"http://localhost:{self.server.server_port}/store/{entry.sha256}"
        if entry.xet is not None:
            token = f"{self.server.address}/api/datasets/{name}/xet-read-token/{commit.oid}"
            said |= {"X-Xet-Hash": entry.xet, "X-Xet-Refresh-Route": token}
        said |= {"Location": away, "X-Linked-Size": str(entry.size)}
        self.answer(302, b"", **said, **{"X-Linked-ETag": f'"{entry.sha256}"'})

    def store(self, oid: str, query: Any) -> None:
        assert "Authorization" not in self.headers
        self.ranged(self.server.blobs[oid], ETag=f'"{oid}"')

    def ranged(self, data: bytes, **said: str) -> None:
        said["Accept-Ranges"] = "bytes"
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            self.answer(200, data, **said)
            return
        first, last = found.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last) if first and last else len(data) - 1, len(data) - 1)
        if start >= len(data):
            self.answer(416, b"", **{"Content-Range": f"bytes */{len(data)}"})
            return
        span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self.answer(206, data[start : end + 1], **said, **span)

    def xet(self, query: Any) -> None:
        if self.server.xet is None:
            raise RefusedError(404, "Sorry, we can't find the page you are looking for.")
        at, end = f"local://{self.server.xet}", int(time.time()) + 3600
        named = {"X-Xet-Cas-Url": at, "X-Xet-Access-Token": "t", "X-Xet-Token-Expiration": str(end)}
        self.as_json({"casUrl": at, "accessToken": "t", "exp": end}, **named)

    def nothing(self, query: Any) -> None:
        raise RefusedError(404, "Sorry, we can't find the page you are looking for.")
