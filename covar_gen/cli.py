"""covar-gen: the command line. Thin: every command is a function of covar_gen.commands.

Heavy things are imported inside the commands: `covar-gen --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from covar_gen import cli_errors as judging
from covar_gen import cli_evaluation as evaluating
from covar_gen import cli_publish as publishing
from covar_gen.core.changes import changes
from covar_gen.core.errors import RecipeError
from covar_gen.core.launch import guarded

if TYPE_CHECKING:
    from collections import Counter

    from covar_gen.core.store import Run

app = typer.Typer(
    name="covar-gen",
    help="Build benchmarks of controlled image variations for CLIP-like models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunFolder = Annotated[Path, typer.Option("--run", help="the run folder")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")]
RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="a .toml file, or the name of a shipped recipe")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change a value of the recipe; repeatable"),
]
Processes = Annotated[int, typer.Option(min=1, help="processes that share each stage")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="only N photographs, evenly over classes")
]


@app.command()
def init(recipe: RecipeArgument, run: RunFolder, change: Changes = None) -> None:
    """Make a run folder: the recipe resolved and frozen, nothing computed yet.

    Example: covar-gen init demo --run runs/demo
    """
    from covar_gen.commands.run import init as make_run
    from covar_gen.core.flow import steps

    made = make_run(recipe, run, changes(change))
    typer.echo(f"{made.root} is ready. Next, one after another:")
    for step in steps(made.recipe):
        command = ["python", "-m", f"covar_gen.{step.module}", "--run", str(run), *step.arguments]
        typer.echo(f"  {' '.join(command)}")


@app.command()
def run(
    recipe: RecipeArgument,
    run: RunFolder,
    processes: Processes = 1,
    stage: Annotated[str | None, typer.Option(help="only this stage, for example masks")] = None,
    limit: Limit = None,
    change: Changes = None,
) -> None:
    """Build a benchmark: every stage that has anything left to do.

    Example: covar-gen run demo --run runs/demo --processes 2
    """
    from covar_gen.commands.run import init as make_run
    from covar_gen.commands.run import run_all

    made = make_run(recipe, run, changes(change))
    run_all(made, processes=processes, only=stage, limit=limit)
    _say_counts(made)
    complete = (made.root / "manifest.parquet").is_file()
    typer.echo(f"next: covar-gen {'gallery' if complete else 'status'} {run}")


@app.command()
def status(run: RunArgument) -> None:
    """Say how far a run is, and what was rejected why.

    Example: covar-gen status runs/demo
    """
    from covar_gen.commands.status import status as look
    from covar_gen.core.store import open_run

    found = open_run(run)
    tables = look(found)
    for table in tables:
        total = "?" if table.expected is None else f"{table.expected}"
        mark = "done" if table.done else "open"
        said = "".join(f", {n} {reason}" for reason, n in sorted(table.reasons.items()))
        tools = " + ".join(sorted(table.tools))
        typer.echo(f"{table.table:<18} {mark}  {table.rows:>7} of {total:<7} {tools}{said}")
    if all(table.done for table in tables):
        _say_counts(found)


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, or a release's")],
    sample: Annotated[int, typer.Option(min=0, help="rows of each table to make again")] = 16,
    tolerance: Annotated[
        int,
        typer.Option(min=0, max=255, help="grey levels allowed; 1 with another OpenCV"),
    ] = 0,
) -> None:
    """Check every file of a run or of a release, and make a sample of its images again.

    Example: covar-gen verify runs/demo --sample 8
    """
    from covar_gen.commands.verify import verify as check
    from covar_gen.core.store import is_release, open_run

    if is_release(run):
        publishing.verify(run, sample, tolerance)
        return
    result = check(open_run(run), sample=sample, tolerance=tolerance)
    for key, problem in result.problems:
        typer.echo(f"{key}: {problem}", err=True)
    for reason in result.left_out:
        typer.echo(f"not made again: {reason}", err=True)
    typer.echo(
        f"{result.files} files checked, {result.remade} rows made again (largest difference "
        f"{result.largest} grey levels), {len(result.problems)} problems"
    )
    if result.problems:
        typer.echo(
            "to mend: remove each file named and the folder tables/TABLE of its table, then type "
            f"covar-gen run {run / 'recipe.toml'} --run {run}; every other file is kept as it is",
            err=True,
        )
        raise typer.Exit(2)


@app.command()
def gallery(
    run: RunArgument,
    rows: Annotated[int, typer.Option(min=1, help="most base images to show")] = 2000,
) -> None:
    """Make an HTML page of all images of a run; it needs no server and no network.

    Example: covar-gen gallery runs/demo
    """
    from covar_gen.commands.gallery import make_gallery, with_masks
    from covar_gen.core.store import open_run

    found = open_run(run)
    made = make_gallery(
        with_masks(found), found.root, found.root / "gallery", title=found.recipe.name, rows=rows
    )
    typer.echo(f"open {made.page} in a browser")


@app.command()
def masks(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="what `covar-gen evaluate` takes, in the same way")
    ],
    out: Annotated[Path, typer.Option(help="the folder to make")],
    segmenter: Annotated[str, typer.Option(help="see: covar-gen list segmenters")] = "grabcut",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="an option of the segmenter; repeatable"),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="a bound of [masks.accept]; repeatable"),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="a CSV with columns label, class_name: what to look for")
    ] = None,
    name: Annotated[str | None, typer.Option(help="configuration of a data set")] = None,
    split: Annotated[str | None, typer.Option(help="split of a data set")] = None,
    revision: Annotated[str | None, typer.Option(help="commit, branch or tag on the Hub")] = None,
    image_column: Annotated[str | None, typer.Option(help="column with the images")] = None,
    label_column: Annotated[str | None, typer.Option(help="column with the labels")] = None,
    processes: Processes = 1,
) -> None:
    """Outline the objects of any labelled data set, for the analysis of errors on it.

    Example: covar-gen masks photos/ --out runs/photos-masks
    """
    from covar_gen.commands.masks import segment

    made = segment(
        data,
        out,
        segmenter=segmenter,
        options=changes(option),
        accept=changes(accept),
        classes=classes,
        columns={
            "name": name,
            "split": split,
            "revision": revision,
            "image_column": image_column,
            "label_column": label_column,
        },
        processes=processes,
    )
    _say_counts(made)
    typer.echo(f"masks: {out / 'masks' / 'sources'}")


@app.command("masks-iou")
def masks_iou(
    predicted: Annotated[
        Path, typer.Option(metavar="RUN|DIR", help="a run with masks, or a folder of PNG masks")
    ],
    reference: Annotated[
        Path, typer.Option(metavar="DIR", help="plain masks or ImageNet-S annotations, PNG")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="for tables and a picture; none if left out")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="919, 300, 50, or a CSV of class and id; left out: what fits")
    ] = None,
    kind: Annotated[
        Literal["imagenet-s", "binary"] | None,
        typer.Option(help="of references; left out: told from them"),
    ] = None,
    of: Annotated[
        Literal["class", "any"],
        typer.Option("--object", help="of annotations: the image's class, or every class"),
    ] = "class",
) -> None:
    """Compare masks with masks that people drew: intersection over union.

    Example: covar-gen masks-iou --predicted runs/photos-masks --reference annotations --out iou
    """
    from covar_gen.commands.mask_notes import lines
    from covar_gen.commands.masks_iou import masks_iou as compare

    found = compare(predicted, reference, out, classes=classes, kind=kind, of=of)
    typer.echo("\n".join(lines(found.notes, found.summary.to_pylist(), found.kind)))
    if out is not None:
        typer.echo(f"tables: {out}, a row per image in iou.csv")


app.command()(publishing.publish)
app.command()(publishing.rebuild)
app.command()(evaluating.evaluate)
app.command()(evaluating.errors)
app.command()(judging.judge)
app.command("cluster-study")(evaluating.cluster_study)
app.command()(evaluating.explain)
app.command()(evaluating.report)


@app.command()
def estimate(
    recipe: RecipeArgument,
    photographs: Annotated[
        int | None, typer.Option(min=1, help="photographs, where the recipe does not say")
    ] = None,
    change: Changes = None,
) -> None:
    """Say what a recipe takes: images, hours on a device, disk.

    Example: covar-gen estimate covar
    """
    from covar_gen.commands import estimate as costs
    from covar_gen.core.recipe import read_recipe, recipe_path

    path = recipe_path(recipe)
    found = read_recipe(path, changes(change))
    count = photographs or costs.photographs(found, path.parent)
    if count is None:
        mend = "Say how many: --photographs N"
        raise RecipeError("the recipe does not say how many photographs", where=recipe, mend=mend)
    lines = costs.estimate(found, count, path.parent)
    hours: dict[str, float] = {}
    for line in lines:
        said = "" if line.hours is None else f"{line.hours:9.1f} h on {line.cost.device}"  # type: ignore[union-attr]
        typer.echo(f"{line.table:<18} {line.images:>8}  {line.plugin:<20} {said}")
        if line.hours is not None and line.cost is not None:
            hours[line.cost.device] = hours.get(line.cost.device, 0) + line.hours
    typer.echo(f"images: {costs.images(lines)} from {count} photographs, which are kept as well")
    for device, total in hours.items():
        typer.echo(f"time: {total:.1f} h on one {device}")
    typer.echo(f"disk: {costs.disk_bytes(found, lines) / 1e9:.1f} GB of lossless masters")
    for said in costs.weights(lines):
        typer.echo(f"weights: {said}")
    notes = {f"  {line.plugin}: {line.cost.source}" for line in lines if line.cost and line.calls}
    typer.echo("\n".join(sorted(notes)))


@app.command()
def doctor(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="also check what it needs")
    ] = None,
    change: Changes = None,
) -> None:
    """Say what works here, and what to do about what does not.

    Example: covar-gen doctor covar
    """
    from covar_gen.commands.doctor import doctor as look
    from covar_gen.core.recipe import read_recipe, recipe_path

    path = recipe_path(recipe) if recipe else None
    found = read_recipe(path, changes(change)) if path else None
    findings = look(found, home=path.parent if path else None)
    for finding in findings:
        mark = "ok  " if finding.fine else "MEND"
        mend = f". {finding.mend}" if finding.mend else ""
        typer.echo(f"{mark} {finding.name}: {finding.said}{mend}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(2)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="sources, segmenters, editors, ..., recipes, models")
    ] = None,
) -> None:
    """List the tools, recipes and models there are.

    Example: covar-gen list editors
    """
    from covar_gen.commands.listing import listing

    for group, entries in listing(kind).items():
        typer.echo(f"{group}:")
        width = max([16, *(len(name) for name, _ in entries)])
        for name, summary in entries:
            typer.echo(f"  {name:<{width}} {summary}")


def _say_counts(run: Run) -> None:
    from covar_gen.commands.status import limited, subsets

    counts: dict[str, Counter[str]] = subsets(run)
    total = sum(count["ok"] for count in counts.values())
    kept, there = limited(run)
    some = f" of {kept} of the {there} photographs" if kept < there else ""
    typer.echo(f"{run.root}: {total} images{some}")
    for subset, count in counts.items():
        said = ", ".join(f"{n} {reason}" for reason, n in sorted(count.items()) if reason != "ok")
        typer.echo(f"  {subset:<12} {count['ok']:>7}" + (f"   rejected: {said}" if said else ""))


def main() -> None:
    """Run the command line: exit code 0, 2 for what the user can mend, 1 for a bug."""
    raise SystemExit(guarded(app, Path.cwd()))


if __name__ == "__main__":
    main()
