"""One request after another: its faults, its body, its answer, and who asks."""

from __future__ import annotations

import json
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .server import HubServer
from .state import AnsweredError, BrokenError, Commit, Fault, RefusedError, Repo, User


class Plumbing(BaseHTTPRequestHandler):
    """Answers one request after another of one connection."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        request = f"{self.command} {unquote(url.path)}"
        self.server.asked.append(request)
        self.left = int(self.headers.get("Content-Length") or 0)
        fault = self.server.next_fault(request)
        self.late = fault is not None and fault.late
        try:
            if fault is not None:
                self.suffer(fault)
            try:
                self.route(unquote(url.path), parse_qs(url.query))
            except RefusedError as error:
                named = {"X-Error-Code": error.code} if error.code else {}
                named["X-Error-Message"] = error.message
                self.as_json({"error": error.message}, error.status, **named)
        except BrokenError:
            # Zero seconds of lingering: the client sees a reset, not an end.
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.request.close()

    do_GET = do_HEAD = do_PUT = do_POST = handle_request  # noqa: N815 - the base class asks for them

    def suffer(self, fault: Fault) -> None:
        if fault.call is not None:
            fault.call()
        time.sleep(fault.wait)
        if fault.drop is not None:
            self.server.came(len(self.rfile.read(min(fault.drop, self.left))))
            raise BrokenError
        if fault.status:
            self.body()
            if isinstance(fault.body, bytes):
                self.answer(fault.status, fault.body, **fault.headers)
            else:
                self.as_json(fault.body, fault.status, **fault.headers)
            raise AnsweredError

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except AnsweredError:
            pass
        except (ConnectionError, ValueError):
            self.close_connection = True

    def body(self) -> bytes:
        data = self.rfile.read(self.left) if self.left else b""
        if len(data) < self.left:
            raise BrokenError
        self.left = 0
        return data

    def answer(self, status: int, data: bytes, **headers: str) -> None:
        self.body()
        if self.late:
            raise BrokenError
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    late = False

    def as_json(self, value: Any, status: int = 200, **headers: str) -> None:
        kind = {"Content-Type": "application/json"}
        self.answer(status, json.dumps(value).encode(), **{**kind, **headers})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    # Who asks, and for which repository.

    def user(self) -> User | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.users:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.server.users.get(token)

    def repo(self, name: str, *, write: bool = False) -> Repo:
        name = self.server.renamed.get(name, name)
        user, repo = self.user(), self.server.repos.get(name)
        mine = user is not None and name.partition("/")[0] in (user.name, *user.orgs)
        if repo is None or (repo.private and not mine):
            raise RefusedError(404 if user else 401, "Repository not found", "RepoNotFound")
        if repo.disabled:
            raise RefusedError(403, "Access to this resource is disabled.")
        if write and (not mine or user is None or user.role == "read"):
            raise RefusedError(
                403, "You don't have the required permissions to perform this action"
            )
        return repo

    def commit_of(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def route(self, path: str, query: dict[str, list[str]]) -> None:
        raise NotImplementedError
