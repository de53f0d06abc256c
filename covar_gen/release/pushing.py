"""Push a release to the Hugging Face Hub, so that the repository equals the folder and is tagged.

Everything may break off anywhere: each step looks first at what is there, blobs that the Hub has
are not sent again, and the tag is set last, on a commit that was compared with release.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus as Http
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from covar_gen.core.errors import HubError
from covar_gen.core.hub import LOGIN
from covar_gen.core.store import RELEASE
from covar_gen.release.complete import Whole, equal, named, same, whole
from covar_gen.release.hub_refusals import TOKENS, WAITS, refusal, retried

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

KEPT = ".gitattributes"
"""The Hub's own file in a repository: which files are large ones."""
HIDDEN = [".*", "*/.*"]
"""Never pushed: what tools keep in folders for themselves."""
ANSWER = 300.0
"""Seconds without a byte from the Hub after which a request counts as failed."""
CONNECT = 30.0
TAG = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*)*")


@dataclass(frozen=True)
class Pushed:
    """A release that is on the Hub.

    Attributes:
        repo: `owner/name`.
        url: of its page.
        commit: that equals the folder.
        tag: that stands there; None: none was asked for and the release has no version.
        private: whether only its owners see it.
    """

    repo: str
    url: str
    commit: str
    tag: str | None
    private: bool

    def load(self, config: str) -> str:
        """The line of Python that loads a configuration of it."""
        revision = f', revision="{self.tag}"' if self.tag else ""
        return f'datasets.load_dataset("{self.repo}", "{config}", split="test"{revision})'


class _There(NamedTuple):
    """A repository as it is: the commit of main, its files, and who sees it."""

    head: str | None
    private: bool
    files: dict[str, RepoFile]


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = True,
    tag: str | None = None,
    message: str | None = None,
    replace: bool = False,
    waits: Sequence[float] = WAITS,
    say: Callable[[str], None] = print,
) -> Pushed:
    """Push a release, with the token of huggingface_hub's own login.

    Args:
        folder: a complete release.
        repo: `owner/name` of the data set; made if it is not there.
        private: for a repository that is made; one that is there stays as it is.
        tag: name of the revision; None: v and the release's version, if it has one.
        message: of the commit.
        replace: put the release in the place of whatever the repository holds.
        waits: seconds between the tries of a step.
        say: told what happens, in lines.

    Returns:
        What is on the Hub now.

    Raises:
        ReleaseFolderError: the folder is no release, or an incomplete one.
        HubError: a name cannot be one, nobody is logged in, or the Hub does not take it.
    """
    check_names(repo, tag)
    release = whole(folder)
    if tag is None and release.version is not None:
        tag = f"v{release.version}"
    said = message or f"{release.name} {release.version or ''}".strip()
    asked = _Asked(release, repo, private, replace, tag, said)
    step = partial(retried, repo=repo, waits=waits, say=say)
    user = login(repo, waits=waits, say=say)
    step = partial(step, user=user)
    say(f"Pushing {len(release.files)} files, {release.size / 1e9:.2f} GB, to {repo}")
    there = step(lambda: _prepare(_api(), asked))
    if there.private != private:
        say(f"{repo} is {_seen(there.private)} and stays so: its settings page changes that")
    commit = step(lambda: _upload(_api(), asked, say))
    step(lambda: _compare(_api(), asked, commit))
    if tag is not None:
        step(lambda: _set_tag(_api(), asked, tag, commit))
    url = f"{_api().endpoint}/datasets/{repo}"
    return Pushed(repo, url, commit, tag, there.private)


class _Asked(NamedTuple):
    """What is to become of a release: see `push`."""

    release: Whole
    repo: str
    private: bool
    replace: bool
    tag: str | None
    message: str


def check_names(repo: str, tag: str | None) -> None:
    """Look that a repository and a tag can be called so.

    Raises:
        HubError: they cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented there

    mend = "Write owner/name, of letters, digits, '-', '_' and '.'"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise HubError(f"{repo!r} is no name of a repository", where="--repo", mend=mend) from error
    if repo.count("/") != 1:
        raise HubError(f"{repo!r} names no owner", where="--repo", mend=mend)
    if tag is not None and (not TAG.fullmatch(tag) or ".." in tag or tag.endswith((".lock", "."))):
        mend = "Write a name such as v1.0, without spaces"
        raise HubError(f"{tag!r} cannot be the name of a tag", where="--tag", mend=mend)


def login(repo: str, *, waits: Sequence[float] = WAITS, say: Callable[[str], None] = print) -> str:
    """Who is logged in to the Hub, with a token that may write as far as can be seen.

    Args:
        repo: `owner/name` that is to be pushed to.
        waits: seconds between the tries.
        say: told of each break.

    Raises:
        HubError: nobody is, the token may only read, or the Hub cannot be reached.
    """
    return retried(lambda: _user(_api(), repo), repo, waits=waits, say=say)


def _api() -> HfApi:
    """The client, with an end to its patience: by itself it waits for ever for an answer."""
    from huggingface_hub import HfApi, get_session

    # Set at each step, since the client makes a new session after some errors.
    session = get_session()
    session.timeout = type(session.timeout)(ANSWER, connect=CONNECT)
    return HfApi()


def _user(api: HfApi, repo: str) -> str:
    known = api.whoami()
    access = known.get("auth", {}).get("accessToken", {})
    if access.get("role") == "read":
        what = f"the token of {known['name']} may only read"
        raise HubError(
            what, where=repo, mend=f"Make one that may write: {TOKENS}, then type: {LOGIN}"
        )
    return str(known["name"])


def _prepare(api: HfApi, asked: _Asked) -> _There:
    """The repository, made if need be, and known to be one that this release may be put into."""
    repo = asked.repo
    there = _look(api, repo)
    if asked.release.restricted and not (asked.private if there is None else there.private):
        what = "its photographs may not be passed on (about.toml), and the repository is public"
        mend = "Publish with --recipe-only, or to a private repository"
        raise HubError(what, where=repo, mend=mend)
    if there is None:
        there = _make(api, repo, asked.private)
    if not asked.replace:
        _check_own(there, asked.release, repo)
    if asked.tag is not None:
        _tagged(api, asked.release, repo, asked.tag)
    return there


def _make(api: HfApi, repo: str, private: bool) -> _There:  # noqa: FBT001 - the client's word
    """Make the repository; one that is seen then is ours, also where an answer had been lost."""
    from huggingface_hub.errors import HfHubHTTPError

    taken: HfHubHTTPError | None = None
    try:
        api.create_repo(repo, repo_type="dataset", private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != Http.CONFLICT:
            raise
        taken = error
    there = _look(api, repo)
    if there is not None:
        return there
    if taken is not None:
        what = "the name is taken by a repository that this login does not see"
        raise HubError(what, where=repo, mend="Choose another name") from taken
    # What answers may be a copy that lags behind.
    raise ConnectionError("the repository was made and is not there yet")


def _look(api: HfApi, repo: str) -> _There | None:
    """The repository as it is now; None where there is none."""
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
    files = _files(api, repo, info.sha) if info.sha else {}
    return _There(info.sha, bool(info.private), files)


def _files(api: HfApi, repo: str, commit: str) -> dict[str, RepoFile]:
    from huggingface_hub.hf_api import RepoFile

    listed = api.list_repo_tree(repo, repo_type="dataset", revision=commit, recursive=True)
    return {one.path: one for one in listed if isinstance(one, RepoFile) and one.path != KEPT}


def _check_own(there: _There, release: Whole, repo: str) -> None:
    """Refuse a repository that holds something else than a release of this name, or part of one."""
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

    text = _get(hf_hub_url(repo, RELEASE, repo_type="dataset", revision=commit))
    try:
        index = json.loads(text or "")
    except ValueError:
        return None
    return str(index["name"]) if isinstance(index, dict) and "name" in index else None


def _tagged(api: HfApi, release: Whole, repo: str, tag: str) -> bool:
    """True where the tag stands on this very release, False where it is free; else refused."""
    refs = api.list_repo_refs(repo, repo_type="dataset")
    mend = "Choose another with --tag"
    if tag in {branch.name for branch in refs.branches}:
        raise HubError(f"{tag} is the name of a branch", where=repo, mend=mend)
    stands = next((one.target_commit for one in refs.tags if one.name == tag), None)
    if stands is None:
        return False
    if equal(_files(api, repo, stands), release):
        return True
    what = f"the tag {tag} stands at another content (commit {stands[:12]})"
    raise HubError(what, where=repo, mend=mend)


def _upload(api: HfApi, asked: _Asked, say: Callable[[str], None]) -> str:
    """Make main equal to the folder; returns the commit."""
    release, repo = asked.release, asked.repo
    there = _prepare(api, asked)
    if there.head is not None and equal(there.files, release):
        return there.head
    with _transfer(api, repo, say):
        info = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=release.folder,
            commit_message=asked.message,
            parent_commit=there.head,
            ignore_patterns=[*HIDDEN],
            # Whatever the folder has no longer goes in the commit that brings the new files.
            delete_patterns="*",
        )
    return str(info.oid)


@contextmanager
def _transfer(api: HfApi, repo: str, say: Callable[[str], None]) -> Iterator[None]:
    """Uploads by Xet, or by LFS where the Hub at hand has no Xet: the client does not ask."""
    from importlib.util import find_spec

    from huggingface_hub import constants

    switched_off: bool = constants.HF_HUB_DISABLE_XET
    if not switched_off and find_spec("hf_xet") is not None and not _has_xet(api, repo):
        say(f"{api.endpoint} has no Xet storage: sent by LFS")
        constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = switched_off


def _has_xet(api: HfApi, repo: str) -> bool:
    """Whether the Hub gives out what the client of Xet asks for first."""
    return _get(f"{api.endpoint}/api/datasets/{repo}/xet-write-token/main") is not None


def _get(url: str) -> str | None:
    """What the Hub has at an address; None where it has nothing."""
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


def _compare(api: HfApi, asked: _Asked, commit: str) -> None:
    """Look that a commit is what release.json says."""
    release, repo = asked.release, asked.repo
    files = _files(api, repo, commit)
    wrong = [p for p in release.files if p not in files or not same(files[p], release, p)]
    wrong += [path for path in files if path not in release.files]
    if wrong:
        what = f"what is on the Hub now is not what {RELEASE} says: {named(wrong)}"
        mend = f"Type: covar-gen verify {release.folder}; nothing was tagged"
        raise HubError(what, where=repo, mend=mend)


def _set_tag(api: HfApi, asked: _Asked, tag: str, commit: str) -> None:
    """Tag a commit, if the tag does not stand on this content already."""
    if not _tagged(api, asked.release, asked.repo, tag):
        api.create_tag(
            asked.repo,
            tag=tag,
            tag_message=asked.message,
            revision=commit,
            repo_type="dataset",
        )


def _seen(private: bool) -> str:  # noqa: FBT001 - the value is the question
    return "private" if private else "public"
