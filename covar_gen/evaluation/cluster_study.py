"""What the number of clusters changes: CCI's time, and its curves of deletion and insertion.

Reads:  an evaluation folder and its images
Writes: DIR/<model>/clusters-<layers>-<K>-<digest>/ : one row per image of a sample
Launch: accelerate launch covar_gen/evaluation/cluster_study.py DIR [--models M,...] [--images N]

After the paper's supplement, figure 1. A sample of the images is drawn by the hashes of their keys;
of each, the map of one class decides the order in which pixels are taken away, or given, and every
image so perturbed is classified anew. Parts are never made twice. Times are of the part in which
they were taken: they are kept, and never compared with those of a run before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from covar_gen.core.arrays import Json
from covar_gen.core.environment import record
from covar_gen.core.errors import EvaluationFolderError, PluginError
from covar_gen.core.files import Staging, sweep, sync
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.launch import guarded, leash, logging_to, progress, threads_given
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.core.seeds import generator, seed_of
from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.attribution.base import Method
from covar_gen.evaluation.classifiers import classifier
from covar_gen.evaluation.computing import Device, device_of, enough_memory
from covar_gen.evaluation.curves import BATCH, Maps, Measure, Picture
from covar_gen.evaluation.data import Data
from covar_gen.evaluation.evaluated import (
    Photographs,
    complete_models,
    evaluated_data,
    evaluated_model,
)
from covar_gen.evaluation.metrics.deletion_insertion import POINTS, STEPS, Ties
from covar_gen.evaluation.perturbing import DELETION, INSERTION, Perturbation
from covar_gen.evaluation.preparing import claim, stored_classes
from covar_gen.evaluation.results import MADE_WITH, Results, open_results, part_name, whole_parts
from covar_gen.evaluation.studied import LAYERS, PREFIX, STUDIED, Case
from covar_gen.evaluation.towers import Tower

TABLE = "cluster_study"
CLUSTERS = (1, 2, 3, 5, 7, 10, 15, 20)
IMAGES = 64
BLOCK = 32
"""Images per part."""

Target = Literal["predicted", "truth"]
Part = tuple[Case, int, int]
"""A case, the first image of a part, and the one after its last: places in the sample."""


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        images: of the sample, fewer where there are fewer.
        target: class whose map and rank are looked at: the predicted one, or the true one.
        how: the curves are measured; its seed also draws the sample and shuffled maps.
    """

    images: int = IMAGES
    target: Target = "predicted"
    how: Perturbation = field(default_factory=Perturbation)

    def as_json(self) -> dict[str, Json]:
        """As it stands beside the rows."""
        return {"images": self.images, "target": self.target, **self.how.as_json()}


def cluster_study(
    root: Path,
    cases: Sequence[Case],
    *,
    models: Sequence[str] | None = None,
    settings: Settings | None = None,
    device: str | None = None,
    threads: int = 2,
    report: Report = lambda _done, _total: None,
) -> None:
    """Measure this process's share of a study.

    Args:
        root: the evaluation folder; complete models of it are taken.
        cases: kinds of maps.
        models: names; None: all that are complete.
        settings: what is measured; None: the defaults.
        device: a torch device; None: a GPU where there is one.
        threads: that decode and perturb, and that compute on a CPU.
        report: told of images done.

    Raises:
        EvaluationFolderError, IncompleteInputError: the folder is not as needed.
        MixtureError, PhotographsError: images or models are others now, or gone.
        ModelError, PluginError: CCI cannot explain the model so.
    """
    results = open_results(root)
    ranks = Ranks.from_environment()
    names = list(models) if models else complete_models(results)
    methods = {case: method_of(case) for case in cases}
    study = _Study(results, evaluated_data(results), methods, settings or Settings())
    sweep(root)
    staging = Staging(root)
    try:
        with logging_to(root, TABLE, ranks), device_of(device, ranks.local, threads) as place:
            _Work(study, staging, ranks, place, threads).run(names, report)
    finally:
        staging.close()


def sample(keys: Sequence[str], ok: NDArray[np.bool_], settings: Settings) -> NDArray[np.int64]:
    """Rows of the sample: of all images that were evaluated, those with the smallest hashes.

    Args:
        keys: of all images.
        ok: bool (N,), False where an image was rejected.
        settings: how many, and the seed.

    Returns:
        int64, in the order of the hashes, whatever the order of the keys.
    """
    rows = np.flatnonzero(ok)
    seed = settings.how.seed
    hashes = np.array([seed_of(seed, TABLE, keys[row]) for row in rows.tolist()], np.int64)
    return rows[np.argsort(hashes, kind="stable")][: settings.images]


def cases_of(clusters: str, layers: str) -> list[Case]:
    """Cases as they are typed: every number of clusters with every kind of layers.

    Args:
        clusters: whole numbers, separated by commas.
        layers: of LAYERS, separated by commas.

    Raises:
        PluginError: a number that CCI does not take, or layers that there are not.
    """
    numbers = [part.strip() for part in clusters.split(",") if part.strip()]
    kinds = [part.strip() for part in layers.split(",") if part.strip()]
    mend = "Give numbers from 1 to 20, for example --clusters 3,7,10"
    wrong = [part for part in numbers if not part.isdecimal()]
    if wrong or not numbers:
        what = f"{wrong[0] if wrong else clusters!r} is not a number of clusters"
        raise PluginError(what, where="--clusters", mend=mend)
    unknown = [kind for kind in kinds if kind not in LAYERS]
    if unknown or not kinds:
        what = f"there are no layers {unknown[0] if unknown else layers!r}"
        raise PluginError(what, where="--layers", mend=f"Choose from {', '.join(LAYERS)}")
    found = [
        Case(kind, number)
        for kind in LAYERS
        if kind in kinds
        for number in sorted(set(map(int, numbers)))
    ]
    for case in found:
        method_of(case)
    return found


def method_of(case: Case) -> Method:
    """CCI with the options of a case.

    Raises:
        PluginError: a number of clusters that it does not make.
    """
    layers = "all" if case.layers == "shuffled" else case.layers
    return get_method("cci", clusters=case.clusters, layers=layers)


@dataclass(frozen=True)
class _Study:
    """What is studied, whichever process does it."""

    results: Results
    data: Data
    methods: dict[Case, Method]
    settings: Settings

    def folder(self, model: str, case: Case) -> Path:
        """Where the rows of a model and a case are kept, by everything that decides them."""
        about = [self.methods[case].identity(), *case, self.settings.as_json()]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
        return self.results.folder(model) / f"{PREFIX}{case.layers}-{case.clusters}-{digest}"

    def sample(self, model: str) -> NDArray[np.int64]:
        """Rows of the images of a model's sample."""
        keys = self.data.rows["key"].to_pylist()
        found = sample(keys, self.results.predictions(model).ok, self.settings)
        if not len(found):
            mend = "Evaluate images that can be read"
            what = f"{model} has no image that was not rejected"
            raise EvaluationFolderError(what, where=self.results.root, mend=mend)
        return found

    def targets(self, model: str) -> NDArray[np.int64]:
        """The class that is looked at in each image of the evaluation."""
        if self.settings.target == "truth":
            labels = self.results.images(["label"])["label"].to_numpy()
            return np.asarray(labels, np.int64)
        return self.results.predictions(model).top_ids[:, 0].astype(np.int64)


class _Work:
    """This process's part of the work."""

    def __init__(
        self, study: _Study, staging: Staging, ranks: Ranks, device: Device, threads: int
    ) -> None:
        self.study = study
        self.staging = staging
        self.ranks = ranks
        self.device = device
        self.threads = threads
        self.measure = Measure(device, threads, study.settings.how)

    def run(self, names: Sequence[str], report: Report) -> None:
        """Study each model that lacks any part."""
        samples = {name: self.study.sample(name) for name in names}
        lacking = {name: self._lacking(name, len(rows)) for name, rows in samples.items()}
        total = sum(stop - start for parts in lacking.values() for _, start, stop in parts)
        done = 0
        report(0, total)
        for name in names:
            if not lacking[name]:
                continue
            tower = self._tower(name, len(samples[name]))
            targets = self.study.targets(name)
            content = self.study.results.table(name, ["content"])["content"].to_numpy()
            photographs = Photographs(self.study.data, content)
            for case, start, stop in lacking[name]:
                pictures = self._pictures(photographs, samples[name][start:stop], targets)
                with enough_memory(name):
                    table = self._rows(tower, case, pictures)
                path = self.study.folder(name, case) / part_name(start, stop)
                self.staging.publish(path, parquet_bytes(table), lambda data: data[-4:] == b"PAR1")
                sync(self.study.results.root)
                done += stop - start
                report(done, total)

    def _lacking(self, name: str, count: int) -> list[Part]:
        """This process's parts that are not there yet."""
        cases = list(self.study.methods)
        parts = [
            (case, start, min(start + BLOCK, count))
            for case in cases
            for start in range(0, count, BLOCK)
        ]
        folders = {case: self.study.folder(name, case) for case in cases}
        there = {case: {path.name for path in whole_parts(folders[case])} for case in cases}
        mine = parts[self.ranks.rank :: self.ranks.world]
        return [part for part in mine if part_name(*part[1:]) not in there[part[0]]]

    def _tower(self, name: str, count: int) -> Tower:
        """Load a model with its classifier, and note what its rows are made with."""
        import torch

        results = self.study.results
        model = evaluated_model(results, name, self.device)
        for case, method in self.study.methods.items():
            about: dict[str, Json] = {
                "model": model.identity(),
                "method": method.identity(),
                "case": list(case),
                "settings": self.study.settings.as_json(),
                "images": results.about["images"],
                "classes": results.about["classes"],
                "count": count,
            }
            folder = self.study.folder(name, case)
            claim(folder / MADE_WITH, about, self.staging)
            record(folder, self.ranks, self.staging, device=self.device.name, batch=BATCH)
        classes = stored_classes(results)
        rows = classifier(model, classes, self.device)
        model.release_text()
        groups = torch.tensor(classes.groups, dtype=torch.int64)
        place = self.device.place
        return Tower(model, rows.to(place), groups.to(place))

    def _pictures(
        self, photographs: Photographs, rows: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> list[Picture]:
        keys = self.study.data.rows["key"]
        with ThreadPoolExecutor(self.threads) as hands:
            images = list(hands.map(photographs.read, rows.tolist()))
        return [
            Picture(keys[row].as_py(), int(targets[row]), image)
            for row, image in zip(rows.tolist(), images, strict=True)
        ]

    def _rows(self, tower: Tower, case: Case, pictures: Sequence[Picture]) -> pa.Table:
        """The rows of a part."""
        explained = self.measure.maps(tower, self.study.methods[case], pictures)
        drawn = [each for maps in explained for each in maps.maps]
        if case.layers == "shuffled":
            seed = self.study.settings.how.seed
            drawn = [_shuffled(*pair, seed) for pair in zip(drawn, pictures, strict=True)]
        ranks = self.measure.ranks(tower, pictures, drawn)
        return _table(pictures, explained, ranks, self.device.name)


def _shuffled(values: NDArray[np.float32], picture: Picture, seed: int) -> NDArray[np.float32]:
    """The same values on other patches, of a picture the same in every case."""
    draws = generator(seed_of(seed, "shuffled", picture.key))
    return draws.permutation(values.ravel()).reshape(values.shape)


def _table(
    pictures: Sequence[Picture],
    explained: Sequence[Maps],
    ranks: Sequence[NDArray[np.int64]],
    device: str,
) -> pa.Table:
    each = [maps for maps in explained for _ in maps.flat]
    columns: dict[str, Any] = {
        "key": [picture.key for picture in pictures],
        "target": [picture.target for picture in pictures],
        "flat": np.concatenate([maps.flat for maps in explained]),
        "deletion": [curves[DELETION].tolist() for curves in ranks],
        "insertion": [curves[INSERTION].tolist() for curves in ranks],
        "seconds": [maps.seconds for maps in each],
        "forward": [maps.forward for maps in each],
        "device": [device if maps.seconds is not None else None for maps in each],
    }
    return pa.table(columns, schema=STUDIED)


def arguments() -> argparse.ArgumentParser:
    """The command line, that of `covar-gen cluster-study` without --processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models")
    parser.add_argument("--clusters", default=",".join(map(str, CLUSTERS)))
    parser.add_argument("--layers", default=",".join(LAYERS))
    parser.add_argument("--images", type=_from(1), default=IMAGES)
    parser.add_argument("--target", choices=get_args(Target), default="predicted")
    parser.add_argument("--points", type=_from(2, STEPS + 1), default=POINTS)
    parser.add_argument("--ties", choices=get_args(Ties), default="random")
    parser.add_argument("--seed", type=_from(0), default=0)
    parser.add_argument("--device")
    return parser


def _from(least: int, most: int = 2**31) -> Callable[[str], int]:
    """What reads a whole number between two."""

    def number(text: str) -> int:
        found = int(text)
        if not least <= found <= most:
            raise ValueError(text)
        return found

    return number


def main() -> int:
    """Measure this process's share, from the command line."""
    given = arguments().parse_args()
    leash()
    return guarded(
        lambda: cluster_study(
            given.folder,
            cases_of(given.clusters, given.layers),
            models=given.models.split(",") if given.models else None,
            settings=Settings(
                given.images,
                given.target,
                Perturbation(points=given.points, ties=given.ties, seed=given.seed),
            ),
            device=given.device,
            threads=threads_given(),
            report=progress(TABLE),
        ),
        given.folder,
    )


if __name__ == "__main__":
    sys.exit(main())
