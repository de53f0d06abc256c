"""Masks of evaluated images: of just these images, and named by what they are."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from covar_gen.core.errors import DamagedRunError, IncompleteInputError
from covar_gen.core.rows import MANIFEST
from covar_gen.core.store import MANIFEST as FILE
from covar_gen.core.store import Run
from covar_gen.evaluation.masks import masks_of

Made = tuple[Path, pa.ChunkedArray, NDArray[np.int64]]
NAMES = ("one", "two", "three")


def png(left: int) -> bytes:
    """A mask of 8 x 6 pixels whose object begins at a column."""
    mask = np.zeros((6, 8), np.uint8)
    mask[:, left:] = 255
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "png")
    return stream.getvalue()


def number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@pytest.fixture
def made(steps: Callable[..., Run]) -> Made:
    """A run with a manifest of three images, the last of which has no mask."""
    root = steps("run", only=[]).root
    rows = []
    for place, name in enumerate(NAMES):
        row = dict.fromkeys(MANIFEST.names)
        row |= {"key": name, "status": "ok", "sha256": hashlib.sha256(name.encode()).hexdigest()}
        if name != "three":
            data = png(2 + place)
            (root / "masks").mkdir(exist_ok=True)
            (root / "masks" / f"{name}.png").write_bytes(data)
            row |= {"mask": f"masks/{name}.png", "mask_sha256": hashlib.sha256(data).hexdigest()}
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), root / FILE)
    # In another order than the manifest, as evaluations may have them.
    keys = pa.chunked_array([pa.array(["three", "two"]), pa.array(["one"])])
    return root, keys, np.array([number(name) for name in ("three", "two", "one")])


def change(root: Path, name: str, data: bytes) -> None:
    """Another mask of an image, as another segmenter would put it into a run."""
    rows = pq.read_table(root / FILE).to_pylist()
    for row in rows:
        if row["key"] == name:
            row["mask_sha256"] = hashlib.sha256(data).hexdigest()
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), root / FILE)
    (root / "masks" / f"{name}.png").write_bytes(data)


def test_each_image_has_the_mask_of_its_key(made: Made) -> None:
    root, keys, content = made
    found = masks_of(str(root), keys, content)
    assert found.count == 2
    assert found.of(0) is None
    two, one = found.of(1), found.of(2)
    assert two is not None
    assert one is not None
    assert (two.sum(), one.sum()) == (6 * 5, 6 * 6)


def test_masks_are_named_by_what_they_are_and_not_by_where_they_lie(made: Made) -> None:
    root, keys, content = made
    before = masks_of(str(root), keys, content).digest
    moved = root.parent / "moved"
    shutil.copytree(root, moved)
    assert masks_of(str(moved), keys, content).digest == before
    change(moved, "two", png(7))
    assert masks_of(str(moved), keys, content).digest != before


def test_a_mask_of_another_image_of_the_same_key_is_not_taken(made: Made) -> None:
    root, keys, content = made
    content[1] = number("two of another run")
    found = masks_of(str(root), keys, content)
    assert found.of(1) is None
    assert found.of(2) is not None
    with pytest.raises(IncompleteInputError, match="none of the evaluated images has a mask"):
        masks_of(str(root), keys, content + 1)


@pytest.mark.parametrize("gone", [True, False])
def test_a_mask_that_is_not_the_runs_any_more_is_named_in_a_line(made: Made, gone: bool) -> None:
    root, keys, content = made
    path = root / "masks" / "two.png"
    path.write_bytes(png(3)[:-9])
    if gone:
        path.unlink()
    found = masks_of(str(root), keys, content)
    with pytest.raises(DamagedRunError, match="gone" if gone else "not the mask") as refused:
        found.of(1)
    assert "two.png" in refused.value.line()
    assert "\n" not in refused.value.line()
