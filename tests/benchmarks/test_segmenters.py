"""GroundedSAM in batches, beside the loop over single images of its authors' demonstration.

On a CPU with tiny models; where there is a GPU also with models of full size, random weights.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from covar_gen.core import plugins
from covar_gen.segmenters.base import Segmenter, SegmentRequest
from covar_gen.segmenters.grounded_sam import GroundedSam

ROUNDS = 5
BOXES = 2
"""Boxes kept per photograph with random weights, of which nobody can say how many would count."""


@pytest.fixture(scope="module")
def tiny(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    """tests/segmenters/tiny.py."""
    return module_of(Path(__file__).parents[1] / "segmenters" / "tiny.py")


def photographs(count: int, width: int, height: int) -> list[SegmentRequest]:
    """Crops of photographs that come with scikit-image."""
    from skimage import data

    found = []
    for number in range(count):
        source = Image.fromarray((data.chelsea(), data.coffee(), data.rocket())[number % 3])
        box = (number % 20, number % 13, 250 + number % 20, 230 + number % 13)
        image = np.asarray(source.resize((width, height), box=box))
        found.append(SegmentRequest(f"{number}", image, ("cat", "cup", "rocket")[number % 3], 0))
    return found


def in_batches(segmenter: Segmenter, requests: Sequence[SegmentRequest], size: int) -> None:
    """All requests, `size` at a time."""
    for start in range(0, len(requests), size):
        segmenter.segment(requests[start : start + size])


def rate(work: Callable[[], None], images: int, rounds: int = ROUNDS) -> float:
    """Images per second, the median of some rounds after one that is not counted."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return images / statistics.median(seconds[1:])


def ready(**options: Any) -> GroundedSam:
    """A segmenter with its models loaded."""
    made = plugins.make("segmenters", "grounded_sam", Segmenter, options)
    assert isinstance(made, GroundedSam)
    made.setup()
    return made


@pytest.mark.parametrize(("detector", "sam"), [(False, "sam"), (True, "sam2")])
def test_batches_on_a_cpu_are_no_slower_than_single_images(
    tiny: Any, tmp_path: Path, detector: bool, sam: str
) -> None:
    tiny.save_detector(tmp_path / "detector", mm=detector)
    getattr(tiny, f"save_{sam}")(tmp_path / sam)
    segmenter = ready(detector=str(tmp_path / "detector"), sam=str(tmp_path / sam))
    requests = photographs(16, 160, 120)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, batched = [], []
        # Side by side, round by round: whatever else the machine does befalls both.
        for _ in range(ROUNDS):
            single.append(rate(lambda: in_batches(segmenter, requests, 1), 16, 1))
            batched.append(rate(lambda: in_batches(segmenter, requests, 8), 16, 1))
    finally:
        torch.set_num_threads(threads)
    faster = statistics.median(b / s for b, s in zip(batched, single, strict=True))
    print(f"\n{sam}, tiny, CPU: batches of 8 are {faster:.2f} times as fast as single images")
    assert faster > 1


def save_full_size(tiny: Any, folder: Path) -> dict[str, str]:
    """Grounding DINO with Swin-T and SAM with ViT-H: their architectures, random weights."""
    import transformers as hf

    swin = hf.SwinConfig(window_size=7, out_features=["stage2", "stage3", "stage4"])
    detector = hf.GroundingDinoForObjectDetection(
        hf.GroundingDinoConfig(backbone_config=swin, text_config=hf.BertConfig())
    )
    detector.save_pretrained(folder / "detector")
    hf.GroundingDinoProcessor(
        hf.GroundingDinoImageProcessor(), tiny.bert_tokenizer()
    ).save_pretrained(folder / "detector")
    vision = hf.SamVisionConfig(
        hidden_size=1280, num_hidden_layers=32, num_attention_heads=16,
        global_attn_indexes=[7, 15, 23, 31], initializer_range=0.02,
    )  # fmt: skip
    hf.SamModel(hf.SamConfig(vision_config=vision)).save_pretrained(folder / "sam")
    hf.SamProcessor(hf.SamImageProcessor()).save_pretrained(folder / "sam")
    return {"detector": str(folder / "detector"), "sam": str(folder / "sam")}


def test_batches_on_a_gpu_are_three_times_as_fast_as_the_demonstrations_loop(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.cuda.is_available():
        print("\nno GPU here: models of full size were not timed")
        return
    weights = save_full_size(tiny, tmp_path)
    requests = photographs(64, 683, 512)
    rates: dict[tuple[str, int], float] = {}
    for dtype, sizes in (("float32", (1,)), ("bfloat16", (1, 8, 32))):
        segmenter = ready(**weights, dtype=dtype, box_threshold=0)
        detect = segmenter.detector.detect

        def few(*given: Any, detect: Callable[..., Any] = detect) -> Any:
            return [
                dataclasses.replace(
                    found,
                    boxes=found.boxes[:BOXES],
                    scores=found.scores[:BOXES],
                    phrases=found.phrases[:BOXES],
                )
                for found in detect(*given)
            ]

        monkeypatch.setattr(segmenter.detector, "detect", few)
        for size in sizes:
            count = 16 if size == 1 else 64
            some = requests[:count]
            work = lambda s=segmenter, r=some, n=size: in_batches(s, r, n)  # noqa: E731
            rates[dtype, size] = rate(work, count, 3)
    name = torch.cuda.get_device_name()
    loop = rates["float32", 1]
    print(f"\nGrounding DINO Swin-T and SAM ViT-H, photographs of 683 x 512, {name}:")
    for (dtype, size), found in rates.items():
        print(f"  {dtype}, batch {size}: {found:.2f} images/s, {found / loop:.1f} times the loop")
    assert max(rates.values()) > 3 * loop
