"""The input of all the paper's models in one pass, against open_clip's transform model by model."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import open_clip
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image as Pillow

from covar_gen.core.arrays import Rejected
from covar_gen.core.threads import fix_threads
from covar_gen.evaluation.images import decode, fill
from covar_gen.evaluation.models import zoo
from covar_gen.evaluation.models.open_clip_model import preprocessing_of

ROUNDS = 5


def configurations() -> list[PreprocessCfg]:
    """What open_clip says the paper's models want; no tower is built for it."""
    found = []
    for entry in zoo("paper"):
        name, _, tag = entry.name.partition("/")
        config: dict[str, Any] = merge_preprocess_dict(
            asdict(PreprocessCfg()), open_clip.get_pretrained_cfg(name, tag)
        )
        config["size"] = open_clip.get_model_config(name)["vision_cfg"]["image_size"]
        found.append(PreprocessCfg(**config))
    return found


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    """16 photographs of the sizes that data sets have, quality 92; JPEG as they have it."""
    from skimage import data

    found = []
    for image in (data.astronaut(), data.chelsea(), data.coffee(), data.rocket()):
        for size in ((680, 512), (512, 512), (500, 375), (375, 500)):
            stream = io.BytesIO()
            Pillow.fromarray(image).resize(size).save(stream, "JPEG", quality=92)
            found.append(stream.getvalue())
    return found


def timed(work: Callable[[bytes], None], files: list[bytes]) -> float:
    """Milliseconds of the processor per image."""
    start = time.process_time()
    for data in files:
        work(data)
    return 1e3 * (time.process_time() - start) / len(files)


def test_all_models_at_once_are_twelve_times_as_fast_as_model_by_model(files: list[bytes]) -> None:
    import torch

    torch.set_num_threads(1)
    fix_threads()
    wanted = configurations()
    assert len(wanted) == 18
    transforms = [image_transform_v2(config, is_train=False) for config in wanted]
    ours = {preprocessing_of(asdict(config), "bench") for config in wanted}
    pixels = {
        each.grid: torch.zeros((1, 3, each.grid.height, each.grid.width), dtype=torch.uint8)
        for each in ours
    }
    batch = {grid: tensor.numpy() for grid, tensor in pixels.items()}
    print(f"{len(wanted)} models, {len(ours)} inputs, {len(batch)} grids")

    def one_by_one(data: bytes) -> None:
        for transform in transforms:
            transform(Pillow.open(io.BytesIO(data)))

    def at_once(data: bytes) -> None:
        image = decode(data)
        assert not isinstance(image, Rejected)
        fill(image, batch, 0)

    def at_once_and_normalised(data: bytes) -> None:
        at_once(data)
        for each in ours:
            each.normalise(pixels[each.grid])

    # Sizes come again in any data set; what is worked out once for each is worked out here.
    timed(at_once, files)
    ratios = []
    for _ in range(ROUNDS):
        theirs, mine = timed(one_by_one, files), timed(at_once, files)
        normalised = timed(at_once_and_normalised, files)
        ratios.append(theirs / mine)
        print(
            f"model by model {theirs:.1f} ms per image, at once {mine:.2f} ms,"
            f" ratio {ratios[-1]:.1f} (normalised on the CPU as well {normalised:.2f} ms,"
            f" {theirs / normalised:.1f})"
        )
    print(f"median ratio {statistics.median(ratios):.1f}")
    assert statistics.median(ratios) >= 12
