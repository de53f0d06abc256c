"""Opens a data set with the `datasets` library: which split, which columns, which commit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from covar_gen.core.errors import PhotographsError

SPLITS = ("validation", "test", "train")
"""The first of these that the data set has is taken where the recipe names no split."""

LABEL_COLUMNS = ("label", "class", "category", "class_name", "wnid")
"""Columns of words or whole numbers taken for the label where no column is a ClassLabel."""

READERS = {".parquet": "parquet", ".arrow": "arrow"}
"""The library's readers of single files, by ending."""

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOG_IN = "Log in (hf auth login), download it first, or give the path of local data"


class Opened(NamedTuple):
    """A split, its two columns, the names of its ClassLabel, and its commit on the Hub."""

    data: Any
    split: str
    image: str
    label: str
    names: list[str] | None
    commit: str | None

    def name_of(self, value: object) -> str | None:
        """The label that a value of the label column stands for; None where there is none."""
        if value is None:
            return None
        if self.names is None or not isinstance(value, int):
            return str(value)
        return self.names[value] if 0 <= value < len(self.names) else None


def open_data(
    path: str,
    local: Path | None,
    *,
    name: str | None,
    split: str | None,
    revision: str | None,
    image_column: str | None,
    label_column: str | None,
    streaming: bool,
) -> Opened:
    """One split of a data set with its image and its label column; images are not decoded.

    Args:
        path: what the recipe calls it.
        local: the folder or file, where it is one; None: `path` is an id on the Hub.
        name: configuration, where there are several.
        split: None: the first of `SPLITS` that there is.
        revision: branch, tag or commit on the Hub.
        image_column: None: the first column of images.
        label_column: None: the first ClassLabel, else the first of `LABEL_COLUMNS`.
        streaming: read in passes, nothing is copied into the cache.

    Raises:
        PhotographsError: it cannot be opened, or has no such split or columns.
    """
    import datasets

    where = str(local or path)
    place: dict[str, Any] = {"path": where}
    commit = None
    if local is None:
        commit = _commit(path, revision)
        place["revision"] = commit or revision
    elif local.is_file():
        place = {"path": _reader(local), "data_files": where}
    with _quiet(), _opening(where):
        data = datasets.load_dataset(**place, name=name, split=split, streaming=streaming)
    if split is None:
        split = _split(data, where)
        data = data[split]
    features = data.features
    if not features:
        what = "what its columns hold is not known before it is read"
        raise PhotographsError(what, where=where, mend="Set streaming = false")
    image = _image_column(features, image_column, where)
    label = _label_column(features, label_column, image, where)
    if local is None and commit is None:
        commit = _cached_commit(data, revision, where)
    with _quiet(), _opening(where):
        data = data.select_columns([image, label])
        data = data.cast_column(image, datasets.Image(decode=False))
    return Opened(data, split, image, label, getattr(features[label], "names", None), commit)


def _image_column(features: Mapping[str, Any], wanted: str | None, where: str) -> str:
    import datasets

    found = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
    if (wanted is None and not found) or (wanted is not None and wanted not in features):
        what = f"no column {wanted!r}" if wanted else "no column of images"
        mend = f"Set image_column to one of: {', '.join(features)}"
        raise PhotographsError(what, where=where, mend=mend)
    return wanted or found[0]


def _label_column(features: Mapping[str, Any], wanted: str | None, image: str, where: str) -> str:
    import datasets

    def speaks(key: str) -> bool:
        kind = getattr(features.get(key), "dtype", "")
        return str(kind).lstrip("u").rstrip("0123456789") in ("int", "string", "large_string")

    classes = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    found = [*classes, *(key for key in LABEL_COLUMNS if speaks(key))]
    if wanted is not None:
        found = [wanted] if speaks(wanted) and wanted != image else []
    if not found:
        what = f"no column {wanted!r} of labels" if wanted else "no column of labels"
        others = ", ".join(key for key in features if key != image and speaks(key)) or "none"
        mend = f"Set label_column to a column of words or whole numbers; there are: {others}"
        raise PhotographsError(what, where=where, mend=mend)
    return found[0]


def _split(splits: Mapping[str, Any], where: str) -> str:
    for name in SPLITS:
        if name in splits:
            return name
    what = f"no split {', '.join(SPLITS[:-1])} or {SPLITS[-1]}"
    raise PhotographsError(what, where=where, mend=f"Set split to one of: {', '.join(splits)}")


def _reader(path: Path) -> str:
    if path.suffix.lower() not in READERS:
        what = f"no data set: a single file may end with {' or '.join(READERS)}"
        raise PhotographsError(what, where=path, mend="Give the folder that holds the data set")
    return READERS[path.suffix.lower()]


def _commit(hub_id: str, revision: str | None) -> str | None:
    """The commit that a branch or tag on the Hub names now; None where the Hub is not asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    if not _HUB_ID.fullmatch(hub_id):
        mend = "Check [classes] path in the recipe"
        raise PhotographsError("no such file or folder", where=hub_id, mend=mend)
    with _opening(hub_id):
        try:
            return HfApi().dataset_info(hub_id, revision=revision).sha
        except OfflineModeIsEnabled:
            return None


def _cached_commit(data: Any, revision: str | None, where: str) -> str:
    """The commit of a data set that was found in the cache: the folder it lies in.

    Raises:
        PhotographsError: it is not known (the library streams without telling), or another one.
    """
    files = getattr(data, "cache_files", [])
    found = next((Path(entry["filename"]).parent.name for entry in files), "")
    known = _COMMIT.fullmatch(found) is not None
    pinned = revision is not None and _COMMIT.fullmatch(revision) is not None
    if not known or (pinned and found != revision):
        what = "the commit is not known without the Hub"
        if known:
            what = f"the cache holds commit {found}, not {revision}"
        mend = "Set streaming = false to read a copy in the cache, or unset HF_HUB_OFFLINE"
        raise PhotographsError(what, where=where, mend=mend)
    return found


@contextmanager
def _opening(where: str) -> Iterator[None]:
    """Whatever the library raises, as one line."""
    try:
        yield
    except PhotographsError:
        raise
    except Exception as error:
        raise _refusal(error, where) from error


def _refusal(error: Exception, where: str) -> PhotographsError:
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    said = _first_line(causes[-1])
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        what, mend = "the data set has no such revision", "Check revision in the recipe"
    elif any(isinstance(cause, HfHubHTTPError) for cause in causes):
        what, mend = f"no such file or folder here, and the Hub refuses it ({said})", _LOG_IN
    elif any(isinstance(cause, ConnectionError) or _is_network(cause) for cause in causes):
        what, mend = f"no such file or folder here, and the Hub cannot be reached ({said})", _LOG_IN
    else:
        what = f"cannot be opened as a data set ({said})"
        mend = "Check path, name and split in the recipe"
    return PhotographsError(what, where=where, mend=mend)


def _is_network(error: BaseException) -> bool:
    """True for the errors of the HTTP client, which is httpx by one name or another."""
    return type(error).__module__.startswith(("httpx", "httpcore"))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def guarded(rows: Any, where: str) -> Iterator[dict[str, Any]]:
    """Rows of a stream; where it breaks off, one line."""
    try:
        yield from rows
    except Exception as error:
        what = f"the stream broke off ({_first_line(error)})"
        mend = "Type the same command again: what was written is kept"
        raise PhotographsError(what, where=where, mend=mend) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the library's own."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    with warnings.catch_warnings():
        # Both warn where an environment variable has decided already.
        warnings.simplefilter("ignore")
        datasets.disable_progress_bars()
        try:
            yield
        finally:
            if shown:
                datasets.enable_progress_bars()
