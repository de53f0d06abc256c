"""What data is: labelled images in a fixed order, listed first and read one by one."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.errors import LabelsError
from covar_gen.core.imagenet import by_wnid, find
from covar_gen.evaluation.rows import IMAGES

_WNID = re.compile(r"n\d{8}")
_CHUNK = 16_384
_OURS = frozenset(["key", "label", "subset", "source", "origin", "sha256"])

Columns = dict[str, "pa.Array | pa.ChunkedArray"]


@dataclass(frozen=True)
class Label:
    """One label of the data, in its own words.

    Attributes:
        name: a class folder's name, a name of a ClassLabel, a value of the label column.
        wnid: WordNet id, where the label is one or the data tells.
        imagenet_index: index among the 1000 classes of ImageNet-1k, where that is known.
    """

    name: str
    wnid: str | None = None
    imagenet_index: int | None = None


class Data(ABC):
    """Labelled images, wherever they are.

    Attributes:
        place: as the user wrote it; for messages, never hashed.
        identity: names the images by content; no paths, no times.
        rows: one per image: key, label (int32, index in `labels`), subset, source, origin, then
            the further columns of the data; `sha256`, where there is one, is of the image file.
        labels: what the numbers in column `label` mean.
    """

    place: str
    identity: dict[str, Json]
    rows: pa.Table
    labels: tuple[Label, ...]

    @abstractmethod
    def read(self, row: int) -> bytes:
        """The encoded image file of a row; may be called by several threads at once.

        Raises:
            OSError: it cannot be read.
        """


def labels_of(names: Sequence[str]) -> tuple[Label, ...]:
    """Labels for their names: wnids are known as such.

    Of 1000 names in ImageNet's own order the place is the index, so that names which two of its
    classes bear (crane, maillot) are told apart.
    """
    if _in_imagenet_order(names):
        wnids = list(by_wnid())
        return tuple(Label(name, wnids[place], place) for place, name in enumerate(names))
    found = []
    for name in names:
        wnid = name if _WNID.fullmatch(name) else None
        known = by_wnid().get(name)
        found.append(Label(name, wnid, known.index if known else None))
    return tuple(found)


def _in_imagenet_order(names: Sequence[str]) -> bool:
    """True for 1000 names of which nine tenths are known, each of these at its own place."""
    if len(names) != len(by_wnid()):
        return False
    known = [(place, entry.index) for place, name in enumerate(names) if (entry := find(name))]
    return len(known) >= len(names) * 0.9 and all(place == index for place, index in known)


def numbered(values: pa.ChunkedArray, where: str) -> tuple[NDArray[np.int32], tuple[Label, ...]]:
    """Labels given in words or numbers, as indices in the sorted list of them.

    Args:
        values: a column of strings or whole numbers.
        where: the data, for the message.

    Returns:
        int32 (N,), and the labels. Numbers are sorted as numbers.

    Raises:
        LabelsError: rows without a label, or no rows.
    """
    if words(values.type):
        values = pc.if_else(pc.equal(values, ""), None, values)
    check_labels(values, where)
    values = values.combine_chunks()
    different = values.unique()
    different = different.take(pc.sort_indices(different))
    index = pc.index_in(values, value_set=different).cast(pa.int32())
    return index.to_numpy(), labels_of([str(value) for value in different.to_pylist()])


def check_labels(values: pa.ChunkedArray, where: str) -> None:
    """See that every row has a label.

    Raises:
        LabelsError: rows without a label, or no rows.
    """
    if not len(values):
        mend = "Choose another split with --split"
        raise LabelsError("there is no image", where=where, mend=mend)
    if values.null_count:
        first = int(pc.index(pc.is_null(values), True).as_py())
        what = f"{values.null_count} of {len(values)} rows have no label, row {first} the first"
        mend = "Leave these rows out, or choose another --split or --label-column"
        raise LabelsError(what, where=where, mend=mend)


def table(key: pa.Array, label: NDArray[np.int32], others: Columns) -> pa.Table:
    """Rows with the columns that all data has, and further ones.

    Args:
        key: names the images.
        label: int32 (N,).
        others: among them subset, source and origin: left out, they are `all`, the key and the
            key.
    """
    all_rows = pa.repeat(pa.scalar("all"), len(key))
    columns: Columns = {"key": key, "label": pa.array(label, pa.int32()), "subset": all_rows}
    columns |= {"source": key, "origin": key, **others}
    first = pa.Table.from_arrays(
        [columns[field.name].cast(field.type) for field in IMAGES], schema=pa.schema(IMAGES)
    )
    for name in [name for name in others if name not in first.column_names]:
        first = first.append_column(name, others[name])
    return first


def digest_of(*columns: pa.Array | pa.ChunkedArray) -> str:
    """SHA-256 over the rows of some columns as text, null as nothing, in their order."""
    texts = [pc.fill_null(column.cast(pa.string()), "") for column in columns]
    lines = pa.table({str(place): text for place, text in enumerate(texts)})
    total = hashlib.sha256()
    for batch in lines.to_batches(max_chunksize=_CHUNK):
        joined = pc.binary_join_element_wise(*batch.columns, "\0")
        total.update("".join(f"{line}\n" for line in joined.to_pylist()).encode())
    return total.hexdigest()


def factors(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> Columns:
    """Further columns of data that are single numbers, words or truth values.

    `subset`, if it holds words, is taken as ours. Other names that have a meaning here which the
    data does not know of get `data_` before them.
    """
    found: Columns = {}
    for name, column in columns.items():
        kind = column.type
        if name == "subset" and words(kind):
            found[name] = pc.fill_null(column.cast(pa.string()), "none")
        elif words(kind) or pa.types.is_boolean(kind) or _number(kind):
            own = f"data_{name}" if name in _OURS else name
            found[own] = column
    return found


def labels(kind: pa.DataType) -> bool:
    """True for a type that labels can have: words, whole numbers, or nothing at all."""
    return words(kind) or bool(pa.types.is_integer(kind) or pa.types.is_null(kind))


def words(kind: pa.DataType) -> bool:
    """True for a type of words."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def row_origins(split: str, count: int) -> pa.Array:
    """Rows of a split as the source `datasets` calls them: `validation[12]`."""
    numbers = pa.array(np.arange(count)).cast(pa.string())
    return pc.binary_join_element_wise(f"{split}[", numbers, "]", "")


def safe_keys(paths: pa.Array) -> pa.Array:
    """Paths inside the data as keys: without endings, ASCII only, unique whatever the case.

    Accents are dropped, every run of other characters becomes one `_`; no part begins with a dot
    or a dash. Where that makes two paths equal, all of these get the first 8 hexadecimal digits
    of the SHA-256 of the path itself.

    Args:
        paths: with `/` between the parts.
    """
    plain = pc.replace_substring_regex(paths, r"\.[^./]+$", "")
    plain = pc.utf8_normalize(plain, form="NFKD")
    plain = pc.replace_substring_regex(plain, r"[^\x00-\x7f]+", "")
    plain = pc.replace_substring_regex(plain, r"[^A-Za-z0-9._/-]+", "_")
    plain = pc.replace_substring_regex(plain, r"(^|/)[/._-]+", r"\1")
    plain = pc.replace_substring_regex(plain, r"[/_]+(/|$)", r"\1")
    plain = pc.if_else(pc.equal(plain, ""), "image", plain)
    counts = pc.utf8_lower(plain).value_counts()
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if not len(twice):
        return plain
    same = pc.is_in(pc.utf8_lower(plain), value_set=twice)
    marks = [
        f"-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        for path in paths.filter(same).to_pylist()
    ]
    marked = pc.binary_join_element_wise(plain.filter(same), pa.array(marks, pa.string()), "")
    return pc.replace_with_mask(plain, same, marked)


def numbered_keys(rows: NDArray[np.int64]) -> pa.Array:
    """Keys of rows that have no name but their number: `row-00000012`."""
    digits = pc.utf8_lpad(pa.array(rows).cast(pa.string()), width=8, padding="0")
    return pc.binary_join_element_wise("row-", digits, "")
