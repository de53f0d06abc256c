"""The commands that evaluate models; covar_gen/cli.py puts them on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Precision = Literal["fp32", "bf16", "fp16"]
Processes = Annotated[int, typer.Option(min=1, help="processes that share the work")]


def evaluate(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="a run, a release folder, any labelled data set")
    ],
    models: Annotated[
        str, typer.Option(metavar="M[,M...]", help="names or groups: covar-gen list models")
    ],
    out: Annotated[Path, typer.Option(help="the evaluation folder; goes on where it is begun")],
    classes: Annotated[
        str, typer.Option(help="imagenet, imagenet-a, imagenet-r, labels, or a file")
    ] = "auto",
    templates: Annotated[str, typer.Option(help="openai, simple, generic, or a file")] = "auto",
    name: Annotated[str | None, typer.Option(help="configuration of a data set")] = None,
    split: Annotated[str | None, typer.Option(help="split of a data set")] = None,
    revision: Annotated[str | None, typer.Option(help="commit, branch or tag on the Hub")] = None,
    image_column: Annotated[str | None, typer.Option(help="column with the images")] = None,
    label_column: Annotated[str | None, typer.Option(help="column with the labels")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu, ...")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="of the towers; bf16 on a GPU if left out, else fp32")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="images per step: 64 on a GPU, 16 elsewhere")
    ] = None,
    block: Annotated[int | None, typer.Option(min=1, help="images per part; 1024")] = None,
    memory: Annotated[
        float | None, typer.Option(min=0, help="GiB that models resident together may take")
    ] = None,
    *,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="keep them, float16")] = False,
    processes: Processes = 1,
) -> None:
    """Classify every image zero-shot with one or many models, in one pass of the data.

    Example: covar-gen evaluate runs/toy-world --models toy --out results/toys
    """
    from covar_gen.commands.evaluate import evaluate as score

    options = {
        "classes": classes,
        "templates": templates,
        "name": name,
        "split": split,
        "revision": revision,
        "image-column": image_column,
        "label-column": label_column,
        "device": device,
        "precision": precision,
        "batch": batch,
        "block": block,
        "memory": memory,
        "embeddings": embeddings,
    }
    for found in score(data, models, out, options, processes=processes):
        rejected = f", {found.rejected} rejected" if found.rejected else ""
        said = ", ".join(
            f"{subset} {'-' if share is None else f'{share:.1f}'}"
            for subset, share in found.subsets.items()
        )
        typer.echo(f"{found.model}: {said} % top-1 of {found.images} images{rejected}")
    typer.echo(f"next: covar-gen report {out}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="an evaluation folder")],
    models: Annotated[
        str | None, typer.Option(metavar="M[,M...]", help="names or groups; all if left out")
    ] = None,
    *,
    compare_paper: Annotated[
        bool, typer.Option("--compare-paper", help="add the published numbers and claims")
    ] = False,
) -> None:
    """Write an evaluation's tables, its figures, and one HTML page with everything.

    Example: covar-gen report results/toys
    """
    from covar_gen.commands.report import report as write

    made = write(folder, compare_paper=compare_paper, models=models)
    typer.echo(f"tables: {made.tables}, figures: {made.figures}, in {folder}")
    typer.echo(f"open {made.page} in a browser")


def errors(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="an evaluation folder")],
    models: Annotated[
        str | None, typer.Option(metavar="M[,M...]", help="names or groups; all if left out")
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(help="a run or release with masks of the images; its own if left out"),
    ] = None,
    method: Annotated[str, typer.Option(help="see: covar-gen list methods")] = "cci",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="an option of the method; repeatable"),
    ] = None,
    *,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="also with 3, 5 and 10 clusters, and the last layer only"),
    ] = False,
    judge: Annotated[
        str | None, typer.Option(help="see: covar-gen list judges; `none` asks nobody")
    ] = None,
    judge_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="an option of the judge; repeatable"),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="file of verdicts, JSONL; the one in the cache if left out")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu, ...")] = None,
    processes: Processes = 1,
) -> None:
    """Say what each error is driven by: the background, look-alike classes, or something else.

    Example: covar-gen errors results/toys
    """
    from covar_gen.commands.errors import errors as explain_errors
    from covar_gen.commands.errors import lines
    from covar_gen.core.changes import changes

    counted = explain_errors(
        folder,
        models=models,
        masks=masks,
        method=method,
        options=changes(option),
        sweep=sweep,
        judge=judge,
        judge_options=changes(judge_option),
        verdicts=verdicts,
        device=device,
        processes=processes,
        say=typer.echo,
    )
    typer.echo("\n".join(lines(counted)))
    typer.echo(f"next: covar-gen report {folder}")


def cluster_study(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="an evaluation folder")],
    models: Annotated[
        str | None, typer.Option(metavar="M[,M...]", help="names or groups; all if left out")
    ] = None,
    clusters: Annotated[
        str, typer.Option(metavar="K[,K...]", help="numbers of clusters, from 1 to 20")
    ] = "1,2,3,5,7,10,15,20",
    layers: Annotated[
        str, typer.Option(metavar="L[,L...]", help="of all, last, shuffled (which is chance)")
    ] = "all,last,shuffled",
    images: Annotated[int, typer.Option(min=1, help="images of the sample")] = 64,
    target: Annotated[
        Literal["predicted", "truth"], typer.Option(help="class whose map and rank are looked at")
    ] = "predicted",
    points: Annotated[
        int, typer.Option(min=2, max=101, help="of each curve; 101: after each of 100 steps")
    ] = 11,
    ties: Annotated[
        Literal["random", "stable", "centre"],
        typer.Option(help="order of pixels of equal value: drawn, by rows, or from the centre"),
    ] = "random",
    seed: Annotated[int, typer.Option(min=0, help="of the sample and of all draws")] = 0,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu, ...")] = None,
    processes: Processes = 1,
) -> None:
    """Measure how CCI's time, and its deletion and insertion, depend on the number of clusters.

    Example: covar-gen cluster-study results/toys --clusters 3,7 --images 4
    """
    from covar_gen.commands.cluster_study import cluster_study as study
    from covar_gen.commands.cluster_study import lines

    rows = study(
        folder,
        models=models,
        clusters=clusters,
        layers=layers,
        images=images,
        target=target,
        points=points,
        ties=ties,
        seed=seed,
        device=device,
        processes=processes,
    )
    typer.echo("\n".join(lines(rows)))
    typer.echo(f"next: covar-gen report {folder}")


def explain(
    model: Annotated[str, typer.Option(help="a model: covar-gen list models")],
    image: Annotated[Path, typer.Option(help="an image file")],
    text: Annotated[str, typer.Option(help="what the image is compared with")],
    out: Annotated[Path, typer.Option(help="FILE.png for a picture, FILE.npy for the raw map")],
    method: Annotated[str, typer.Option(help="see: covar-gen list methods")] = "cci",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="an option of the method; repeatable"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu, ...")] = None,
    precision: Annotated[Precision | None, typer.Option(help="of the towers; fp32")] = None,
) -> None:
    """Draw which parts of an image speak for a text: red for, blue least.

    Example: covar-gen explain --model toy:honest --image photos/cat/tom.png --text cat --out m.png
    """
    from covar_gen.commands.explain import explain as draw
    from covar_gen.core.changes import changes

    files = draw(
        model,
        method,
        image,
        text,
        out,
        options=changes(option),
        device=device,
        precision=precision,
        say=typer.echo,
    )
    typer.echo(f"open {' and '.join(str(path) for path in files)}")
