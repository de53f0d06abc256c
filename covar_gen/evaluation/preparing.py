"""The evaluation folder as it is before the first prediction, and the refusal of mixtures."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.errors import DamagedRunError, EvaluationFolderError, MixtureError
from covar_gen.core.files import Staging, check_storage, only_one
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.store import first_difference
from covar_gen.evaluation.data import Data
from covar_gen.evaluation.labels import ClassList, assign, class_list
from covar_gen.evaluation.results import (
    ABOUT,
    CLASSES_FILE,
    IMAGES_FILE,
    MADE_WITH,
    Results,
    json_bytes,
    open_results,
    read_json,
)
from covar_gen.evaluation.rows import IMAGES, TOP

LOCK = ".lock"
BLOCK = 1024
"""Images per part: the most that a killed process loses of each model."""


@dataclass(frozen=True)
class Place:
    """Where the images are, as `open_data` takes it.

    Attributes:
        place: a run folder, a release folder, a Hub id, any labelled data set.
        name: configuration of a data set.
        split: of a data set.
        revision: of a data set on the Hub.
        image_column: of a data set.
        label_column: of a data set.
    """

    place: str
    name: str | None = None
    split: str | None = None
    revision: str | None = None
    image_column: str | None = None
    label_column: str | None = None

    def as_json(self) -> dict[str, Json]:
        """What is not the default."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Task:
    """What every model is asked, whichever models they are.

    Attributes:
        data: the images.
        classes: the label set and its templates.
        labels: int32 (N,), true classes of the images: indices in the label set.
        results: the folder.
        about: what evaluation.json says, without where the data was.
        digest: names images, labels and classes by content.
    """

    data: Data
    classes: ClassList
    labels: NDArray[np.int32]
    results: Results
    about: dict[str, Json]
    digest: str


def prepare(
    data: Data,
    place: Place,
    out: Path,
    staging: Staging,
    *,
    classes: str = "auto",
    templates: str = "auto",
    block: int | None = None,
) -> Task:
    """Write what an evaluation is of, or check that the folder is of the same.

    Args:
        data: the images.
        place: where they are, for the report's examples; not part of the identity.
        out: the evaluation folder, which exists.
        staging: of that folder.
        classes: a choice of covar_gen.evaluation.labels.class_list.
        templates: the same.
        block: images per part; None: that of the folder, or `BLOCK`.

    Raises:
        LabelsError: labels and classes do not fit together.
        MixtureError: the folder is of something else.
    """
    found = class_list(classes, templates, data.labels, place.place)
    numbers = assign(data.labels, found, place.place)
    labels = numbers[data.rows["label"].to_numpy()].astype(np.int32)
    images = _images(data.rows, labels)
    about: dict[str, Json] = {
        "data": data.identity,
        "images": _digest(images),
        "count": len(images),
        "classes": {"source": found.source, "count": len(found.names), "digest": found.digest()},
        "templates": {"source": found.template_source, "count": len(found.templates)},
        "top": min(TOP, len(found.names)),
    }
    with only_one(out / LOCK):
        before = read_json(out / ABOUT) if begun(out) else {}
        size = block or int(before.get("block", BLOCK))
        about["block"] = size
        if before:
            refuse_others(out, before, about)
        else:
            # What an attempt left that never got as far as a model belongs to nothing.
            staging.replace(out / IMAGES_FILE, parquet_bytes(images))
            staging.replace(out / CLASSES_FILE, parquet_bytes(found.table()))
        more: dict[str, Json] = {"place": place.as_json(), "prompts": list(found.templates)}
        staging.replace(out / ABOUT, json_bytes({**about, **more}))
    _check_rows(open_results(out))
    digest = hashlib.sha256(json_bytes(about)).hexdigest()
    return Task(data, found, labels, open_results(out), about, digest)


def begun(out: Path) -> bool:
    """True where a model has been begun: before that, evaluation.json binds nobody."""
    whole = (out / ABOUT).is_file() and (out / ABOUT).stat().st_size > 0
    return whole and any(out.glob(f"*/{MADE_WITH}"))


def refuse_others(out: Path, before: dict[str, Any], now: dict[str, Json]) -> None:
    """Refuse to go on with a folder that is of something else.

    Raises:
        MixtureError: what differs, and what to do.
    """
    other = "or give another folder with --out"
    asked = {
        "data": ("other images", f"Give the images that were evaluated, {other}"),
        "images": ("other images or labels", f"Give those that were evaluated, {other}"),
        "templates": ("other templates", f"Give --templates as before, {other}"),
        "classes": (
            "other classes or templates",
            f"Give --classes and --templates as before, {other}",
        ),
        "block": (f"blocks of {before.get('block')} images", f"Leave out --block, {other}"),
        "top": ("another number of classes kept", "Give another folder with --out"),
    }
    for key, (said, mend) in asked.items():
        if before.get(key) != json.loads(json.dumps(now[key])):
            raise MixtureError(f"the folder is of {said}", where=out, mend=mend)


def _check_rows(results: Results) -> None:
    """See that the rows are those that evaluation.json names.

    Raises:
        DamagedRunError: they are others.
    """
    if _digest(results.images(["key", "label"])) != results.about["images"]:
        mend = "Evaluate into a new folder with --out"
        where = results.root / IMAGES_FILE
        raise DamagedRunError("the images are not those of evaluation.json", where=where, mend=mend)


def stored_classes(results: Results) -> ClassList:
    """The label set and the templates that an evaluation was made with."""
    about, found = results.about, results.classes
    imagenet = tuple(int(index) if index >= 0 else None for index in found.imagenet)
    return ClassList(
        found.names,
        found.wnids,
        imagenet,
        tuple(about["prompts"]),
        about["classes"]["source"],
        about["templates"]["source"],
    )


def make_folder(out: Path) -> None:
    """Make the evaluation folder, or see that it can be one.

    Raises:
        EvaluationFolderError: a file, or a folder that holds other things.
        StorageError: the folder cannot keep an evaluation's promises.
    """
    if out.exists() and not out.is_dir():
        raise EvaluationFolderError("a file, not a folder", where=out, mend="Choose another --out")
    strangers = sorted(
        path.name for path in (out.iterdir() if out.is_dir() else ()) if path.name[0] != "."
    )
    ours = {ABOUT, IMAGES_FILE, CLASSES_FILE, "logs"}
    if strangers and not (out / ABOUT).is_file() and set(strangers) - ours:
        what = f"the folder holds other things ({min(set(strangers) - ours)}, ...)"
        raise EvaluationFolderError(what, where=out, mend="Choose an empty or new one with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        mend = "Choose another --out"
        raise EvaluationFolderError("the folder cannot be made", where=out, mend=mend) from error
    if not (out / ABOUT).is_file():
        check_storage(out)


def claim(
    path: Path, value: dict[str, Json], staging: Staging, ignore: tuple[str, ...] = ()
) -> None:
    """Note what something is made with, or check that it is the same as before.

    Args:
        path: where it is noted.
        value: what it is made with.
        staging: of the folder.
        ignore: keys that may differ; their new value is noted.

    Raises:
        MixtureError: something else is noted.
    """
    staging.publish(path, json_bytes(value), lambda data: data.endswith(b"}\n"))
    noted = read_json(path)
    before = {key: item for key, item in noted.items() if key not in ignore}
    now = {key: item for key, item in value.items() if key not in ignore}
    if before != now:
        what = f"made with something else ({first_difference(before, now)})"
        mend = f"Remove {path.parent} to make it again, or evaluate into another folder"
        raise MixtureError(what, where=path, mend=mend)
    if noted != value:
        staging.replace(path, json_bytes(value))


def _images(rows: pa.Table, labels: NDArray[np.int32]) -> pa.Table:
    """Rows of images.parquet: the columns that all data has, then those of its own."""
    place = rows.schema.get_field_index("label")
    rows = rows.set_column(place, IMAGES.field("label"), pa.array(labels, pa.int32()))
    own = [name for name in rows.column_names if name not in IMAGES.names]
    fields = [*IMAGES, *(rows.schema.field(name) for name in own)]
    return rows.select([field.name for field in fields]).cast(pa.schema(fields))


def _digest(images: pa.Table) -> str:
    """SHA-256 over keys and labels, in their order."""
    total = hashlib.sha256()
    for batch in images.select(["key", "label"]).to_batches(max_chunksize=10_000):
        total.update("\n".join(batch["key"].to_pylist()).encode())
        total.update(batch["label"].to_numpy().astype("<i4").tobytes())
    return total.hexdigest()
