"""Servers that speak OpenAI's protocol: their addresses and keys, which are never stored."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from covar_gen.core.errors import CovarError

OPENAI = "https://api.openai.com/v1"


def a_server(url: str) -> str:
    """The address itself, if it is one of a server and holds no password.

    Raises:
        ValueError: it is none, or holds one.
    """
    parts = urlsplit(url)
    # Reading the port checks it.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("should look like http://localhost:8000/v1")
    if parts.username or parts.password:
        # Recipes are frozen into runs and published.
        raise ValueError("must hold no password; put such an address into OPENAI_BASE_URL")
    return url


def without_credentials(url: str) -> str:
    """An address without user, password, query and fragment: what may be stored."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def server_of(base_url: str | None) -> str:
    """Root of the server that is asked, as it may be stored, without a slash at its end.

    Args:
        base_url: as an option has it; None: what OPENAI_BASE_URL names, or else OpenAI's own.
    """
    named = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    return without_credentials(named).rstrip("/")


def api_key(name: str, where: str, kind: type[CovarError]) -> str:
    """The key for a server, out of an environment variable.

    Args:
        name: of the variable.
        where: the tool that needs it, for the error message.
        kind: of the error that is raised.

    Raises:
        CovarError: of that kind: the variable is not set, or holds what cannot be a key.
    """
    key = os.environ.get(name, "").strip()
    # A header can carry nothing else.
    if not (key and key.isascii()):
        what = f"no API key in the environment variable {name}"
        mend = f"Type: export {name}=... (a server of your own takes any word)"
        raise kind(what, where=where, mend=mend)
    return key
