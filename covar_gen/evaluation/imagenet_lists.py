"""ImageNet's names, templates and synset lists, read from the packages that keep them.

Names and templates lie in open_clip (`zero_shot_metadata.py`), synsets in timm
(`data/_info/*.txt`). Both are read as files: importing either package would load torch, and a
copy here could fall behind theirs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from covar_gen.core.errors import MissingExtraError
from covar_gen.core.imagenet import by_wnid

TEMPLATES = {"openai": "OPENAI_IMAGENET_TEMPLATES", "simple": "SIMPLE_IMAGENET_TEMPLATES"}
"""Sets of templates in open_clip: the 80 of CLIP's notebook, and its 7."""

SUBSETS = {"imagenet-a": "imagenet_a_synsets.txt", "imagenet-r": "imagenet_r_synsets.txt"}
"""Lists of timm with the 200 classes of ImageNet-A and of ImageNet-R."""


@cache
def class_names() -> tuple[str, ...]:
    """open_clip's names of the 1000 classes, by index; 998 of them are distinct.

    Raises:
        MissingExtraError: open_clip is not installed.
    """
    return tuple(_metadata()["IMAGENET_CLASSNAMES"])


@cache
def templates(name: str) -> tuple[str, ...]:
    """A set of `TEMPLATES`, each with `{}` where the name goes.

    Raises:
        MissingExtraError: open_clip is not installed.
    """
    return tuple(template("{}") for template in _metadata()[TEMPLATES[name]])


@cache
def wnids() -> tuple[str, ...]:
    """WordNet ids of the 1000 classes, by index.

    Raises:
        MissingExtraError: timm is not installed.
    """
    return _lines("imagenet_synsets.txt")


def subset(name: str) -> tuple[int, ...]:
    """Indices in ImageNet of the classes of one of `SUBSETS`, in the order of its list.

    Raises:
        MissingExtraError: timm is not installed.
    """
    index = {wnid: place for place, wnid in enumerate(wnids())}
    return tuple(index[wnid] for wnid in _lines(SUBSETS[name]))


@cache
def lemmas() -> Mapping[str, str]:
    """First lemma of every synset that timm knows, ImageNet-21k's among them, by wnid.

    Raises:
        MissingExtraError: timm is not installed.
    """
    pairs = (line.partition("\t") for line in _lines("imagenet_synset_to_lemma.txt"))
    return MappingProxyType({wnid: names.split(",")[0].strip() for wnid, _, names in pairs})


@cache
def indices_by_name() -> Mapping[str, tuple[int, ...]]:
    """Folded name -> indices of the classes that bear it, as open_clip or as WordNet names them.

    Raises:
        MissingExtraError: open_clip is not installed.
    """
    found: dict[str, set[int]] = {}
    for index, name in enumerate(class_names()):
        found.setdefault(folded(name), set()).add(index)
    for entry in by_wnid().values():
        found.setdefault(folded(entry.name), set()).add(entry.index)
    return MappingProxyType({name: tuple(sorted(some)) for name, some in found.items()})


def folded(name: str) -> str:
    """A name as names are compared: without case, underscores as spaces."""
    return " ".join(name.replace("_", " ").casefold().split())


@cache
def _metadata() -> Mapping[str, Any]:
    path = _package("open_clip") / "zero_shot_metadata.py"
    spec = importlib.util.spec_from_file_location("covar_gen_zero_shot_metadata", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise _missing("open_clip, in a version with zero_shot_metadata.py,")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return MappingProxyType(vars(module))


@cache
def _lines(name: str) -> tuple[str, ...]:
    path = _package("timm") / "data" / "_info" / name
    if not path.is_file():
        raise _missing(f"timm, in a version with data/_info/{name},")
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _package(name: str) -> Path:
    """Folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _missing(f"{name},")
    return Path(spec.origin).parent


def _missing(what: str) -> MissingExtraError:
    mend = "Type: pip install 'covar-gen[evaluate]'"
    return MissingExtraError(
        f"ImageNet's classes are read from {what} not installed here", mend=mend
    )
