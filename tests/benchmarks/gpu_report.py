"""What a part of the GPU benchmark has found: one table, and a JSON file written as it grows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from covar_gen.core.environment import code, packages
from covar_gen.neural.running import device_name

NOTHING = (
    "These numbers mean nothing: there is no GPU here, and the networks are tiny. They show that"
    " the benchmark runs."
)

HEADS = ("what", "batch", "images/s", "s/image", "GPU waits", "GiB", "remark")


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: was run.
        batch: images at once.
        rate: images per second.
        waits: share of the time in which the device computed nothing, with both ends.
        gib: the most memory that tensors took, with the weights.
        remark: what else there is to say.
    """

    what: str
    batch: int | None = None
    rate: float | None = None
    waits: float | None = None
    gib: float | None = None
    remark: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        return (
            self.what,
            "" if self.batch is None else str(self.batch),
            "" if self.rate is None else f"{self.rate:.3g}",
            "" if self.rate is None else f"{1 / self.rate:.3g}",
            "" if self.waits is None else f"{100 * self.waits:.1f} %",
            "" if self.gib is None else f"{self.gib:.1f}",
            self.remark,
        )


@dataclass
class Report:
    """Grows while a part runs; what was found so far is in the file if it is stopped.

    Attributes:
        part: its name.
        device: where it runs.
        tiny: whether the networks are.
        path: of the JSON file; None: there is none.
        rows: of the table.
        ratios: of the stage's images per second to others'.
        apart: seconds of what a run does once, such as loading.
        facts: sizes, and whatever else decides the numbers.
        finished: False until the part has come to its end.
    """

    part: str
    device: torch.device
    tiny: bool
    path: Path | None = None
    rows: list[Row] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    begun: float = field(default_factory=time.perf_counter)

    @property
    def means_something(self) -> bool:
        """Whether this was measured on a GPU, at full size."""
        return self.device.type == "cuda" and not self.tiny

    def say(self, text: str) -> None:
        """A line about what is going on, with the seconds since the beginning."""
        print(f"[{time.perf_counter() - self.begun:5.0f} s] {text}", flush=True)

    def add(self, row: Row) -> None:
        """Another measurement."""
        self.rows.append(row)
        self.say(", ".join(f"{h} {c}" for h, c in zip(HEADS, row.cells(), strict=True) if c))
        self.write()

    @contextmanager
    def once(self, what: str) -> Iterator[None]:
        """Time what is done once, and report it apart."""
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.apart[what] = time.perf_counter() - start
        self.say(f"{what}: {self.apart[what]:.1f} s")
        self.write()

    def content(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "part": self.part,
            "means_something": self.means_something,
            "finished": self.finished,
            "device": device_name(self.device),
            "cuda": torch.version.cuda,
            "packages": packages(),
            "code": code(),
            "seconds": time.perf_counter() - self.begun,
            "facts": self.facts,
            "apart_seconds": self.apart,
            "rows": [asdict(row) for row in self.rows],
            "ratios": self.ratios,
        }

    def write(self) -> None:
        """Write the file as far as it has grown."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.content(), indent=1) + "\n", encoding="utf-8")

    def end(self) -> None:
        """The part is done: write the file and print the table."""
        self.finished = True
        self.write()
        print(self.table(), flush=True)

    def table(self) -> str:
        """All that was found, as text."""
        cells = [HEADS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [f"\n{self.part} on {device_name(self.device)}"]
        lines += ["" if self.means_something else NOTHING]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip()
            for each in cells
        ]
        lines += [f"{name}: {value:.3f}" for name, value in self.ratios.items()]
        lines += [f"once, {name}: {value:.1f} s" for name, value in self.apart.items()]
        return "\n".join(line for line in lines if line)
