"""A stage with a diffusion model on a GPU, beside bare loops that make the same pictures.

Everything runs in one process, side by side: the stage as `accelerate launch` would run it, its
plugin loaded from a folder as ever; a plain loop over single images; and the best of some bare
loops over the stage's own batches, given the pictures ready-made and writing none.
"""

from __future__ import annotations

import gc
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import torch
from gpu_report import Report, Row
from gpu_timing import compiled, peak, timed, waits
from synthetic_runs import make_run, staged

from covar_gen.core.errors import first_line
from covar_gen.core.stage import Stage

LEAST = 2
"""Photographs of the shortest stage that is timed."""

ALIKE = 0.98
"""Of the rate of the fastest batch: a smaller one that comes so near takes less memory."""

BLOCK = 32
"""Rows of a block, unless batches are larger: the recipes' own value."""

Call = Any
"""One call of a model, as a stage made it: what was asked, and what repeats its noise."""

Again = Callable[[Call], Any]
"""Makes a call again, in a loop of its own."""


class Calls(Protocol):
    """What a stage asked of its model.

    Attributes:
        asked: the calls that succeeded.
        sizes: images of each.
    """

    asked: list[Call]

    @property
    def sizes(self) -> list[int]:
        """Images of each call."""


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        edge: of the square photographs, pixels.
        steps: of denoising.
        batches: that are tried.
        parents: photographs of the timed stage, at least; twice the batch if that is more.
        alone: images of each plain loop.
        rounds: in which stage and loops take turns.
        options: of the plugin, beside weights, steps, batch and compile.
    """

    edge: int
    steps: int
    batches: tuple[int, ...]
    parents: int
    alone: int
    rounds: int
    options: dict[str, Any]


class Part(ABC):
    """A stage, its plugin, and the loops beside it.

    Attributes:
        name: by which the part is asked for.
        kind: of the stage.
        section: of the recipe.
        tool: attribute of the stage that holds the plugin, and key of the section.
        plugin: its name.
        rows: that the stage makes of a photograph.
        last: the table of images that it reads.
        hows: bare loops that are tried.
    """

    name: ClassVar[str]
    kind: ClassVar[type[Stage]]
    section: ClassVar[str]
    tool: ClassVar[str]
    plugin: ClassVar[str]
    rows: ClassVar[int] = 1
    last: ClassVar[Literal["sources", "backgrounds"]] = "backgrounds"
    more: ClassVar[dict[str, Any]] = {}
    hows: ClassVar[tuple[str, ...]]

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size, self.device = size, device

    @abstractmethod
    def save(self, folder: Path, *, tiny: bool) -> Path:
        """Write a checkpoint with random weights, and say where."""

    @abstractmethod
    def hearing(self, stage: Any) -> AbstractContextManager[Calls]:
        """Remember what a stage asks of its model within."""

    @abstractmethod
    def singly(self, call: Call) -> Iterator[Call]:
        """A call as one call per image."""

    @abstractmethod
    def plain(self, weights: Path) -> Again:
        """The plain loop: its networks in half precision, nothing compiled."""

    @abstractmethod
    def bare(self, weights: Path, how: str) -> Again:
        """One of the bare loops over batches."""

    def stage(
        self, folder: Path, weights: Path, batch: int, parents: int, *, compile_blocks: bool
    ) -> Stage:
        """The stage on a run of its own, nothing loaded yet."""
        size = self.size
        options = {
            **size.options,
            "weights": str(weights),
            "steps": size.steps,
            "batch": batch,
            "compile": compile_blocks,
        }
        section = {self.tool: self.plugin, "options": {self.plugin: options}, **self.more}
        run = make_run(
            folder,
            {self.section: section},
            parents=parents,
            size=(size.edge, size.edge),
            block=max(BLOCK, batch),
            last=self.last,
        )
        return self.kind(run)


@dataclass(frozen=True)
class Bench:
    """One part, measured.

    Attributes:
        part: what is run.
        report: where the numbers go.
        folder: for checkpoints and runs.
        compiling: whether anything is compiled.
    """

    part: Part
    report: Report
    folder: Path
    compiling: bool

    def compare(self, weights: Path, batch: int) -> None:
        """Time the stage beside the loops, and see how long the device waits in it.

        Args:
            weights: of `Part.save`.
            batch: images together.
        """
        part, report = self.part, self.report
        parents = max(part.size.parents, 2 * batch)
        report.facts |= {"batch": batch, "photographs": parents, "steps": part.size.steps}
        stage = part.stage(
            self.folder / "run", weights, batch, parents, compile_blocks=self.compiling
        )
        calls = self._warmed(stage, weights, batch)
        plain = part.plain(weights)
        alone = [one for call in calls.asked for one in part.singly(call)][: part.size.alone]
        with report.once("plain loop, first image"):
            plain(alone[0])
        bare = self._best_bare(weights, calls.asked[0], batch)
        self._side_by_side(stage, parents, lambda: _each(plain, alone), calls, bare)
        self._waiting(stage, parents, batch)

    def try_batches(self, weights: Path) -> int:
        """Time the stage and its memory by batch, nothing compiled.

        Returns:
            The smallest batch that is about as fast as the fastest.
        """
        part, report = self.part, self.report
        rates: dict[int, float] = {}
        for batch in part.size.batches:
            parents = max(2 * batch, LEAST)
            folder = self.folder / f"run-{batch}"
            stage = part.stage(folder, weights, batch, parents, compile_blocks=False)
            if not rates:
                with report.once("hashing the weights"):
                    stage.identity()
                with report.once("loading the weights"):
                    stage.setup()
            else:
                stage.setup()
            with part.hearing(stage) as calls:
                staged(stage, parents * part.rows)
            remark = "" if max(calls.sizes) == batch else f"{max(calls.sizes)} fitted"
            seconds, gib = peak(part.device, lambda s=stage, n=parents: staged(s, n * part.rows))
            rates[batch] = parents / seconds
            report.add(Row("stage, not compiled", batch, rates[batch], gib=gib, remark=remark))
            del stage, calls
            _forget(part.device)
        return min(b for b, rate in rates.items() if rate >= ALIKE * max(rates.values()))

    def _warmed(self, stage: Stage, weights: Path, batch: int) -> Calls:
        """Load the stage that is compared, have it compiled, and hear what it asks."""
        part, report, before = self.part, self.report, compiled()
        stage.identity()
        stage.setup()
        small = part.stage(
            self.folder / "run-warm", weights, batch, batch, compile_blocks=self.compiling
        )
        setattr(small, part.tool, getattr(stage, part.tool))
        rows = batch * part.rows
        said = "compiling and warming up" if self.compiling else "warming up"
        with report.once(f"stage, {said}"):
            staged(small, rows)
        with report.once("stage, the same batch once warm"):
            staged(small, rows)
        report.facts["graphs compiled"] = compiled() - before
        parents = max(part.size.parents, 2 * batch)
        with part.hearing(stage) as calls:
            staged(stage, parents * part.rows)
        # A picture that was refused and made again would be counted once and paid for twice.
        assert sum(calls.sizes) == parents, calls.sizes
        return calls

    def _best_bare(self, weights: Path, call: Call, batch: int) -> Again:
        """The fastest of the bare loops; one that cannot run is said to have failed, and why."""
        part, report = self.part, self.report
        best: tuple[float, Again] | None = None
        for how in part.hows:
            if "compiled" in how and not self.compiling:
                continue
            try:
                again = part.bare(weights, how)
                with report.once(f"bare loop, {how}, first batch"):
                    again(call)
                seconds = timed(part.device, lambda a=again: a(call))
            except Exception as error:  # noqa: BLE001 - compilers raise errors of every kind
                said = f"failed: {type(error).__name__}: {first_line(error)}"
                report.add(Row(f"bare loop, {how}", batch, remark=said))
                continue
            # No memory: the networks of the stage and of other loops are on the device as well.
            report.add(Row(f"bare loop, {how}", batch, batch / seconds))
            if best is None or batch / seconds > best[0]:
                best = batch / seconds, again
                report.facts["best bare loop"] = how
            del again
            _forget(part.device)
        assert best is not None, "no bare loop ran"
        return best[1]

    def _side_by_side(
        self, stage: Stage, parents: int, plain: Callable[[], int], calls: Calls, bare: Again
    ) -> None:
        """Stage and loops in turn, round by round: whatever else happens befalls all."""
        part, report = self.part, self.report
        rates: dict[str, list[float]] = {"plain": [], "stage": [], "bare": []}
        before = compiled()
        for number in range(part.size.rounds):
            seconds = timed(part.device, plain)
            rates["plain"].append(part.size.alone / seconds)
            rates["stage"].append(parents / staged(stage, parents * part.rows))
            seconds = timed(part.device, lambda: _each(bare, calls.asked))
            rates["bare"].append(parents / seconds)
            said = ", ".join(f"{name} {found[-1]:.3g}" for name, found in rates.items())
            report.say(f"round {number + 1}: images/s: {said}")
        if compiled() > before:
            report.facts["graphs compiled while timed"] = compiled() - before
        found = {name: statistics.median(values) for name, values in rates.items()}
        report.facts["rounds"] = rates
        for name in ("plain", "bare"):
            pairs = zip(rates["stage"], rates[name], strict=True)
            report.ratios[f"stage over {name} loop"] = statistics.median(s / o for s, o in pairs)
        batch = report.facts["batch"]
        report.add(Row("plain loop, one at a time", 1, found["plain"]))
        report.add(Row("best bare loop", batch, found["bare"]))
        remark = "compiled" if self.compiling else "not compiled"
        report.add(Row("stage", batch, found["stage"], remark=remark))

    def _waiting(self, stage: Stage, parents: int, batch: int) -> None:
        """The share of the stage's time in which the device waits."""
        part, report = self.part, self.report
        found = waits(part.device, lambda: staged(stage, parents * part.rows))
        report.facts["waits between first and last"] = found.idle_between
        remark = f"{100 * found.idle_between:.1f} % between the first and the last computation"
        rate = parents / found.seconds
        report.add(Row("stage, under the profiler", batch, rate, found.idle, remark=remark))


def _each(again: Again, calls: Sequence[Call]) -> int:
    for call in calls:
        again(call)
    return len(calls)


def _forget(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
