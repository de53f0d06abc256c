"""Push a release to the Hugging Face Hub, so that the repository equals the folder and is tagged.

Everything may break off anywhere: each step looks first at what is there, blobs that the Hub has
are not sent again, and the tag is set last, on a commit that was compared with release.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from covar_gen.core.errors import HubError
from covar_gen.core.hub import LOGIN
from covar_gen.core.store import RELEASE
from covar_gen.release.complete import Whole, equal, named, same, whole
from covar_gen.release.hub_refusals import TOKENS, WAITS, retried
from covar_gen.release.hub_repository import (
    ANSWER,
    There,
    check_own,
    files_at,
    look,
    made,
    tagged,
    text_at,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HIDDEN = [".*", "*/.*"]
"""Never pushed: what tools keep in folders for themselves."""
CONNECT = 30.0
"""Seconds until a connection stands."""
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
        HubError: a name cannot be one, the photographs may not be passed on, nobody is logged in,
            or the Hub does not take it.
    """
    check_names(repo, tag)
    release = whole(folder)
    if release.restricted:
        raise restricted(repo)
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


def restricted(repo: str) -> HubError:
    """What stands against a push of photographs that may not be passed on, to whomever."""
    what = "its photographs may not be passed on (redistributable = false in about.toml)"
    mend = "Add --recipe-only, and choose another --out if this one holds images"
    return HubError(what, where=repo, mend=mend)


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


def _prepare(api: HfApi, asked: _Asked) -> There:
    """The repository, made if need be, and known to be one that this release may be put into."""
    repo = asked.repo
    there = look(api, repo)
    if there is None:
        there = made(api, repo, asked.private)
    if not asked.replace:
        check_own(there, asked.release, repo)
    if asked.tag is not None:
        tagged(api, asked.release, repo, asked.tag)
    return there


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
    return text_at(f"{api.endpoint}/api/datasets/{repo}/xet-write-token/main") is not None


def _compare(api: HfApi, asked: _Asked, commit: str) -> None:
    """Look that a commit is what release.json says."""
    release, repo = asked.release, asked.repo
    files = files_at(api, repo, commit)
    both = files.keys() | release.files.keys()
    wrong = [path for path in both if path not in files or not same(files[path], release, path)]
    if wrong:
        what = f"what is on the Hub now is not what {RELEASE} says: {named(wrong)}"
        mend = f"Type: covar-gen verify {release.folder}; nothing was tagged"
        raise HubError(what, where=repo, mend=mend)


def _set_tag(api: HfApi, asked: _Asked, tag: str, commit: str) -> None:
    """Tag a commit, if the tag does not stand on this content already."""
    if not tagged(api, asked.release, asked.repo, tag):
        api.create_tag(
            asked.repo,
            tag=tag,
            tag_message=asked.message,
            revision=commit,
            repo_type="dataset",
        )


def _seen(private: bool) -> str:  # noqa: FBT001 - the value is the question
    return "private" if private else "public"
