"""What each error is driven by: the map of the predicted class against object and background.

Reads:  an evaluation folder, its images, and masks of their objects
Writes: DIR/<model>/errors-<method>/ : one row per misclassified image (rows of ERRORS)
Launch: accelerate launch covar_gen/evaluation/error_sources.py DIR [--masks RUN] [--models M,...]

Every error keeps its row: without a mask, with a flat map, or where neither overlap is larger by
enough, nothing is decided, and that is counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.environment import record
from covar_gen.core.errors import MixtureError
from covar_gen.core.files import Staging, sweep, sync
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.launch import THREADS, guarded, leash, logging_to, progress
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.core.rows import OK, REJECTED
from covar_gen.core.seeds import generator, seed_of
from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.attribution.alignment import pixel_map, seen
from covar_gen.evaluation.attribution.base import Method
from covar_gen.evaluation.classifiers import classifier
from covar_gen.evaluation.computing import Device, device_of
from covar_gen.evaluation.data import Data, open_data
from covar_gen.evaluation.explained import PREFIX, wrong_rows
from covar_gen.evaluation.labels import ClassList
from covar_gen.evaluation.masks import Masks, masks_of
from covar_gen.evaluation.models import load_model
from covar_gen.evaluation.models.base import Model
from covar_gen.evaluation.overlaps import chances, overlaps
from covar_gen.evaluation.preparing import claim, stored_classes
from covar_gen.evaluation.reading import Batch, batches
from covar_gen.evaluation.results import MADE_WITH, Results, open_results, part_name
from covar_gen.evaluation.rows import ERRORS, MARGINS, THRESHOLDS

if TYPE_CHECKING:
    import torch

TABLE = "error_sources"
BLOCK = 128
"""Errors per part."""
BATCH = 8
NO_MASK, ANOTHER_SIZE = "no_mask", "mask_of_another_size"
"""Reasons why an error has no overlaps."""
CHANCE = 8
"""Random maps that each map is compared with: its own patches in another order."""


@dataclass(frozen=True)
class Question:
    """What is asked of every error.

    Attributes:
        results: the evaluation.
        data: its images.
        masks: of their objects.
        method: that explains the predictions.
        classes: the label set.
    """

    results: Results
    data: Data
    masks: Masks
    method: Method
    classes: ClassList

    def identity(self, model: Model) -> dict[str, Json]:
        """What decides the rows."""
        return {
            "model": model.identity(),
            "method": self.method.identity(),
            "masks": self.masks.digest,
            "images": self.results.about["images"],
            "classes": self.results.about["classes"],
            "thresholds": list(THRESHOLDS),
            "margins": list(MARGINS),
            "chance": CHANCE,
            "columns": list(ERRORS.names),
        }


def error_sources(
    root: Path,
    *,
    models: Sequence[str] | None = None,
    masks: str | None = None,
    method: str = "cci",
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    threads: int = 2,
    report: Report = lambda _done, _total: None,
) -> None:
    """Explain this process's share of the errors of an evaluation.

    Args:
        root: the evaluation folder; complete models of it are taken.
        models: names; None: all that are complete.
        masks: a run folder with masks of the images; None: the run that was evaluated.
        method: an attribution method.
        options: the method's own.
        device: a torch device; None: a GPU where there is one.
        threads: that decode, and that compute on a CPU.
        report: told of errors done.

    Raises:
        EvaluationFolderError, IncompleteInputError: the folder, or its masks, are not as needed.
        MixtureError: the images are others now, or the rows there were made with something else.
        ModelError: the method cannot explain the model.
    """
    results = open_results(root)
    ranks = Ranks.from_environment()
    names = list(models) if models else results.models()
    question = _question(results, names, masks, get_method(method, **(options or {})))
    sweep(root)
    staging = Staging(root)
    try:
        with logging_to(root, TABLE, ranks), device_of(device, ranks.local, threads) as place:
            work = _Work(question, staging, ranks, place, threads, report)
            work.run(names)
    finally:
        staging.close()


def errors_folder(results: Results, model: str, method: Method) -> Path:
    """Where a model's errors, explained by a method, are kept."""
    name = hashlib.sha256(json.dumps(method.identity(), sort_keys=True).encode()).hexdigest()
    return results.folder(model) / f"{PREFIX}{method.name()}-{name[:8]}"


def _question(
    results: Results, names: Sequence[str], masks: str | None, method: Method
) -> Question:
    place = dict(results.about["place"])
    data = open_data(**place)
    if data.identity != results.about["data"]:
        mend = "Give the images that were evaluated, or evaluate these into another folder"
        raise MixtureError("the images are not those evaluated", where=place["place"], mend=mend)
    content = results.table(names[0], ["content"])["content"].to_numpy()
    keys = results.images(["key"])["key"]
    found = masks_of(masks or place["place"], keys, content)
    return Question(results, data, found, method, stored_classes(results))


class _Work:
    """This process's part of the work."""

    def __init__(
        self,
        question: Question,
        staging: Staging,
        ranks: Ranks,
        device: Device,
        threads: int,
        report: Report,
    ) -> None:
        self.question = question
        self.staging = staging
        self.ranks = ranks
        self.device = device
        self.threads = threads
        self.report = report
        self.done = self.total = 0

    def run(self, names: Sequence[str]) -> None:
        """Explain the errors of each model that lacks any."""
        results, method = self.question.results, self.question.method
        lacking: dict[str, list[tuple[int, int]]] = {}
        for name in names:
            count = len(wrong_rows(results, name))
            blocks = [(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)]
            mine = blocks[self.ranks.rank :: self.ranks.world]
            folder = errors_folder(results, name, method)
            there = {path.name for path in folder.glob("*.parquet")}
            lacking[name] = [block for block in mine if part_name(*block) not in there]
        self.total = sum(stop - start for blocks in lacking.values() for start, stop in blocks)
        self.report(0, self.total)
        for name in names:
            if lacking[name] or not errors_folder(results, name, method).is_dir():
                self._model(name, lacking[name])

    def _model(self, name: str, blocks: list[tuple[int, int]]) -> None:
        results, method = self.question.results, self.question.method
        noted = results.made_with(results.folder(name))["model"]
        model = load_model(
            self._source(name), device=str(self.device.place), precision=noted["precision"]
        )
        if model.identity() != noted:
            mend = "Load the model that was evaluated, or evaluate this one into another folder"
            raise MixtureError("not the model that was evaluated", where=name, mend=mend)
        folder = errors_folder(results, name, method)
        claim(folder / MADE_WITH, self.question.identity(model), self.staging)
        record(folder, self.ranks, self.staging, device=self.device.name)
        rows = classifier(model, self.question.classes, self.device).to(self.device.place)
        wrong = wrong_rows(results, name)
        predicted = results.predictions(name).top_ids[:, 0]
        for start, stop in blocks:
            table = self._block(model, rows, wrong[start:stop], predicted)
            path = folder / part_name(start, stop)
            self.staging.publish(path, parquet_bytes(table), lambda data: data[-4:] == b"PAR1")
            sync(results.root)
            self.done += stop - start
            self.report(self.done, self.total)

    def _source(self, name: str) -> str:
        """What a model was loaded by; of a local one, where it was."""
        return str(self.question.results.made_with(self.question.results.folder(name))["loaded"])

    def _block(
        self,
        model: Model,
        rows: torch.Tensor,
        wrong: NDArray[np.int64],
        predicted: NDArray[np.int32],
    ) -> pa.Table:
        chunks = [wrong[at : at + BATCH].tolist() for at in range(0, len(wrong), BATCH)]
        grid = model.preprocessing.grid
        pending: list[Future[list[dict[str, Any]]]] = [
            self.device.submit(self._explain, model, batch, rows, predicted)
            for batch in batches(self.question.data, chunks, [grid], self.threads)
        ]
        found = [row for future in pending for row in future.result()]
        images = self.question.results.images(["key", "label"]).take(wrong)
        columns: dict[str, Any] = {name: [row.get(name) for row in found] for name in ERRORS.names}
        columns["key"], columns["label"] = images["key"], images["label"]
        columns["predicted"] = predicted[wrong]
        return pa.table(columns, schema=ERRORS)

    def _explain(
        self,
        model: Model,
        batch: Batch,
        rows: torch.Tensor,
        predicted: NDArray[np.int32],
    ) -> list[dict[str, Any]]:
        """The rows of a batch of errors."""
        preprocessing = model.preprocessing
        pixels = preprocessing.normalise(batch.pixels[preprocessing.grid].to(self.device.place))
        texts = rows[predicted[list(batch.rows)].tolist()][:, None]
        found = self.question.method.explain(model, pixels, texts)
        maps, flat = found.maps[:, 0].cpu().numpy(), found.flat[:, 0].cpu().numpy()
        answers = []
        for place, row in enumerate(batch.rows):
            reason = batch.reasons[place]
            answer = {"status": REJECTED, "reason": reason}
            if reason is None:
                answer = self._measure(row, maps[place], bool(flat[place]), model, batch, place)
            answers.append(answer)
        return answers

    def _measure(
        self,
        row: int,
        values: NDArray[np.float32],
        flat: bool,  # noqa: FBT001 - part of the explanation
        model: Model,
        batch: Batch,
        place: int,
    ) -> dict[str, Any]:
        """One map, and its overlaps with its object and its background."""
        height, width = batch.sizes[place]
        drawn = {
            "flat": flat,
            "map": values.ravel(),
            "map_height": values.shape[0],
            "map_width": values.shape[1],
        }
        mask = self.question.masks.of(row)
        if mask is None or mask.shape != (height, width):
            reason = NO_MASK if mask is None else ANOTHER_SIZE
            return {"status": REJECTED, "reason": reason, **drawn}
        grid = model.preprocessing.grid
        maps = np.concatenate([values[None], self._shuffled(row, values)])
        whole = pixel_map(maps, grid, height, width)
        visible = seen(grid, height, width, values.shape)
        found = overlaps(whole[0], mask, visible)
        return {"status": OK, **drawn, **found, **chances(whole[1:], mask, visible)}

    def _shuffled(self, row: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Random maps: the same values on other patches, so regions of as many patches."""
        key = self.question.data.rows["key"][row].as_py()
        rng = generator(seed_of(0, TABLE, key))
        found = rng.permuted(np.tile(values.ravel(), (CHANCE, 1)), axis=1)
        return found.reshape(CHANCE, *values.shape)


def arguments() -> argparse.ArgumentParser:
    """The command line, that of `covar-gen errors` without its judge and --processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models")
    parser.add_argument("--masks")
    parser.add_argument("--method", default="cci")
    parser.add_argument("--options", type=json.loads, default={}, help="of the method, as JSON")
    parser.add_argument("--device")
    return parser


def main() -> int:
    """Explain this process's share, from the command line."""
    given = arguments().parse_args()
    leash()
    return guarded(
        lambda: error_sources(
            given.folder,
            models=given.models.split(",") if given.models else None,
            masks=given.masks,
            method=given.method,
            options=given.options,
            device=given.device,
            threads=int(os.environ.get(THREADS) or os.cpu_count() or 1),
            report=progress(TABLE),
        ),
        given.folder,
    )


if __name__ == "__main__":
    sys.exit(main())
