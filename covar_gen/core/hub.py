"""Files of the Hugging Face Hub: fetched once, found again without a network, refused in a line."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from covar_gen.core.errors import CovarError, WeightsError, first_line, some
from covar_gen.core.hub_cache import cached, lacking, whole
from covar_gen.core.pins import Pin, pin, revision_of

SMALL = ("*.json", "*.txt", "*.model", "*.jinja")
"""Patterns of files beside the weights: settings, words of a tokenizer, templates."""

LOGIN = "hf auth login"
NAMED = 5
"""How many missing files are named; of more, the number is said."""


def fetch(
    repo: str,
    patterns: Sequence[str],
    *,
    revision: str | None = None,
    where: str = "",
    missing: Sequence[str] = (),
    kind: type[CovarError] = WeightsError,
    instead: str = "or copy its folder here and name the folder",
    files: Sequence[str] = (),
) -> Path:
    """Folder with the files of a repository that fit the patterns, out of the cache if need be.

    A commit of which all is in the cache is taken from there, and nobody is asked. Else the Hub is
    asked once whether it is there: where there is no network, the cache's copy is taken, or the
    error raised, at once or, where nothing answers, after HF_HUB_ETAG_TIMEOUT (10 seconds). The
    Hub's own client would ask for a commit's files again and again, for half a minute.

    Args:
        repo: `owner/name`.
        patterns: of file names.
        revision: branch, tag or commit; None: the commit that manifests/weights.csv pins, and for
            a repository that it does not, the main branch as it is today.
        where: what names the repository, for the error message.
        missing: files without which nothing works, for the error message.
        kind: of the error that is raised.
        instead: what else may be done where there is no network.
        files: patterns of all that will be read of it, also in later calls; none: not known.

    Returns:
        A folder of the cache, named by the commit. It may lack files that the repository, or the
        cache of a machine without a network, does not have.

    Raises:
        CovarError: of that kind: the repository is gone, gated or has no such revision; the Hub
            cannot be reached and the cache has not all of it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    asked = revision_of(repo, revision)
    if (folder := whole(repo, asked, patterns)) is not None:
        return folder
    try:
        found = snapshot_download(
            repo,
            revision=asked,
            allow_patterns=list(patterns),
            local_files_only=not _answers(repo, asked),
        )
        return Path(found)
    except HFValidationError as error:
        raise no_name(repo, where or repo, kind) from error
    # Where a network asks for a password first, what answers is no JSON: a ValueError.
    except (_client().HTTPError, OSError, ValueError) as error:
        what, mend = _refusal(error, repo, revision, _Wanted(patterns, missing, instead, files))
        raise kind(what, where=where or repo, mend=mend) from error


def no_name(repo: str, where: str, kind: type[CovarError] = WeightsError) -> CovarError:
    """The error that answers what cannot be the name of a repository."""
    mend = "Write owner/name or owner/name@revision, or name a folder that is there"
    return kind(f"{repo!r} is no name of a repository", where=where, mend=mend)


def is_repository(name: str) -> bool:
    """True if a name can be that of a repository, be it there or not.

    Some of the oldest have no owner: bert-base-uncased.

    Args:
        name: without a revision.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def command(repo: str, revision: str | None, files: Sequence[str] = ()) -> str:
    """What to type to have a repository in the cache.

    Args:
        repo: `owner/name`.
        revision: branch, tag or commit; None or empty: the pinned one, if there is one.
        files: patterns of all that is read of it, after `!` of what is not; none: not known.
    """
    revision = revision_of(repo, revision)
    which = "".join(
        f" --{'exclude' if pattern.startswith('!') else 'include'} "
        f"{shlex.quote(pattern.removeprefix('!'))}"
        for pattern in files
    )
    return f"hf download {repo}" + (f" --revision {revision}" if revision else "") + which


def access(known: Pin) -> str:
    """What to do about a repository whose terms have to be accepted."""
    return f"Accept its terms on {known.page}, then type: {LOGIN}"


def getting(repo: str, revision: str | None, files: Sequence[str] = ()) -> str:
    """What to do where there is a network to have a repository in the cache, its terms included.

    Args:
        repo: `owner/name`.
        revision: branch, tag or commit; None or empty: the pinned one, if there is one.
        files: patterns of all that is read of it; none: not known.
    """
    typed = command(repo, revision, files)
    known = pin(repo)
    if known is None or not known.gated:
        return f"type: {typed}"
    return f"accept its terms on {known.page}, then type: {LOGIN} && {typed}"


def is_offline() -> bool:
    """True where HF_HUB_OFFLINE forbids to ask the Hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _answers(repo: str, revision: str | None) -> bool:
    """Whether the Hub says anything of a repository, be it a refusal."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if is_offline():
        return False
    client = _client()
    try:
        HfApi().model_info(repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HfHubHTTPError:
        # Downloading says what it is, or does without: the cache may have it all.
        return True
    except (client.TimeoutException, client.NetworkError, client.RemoteProtocolError):
        return False
    return True


def _client() -> Any:
    """The library that asks the Hub, which is not the same in every version: it has the errors."""
    from huggingface_hub.errors import HfHubHTTPError

    return importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])


class _Wanted(NamedTuple):
    """What was asked for: patterns, what is needed, what else may be done, and all that is read."""

    patterns: Sequence[str]
    missing: Sequence[str]
    instead: str
    files: Sequence[str]


def _refusal(error: Exception, repo: str, given: str | None, wanted: _Wanted) -> tuple[str, str]:
    """What is wrong and what to do about it."""
    from huggingface_hub import errors

    known = pin(repo)
    asked = revision_of(repo, given)
    if isinstance(error, errors.RevisionNotFoundError):
        return _no_revision(repo, given, asked)
    # A gated repository is also one that was not found, to the client.
    if isinstance(error, errors.GatedRepoError):
        page = f"https://huggingface.co/{repo}"
        what = f"{repo} is gated: its owner wants its terms accepted ({_licence(known)})"
        return what, f"Accept its terms on {page}, then type: {LOGIN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        if known is not None and known.removed:
            return f"{repo} was removed by its owner", _mirror(known)
        what = f"the Hugging Face Hub has no repository {repo}, or does not show it to you"
        return what, f"Check the name; for a private one type: {LOGIN}"
    if isinstance(error, errors.DisabledRepoError):
        return f"{repo} is disabled on the Hugging Face Hub", _mirror(known)
    download = f"With a network {getting(repo, given, wanted.files)}; then set HF_HUB_OFFLINE=1, "
    download += wanted.instead
    if known is not None and known.removed:
        download = _mirror(known)
    if isinstance(error, errors.LocalEntryNotFoundError):
        return _not_here(repo, given, wanted), download
    what = f"{repo} could not be fetched whole: {first_line(error)}"
    return what, f"Try again, what is there is kept; or type: {command(repo, given, wanted.files)}"


def _no_revision(repo: str, given: str | None, asked: str | None) -> tuple[str, str]:
    if given:
        return f"{repo} has no revision {given!r}", "Name a branch, tag or commit that it has"
    what = f"{repo} has no longer the revision {asked!r}, which this toolkit pins"
    return what, f"Name one that it has: {repo}@main, or a commit"


def _not_here(repo: str, given: str | None, wanted: _Wanted) -> str:
    """What the cache lacks, where the Hub cannot be asked."""
    asked = revision_of(repo, given)
    if cached(repo, asked or "main") and (missing := lacking(repo, asked, wanted.patterns)):
        return (
            f"the copy of {repo} in the cache is incomplete and the Hub cannot be asked; "
            f"missing: {some(missing, NAMED)}"
        )
    what = f"{repo} is neither in the cache of the Hugging Face Hub nor can it be fetched"
    if not given and asked and (other := cached(repo, "main")) is not None:
        what = (
            f"the cache has {repo} at the commit {other.commit[:12]}, not at the pinned "
            f"{asked[:12]}, which cannot be fetched (to take that one write {repo}@{other.commit})"
        )
    return f"{what}; missing: {', '.join(wanted.missing)}" if wanted.missing else what


def _mirror(known: Pin | None) -> str:
    if known is None or known.mirror is None:
        return "Name another repository, or a folder with the weights"
    return f"Name its mirror: {known.mirror}"


def _licence(known: Pin | None) -> str:
    return known.licence if known is not None else "see its page"
