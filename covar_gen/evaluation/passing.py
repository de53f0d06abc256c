"""One pass over the images for as many towers as fit, block by block."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Json
from covar_gen.core.environment import record
from covar_gen.core.errors import DeviceMemoryError, MixtureError
from covar_gen.core.files import Staging, only_one, sync
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.evaluation.classifiers import classifier
from covar_gen.evaluation.computing import Device, enough_memory
from covar_gen.evaluation.models import load_model
from covar_gen.evaluation.models.base import Model, Precision, folder_of, with_place
from covar_gen.evaluation.preparing import (
    LOCK,
    Task,
    claim,
    refuse_others,
)
from covar_gen.evaluation.reading import Batch, batches
from covar_gen.evaluation.results import (
    ABOUT,
    CLASS_ROWS,
    MADE_WITH,
    noted,
    part_name,
    read_json,
    whole_parts,
)
from covar_gen.evaluation.scoring import part
from covar_gen.evaluation.towers import Columns, Normalised, Tower, check_finite, on_host

if TYPE_CHECKING:
    import torch

BATCHES = {"cuda": 64}
BATCH = 16
"""Images that go through a tower together: on a GPU more, where there are no threads to feed."""

MOST_WAITING = 16
"""Batches that may wait for a thread of the CPU."""

MUTABLE = ("local:", "hf-hub:", "toy:")
"""Beginnings of names under which other weights may lie tomorrow."""
Rows = tuple[int, int]
"""First row of a block, and the row after its last."""

log = logging.getLogger("covar_gen")


@dataclass(frozen=True)
class Settings:
    """How the towers run.

    Attributes:
        device: a torch device; None: this process's GPU where there is one, else the CPU.
        precision: of the towers; None: bf16 on a GPU, fp32 elsewhere.
        batch: images that go through a tower together; None: 64 on a GPU, 16 elsewhere.
        embeddings: keep every image's embedding, float16.
        memory: GiB that towers resident together may take; None: 70 % of what is free.
        threads: that decode, and that compute on a CPU.
    """

    device: str | None = None
    precision: Precision | None = None
    batch: int | None = None
    embeddings: bool = False
    memory: float | None = None
    threads: int = 2


class Pass:
    """This process's part of the work."""

    def __init__(
        self,
        task: Task,
        staging: Staging,
        ranks: Ranks,
        settings: Settings,
        device: Device,
        report: Report,
    ) -> None:
        self.task = task
        self.staging = staging
        self.ranks = ranks
        self.settings = settings
        self.report = report
        self.device = device
        on_gpu = device.place.type == "cuda"
        self.precision: Precision = settings.precision or ("bf16" if on_gpu else "fp32")
        self.batch = settings.batch or BATCHES.get(device.place.type, BATCH)
        self.root = task.results.root
        size = int(task.results.about["block"])
        count = task.results.count
        blocks = [(start, min(start + size, count)) for start in range(0, count, size)]
        self.blocks: list[Rows] = blocks[ranks.rank :: ranks.world]
        self.done = self.total = 0

    def run(self, names: Sequence[str]) -> None:
        """Score all models that lack anything, as many at a time as fit."""
        for name in names:
            self._compare(name)
        wanting = [name for name in names if self._lacking(folder_of(name))]
        self.total = sum(
            stop - start for name in wanting for start, stop in self._lacking(folder_of(name))
        )
        self.report(0, self.total)
        given = self.settings.memory
        budget = self.device.memory(self.ranks.world) if given is None else given * 2**30
        towers: list[Tower] = []
        for name in wanting:
            try:
                tower = self._tower(name)
            except DeviceMemoryError:
                if not towers:
                    raise
                # Those that are there make room; then there is one more try.
                self._pass(towers)
                towers = []
                self.device.tidy()
                tower = self._tower(name)
            if towers and sum(t.bytes for t in (*towers, tower)) > budget:
                self._pass(towers)
                towers = []
            towers.append(tower)
        if towers:
            self._pass(towers)

    def _lacking(self, folder: str) -> list[Rows]:
        there = {path.name for path in whole_parts(self.root / folder)}
        return [rows for rows in self.blocks if part_name(*rows) not in there]

    def _compare(self, name: str) -> None:
        """Refuse predictions made otherwise, also of a model that has nothing left to do."""
        folder = folder_of(name)
        before = noted(self.root / folder)
        if not before:
            return
        precision = before["model"]["precision"]
        if precision != self.precision:
            what = f"the predictions were made in {precision}, not in {self.precision}"
            mend = f"Give --precision {precision}, or another folder with --out"
            raise MixtureError(what, where=self.root / folder, mend=mend)
        if before["embeddings"] != self.settings.embeddings:
            kept = "with" if before["embeddings"] else "without"
            mend = "Leave the option as it was, or give another folder with --out"
            what = f"the predictions were stored {kept} embeddings"
            raise MixtureError(what, where=self.root / folder, mend=mend)
        if name.startswith(MUTABLE) and not self._lacking(folder):
            # What lies there under this name may have changed since; nothing else would tell.
            self._claim(load_model(name, precision=self.precision), name)

    def _tower(self, name: str) -> Tower:
        """Load a model and make its classifier; its text tower is given back."""
        import torch

        place = self.device.place
        with enough_memory(name):
            model = load_model(name, device=str(place), precision=self.precision)
            self._claim(model, name)
            rows = classifier(model, self.task.classes, self.device, notice=_notice)
        self._keep(rows, self.root / model.folder / CLASS_ROWS)
        model.release_text()
        groups = torch.tensor(self.task.classes.groups, dtype=torch.int64)
        return Tower(model, rows.to(place), groups.to(place), self.settings.embeddings)

    def _keep(self, rows: torch.Tensor, path: Path) -> None:
        """Keep the class embeddings beside the predictions: judges compare classes by them."""
        stream = io.BytesIO()
        np.save(stream, rows.numpy())
        self.staging.publish(path, stream.getvalue(), lambda data: data == stream.getvalue())

    def _claim(self, model: Model, name: str) -> None:
        folder = self.root / model.folder
        about: dict[str, Json] = {
            "model": model.identity(),
            "evaluation": self.task.digest,
            "embeddings": self.settings.embeddings,
            "loaded": with_place(name),
        }
        with only_one(self.root / LOCK):
            # Until a model was begun, another start may have made the folder its own.
            refuse_others(self.root, read_json(self.root / ABOUT), self.task.about)
            claim(folder / MADE_WITH, about, self.staging, ignore=("loaded",))
            sync(self.root)
        record(folder, self.ranks, self.staging, device=self.device.name, batch=self.batch)

    def _pass(self, towers: list[Tower]) -> None:
        """One pass over the images that any of these towers lacks."""
        lacking = {t.model.folder: set(self._lacking(t.model.folder)) for t in towers}
        blocks = [b for b in self.blocks if any(b in rows for rows in lacking.values())]
        said = ", ".join(t.model.name for t in towers)
        log.info("one pass over %d blocks for %d models: %s", len(blocks), len(towers), said)
        grids = sorted({t.model.preprocessing.grid for t in towers})
        step = self.batch
        wanted = [
            range(start, min(start + step, block[1]))
            for block in blocks
            for start in range(*block, step)
        ]
        read = batches(
            self.task.data,
            wanted,
            grids,
            self.settings.threads,
            pin=self.device.place.type == "cuda",
        )
        for block in blocks:
            of_block = [t for t in towers if block in lacking[t.model.folder]]
            self._block(block, of_block, read)

    def _block(self, block: Rows, towers: list[Tower], read: Iterator[Batch]) -> None:
        """Score a block and write a part of each tower."""
        seen: list[Batch] = []
        found: list[list[Future[Columns]]] = [[] for _ in towers]
        while not seen or seen[-1].rows[-1] + 1 < block[1]:
            batch = next(read)
            labels = self._labels(batch.rows)
            pixels = Normalised(batch.pixels, self.device.place)
            for tower, columns in zip(towers, found, strict=True):
                with enough_memory(tower.model.name):
                    ready = pixels.of(tower.model.preprocessing)
                columns.append(self.device.submit(tower.see, ready, labels))
            seen.append(replace(batch, pixels={}))
            self._wait(found)
        for tower, columns in zip(towers, found, strict=True):
            # Left on the device until now: waiting for it once a block keeps a GPU busy.
            self._write(block, tower, seen, [future.result() for future in columns])
            self.done += block[1] - block[0]
            self.report(self.done, self.total)
        sync(self.root)

    def _wait(self, found: list[list[Future[Columns]]]) -> None:
        """Let the towers catch up: batches that wait for a thread take memory."""
        waiting = [future for columns in found for future in columns if not future.done()]
        if len(waiting) > MOST_WAITING:
            waiting[0].result()

    def _labels(self, rows: Sequence[int]) -> torch.Tensor:
        import torch

        found = torch.from_numpy(self.task.labels[list(rows)].astype(np.int64))
        return found.to(self.device.place)

    def _write(self, block: Rows, tower: Tower, seen: list[Batch], columns: list[Columns]) -> None:
        rows = self.task.data.rows.slice(block[0], block[1] - block[0])
        joined = on_host(columns)
        check_finite(joined, tower.model)
        joined["content"] = np.array([hash_ for batch in seen for hash_ in batch.content])
        reasons = [reason for batch in seen for reason in batch.reasons]
        labels = self.task.labels[slice(*block)]
        table = part(rows["key"].combine_chunks(), labels, reasons, joined)
        path = self.root / tower.model.folder / part_name(*block)
        self.staging.publish(path, parquet_bytes(table), _is_parquet)


def _is_parquet(data: bytes) -> bool:
    return data[:4] == data[-4:] == b"PAR1"


def _notice(text: str) -> None:
    log.info(text)
    print(text, flush=True)
