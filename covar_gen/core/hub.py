"""Files of the Hugging Face Hub: fetched once, found again without a network, refused in a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from covar_gen.core.errors import CovarError, WeightsError


def fetch(
    repo: str,
    patterns: Sequence[str],
    *,
    revision: str | None = None,
    where: str = "",
    missing: Sequence[str] = (),
    kind: type[CovarError] = WeightsError,
    instead: str = "or copy its folder here and name the folder",
) -> Path:
    """Folder with the files of a repository that fit the patterns, out of the cache if need be.

    Without a network this answers at once; asking for single files would try for 20 seconds.

    Args:
        repo: `owner/name`.
        patterns: of file names.
        revision: branch, tag or commit; None for the main branch as it is today.
        where: what names the repository, for the error message.
        missing: files without which nothing works, for the error message.
        kind: of the error that is raised.
        instead: what else may be done where there is no network.

    Returns:
        A folder of the cache, named by the commit. It may lack files that the repository, or the
        cache of a machine without a network, does not have.

    Raises:
        CovarError: of that kind: the Hub cannot be reached or refuses, and the cache has nothing.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    where = where or repo
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except LocalEntryNotFoundError as error:
        what = f"{repo} is neither in the cache of the Hugging Face Hub nor can it be fetched"
        what += f"; missing: {', '.join(missing)}" if missing else ""
        mend = (
            f"With a network type: {command(repo, revision)}; then set HF_HUB_OFFLINE=1, {instead}"
        )
        raise kind(what, where=where, mend=mend) from error
    except HFValidationError as error:
        raise no_name(repo, where, kind) from error
    except (HfHubHTTPError, OSError) as error:
        what = f"the Hugging Face Hub refuses {repo}: {_first_line(error)}"
        mend = "Check the name and the revision; for a gated one accept its terms and set HF_TOKEN"
        raise kind(what, where=where, mend=mend) from error


def no_name(repo: str, where: str, kind: type[CovarError] = WeightsError) -> CovarError:
    """The error that answers what cannot be the name of a repository."""
    mend = "Write owner/name or owner/name@revision, or name a folder that is there"
    return kind(f"{repo!r} is no name of a repository", where=where, mend=mend)


def command(repo: str, revision: str | None) -> str:
    """What to type to have a repository in the cache."""
    return f"hf download {repo}" + (f" --revision {revision}" if revision else "")


def is_offline() -> bool:
    """True where HF_HUB_OFFLINE forbids to ask the Hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]
