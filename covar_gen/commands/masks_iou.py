"""`covar-gen masks-iou`: how well masks agree with masks that people drew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

from covar_gen.commands.mask_classes import class_lists, fitting_list
from covar_gen.commands.mask_comparison import (
    Compared,
    Judged,
    Object,
    Predicted,
    References,
    compare,
    labels_of,
)
from covar_gen.commands.mask_files import (
    Kind,
    found_kind,
    listed,
    name_of,
)
from covar_gen.commands.mask_pairs import Pairs, pair
from covar_gen.commands.mask_sheet import sheet
from covar_gen.commands.mask_tables import Agreement, agreement, make_folder, write
from covar_gen.core.arrays import Rejected
from covar_gen.core.errors import IncompleteInputError, LabelsError, RunFolderError
from covar_gen.core.launch import progress
from covar_gen.core.rows import OK
from covar_gen.core.store import RECIPE, Run, open_run

_EXAMPLES = 100
"""References that are looked at to tell their kind and their list of classes."""
_AHEAD = 4
"""Pairs per thread that wait to be counted."""
_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


def masks_iou(
    predicted: Path,
    reference: Path,
    out: Path | None = None,
    *,
    classes: str | None = None,
    kind: str | None = None,
    of: Object = "class",
    threads: int | None = None,
) -> Agreement:
    """Compare masks with reference masks: intersection over union per image, per class, and means.

    Args:
        predicted: a run folder, whose masks of photographs are taken, or a folder of PNG masks.
        reference: a folder of plain masks or of ImageNet-S annotations, PNG.
        out: where the tables and the picture go; None: nowhere.
        classes: of annotations: 919, 300, 50, or a CSV with the columns class and id; None: the
            list of ImageNet-S that fits.
        kind: imagenet-s or binary; None: told from the references.
        of: what of an annotation is the object: the image's own class (`class`), or every
            annotated class (`any`).
        threads: that read and count; their number changes nothing but the time.

    Raises:
        CovarError: a folder is missing, no pair is found, or a file is not what it should be.
    """
    place, masks = _predictions(predicted)
    if out is not None:
        folders = {"references": reference}
        if not isinstance(place, Run):
            folders["predicted masks"] = place
        make_folder(out, folders)
    files = listed(reference, "--reference")
    pairs = pair([mask.name for mask in masks], [name_of(file) for file in files])
    if not pairs.partner:
        shown = [_examples([m.name for m in masks]), _examples([name_of(f) for f in files])]
        what = f"no predicted mask has a reference: there are {shown[0]}, and {shown[1]}"
        mend = "Name files alike, whatever their endings, in folders named alike"
        raise LabelsError(what, where=reference, mend=mend)
    partner = {masks[n]: files[m] for n, m in sorted(pairs.partner.items())}
    found = _references(reference, partner, classes, kind, of)
    asked = [(mask, file) for mask, file in partner.items() if mask.file or mask.missed]
    report = progress("masks-iou")

    def one(item: tuple[Predicted, str]) -> Compared | Rejected:
        return compare(*item, place, found)

    results: list[Compared | Rejected] = []
    threads = threads or min(8, os.cpu_count() or 1)
    for result in _in_order(one, asked, threads):
        results.append(result)
        report(len(results), len(asked))
    counted = dict(zip((mask for mask, _ in asked), results, strict=True))
    judged = [*_with_reference(partner, counted), *_without(masks, files, pairs)]
    made = agreement(judged, found, predicted, by_file_name=pairs.by_file_name)
    if out is not None:
        write(made, out, sheet(judged, place, found))
    return made


def _in_order(
    work: Callable[[_Given], _Found], items: Iterable[_Given], threads: int
) -> Iterator[_Found]:
    """Results in the order of the items; a failure ends it before all others are begun."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _AHEAD * threads:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def _examples(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names[:2])


def _predictions(place: Path) -> tuple[Path | Run, list[Predicted]]:
    """The predicted masks of a run or of a folder.

    Raises:
        RunFolderError: no such folder.
        IncompleteInputError: the run has not outlined all of its photographs.
        LabelsError: the folder holds no PNG.
    """
    if not place.is_dir():
        mend = "Give a run folder, or a folder of PNG masks, with --predicted"
        raise RunFolderError("no such folder", where=place, mend=mend)
    if (place / RECIPE).is_file():
        run = open_run(place)
        return run, _of_run(run)
    files = listed(place, "--predicted")
    return place, [
        Predicted(name_of(file), file, labels=(PurePosixPath(name_of(file)).parent.name,))
        for file in files
    ]


def _of_run(run: Run) -> list[Predicted]:
    sources = run.table("sources", ["key", "origin", "label", "image", "status", "reason"])
    table = run.table("masks_sources", ["key", "mask", "mask_sha256", "status", "reason"])
    made = {row["key"]: row for row in table.to_pylist()}
    wnids = {entry.folder: entry.wnid for entry in run.recipe.class_list}
    found = []
    for row in sources.to_pylist():
        key, fine = row["key"], row["status"] == OK
        if fine and key not in made:
            mend = f"Type: covar-gen run {run.root / RECIPE} --run {run.root}"
            what = f"photograph {key} has not been outlined yet"
            raise IncompleteInputError(what, where=run.root, mend=mend)
        mask = made.get(key, {}) if fine else {}
        folder = key.partition("/")[0]
        labels = (wnids.get(folder), row["label"], folder)
        origin = row["origin"] or ""
        found.append(
            Predicted(
                # A row of a data set has no path: there the key says class and photograph.
                name_of(origin if name_of(origin) != origin else key),
                mask.get("mask") if mask.get("status") == OK else None,
                mask.get("reason") if fine else row["reason"],
                missed=fine and mask["status"] != OK,
                sha256=mask.get("mask_sha256"),
                key=key,
                labels=tuple(label for label in labels if label),
                photograph=row["image"],
            )
        )
    if not found:
        mend = f"Type: covar-gen run {run.root / RECIPE} --run {run.root}"
        raise IncompleteInputError("the run has no photographs yet", where=run.root, mend=mend)
    return found


def _references(
    folder: Path, partner: dict[Predicted, str], classes: str | None, kind: str | None, of: Object
) -> References:
    """How the references are to be read."""
    pairs = list(partner.items())
    some = pairs[:: max(1, len(pairs) // _EXAMPLES)][:_EXAMPLES]
    said = Kind(kind) if kind is not None else found_kind([folder / file for _, file in some])
    if said is Kind.BINARY:
        if classes is not None:
            mend = "Leave --classes out, or say --kind imagenet-s"
            raise LabelsError("plain masks have no ids of classes", where=folder, mend=mend)
        return References(folder, said, {}, of)
    lists = class_lists(classes)

    def label(mask: Predicted, file: str) -> str | None:
        names = labels_of(mask, file)
        return next((n for n in names if any(n in ids for ids in lists.values())), None)

    best = fitting_list(lists, [(folder / file, label(mask, file)) for mask, file in some])
    return References(folder, said, lists[best], of)


def _with_reference(
    partner: dict[Predicted, str], counted: dict[Predicted, Compared | Rejected]
) -> Iterator[Judged]:
    for mask, file in partner.items():
        result = counted.get(mask)
        if isinstance(result, Compared):
            reason = mask.reason
            if result.overlap.iou is None:
                reason = Rejected("both_empty").reason
            yield Judged(mask.name, mask, file, result, reason)
        else:
            # Without a result the photograph was refused, and no mask was asked for.
            yield Judged(mask.name, mask, file, None, result.reason if result else mask.reason)


def _without(masks: Sequence[Predicted], files: Sequence[str], pairs: Pairs) -> Iterator[Judged]:
    for place, rejected in sorted(pairs.alone.items()):
        mask = masks[place]
        yield Judged(mask.name, mask, None, None, rejected.reason)
    for place in pairs.spare:
        reason = Rejected("no_prediction").reason
        yield Judged(name_of(files[place]), None, files[place], None, reason)
