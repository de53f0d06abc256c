"""What each error is driven by: the map of the predicted class against object and background.

Reads:  an evaluation folder, its images, and masks of their objects
Writes: DIR/<model>/errors-<method>/ : one row per misclassified image (rows of ERRORS)
Launch: accelerate launch covar_gen/evaluation/error_sources.py DIR [--masks RUN] [--sweep]

Every error keeps its row: without a mask, with a flat map, or where neither overlap is larger by
enough, nothing is decided, and that is counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from covar_gen.core.arrays import Json
from covar_gen.core.environment import record
from covar_gen.core.errors import PluginError
from covar_gen.core.files import Staging, sync
from covar_gen.core.files import sweep as clean
from covar_gen.core.journal import parquet_bytes
from covar_gen.core.launch import guarded, leash, logging_to, progress, threads_given
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.attribution.base import Method
from covar_gen.evaluation.classifiers import classifier
from covar_gen.evaluation.computing import Device, device_of, enough_memory
from covar_gen.evaluation.evaluated import complete_models, evaluated_data, evaluated_model
from covar_gen.evaluation.explained import PREFIX, wrong_rows
from covar_gen.evaluation.explaining import Explainer, Question
from covar_gen.evaluation.masks import masks_of
from covar_gen.evaluation.preparing import claim, stored_classes
from covar_gen.evaluation.results import MADE_WITH, Results, noted, open_results, part_name

TABLE = "error_sources"
BLOCK = 128
"""Errors per part."""
SWEEP: tuple[dict[str, Json], ...] = (
    {},
    {"clusters": 3},
    {"clusters": 5},
    {"clusters": 10},
    {"layers": "last"},
)
"""Options that a sweep tries one after the other, beside those given."""


def error_sources(
    root: Path,
    *,
    models: Sequence[str] | None = None,
    masks: str | None = None,
    method: str = "cci",
    options: Mapping[str, Any] | None = None,
    sweep: bool = False,
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
        sweep: also with the options of SWEEP, each in rows of its own.
        device: a torch device; None: a GPU where there is one.
        threads: that decode, and that compute on a CPU.
        report: told of errors done.

    Raises:
        EvaluationFolderError, IncompleteInputError: the folder, or its masks, are not as needed.
        MixtureError: the images are others now, or the rows there were made with something else.
        ModelError: the method cannot explain the model.
        PluginError: no such method or option, or nothing of a sweep is an option of the method.
    """
    results = open_results(root)
    ranks = Ranks.from_environment()
    names = list(models) if models else complete_models(results)
    methods = variants(method, options or {}, SWEEP if sweep else SWEEP[:1])
    first = _question(results, names, masks, methods[0])
    questions = [replace(first, method=each) for each in methods]
    clean(root)
    staging = Staging(root)
    try:
        with logging_to(root, TABLE, ranks), device_of(device, ranks.local, threads) as place:
            work = _Work(questions, staging, ranks, place, threads, report, masks)
            work.run(names)
    finally:
        staging.close()


def variants(
    method: str, options: Mapping[str, Any], sweep: Sequence[Mapping[str, Any]]
) -> list[Method]:
    """A method with the options given, each time with others of a sweep in their place.

    Args:
        method: its name.
        options: the method's own.
        sweep: options to try; those that the method does not have are left out.

    Returns:
        The method once for each choice that differs from those before it.

    Raises:
        PluginError: no such method or option, or the sweep has more than one entry and none of
            them is for the method.
    """
    given = get_method(method, **options)
    known = given.Options.model_fields
    found: list[Method] = []
    for others in sweep:
        if set(others) <= set(known):
            each = get_method(method, **{**options, **others})
            if each.identity() not in [before.identity() for before in found]:
                found.append(each)
    if len(sweep) > 1 and len(found) < 2:  # noqa: PLR2004 - the options given, and another choice
        tried = " nor ".join(sorted({key for others in sweep for key in others}))
        mend = "Leave out --sweep and give options with --option, once for each choice"
        raise PluginError(f"it has neither {tried} to sweep", where=f"method {method}", mend=mend)
    return found


def errors_folder(results: Results, model: str, method: Method) -> Path:
    """Where a model's errors, explained by a method, are kept."""
    name = hashlib.sha256(json.dumps(method.identity(), sort_keys=True).encode()).hexdigest()
    return results.folder(model) / f"{PREFIX}{method.name()}-{name[:8]}"


def _question(
    results: Results, names: Sequence[str], masks: str | None, method: Method
) -> Question:
    data = evaluated_data(results)
    content = results.table(names[0], ["content"])["content"].to_numpy()
    keys = results.images(["key"])["key"]
    found = masks_of(masks or results.about["place"]["place"], keys, content)
    return Question(results, data, found, method, stored_classes(results), content)


class _Work:
    """This process's part of the work."""

    def __init__(
        self,
        questions: Sequence[Question],
        staging: Staging,
        ranks: Ranks,
        device: Device,
        threads: int,
        report: Report,
        masks: str | None,
    ) -> None:
        self.masks = masks
        self.questions = questions
        self.results = questions[0].results
        self.staging = staging
        self.ranks = ranks
        self.device = device
        self.threads = threads
        self.report = report
        self.done = self.total = 0

    def run(self, names: Sequence[str]) -> None:
        """Explain the errors of each model that lacks any; each model is loaded once."""
        for name in names:
            for question in self.questions:
                self._same(name, question)
        lacking = {name: [self._lacking(name, each) for each in self.questions] for name in names}
        counts = [stop - start for each in lacking.values() for way in each for start, stop in way]
        self.total = sum(counts)
        self.report(0, self.total)
        for name in names:
            ways = [
                (question, blocks)
                for question, blocks in zip(self.questions, lacking[name], strict=True)
                if blocks or not errors_folder(self.results, name, question.method).is_dir()
            ]
            if ways:
                self._model(name, ways)

    def _same(self, name: str, question: Question) -> None:
        """See that rows of an earlier call, all of them perhaps, answer the same question.

        Raises:
            MixtureError: other masks, for example.
        """
        path = errors_folder(self.results, name, question.method) / MADE_WITH
        if noted(path.parent):
            evaluated = self.results.made_with(self.results.folder(name))["model"]
            claim(path, {"model": evaluated, **question.about()}, self.staging)

    def _lacking(self, name: str, question: Question) -> list[tuple[int, int]]:
        """This process's blocks of a model's errors that are not there yet."""
        count = len(wrong_rows(question.results, name))
        blocks = [(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)]
        folder = errors_folder(question.results, name, question.method)
        there = {path.name for path in folder.glob("*.parquet")}
        mine = blocks[self.ranks.rank :: self.ranks.world]
        return [block for block in mine if part_name(*block) not in there]

    def _model(self, name: str, ways: list[tuple[Question, list[tuple[int, int]]]]) -> None:
        results = self.results
        model = evaluated_model(results, name, self.device)
        rows = classifier(model, self.questions[0].classes, self.device).to(self.device.place)
        wrong = wrong_rows(results, name)
        predicted = results.predictions(name).top_ids[:, 0]
        for question, blocks in ways:
            folder = errors_folder(results, name, question.method)
            claim(folder / MADE_WITH, question.identity(model), self.staging)
            explainer = Explainer(question, model, rows, predicted, self.device, self.threads)
            # Where the masks were: the report draws the objects' outlines.
            more: dict[str, Json] = {} if self.masks is None else {"masks": self.masks}
            record(folder, self.ranks, self.staging, device=self.device.name, **more)
            for start, stop in blocks:
                with enough_memory(name):
                    table = explainer.explain(wrong[start:stop])
                path = folder / part_name(start, stop)
                self.staging.publish(path, parquet_bytes(table), lambda data: data[-4:] == b"PAR1")
                sync(results.root)
                self.done += stop - start
                self.report(self.done, self.total)


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
    parser.add_argument("--sweep", action="store_true")
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
            sweep=given.sweep,
            device=given.device,
            threads=threads_given(),
            report=progress(TABLE),
        ),
        given.folder,
    )


if __name__ == "__main__":
    sys.exit(main())
