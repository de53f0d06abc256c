"""A repository on the Hugging Face Hub as it is: what it holds, and where its tags stand."""

from __future__ import annotations

import json
from http import HTTPStatus as Http
from typing import TYPE_CHECKING, NamedTuple

from covar_gen.core.errors import HubError
from covar_gen.core.store import RELEASE
from covar_gen.release.complete import Whole, equal, named, same
from covar_gen.release.hub_refusals import refusal

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

KEPT = ".gitattributes"
"""The Hub's own file in a repository: which files are large ones."""
ANSWER = 300.0
"""Seconds without a byte from the Hub after which a request counts as failed."""


class There(NamedTuple):
    """A repository as it is.

    Attributes:
        head: the commit of main; None: there is none yet.
        private: whether only its owners see it.
        files: of that commit, by path.
    """

    head: str | None
    private: bool
    files: dict[str, RepoFile]


def look(api: HfApi, repo: str) -> There | None:
    """The repository as it is now; None where there is none.

    Args:
        api: the client.
        repo: `owner/name`.

    Raises:
        HubError: the Hub shows it and it cannot be pushed to: disabled, renamed, a bad token.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.dataset_info(repo, timeout=ANSWER)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError as error:
        if error.response.status_code == Http.UNAUTHORIZED:
            raise refusal(error, repo) from error
        return None
    if info.disabled:
        raise HubError(
            "the Hub has disabled this repository", where=repo, mend="Push to another name"
        )
    if info.id != repo:
        what = f"its name is {info.id} now"
        raise HubError(what, where=repo, mend=f"Type: --repo {info.id}")
    # Some Hubs make a repository without a first commit.
    files = files_at(api, repo, info.sha) if info.sha else {}
    return There(info.sha, bool(info.private), files)


def files_at(api: HfApi, repo: str, commit: str) -> dict[str, RepoFile]:
    """Files of a commit by path, the Hub's own left out.

    Args:
        api: the client.
        repo: `owner/name`.
        commit: or branch, or tag.
    """
    from huggingface_hub.hf_api import RepoFile

    listed = api.list_repo_tree(repo, repo_type="dataset", revision=commit, recursive=True)
    return {one.path: one for one in listed if isinstance(one, RepoFile) and one.path != KEPT}


def check_own(there: There, release: Whole, repo: str) -> None:
    """Refuse a repository that holds something else than a release of this name, or part of one.

    Args:
        there: what it holds.
        release: that is to be pushed.
        repo: `owner/name`.

    Raises:
        HubError: it holds something else.
    """
    mend = "Choose another name, or add --replace to put this release in its place"
    if RELEASE in there.files:
        other = _name_of(repo, there.head or "main")
        if other != release.name:
            what = f"it holds the release {other!r}, and this one is {release.name!r}"
            raise HubError(what, where=repo, mend=mend)
        return
    # Without its index: the beginning of this release, from a push that broke off.
    foreign = [path for path in there.files if not same(there.files[path], release, path)]
    if foreign:
        what = f"it holds something else than an earlier release of {release.name!r}"
        raise HubError(f"{what}: {named(foreign)}", where=repo, mend=mend)


def _name_of(repo: str, commit: str) -> str | None:
    """The name in the release.json of a repository; None where it says none."""
    from huggingface_hub import hf_hub_url

    text = text_at(hf_hub_url(repo, RELEASE, repo_type="dataset", revision=commit))
    try:
        index = json.loads(text or "")
    except ValueError:
        return None
    return str(index["name"]) if isinstance(index, dict) and "name" in index else None


def tagged(api: HfApi, release: Whole, repo: str, tag: str) -> bool:
    """Whether a tag stands on this very release already.

    Args:
        api: the client.
        release: that is to be pushed.
        repo: `owner/name`.
        tag: its name.

    Returns:
        False where the name is free.

    Raises:
        HubError: it stands on something else, or is the name of a branch.
    """
    refs = api.list_repo_refs(repo, repo_type="dataset")
    mend = "Choose another with --tag"
    if tag in {branch.name for branch in refs.branches}:
        raise HubError(f"{tag} is the name of a branch", where=repo, mend=mend)
    stands = next((one.target_commit for one in refs.tags if one.name == tag), None)
    if stands is None:
        return False
    if equal(files_at(api, repo, stands), release):
        return True
    what = f"the tag {tag} stands at another content (commit {stands[:12]})"
    raise HubError(what, where=repo, mend=mend)


def made(api: HfApi, repo: str, private: bool) -> There:  # noqa: FBT001 - the client's word
    """Make a repository; one that is seen then is ours, also where an answer had been lost.

    Args:
        api: the client.
        repo: `owner/name`.
        private: whether only its owners shall see it.

    Raises:
        HubError: the name is taken.
        ConnectionError: it is not seen yet.
    """
    from huggingface_hub.errors import HfHubHTTPError

    taken: HfHubHTTPError | None = None
    try:
        api.create_repo(repo, repo_type="dataset", private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != Http.CONFLICT:
            raise
        taken = error
    there = look(api, repo)
    if there is not None:
        return there
    if taken is not None:
        what = "the name is taken by a repository that this login does not see"
        raise HubError(what, where=repo, mend="Choose another name") from taken
    # What answers may be a copy that lags behind.
    raise ConnectionError("the repository was made and is not there yet")


def text_at(url: str) -> str | None:
    """What the Hub has at an address of its own; None where it has nothing."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there
        build_hf_headers,
        hf_raise_for_status,
    )

    response = get_session().get(url, headers=build_hf_headers())
    if response.status_code == Http.NOT_FOUND:
        return None
    hf_raise_for_status(response)
    return str(response.text)
