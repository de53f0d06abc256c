"""A release of a run: what `datasets` opens, and what is in it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from covar_gen.core.ranks import Ranks
from covar_gen.core.store import Run
from covar_gen.release.making import Options, publish_share

Steps = Callable[..., Run]


@pytest.fixture
def run(steps: Steps) -> Run:
    return steps("run")


def release_of(run: Run, out: Path, options: Options | None = None) -> Path:
    assert publish_share(run, out, options or Options(), Ranks(), threads=2) is not None
    return out


def test_each_subset_opens_by_name(run: Run, tmp_path: Path) -> None:
    import datasets

    out = release_of(run, tmp_path / "release")
    rows = run.manifest()
    ok = [row for row in rows.to_pylist() if row["status"] == "ok"]
    subsets = sorted({row["subset"] for row in ok})
    cache = str(tmp_path / "cache")
    for subset in subsets:
        found = datasets.load_dataset(str(out), subset, split="test", cache_dir=cache)
        expected = [row for row in ok if row["subset"] == subset]
        assert found["key"] == [row["key"] for row in expected]
        assert found[0]["image"].size == (expected[0]["width"], expected[0]["height"])
