"""Text classifiers: one embedding per class, made once for a model and kept.

The embedding of a class is the mean of its prompts' unit embeddings, brought back to unit length
(Radford et al. 2021, section 3.1.4; what open_clip's `build_zero_shot_classifier` computes). It
depends on the text tower's weights, the names, the templates and the precision, and on nothing
else; so a file named by a hash of these serves every evaluation that follows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.errors import ModelError, StorageError
from covar_gen.core.files import Staging, only_one
from covar_gen.evaluation.computing import Device
from covar_gen.evaluation.labels import ClassList
from covar_gen.evaluation.models.base import Model

if TYPE_CHECKING:
    import torch

CACHE = "COVAR_CACHE"
"""Environment variable: where classifiers are kept; `~/.cache/covar-gen` without it."""
VERSION = 1
"""Raised whenever the same model and prompts would give another classifier."""
PROMPTS = 64
"""Prompts that go through the text tower together: fixed, so that rounding never varies."""

Notice = Callable[[str], None]


def cache_folder() -> Path:
    """Where classifiers are kept."""
    given = os.environ.get(CACHE)
    return (Path(given) if given else Path.home() / ".cache" / "covar-gen") / "classifiers"


def classifier_key(model: Model, classes: ClassList) -> str:
    """Names a classifier by everything that decides it: hex."""
    about = {
        "version": VERSION,
        "text": model.text_identity(),
        "names": list(classes.names),
        "templates": list(classes.templates),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def classifier(
    model: Model,
    classes: ClassList,
    device: Device,
    *,
    cache: Path | None = None,
    notice: Notice = print,
) -> torch.Tensor:
    """The class embeddings of a model, from the cache where they are in it.

    Processes that want the same classifier at the same time wait for the first of them.

    Args:
        model: with its text tower still there.
        classes: names and templates.
        device: where the model is.
        cache: a folder; None: `cache_folder()`.
        notice: told when a classifier has to be made.

    Returns:
        float32 (C, D), unit norm, on the CPU. Classes of equal names have equal rows.
    """
    import safetensors.torch

    folder = cache or cache_folder()
    path = folder / f"{classifier_key(model, classes)}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        mend = f"Set {CACHE} to a folder that can be written"
        raise StorageError("text classifiers cannot be kept", where=folder, mend=mend) from error
    with only_one(path.with_suffix(".lock")):
        rows = _kept(path)
        if rows is None:
            prompts = len(set(classes.names)) * len(classes.templates)
            notice(f"{model.name}: making the text classifier ({prompts} prompts)")
            rows = _unique_rows(model, classes, device)
            staging = Staging(folder)
            try:
                data = safetensors.torch.save({"classifier": rows})
                staging.replace(path, data)
            finally:
                staging.close()
    place = {name: number for number, name in enumerate(dict.fromkeys(classes.names))}
    return rows[[place[name] for name in classes.names]]


def _kept(path: Path) -> torch.Tensor | None:
    """A classifier from the cache; None where there is none, or none that is whole."""
    import safetensors
    import safetensors.torch

    try:
        found: torch.Tensor = safetensors.torch.load(path.read_bytes())["classifier"]
    except (FileNotFoundError, safetensors.SafetensorError):
        return None
    return found


def _unique_rows(model: Model, classes: ClassList, device: Device) -> torch.Tensor:
    """One row per distinct name, in order of its first class: float32 (U, D)."""
    import torch

    names = list(dict.fromkeys(classes.names))
    templates = classes.templates
    prompts = [template.replace("{}", name) for name in names for template in templates]
    chunks = [prompts[start : start + PROMPTS] for start in range(0, len(prompts), PROMPTS)]
    found = [device.submit(model.encode_text, chunk) for chunk in chunks]
    embeddings = torch.cat([future.result() for future in found])
    mean = embeddings.reshape(len(names), len(templates), -1).mean(dim=1)
    rows: torch.Tensor = (mean / mean.norm(dim=-1, keepdim=True)).cpu().clone()
    if not torch.isfinite(rows).all():
        what = f"embeddings of texts are not finite numbers in {model.precision}"
        raise ModelError(what, where=model.name, mend="Use --precision bf16 or fp32")
    return rows
