"""Pipelines of diffusers: which folder they are loaded from, what it holds, and how they run.

A pipeline is a folder in diffusers' layout, on this machine or on the Hub: `model_index.json`, and
a folder for each part that it names. Remote code is never run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from covar_gen.core.arrays import Json
from covar_gen.core.checkpoints import model_name
from covar_gen.core.digests import named_sha256, together
from covar_gen.core.errors import WeightsError, some
from covar_gen.core.hub import SMALL, fetch, getting, is_repository, no_name
from covar_gen.core.plugins import PluginOptions, WeightsName
from covar_gen.neural.quiet import one_line
from covar_gen.neural.room import check_room, free_memory
from covar_gen.neural.running import Dtype, own_devices
from covar_gen.neural.settings import check_settings, compile_blocks, set_attention
from covar_gen.neural.whole import check_files, lacking

if TYPE_CHECKING:
    import torch

INDEX, CONFIG = "model_index.json", "config.json"
STEMS = ("model", "diffusion_pytorch_model")
"""How files of weights are called; variants such as `model.fp16` are not read."""
OLD_STEM = "pytorch_model"
"""How transformers called them before it wrote .safetensors."""
SETTINGS = SMALL
"""Files beside the weights that decide what a part does."""

LIBRARIES = ("diffusers", "transformers")
"""Whose bars and remarks a loading pipeline would show."""

LEFT_OUT = frozenset({"safety_checker"})
"""Parts that are never loaded: a checker that blackens images without a word has no place in a
benchmark."""

FILES = (
    INDEX,
    *(f"*/{end}" for end in SETTINGS),
    *(f"*/{stem}{middle}.safetensors" for stem in STEMS for middle in ("", "-0*")),
    *(f"!{part}/*" for part in sorted(LEFT_OUT)),
)
"""Patterns of what is read of a pipeline's repository, told before its index is there."""


class DiffusionOptions(PluginOptions):
    """How a pipeline is run; each plugin adds what it paints.

    Attributes:
        weights: `owner/name` or `owner/name@revision` of the Hugging Face Hub, or a folder
            relative to the recipe, in diffusers' layout.
        dtype: float32, bfloat16 or float16; auto: half precision on a GPU that has it.
        batch: images painted together. A GPU that is too small for them takes halves.
        attempts: how often an image is painted at most, where the result cannot be used.
        offload: what waits in the main memory until it is needed: `none`; `model`: whole
            networks; `sequential`: their layers, slowest.
        devices: GPUs of a process. Over more than one, whole networks are spread (diffusers'
            device_map "balanced"), for models of which all networks together are too large.
        compile: compile the repeated blocks of the denoising network.
        attention: backend of its attention, as diffusers names them; left out: PyTorch's own.
            Transformers and Zero123++ take one, Stable Diffusion's networks do not.
        vae_slicing: decode images one after the other, with less memory.
    """

    weights: WeightsName
    dtype: Dtype = "auto"
    batch: int = Field(default=4, ge=1, le=256)
    attempts: int = Field(default=3, ge=1, le=100)
    offload: Literal["none", "model", "sequential"] = "none"
    devices: int = Field(default=1, ge=1, le=16)
    compile: bool = False
    attention: str | None = None
    vae_slicing: bool = True


@dataclass(frozen=True)
class Folder:
    """A pipeline's folder on this machine.

    Attributes:
        where: the option that names it, for error messages.
        path: of the folder.
        repo: `owner/name` on the Hub; empty for a folder of the user's own.
        parts: names of the parts that are read.
    """

    where: str
    path: Path
    repo: str
    parts: tuple[str, ...]

    @property
    def model(self) -> str:
        """`repo@commit`; `local:FOLDER@` and the start of the content's hash for a folder."""
        return model_name(self.repo, self.path, lambda: self.sha256)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over `hash  name` of all files that are read, in hex."""
        files = [file for part in self.parts for file in _files(self.path / part)]
        files += [self.path / INDEX] if "." not in self.parts else []
        return together(
            (file.relative_to(self.path).as_posix(), named_sha256(file)) for file in files
        )

    def identity(self) -> dict[str, Json]:
        """What decides its images: the hash of all that is read."""
        return {"sha256": self.sha256}

    def index(self) -> dict[str, Any]:
        """What model_index.json says.

        Raises:
            WeightsError: it cannot be read.
        """
        return _read(self.path / INDEX, self.where)


def find_pipeline(name: str, where: str, wanted: Sequence[str] | None = None) -> Folder:
    """A pipeline with all its files on this machine, fetched if need be.

    Args:
        name: `owner/name`, `owner/name@revision` or a folder.
        where: the option that names it, for error messages.
        wanted: parts that must be there; None: those that model_index.json names, less LEFT_OUT.

    Raises:
        WeightsError: it cannot be had, or a part is missing, incomplete or cut off.
    """
    path, repo, revision = _place(name, where, [INDEX], FILES)
    parts = _named(_read(path / INDEX, where)) if wanted is None else tuple(wanted)
    return _complete(path, repo, revision, where, (*parts,), [INDEX], FILES)


def is_own(name: str, where: str) -> bool:
    """True if weights are named as a folder of the user's own, there or not, and not the Hub's.

    Args:
        name: as `find_pipeline` takes it.
        where: the option that names it, for error messages.

    Raises:
        WeightsError: it is no folder here, and cannot be a repository of the Hub either.
    """
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute() or name.startswith((".", "~")):
        return True
    repo = name.partition("@")[0]
    # The oldest repositories, which have no owner, hold no pipelines.
    if not is_repository(repo) or "/" not in repo:
        raise no_name(repo, where)
    return False


def weights_of(folder: Folder) -> dict[str, list[Path]]:
    """The files that are read of each of its parts."""
    return {part: _files(folder.path / part) for part in folder.parts}


def find_network(name: str, where: str) -> Folder:
    """One network, whose files lie in the folder itself.

    Args:
        name: `owner/name`, `owner/name@revision` or a folder.
        where: the option that names it, for error messages.

    Raises:
        WeightsError: it cannot be had, is incomplete or cut off.
    """
    path, repo, revision = _place(name, where, [CONFIG])
    return _complete(path, repo, revision, where, (".",), [])


def load_pipeline(
    folder: Folder, kind: str, options: DiffusionOptions, device: torch.device, dtype: torch.dtype
) -> Any:
    """A pipeline of diffusers on a device, as the options say.

    Args:
        folder: where its parts are.
        kind: name of diffusers' class, such as AutoPipelineForInpainting.
        options: how it runs.
        device: where it computes; its networks are spread if the options say so.
        dtype: of its networks.

    Raises:
        WeightsError: this version of diffusers lacks the class, or the folder does not fit it.
        PluginError: an attention backend, compiling, or offloading, that cannot be had here.
        DeviceMemoryError: the device cannot hold the weights.
    """
    import diffusers

    cls = getattr(diffusers, kind, None)
    if cls is None:
        what = f"diffusers {diffusers.__version__} has no {kind}"
        raise WeightsError(what, where=folder.where, mend="Type: pip install -U diffusers")
    check_settings(options, device, folder.where)
    named = (folder.where, folder.model, folder.repo)
    several = options.devices > 1
    devices = own_devices(options.devices, folder.where) if several else (device,)
    check_room(weights_of(folder), devices, dtype, options.offload, named)
    left_out = {name: None for name in LEFT_OUT if folder.index().get(name, [None])[0]}
    with one_line(folder.model, folder.where, LIBRARIES):
        pipe = cls.from_pretrained(
            folder.path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            **left_out,
            **_spread(devices),
        )
    pipe.set_progress_bar_config(disable=True)
    network = getattr(pipe, "transformer", None) or pipe.unet
    if options.attention is not None:
        set_attention(network, options.attention, folder.where)
    if getattr(pipe, "watermark", None) is not None:
        # Where invisible-watermark is installed, Stable Diffusion XL would mark every picture.
        pipe.watermark = None
    if options.vae_slicing:
        pipe.vae.enable_slicing()
    if options.compile:
        compile_blocks(network, folder.where)
    if options.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif options.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    elif options.devices == 1:
        pipe.to(device)
    return pipe


def _spread(devices: Sequence[torch.device]) -> dict[str, Any]:
    """What has diffusers spread a pipeline's networks over devices."""
    if len(devices) == 1:
        return {}
    room = {device.index: free_memory(device) for device in devices}
    return {"device_map": "balanced", "max_memory": room}


def _place(
    name: str, where: str, files: list[str], told: Sequence[str] = ()
) -> tuple[Path, str, str]:
    """The folder, and repository and revision where it is the Hub's."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve(), "", ""
    if path.is_file():
        mend = "Name a folder in diffusers' layout, in which each network has a folder of its own"
        raise WeightsError(f"{path} is a file, and no folder", where=where, mend=mend)
    if path.is_absolute() or name.startswith((".", "~")):
        mend = "Check the path, which is relative to the recipe"
        raise WeightsError(f"there is no folder {path}", where=where, mend=mend)
    repo, _, revision = name.partition("@")
    found = fetch(repo, files, revision=revision or None, where=where, files=told)
    return found, repo, revision


def _complete(
    path: Path,
    repo: str,
    revision: str,
    where: str,
    parts: tuple[str, ...],
    files: list[str],
    told: Sequence[str] = (),
) -> Folder:
    """Fetch what is lacking, and see that every part is there with its weights."""

    def get(endings: Sequence[str], among: Sequence[str]) -> Path:
        wanted = [f"{part}/{end}".removeprefix("./") for part in among for end in endings]
        every = [*files, *wanted]
        return fetch(repo, every, revision=revision or None, where=where, files=told)

    if repo:
        path = get([*SETTINGS, *_weights("safetensors")], parts)
        bare = [part for part in parts if _is_network(path / part) and not _has(path / part)]
        path = get(_weights("bin"), bare) if bare else path
    missing = [file for file in files if not (path / file).is_file()]
    kinds = _kinds(_read(path / INDEX, where)) if INDEX in files and not missing else {}
    for part in parts:
        missing += _missing(path / part, part, kinds.get(part, ""), where)
    if missing:
        mend = "Name a folder in diffusers' layout, with the weights of every part"
        if repo:
            mend = f"With a network {getting(repo, revision)}; or choose another repository"
        names = "its weights" if missing == ["."] else some(missing)
        raise WeightsError(f"{path} lacks {names}", where=where, mend=mend)
    check_files((file for part in parts for file in _files(path / part)), where)
    return Folder(where, path, repo, parts)


def _missing(folder: Path, part: str, kind: str, where: str) -> list[str]:
    """What a part lacks: files; itself, where it has none or, of a network, no weights."""
    if not _files(folder):
        return [part]
    files = lacking(folder, where, kind)
    if not files and _is_network(folder) and not _has(folder):
        return [part]
    return [f"{part}/{file}".removeprefix("./") for file in files]


def _weights(ending: str) -> list[str]:
    stems = (*STEMS, OLD_STEM) if ending == "bin" else STEMS
    return [f"{stem}{middle}.{ending}" for stem in stems for middle in ("", "-0*")]


def _files(folder: Path) -> list[Path]:
    """Files of a part that are read."""
    endings = (*SETTINGS, *_weights("safetensors"))
    found = {path for end in endings for path in folder.glob(end)}
    if not any(path.suffix == ".safetensors" for path in found):
        found |= {path for end in _weights("bin") for path in folder.glob(end)}
    return sorted(found)


def _is_network(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def _has(folder: Path) -> bool:
    return any(path.suffix in {".safetensors", ".bin"} for path in _files(folder))


def _named(index: dict[str, Any]) -> tuple[str, ...]:
    """Parts that model_index.json names and that are loaded."""
    return tuple(name for name in _kinds(index) if name not in LEFT_OUT)


def _kinds(index: dict[str, Any]) -> dict[str, str]:
    """The class of each part that model_index.json names."""
    return {
        name: value[-1]
        for name, value in index.items()
        if isinstance(value, list)
        and value
        and value[0]
        and all(isinstance(each, str) for each in value)
    }


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        mend = f"Name a folder in diffusers' layout, with {path.name}"
        raise WeightsError(f"{path.parent} lacks {path.name}", where=where, mend=mend) from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON", where=where, mend="Fetch it again") from error
    return content if isinstance(content, dict) else {}
