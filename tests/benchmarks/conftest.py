"""Synthetic runs for timing: tables written directly, photographs where pixels matter."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from synthetic_runs import fill

from covar_gen.core.arrays import Mask
from covar_gen.core.files import Staging
from covar_gen.core.masters import save_image, save_mask
from covar_gen.core.recipe import Background, Class, Recipe
from covar_gen.core.rows import OK, Row
from covar_gen.core.store import Run, create_run

PAPER = {"classes": 33, "per_class": 50, "backgrounds": 20}


def recipe(classes: int, backgrounds: int, variants: list[str]) -> Recipe:
    """A resolved recipe over made-up classes."""
    listed = [
        Class(class_id=n, class_name=f"class {n}", label=f"c{n:02d}", folder=f"c{n:02d}")
        for n in range(1, classes + 1)
    ]
    return Recipe.model_validate(
        {
            "name": "bench",
            "block": 32,
            "classes": {"source": "folder", "classes": listed, "content": "0" * 64},
            "masks": {"segmenter": "grabcut"},
            "backgrounds": {
                "editor": "collage",
                "backgrounds": [
                    Background(background_id=n, description="beach")
                    for n in range(1, backgrounds + 1)
                ],
            },
            "viewpoints": {"viewer": "homography"},
            "scale": {"inpainter": "telea"},
            "geometry": {"inpainter": "telea", "variants": variants},
        }
    )


def source_keys(found: Recipe, per_class: int) -> list[str]:
    """CLASS/PHOTO/original of every photograph."""
    return [f"{c.folder}/p{n:03d}/original" for c in found.class_list for n in range(per_class)]


def image_row(key: str, source: str, **columns: object) -> Row:
    """A row of an image table, without files of its own."""
    return {"key": key, "source": source, "status": OK, "sha256": "0" * 64, "image": key, **columns}


@pytest.fixture(params=[["hflip", "vflip", "crop"]], scope="session")
def photographs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """128 background-varied images of 512x680 with masks: real photographs, toned."""
    from skimage import data

    found = recipe(4, 8, request.param)
    run = create_run(tmp_path_factory.mktemp("bench") / "run", found)
    pictures = [
        np.asarray(Image.fromarray(p).resize((680, 512), Image.Resampling.LANCZOS))
        for p in (data.chelsea(), data.coffee(), data.rocket(), data.astronaut())
    ]
    y, x = np.mgrid[:512, :680]
    mask: Mask = (x - 340) ** 2 + (y - 256) ** 2 < 150**2
    sources = source_keys(found, 4)
    fill(run, "sources", [image_row(key, key, subset="original") for key in sources])
    fill(run, "masks_sources", [{"key": key, "status": OK} for key in sources])
    staging = Staging(run.root)
    images: list[Row] = []
    masks: list[Row] = []
    for number, source in enumerate(sources):
        for background in range(1, 9):
            key = f"{source.rpartition('/')[0]}/{background:02d}"
            tone = 0.7 + 0.04 * background
            image = (pictures[number % 4] * tone).astype(np.uint8)
            files = {
                **save_image(run, staging, "backgrounds", key, image),
                **save_mask(run, staging, "backgrounds", key, mask),
            }
            images.append({**image_row(key, source, background_id=background), **files})
            masks.append(
                {
                    "key": key,
                    "status": OK,
                    "mask": files["mask"],
                    "mask_sha256": files["mask_sha256"],
                }
            )
    staging.close()
    fill(run, "backgrounds", images)
    fill(run, "masks_backgrounds", masks)
    return run
