"""What comparing masks has shown, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covar_gen.commands.mask_comparison import Judged, References
from covar_gen.commands.mask_files import Kind

PUBLISHED = 0.93
"""Average IoU of GroundedSAM's masks on the 12,419 validation images of ImageNet-S (919 classes).
Source: the paper's supplement, section A.6 ("The average IoU"); over what is not said."""

_NAMED = 3
"""Files of each kind of trouble that are named."""


def notes(
    judged: Sequence[Judged], references: References, predicted: Path, *, by_file_name: bool
) -> tuple[str, ...]:
    """What a reader has to know beside the means, a line each.

    Args:
        judged: every image.
        references: how the references were read.
        predicted: what the masks are called.
        by_file_name: pairs were told by file names alone.
    """
    compared = [item for item in judged if item.found is not None]
    kind = "ImageNet-S annotations" if references.kind is Kind.IMAGENET_S else "plain masks"
    said = [f"{len(compared)} images of {predicted} compared with {kind} in {references.folder}"]
    if by_file_name:
        said.append("pairs were told by file names alone: no folder is named alike on both sides")
    resized = sum(item.found.resized for item in compared if item.found)
    if resized:
        said.append(f"predicted masks brought to their references' sizes: {resized}")
    taken = sum(item.found.taken == "largest" for item in compared if item.found)
    if taken:
        said.append(f"largest class taken, the image's own not annotated or not known: {taken}")
    for reason, number in sorted(Counter(i.reason for i in judged if i.reason).items()):
        names = [item.name for item in judged if item.reason == reason]
        more = ", ..." if number > _NAMED else ""
        said.append(f"{number} {reason}: {', '.join(names[:_NAMED])}{more}")
    return tuple(said)


_SAID = {
    "images": "mean over images",
    "classes": "mean over classes of their means over images",
    "pooled": "mean over classes, pixels pooled",
    "label_maps": "label maps as ImageNet-S counts them",
}


def lines(noted: Sequence[str], summary: Sequence[dict[str, Any]], kind: Kind) -> list[str]:
    """The means as a small table, with what has to be known about them.

    Args:
        noted: what `notes` gave.
        summary: the rows of the means.
        kind: of the references; annotations are what the paper's number is of.
    """
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in summary:
        by_name.setdefault(row["statistic"], {})[row["no_mask"]] = row
    said = [*noted, f"{'IoU':<46}{'no mask left out':>24}{'no mask counts as 0':>24}"]
    said += [
        f"{_SAID[name]:<46}{_value(two['left_out']):>24}{_value(two['zero']):>24}"
        for name, two in by_name.items()
    ]
    if kind is Kind.IMAGENET_S:
        said.append(
            f"published for GroundedSAM on all of ImageNet-S's validation set: {PUBLISHED} "
            "(`average IoU`; over what is not said: the mean over images is the plain reading)"
        )
    return said


def _value(row: dict[str, Any]) -> str:
    if row["iou"] is None:
        return "-"
    spread = "" if row["low"] is None else f" [{row['low']:.4f}, {row['high']:.4f}]"
    return f"{row['iou']:.4f}{spread}"
