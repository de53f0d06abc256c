"""Emu2-Gen's weights on this machine: the Hub's folder or the native file, found, checked, read.

The Hub's folder is a repository, `BAAI/Emu2-Gen`, or a copy of it, with the parts in folders of
their own and the encoder in eight shards. The native file is the one .safetensors that BAAI's own
site offers; what it lacks is taken from beside it, in the folders of the Hub's layout, or else
from the published configuration (see _emu2_published) and, for the tokenizer, from the Hub.

Nothing is read but .safetensors and settings; the remote code of the repository is neither
fetched nor run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covar_gen.core.errors import WeightsError, some
from covar_gen.core.hub import fetch, getting
from covar_gen.editors import _emu2_published as published
from covar_gen.editors._emu2_names import ENCODER, NAMED, PREFIXES, Part, Source, sorted_by_part
from covar_gen.editors._emu2_settings import (
    TOKENIZER,
    Place,
    check_name,
    encoder_settings,
    is_own,
    read_json,
    words_of,
)
from covar_gen.editors._emu2_weights import Weights
from covar_gen.neural.headers import FLOATS, entries

PARTS: tuple[Part, ...] = ("visual", "lm", "project_up", "project_down", "unet", "vae")
"""Those that are always loaded."""
CHECKER: Part = "safety_checker"

CONFIGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "unet": ("unet/config.json", published.UNET),
    "vae": ("vae/config.json", published.VAE),
    "scheduler": ("scheduler/scheduler_config.json", published.SCHEDULER),
    CHECKER: (f"{CHECKER}/config.json", published.SAFETY_CHECKER),
}
"""Settings of diffusers' parts: where a folder has them, and what the published ones are."""

STEMS = {ENCODER: "model", "unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model",
         CHECKER: "model"}  # fmt: skip
"""How the files of weights are called, by their folder."""

INDICES = ("safetensors.index.bf16.json", "safetensors.index.json")
SINGLE = ("bf16.safetensors", "safetensors")
"""How the names of an index, and of weights in one file, end: the bfloat16 variant first."""


def find(name: str, where: str, *, safety_checker: bool = False) -> Weights:
    """A checkpoint with all its files on this machine, fetched if need be.

    Only headers and settings are read, which takes no time to speak of.

    Args:
        name: `owner/name` or `owner/name@revision` of the Hub, a folder in its layout, the native
            file, or a folder with that file alone.
        where: the option that names it, for error messages.
        safety_checker: True if the safety checker is wanted too.

    Raises:
        WeightsError: it is nothing of this; it cannot be had; files are missing, cut off, or of
            another kind; or there are tensors that Emu2-Gen has not.
    """
    path = Path(name).expanduser()
    folders = [folder for folder in STEMS if folder != CHECKER or safety_checker]
    if path.is_file():
        # Not resolved: what lies beside a link need not lie beside the file.
        return _native(path.absolute(), where, safety_checker=safety_checker)
    if path.is_dir():
        path = path.resolve()
        alone = list(path.glob("*.safetensors"))
        if not (path / ENCODER).is_dir() and len(alone) == 1:
            return _native(alone[0], where, safety_checker=safety_checker)
        mend = f"Fetch them again: hf download {published.REPO} --local-dir {path}"
        place = Place(where, path, "", lambda _: path, mend)
    elif is_own(name):
        mend = "Check the path, which is relative to the recipe"
        raise WeightsError(f"there is no {path}", where=where, mend=mend)
    else:
        place = _on_hub(name, where, folders)
    return _folder(place, folders)


def _on_hub(name: str, where: str, folders: Sequence[str]) -> Place:
    check_name(name, where)
    repo, _, revision = name.partition("@")

    def get(files: Sequence[str]) -> Path:
        return fetch(
            repo,
            files,
            revision=revision or None,
            where=where,
            missing=[f"{ENCODER}/config.json"],
            instead="or copy its folder here and name the folder, or name the native file",
        )

    mend = f"With a network {getting(repo, revision)}; or choose {published.REPO}"
    return Place(where, get(_settings(folders)), repo, get, mend)


def _settings(folders: Sequence[str]) -> list[str]:
    """Files beside the weights, as a folder of the Hub has them."""
    parts = [folder for folder in folders if folder != CHECKER]
    found = [f"{ENCODER}/config.json", *(f"tokenizer/{each}" for each in TOKENIZER)]
    found += [file for part, (file, _) in CONFIGS.items() if part in ("scheduler", *folders)]
    return [*found, *(f"{part}/{STEMS[part]}.{end}" for part in parts for end in INDICES)]


def _folder(place: Place, folders: Sequence[str]) -> Weights:
    """The checkpoint in a folder of the Hub's layout."""
    path = place.path
    wanted = [f"{ENCODER}/config.json"]
    wanted += [file for part, (file, _) in CONFIGS.items() if part in ("scheduler", *folders)]
    missing = [file for file in wanted if not (path / file).is_file()]
    words = words_of(path / "tokenizer")
    missing += [] if words else [f"tokenizer/{TOKENIZER[0]}"]
    if missing:
        mend = place.mend
        if (path.parent / ENCODER) == path:
            mend = f"Name the folder above it: {path.parent}"
        what = f"{place.repo or path} is no Emu2-Gen: it lacks {some(missing, NAMED)}"
        raise place.error(what, mend)
    files = _weights(place, folders)
    tensors: dict[Part, dict[str, Source]] = {}
    for folder in folders:
        tensors |= _read(files[folder], folder, place)
    configs = {
        part: read_json(path / file, place)
        for part, (file, _) in CONFIGS.items()
        if part in ("scheduler", *folders)
    }
    both = read_json(path / f"{ENCODER}/config.json", place)
    return _checked(place, "hub", {**configs, **encoder_settings(both, place)}, words, tensors)


def _native(file: Path, where: str, *, safety_checker: bool) -> Weights:
    """The checkpoint in one file."""
    mend = (
        f"Name the native file of Emu2-Gen as it is published, or the repository {published.REPO}"
    )
    place = Place(where, file, "", lambda _: file.parent, mend)
    tensors = _read([file], "native", place)
    wanted: list[Part] = [*PARTS, *([CHECKER] if safety_checker else [])]
    if not safety_checker:
        tensors.pop(CHECKER, None)
    if missing := [part for part in wanted if part not in tensors]:
        what = f"{file} is no Emu2-Gen: it has no weights of {', '.join(missing)}"
        raise place.error(what)
    configs = {
        part: read_json(beside, place)
        if (beside := file.parent / name).is_file()
        else dict(default)
        for part, (name, default) in CONFIGS.items()
        if part != CHECKER or safety_checker
    }
    beside = file.parent / ENCODER / "config.json"
    if beside.is_file():
        configs |= encoder_settings(read_json(beside, place), place)
    else:
        configs |= {"visual": dict(published.VISUAL), "lm": dict(published.LANGUAGE)}
    near = (file.parent / name for name in ("tokenizer", "llama_config", "."))
    words = next((found for each in near if (found := words_of(each))), ())
    if not words:
        instead = f"or copy its folder `tokenizer` into {file.parent}"
        names = [f"tokenizer/{name}" for name in TOKENIZER]
        words = words_of(fetch(published.REPO, names, where=where, instead=instead) / "tokenizer")
    if not words:
        raise place.error(f"{file.parent} lacks a tokenizer", f"Copy {TOKENIZER[0]} beside {file}")
    return _checked(place, "native", configs, words, tensors)


def _weights(place: Place, folders: Sequence[str]) -> dict[str, list[Path]]:
    """Files of weights by folder, fetched if need be: the first choice that is there whole."""
    found: dict[str, list[Path]] = {}
    choices = {folder: _choices(place.path / folder, STEMS[folder], place) for folder in folders}
    for turn in range(max(map(len, choices.values()))):
        left = {
            folder: [f"{folder}/{name}" for name in turns[turn]]
            for folder, turns in choices.items()
            if folder not in found and turn < len(turns)
        }
        if left:
            place.get([name for names in left.values() for name in names])
        for folder, names in left.items():
            files = [place.path / name for name in names]
            if all(file.is_file() for file in files):
                found[folder] = files
    missing = [
        f"{folder}/{name}"
        for folder in folders
        if folder not in found
        for name in choices[folder][0]
        if not (place.path / folder / name).is_file()
    ]
    if missing:
        raise place.error(f"{place.path} is incomplete: it lacks {some(missing, NAMED)}")
    return found


def _choices(folder: Path, stem: str, place: Place) -> list[list[str]]:
    """Names of files that would be a part's weights, the likeliest first."""
    found = []
    for ending in INDICES:
        index = folder / f"{stem}.{ending}"
        if index.is_file():
            listed = read_json(index, place).get("weight_map")
            if not isinstance(listed, dict) or not listed:
                raise place.error(f"{index} names no files", "It is damaged: fetch it again")
            found.append(sorted({Path(str(name)).name for name in listed.values()}))
    return found + [[f"{stem}.{ending}"] for ending in SINGLE]


def _read(files: Sequence[Path], prefixes: str, place: Place) -> dict[Part, dict[str, Source]]:
    """Tensors of files that share their prefixes."""
    listed = [entry for file in files for entry in entries(file, place.where)]
    found, unknown = sorted_by_part(listed, PREFIXES[prefixes])
    if unknown:
        told = f"{_number(unknown)} that Emu2-Gen has not: {some(unknown, NAMED)}"
        what = f"{files[0].parent} has {told}"
        raise place.error(what, "Name the weights of Emu2-Gen, as they are published")
    kinds = {entry.kind for named in found.values() for s in named.values() for entry in s.entries}
    if odd := sorted(kinds - FLOATS):
        what = f"{files[0].parent} has weights of the type {', '.join(odd)}"
        mend = "Name the published ones, in bfloat16; quantised weights are not read"
        raise place.error(what, mend)
    return found


def _checked(
    place: Place,
    layout: Any,
    configs: dict[str, dict[str, Any]],
    words: tuple[Path, ...],
    tensors: dict[Part, dict[str, Source]],
) -> Weights:
    """The checkpoint, its vocabulary that of the weights."""
    embedded = tensors["lm"].get("embed_tokens.weight") if "lm" in tensors else None
    if embedded is not None:
        # The settings of the native file count the words without those that were added.
        configs["lm"] = {**configs["lm"], "vocab_size": embedded.shape[0]}
    return Weights(place.where, place.path, place.repo, layout, configs, words, tensors)


def _number(names: Sequence[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) != 1)}"
