"""Anything that `datasets.load_dataset` opens: a folder of Parquet or images, or a Hub id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from covar_gen.core.arrays import Json
from covar_gen.core.errors import PhotographsError
from covar_gen.core.opening import Opened, guarded, image_bytes, open_split
from covar_gen.core.plugins import PluginOptions
from covar_gen.core.seeds import generator, uniform
from covar_gen.sources.base import PathOptions, Photograph, Source


class Datasets(Source):
    """Rows of a data set in the formats of the Hugging Face library.

    Bytes are those of the original files. Where the library keeps a copy of local data, it lies
    in its cache (HF_HOME), never beside the data.

    Attributes:
        streams: `streaming`, or for the Hub True where it is left out.
    """

    class Options(PathOptions):
        """Which rows, and which of their columns.

        Attributes:
            name: configuration, where the data set has several.
            split: left out: validation, else test, else train.
            revision: branch, tag or commit of a data set on the Hub; left out: its main branch.
            image_column: left out: the first column of images.
            label_column: left out: the first ClassLabel, else the first of label, class,
                category, class_name, wnid that holds words or whole numbers.
            streaming: read in passes from first to last, without a copy in the library's cache;
                left out: True for the Hub, False for local data.
            shuffle_buffer: photographs among which the next is drawn while streaming.
        """

        name: str | None = None
        split: str | None = None
        revision: str | None = None
        image_column: str | None = None
        label_column: str | None = None
        streaming: bool | None = None
        shuffle_buffer: int = Field(default=1000, ge=1)

    options: Options
    requires = ("datasets",)

    def __init__(self, options: PluginOptions | None = None) -> None:
        super().__init__(options)
        streaming = self.options.streaming
        self.streams = self._local is None if streaming is None else streaming

    def identity(self) -> dict[str, Json]:
        """Name, version and options, without the place of local data."""
        away = {"path"} if self._local is not None else set()
        options = self.options.model_dump(mode="json", exclude=away)
        return {"plugin": self.name(), "version": self.version, "options": options}

    def labels(self) -> list[str]:
        """Names of the ClassLabel, or the values that the label column holds; sorted.

        Raises:
            PhotographsError: no such data set, split or column, or no row in it.
        """
        opened = self._opened
        if opened.names:
            return sorted(opened.names)
        if self.streams:
            rows = guarded(opened.data.select_columns([opened.label]), self._where)
            values = {row[opened.label] for row in rows}
        else:
            values = set(opened.data.data.column(opened.label).to_pylist())
        if not values - {None}:
            mend = "Choose another split or label_column"
            raise PhotographsError("no row has a label", where=self._where, mend=mend)
        return sorted(str(value) for value in values - {None})

    def photographs(self, labels: Sequence[str], seed: int) -> Iterator[Photograph]:
        """Photographs of these labels: in the order of the rows, or, streamed, in a drawn one.

        Raises:
            PhotographsError: the data set cannot be opened, or a stream breaks off.
        """
        if not self.streams:
            return self._listed(labels)
        rng = generator(seed)
        count = self._opened.data.num_shards
        shards = list(_drawn(range(count), count, rng))
        return _drawn(self._streamed(labels, shards), self.options.shuffle_buffer, rng)

    def digest(self, labels: Sequence[str]) -> str:
        """The commit on the Hub; of local data SHA-256 over labels, names and contents."""
        if self._opened.commit:
            return self._opened.commit
        if self.streams:
            shards = range(self._opened.data.num_shards)
            found = self._streamed(labels, shards)
        else:
            found = self._listed(labels)
        total = hashlib.sha256()
        for photograph in found:
            try:
                content = hashlib.sha256(photograph.read()).hexdigest()
            except OSError:
                content = "unreadable"
            total.update(f"{photograph.label}\0{photograph.name}\0{content}\n".encode())
        return total.hexdigest()

    def _listed(self, labels: Sequence[str]) -> Iterator[Photograph]:
        opened = self._opened
        paths = pc.struct_field(opened.data.data.column(opened.image), "path").to_pylist()
        values = opened.data.data.column(opened.label).to_pylist()
        wanted = set(labels)
        for row, (value, path) in enumerate(zip(values, paths, strict=True)):
            label = opened.name_of(value)
            if label is not None and label in wanted:
                name = _stem(path) or f"{row:08d}"
                read = partial(_read_row, opened.data, row, opened.image)
                yield Photograph(label, name, f"{opened.split}[{row}]", read)

    def _streamed(self, labels: Sequence[str], shards: Sequence[int]) -> Iterator[Photograph]:
        opened = self._opened
        count = opened.data.num_shards
        wanted = set(labels)
        for shard in shards:
            rows = opened.data.shard(num_shards=count, index=shard)
            for row, values in enumerate(guarded(rows, self._where)):
                label = opened.name_of(values[opened.label])
                if label is not None and label in wanted:
                    image = values[opened.image] or {}
                    name = _stem(image.get("path")) or f"{shard:05d}-{row:08d}"
                    origin = f"{opened.split}/shard {shard}[{row}]"
                    yield Photograph(label, name, origin, partial(image_bytes, image))

    @cached_property
    def _local(self) -> Path | None:
        path = Path(self.options.path).expanduser()
        return path if path.exists() else None

    @property
    def _where(self) -> str:
        return str(self._local or self.options.path)

    @cached_property
    def _opened(self) -> Opened:
        given = self.options.model_dump(exclude={"path", "streaming", "shuffle_buffer"})
        return open_split(self.options.path, self._local, **given, streaming=self.streams)


def _stem(path: str | None) -> str:
    """File name without its ending, of a path, an address, or a member of an archive."""
    return PurePosixPath((path or "").partition("::")[0]).stem


def _read_row(data: Any, row: int, column: str) -> bytes:
    return image_bytes(data[row][column] or {})


T = TypeVar("T")


def _drawn(items: Iterable[T], buffer: int, rng: np.random.Generator) -> Iterator[T]:
    """Items in a drawn order, each drawn from the next `buffer` ones."""
    waiting: list[T] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > buffer:
            yield _taken(waiting, rng)
    while waiting:
        yield _taken(waiting, rng)


def _taken(waiting: list[T], rng: np.random.Generator) -> T:
    place = int(uniform(rng, 0, len(waiting)))
    waiting[place], waiting[-1] = waiting[-1], waiting[place]
    return waiting.pop()
