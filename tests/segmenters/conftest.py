"""Tiny checkpoints in the formats of the real libraries, each saved once per test process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from covar_gen.segmenters.base import SegmentRequest


@pytest.fixture(scope="session")
def tiny(module_of: Callable[[Path], ModuleType]) -> ModuleType:
    """The module tiny.py of this folder, which builds and saves the checkpoints."""
    return module_of(Path(__file__).with_name("tiny.py"))


@pytest.fixture(scope="session")
def checkpoints(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints detector, mm_detector, sam, sam2, sam3 and clip."""
    root = tmp_path_factory.mktemp("checkpoints")
    tiny.save_detector(root / "detector")
    tiny.save_detector(root / "mm_detector", mm=True)
    tiny.save_sam(root / "sam")
    tiny.save_sam2(root / "sam2")
    tiny.save_sam3(root / "sam3")
    tiny.save_clip(root / "clip")
    return root


def photograph(seed: int, height: int, width: int) -> np.ndarray:
    """A bright disc somewhere on a dark, grainy ground: uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    centre = width * rng.uniform(0.3, 0.7)
    image[(x - centre) ** 2 + (y - height / 2) ** 2 < (height * 0.3) ** 2] = [230, 60, 40]
    return image


@pytest.fixture(scope="session")
def requests() -> list[SegmentRequest]:
    """Photographs of three sizes and class names of different lengths."""
    wanted = [
        (48, 64, "cat"), (64, 48, "dog"), (48, 64, "St. Bernard"), (60, 60, "bird"),
        (48, 64, "red disc"),
    ]  # fmt: skip
    found = [
        SegmentRequest(f"c/{place}/original", photograph(place, height, width), name, 0)
        for place, (height, width, name) in enumerate(wanted)
    ]
    # As decoders give them: not to be written to.
    for request in found:
        request.image.flags.writeable = False
    return found


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub must not be asked, and its cache, which is returned, is empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
