"""A small Hub over HTTP for the tests: repositories of data sets, written and read by real clients.

It speaks the routes that `huggingface_hub` and `datasets` use: who is asking, creating, what is to
be uploaded how, LFS (in one piece and in parts), commits, trees, tags, and files behind a redirect.
Every blob is compared with its name, the SHA-256. Faults are put in its way by `Fault`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .handler import Handler
from .server import HubServer
from .state import Commit, Entry, Fault, Repo, User

__all__ = ["Commit", "Entry", "Fault", "HubServer", "Repo", "User", "serving"]


@contextmanager
def serving() -> Iterator[HubServer]:
    """A Hub that answers for as long as the block lasts."""
    hub = HubServer(Handler)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
