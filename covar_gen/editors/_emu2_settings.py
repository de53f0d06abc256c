"""Which weights of Emu2-Gen are meant, and what stands beside them: settings and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covar_gen.core.errors import WeightsError
from covar_gen.core.hub import command
from covar_gen.core.pins import revision_of
from covar_gen.editors import _emu2_published as published
from covar_gen.editors._emu2_names import ENCODER

TOKENIZER = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
"""Files of the tokenizer; one of the first two holds its words."""

UNLIKE: Mapping[str, Any] = {
    "rope": False, "naiveswiglu": False, "subln": False, "global_average_pool": False,
    "init_value": None, "postnorm": True, "qkv_bias": True,
}  # fmt: skip
"""What Emu2-Gen's tower is not, by the name of the setting; another value is refused."""

THETA = 10000.0
"""Base of the language model's rotary positions: LLaMA's, which transformers takes anyway."""

Get = Callable[[Sequence[str]], Path]
"""Brings files of a checkpoint here, by their names in it, and says in which folder they lie."""


@dataclass(frozen=True)
class Place:
    """Where a checkpoint is looked for.

    Attributes:
        where: the option that names it, for error messages.
        path: its folder, or the native file.
        repo: on the Hub; empty for files of the user's own.
        get: brings files of it here.
        mend: what to do where something is missing.
    """

    where: str
    path: Path
    repo: str
    get: Get
    mend: str

    def error(self, what: str, mend: str = "") -> WeightsError:
        """An error that says where.

        Args:
            what: is wrong.
            mend: what to do about it, if not what is missing.
        """
        return WeightsError(what, where=self.where, mend=mend or self.mend)


def is_own(name: str) -> bool:
    """True if a checkpoint's name is that of the user's own files, there or not, and not the Hub's.

    Args:
        name: as `find` takes it.
    """
    path = Path(name).expanduser()
    meant = path.is_absolute() or name.startswith((".", "~")) or path.suffix == ".safetensors"
    return meant or path.exists()


def check_name(name: str, where: str) -> None:
    """Refuse the name of a checkpoint that is neither here nor can be on the Hub.

    Args:
        name: as `find` takes it, of no file and no folder.
        where: the option that names it, for error messages.

    Raises:
        WeightsError: it is no `owner/name`.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    repo = name.partition("@")[0]
    what = f"{name!r} is no folder and no file here, and no owner/name of the Hugging Face Hub"
    mend = f"Check the path, which is relative to the recipe, or write {published.REPO}"
    # The Hub's own library takes names without an owner, of the time when there were some.
    if "/" not in repo:
        raise WeightsError(what, where=where, mend=mend)
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise WeightsError(what, where=where, mend=mend) from error


def words_in_cache(name: str, where: str) -> tuple[Path, int] | None:
    """What decides which prompts can be read, where the Hub's cache has it; the Hub is not asked.

    Args:
        name: `owner/name` or `owner/name@revision`.
        where: the option that names it, for error messages.

    Returns:
        The tokenizer's folder, and how many positions the language model has.

    Raises:
        WeightsError: it is no `owner/name`, or its settings are another network's.
    """
    from huggingface_hub import try_to_load_from_cache

    check_name(name, where)
    repo, _, revision = name.partition("@")
    file = f"{ENCODER}/config.json"
    config = try_to_load_from_cache(repo, file, revision=revision_of(repo, revision or None))
    if not isinstance(config, str):
        return None
    folder = Path(config).parents[1]
    mend = f"Delete it, and fetch it again: {command(repo, revision)}"
    place = Place(where, folder, repo, lambda _: folder, mend)
    words = words_of(folder / "tokenizer")
    settings = encoder_settings(read_json(folder / file, place), place)["lm"]
    return (words[0].parent, settings["max_position_embeddings"]) if words else None


def words_of(folder: Path) -> tuple[Path, ...]:
    """The tokenizer's files in a folder; nothing where the words are not among them."""
    found = tuple(path for name in TOKENIZER if (path := folder / name).is_file())
    return found if any(path.name in TOKENIZER[:2] for path in found) else ()


def encoder_settings(config: dict[str, Any], place: Place) -> dict[str, dict[str, Any]]:
    """Settings of tower and language model, out of the encoder's on the Hub.

    Args:
        config: content of the encoder's config.json.
        place: that it is from.

    Returns:
        `visual` and `lm`, as in `Weights.configs`.

    Raises:
        WeightsError: they lack a size, or are another network's.
    """
    tower, needed = config.get("vision_config"), list(published.LANGUAGE)[1:5]
    missing = [name for name in needed if not isinstance(config.get(name), int)]
    missing += [] if isinstance(tower, dict) else ["vision_config"]
    if missing:
        raise place.error(f"{ENCODER}/config.json of {place.path} lacks {', '.join(missing)}")
    assert isinstance(tower, dict)
    odd = [name for name, value in UNLIKE.items() if tower.get(name, value) != value]
    odd += [name for name in ("rope_scaling", "attention_bias") if config.get(name)]
    odd += ["rope_theta"] if config.get("rope_theta", THETA) != THETA else []
    if odd:
        what = f"{ENCODER}/config.json of {place.path} asks for another network: {', '.join(odd)}"
        raise place.error(what, "Name the weights of Emu2-Gen, as they are published")
    language = {name: config.get(name, value) for name, value in published.LANGUAGE.items()}
    visual = {name: tower.get(name, value) for name, value in published.VISUAL.items()}
    return {"visual": visual, "lm": language}


def read_json(path: Path, place: Place) -> dict[str, Any]:
    """Content of a file of a checkpoint; empty where it is no object.

    Raises:
        WeightsError: it is no JSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise place.error(f"{path} cannot be read as JSON", "Fetch it again") from error
    return content if isinstance(content, dict) else {}
