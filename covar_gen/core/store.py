"""A run folder: its recipe, tables, images and masks.

RUN/
  recipe.toml                resolved and frozen
  tables/<name>/             rows (core/journal.py) and made_with.json
  images/<table>/<key>.png   masks/<table>/<key>.png
  manifest.parquet           one row per image; metadata.parquet for load_dataset("imagefolder")
  logs/  gallery/  .staging/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from covar_gen.core.arrays import Json
from covar_gen.core.errors import (
    AnotherRecipeError,
    DamagedRunError,
    IncompleteInputError,
    MixtureError,
    RunFolderError,
)
from covar_gen.core.files import PROBE, Staging, check_storage, sync
from covar_gen.core.journal import read_table
from covar_gen.core.recipe import Recipe, read_recipe, recipe_toml
from covar_gen.core.rows import BY_CONSTRUCTION, OK, TABLES

if TYPE_CHECKING:
    import datasets

RECIPE = "recipe.toml"
MANIFEST = "manifest.parquet"
METADATA = "metadata.parquet"
MADE_WITH = "made_with.json"
RELEASE = "release.json"
"""A release's list of its files: its folder has a recipe too, and is no run."""
PUBLISHING = ".publishing"
"""Folder inside a release that is not finished."""


class Run:
    """A run folder that exists.

    Attributes:
        root: the folder.
        recipe: the frozen recipe.
    """

    def __init__(self, root: Path, recipe: Recipe) -> None:
        self.root = root
        self.recipe = recipe

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of a table so far, sorted by key; name the columns you need.

        Raises:
            RunFolderError: no such table, or no such column in it.
        """
        if name not in TABLES:
            mend = f"Known: {', '.join(TABLES)}"
            raise RunFolderError(f"no table of the name {name!r}", where=self.root, mend=mend)
        unknown = set(columns or ()) - set(TABLES[name].names)
        if unknown:
            mend = f"Known: {', '.join(TABLES[name].names)}"
            what = f"table {name} has no column {min(unknown)!r}"
            raise RunFolderError(what, where=self.root, mend=mend)
        try:
            return read_table(self.folder(name), name, columns)
        except (pa.ArrowException, OSError) as error:
            # Arrow reports damage as an OSError without a number, the disk with one.
            if isinstance(error, OSError) and error.errno:
                raise
            where = self.folder(name)
            mend = f"Make it again: {self.discard(name)}"
            raise DamagedRunError("a part is damaged", where=where, mend=mend) from error

    def manifest(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The manifest, one row per image.

        Raises:
            IncompleteInputError: it has not been made yet.
        """
        path = self.root / MANIFEST
        if not path.is_file():
            mend = f"Type: covar-gen run {self.root / RECIPE} --run {self.root}"
            raise IncompleteInputError("there is no manifest yet", where=path, mend=mend)
        try:
            return pq.read_table(path, columns=list(columns) if columns is not None else None)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            mend = f"Type: covar-gen run {self.root / RECIPE} --run {self.root}"
            raise DamagedRunError("the file is damaged", where=path, mend=mend) from error

    def dataset(self, *, rejected: bool = False) -> datasets.Dataset:
        """The benchmark as a `datasets.Dataset`: the manifest with images and masks decoded.

        Works from any working directory: the paths in it are absolute.

        Args:
            rejected: also give the rejected rows; their images are null.
        """
        import datasets

        rows = self.manifest()
        if not rejected:
            rows = rows.filter(pc.equal(rows["status"], OK))
        for name in ("image", "mask"):
            folder = pa.scalar(f"{self.root.resolve()}/")
            paths = pc.binary_join_element_wise(folder, rows[name], "")
            rows = rows.set_column(rows.schema.get_field_index(name), name, paths)
        table = rows.replace_schema_metadata(None)
        found = datasets.Dataset(datasets.table.InMemoryTable(table))
        return found.cast_column("image", datasets.Image()).cast_column("mask", datasets.Image())

    def folder(self, table: str) -> Path:
        """tables/<name>."""
        return self.root / "tables" / table

    def image_path(self, table: str, key: str) -> str:
        """Path of an image inside the run."""
        return f"images/{table}/{key}.png"

    def mask_path(self, table: str, key: str) -> str:
        """Path of the mask of an image of `table` inside the run."""
        return f"masks/{table}/{key}.png"

    def read(self, path: str, sha256: str | None = None) -> bytes:
        """A file of the run.

        Args:
            path: inside the run.
            sha256: what its row says; None to take it as it is.

        Raises:
            DamagedRunError: it is gone, or is not what its row says.
        """
        mend = f"Type: covar-gen verify {self.root}"
        try:
            data = (self.root / path).read_bytes()
        except FileNotFoundError as error:
            raise DamagedRunError("the file is gone", where=self.root / path, mend=mend) from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            what = "the file is not the one that its row names"
            raise DamagedRunError(what, where=self.root / path, mend=mend)
        return data

    def claim(self, table: str, identity: dict[str, Json], staging: Staging) -> None:
        """Note what a table is made with, or check that it is the same as before.

        Raises:
            MixtureError: the table was begun with something else.
        """
        path = self.folder(table) / MADE_WITH
        text = (json.dumps(identity, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        staging.publish(path, text, _is_json)
        self.compare(table, identity)

    def compare(self, table: str, identity: dict[str, Json]) -> None:
        """Check that a table, where it is begun, was begun with this.

        Raises:
            MixtureError: it was begun with something else.
        """
        path = self.folder(table) / MADE_WITH
        if not path.is_file():
            return
        before = json.loads(path.read_bytes())
        if before != json.loads(json.dumps(identity)):
            difference = first_difference(before, identity)
            what = f"table {table} was made with something else ({difference})"
            mend = f"Use a new folder with --run, or make it again: {self.discard(table)}"
            raise MixtureError(what, where=path, mend=mend)

    def discard(self, table: str) -> str:
        """The command that removes a table and everything made from it."""
        from covar_gen.core.flow import after

        of = table.removeprefix("masks_")
        owned = of != table and not self._made_masks(table)
        if of != table and not owned and self.table(of, ["mask"])["mask"].drop_null():
            # Masks of both kinds share a folder: the images have to go with theirs.
            table = of
        names = [table, *after(table)]
        folders = [f"tables/{name}" for name in names]
        folders += [f"images/{name}" for name in names if not name.startswith("masks_")]
        folders += [
            f"masks/{name.removeprefix('masks_')}"
            for name in names
            if not (owned and name == table)
        ]
        there = sorted({f for f in folders if (self.root / f).exists()})
        return f"cd {str(self.root)!r} && rm -r {' '.join(there)}"

    def _made_masks(self, table: str) -> bool:
        """True if a segmenter made any mask of a table of masks."""
        try:
            tools = read_table(self.folder(table), table, ["tool", "mask"])
        except (pa.ArrowException, OSError):
            return True
        made = pc.and_(pc.is_valid(tools["mask"]), pc.not_equal(tools["tool"], BY_CONSTRUCTION))
        return bool(pc.any(made).as_py())


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _short(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) < 90 else f"{text[:87]}..."  # noqa: PLR2004


def is_release(folder: Path) -> bool:
    """Whether a folder is a release, or what was made, copied or downloaded of one so far."""
    if (folder / RELEASE).is_file() or (folder / PUBLISHING).is_dir():
        return True
    # A run may lie beside a data set that it was made of.
    beside = (folder / "tables").is_dir() or (folder / MANIFEST).is_file()
    return not beside and any((folder / "data").glob("*/test-*.parquet"))


def open_run(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        RunFolderError: the folder is not a run.
    """
    root = Path(path)
    frozen = root / RECIPE
    if is_release(root):
        mend = "Give the run that it was made from"
        raise RunFolderError("a release, not a run folder", where=root, mend=mend)
    if not _is_frozen(frozen):
        mend = f"Type: covar-gen init RECIPE --run {root}"
        raise RunFolderError("not a run folder (no recipe.toml)", where=root, mend=mend)
    return Run(root, read_recipe(frozen))


def create_run(path: str | Path, recipe: Recipe) -> Run:
    """Make a run folder for a resolved recipe, or open the one that is there for it.

    Raises:
        AnotherRecipeError: the folder holds a run of another recipe.
        RunFolderError: the folder holds something else.
        StorageError: the folder cannot keep a run's promises.
    """
    root = Path(path)
    if root.exists() and not root.is_dir():
        raise RunFolderError("a file, not a folder", where=root, mend="Choose another --run")
    frozen = root / RECIPE
    # Listed before the recipe is looked for: another process may be making the same run.
    strangers = _strangers(root) if root.is_dir() else []
    if strangers and not _is_frozen(frozen):
        mend = "Choose an empty or new folder with --run"
        what = f"the folder holds other things ({strangers[0]}, ...) and no run"
        raise RunFolderError(what, where=root, mend=mend)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        mend = "Choose another --run"
        raise RunFolderError("the folder cannot be made", where=root, mend=mend) from error
    if _is_frozen(frozen):
        return _same_run(root, recipe)
    check_storage(root)
    staging = Staging(root)
    try:
        found = staging.publish(frozen, recipe_toml(recipe), bool)
        sync(root)
    finally:
        staging.close()
    return Run(root, recipe) if found == recipe_toml(recipe) else _same_run(root, recipe)


def _strangers(root: Path) -> list[str]:
    ours = {".staging", "proposals", "logs", RECIPE}
    names = (path.name for path in root.iterdir())
    return sorted(n for n in names if n not in ours and not n.startswith(PROBE))


def _is_frozen(path: Path) -> bool:
    """True for a recipe with content: a power cut can leave one without any."""
    return path.is_file() and path.stat().st_size > 0


def _same_run(root: Path, recipe: Recipe) -> Run:
    run = open_run(root)
    if run.recipe.digest() == recipe.digest():
        if run.recipe != recipe:
            # The photographs have moved; nothing that is hashed has changed.
            staging = Staging(root)
            staging.replace(root / RECIPE, recipe_toml(recipe))
            staging.close()
        return Run(root, recipe)
    difference = first_difference(run.recipe.hashed(), recipe.hashed())
    mend = "Choose another folder with --run, or run the recipe that is frozen in this one"
    what = f"the folder belongs to another recipe ({difference})"
    raise AnotherRecipeError(what, where=root / RECIPE, mend=mend)


def first_difference(before: Any, now: Any, where: str = "") -> str:
    """The first place where two nested values differ, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                place = f"{where}.{key}" if where else key
                return first_difference(before.get(key), now.get(key), place)
    return f"{where}: {_short(before)} there, {_short(now)} here"
