"""Tiny checkpoints in the formats of the real libraries, each saved once per test process."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module tiny.py of this folder, which builds and saves the checkpoints."""
    place = Path(__file__).with_name("tiny.py")
    spec = importlib.util.spec_from_file_location("covar_tiny_checkpoints", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
