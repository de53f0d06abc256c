"""Whatever `covar-gen evaluate` opens: class folders, tables, data sets, releases, runs.

`covar-gen masks` reads its data through this source, so that both commands take the same data and
the same options for the same images.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Json
from covar_gen.core.names import safe
from covar_gen.sources.base import PathOptions, Photograph, Source

if TYPE_CHECKING:
    from covar_gen.evaluation.data import Data

_CHUNK = 16_384

NAMED_BY_CONTENT = ("hub", "benchmark")
"""Kinds of data whose identity is a commit, or holds the SHA-256 of every image."""


class Labelled(Source):
    """Images of any labelled data, in the order of the data."""

    class Options(PathOptions):
        """Which images, and which of their columns; each as `covar-gen evaluate` has it.

        Attributes:
            name: configuration of a data set; left out: `all` where there is one.
            split: left out: validation, else test, else train.
            revision: branch, tag or commit of a data set on the Hub.
            image_column: left out: the first column of images; of a metadata.csv `file_name`, or
                the only column of paths.
            label_column: left out: the first ClassLabel, else the first of label, class,
                category, class_name, wnid. Of nested class folders `folder_1` is the outermost.
        """

        name: str | None = None
        split: str | None = None
        revision: str | None = None
        image_column: str | None = None
        label_column: str | None = None

    options: Options
    requires = ("datasets",)

    @cached_property
    def data(self) -> Data:
        """The data, opened when it is first needed.

        Raises:
            CovarError: there is nothing, it cannot be opened, or has no such split or column.
        """
        from covar_gen.evaluation.data import open_data

        given = self.options.model_dump(exclude={"path"})
        return open_data(self.options.path, **given)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The labels that images have: what each is called here, and its place in `data.labels`.

        A label is called by its own name; of labels that share one, by wnid or name and number.
        """
        labels = self.data.labels
        counts = Counter(label.name for label in labels)
        found = {}
        for number in np.unique(self.data.rows["label"].to_numpy()).tolist():
            name = labels[number].name
            again = counts[name] > 1
            found[(labels[number].wnid or f"{name} {number}") if again else name] = number
        return found

    def identity(self) -> dict[str, Json]:
        """Name, version and options, without the place of local data."""
        away = {"path"} if Path(self.options.path).expanduser().exists() else set()
        options = self.options.model_dump(mode="json", exclude=away)
        return {"plugin": self.name(), "version": self.version, "options": options}

    def labels(self) -> list[str]:
        """The labels that images have, sorted.

        Raises:
            CovarError: the data cannot be opened.
        """
        return sorted(self.numbers)

    def photographs(self, labels: Sequence[str], seed: int) -> Iterator[Photograph]:  # noqa: ARG002
        """Images of these labels, in the order of the data; the seed plays no part.

        Raises:
            CovarError: the data cannot be opened.
        """
        wanted = {number: label for label, number in self.numbers.items() if label in labels}
        rows, row = self.data.rows.select(["key", "label", "origin"]), 0
        for batch in rows.to_batches(max_chunksize=_CHUNK):
            for key, number, origin in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                if number in wanted:
                    label = wanted[number]
                    read = partial(self.data.read, row)
                    yield Photograph(label, _name(key, label), origin, read)
                row += 1

    def digest(self, labels: Sequence[str]) -> str:
        """What the data is called by an evaluation, and the contents of local files.

        Raises:
            CovarError: the data cannot be opened.
        """
        identity = self.data.identity
        total = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        if identity["kind"] in NAMED_BY_CONTENT:
            return total.hexdigest()
        for photograph in self.photographs(labels, 0):
            try:
                content = hashlib.sha256(photograph.read()).hexdigest()
            except OSError:
                content = "unreadable"
            total.update(f"{photograph.label}\0{photograph.origin}\0{content}\n".encode())
        return total.hexdigest()


def _name(key: str, label: str) -> str:
    """An image's key without its class folder: `ocean/1` of class ostrich is `ocean-1`."""
    folder = safe(label, "class")
    parts = [part for part in key.split("/")[:-1] if part not in (label, folder)]
    return "-".join([*parts, key.rpartition("/")[2]])
