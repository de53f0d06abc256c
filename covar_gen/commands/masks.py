"""`covar-gen masks`: outline the objects of any labelled data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from covar_gen.commands.resolve import resolve
from covar_gen.commands.run import run_all
from covar_gen.core.plugins import checked
from covar_gen.core.recipe import Recipe
from covar_gen.core.store import Run, create_run

SPLITS = {"train", "val", "validation", "test"}
"""Folders of these names alone are the splits of a data set, not classes."""


def segment(
    data: str,
    out: Path,
    *,
    segmenter: str = "grabcut",
    source: str | None = None,
    options: dict[str, Any] | None = None,
    processes: int = 1,
) -> Run:
    """Masks of every photograph of a data set, at the photograph's own size.

    The folder made is a run with the stages classes and masks: it resumes, reports and verifies
    like any other. The masks lie in `out`/masks/sources/, named by class and photograph; the
    manifest says which file each belongs to.

    Args:
        data: a folder of class folders, or anything `datasets.load_dataset` opens.
        out: the folder to make.
        segmenter: the segmenter's name.
        source: how to read `data`; None: as a folder if it is one, else through datasets.
        options: the segmenter's options.
        processes: how many share the work.

    Raises:
        CovarError: what stops a run.
    """
    folder = Path(data)
    found = source or ("folder" if folder.is_dir() and _has_class_folders(folder) else "datasets")
    values = {
        "name": "masks",
        "classes": {
            "source": found,
            "path": str(folder.resolve()) if folder.exists() else data,
            "size": "original",
        },
        "masks": {"segmenter": segmenter, "options": {segmenter: options} if options else {}},
    }
    recipe = resolve(checked(Recipe, values, ""), Path.cwd(), out)
    run = create_run(out, recipe)
    run_all(run, processes=processes)
    return run


def _has_class_folders(folder: Path) -> bool:
    """True for class folders of image files; Parquet files and folders of splits are none."""
    parquet = any(folder.rglob("*.parquet")) or any(folder.rglob("*.arrow"))
    folders = {child.name for child in folder.iterdir() if child.is_dir()}
    return not parquet and bool(folders) and not folders <= SPLITS
