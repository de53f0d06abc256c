"""Runs whose earlier tables are written directly, stages run on them again and again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image as Pillow

from covar_gen.core.arrays import Image, Mask
from covar_gen.core.files import Staging
from covar_gen.core.journal import Journal
from covar_gen.core.masters import save_image, save_mask
from covar_gen.core.pipeline import run_stage
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Background, Class, Recipe
from covar_gen.core.rows import OK, Row
from covar_gen.core.stage import Stage
from covar_gen.core.store import Run, create_run

DESERT = "hot desert with sand dunes"
"""The background that all made-up images are given."""


def fill(run: Run, table: str, rows: list[Row]) -> None:
    """Rows of a table, as one process would leave them."""
    staging = Staging(run.root)
    journal = Journal(run.folder(table), table, staging)
    journal.append(rows)
    journal.close()
    staging.close()


def photographs(count: int, height: int, width: int, first: int = 0) -> Iterator[Image]:
    """Crops of the photographs that come with scikit-image, from the number `first` on."""
    from skimage import data

    sources = [Pillow.fromarray(each()) for each in (data.chelsea, data.coffee, data.astronaut)]
    for number in range(first, first + count):
        source = sources[number % len(sources)]
        left, top = number % 17, number % 13
        box = (left, top, source.width - 17 + left, source.height - 13 + top)
        yield np.asarray(source.resize((width, height), Pillow.Resampling.LANCZOS, box=box))


def disc(height: int, width: int) -> Mask:
    """An object in the middle: a disc whose diameter is half the shorter edge."""
    y, x = np.mgrid[:height, :width]
    return (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 4) ** 2


def make_run(
    folder: Path,
    sections: Mapping[str, Any],
    *,
    parents: int,
    size: tuple[int, int],
    block: int = 32,
    last: Literal["sources", "backgrounds"] = "backgrounds",
    first: int = 0,
) -> Run:
    """A run with masked photographs of one class, made up to a table.

    Args:
        folder: is made.
        sections: of the recipe, beside its classes and masks; `backgrounds` is a collage unless
            it is among them.
        parents: photographs; each stands before one background.
        size: (height, width) of all images, pixels.
        block: rows computed together.
        last: the last table of images that is there.
        first: number of the first photograph.
    """
    background = Background(background_id=1, description=DESERT)
    values = {
        "name": "bench",
        "block": block,
        "classes": {
            "source": "folder",
            "classes": [Class(class_id=1, class_name="disc", label="disc", folder="disc")],
            "content": "0" * 64,
        },
        "masks": {"segmenter": "grabcut"},
        "backgrounds": {"editor": "collage", "backgrounds": [background]},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    made = create_run(folder, Recipe.model_validate(values))
    staging = Staging(made.root)
    mask = disc(*size)
    tables: dict[str, list[Row]] = {"sources": [], "masks_sources": []}
    if last == "backgrounds":
        tables |= {"backgrounds": [], "masks_backgrounds": []}
    for number, image in enumerate(photographs(parents, *size, first), first):
        source = f"disc/p{number:03d}/original"
        key = source if last == "sources" else f"disc/p{number:03d}/01"
        files = {
            **save_image(made, staging, last, key, image),
            **save_mask(made, staging, last, key, mask),
        }
        masked = {name: files[name] for name in ("mask", "mask_sha256")}
        row: Row = {"key": source, "source": source, "status": OK, **files}
        tables["sources"].append({**row, "subset": "original"})
        tables["masks_sources"].append({"key": source, "status": OK, **masked})
        if last == "backgrounds":
            tables["backgrounds"].append({**row, "key": key, "background_id": 1})
            tables["masks_backgrounds"].append({"key": key, "status": OK, **masked})
    staging.close()
    for table, rows in tables.items():
        fill(made, table, rows)
    return made


def staged(stage: Stage, made: int, threads: int = 2) -> float:
    """Seconds of a whole stage whose networks are loaded already; what it had made is made again.

    Args:
        stage: set up.
        made: rows that it makes, of which it may reject none.
        threads: that decode and encode.
    """
    run = stage.run
    for folder in ("tables", "images", "masks"):
        shutil.rmtree(run.root / folder / stage.table, ignore_errors=True)
    stage.setup = lambda: None  # type: ignore[method-assign]
    start = time.perf_counter()
    staging = Staging(run.root)
    tally = run_stage(stage, staging, Ranks(), threads=threads)
    staging.close()
    seconds = time.perf_counter() - start
    assert (tally.made, tally.total) == (made, made), tally.line()
    return seconds


class Heard:
    """A pipeline of diffusers that remembers what it was asked, and how long it took.

    Attributes:
        asked: arguments of each call that succeeded, and its generators' states before it.
        seconds: that all calls took.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.asked: list[tuple[dict[str, Any], list[Any]]] = []
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)

    def __call__(self, **given: Any) -> Any:
        states = [each.get_state() for each in given["generator"]]
        start = time.perf_counter()
        found = self.pipe(**given)
        self.seconds += time.perf_counter() - start
        self.asked.append((given, states))
        return found

    @property
    def sizes(self) -> list[int]:
        """Images of each call."""
        return [len(states) for _, states in self.asked]


def ask_again(pipe: Any, given: dict[str, Any], states: list[Any]) -> Any:
    """Make a call that was heard, of any pipeline of its class, with the same noise."""
    import torch

    for each, state in zip(given["generator"], states, strict=True):
        each.set_state(state)
    with torch.inference_mode():
        return pipe(**given)


def singly(given: dict[str, Any], states: list[Any]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """A call that was heard as one call per image."""
    for place, state in enumerate(states):
        one = {
            name: value[place : place + 1] if isinstance(value, list) else value
            for name, value in given.items()
        }
        yield one, [state]
