"""Whether the files of a network are all there, and none of them was cut off.

Told from lists of files, sizes, headers and settings: no weights are loaded, so that a broken
download of many gigabytes is seen at once, and not by a library after hours of other stages.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from covar_gen.core.checkpoints import IMAGES, TEXTS
from covar_gen.core.errors import WeightsError, first_line
from covar_gen.neural.headers import entries

CONFIG = "config.json"
STEM, OLD_STEM, DIFFUSERS_STEM = "model", "pytorch_model", "diffusion_pytorch_model"
"""How files of weights are called: by transformers, by it in former years, and by diffusers."""
SETTINGS_OF_WORDS = frozenset(
    {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", CONFIG}
)
"""Files of a tokenizer that do not hold its words."""
PAIRED = ("CLIP", "Qwen2", "GPT2")
"""How classes of tokenizers begin whose words lie in two files, where not in one."""
WORDLESS = "ByT5"
"""Such a tokenizer reads bytes and has no words."""
ZIP, ZIPPED = b"PK\x03\x04", (".bin", ".pth", ".pt")
"""How a zip archive starts, and files that torch writes as one, and wrote otherwise before."""


def lacking(folder: Path, where: str, kind: str = "") -> list[str]:
    """Files that are not there and without which a folder cannot be loaded, sorted.

    Args:
        folder: of one network, tokenizer, image processor or scheduler, which is there.
        where: the option that names it, for error messages.
        kind: its class of diffusers or transformers; empty: not known.

    Returns:
        Names; ` or ` stands between those of which one is enough.

    Raises:
        WeightsError: a list of sharded weights cannot be read.
    """
    there = {path.name for path in folder.iterdir()}
    wanted = _shards(folder, there, where)
    if any(name.endswith((".safetensors", ".bin")) for name in there):
        wanted.add(CONFIG)
    if kind.endswith("Scheduler"):
        wanted.add("scheduler_config.json")
    groups = [{name} for name in wanted]
    if "Tokenizer" in kind and not kind.startswith(WORDLESS):
        words = {name for name in there if name.endswith((".json", ".txt", ".model"))}
        groups.append({*TEXTS, *words} - SETTINGS_OF_WORDS)
        if kind.startswith(PAIRED) and "vocab.json" in there:
            groups.append({"merges.txt", "tokenizer.json"})
    elif "FeatureExtractor" in kind or ("ImageProcessor" in kind and not kind.startswith("Vae")):
        groups.append({*IMAGES})
    return sorted(" or ".join(sorted(group)) for group in groups if not group & there)


def _shards(folder: Path, there: set[str], where: str) -> set[str]:
    """The files that the lists of sharded weights name, of the lists that are read."""
    indices = [f"{DIFFUSERS_STEM}.safetensors.index.json"]
    if f"{STEM}.safetensors" not in there:
        indices.append(f"{STEM}.safetensors.index.json")
    if not any(name.endswith((".safetensors", ".safetensors.index.json")) for name in there):
        indices += [f"{stem}.bin.index.json" for stem in (OLD_STEM, DIFFUSERS_STEM)]
    found: set[str] = set()
    for index in there.intersection(indices):
        try:
            named = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"]
            found |= {str(name) for name in named.values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{folder / index} names no files"
            raise WeightsError(what, where=where, mend="Fetch it again") from error
    return found


def check_files(files: Iterable[Path], where: str) -> None:
    """Refuse files that are empty or were cut off.

    Args:
        files: of weights and settings.
        where: the option that names them, for error messages.

    Raises:
        WeightsError: the first of them, in the order of their names.
    """
    for file in sorted(files):
        try:
            _check_file(file, where)
        except OSError as error:
            what = f"{file} cannot be read: {error.strerror or error}"
            mend = "Check that it is there, and its rights"
            raise WeightsError(what, where=where, mend=mend) from error


def _check_file(file: Path, where: str) -> None:
    mend = "Fetch it again, with enough space on the disk"
    size = file.stat().st_size
    if not size:
        raise WeightsError(f"{file} is empty", where=where, mend=mend)
    if file.suffix == ".safetensors":
        entries(file, where)
        return
    if file.suffix in ZIPPED:
        with file.open("rb") as stream:
            start = stream.read(len(ZIP))
        if start == ZIP and not zipfile.is_zipfile(file):
            what = f"{file} is cut off: what torch writes at its end is missing"
            raise WeightsError(what, where=where, mend=mend)
    if file.suffix == ".json":
        try:
            json.loads(file.read_bytes())
        except ValueError as error:
            what = f"{file} is cut off, or no JSON: {first_line(error)}"
            raise WeightsError(what, where=where, mend=mend) from error
