"""What the files of each configuration hold: which rows, and what is made for each of them.

A subset's images are encoded from the masters, or are patches against their parents; masks are
taken as they are, and the manifest has no files. Each master is compared with the checksum in its
row while it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.arrays import Image
from covar_gen.core.errors import DamagedRunError, ReleaseFolderError
from covar_gen.core.imaging import decode_png
from covar_gen.core.recipe import Recipe
from covar_gen.core.rows import MANIFEST, OK
from covar_gen.core.store import Run
from covar_gen.release.carried import MOST, carried
from covar_gen.release.encoding import Encoder
from covar_gen.release.patches import OWN, difference, encode_patch, lessened, predicted
from covar_gen.release.schema import MASKS, ROWS, class_ids, label_names, schema_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

READS = ("key", "subset", "parent", "source", "status", "image", "mask", "width", "height",
         "sha256", "pixels_sha256", "mask_sha256", "parent_sha256", "transform",
         "tool")  # fmt: skip
"""Columns of a manifest that a file can be made from."""


@dataclass(frozen=True)
class Cell:
    """A file inside a row.

    Attributes:
        data: its bytes.
        name: what it is called: the row's key with an ending.
    """

    data: bytes
    name: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


MakeCell = Callable[[dict[str, Any]], Cell | None]
"""From a row's `READS` to its file, in any thread; None where the row has none."""


@dataclass(frozen=True)
class Contents:
    """What a configuration's files hold.

    Attributes:
        config: `masks`, `manifest`, or a subset's name.
        schema: of its files.
        make: the file of a row; None where rows have no files.
        class_ids: class_id of each label.
        origins: columns key, origin, photograph_sha256 of the photographs.
    """

    config: str
    schema: pa.Schema
    make: MakeCell | None
    class_ids: list[int]
    origins: pa.Table

    def chosen(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the manifest that are rows of this configuration."""
        if self.config == ROWS:
            return rows
        wanted = pc.equal(rows["status"], OK)
        if self.config == MASKS:
            return rows.filter(pc.and_(wanted, pc.is_valid(rows["mask"])))
        return rows.filter(pc.and_(wanted, pc.equal(rows["subset"], self.config)))

    def table(self, rows: pa.Table, cells: list[tuple[Cell | None, str | None]]) -> pa.Table:
        """Rows of the manifest as rows of this configuration.

        Args:
            rows: chosen ones.
            cells: file of each row and its SHA-256; as many as rows, or none at all.
        """
        columns = [self._column(field, rows, cells) for field in self.schema]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _column(
        self, field: pa.Field, rows: pa.Table, cells: list[tuple[Cell | None, str | None]]
    ) -> pa.Array:
        if pa.types.is_struct(field.type):
            data = pa.array([cell and cell.data for cell, _ in cells], pa.binary())
            names = pa.array([cell and cell.name for cell, _ in cells], pa.string())
            gone = pa.array([cell is None for cell, _ in cells], pa.bool_())
            return pa.StructArray.from_arrays([data, names], fields=list(field.type), mask=gone)
        if field.name == "export_sha256":
            return pa.array([sha256 for _, sha256 in cells], pa.string())
        if field.name == "label":
            known = pa.array(self.class_ids, pa.int64())
            return pc.index_in(rows["class_id"], value_set=known).cast(pa.int64())
        if field.name in ("origin", "photograph_sha256"):
            at = pc.index_in(rows["key"], value_set=self.origins["key"].combine_chunks())
            return self.origins[field.name].take(at).combine_chunks()
        return rows[field.name].cast(MANIFEST.field(field.name).type)


def contents_of(run: Run, config: str, encoder: Encoder) -> Contents:
    """What a configuration of a release of a run holds.

    Args:
        run: the run.
        config: `masks`, `manifest`, or a subset's name.
        encoder: of images.
    """
    names = label_names(run.recipe)
    origins = run.table("sources", ["key", "origin", "photograph_sha256"])
    make: MakeCell | None
    if config == ROWS:
        make = None
    elif config == MASKS:
        make = _masks(run)
    else:
        make = _patches(run) if encoder.patches else _images(run, encoder)
    return Contents(config, schema_of(config, names), make, _ids(run.recipe), origins)


def _ids(recipe: Recipe) -> list[int]:
    return class_ids(recipe)


def _images(run: Run, encoder: Encoder) -> MakeCell:
    def make(row: dict[str, Any]) -> Cell:
        master = run.read(row["image"], row["sha256"])
        try:
            data = encoder.encode(master)
        except ValueError as error:
            mend = f"Type: covar-gen verify {run.root}"
            where = run.root / row["image"]
            raise DamagedRunError(f"{error}", where=where, mend=mend) from error
        return Cell(data, f"{row['key']}.{encoder.ending}")

    return make


def _patches(run: Run) -> MakeCell:
    def make(row: dict[str, Any]) -> Cell | None:
        if row["parent"] is None:
            # The photograph itself, which whoever rebuilds the images has.
            return None
        parent = _pixels(run, parent_path(run, row), row["parent_sha256"])
        image = _pixels(run, row["image"], row["sha256"])
        patch, share = patch_of(image, parent, row["transform"])
        if share > MOST:
            raise _carries(run, row, share)
        return Cell(encode_patch(patch), f"{row['key']}.png")

    return make


def patch_of(
    image: Image, parent: Image, transform: Sequence[float] | None
) -> tuple[NDArray[np.uint8], float]:
    """The patch of an image that has a parent, and how much of the parent it shows.

    Args:
        image: uint8 (H, W, 3), RGB.
        parent: uint8 (h, w, 3), RGB.
        transform: 9 numbers, row by row: parent pixels -> the image's pixels; None: not known.

    Returns:
        uint8 (H, W, 4), RGBA, and the share that `carried` tells, fraction.
    """
    said, known = predicted(parent, transform, image.shape[:2])
    patch = difference(image, said, known, parent, transform)
    share = carried(image, patch[..., 3] == OWN, parent, said)
    if share > MOST:
        patch = lessened(patch, image, said, known, parent)
        share = carried(image, patch[..., 3] == OWN, parent, said)
    return patch, share


def _carries(run: Run, row: Mapping[str, Any], share: float) -> ReleaseFolderError:
    """What stands against a patch that shows its parent."""
    what = (
        f"the patch of {row['key']} would show {share:.0%} of its parent: pixels that the tool"
        f" {row['tool']!r} moved without giving their transform"
    )
    mend = "Have it keep them and give the transform, or publish without --recipe-only"
    return ReleaseFolderError(what, where=run.root, mend=mend)


def parent_path(run: Run, row: Mapping[str, Any]) -> str:
    """Path of the parent's image inside a run.

    Args:
        run: the run.
        row: with key of the parent and subset.
    """
    table = "sources" if row["subset"] == "bg_varied" else "backgrounds"
    return run.image_path(table, row["parent"])


def _pixels(run: Run, path: str, sha256: str) -> Image:
    try:
        return decode_png(run.read(path, sha256))
    except ValueError as error:
        mend = f"Type: covar-gen verify {run.root}"
        raise DamagedRunError(f"{error}", where=run.root / path, mend=mend) from error


def _masks(run: Run) -> MakeCell:
    def make(row: dict[str, Any]) -> Cell:
        return Cell(run.read(row["mask"], row["mask_sha256"]), f"{row['key']}.png")

    return make
