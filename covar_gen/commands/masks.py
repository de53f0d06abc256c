"""`covar-gen masks`: outline the objects of any labelled data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from covar_gen.commands.resolve import resolve
from covar_gen.commands.run import run_all
from covar_gen.core import plugins
from covar_gen.core.errors import RecipeError
from covar_gen.core.recipe import Class, Recipe
from covar_gen.core.store import Run, create_run
from covar_gen.core.values import checked
from covar_gen.evaluation.labels import assign, class_list
from covar_gen.sources.labelled import Labelled
from covar_gen.stage_masks import Masks

SOURCE = Labelled.name()


def segment(
    data: str,
    out: Path,
    *,
    segmenter: str = "grabcut",
    options: Mapping[str, Any] | None = None,
    accept: Mapping[str, Any] | None = None,
    classes: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    processes: int = 1,
) -> Run:
    """Masks of every image of a data set, at the image's own size.

    The folder made is a run with the stages classes and masks: it resumes, reports and verifies
    like any other. The masks lie in `out`/masks/sources/, named by class and photograph; the
    manifest says which file each belongs to.

    Args:
        data: whatever `covar-gen evaluate` opens.
        out: the folder to make.
        segmenter: the segmenter's name.
        options: the segmenter's options.
        accept: bounds of [masks.accept] other than the default ones.
        classes: a CSV with the columns class_name and label, or a text file of names: what the
            segmenter looks for. None: the labels' own names, of wnids the ones that are known.
        columns: name, split, revision, image_column and label_column, as far as they are given;
            see `covar_gen.evaluation.data.open_data`.
        processes: how many share the work.

    Raises:
        CovarError: what stops a run.
    """
    folder = Path(data).expanduser()
    path = str(folder.resolve()) if folder.exists() else data
    given = {name: value for name, value in (columns or {}).items() if value is not None}
    values: dict[str, Any] = {
        "name": "masks",
        "classes": {
            "source": SOURCE,
            "path": path,
            "size": "original",
            "options": {SOURCE: given} if given else {},
        },
        "masks": {
            "segmenter": segmenter,
            "accept": dict(accept or {}),
            "options": {segmenter: dict(options)} if options else {},
        },
    }
    if classes is not None:
        values["classes"]["classes"] = _named(classes, path, given)
    with _typed(segmenter):
        recipe = resolve(checked(Recipe, values, ""), Path.cwd(), out)
        # The masks' section is looked at, and weights are fetched, before anything is made.
        Masks(Run(out, recipe)).segmenter.fetch()
    run = create_run(out, recipe)
    run_all(run, processes=processes)
    return run


@contextmanager
def _typed(segmenter: str) -> Iterator[None]:
    """Errors of the recipe speak of what was typed: whoever has typed this wrote no recipe."""
    options = {
        f"masks.options.{segmenter}": "--option",
        "masks.accept": "--accept",
        "masks.segmenter": "--segmenter",
    }
    try:
        yield
    except RecipeError as error:
        where = error.where
        for key, option in options.items():
            if f"{where}.".startswith(f"{key}."):
                where = (option + where.removeprefix(key)).replace(".", " ", 1)
        mend = error.mend.removesuffix(" in the recipe")
        raise RecipeError(error.what, where=where, mend=mend) from error


def _named(classes: str, path: str, given: Mapping[str, str]) -> list[Class]:
    """The labels of the data with the names that a file gives them.

    Raises:
        LabelsError: no such file, or a label that is not in it.
    """
    options = {**given, "path": path}
    source = plugins.make("sources", SOURCE, Labelled, options, "classes.source")
    texts = source.labels()
    labels = [source.data.labels[source.numbers[text]] for text in texts]
    names = class_list(classes, "generic", labels, path)
    places = assign(labels, names, path)
    return [
        Class(
            class_id=number,
            class_name=names.names[place],
            label=text,
            wnid=label.wnid,
            imagenet_index=label.imagenet_index,
        )
        for number, (text, label, place) in enumerate(
            zip(texts, labels, places.tolist(), strict=True), start=1
        )
    ]
