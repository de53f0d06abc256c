"""Everything that a Hub answers."""

from __future__ import annotations

import json
import re
from typing import Any

from .reading import Reading
from .state import RefusedError
from .writing import Writing


class Handler(Reading, Writing):
    """The routes of people and repositories, and the table of all routes."""

    def route(self, path: str, query: dict[str, list[str]]) -> None:
        for pattern, method in ROUTES:
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                getattr(self, method)(*found.groups(), query=query)
                return
        self.server.unknown.append(f"{self.command} {path}")
        raise RefusedError(404, "Sorry, we can't find the page you are looking for.")

    def whoami(self, query: Any) -> None:
        user = self.user()
        if user is None:
            raise RefusedError(401, "Unauthorized")
        orgs = [{"name": name, "type": "org"} for name in user.orgs]
        access = {"displayName": "a token", "role": user.role}
        auth = {"type": "access_token", "accessToken": access}
        self.as_json({"type": "user", "name": user.name, "orgs": orgs, "auth": auth})

    def create(self, query: Any) -> None:
        asked, user = json.loads(self.body()), self.user()
        if user is None:
            raise RefusedError(401, "Unauthorized")
        owner = asked.get("organization") or user.name
        name = f"{owner}/{asked['name']}"
        if owner not in (user.name, *user.orgs) or user.role == "read":
            raise RefusedError(
                403, "You don't have the rights to create a dataset under this namespace"
            )
        if name in self.server.repos:
            raise RefusedError(409, "You already created this dataset repo")
        self.server.create(
            name, private=asked.get("visibility") == "private" or asked.get("private", False)
        )
        self.as_json({"url": f"{self.server.address}/datasets/{name}", "name": name})

    def validate_yaml(self, query: Any) -> None:
        import yaml

        content = json.loads(self.body())["content"]
        head = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            said = yaml.safe_load(head.group(1)) if head else {}
            wrong = [] if isinstance(said, dict) else ["the metadata is no mapping"]
        except yaml.YAMLError as error:
            wrong = [str(error)]
        faults = [{"message": message} for message in wrong]
        self.as_json({"errors": faults, "warnings": []}, 400 if wrong else 200)

    def info(self, name: str, revision: str | None, query: Any) -> None:
        repo = self.repo(name)
        name = self.server.renamed.get(name, name)
        commit = self.commit_of(repo, revision or "main")
        facts = {"private": repo.private, "gated": False, "disabled": repo.disabled, "tags": []}
        names = [{"rfilename": path} for path in sorted(commit.files)]
        self.as_json({"id": name, "sha": commit.oid or None, "siblings": names, **facts})

    def refs(self, name: str, query: Any) -> None:
        repo = self.repo(name)
        tags = [
            {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid}
            for tag, oid in repo.tags.items()
        ]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.oid}
        self.as_json({"branches": [main] if repo.commits else [], "converts": [], "tags": tags})

    def tag(self, name: str, revision: str, query: Any) -> None:
        repo, asked = self.repo(name, write=True), json.loads(self.body())
        commit = self.commit_of(repo, revision)
        if asked["tag"] in repo.tags:
            raise RefusedError(409, f"Tag reference exists already: {asked['tag']}")
        repo.tags[asked["tag"]] = commit.oid
        self.as_json({})


_ID = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (r"GET /api/whoami-v2", "whoami"),
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "validate_yaml"),
    (rf"GET /api/datasets/{_ID}(?:/revision/(.+))?", "info"),
    (rf"GET /api/datasets/{_ID}/refs", "refs"),
    (rf"POST /api/datasets/{_ID}/tag/(.+)", "tag"),
    (rf"GET /api/datasets/{_ID}/tree/([^/]+)(/.+)?", "tree"),
    (rf"POST /api/datasets/{_ID}/paths-info/(.+)", "paths_info"),
    (rf"POST /api/datasets/{_ID}/preupload/(.+)", "preupload"),
    (rf"POST /api/datasets/{_ID}/commit/(.+)", "commit"),
    (r"GET /api/datasets/[^/]+/[^/]+/xet-(?:write|read)-token/.+", "xet"),
    (r"GET /api/agent-harnesses", "nothing"),
    (rf"POST /datasets/{_ID}\.git/info/lfs/objects/batch", "batch"),
    (r"PUT /lfs/(\w+)", "put"),
    (r"PUT /lfs/(\w+)/parts/(\d+)", "put_part"),
    (r"POST /lfs/(\w+)/complete", "complete"),
    (r"POST /lfs/(\w+)/verify", "verify"),
    (rf"(?:GET|HEAD) /datasets/{_ID}/resolve/([^/]+)/(.+)", "resolve"),
    (r"(?:GET|HEAD) /store/(\w+)", "store"),
)
