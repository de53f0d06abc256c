"""Files of the Hugging Face Hub: fetched once, found again without a network, refused in a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.failures import first_line

SMALL = ("*.json", "*.txt", "*.model", "*.jinja")
"""Configurations and tokenizers."""


def fetch(
    repo: str, patterns: Sequence[str], *, revision: str | None = None, where: str = ""
) -> Path:
    """Folder with the files of a repository that fit the patterns, out of the cache if need be.

    Without a network this answers at once; asking for single files would try for 20 seconds.

    Args:
        repo: `owner/name`.
        patterns: of file names.
        revision: branch, tag or commit; None for the newest.
        where: the model's name, for the error message.

    Raises:
        ModelError: the Hub cannot be reached or refuses, and the cache does not have it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except LocalEntryNotFoundError as error:
        what = f"{repo} is neither in the cache of the Hugging Face Hub nor can it be fetched"
        mend = (
            f"With a network type: hf download {repo}; then set HF_HUB_OFFLINE=1, "
            "or copy its folder here and write local:FOLDER"
        )
        raise ModelError(what, where=where or repo, mend=mend) from error
    except HFValidationError as error:
        what = f"{repo!r} is no name of a repository"
        raise ModelError(what, where=where or repo, mend="Write hf-hub:owner/name") from error
    except (HfHubHTTPError, OSError) as error:
        what = f"the Hugging Face Hub refuses {repo}: {first_line(error)}"
        mend = "Check the name and the revision; for a gated one accept its terms and set HF_TOKEN"
        raise ModelError(what, where=where or repo, mend=mend) from error
