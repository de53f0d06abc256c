"""Files of the Hugging Face Hub: fetched once, found again without a network, refused in a line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from covar_gen.core.errors import CovarError, WeightsError, first_line
from covar_gen.core.hub_cache import cached, lacking
from covar_gen.core.pins import Pin, pin, revision_of

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

    Without a network this answers at once; asking for single files would try for 20 seconds.

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
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The errors of the client beneath, which is not the same in every version.
    client = cast("type[Exception]", HfHubHTTPError.__mro__[1])

    asked = revision_of(repo, revision)
    try:
        return Path(snapshot_download(repo, revision=asked, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise no_name(repo, where or repo, kind) from error
    except (HfHubHTTPError, client, OSError) as error:
        what, mend = _refusal(error, repo, revision, _Wanted(patterns, missing, instead, files))
        raise kind(what, where=where or repo, mend=mend) from error


def no_name(repo: str, where: str, kind: type[CovarError] = WeightsError) -> CovarError:
    """The error that answers what cannot be the name of a repository."""
    mend = "Write owner/name or owner/name@revision, or name a folder that is there"
    return kind(f"{repo!r} is no name of a repository", where=where, mend=mend)


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


def is_offline() -> bool:
    """True where HF_HUB_OFFLINE forbids to ask the Hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


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
    download = (
        f"With a network type: {command(repo, given, wanted.files)}; then set HF_HUB_OFFLINE=1, "
    )
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
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        return (
            f"the copy of {repo} in the cache is incomplete and the Hub cannot be asked; "
            f"missing: {', '.join(missing[:NAMED])}{more}"
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
