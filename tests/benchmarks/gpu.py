"""Generators of full size with random weights on a GPU: `python tests/benchmarks/gpu.py PART`.

Needs the packages of the extra `generate`, and neither the internet nor published weights. See
docs/benchmarks.md for what each part measures and how long it takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gpu_emu2
from gpu_pipelines import InstructPix2Pix, StableDiffusion
from gpu_report import Report
from gpu_stages import Bench, Part, Size
from gpu_zero123 import Zero123plus

from covar_gen.neural.running import own_device

STAGES: dict[str, type[Part]] = {
    part.name: part for part in (StableDiffusion, InstructPix2Pix, Zero123plus)
}

VIEWS = {"min_area": 0, "max_area": 1}
"""Views by random weights show no object: none is to be refused and painted again."""

FULL = {
    "stable-diffusion": Size(512, 30, (1, 4, 8, 16, 32), 64, 8, 3, {}),
    "instruct-pix2pix": Size(512, 100, (1, 4, 8, 16), 32, 3, 2, {}),
    "zero123plus": Size(512, 75, (1, 2, 4, 8), 8, 3, 2, VIEWS),
}
TINY = {
    "stable-diffusion": Size(64, 2, (1, 2), 4, 2, 1, {}),
    "instruct-pix2pix": Size(64, 2, (1, 2), 4, 2, 1, {"native": 64}),
    "zero123plus": Size(48, 2, (1, 2), 4, 2, 1, {**VIEWS, "tile": 32}),
}
EMU2 = gpu_emu2.Size(512, 1024, 50, (1, 4, 8))
TINY_EMU2 = gpu_emu2.Size(48, 64, 2, (1, 2))
TINY_LAYERS, TINY_WHOLE = 2, 4
FEWEST = 2
"""Layers from two numbers of which the others are extrapolated."""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="gpu.py", description=__doc__)
    parser.add_argument("part", choices=[*STAGES, gpu_emu2.NAME])
    parser.add_argument("--json", type=Path, help="file for all numbers, written as they come")
    parser.add_argument("--folder", type=Path, help="for checkpoints and runs; made, then emptied")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument(
        "--only", choices=["batches", "compare"], help="memory by batch, or the comparison, alone"
    )
    parser.add_argument("--batch", type=int, help="of the comparison; else the fastest is found")
    parser.add_argument("--layers", type=int, help="of Emu2's language model; else all that fit")
    parser.add_argument("--no-compile", action="store_true", help="compile nothing")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run one part.

    Returns:
        0; 2 where full size is asked for without a GPU, or a comparison without a batch.
    """
    asked = arguments(given)
    device = own_device()
    if device.type != "cuda" and not asked.tiny:
        print("there is no GPU here; with --tiny it runs, and its numbers mean nothing")
        return 2
    if asked.only == "compare" and asked.batch is None:
        print("--only compare wants --batch")
        return 2
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
    report = Report(asked.part, device, asked.tiny, asked.json)
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="covar-bench-") as folder:
        run = emu2 if asked.part == gpu_emu2.NAME else stage
        run(asked, report, Path(folder))
    report.end()
    return 0


def stage(asked: argparse.Namespace, report: Report, folder: Path) -> None:
    """A stage beside bare loops."""
    size = (TINY if asked.tiny else FULL)[asked.part]
    part = STAGES[asked.part](size, report.device)
    with report.once("writing the checkpoint"):
        weights = part.save(folder / "weights", tiny=asked.tiny)
    bench = Bench(part, report, folder, compiling=not asked.no_compile)
    batch = asked.batch
    if asked.only != "compare":
        found = bench.try_batches(weights)
        batch = batch or found
    if asked.only != "batches":
        bench.compare(weights, batch)


def emu2(asked: argparse.Namespace, report: Report, folder: Path) -> None:
    """Emu2, with as many layers as are asked for or fit."""
    whole = gpu_emu2.published.LANGUAGE["num_hidden_layers"]
    layers = asked.layers or gpu_emu2.layers_that_fit(folder, report.device)
    size = EMU2
    if asked.tiny:
        size, layers, whole = TINY_EMU2, TINY_LAYERS, TINY_WHOLE
    if layers < FEWEST:
        sys.exit(f"there is room for {layers} layers of Emu2; free some, or name another --folder")
    part = gpu_emu2.Emu2(size, report, folder, layers, whole)
    report.say(f"{layers} of {whole} layers of the language model")
    with report.once("writing the checkpoint"):
        weights = part.save(tiny=asked.tiny)
    part.measure(weights)


if __name__ == "__main__":
    sys.exit(main())
