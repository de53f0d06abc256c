"""Sample the photographs of every class and make them working size.

Reads:  the recipe's source of photographs
Writes: photographs (every one examined), sources (those kept and those refused; subset original),
        images/sources/<key>.png, masks/sources/<key>.png where the source knows the outline
Launch: accelerate launch covar_gen/stage_classes.py --run RUN

A summary: one process does it, whichever way it is launched. Photographs are examined in an
order drawn from the seed and the photograph's own name, so that a folder that grows keeps its
sample as far as it can. One that cannot be read, or that repeats another pixel by pixel, is a
rejected row, and the next takes its place.

A mask that the source knows is made working size with its photograph: each of its pixels is
object where at least half of the area that it stands for is. One that leaves no object is refused.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from covar_gen.core import imaging, plugins
from covar_gen.core.arrays import Image, Json, Mask, Rejected, check_mask
from covar_gen.core.environment import record
from covar_gen.core.errors import PhotographsError
from covar_gen.core.files import Staging, sync
from covar_gen.core.journal import Journal
from covar_gen.core.launch import logging_to, main_of, progress
from covar_gen.core.masters import params_json, save_image, save_mask
from covar_gen.core.names import colliding, safe, short_hash
from covar_gen.core.photographs import read_photograph
from covar_gen.core.plan import lacks
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Class
from covar_gen.core.rows import OK, REJECTED, Row
from covar_gen.core.seeds import seed_of
from covar_gen.core.stage import Tally
from covar_gen.core.store import Run
from covar_gen.core.threads import fix_threads
from covar_gen.sources.base import Photograph, Source

TABLE = "sources"
EXAMINED = "photographs"


def make_source(run: Run) -> Source:
    """The source of a run's photographs."""
    section = run.recipe.classes
    options = dict(section.options.get(section.source, {}))
    if section.path is not None:
        options["path"] = section.path
    return plugins.make("sources", section.source, Source, options, "classes.source")


def identity(run: Run) -> dict[str, Json]:
    """What decides the sample: the photographs by content, the classes, sizes and seed."""
    section = run.recipe.classes
    return {
        "source": section.source,
        "content": section.content,
        "per_class": section.per_class,
        "size": section.size,
        "classes": [c.model_dump(mode="json") for c in run.recipe.class_list],
        "seed": run.recipe.seed,
    }


def sample(run: Run, staging: Staging, threads: int = 2) -> Tally:
    """Fill the tables photographs and sources.

    Raises:
        PhotographsError: a class keeps fewer photographs than `per_class`, or none at all.
    """
    ranks = Ranks.from_environment()
    if not ranks.first or not lacks(run, TABLE):
        return Tally()
    with logging_to(run.root, TABLE, ranks):
        _check_content(run)
        for table in (EXAMINED, TABLE):
            run.claim(table, identity(run), staging)
        record(run.folder(TABLE), ranks, staging)
        fix_threads()
        examiner = _Examiner(run, staging, threads)
        rows = examiner.run_all()
        short = _too_few(run, rows)
        if short:
            raise short
        chosen = Journal(run.folder(TABLE), TABLE, staging)
        chosen.append(rows)
        chosen.close()
        tally = Tally()
        tally.add(rows)
        return tally


def _check_content(run: Run) -> None:
    """Refuse photographs other than those that the frozen recipe names by their content.

    Raises:
        PhotographsError: what lies there now is something else.
    """
    section = run.recipe.classes
    source = make_source(run)
    source.setup()
    if source.digest([str(c.label) for c in run.recipe.class_list]) != section.content:
        what = "the photographs are not those that the run was made for"
        mend = "Put them back, or make a new run with --run"
        raise PhotographsError(what, where=section.path or section.source, mend=mend)


def _too_few(run: Run, rows: list[Row]) -> PhotographsError | None:
    """The error for the first class with too few photographs.

    Without `per_class` a class may have lost them all, as rows with their reasons, but not every
    class.
    """
    wanted = run.recipe.classes.per_class
    mend = (
        "Lower per_class, add photographs, or leave the class out, and use a new folder with --run"
    )
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        folder = str(row["key"]).partition("/")[0]
        counts.setdefault(folder, Counter())[str(row["status"])] += 1
    nothing = not any(count[OK] for count in counts.values())
    for entry in run.recipe.class_list:
        count = counts.get(str(entry.folder), Counter())
        needed = wanted or int(nothing or not count)
        if count[OK] < needed:
            asked = f"per_class = {wanted}" if wanted else "at least one is needed"
            what = (
                f"class {entry.class_name!r} keeps {count[OK]} photographs"
                f" ({count[REJECTED]} rejected), {asked}"
            )
            return PhotographsError(what, where="classes", mend=mend)
    return None


@dataclass
class _Kept:
    """What of a class is chosen so far."""

    entry: Class
    rows: list[Row] = field(default_factory=list)
    ok: int = 0


class _Examiner:
    """Reads photographs in their drawn order until every class has enough."""

    def __init__(self, run: Run, staging: Staging, threads: int) -> None:
        self.run = run
        self.staging = staging
        self.threads = threads
        self.journal = Journal(run.folder(EXAMINED), EXAMINED, staging)
        self.before = {row["key"]: row for row in run.table(EXAMINED).to_pylist()}
        self.pixels: dict[str, str] = {}
        self.kept = {c.label: _Kept(c) for c in run.recipe.class_list}
        self.report = progress(TABLE)
        self.total = 0

    def run_all(self) -> list[Row]:
        source = make_source(self.run)
        source.setup()
        labels = [str(c.label) for c in self.run.recipe.class_list]
        seed = seed_of(self.run.recipe.seed, TABLE, "order")
        photographs = source.photographs(labels, seed)
        keyed = self._streamed(photographs) if source.streams else self._listed(photographs)
        try:
            self._examine(keyed)
            self.journal.close()
        finally:
            self.journal.abandon()
        return [row for kept in self.kept.values() for row in kept.rows]

    def _listed(self, photographs: Iterable[Photograph]) -> Iterator[tuple[str, Photograph]]:
        """Keys of photographs that can be listed, in the order in which they are examined."""
        by_label: dict[str, list[Photograph]] = {label: [] for label in self.kept if label}
        for photograph in photographs:
            by_label[photograph.label].append(photograph)
        seed, drawn = self.run.recipe.seed, self.run.recipe.classes.per_class is not None
        if not drawn:
            self.total = sum(len(found) for found in by_label.values())
        for label, found in by_label.items():
            entry = self.kept[label].entry
            keys = _keys(str(entry.folder), found)
            ranked = sorted(
                zip(keys, found, strict=True),
                key=lambda pair: (seed_of(seed, TABLE, pair[0]) if drawn else 0, pair[0]),
            )
            yield from ranked

    def _streamed(self, photographs: Iterable[Photograph]) -> Iterator[tuple[str, Photograph]]:
        """Keys of photographs that arrive in a drawn order, made as they come."""
        used: set[str] = set()
        for photograph in photographs:
            if self._enough(photograph.label):
                if all(self._enough(label) for label in self.kept if label):
                    return
                continue
            folder = str(self.kept[photograph.label].entry.folder)
            name = safe(photograph.name, "photograph")
            if f"{folder}/{name}".casefold() in used:
                name = f"{name}-{short_hash(_content(photograph))}"
            while f"{folder}/{name}".casefold() in used:
                name += "-again"
            used.add(f"{folder}/{name}".casefold())
            yield f"{folder}/{name}/original", photograph

    def _enough(self, label: str | None) -> bool:
        wanted = self.run.recipe.classes.per_class
        return wanted is not None and self.kept[label].ok >= wanted

    def _examine(self, keyed: Iterator[tuple[str, Photograph]]) -> None:
        """Read ahead in blocks; decide one by one, in order."""
        done, size = 0, self.run.recipe.block
        wanted = self.run.recipe.classes.per_class
        self.total = wanted * len(self.kept) if wanted else 0
        with ThreadPoolExecutor(self.threads) as pool:
            wanting = (item for item in keyed if not self._enough(item[1].label))
            while block := list(islice(wanting, size)):
                new: list[Row] = []
                read = pool.map(self._read, block)
                for (key, photograph), (row, image, mask) in zip(block, read, strict=True):
                    kept = self.kept[photograph.label]
                    if self._enough(photograph.label):
                        continue
                    decided = self.before.get(key) or self._decide(row, image, mask)
                    if decided["status"] == OK:
                        self.pixels[str(decided["pixels_sha256"])] = key
                    kept.rows.append(decided)
                    kept.ok += decided["status"] == OK
                    done += decided["status"] == OK
                    if key not in self.before:
                        new.append(decided)
                if new:
                    sync(self.run.root)
                    self.journal.append(new)
                self.report(done, max(self.total, done))

    def _read(self, item: tuple[str, Photograph]) -> tuple[Row, Image | Rejected, Mask | None]:
        key, photograph = item
        row: Row = {
            "key": key,
            "subset": "original",
            "source": key,
            "label": photograph.label,
            "origin": photograph.origin,
            "seed": seed_of(self.run.recipe.seed, TABLE, key),
            "attempt": 0,
            "tool": self.run.recipe.classes.source,
        }
        if key in self.before:
            return row, Rejected("examined_before"), None
        try:
            data = photograph.read()
            mask = None if photograph.mask is None else photograph.mask()
        except OSError as error:
            return row, Rejected("unreadable", {"error": type(error).__name__}), None
        row["photograph_sha256"] = hashlib.sha256(data).hexdigest()
        image = read_photograph(data, self.run.recipe.classes.size)
        if mask is not None and not isinstance(image, Rejected):
            mask = _working_mask(mask, image, self.run.recipe.classes.size, key)
            image = image if mask.any() else Rejected("empty_mask")
        return row, image, mask

    def _decide(self, row: Row, image: Image | Rejected, mask: Mask | None) -> Row:
        key = str(row["key"])
        if not isinstance(image, Rejected):
            twin = self.pixels.get(imaging.pixels_sha256(image))
            if twin is None:
                saved = save_image(self.run, self.staging, TABLE, key, image)
                if mask is not None:
                    saved |= save_mask(self.run, self.staging, TABLE, key, mask)
                return {**row, **saved, "status": OK}
            image = Rejected("duplicate", {"of": twin})
        refused = {"status": REJECTED, "reason": image.reason, "params": params_json(image.params)}
        return {**row, **refused}


def _working_mask(mask: Mask, image: Image, size: int | Literal["original"], key: str) -> Mask:
    """A photograph's mask, made the size of the photograph's working image.

    Args:
        mask: bool (H, W), of the photograph's own size.
        image: uint8 (h, w, 3), the photograph as the run has it.
        size: shortest edge of `image`, or "original".
        key: for the message.

    Returns:
        bool (h, w): True where at least half of the pixel's footprint on `mask` is object.

    Raises:
        ValueError: the mask is no mask of this photograph.
    """
    height, width = image.shape[:2]
    if size == "original":
        return check_mask(mask, image.shape, f"mask of {key}")
    factor = size / min(mask.shape)
    wanted = tuple(max(size, round(edge * factor)) for edge in mask.shape)
    if mask.dtype != np.bool_ or wanted != (height, width):
        msg = f"mask of {key}: {mask.dtype} {mask.shape} does not fit an image of {image.shape}"
        raise ValueError(msg)
    levels = Pillow.fromarray(mask.astype(np.float32))
    shares = levels.resize((width, height), Pillow.Resampling.BOX)
    return np.asarray(shares) >= 0.5 - 1e-6


def _keys(folder: str, photographs: list[Photograph]) -> list[str]:
    """CLASS/PHOTO/original for each photograph of a class, whatever their names.

    Names that would collide carry a hash of the photograph's content; photographs of one name
    and one content, a hash of where they lie.
    """
    names = [safe(photograph.name, "photograph") for photograph in photographs]
    for more in (_content, lambda photograph: photograph.origin.encode()):
        twice = colliding(names)
        if not twice:
            break
        names = [
            f"{name}-{short_hash(more(photograph))}" if name in twice else name
            for name, photograph in zip(names, photographs, strict=True)
        ]
    return [f"{folder}/{name}/original" for name in names]


def _content(photograph: Photograph) -> bytes:
    try:
        return photograph.read()
    except OSError:
        return photograph.origin.encode()


def main() -> int:
    """Run the stage from the command line."""
    return main_of(__doc__, lambda run, _given, staging: sample(run, staging))


if __name__ == "__main__":
    sys.exit(main())
