"""Errors of models are explained on a release as on its run: the masks are in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from covar_gen.core.errors import DamagedRunError, IncompleteInputError, ReleaseFolderError
from covar_gen.core.store import Run
from covar_gen.evaluation.data import open_data
from covar_gen.evaluation.masks import masks_of
from covar_gen.release.encoding import Format

Evaluated = tuple[pa.ChunkedArray, NDArray[np.int64]]


def evaluated(place: Path) -> Evaluated:
    """Keys and content of the images, as an evaluation keeps them."""
    rows = open_data(str(place)).rows
    content = [int(text[:16], 16) >> 1 for text in rows["sha256"].to_pylist()]
    return rows["key"], np.array(content)


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_release_has_the_masks_of_its_run(
    finished_run: Run, released: Callable[[Format], Path], form: Format
) -> None:
    release = released(form)
    keys, content = evaluated(release)
    found = masks_of(str(release), keys, content)
    own_keys, own_content = evaluated(finished_run.root)
    own = masks_of(str(finished_run.root), own_keys, own_content)
    place = {key: number for number, key in enumerate(own_keys.to_pylist())}
    assert found.count == own.count > 0
    for row, key in enumerate(keys.to_pylist()):
        one, other = found.of(row), own.of(place[key])
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert np.array_equal(one, other)
    # An evaluation that was begun on the run goes on with its release.
    assert found.digest == own.digest


def test_masks_of_other_images_of_the_same_keys_are_not_taken(png: Path) -> None:
    keys, content = evaluated(png)
    content[0] += 1
    found = masks_of(str(png), keys, content)
    assert found.of(0) is None
    assert found.of(1) is not None
    with pytest.raises(IncompleteInputError, match="none of the evaluated images"):
        masks_of(str(png), keys, content + 1)


def test_masks_that_are_damaged_are_one_line(png: Path, tmp_path: Path) -> None:
    release = shutil.copytree(png, tmp_path / "release")
    keys, content = evaluated(release)
    [path] = (release / "data" / "masks").glob("*.parquet")
    found = masks_of(str(release), keys, content)
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    with pytest.raises(DamagedRunError, match="cannot be read") as refused:
        found.of(1)
    assert "\n" not in refused.value.line()
    with pytest.raises(DamagedRunError, match="cannot be read"):
        masks_of(str(release), keys, content)
    path.write_bytes(whole[:100])
    with pytest.raises(ReleaseFolderError, match="missing or cut short: data/masks/"):
        masks_of(str(release), keys, content)
