"""What is written to a Hub: blobs, commits."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from .plumbing import Plumbing
from .server import BIG
from .state import Entry, RefusedError


class Writing(Plumbing):
    """The routes of uploads."""

    def preupload(self, name: str, revision: str, query: Any) -> None:
        commit = self.commit_of(self.repo(name, write=True), revision)
        said = []
        for asked in json.loads(self.body())["files"]:
            base64.b64decode(asked["sample"], validate=True)
            held = commit.files.get(asked["path"])
            big = asked["path"].endswith(BIG)
            known = {"oid": held.sha256 or held.oid} if held else {}
            mode = {"uploadMode": "lfs" if big else "regular", "shouldIgnore": False}
            said.append({"path": asked["path"], **mode, **known})
        self.as_json({"files": said})

    def batch(self, name: str, query: Any) -> None:
        self.repo(name, write=True)
        asked, said = json.loads(self.body()), []
        assert asked["operation"] == "upload"
        held = sum(len(data) for key, data in self.server.blobs.items() if len(key) == 64)
        for one in asked["objects"]:
            oid, size = one["oid"], one["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.server.blobs:
                held += size
                if self.server.quota is not None and held > self.server.quota:
                    full = "Private repository storage limit reached, please upgrade your plan"
                    raise RefusedError(403, full)
                answer["actions"] = self.actions(oid, size)
            said.append(answer)
        self.as_json({"transfer": "basic", "objects": said})

    def actions(self, oid: str, size: int) -> dict[str, Any]:
        at, step = f"{self.server.address}/lfs/{oid}", self.server.part_size
        verify = {"href": f"{at}/verify"}
        if step is None or size <= step:
            return {"upload": {"href": at}, "verify": verify}
        count = -(-size // step)
        header = {str(n): f"{at}/parts/{n}" for n in range(1, count + 1)}
        upload = {"href": f"{at}/complete", "header": {"chunk_size": str(step), **header}}
        return {"upload": upload, "verify": verify}

    def take(self, oid: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != oid:
            self.server.refused.append(oid)
            raise RefusedError(400, "The SHA-256 is not that of the body")
        with self.server.lock:
            self.server.blobs[oid] = data
            self.server.received[oid] += 1

    def put(self, oid: str, query: Any) -> None:
        data = self.body()
        self.server.came(len(data))
        self.take(oid, data)
        self.answer(200, b"")

    def put_part(self, oid: str, number: str, query: Any) -> None:
        data = self.body()
        self.server.came(len(data))
        self.server.parts[oid, int(number)] = data
        self.answer(200, b"", ETag=f'"{hashlib.md5(data).hexdigest()}"')

    def complete(self, oid: str, query: Any) -> None:
        asked = json.loads(self.body())["parts"]
        parts = []
        for one in asked:
            data = self.server.parts.pop((oid, one["partNumber"]))
            assert one["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
            parts.append(data)
        self.take(oid, b"".join(parts))
        self.as_json({})

    def verify(self, oid: str, query: Any) -> None:
        asked = json.loads(self.body())
        assert asked["oid"] == oid
        if len(self.server.blobs.get(oid, b"")) != asked["size"]:
            raise RefusedError(404, "The blob is not there")
        self.as_json({})

    def commit(self, name: str, revision: str, query: Any) -> None:
        repo = self.repo(name, write=True)
        lines = [json.loads(line) for line in self.body().splitlines()]
        header, operations = lines[0]["value"], lines[1:]
        with self.server.lock:
            if header.get("parentCommit", repo.head.oid) != repo.head.oid:
                raise RefusedError(
                    412, "A commit has happened since. Please refresh and try again."
                )
            assert revision == "main"
            files = dict(repo.head.files)
            for operation in operations:
                self.apply(files, operation["key"], operation["value"])
            made = self.server.commit(repo, header["summary"], files)
        at = f"{self.server.address}/datasets/{name}/commit/{made.oid}"
        self.as_json({"success": True, "commitOid": made.oid, "commitUrl": at})

    def apply(self, files: dict[str, Entry], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            files[path] = self.server.regular(base64.b64decode(value["content"], validate=True))
        elif key == "lfsFile":
            entry = self.server.large(value["oid"], value["size"])
            if entry is None:
                raise RefusedError(400, f"{path} points to a file that does not exist")
            files[path] = entry
        elif key == "deletedFile":
            if path not in files:
                raise RefusedError(404, "A file with this name doesn't exist", "EntryNotFound")
            del files[path]
        else:
            raise RefusedError(400, f"{key} is no operation")
