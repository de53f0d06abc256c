"""Finds the image in an image server's answer, or fetches it from the address that it names.

What is no image is told by what it is and where it stood: "not an image" alone would leave one to
guess between a wrong address, a page that asks for a password, and a file of another kind.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from covar_gen.core.arrays import Json, Rejected

LARGEST = 128 * 1024 * 1024
"""Bytes of an answered image that are read at most."""

FIELD = "b64_json"
"""Of the answer, for the image itself in base64."""

_SHOWN, _START = 160, 24
_LONGEST_PAUSE_S = 8.0
_KINDS = (
    (rb"\x89PNG\r\n\x1a\n", "a PNG"),
    (rb"\xff\xd8\xff", "a JPEG"),
    (rb"RIFF.{4}WEBP", "a WebP"),
    (rb"GIF8[79]a", "a GIF"),
    (rb".{4}ftyp(avif|heic|heix|mif1)", "an AVIF or HEIC image"),
    (rb".{4}ftyp|\x1aE\xdf\xa3", "a video"),
    (rb"%PDF-", "a PDF"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"\s*(<\?xml.{0,200}?)?<svg\b", "an SVG drawing"),
    (rb"\s*<(!doctype|html|head|body)\b", "a page of HTML"),
    (rb"\s*[{\[]\s*[\"{\[\]}]", "JSON"),
)
"""How files of each kind begin."""


class Found(NamedTuple):
    """What stood where an image should be.

    Attributes:
        data: the encoded image, if it is one.
        place: where it stood, in words.
    """

    data: bytes
    place: str

    def said(self, key: str) -> str:
        """What it is, told from its first bytes, and where it stood.

        Args:
            key: which the server was given, and which is not repeated.
        """
        start = self.data[: 4 * _SHOWN].replace(key.encode(), b"***")
        return f"{len(self.data)} bytes in {self.place}: {kind_of(start)}"


def kind_of(data: bytes) -> str:
    """What a file is, in words, with its first bytes where they say more.

    Args:
        data: of the file, or its beginning.
    """
    if not data:
        return "nothing"
    for start, name in _KINDS:
        if re.match(start, data[:512], re.DOTALL | re.IGNORECASE):
            shown = f" that begins {_text(data)!r}" if name in ("JSON", "a page of HTML") else ""
            return name + shown
    try:
        # A letter of several bytes may be cut in two at the end: that is no error here.
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:_SHOWN])
    except UnicodeDecodeError:
        text = "\0"
    if not "".join(text.split()).isprintable():
        return f"no known kind of file, it begins with the bytes {data[:8].hex(' ')}"
    return f"text that begins {_text(data)!r}"


def _text(data: bytes, longest: int = _START) -> str:
    return " ".join(data[: 4 * longest].decode("utf-8", "replace").split())[:longest]


def image_in(body: bytes, server: str, timeout_s: float, tries: int) -> Found | Rejected:
    """The encoded image in an answer of `/images/edits`.

    Args:
        body: JSON with `data[0].b64_json` or `data[0].url`, in whatever shape it came.
        server: root of the server, for addresses that name none.
        timeout_s: seconds to wait for the image, where an address is given.
        tries: how often it is fetched at most, with growing pauses.

    Returns:
        What stands for the image; or not_an_image, where nothing does; no_answer, where its
        address cannot be read.
    """
    try:
        found: object = json.loads(body)
        first = found["data"][0]  # type: ignore[index]
        text, url = first.get(FIELD), first.get("url")
    except (ValueError, LookupError, TypeError, AttributeError):
        return _no_image(body)
    place = FIELD
    if isinstance(url, str) and url.startswith("data:"):
        text, place = url.partition(",")[2], "url"
    if isinstance(text, str) and text:
        # Some servers give a data address in the field of the bare image.
        text = text.partition(",")[2] if text.startswith("data:") else text
        try:
            return Found(base64.b64decode(text, validate=True), f"{place} of the answer")
        except ValueError:
            said = f"{place} of the answer is no base64, it begins {text[:_START]!r}"
            return Rejected("not_an_image", {"said": said})
    if isinstance(url, str) and url:
        return _fetched(urljoin(f"{server}/", url), timeout_s, tries)
    return _no_image(body)


def _no_image(body: bytes) -> Rejected:
    said = _text(body, _SHOWN) or "an empty answer"
    return Rejected("not_an_image", {"cause": "no_image", "said": said})


def _fetched(url: str, timeout_s: float, tries: int) -> Found | Rejected:
    if urlsplit(url).scheme not in ("http", "https"):
        return Rejected("not_an_image", {"said": f"an address that is no http: {url[:_SHOWN]}"})
    # Addresses may hold a signature: it is left out.
    bare, said = url.partition("?")[0][:_SHOWN], ""
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
                said = f"more than {LARGEST} bytes at {bare}"
                return Rejected("not_an_image", {"said": said})
            return Found(data, f"the file at {bare}")
    about: dict[str, Json] = {"cause": "failed", "said": f"the image at {bare}: {said[:_SHOWN]}"}
    return Rejected("no_answer", about)
