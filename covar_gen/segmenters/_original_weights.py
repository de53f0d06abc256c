"""Checkpoints in the original format: one .pth file each, on this machine or on the Hub."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from covar_gen.core.digests import file_sha256
from covar_gen.core.errors import WeightsError, first_line
from covar_gen.core.hub import fetch

if TYPE_CHECKING:
    import torch

Weights: TypeAlias = "Mapping[str, torch.Tensor]"
"""Arrays by the names of the model's parameters and buffers."""

PUBLISHED = {
    "groundingdino_swint_ogc.pth": (
        "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799"
    ),
    "groundingdino_swinb_cogcoor.pth": (
        "46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7"
    ),
    "sam_vit_h_4b8939.pth": "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    "sam_vit_l_0b3195.pth": "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    "sam_vit_b_01ec64.pth": "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
}
"""SHA-256 of the files that the authors of Grounding DINO and of SAM published, by their names."""

COPIED = "or copy the file here and write its path"
"""What else may be done where there is no network."""

_PARTS = ("model", "state_dict")
"""Keys under which training scripts keep the weights, beside their own state."""


@dataclass(frozen=True)
class OriginalFile:
    """One file of weights.

    Attributes:
        where: the option that names it, for error messages.
        path: the file on this machine; None: it is on the Hub.
        repo: `owner/name` or `owner/name@revision` of the Hub.
        file: its path in that repository.
        sha256: what its content must hash to, in hex; None: what the authors published under
            that name, if it is a file of the Hub; otherwise anything.
    """

    where: str
    path: str | None
    repo: str
    file: str
    sha256: str | None

    @property
    def pinned(self) -> str | None:
        """The SHA-256 that the content must have; None if any will do."""
        if self.sha256 is not None or self.path is not None:
            return self.sha256 and self.sha256.lower()
        return PUBLISHED.get(self.file.rpartition("/")[2])

    @cached_property
    def found(self) -> Path:
        """The file on this machine, fetched if need be.

        Raises:
            WeightsError: there is none, and it cannot be fetched.
        """
        if self.path is None:
            path = fetched(self.repo, (self.file,), self.where, COPIED) / self.file
            if not path.is_file():
                what = f"{self.repo} has no file {self.file}, or the cache has not got it"
                mend = "Correct the name of the file, or fetch it with a network"
                raise WeightsError(what, where=self.where, mend=mend)
            return path
        path = Path(self.path).expanduser()
        if not path.is_file():
            what = f"there is no file {path}"
            raise WeightsError(what, where=self.where, mend="Name a .pth file that is there")
        return path

    @cached_property
    def content(self) -> str:
        """SHA-256 of the file, in hex; read from the file only where none is pinned.

        Raises:
            WeightsError: the file is not there.
        """
        return self.pinned or file_sha256(self.found)

    def read(self) -> dict[str, torch.Tensor]:
        """The weights by name, on the CPU. Nothing but arrays is read: no code in it is run.

        Raises:
            WeightsError: the file is not there, is not the one pinned, cannot be read, or holds
                something else than weights.
        """
        import torch

        if self.pinned is not None and (actual := file_sha256(self.found)) != self.pinned:
            what = f"{self.found} has the SHA-256 {actual}, not {self.pinned}"
            mend = f"Download it again, or write the hash you mean into {self.where}_sha256"
            raise WeightsError(what, where=self.where, mend=mend)
        try:
            content = torch.load(self.found, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.PickleError) as error:
            what = f"{self.found} cannot be read as a checkpoint of PyTorch: {first_line(error)}"
            mend = "It may be cut off: download it again, and compare its hash"
            raise WeightsError(what, where=self.where, mend=mend) from error
        for part in _PARTS:
            if isinstance(content, dict) and isinstance(content.get(part), dict):
                content = content[part]
        if not isinstance(content, dict) or not content:
            raise other_kind(self.where, "holds no weights by name")
        # Trained on several devices, every name starts with `module.`.
        named = {str(name).removeprefix("module."): value for name, value in content.items()}
        if not all(isinstance(value, torch.Tensor) for value in named.values()):
            raise other_kind(self.where, "holds other things than weights")
        return named


def other_kind(where: str, what: str) -> WeightsError:
    """The error that answers a checkpoint of another model."""
    mend = "Name a checkpoint in the original format (.pth) of the model that this option is for"
    return WeightsError(f"the checkpoint {what}", where=where, mend=mend)


def fetched(name: str, files: tuple[str, ...], where: str, instead: str) -> Path:
    """Folder with files of a repository, out of the cache if need be.

    Args:
        name: `owner/name` or `owner/name@revision`.
        files: their paths in it.
        where: the option that names it.
        instead: what else may be done where there is no network.

    Raises:
        WeightsError: they cannot be had.
    """
    repo, _, revision = name.partition("@")
    return fetch(
        repo, files, revision=revision or None, where=where, missing=files, instead=instead
    )
