"""Zero-shot classification: every model, over one pass of the images.

Reads:  a run folder, a release folder, a data set of the Hub, any labelled images
Writes: OUT/evaluation.json, images.parquet, classes.parquet, OUT/<model>/ (see rows.py)
Launch: accelerate launch covar_gen/evaluation/zero_shot.py DATA --models M[,M...] --out OUT

Images are cut into blocks of consecutive rows; blocks are shared between processes first and
filtered by what is done second, so that neither their number nor a restart changes anything.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from covar_gen.core.arrays import Json
from covar_gen.core.environment import record
from covar_gen.core.errors import MixtureError
from covar_gen.core.files import Staging, sweep, sync
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.launch import THREADS, guarded, leash, logging_to, progress
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.evaluation.classifiers import classifier
from covar_gen.evaluation.data import open_data
from covar_gen.evaluation.models import load_model
from covar_gen.evaluation.models.base import Model, Precision, folder_of
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.preparing import Place, Task, claim, make_folder, prepare
from covar_gen.evaluation.reading import Batch, Rows, batches
from covar_gen.evaluation.results import MADE_WITH, part_name, read_json
from covar_gen.evaluation.scoring import part
from covar_gen.evaluation.towers import Normalised, Tower, on_host

if TYPE_CHECKING:
    import torch

TABLE = "zero_shot"
BATCH = 64
"""Images that go through a tower together."""
SHARE = 0.7
"""Share of the free memory that resident towers may take; the rest is for their activations."""

log = logging.getLogger("covar_gen")


@dataclass(frozen=True)
class Settings:
    """How the towers run.

    Attributes:
        device: a torch device; None: this process's GPU where there is one, else the CPU.
        precision: of the towers; None: bf16 on a GPU, fp32 elsewhere.
        batch: images that go through a tower together.
        embeddings: keep every image's embedding, float16.
        memory: GiB that towers resident together may take; None: `SHARE` of what is free.
        threads: that decode, and that compute on a CPU.
    """

    device: str | None = None
    precision: Precision | None = None
    batch: int = BATCH
    embeddings: bool = False
    memory: float | None = None
    threads: int = 2


def evaluate(
    place: Place,
    models: Sequence[str],
    out: Path,
    *,
    classes: str = "auto",
    templates: str = "auto",
    block: int | None = None,
    settings: Settings | None = None,
    report: Report = lambda _done, _total: None,
) -> Task:
    """Store every model's predictions of this process's share of the images.

    Args:
        place: the images.
        models: names, or groups of the zoo.
        out: the evaluation folder; made if it is not there. One that is begun is gone on with.
        classes: `auto`, `imagenet`, `imagenet-a`, `imagenet-r`, `labels`, or a file.
        templates: `auto`, `openai`, `simple`, `generic`, or a file.
        block: images per part; None: 1024, or what the folder has.
        settings: how the towers run.
        report: told of images x models done.

    Raises:
        PhotographsError, LabelsError, ModelError: of the images, their labels, the models.
        MixtureError: the folder holds predictions made with something else.
        DeviceMemoryError: the device's memory does not suffice.
    """
    names = expand(models)
    ranks = Ranks.from_environment()
    data = open_data(**vars(place))
    make_folder(out)
    sweep(out)
    staging = Staging(out)
    try:
        with logging_to(out, TABLE, ranks):
            task = prepare(
                data, place, out, staging, classes=classes, templates=templates, block=block
            )
            _Pass(task, staging, ranks, settings or Settings(), report).run(names)
    finally:
        staging.close()
    return task


class _Pass:
    """This process's part of the work."""

    def __init__(
        self, task: Task, staging: Staging, ranks: Ranks, settings: Settings, report: Report
    ) -> None:
        self.task = task
        self.staging = staging
        self.ranks = ranks
        self.settings = settings
        self.report = report
        self.device, self.precision = _device(settings, ranks)
        self.root = task.results.root
        size = int(task.results.about["block"])
        count = task.results.count
        blocks = [(start, min(start + size, count)) for start in range(0, count, size)]
        self.blocks: list[Rows] = blocks[ranks.rank :: ranks.world]
        self.done = self.total = 0

    def run(self, names: Sequence[str]) -> None:
        """Score all models that lack anything, as many at a time as fit."""
        wanting = [name for name in names if self._lacking(folder_of(name))]
        self.total = sum(
            stop - start for name in wanting for start, stop in self._lacking(folder_of(name))
        )
        self.report(0, self.total)
        budget = _budget(self.settings, self.device)
        towers: list[Tower] = []
        for name in wanting:
            tower = self._tower(name)
            if towers and sum(t.bytes for t in (*towers, tower)) > budget:
                self._pass(towers)
                towers = []
            towers.append(tower)
        if towers:
            self._pass(towers)

    def _lacking(self, folder: str) -> list[Rows]:
        there = {path.name for path in (self.root / folder).glob("*.parquet")}
        self._compare_precision(folder)
        return [rows for rows in self.blocks if part_name(*rows) not in there]

    def _compare_precision(self, folder: str) -> None:
        """Refuse another precision before a model is loaded that may have nothing left to do."""
        noted = self.root / folder / MADE_WITH
        if not noted.is_file():
            return
        before = read_json(noted)["model"]["precision"]
        if before != self.precision:
            what = f"the predictions were made in {before}, not in {self.precision}"
            mend = f"Give --precision {before}, or another folder with --out"
            raise MixtureError(what, where=noted.parent, mend=mend)

    def _tower(self, name: str) -> Tower:
        """Load a model and make its classifier; its text tower is given back."""
        import torch

        model = load_model(name, device=str(self.device), precision=self.precision)
        self._claim(model)
        rows = classifier(model, self.task.classes, notice=_notice)
        model.release_text()
        groups = torch.tensor(self.task.classes.groups, dtype=torch.int64)
        place = self.device
        return Tower(model, rows.to(place), groups.to(place), self.settings.embeddings)

    def _claim(self, model: Model) -> None:
        folder = self.root / model.folder
        about: dict[str, Json] = {
            "model": model.identity(),
            "evaluation": self.task.digest,
            "embeddings": self.settings.embeddings,
        }
        claim(folder / MADE_WITH, about, self.staging)
        device, batch = _device_name(self.device), self.settings.batch
        record(folder, self.ranks, self.staging, device=device, batch=batch)

    def _pass(self, towers: list[Tower]) -> None:
        """One pass over the images that any of these towers lacks."""
        lacking = {t.model.folder: set(self._lacking(t.model.folder)) for t in towers}
        blocks = [b for b in self.blocks if any(b in rows for rows in lacking.values())]
        said = ", ".join(t.model.name for t in towers)
        log.info("one pass over %d blocks for %d models: %s", len(blocks), len(towers), said)
        grids = sorted({t.model.preprocessing.grid for t in towers})
        step = self.settings.batch
        wanted = [
            (start, min(start + step, block[1]))
            for block in blocks
            for start in range(*block, step)
        ]
        read = batches(
            self.task.data, wanted, grids, self.settings.threads, pin=self.device.type == "cuda"
        )
        for block in blocks:
            of_block = [t for t in towers if block in lacking[t.model.folder]]
            self._block(block, of_block, read)

    def _block(self, block: Rows, towers: list[Tower], read: Iterator[Batch]) -> None:
        """Score a block and write a part of each tower."""
        import torch

        seen: list[Batch] = []
        found: list[list[dict[str, torch.Tensor]]] = [[] for _ in towers]
        with torch.inference_mode():
            while not seen or seen[-1].rows[1] < block[1]:
                batch = next(read)
                labels = torch.from_numpy(self.task.labels[slice(*batch.rows)].astype(np.int64))
                labels = labels.to(self.device)
                pixels = Normalised(batch.pixels, self.device)
                for tower, columns in zip(towers, found, strict=True):
                    # Left on the device: waiting for it once a block keeps a GPU busy.
                    columns.append(tower.see(pixels.of(tower.model.preprocessing), labels))
                    self.done += len(batch.reasons)
                seen.append(batch)
                self.report(self.done, self.total)
        for tower, columns in zip(towers, found, strict=True):
            self._write(block, tower, seen, columns)
        sync(self.root)

    def _write(
        self, block: Rows, tower: Tower, seen: list[Batch], columns: list[dict[str, torch.Tensor]]
    ) -> None:
        rows = self.task.data.rows.slice(block[0], block[1] - block[0])
        joined = on_host(columns)
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


def _device(settings: Settings, ranks: Ranks) -> tuple[torch.device, Precision]:
    """The device and the precision that the settings leave open; arithmetic made exact."""
    import torch

    place = settings.device
    if place is None:
        place = "cpu"
        if torch.cuda.is_available():
            place = f"cuda:{ranks.local % torch.cuda.device_count()}"
    device = torch.device(place)
    torch.set_num_threads(settings.threads)
    # Convolutions would round to 10 bits by default: patch embeddings are convolutions.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return device, settings.precision or ("bf16" if device.type == "cuda" else "fp32")


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _budget(settings: Settings, device: torch.device) -> float:
    """Bytes that towers may take together."""
    import torch

    if settings.memory is not None:
        return settings.memory * 2**30
    if device.type == "cuda":
        return SHARE * torch.cuda.mem_get_info(device)[0]
    return SHARE * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def arguments() -> argparse.ArgumentParser:
    """The command line, the same as that of `covar-gen evaluate` without --processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--models", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--classes", default="auto")
    parser.add_argument("--templates", default="auto")
    for name in ("name", "split", "revision", "image-column", "label-column", "device"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--block", type=int)
    parser.add_argument("--memory", type=float)
    parser.add_argument("--embeddings", action="store_true")
    return parser


def main() -> int:
    """Evaluate this process's share, from the command line."""
    given = arguments().parse_args()
    leash()
    place = Place(
        given.data,
        given.name,
        given.split,
        given.revision,
        given.image_column,
        given.label_column,
    )
    settings = Settings(
        given.device,
        given.precision,
        given.batch,
        given.embeddings,
        given.memory,
        int(os.environ.get(THREADS) or os.cpu_count() or 1),
    )
    return guarded(
        lambda: evaluate(
            place,
            given.models.split(","),
            given.out,
            classes=given.classes,
            templates=given.templates,
            block=given.block,
            settings=settings,
            report=progress(TABLE),
        ),
        given.out,
    )


if __name__ == "__main__":
    sys.exit(main())
