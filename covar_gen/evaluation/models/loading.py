"""Models by name: `ViT-B-16-quickgelu/openai`, `hf-hub:owner/name`, `local:PATH`, `toy:NAME`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.errors import MissingExtraError, ModelError
from covar_gen.core.shipped import shipped
from covar_gen.core.values import unknown
from covar_gen.evaluation.models.base import Model, Precision
from covar_gen.evaluation.models.tokenizing import Tokenizer

if TYPE_CHECKING:
    import torch

HUB, LOCAL, TOY = "hf-hub:", "local:", "toy:"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
TOYS = "toy-models"
"""Folder of manifests/ with the toy models."""


def load_model(
    name: str, device: str = "cpu", precision: Precision = "fp32", revision: str | None = None
) -> Model:
    """Load a model, ready to encode: evaluation mode, weights checked, nothing assumed.

    Args:
        name: `NAME/tag` of open_clip; `hf-hub:owner/name` or `hf-hub:owner/name@revision`;
            `local:FOLDER` with open_clip_config.json or a transformers config.json and weights;
            `toy:NAME` of the toys that come with this package.
        device: as torch names it: cpu, cuda, cuda:1, mps.
        precision: of the towers' arithmetic.
        revision: of an `hf-hub:` model, when it is not part of the name.

    Returns:
        The model; its embeddings are float32 whatever the precision.

    Raises:
        ModelError: no such model, its weights cannot be had or are damaged, its activation is not
            the one it was trained with, or its preprocessing is not known.
        MissingExtraError: the packages it needs are not installed.
    """
    require(name, "torch", "open_clip", "transformers", "safetensors")
    if precision not in PRECISIONS:
        mend = f"Known: {', '.join(PRECISIONS)}"
        raise ModelError(f"unknown precision {precision!r}", where=name, mend=mend)
    check_device(device, name)
    if name.startswith(HUB):
        return _from_hub(name, device, precision, revision)
    if revision is not None:
        mend = "Leave revision out; the weights' hash is recorded"
        raise ModelError("only hf-hub: models have a revision", where=name, mend=mend)
    if name.startswith(LOCAL):
        folder = Path(name.removeprefix(LOCAL)).expanduser().resolve()
        return _from_folder(folder, f"{LOCAL}{folder.name}", "", device, precision)
    if name.startswith(TOY):
        return _from_folder(_toy_folder(name.removeprefix(TOY)), name, "", device, precision)
    from covar_gen.evaluation.models.open_clip_loading import from_tag

    return from_tag(name, device, precision)


def check_model(name: str) -> None:
    """Refuse a name that cannot be loaded, as far as it can be told without loading.

    Whoever wants eighteen models learns of a misspelt one before the first is loaded.

    Raises:
        ModelError: no such pair of open_clip, folder or toy, or a wrong activation.
        MissingExtraError: the packages that models need are not installed.
    """
    require(name, "torch", "open_clip", "transformers", "safetensors")
    if name.startswith(TOY):
        _toy_folder(name.removeprefix(TOY))
    elif name.startswith(LOCAL):
        _check_folder(Path(name.removeprefix(LOCAL)).expanduser(), name)
    elif not name.startswith(HUB):
        from covar_gen.evaluation.models.open_clip_loading import check_tag

        check_tag(name)


def wrap(
    model: object,
    *,
    preprocessing: object | None = None,
    tokenizer: Tokenizer | None = None,
    name: str | None = None,
) -> Model:
    """Put a model of open_clip or transformers that you already have behind the interface.

    The object is used as it is and never changed; its weights and device stay yours.

    Args:
        model: `open_clip.CLIP`, `CustomTextCLIP`, `CoCa`, `transformers.CLIPModel` or
            `SiglipModel`, in evaluation mode.
        preprocessing: of its images: a `Preprocessing`, or the image processor of transformers;
            None if the object knows it (those that `open_clip.create_model` built do).
        tokenizer: a list of T texts -> int64 (T, L): open_clip's or transformers'; None if only
            token ids will be passed.
        name: what results are filed under; the class's name if None.

    Raises:
        ModelError: another kind of object, one in training mode, or its preprocessing is not
            known.
    """
    kind = type(model)
    label = name or kind.__name__
    library = next((each.__module__.partition(".")[0] for each in kind.__mro__[:-1]), "")
    if library == "open_clip" and hasattr(model, "visual"):
        from covar_gen.evaluation.models.open_clip_loading import from_object

        return from_object(model, label, preprocessing, tokenizer)
    if library == "transformers":
        from covar_gen.evaluation.models.transformers_loading import (
            from_object as from_transformers,
        )

        return from_transformers(model, label, preprocessing, tokenizer)
    mend = "Pass a model of open_clip, or transformers' CLIPModel or SiglipModel"
    raise ModelError(f"{kind.__module__}.{kind.__name__} is not known", where=label, mend=mend)


def require(name: str, *modules: str) -> None:
    """Refuse a model whose packages are not installed.

    Raises:
        MissingExtraError: which ones, and how to install them.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        what = f"models need {', '.join(missing)}, not installed here"
        raise MissingExtraError(what, where=name, mend="Type: pip install 'covar-gen[evaluate]'")


def check_device(device: str, where: str) -> torch.device:
    """The device, if there is one of that name here.

    Raises:
        ModelError: there is not.
    """
    import torch

    try:
        found = torch.device(device)
    except RuntimeError as error:
        known = "cpu, cuda, cuda:1, mps"
        what = f"{device!r} is no device"
        raise ModelError(what, where=where, mend=f"Write one of: {known}") from error
    if found.type not in ("cpu", "cuda", "mps"):
        what = f"device {device} cannot hold a model"
        raise ModelError(what, where=where, mend="Use one of: cpu, cuda, cuda:1, mps")
    if found.type == "cuda":
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= there:
            what = f"device {device} is not there ({there} CUDA devices are)"
            raise ModelError(what, where=where, mend="Use another device: --device cpu")
    if found.type == "mps" and not torch.backends.mps.is_available():
        mend = "Use another device: --device cpu"
        raise ModelError("device mps is not there", where=where, mend=mend)
    return found


def _from_hub(name: str, device: str, precision: Precision, revision: str | None) -> Model:
    from covar_gen.evaluation.models.hub import SMALL, fetch

    repo, at, written = name.removeprefix(HUB).partition("@")
    if at and revision is not None and revision != written:
        what = f"two revisions: {written!r} and {revision!r}"
        raise ModelError(what, where=name, mend="Name one of them")
    revision = (written if at else revision) or None
    name = f"{HUB}{repo}@{revision}" if revision else f"{HUB}{repo}"
    folder = fetch(repo, SMALL, revision=revision, where=name)
    if (folder / "open_clip_config.json").is_file():
        wanted = [["open_clip_model.safetensors"], ["open_clip_pytorch_model.bin"]]
    else:
        wanted = [["model*.safetensors"], ["pytorch_model*.bin"]]
    for patterns in wanted:
        folder = fetch(repo, patterns, revision=revision, where=name)
        if any(folder.glob(patterns[0])):
            return _from_folder(folder, name, repo, device, precision)
    what = f"{repo} holds no weights of a known name ({wanted[0][0]}, {wanted[1][0]})"
    raise ModelError(what, where=name, mend="Choose another repository, or download it: local:PATH")


def _from_folder(folder: Path, name: str, repo: str, device: str, precision: Precision) -> Model:
    """The model in a folder; `repo` is where it was fetched from, empty for the user's own."""
    _check_folder(folder, name)
    if (folder / "open_clip_config.json").is_file():
        from covar_gen.evaluation.models.open_clip_loading import from_folder

        return from_folder(folder, name, repo, device, precision)
    from covar_gen.evaluation.models.transformers_loading import from_folder as from_transformers

    return from_transformers(folder, name, repo, device, precision)


def _check_folder(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise ModelError("there is no such folder", where=name, mend="Check the path after local:")
    if any((folder / file).is_file() for file in ("open_clip_config.json", "config.json")):
        return
    what = "it holds neither open_clip_config.json nor config.json"
    mend = "Name a folder that open_clip or transformers saved a model in"
    raise ModelError(what, where=name, mend=mend)


def _toy_folder(name: str) -> Path:
    folder = shipped("manifests") / TOYS
    known = sorted(path.name for path in folder.glob("*/") if path.is_dir())
    if name not in known:
        raise unknown("toy model", name, known, f"{TOY}{name}", ModelError)
    return folder / name
