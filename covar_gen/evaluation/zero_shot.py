"""Zero-shot classification: every model, over one pass of the images.

Reads:  a run folder, a release folder, a data set of the Hub, any labelled images
Writes: OUT/evaluation.json, images.parquet, classes.parquet, OUT/<model>/ (see rows.py)
Launch: accelerate launch covar_gen/evaluation/zero_shot.py DATA --models M[,M...] --out OUT

Images are cut into blocks of consecutive rows; blocks are shared between processes first and
filtered by what is done second, so that neither their number nor a restart changes anything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.files import Staging, sweep
from covar_gen.core.launch import guarded, leash, logging_to, progress, threads_given
from covar_gen.core.pipeline import Report
from covar_gen.core.ranks import Ranks
from covar_gen.evaluation.computing import device_of
from covar_gen.evaluation.data import open_data
from covar_gen.evaluation.models.loading import check_device, check_model
from covar_gen.evaluation.models.zoo import expand
from covar_gen.evaluation.passing import Pass, Settings
from covar_gen.evaluation.preparing import (
    Place,
    Task,
    make_folder,
    prepare,
)

if TYPE_CHECKING:
    pass

TABLE = "zero_shot"


def evaluate(
    place: Place,
    models: Sequence[str],
    out: Path,
    *,
    classes: str = "auto",
    templates: str = "auto",
    block: int | None = None,
    settings: Settings | None = None,
    report: Report = lambda _done, _total: None,
) -> Task:
    """Store every model's predictions of this process's share of the images.

    Args:
        place: the images.
        models: names, or groups of the zoo.
        out: the evaluation folder; made if it is not there. One that is begun is gone on with.
        classes: `auto`, `imagenet`, `imagenet-a`, `imagenet-r`, `labels`, or a file.
        templates: `auto`, `openai`, `simple`, `generic`, or a file.
        block: images per part; None: 1024, or what the folder has.
        settings: how the towers run.
        report: told of images x models done.

    Raises:
        PhotographsError, LabelsError, ModelError: of the images, their labels, the models.
        MixtureError: the folder holds predictions made with something else.
        DeviceMemoryError: the device's memory does not suffice.
    """
    names = expand(models)
    for name in names:
        check_model(name)
    given = settings or Settings()
    if given.device is not None:
        check_device(given.device, "--device")
    ranks = Ranks.from_environment()
    data = open_data(**vars(place))
    make_folder(out)
    sweep(out)
    staging = Staging(out)
    try:
        with logging_to(out, TABLE, ranks):
            task = prepare(
                data, place, out, staging, classes=classes, templates=templates, block=block
            )
            with device_of(given.device, ranks.local, given.threads) as device:
                Pass(task, staging, ranks, given, device, report).run(names)
    finally:
        staging.close()
    return task


def arguments() -> argparse.ArgumentParser:
    """The command line, the same as that of `covar-gen evaluate` without --processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--models", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--classes", default="auto")
    parser.add_argument("--templates", default="auto")
    for name in ("name", "split", "revision", "image-column", "label-column", "device"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--block", type=int)
    parser.add_argument("--memory", type=float)
    parser.add_argument("--embeddings", action="store_true")
    return parser


def main() -> int:
    """Evaluate this process's share, from the command line."""
    given = arguments().parse_args()
    leash()
    place = Place(
        given.data,
        given.name,
        given.split,
        given.revision,
        given.image_column,
        given.label_column,
    )
    settings = Settings(
        given.device,
        given.precision,
        given.batch,
        given.embeddings,
        given.memory,
        threads_given(),
    )
    return guarded(
        lambda: evaluate(
            place,
            given.models.split(","),
            given.out,
            classes=given.classes,
            templates=given.templates,
            block=given.block,
            settings=settings,
            report=progress(TABLE),
        ),
        given.out,
    )


if __name__ == "__main__":
    sys.exit(main())
