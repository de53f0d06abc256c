"""Emu2-Gen's weights, read tensor by tensor.

A checkpoint of 80 GB is never in main memory as a whole: each tensor is mapped from its file, and
gone once it has been copied to where it computes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covar_gen.core.arrays import Json
from covar_gen.core.checkpoints import model_name
from covar_gen.core.digests import file_sha256, named_sha256, together
from covar_gen.core.errors import WeightsError
from covar_gen.editors._emu2_names import Layout, Part, Source

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Stream:
    """The tensors of one part, read from the files one by one as they are asked for.

    Attributes:
        weights: that it belongs to.
        part: whose tensors.
    """

    weights: Weights
    part: Part

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name, told from the headers."""
        return {name: source.shape for name, source in self._named.items()}

    @property
    def _named(self) -> Mapping[str, Source]:
        return self.weights.tensors.get(self.part, {})

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Pairs of a name and a tensor on the CPU that lies in the file, mapped into memory.

        Whoever keeps a tensor copies it: the file's pages are the machine's to drop.

        Raises:
            WeightsError: a file can no longer be read, or the keys of the tower have a bias.
        """
        import torch
        from safetensors import SafetensorError, safe_open

        file: Path | None = None
        opened: Any = None
        for name, source in self._named.items():
            found = []
            for entry in source.entries:
                try:
                    if opened is None or entry.file != file:
                        file, opened = entry.file, safe_open(entry.file, framework="pt")
                    found.append(opened.get_tensor(entry.key))
                except (OSError, SafetensorError) as error:
                    what = f"{entry.file} can no longer be read: {error}"
                    mend = "Check the disk, or fetch the file again"
                    raise WeightsError(what, where=self.weights.where, mend=mend) from error
            if len(found) > 1:
                queries, values = found
                yield name, torch.cat([queries, torch.zeros_like(queries), values])
                continue
            if self.part == "visual" and name.endswith("attn.qkv.bias"):
                self._check_keys(name, found[0])
            yield name, found[0]

    def _check_keys(self, name: str, bias: torch.Tensor) -> None:
        keys = bias.chunk(3)[1]
        if keys.any():
            what = f"{self.weights.path} gives the keys of {name} a bias, which Emu2's have not"
            mend = "Name the weights of Emu2-Gen, or fetch them again"
            raise WeightsError(what, where=self.weights.where, mend=mend)


@dataclass(frozen=True)
class Weights:
    """A checkpoint of Emu2-Gen on this machine, all its files there and whole.

    Attributes:
        where: the option that names it, for error messages.
        path: the folder, or the native file.
        repo: `owner/name` on the Hub; empty for files of the user's own.
        layout: of the files.
        configs: by part: `visual` as BAAI names the tower's settings, `lm` as transformers'
            LlamaConfig takes them, `unet`, `vae`, `scheduler` as diffusers' classes do, and
            `safety_checker` where it was asked for.
        words: files of the tokenizer: tokenizer.json, tokenizer.model or both, and settings.
        tensors: by part and name.
    """

    where: str
    path: Path
    repo: str
    layout: Layout
    configs: Mapping[str, dict[str, Any]]
    words: tuple[Path, ...]
    tensors: Mapping[Part, Mapping[str, Source]] = field(repr=False)

    @property
    def tokenizer(self) -> Path:
        """Folder with the tokenizer's files."""
        return self.words[0].parent

    def stream(self, part: Part) -> Stream:
        """Names and tensors of a part, one at a time; see Stream."""
        return Stream(self, part)

    def bytes(self, part: Part) -> int:
        """Size of a part in its files."""
        named = self.tensors.get(part, {})
        return sum(entry.bytes for source in named.values() for entry in source.entries)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files of weights, sorted."""
        every = (source for named in self.tensors.values() for source in named.values())
        return tuple(sorted({entry.file for source in every for entry in source.entries}))

    @property
    def model(self) -> str:
        """`repo@commit`; `local:NAME@` and the start of the weights' hash for own files."""
        return model_name(self.repo, self.path, lambda: self.sha256)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights, in hex: of one file, or of all files' `hash  path` lines.

        The Hub's cache names files by their hash; others are read once per process.
        """
        return together((self._short(path), named_sha256(path)) for path in self.files)

    def identity(self) -> dict[str, Json]:
        """What decides its images: hashes of the weights and of the settings beside them."""
        text = json.dumps(self.configs, sort_keys=True)
        listed = [(each.name, file_sha256(each)) for each in self.words]
        listed.append(("configs", hashlib.sha256(text.encode()).hexdigest()))
        return {"sha256": self.sha256, "settings": together(listed)}

    def check_pinned(self, pinned: str | None) -> None:
        """Read all weights and compare their content with the hash that they must have.

        Args:
            pinned: SHA-256 as `sha256` defines it; None: nothing is read.

        Raises:
            WeightsError: a file of the Hub's cache is not what its name says, or all together
                hash to something else.
        """
        if pinned is None:
            return
        found = {path: file_sha256(path) for path in self.files}
        mend = "Delete it and fetch it again"
        for path, actual in found.items():
            if actual != (named := named_sha256(path)):
                what = f"{path} has the SHA-256 {actual}, its name in the cache says {named}"
                raise WeightsError(what, where=self.where, mend=mend)
        actual = together((self._short(path), each) for path, each in found.items())
        if actual != pinned.lower():
            what = f"the weights of {self.path} have the SHA-256 {actual}, not the pinned {pinned}"
            mend = f"Fetch them again, or correct {self.where}_sha256"
            raise WeightsError(what, where=self.where, mend=mend)

    def _short(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix() if self.path.is_dir() else path.name
