"""The zoo: models worth comparing, one line each of `manifests/models/zoo.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from covar_gen.core.errors import ModelError
from covar_gen.core.shipped import shipped
from covar_gen.core.values import unknown


@dataclass(frozen=True)
class ZooEntry:
    """A model of the zoo.

    Attributes:
        name: as `load_model` takes it.
        label: short, for figures.
        group: paper (the 18 of the paper's table 3, in its order), supplement, or toy.
        repo: where its weights lie on the Hugging Face Hub; empty for toys.
        arch: the architecture, in the words of the paper.
        patch: edge of a patch, pixels.
        resolution: edge of its images, pixels.
        pretraining: the data it was trained on.
        vision_mparams: parameters of its image tower, millions; None where not known.
        gflops: of its image tower per image, 10^9 operations; a multiplication and an addition
            count as one, as in open_clip's model_profile.csv. None where not known.
        imagenet_top1: published zero-shot accuracy on ImageNet-1k in per cent, of open_clip's
            openclip_results.csv; None where none is.
        source: where the paper uses it.
    """

    name: str
    label: str
    group: str
    repo: str
    arch: str
    patch: int
    resolution: int
    pretraining: str
    vision_mparams: float | None
    gflops: float | None
    imagenet_top1: float | None
    source: str

    def summary(self) -> str:
        """One line about the model."""
        facts = [f"{self.group}: {self.label}, {self.resolution} px"]
        if self.vision_mparams is not None:
            facts.append(f"{self.vision_mparams:.0f} M parameters")
        if self.imagenet_top1 is not None:
            facts.append(f"ImageNet {self.imagenet_top1:.1f} %")
        return ", ".join(facts)


def zoo(group: str | None = None) -> list[ZooEntry]:
    """The models of a group, or all, in the order of the file.

    Raises:
        ModelError: no such group.
    """
    if group is None:
        return list(_entries())
    if group not in groups():
        raise unknown("group of models", group, groups(), "", ModelError)
    return [entry for entry in _entries() if entry.group == group]


def groups() -> list[str]:
    """Names of the groups, in the order of the file."""
    return list(dict.fromkeys(entry.group for entry in _entries()))


def members(name: str) -> list[str] | None:
    """Names of the models of a group; None if it is the name of none."""
    return [entry.name for entry in zoo(name)] if name in groups() else None


def expand(names: str | Iterable[str]) -> list[str]:
    """Names of models, groups, and lists of both separated by commas, as names of models.

    Returns:
        Each model once, in the order in which it is first named; names outside the zoo as they
        are.

    Raises:
        ModelError: nothing was named.
    """
    given = [names] if isinstance(names, str) else list(names)
    parts = [part.strip() for each in given for part in each.split(",") if part.strip()]
    found = [name for part in parts for name in members(part) or [part]]
    if not found:
        mend = f"Name models or groups of them: {', '.join(groups())}"
        raise ModelError("no model was named", mend=mend)
    return list(dict.fromkeys(found))


@cache
def _entries() -> tuple[ZooEntry, ...]:
    path = shipped("manifests") / "models" / "zoo.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return tuple(_entry(row) for row in csv.DictReader(stream))


def _entry(row: dict[str, str]) -> ZooEntry:
    whole = {name: int(row[name]) for name in ("patch", "resolution")}
    numbers = {
        name: float(row[name]) if row[name] else None
        for name in ("vision_mparams", "gflops", "imagenet_top1")
    }
    words = {key: value for key, value in row.items() if key not in whole | numbers}
    return ZooEntry(**words, **whole, **numbers)  # type: ignore[arg-type]
