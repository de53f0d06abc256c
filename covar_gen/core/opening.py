"""Opens a data set with the `datasets` library: which split, which columns, which commit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from covar_gen.core.errors import PhotographsError, first_line

SPLITS = ("validation", "test", "train")
"""The first of these that the data set has is taken where none is named."""

LABEL_COLUMNS = ("label", "class", "category", "class_name", "wnid")
"""Columns of words or whole numbers taken for the label where no column is a ClassLabel."""

READERS = {".parquet": "parquet", ".arrow": "arrow"}
"""The library's readers of single files, by ending."""

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOG_IN = "Log in (hf auth login), download it first, or give the path of local data"


class Asked(Enum):
    """Where the user says which data is meant, so that errors speak the same language."""

    RECIPE = "keys of [classes] in a recipe"
    COMMAND = "options of a command"

    def choose(self, option: str) -> str:
        """The words before what can be chosen: `Set label_column to`, `Give --label-column`."""
        if self is Asked.RECIPE:
            return f"Set {option} to"
        return f"Give --{option.replace('_', '-')}"

    def check(self, *options: str) -> str:
        """What to look at again; the option `path` is the data itself."""
        if self is Asked.RECIPE:
            return f"Check {_listed(options)} in the recipe"
        words = ["DATA" if name == "path" else f"--{name}" for name in options]
        return f"Check {_listed(words)}"


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


class Opened(NamedTuple):
    """A split, its two columns, the names of its ClassLabel, and its commit on the Hub."""

    data: Any
    split: str
    image: str
    label: str
    names: list[str] | None
    commit: str | None
    config: str | None = None

    def name_of(self, value: object) -> str | None:
        """The label that a value of the label column stands for; None where there is none."""
        if value is None:
            return None
        if self.names is None or not isinstance(value, int):
            return str(value)
        return self.names[value] if 0 <= value < len(self.names) else None


def open_split(
    path: str,
    local: Path | None,
    *,
    name: str | None,
    split: str | None,
    revision: str | None,
    image_column: str | None,
    label_column: str | None,
    streaming: bool,
    asked: Asked = Asked.RECIPE,
    all_columns: bool = False,
    usual: str | None = None,
) -> Opened:
    """One split of a data set with its image and its label column; images are not decoded.

    Args:
        path: what the user calls it.
        local: the folder or file, where it is one; None: `path` is an id on the Hub.
        name: configuration, where there are several.
        split: None: the first of `SPLITS` that there is.
        revision: branch, tag or commit on the Hub.
        image_column: None: the first column of images.
        label_column: None: the first ClassLabel, else the first of `LABEL_COLUMNS`.
        streaming: read in passes, nothing is copied into the cache.
        asked: where the user said all this.
        all_columns: keep the other columns too.
        usual: the configuration to take where there are several and `name` is None; where this
            one is not among them, and none is the data set's own default, there is a choice to
            make. None: what the library does.

    Raises:
        PhotographsError: it cannot be opened, or has no such split or columns.
    """
    import datasets

    where = str(local or path)
    place: dict[str, Any] = {"path": where}
    commit = None
    if local is None:
        commit = _commit(path, revision, asked)
        place["revision"] = commit or revision
    elif local.is_file():
        place = {"path": _reader(local), "data_files": where}
    with _quiet(), _opening(where, asked):
        if usual is not None and name is None:
            name = _configuration(place, usual, where, asked)
        data = datasets.load_dataset(**place, name=name, split=split, streaming=streaming)
    if split is None:
        split = _split(data, where, asked)
        data = data[split]
    features = data.features
    if not features:
        what = "what its columns hold is not known before it is read"
        raise PhotographsError(what, where=where, mend="Set streaming = false")
    image = _image_column(features, image_column, where, asked)
    label = _label_column(features, label_column, image, where, asked)
    if local is None and commit is None:
        commit = _cached_commit(data, revision, where, asked)
    with _quiet(), _opening(where, asked):
        if not all_columns:
            data = data.select_columns([image, label])
        data = data.cast_column(image, datasets.Image(decode=False))
    names = getattr(features[label], "names", None)
    return Opened(data, split, image, label, names, commit, name)


def _configuration(place: Mapping[str, Any], usual: str, where: str, asked: Asked) -> str | None:
    """The configuration to take where the user names none; None where there is one only.

    Raises:
        PhotographsError: there are several, and nothing says which is meant.
    """
    import datasets

    if "data_files" in place or ("revision" not in place and not _has_card(Path(place["path"]))):
        return None
    if "revision" in place and datasets.config.HF_HUB_OFFLINE:
        # Without the Hub only the cache tells, by the names of its folders.
        owned = place["path"].replace("/", "___")
        return usual if Path(datasets.config.HF_DATASETS_CACHE, owned, usual).is_dir() else None
    names = datasets.get_dataset_config_names(**place)
    if usual in names:
        return usual
    default = datasets.get_dataset_default_config_name(**place)
    if len(names) > 1 and default is None:
        what = "there are several configurations, and none is named"
        mend = f"{asked.choose('name')} one of: {', '.join(names)}"
        raise PhotographsError(what, where=where, mend=mend)
    return str(default) if default is not None else None


def _has_card(folder: Path) -> bool:
    """True if a folder has a data set card: nothing else tells of configurations."""
    return (folder / "README.md").is_file() or (folder / ".huggingface.yaml").is_file()


def image_bytes(image: Mapping[str, Any], beside: Path | None = None) -> bytes:
    """Bytes of an image that a row holds or points to.

    Args:
        image: `bytes`, or a `path` that may be an address too.
        beside: the folder that a relative path starts from; None: the working directory.

    Raises:
        OSError: there are none, or they cannot be read.
    """
    data, path = image.get("bytes"), image.get("path")
    if data is not None:
        return bytes(data)
    if not path:
        raise OSError("the row holds no image")
    if "://" not in path:
        return (beside or Path()).joinpath(path).read_bytes()
    import fsspec  # type: ignore[import-untyped]

    try:
        with fsspec.open(path, "rb") as stream:
            return bytes(stream.read())
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"cannot be read: {error}") from error


def _image_column(features: Mapping[str, Any], wanted: str | None, where: str, asked: Asked) -> str:
    import datasets

    found = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
    if (wanted is None and not found) or (wanted is not None and wanted not in features):
        what = f"no column {wanted!r}" if wanted else "no column of images"
        mend = f"{asked.choose('image_column')} one of: {', '.join(features)}"
        raise PhotographsError(what, where=where, mend=mend)
    return wanted or found[0]


def _label_column(
    features: Mapping[str, Any], wanted: str | None, image: str, where: str, asked: Asked
) -> str:
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
        choose = asked.choose("label_column")
        mend = f"{choose} a column of words or whole numbers; there are: {others}"
        raise PhotographsError(what, where=where, mend=mend)
    return found[0]


def _split(splits: Mapping[str, Any], where: str, asked: Asked) -> str:
    for name in SPLITS:
        if name in splits:
            return name
    what = f"no split {', '.join(SPLITS[:-1])} or {SPLITS[-1]}"
    mend = f"{asked.choose('split')} one of: {', '.join(splits)}"
    raise PhotographsError(what, where=where, mend=mend)


def _reader(path: Path) -> str:
    if path.suffix.lower() not in READERS:
        what = f"no data set: a single file may end with {' or '.join(READERS)}"
        raise PhotographsError(what, where=path, mend="Give the folder that holds the data set")
    return READERS[path.suffix.lower()]


def _commit(hub_id: str, revision: str | None, asked: Asked) -> str | None:
    """The commit that a branch or tag on the Hub names now; None where the Hub is not asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    if not _HUB_ID.fullmatch(hub_id):
        mend = "Check DATA: a path, or a data set's id on the Hub"
        if asked is Asked.RECIPE:
            mend = "Check [classes] path in the recipe"
        raise PhotographsError("no such file or folder", where=hub_id, mend=mend)
    with _opening(hub_id, asked):
        try:
            return HfApi().dataset_info(hub_id, revision=revision).sha
        except OfflineModeIsEnabled:
            return None


def _cached_commit(data: Any, revision: str | None, where: str, asked: Asked) -> str:
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
        mend = "Unset HF_HUB_OFFLINE, or name the commit in the cache with --revision"
        if asked is Asked.RECIPE:
            mend = "Set streaming = false to read a copy in the cache, or unset HF_HUB_OFFLINE"
        raise PhotographsError(what, where=where, mend=mend)
    return found


@contextmanager
def _opening(where: str, asked: Asked) -> Iterator[None]:
    """Whatever the library raises, as one line."""
    try:
        yield
    except PhotographsError:
        raise
    except Exception as error:
        raise _refusal(error, where, asked) from error


def _refusal(error: Exception, where: str, asked: Asked) -> PhotographsError:
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    said = first_line(causes[-1])
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        what, mend = "the data set has no such revision", asked.check("revision")
    elif any(isinstance(cause, HfHubHTTPError) for cause in causes):
        what, mend = f"no such file or folder here, and the Hub refuses it ({said})", _LOG_IN
    elif any(isinstance(cause, ConnectionError) or _is_network(cause) for cause in causes):
        what, mend = f"no such file or folder here, and the Hub cannot be reached ({said})", _LOG_IN
    else:
        what = f"cannot be opened as a data set ({said})"
        mend = asked.check("path", "name", "split")
    return PhotographsError(what, where=where, mend=mend)


def _is_network(error: BaseException) -> bool:
    """True for the errors of the HTTP client, which is httpx by one name or another."""
    return type(error).__module__.startswith(("httpx", "httpcore"))


def guarded(rows: Any, where: str) -> Iterator[dict[str, Any]]:
    """Rows of a stream; where it breaks off, one line."""
    try:
        yield from rows
    except Exception as error:
        what = f"the stream broke off ({first_line(error)})"
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
