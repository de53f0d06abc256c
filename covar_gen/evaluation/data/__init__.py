"""Data: labelled images of a run folder, a release, a Hub data set, or any folder of images."""

from __future__ import annotations

from pathlib import Path

from covar_gen.core.errors import RunFolderError
from covar_gen.core.store import RECIPE, is_release, open_run
from covar_gen.evaluation.data.base import Data, Label
from covar_gen.evaluation.data.benchmarks import RunData
from covar_gen.evaluation.data.folders import FolderData, holds_images
from covar_gen.evaluation.data.opened import OpenedData
from covar_gen.evaluation.data.released import check_release

__all__ = ["Data", "Label", "open_data"]


def open_data(
    place: str,
    *,
    split: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Data:
    """Labelled images, wherever they are.

    Args:
        place: a run folder; a release folder or a Hub id of a benchmark made here; a folder of
            image files in class folders, or with a metadata.csv; anything else that
            `datasets.load_dataset` opens, or one Parquet or Arrow file.
        split: None: validation, else test, else train.
        name: configuration of a data set; None: `all` where there is one, else its default.
        revision: branch, tag or commit of a data set on the Hub.
        image_column: None: the first column of images; in a metadata.csv `file_name`, or the
            only column of paths.
        label_column: None: the first ClassLabel, else the first of label, class, category,
            class_name, wnid. Of nested class folders `folder_1` is the outermost.

    Raises:
        PhotographsError: there is nothing, it cannot be opened, or has no such split or column.
        LabelsError: rows without a label.
        ReleaseFolderError: a release that is not finished, or of which files are missing.
        RunFolderError: a run folder that is damaged or not complete, or options it has not.
    """
    given = {
        "split": split,
        "name": name,
        "revision": revision,
        "image_column": image_column,
        "label_column": label_column,
    }
    path = Path(place).expanduser()
    if path.is_dir():
        check_release(path, *([name] if name else []))
    if (path / RECIPE).is_file() and not is_release(path):
        for option, value in given.items():
            if value is not None:
                mend = f"Leave out --{option.replace('_', '-')}"
                what = "a run folder has no splits, configurations or columns to choose"
                raise RunFolderError(what, where=place, mend=mend)
        return RunData(place, open_run(path))
    if path.is_dir() and holds_images(path):
        return FolderData(place, path, given)
    return OpenedData(place, path if path.exists() else None, given)
