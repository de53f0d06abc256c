"""Checkpoints in the original format: one .pth file each, on this machine or on the Hub."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from covar_gen.core.errors import WeightsError

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

_PARTS = ("model", "state_dict")
"""Keys under which training scripts keep the weights, beside their own state."""


@dataclass(frozen=True)
class Checkpoint:
    """One file of weights.

    Attributes:
        where: the option that names it, for error messages.
        path: the file on this machine; None: it is on the Hub.
        repo: `owner/name` on the Hub.
        file: its path in that repository.
        revision: branch, tag or commit; None for the main branch.
        sha256: what its content must hash to, in hex; None: what the authors published under
            that name, if it is a file of the Hub; otherwise anything.
    """

    where: str
    path: str | None
    repo: str
    file: str
    revision: str | None
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
            path = fetched(self.repo, (self.file,), self.revision, self.where) / self.file
            if not path.is_file():
                what = f"{self.repo} has no file {self.file}"
                raise WeightsError(what, where=self.where, mend="Correct the name of the file")
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
        return self.pinned or _digest(self.found)

    def read(self) -> dict[str, torch.Tensor]:
        """The weights by name, on the CPU. Nothing but arrays is read: no code in it is run.

        Raises:
            WeightsError: the file is not there, is not the one pinned, cannot be read, or holds
                something else than weights.
        """
        import torch

        if self.pinned is not None and (actual := _digest(self.found)) != self.pinned:
            what = f"{self.found} has the SHA-256 {actual}, not {self.pinned}"
            mend = f"Download it again, or write the hash you mean into {self.where}_sha256"
            raise WeightsError(what, where=self.where, mend=mend)
        try:
            content = torch.load(self.found, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.PickleError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            what = f"{self.found} cannot be read as a checkpoint of PyTorch: {said[:160]}"
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


def fetched(repo: str, patterns: tuple[str, ...], revision: str | None, where: str) -> Path:
    """Folder with the files of a repository of the Hub that fit, out of the cache if need be.

    Args:
        repo: `owner/name`.
        patterns: of file names.
        revision: branch, tag or commit; None for the main branch.
        where: the option that names it.

    Raises:
        WeightsError: the Hub cannot be reached or refuses, and the cache does not have them.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    files = " ".join(patterns)
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except LocalEntryNotFoundError as error:
        what = (
            f"{repo} is neither in the cache of the Hugging Face Hub nor can it be fetched; "
            f"missing: {files}"
        )
        mend = (
            f"With a network type: hf download {repo} {files}; then set HF_HUB_OFFLINE=1, "
            f"or copy it here and write its path into {where}"
        )
        raise WeightsError(what, where=where, mend=mend) from error
    except HFValidationError as error:
        what = f"{repo!r} is no name of a repository"
        raise WeightsError(what, where=where, mend="Write owner/name") from error
    except (HfHubHTTPError, OSError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = f"the Hugging Face Hub refuses {repo}: {said}"
        raise WeightsError(what, where=where, mend="Check the name and the revision") from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
