"""Files of models on the Hugging Face Hub, as covar_gen.core.hub has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from covar_gen.core import hub
from covar_gen.core.errors import ModelError

SMALL = hub.SMALL
"""Configurations and tokenizers."""


def fetch(
    repo: str, patterns: Sequence[str], *, revision: str | None = None, where: str = ""
) -> Path:
    """Folder with the files of a repository that fit the patterns, out of the cache if need be.

    Args:
        repo: `owner/name`.
        patterns: of file names.
        revision: branch, tag or commit; None: see covar_gen.core.hub.fetch.
        where: the model's name, for the error message.

    Raises:
        ModelError: the Hub cannot be reached or refuses, and the cache does not have it.
    """
    instead = "or copy its folder here and write local:FOLDER"
    return hub.fetch(
        repo, patterns, revision=revision, where=where, kind=ModelError, instead=instead
    )
