"""Whether an editor that draws the object again has kept it: measured, and judged by the recipe.

What the numbers are is told in `core.agreement`, where the object lies in `core.registration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from covar_gen.core import agreement, plugins
from covar_gen.core.agreement import Agreement, Beside
from covar_gen.core.arrays import Json, Mask, Matrix, Rejected, check_mask
from covar_gen.core.registration import Estimate, NoEstimate, register
from covar_gen.core.rows import Row
from covar_gen.editors.base import Edit, EditRequest, placed
from covar_gen.neural.patches import patches_of
from covar_gen.neural.running import THREADS
from covar_gen.segmenters.base import Segmenter, SegmentRequest

SEGMENTER = "backgrounds.agreement.segmenter"

Task = tuple[EditRequest, Edit]
"""What was asked, and an edit that redraws the object."""


@dataclass(frozen=True)
class Measured:
    """A redrawn object beside the photograph's.

    Attributes:
        task: what was asked and what came, with the columns that say where the object is.
        pair: both objects.
        move: float64 (3, 3), photograph's pixels -> edited image's, for the object; None: it was
            not found, and is compared in its own place.
        ssim: structural similarity, in [-1, 1]; None where nothing of it is to be seen.
        colour: CIEDE2000; None likewise.
    """

    task: Task
    pair: Beside
    move: Matrix | None
    ssim: float | None
    colour: float | None


class Foreground:
    """Measures redrawn objects, and refuses those that have changed too much.

    Args:
        section: the recipe's [backgrounds.agreement]; None: nothing is limited, and no network and
            no segmenter are asked.
    """

    def __init__(self, section: Agreement | None) -> None:
        self.section = section or Agreement(network=agreement.NO_NETWORK)
        self.patches = patches_of(section)
        self.segmenter: Segmenter | None = None
        name = self.section.segmenter
        if name is not None:
            options = self.section.options.get(name)
            self.segmenter = plugins.make("segmenters", name, Segmenter, options, SEGMENTER)

    @property
    def in_batches(self) -> bool:
        """True if the last digits depend on what is measured together."""
        return self.patches is not None or bool(self.segmenter and self.segmenter.batch)

    def identity(self) -> dict[str, Json]:
        """What decides the numbers, and what is refused.

        Raises:
            WeightsError: the network or the segmenter's weights cannot be had.
        """
        limits = {
            name: value
            for name, value in self.section.model_dump(mode="json").items()
            if name.startswith(("min_", "max_"))
        }
        return {
            "version": agreement.VERSION,
            "limits": limits,
            "network": self.patches.identity() if self.patches else None,
            "segmenter": self.segmenter.identity() if self.segmenter else None,
        }

    def setup(self) -> None:
        """Load the network and the segmenter."""
        for plugin in (self.patches, self.segmenter):
            if plugin is not None:
                plugin.setup()

    def judged(self, tasks: Sequence[Task]) -> list[Edit | Rejected]:
        """Each edit with its numbers; or object_changed with the same, to be made again.

        Args:
            tasks: edits that redraw the object.
        """
        with ThreadPoolExecutor(THREADS, thread_name_prefix="measuring") as pool:
            measured = list(pool.map(_measured, tasks))
        pairs = [each.pair for each in measured]
        likeness = self.patches.compare(pairs) if self.patches else [(None, {})] * len(tasks)
        outlines = self._outlined([each.task for each in measured])
        return [
            self._judged(each, similar, outline)
            for each, similar, outline in zip(measured, likeness, outlines, strict=True)
        ]

    def _outlined(self, tasks: Sequence[Task]) -> list[tuple[Mask | None, dict[str, Json]]]:
        """The segmenter's masks of the edited images; None where it found nothing."""
        segmenter = self.segmenter
        if segmenter is None:
            return [(None, {})] * len(tasks)
        found: list[tuple[Mask | None, dict[str, Json]]] = []
        size = segmenter.batch or max(len(tasks), 1)
        requests = [SegmentRequest(r.key, e.image, r.class_name, r.seed) for r, e in tasks]
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            for request, answer in zip(batch, segmenter.segment(batch), strict=True):
                about: dict[str, Json] = {"segmenter": segmenter.name()}
                if segmenter.model is not None:
                    about["segmenter_model"] = segmenter.model
                if isinstance(answer, Rejected):
                    found.append((None, {**about, "segmented": answer.reason}))
                    continue
                what = f"mask of the edited {request.key}"
                found.append((check_mask(answer.mask, request.image.shape, what), about))
        return found

    def _judged(
        self,
        measured: Measured,
        similar: tuple[float | None, dict[str, Json]],
        outline: tuple[Mask | None, dict[str, Json]],
    ) -> Edit | Rejected:
        (request, edit), pair, move = measured.task, measured.pair, measured.move
        mask, segmented = outline
        numbers: dict[str, float | None] = {
            "iou": None if mask is None else agreement.iou(request.mask, mask, move),
            "similarity": similar[0],
            "ssim": measured.ssim,
            "colour": measured.colour,
        }
        about: dict[str, Json] = {
            "at": "in_place" if move is None else "registered",
            "seen": pair.seen,
            **similar[1],
            **segmented,
        }
        columns: Row = {**edit.columns, **{f"object_{k}": v for k, v in numbers.items()}}
        failed = self.section.failing(**numbers)
        if failed:
            about["failed"] = list(failed)
            params = {**edit.params, "agreement": about}
            return Rejected("object_changed", params, columns, again=True)
        return replace(edit, params={**edit.params, "agreement": about}, columns=columns)


def _measured(task: Task) -> Measured:
    request, edit = task
    place = edit.place
    if place is None:
        place = register(request.image, request.mask, edit.image)
        about: dict[str, Json] = (
            {"unmeasured": place.reason} if isinstance(place, NoEstimate) else {}
        )
        edit = replace(
            edit, params={**edit.params, **about}, columns={**placed(place), **edit.columns}
        )
    move = place.transform if isinstance(place, Estimate) else None
    pair = agreement.beside(request.image, request.mask, edit.image, move)
    return Measured((request, edit), pair, move, agreement.ssim(pair), agreement.colour(pair))
