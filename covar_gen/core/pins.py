"""Repositories of weights that our plugins load: pinned revisions, licences, sizes, mirrors.

The data is manifests/weights.csv, the one place that has it; `covar-gen doctor`, `covar-gen
estimate`, the fetching of files and the reference page all read it here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from covar_gen.core.shipped import shipped

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A commit's name in full."""


@dataclass(frozen=True)
class Pin:
    """What is known of a repository of weights.

    Attributes:
        repo: `owner/name` on the Hugging Face Hub.
        revision: commit that is taken where the user names none; None: none is known, and the
            main branch is taken as it is on the day.
        licence: of the weights.
        gated: True if its terms have to be accepted on its page before the download.
        download_gib: GiB of the files that are read.
        memory_gib: GiB of device memory with one image at a time, in the type that is usual on
            a GPU. Batches take more, and are halved where they do not fit.
        mirror: another repository with the same weights; None: none is known.
        removed: True if its owner took it away.
        plugins: `kind/name` of the plugins that load it, the usual one first.
        source: where revision and numbers come from, and which are estimates.
    """

    repo: str
    revision: str | None
    licence: str
    gated: bool
    download_gib: float
    memory_gib: float
    mirror: str | None
    removed: bool
    plugins: tuple[str, ...]
    source: str

    @property
    def page(self) -> str:
        """Where its terms are read and accepted."""
        return f"https://huggingface.co/{self.repo}"


@cache
def pins() -> dict[str, Pin]:
    """Every known repository by its name, in the order of the file."""
    with (shipped("manifests") / "weights.csv").open(encoding="utf-8", newline="") as stream:
        return {row["repo"]: _pin(row) for row in csv.DictReader(stream)}


def _pin(row: dict[str, str]) -> Pin:
    return Pin(
        row["repo"],
        row["revision"] or None,
        row["licence"],
        row["gated"] == "yes",
        float(row["download_gib"]),
        float(row["memory_gib"]),
        row["mirror"] or None,
        row["removed"] == "yes",
        tuple(row["plugin"].split()),
        row["source"],
    )


def pin(repo: str) -> Pin | None:
    """What is known of a repository; None where nothing is.

    Args:
        repo: `owner/name`, without a revision.
    """
    return pins().get(repo)


def revision_of(repo: str, given: str | None = None) -> str | None:
    """The revision that is fetched: the one that the user gave, else the pinned one.

    Args:
        repo: `owner/name`.
        given: branch, tag or commit; None or empty: the user gave none.

    Returns:
        None: the main branch.
    """
    known = pin(repo)
    return given or (known.revision if known else None)


def of_plugin(kind: str, name: str) -> list[Pin]:
    """Repositories that a plugin may load, also one that this version has not got.

    Args:
        kind: for example "editors".
        name: of the plugin.
    """
    return [known for known in pins().values() if f"{kind}/{name}" in known.plugins]


def alike(repo: str) -> list[Pin]:
    """Other repositories that a plugin of this one may load, less those that are gone.

    Args:
        repo: `owner/name`; what nothing is known of has none.
    """
    known = pin(repo)
    mine = set(known.plugins) if known else set()
    return [
        each
        for each in pins().values()
        if mine & set(each.plugins) and each.repo != repo and not each.removed
    ]


def licences(known: Iterable[Pin]) -> str:
    """Their licences in one line, each once."""
    return "; ".join(dict.fromkeys(each.licence for each in known))
