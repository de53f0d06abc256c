"""Finds the image in an image server's answer, or fetches it from the address that it names."""

from __future__ import annotations

import base64
import binascii
import json
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit

from covar_gen.core.arrays import Json, Rejected

LARGEST = 128 * 1024 * 1024
"""Bytes of an answered image that are read at most."""

_SHOWN = 160
_LONGEST_PAUSE_S = 8.0


def image_in(body: bytes, server: str, timeout_s: float, tries: int) -> bytes | Rejected:
    """The encoded image in an answer of `/images/edits`.

    Args:
        body: JSON with `data[0].b64_json` or `data[0].url`, in whatever shape it came.
        server: root of the server, for addresses that name none.
        timeout_s: seconds to wait for the image, where an address is given.
        tries: how often it is fetched at most, with growing pauses.

    Returns:
        The image's bytes; or not_an_image, where there is none; no_answer, where its address
        cannot be read.
    """
    try:
        found: object = json.loads(body)
        first = found["data"][0]  # type: ignore[index]
        text, url = first.get("b64_json"), first.get("url")
    except (ValueError, LookupError, TypeError, AttributeError):
        return _no_image(body)
    if isinstance(url, str) and url.startswith("data:"):
        text = url.partition(",")[2]
    if isinstance(text, str) and text:
        # Some servers give a data address in the field of the bare image.
        text = text.partition(",")[2] if text.startswith("data:") else text
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            return _no_image(body)
    if isinstance(url, str) and url:
        return _fetched(urljoin(f"{server}/", url), timeout_s, tries)
    return _no_image(body)


def _no_image(body: bytes) -> Rejected:
    shown = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    return Rejected("not_an_image", {"said": shown})


def _fetched(url: str, timeout_s: float, tries: int) -> bytes | Rejected:
    if urlsplit(url).scheme not in ("http", "https"):
        return Rejected("not_an_image", {"said": f"an address that is no http: {url[:_SHOWN]}"})
    said = ""
    for turn in range(tries):
        if turn:
            time.sleep(min(0.5 * 2 ** (turn - 1), _LONGEST_PAUSE_S))
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - http only
                data: bytes = answer.read(LARGEST + 1)
        except urllib.error.HTTPError as error:
            said = f"HTTP {error.code}"
            error.close()
            if error.code < 500 and error.code not in (404, 408, 429):  # noqa: PLR2004
                break
        except (OSError, HTTPException, ValueError) as error:
            said = str(error) or type(error).__name__
        else:
            if len(data) > LARGEST:
                return Rejected("not_an_image", {"said": f"more than {LARGEST} bytes"})
            return data
    # Addresses may hold a signature: it is left out.
    bare = url.partition("?")[0][:_SHOWN]
    about: dict[str, Json] = {"cause": "failed", "said": f"the image at {bare}: {said[:_SHOWN]}"}
    return Rejected("no_answer", about)
