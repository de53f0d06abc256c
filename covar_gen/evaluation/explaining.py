"""Misclassified images in, rows of ERRORS out: each map against object and background."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.rows import OK, REJECTED
from covar_gen.core.seeds import generator, seed_of
from covar_gen.evaluation.attribution.alignment import pixel_map, seen
from covar_gen.evaluation.attribution.base import Method
from covar_gen.evaluation.computing import Device
from covar_gen.evaluation.data import Data
from covar_gen.evaluation.labels import ClassList
from covar_gen.evaluation.masks import Masks
from covar_gen.evaluation.models.base import Model
from covar_gen.evaluation.overlaps import chances, overlaps
from covar_gen.evaluation.reading import ANOTHER_FILE, Batch, batches
from covar_gen.evaluation.results import Results
from covar_gen.evaluation.rows import ERRORS, MARGINS, THRESHOLDS

if TYPE_CHECKING:
    import torch

BATCH = 8
"""Errors that are explained together."""
NO_MASK, ANOTHER_SIZE = "no_mask", "mask_of_another_size"
"""Reasons why an error has no overlaps."""
SEED = "error_sources"
"""Names the random numbers of the random maps."""
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
        content: int64 (N,), what the images were when they were evaluated: the first 63 bits of
            the SHA-256 of each file.
    """

    results: Results
    data: Data
    masks: Masks
    method: Method
    classes: ClassList
    content: NDArray[np.int64]

    def identity(self, model: Model) -> dict[str, Json]:
        """What decides the rows."""
        return {"model": model.identity(), **self.about()}

    def about(self) -> dict[str, Json]:
        """The same without the model."""
        return {
            "method": self.method.identity(),
            "masks": self.masks.digest,
            "images": self.results.about["images"],
            "classes": self.results.about["classes"],
            "thresholds": list(THRESHOLDS),
            "margins": list(MARGINS),
            "chance": CHANCE,
            "columns": list(ERRORS.names),
        }


class Explainer:
    """Explains errors of one model."""

    def __init__(
        self,
        question: Question,
        model: Model,
        texts: torch.Tensor,
        predicted: NDArray[np.int32],
        device: Device,
        threads: int,
    ) -> None:
        """Keep what is needed for every error.

        Args:
            question: what is asked.
            model: whose errors they are.
            texts: float32 (C, D), the zero-shot classifier's rows.
            predicted: int32 (N,), the class predicted for each image of the evaluation.
            device: that computes.
            threads: that decode.
        """
        self.question = question
        self.model = model
        self.texts = texts
        self.predicted = predicted
        self.device = device
        self.threads = threads
        # Once for all blocks: there may be hundreds of thousands of images.
        self.images = question.results.images(["key", "label"])

    def explain(self, wrong: NDArray[np.int64]) -> pa.Table:
        """Explain some errors, a few at a time, always the same ones together.

        Args:
            wrong: int64 (E,), rows of misclassified images.

        Returns:
            A row of ERRORS for each.
        """
        chunks = [wrong[at : at + BATCH].tolist() for at in range(0, len(wrong), BATCH)]
        grids = [self.model.preprocessing.grid]
        # Maps are measured beside the device, which goes on with the next batch.
        with ThreadPoolExecutor(self.threads) as pool:
            pending = [
                pool.submit(self._rows, batch, self.device.submit(self._maps, batch))
                for batch in batches(self.question.data, chunks, grids, self.threads)
            ]
            found = [row for future in pending for row in future.result()]
        images = self.images.take(wrong)
        columns: dict[str, Any] = {name: [row.get(name) for row in found] for name in ERRORS.names}
        columns["key"], columns["label"] = images["key"], images["label"]
        columns["predicted"] = self.predicted[wrong]
        return pa.table(columns, schema=ERRORS)

    def _maps(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The map of each error of a batch, float32 (B, h, w), and whether it is flat."""
        preprocessing = self.model.preprocessing
        pixels = preprocessing.normalise(batch.pixels[preprocessing.grid].to(self.device.place))
        texts = self.texts[self.predicted[list(batch.rows)].tolist()][:, None]
        found = self.question.method.explain(self.model, pixels, texts)
        return found.maps[:, 0].cpu().numpy(), found.flat[:, 0].cpu().numpy()

    def _rows(
        self, batch: Batch, made: Future[tuple[NDArray[np.float32], NDArray[np.bool_]]]
    ) -> list[dict[str, Any]]:
        """The rows of a batch of errors."""
        maps, flat = made.result()
        answers = []
        for place, row in enumerate(batch.rows):
            reason, values = batch.reasons[place], maps[place]
            if reason is None and batch.content[place] != self.question.content[row]:
                reason = ANOTHER_FILE
            answer: dict[str, Any] = {"status": REJECTED, "reason": reason}
            if reason is None:
                answer = self._measured(row, values, batch.sizes[place])
                answer |= {"flat": bool(flat[place]), "map": values.ravel()}
                answer |= {"map_height": values.shape[0], "map_width": values.shape[1]}
            answers.append(answer)
        return answers

    def _measured(
        self, row: int, values: NDArray[np.float32], size: tuple[int, int]
    ) -> dict[str, Any]:
        """How one map lies on its object and behind it."""
        mask = self.question.masks.of(row)
        if mask is None or mask.shape != size:
            reason = NO_MASK if mask is None else ANOTHER_SIZE
            return {"status": REJECTED, "reason": reason}
        grid = self.model.preprocessing.grid
        maps = np.concatenate([values[None], self._shuffled(row, values)])
        whole = pixel_map(maps, grid, *size)
        visible = seen(grid, *size, values.shape)
        found = overlaps(whole[0], mask, visible)
        return {"status": OK, **found, **chances(whole[1:], mask, visible)}

    def _shuffled(self, row: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Random maps: the same values on other patches, so regions of as many patches."""
        key = self.question.data.rows["key"][row].as_py()
        rng = generator(seed_of(0, SEED, key))
        found = rng.permuted(np.tile(values.ravel(), (CHANCE, 1)), axis=1)
        return found.reshape(CHANCE, *values.shape)
