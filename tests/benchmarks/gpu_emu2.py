"""The stage of backgrounds with Emu2-Gen: seconds per image, and which network takes them.

A language model that does not fit, on the disk or on the device, has fewer layers here. What the
others would take is then extrapolated from two numbers of layers, and named as extrapolated.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from gpu_checkpoints import beside, save_emu2
from gpu_report import Report, Row
from gpu_timing import GIB, peak, settle, timed, waits
from PIL import Image as Pillow
from synthetic_runs import make_run, photographs, staged

from covar_gen.editors import _emu2_published as published
from covar_gen.editors._emu2_language import Writer
from covar_gen.editors._emu2_model import Networks
from covar_gen.editors._emu2_painting import Painter
from covar_gen.editors._emu2_room import published_loads
from covar_gen.editors._emu2_tokens import QUERIES
from covar_gen.neural.room import free_memory
from covar_gen.stage_backgrounds import BackgroundsStage

NAME = "emu2"
LEAST, TURNS = 2, 3
MARGIN = 3 * GIB
"""Of the disk, left free."""
WORK = 24 * GIB
"""Of the device's memory, left to pictures and the cache of a batch of 8: an estimate."""

PARTS = {
    "encoder": (Networks, "_look"),
    "language model": (Writer, "write"),
    "UNet": (Painter, "denoised"),
    "VAE": (Painter, "decoded"),
}
"""What is timed by itself: its class and its method."""


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        edge: of the photographs, pixels.
        canvas: edge of the square that is painted, pixels.
        steps: of denoising.
        batches: that are timed.
    """

    edge: int
    canvas: int
    steps: int
    batches: tuple[int, ...]


def layers_that_fit(folder: Path, device: torch.device) -> int:
    """Layers of the language model for which disk and device have room, all others beside them."""
    loads = published_loads(safety_checker=False)
    rest = sum(loads.groups.values())
    rooms = [shutil.disk_usage(folder).free - MARGIN]
    if device.type == "cuda":
        rooms.append(free_memory(device) - WORK)
    return max(0, min(len(loads.layers), *((room - rest) // loads.layers[0] for room in rooms)))


class Clock:
    """Seconds of each network, over all its calls.

    Args:
        device: that is waited for before and after each call.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count within."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        with ExitStack() as stack:
            for name, (kind, method) in PARTS.items():
                counted = self._counted(name, getattr(kind, method))
                stack.enter_context(mock.patch.object(kind, method, counted))
            yield

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            found: list[Any] = []
            self.seconds[name] += timed(self.device, lambda: found.append(method(*given, **named)))
            return found[0]

        return call


class Emu2:
    """The stage with one loaded editor.

    Args:
        size: how much is computed.
        report: where the numbers go.
        folder: for checkpoint and runs.
        layers: of the language model.
        whole: layers that it has where nothing is left out.
    """

    def __init__(self, size: Size, report: Report, folder: Path, layers: int, whole: int) -> None:
        self.size, self.report, self.folder = size, report, folder
        self.layers, self.whole = layers, whole
        self.device = report.device
        self.clock = Clock(self.device)
        self.editor: Any = None
        self.shown = 0

    def save(self, *, tiny: bool) -> Path:
        """Write a checkpoint with random weights."""
        if tiny:
            found: Path = beside("tiny_emu2").save_hub(self.folder / "weights")
            return found
        return save_emu2(self.folder / "weights", self.device, self.layers)

    def measure(self, weights: Path) -> None:
        """All that is asked of the part."""
        report = self.report
        report.facts |= {"layers": self.layers, "layers of the published model": self.whole}
        first = self._stage(weights, 1, 1)
        with report.once("hashing the weights"):
            first.identity()
        with report.once("loading the weights"):
            first.setup()
        self.editor = first.editor
        with report.once("first image"):
            staged(first, 1)
        for batch in self.size.batches:
            self._timed(weights, batch)
        batch = max(self.size.batches)
        stage = self._stage(weights, batch, batch)
        found = waits(self.device, lambda: staged(stage, batch))
        remark = f"{100 * found.idle_between:.1f} % between the first and the last computation"
        rate = batch / found.seconds
        report.add(Row("stage, under the profiler", batch, rate, found.idle, remark=remark))

    def _stage(self, weights: Path, batch: int, parents: int) -> BackgroundsStage:
        """The stage, on photographs of its own; its editor is the loaded one, if there is one.

        What the editor has read is kept for other attempts, so nothing is asked for twice.
        """
        size = self.size
        options = {
            "weights": str(weights),
            "steps": size.steps,
            "size": size.canvas,
            "batch": batch,
            "safety_checker": False,
        }
        section = {"editor": NAME, "options": {NAME: options}}
        run = make_run(
            self.folder / f"run-{self.shown}",
            {"backgrounds": section},
            parents=parents,
            size=(size.edge, size.edge),
            last="sources",
            first=self.shown,
        )
        self.shown += parents
        stage = BackgroundsStage(run)
        if self.editor is not None:
            self.editor.options = stage.editor.options
            stage.editor = self.editor
        return stage

    def _timed(self, weights: Path, batch: int) -> None:
        """The stage with one batch, by network, and what it would be with all layers."""
        report = self.report
        parents = max(LEAST, 2 * batch)
        staged(self._stage(weights, batch, batch), batch)
        stage = self._stage(weights, batch, parents)
        with self.clock.running():
            seconds, gib = peak(self.device, lambda: staged(stage, parents))
        assert all(self.clock.seconds.values()), "a network was not asked"
        parts = {name: spent / parents for name, spent in self.clock.seconds.items()}
        parts["all else"] = seconds / parents - sum(parts.values())
        report.facts[f"seconds per image, batch {batch}"] = parts
        name = f"stage, {self.layers} layers"
        report.add(Row(name, batch, parents / seconds, gib=gib, remark=shares(parts)))
        if self.layers == self.whole:
            return
        each, tokens = self._per_layer(batch)
        lacking = self.whole - self.layers
        parts = {**parts, "language model": parts["language model"] + each * lacking}
        more = self._bytes_per_layer(batch, tokens) * lacking / GIB
        report.facts[f"seconds per image, batch {batch}, extrapolated"] = parts
        name = f"extrapolated to {self.whole} layers"
        total = None if gib is None else gib + more
        remark = shares(parts)
        report.add(Row(name, batch, 1 / sum(parts.values()), gib=total, remark=remark))

    def _per_layer(self, batch: int) -> tuple[float, int]:
        """Seconds per image that one more layer takes, and the tokens of a sequence.

        Found from the language model with all layers that are here and with half of them.
        """
        networks = self.editor._networks
        prompt = "hot desert. Edit only the background and keep the foreground subject intact"
        edges = (self.size.edge, self.size.edge)
        pictures = [Pillow.fromarray(each) for each in photographs(batch, *edges)]
        shown = [networks.shown([picture, prompt]) for picture in pictures]
        config, model = networks.writer.model.config, networks.writer.model
        half = self.layers // 2
        spent: dict[int, float] = {}
        before = model.layers
        try:
            for count in (self.layers, half):
                model.layers = before[:count]
                config.num_hidden_layers = count
                spent[count] = self._language_seconds(networks, shown)
        finally:
            model.layers = before
            config.num_hidden_layers = self.layers
        each = (spent[self.layers] - spent[half]) / (self.layers - half) / batch
        tokens = max(len(item.ids) for item in shown) + QUERIES
        said = {"layers": {str(count): value for count, value in spent.items()}}
        self.report.facts[f"language model, seconds of a batch of {batch}"] = said
        return each, tokens

    def _language_seconds(self, networks: Networks, shown: Sequence[Any]) -> float:
        found = []
        for _ in range(TURNS + 1):
            with self.clock.running():
                networks.embed(shown)
                settle(self.device)
            found.append(self.clock.seconds["language model"])
        return statistics.median(found[1:])

    def _bytes_per_layer(self, batch: int, tokens: int) -> int:
        """Of a layer's weights, keys and values, in half precision."""
        wide = published.LANGUAGE["hidden_size"]
        return published_loads().layers[0] + batch * tokens * 2 * wide * 2


def shares(parts: dict[str, float]) -> str:
    """Which share of the time each takes."""
    total = sum(parts.values())
    return ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in parts.items())
