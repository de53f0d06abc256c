"""One predicted mask against one reference: pixels counted, and of which object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from covar_gen.commands.mask_files import Kind, name_of, read_annotation, read_mask
from covar_gen.core.arrays import Mask, Rejected
from covar_gen.core.imaging import decode_mask
from covar_gen.core.store import Run
from covar_gen.evaluation.metrics.mask_overlap import (
    IGNORE,
    Counts,
    Overlap,
    count,
    largest,
    nearest,
    overlap,
    same_shape,
)

Object = Literal["class", "any"]
"""What of an annotation is the object: the image's own class, or every annotated class."""


@dataclass(frozen=True)
class Predicted:
    """A mask that is compared, or the lack of one.

    Attributes:
        name: what pairs it.
        file: the mask's path, in the run or in the folder; None where there is none.
        reason: why there is none.
        missed: the segmenter was asked and gave none; False where the photograph was refused.
        sha256: of the mask's file, where its row says.
        key: of the photograph, in a run.
        labels: what its class may be called: wnid, label, folder.
        photograph: its path in the run.
    """

    name: str
    file: str | None
    reason: str | None = None
    missed: bool = False
    sha256: str | None = None
    key: str | None = None
    labels: tuple[str, ...] = ()
    photograph: str | None = None


@dataclass(frozen=True)
class References:
    """How references are read.

    Attributes:
        folder: where they lie.
        kind: what their pixels mean.
        classes: class -> id, of annotations.
        of: what of an annotation is the object.
    """

    folder: Path
    kind: Kind
    classes: Mapping[str, int]
    of: Object

    def own(self, predicted: Predicted, reference: str) -> str | None:
        """The class of an image, as the list of classes calls it; None where it is not known."""
        return next((n for n in labels_of(predicted, reference) if n in self.classes), None)

    def ids(self, reference: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
        """Ids of a reference: uint16 (H, W), 0 and 1 for a plain mask."""
        path = self.folder / reference
        if self.kind is Kind.BINARY:
            return read_mask(path).astype(np.uint16)
        return read_annotation(path, frozenset(self.classes.values()))


@dataclass(frozen=True)
class Compared:
    """A pair of masks, counted.

    Attributes:
        overlap: with the object.
        label: the image's class; empty where it is not known.
        objects: ids that the object is made of.
        taken: why those: class, largest (the image's class is not annotated, or not known), any,
            or mask (a plain one).
        pixels: id -> pixels of it in the reference, of those that it has.
        inside: likewise, of those that the predicted mask holds.
        size: (height, width) of the reference.
        resized: the predicted mask was brought to that size.
    """

    overlap: Overlap
    label: str
    objects: tuple[int, ...]
    taken: str
    pixels: dict[int, int]
    inside: dict[int, int]
    size: tuple[int, int]
    resized: bool

    def counts(self) -> Counts:
        """The table of counts that all of it was computed from."""
        found = np.zeros((2, IGNORE + 1), np.int64)
        for number, total in self.pixels.items():
            found[1, number] = self.inside.get(number, 0)
            found[0, number] = total - found[1, number]
        return found


@dataclass(frozen=True)
class Judged:
    """A photograph, a reference, or both, and what comparing them gave.

    Attributes:
        name: what pairs them.
        mask: the predicted mask; None: there is only a reference.
        reference: the reference's path; None: there is only a mask.
        found: the counts; None where the two could not be compared.
        reason: why there is no IoU, or no predicted mask.
    """

    name: str
    mask: Predicted | None
    reference: str | None
    found: Compared | None
    reason: str | None

    @property
    def missed(self) -> bool:
        """There is a reference, and no mask was given when one was asked for."""
        return self.mask is not None and self.mask.missed and self.found is not None

    @property
    def iou(self) -> float | None:
        """Intersection over union; None where there is no predicted mask."""
        return None if self.found is None or self.missed else self.found.overlap.iou


def labels_of(predicted: Predicted, reference: str) -> tuple[str, ...]:
    """What the class of an image may be called, the likeliest first."""
    return (PurePosixPath(name_of(reference)).parent.name, *predicted.labels)


def load_mask(predicted: Predicted, place: Path | Run) -> Mask | None:
    """The predicted mask: bool (H, W); None where there is none.

    Raises:
        LabelsError: the file of a folder is no mask.
        DamagedRunError: the file of a run is gone, or is not what its row says.
    """
    if predicted.file is None:
        return None
    if isinstance(place, Run):
        return decode_mask(place.read(predicted.file, predicted.sha256))
    return read_mask(place / predicted.file)


def compare(
    predicted: Predicted, reference: str, place: Path | Run, references: References
) -> Compared | Rejected:
    """Count a pair.

    Args:
        predicted: the mask; where it was missed, an empty one is compared.
        reference: path in the references' folder.
        place: the run or folder of the predicted masks.
        references: how references are read.

    Returns:
        The counts, or the reason: another_shape.

    Raises:
        LabelsError: a file is not what it should be.
        DamagedRunError: a file of the run is gone, or is not what its row says.
    """
    ids = references.ids(reference)
    mask = load_mask(predicted, place)
    resized = mask is not None and mask.shape != ids.shape
    if mask is None:
        mask = np.zeros(ids.shape, np.bool_)
    if resized:
        if not same_shape(mask.shape, ids.shape):
            sizes = {"predicted": str(mask.shape), "reference": str(ids.shape)}
            return Rejected("another_shape", dict(sizes))
        mask = nearest(mask, ids.shape)  # type: ignore[arg-type]
    counts = count(ids, mask)
    label, objects, taken = _object(references, predicted, reference, counts)
    there = np.flatnonzero(counts.any(axis=0)).tolist()
    return Compared(
        overlap(counts, objects),
        label,
        objects,
        taken,
        {number: int(counts[:, number].sum()) for number in there},
        {number: int(counts[1, number]) for number in there if counts[1, number]},
        (ids.shape[0], ids.shape[1]),
        resized,
    )


def _object(
    references: References, predicted: Predicted, reference: str, counts: Counts
) -> tuple[str, tuple[int, ...], str]:
    """The image's class, the ids of its object, and why those."""
    names = labels_of(predicted, reference)
    if references.kind is Kind.BINARY:
        return next(filter(None, names), ""), (1,), "mask"
    own = references.own(predicted, reference)
    top = largest(counts)
    known = top if own is None else references.classes[own]
    label = next((n for n, number in references.classes.items() if number == known), "")
    if references.of == "any":
        return label, tuple(range(1, IGNORE)), "any"
    if own is not None and counts[:, references.classes[own]].any():
        return label, (references.classes[own],), "class"
    return label, () if top is None else (top,), "largest"


def own_id(references: References, found: Compared) -> int | None:
    """Id of the class that a predicted mask stands for in a label map; None where none is known."""
    return references.classes.get(found.label)
