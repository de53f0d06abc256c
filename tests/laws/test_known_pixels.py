"""Law 7: what the parent decides of an image is exactly what the parent says; law 8: masks too."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from covar_gen.core import imaging
from covar_gen.core.shrinking import between
from covar_gen.core.store import Run

INTERPOLATION = {
    "hflip": "exact",
    "vflip": "exact",
    "translate": "exact",
    "crop": "resize",
    "rotation": "cubic",
    "scale": "lanczos",
    "viewpoint": "cubic",
}


@pytest.fixture
def rows(steps: Callable[..., Run]) -> list[tuple[Run, dict[str, object], dict[str, object]]]:
    run = steps("run")
    table = {row["key"]: row for row in run.manifest().to_pylist()}
    return [
        (run, row, table[row["parent"]])
        for row in table.values()
        if row["subset"] in INTERPOLATION and row["status"] == "ok"
    ]


def test_every_known_pixel_of_a_stored_file_equals_the_warped_parent(rows: list) -> None:
    seen = set()
    for run, row, parent in rows:
        image = imaging.decode_png(run.read(row["image"]))
        transform = np.array(row["transform"]).reshape(3, 3)
        source = imaging.decode_png(run.read(parent["image"]))
        expected, known = imaging.warp(source, transform, image.shape, INTERPOLATION[row["subset"]])
        assert known.any(), row["key"]
        assert np.array_equal(image[known], expected[known]), row["key"]
        assert row["known_pixel_max_diff"] == 0
        seen.add(row["subset"])
    assert seen == set(INTERPOLATION)


@pytest.mark.parametrize("keep", ["photograph", "object"])
@pytest.mark.parametrize("chain", ["separate", "shared"])
def test_a_scaled_image_keeps_what_the_recipe_says_of_its_parent(
    steps: Callable[..., Run], keep: str, chain: str
) -> None:
    run = steps("run", **{"scale.keep": keep, "scale.chain": chain})
    table = {row["key"]: row for row in run.manifest().to_pylist()}
    scaled = [row for row in table.values() if row["subset"] == "scale" and row["status"] == "ok"]
    assert scaled
    beyond = 0
    for row in scaled:
        parent = table[row["parent"]]
        image = imaging.decode_png(run.read(row["image"]))
        transform = np.array(row["transform"]).reshape(3, 3)
        source = imaging.decode_png(run.read(parent["image"]))
        expected, known = imaging.warp(source, transform, image.shape, "lanczos")
        if keep == "object":
            whole = known
            known = known & imaging.decode_mask(run.read(row["mask"]))
            beyond += (image != expected)[whole & ~known].sum()
        assert known.any()
        assert np.array_equal(image[known], expected[known])
        assert row["known_pixel_max_diff"] == 0
        params = json.loads(row["params"])
        assert params.get("keep", "photograph") == keep
        assert params.get("chain", "separate") == chain
        if chain == "shared" and row["scale_factor"] == 4:
            inner = imaging.decode_png(run.read(row["image"].replace("scale_4", "scale_2")))
            centre, there = imaging.warp(inner, between(2, 4, image.shape), image.shape, "lanczos")
            there &= ~known
            assert there.any()
            assert np.array_equal(image[there], centre[there])
    assert bool(beyond) == (keep == "object")


def test_flips_are_exact_copies_and_their_masks_too(rows: list) -> None:
    for run, row, parent in rows:
        axis = {"hflip": 1, "vflip": 0}.get(row["subset"])
        if axis is None:
            continue
        for column, decode in (("image", imaging.decode_png), ("mask", imaging.decode_mask)):
            child, source = (decode(run.read(r[column])) for r in (row, parent))
            assert np.array_equal(child, np.flip(source, axis))


def test_a_mask_by_construction_is_the_parents_mask_under_the_transform(rows: list) -> None:
    for run, row, parent in rows:
        mask = imaging.decode_mask(run.read(row["mask"]))
        source = imaging.decode_mask(run.read(parent["mask"]))
        transform = np.array(row["transform"]).reshape(3, 3)
        expected = imaging.warp_mask(source, transform, mask.shape)
        assert np.array_equal(mask, expected), row["key"]
        assert row["object_coverage"] == pytest.approx(mask.mean())


def test_a_scaled_object_lies_in_the_centre_at_its_scale(rows: list) -> None:
    for run, row, parent in rows:
        if row["subset"] != "scale":
            continue
        mask = imaging.decode_mask(run.read(row["mask"]))
        before = imaging.object_box(imaging.decode_mask(run.read(parent["mask"])))
        left, top, right, bottom = imaging.object_box(mask)
        height, width = mask.shape
        assert abs((left + right) / 2 - width / 2) <= 1
        assert abs((top + bottom) / 2 - height / 2) <= 1
        assert abs((right - left) - (before[2] - before[0]) / row["scale_factor"]) <= 2
