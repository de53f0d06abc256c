"""Where the Hugging Face Hub does not do what it is asked: it is tried again, or said in a line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus as Http
from typing import Any, TypeVar

from covar_gen.core.errors import CovarError, HubError
from covar_gen.core.hub import LOGIN

Done = TypeVar("Done")

WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between the tries of a step. Of most requests the Hub's client makes six tries itself."""
LONGEST = 900.0
"""Seconds; a Hub that asks for a longer break is not waited for."""
TOKENS = "https://huggingface.co/settings/tokens"
PASSING = frozenset({408, Http.PRECONDITION_FAILED, 425, Http.TOO_MANY_REQUESTS})
"""Answers below 500 that may be others soon; PRECONDITION_FAILED: another committed in between."""
LASTING = frozenset({501, 505, 507})
FULL = re.compile(r"storage|quota|disk space|too large", re.IGNORECASE)


def retried(
    step: Callable[[], Done],
    repo: str,
    *,
    user: str = "",
    waits: Sequence[float] = WAITS,
    say: Callable[[str], None] = print,
) -> Done:
    """What a step gives, tried again while its failure may pass.

    Args:
        step: may be done again after it failed anywhere.
        repo: `owner/name`, for the error message.
        user: who is logged in, for the error message.
        waits: seconds between the tries; where the Hub names a longer time, that.
        say: told of each break.

    Raises:
        HubError: it does not pass, or was tried often enough.
    """
    for wait in (*waits, None):
        try:
            return step()
        except CovarError:
            raise
        except Exception as error:
            cause = _root(error)
            if not _known(cause):
                raise
            asked = _asked_wait(cause)
            if not passes(cause) or wait is None or asked > LONGEST:
                raise refusal(cause, repo, user) from error
            pause = max(wait, asked)
            say(f"{repo}: {_what(cause)}. Trying again in {pause:g} s")
            time.sleep(pause)
    raise AssertionError  # the last wait is None


def passes(error: BaseException) -> bool:
    """True where the same request may succeed a little later."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    status = status_of(error)
    if status is not None:
        return status in PASSING or (status >= Http.INTERNAL_SERVER_ERROR and status not in LASTING)
    # A page in place of an answer comes from a gateway before the Hub.
    return _is_transport(error) or isinstance(
        error, (ConnectionError, TimeoutError, json.JSONDecodeError)
    )


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of the Hub's client is about; None: it is about none."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    # The client of Xet, in Rust, has it in its text only.
    found = re.search(r"HTTP status \w+ error \((\d{3})\b", str(error))
    return int(found.group(1)) if found else None


def refusal(error: BaseException, repo: str, user: str = "") -> HubError:
    """The one-line form of an error of the Hub's client.

    Args:
        error: what it raised.
        repo: `owner/name`.
        user: who is logged in.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        what = "HF_HUB_OFFLINE forbids to ask the Hugging Face Hub"
        return HubError(what, where=repo, mend="Unset it and type the same command again")
    if isinstance(error, errors.LocalTokenNotFoundError):
        what = "nobody is logged in to the Hugging Face Hub"
        mend = f"Type: {LOGIN} (with a token that may write, from {TOKENS})"
        return HubError(what, where=repo, mend=mend)
    status, said = status_of(error), _said(error)
    if FULL.search(said) or status in (402, 413, 507):
        what = f"the Hub takes no more: {said}"
        mend = "Free some storage or ask for more (https://huggingface.co/docs/hub/storage-limits)"
        return HubError(what, where=repo, mend=f"{mend}; what was sent is kept")
    what, mend = _answer(error, status, said, user)
    return HubError(what, where=repo, mend=mend)


def _answer(error: BaseException, status: int | None, said: str, user: str) -> tuple[str, str]:
    """What is wrong and what to do, by the kind of error and by its status."""
    from huggingface_hub import errors

    again = "Type the same command again: what was sent is kept"
    if isinstance(error, errors.GatedRepoError):
        return "it is gated: its owner wants its terms accepted", "Accept them on its page"
    if isinstance(error, errors.DisabledRepoError) or said.startswith("Access to this resource"):
        return "the Hub has disabled this repository", "Push to another name"
    if status == Http.UNAUTHORIZED:
        return f"the Hub does not accept the token ({said})", f"Type: {LOGIN} --force"
    if status == Http.FORBIDDEN:
        own = f", or a name of your own: {user}/..." if user else ""
        what = f"the token of {user or 'this login'} may not write there ({said})"
        return what, f"Use a token that may ({TOKENS}){own}"
    if status == Http.NOT_FOUND:
        return f"the Hub does not have what was asked for ({said})", "Check the name"
    if passes(error):
        return f"the Hub cannot be reached or is not well: {_what(error)}", again
    return f"the Hub refuses: {said}", "Mend what it names, then type the same command again"


def _root(error: BaseException) -> BaseException:
    """The error of the client that is behind the one raised, or that itself."""
    for each in _chain(error):
        if _is_told(each):
            return each
        if getattr(each, "response", None) is not None or _is_transport(each):
            return each
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _client_error() -> type[Exception]:
    """The base of all errors of the HTTP client beneath, which is not the same in every version."""
    from huggingface_hub.errors import HfHubHTTPError

    found: type[Exception] = HfHubHTTPError.__mro__[1]
    return found


def _is_transport(error: BaseException) -> bool:
    return isinstance(error, _client_error()) and getattr(error, "response", None) is None


def _known(error: BaseException) -> bool:
    """Whether an error is the Hub's or the network's, and no mistake of this toolkit."""
    from huggingface_hub import errors

    own = (
        _client_error(),
        errors.LocalTokenNotFoundError,
        ConnectionError,
        TimeoutError,
        json.JSONDecodeError,
    )
    of_xet = type(error).__module__ == "hf_xet"
    return isinstance(error, own) or of_xet or _is_told(error)


def _is_told(error: BaseException) -> bool:
    """Whether it is what the client makes of an answer that lists faults."""
    named = ("LFS batch API returned errors", "Invalid metadata in README")
    return isinstance(error, ValueError) and str(error).startswith(named)


def _asked_wait(error: BaseException) -> float:
    """Seconds that the Hub asks to wait."""
    response: Any = getattr(error, "response", None)
    if response is None:
        return 0.0
    after = str(response.headers.get("Retry-After", "")).strip()
    if after.isdigit():
        return float(after)
    limit = re.search(r"\br=0;t=(\d+)", str(response.headers.get("RateLimit", "")))
    return (
        float(limit.group(1)) if limit and response.status_code == Http.TOO_MANY_REQUESTS else 0.0
    )


def _said(error: BaseException) -> str:
    """The Hub's own words, or what the error says first; one line without a full stop."""
    words = getattr(error, "server_message", None) or str(error)
    text = " ".join(str(words).split())
    return (text or type(error).__name__).rstrip(".:")[:300]


def _what(error: BaseException) -> str:
    """An error in a few words, for whoever watches."""
    if isinstance(error, json.JSONDecodeError):
        return "the Hub answers with something that is no JSON"
    status = status_of(error)
    return f"HTTP {status}: {_said(error)}" if status else _said(error)
