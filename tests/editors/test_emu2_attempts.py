"""Emu2's further attempts at a picture: nothing is read for them that was read for the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from covar_gen.core.plugins import make
from covar_gen.core.store import Run
from covar_gen.editors import _emu2_placing as placing
from covar_gen.editors._emu2_model import Networks
from covar_gen.editors.base import Edit, Editor, EditRequest
from covar_gen.editors.emu2 import Emu2Gen

HEIGHT, WIDTH = 40, 60

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_emu2: ModuleType) -> Path:
    found: Path = tiny_emu2.save_hub(tmp_path_factory.mktemp("emu2") / "tiny")
    return found


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Networks that were given their weights, in order."""
    found: list[str] = []
    real = placing.fill

    def fill(module: Any, stream: Any, *given: Any, **more: Any) -> None:
        found.append(stream.part)
        real(module, stream, *given, **more)

    monkeypatch.setattr(placing, "fill", fill)
    return found


def ready(folder: Path, **options: Any) -> Emu2Gen:
    given = {"weights": str(folder), "steps": 1, "size": 64, "safety_checker": False, **options}
    found = make("editors", "emu2", Editor, given)  # type: ignore[type-abstract]
    assert isinstance(found, Emu2Gen)
    found.setup()
    return found


def request(number: int, seed: int, prompt: str = "beach") -> EditRequest:
    image = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[10:30, 20:40] = True
    return EditRequest(
        key=f"dog/p{number}/01", image=image, mask=mask, class_name="dog", background_id=1,
        background="beach", prompt=prompt, seed=seed,
    )  # fmt: skip


def pictures(found: Sequence[object]) -> list[Any]:
    assert all(isinstance(each, Edit) for each in found)
    return [each.image.astype(int) for each in found if isinstance(each, Edit)]


def test_a_further_attempt_loads_nothing_and_paints_what_it_would_from_the_start(
    folder: Path, loaded: list[str]
) -> None:
    swapping = ready(folder, stage="swap", batch=2)
    first = pictures(swapping.edit([request(number, seed=number) for number in range(3)]))
    retried = [request(number, seed=10 + number) for number in (0, 2)]
    second = pictures(swapping.edit(retried))
    third = pictures(swapping.edit([request(2, seed=22)]))
    assert (loaded.count("visual"), loaded.count("lm"), loaded.count("unet")) == (1, 1, 1)
    fresh = ready(folder, stage="resident")
    for picture, asked in zip([*second, *third], [*retried, request(2, seed=22)], strict=True):
        (alone,) = pictures(fresh.edit([asked]))
        assert np.abs(picture - alone).max() <= 1
    assert (second[0] != first[0]).any()
    assert (second[1] != first[2]).any()
    assert (third[0] != second[1]).any()


def test_other_rows_and_other_sentences_are_read(
    folder: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    swapping = ready(folder, stage="swap")
    read: list[int] = []
    real = Networks.embed

    def embed(self: Networks, batch: Any) -> Any:
        read.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(Networks, "embed", embed)
    (plain,) = pictures(swapping.edit([request(0, seed=1)]))
    # One that was read and one that was not: as if none had been.
    swapping.edit([request(0, seed=1), request(1, seed=1)])
    (other,) = pictures(swapping.edit([request(0, seed=1, prompt="forest")]))
    assert (other != plain).any()
    # The same photograph and sentence, for another row.
    alike = dataclasses.replace(request(0, seed=1, prompt="forest"), key="dog/p9/01")
    (same,) = pictures(swapping.edit([alike]))
    assert np.abs(same - other).max() <= 1
    # A photograph of another shape, and another one, under the row's name.
    for image in (alike.image.reshape(WIDTH, HEIGHT, 3), alike.image[::-1].copy()):
        mask = alike.mask.reshape(image.shape[:2])
        pictures(swapping.edit([dataclasses.replace(alike, image=image, mask=mask)]))
    assert read == [1, 2, 1, 1, 1, 1]
    assert loaded.count("lm") == 6


def test_whoever_makes_room_late_does_not_read_again(folder: Path, loaded: list[str]) -> None:
    found = ready(folder, stage="auto")
    networks = found._networks
    assert networks is not None
    tower: Any = networks.tower

    def full(*_: Any) -> None:
        if not tower.cls_token.is_meta:
            raise torch.OutOfMemoryError("full")

    networks.painter.unet.register_forward_pre_hook(full)
    pictures(found.edit([request(0, seed=1)]))
    assert networks.staged.stage == "swap"
    assert (loaded.count("lm"), loaded.count("unet")) == (1, 2)


def test_a_stage_that_refuses_everything_reads_each_block_once(
    folder: Path, steps: Callable[..., Run], loaded: list[str]
) -> None:
    """Two blocks of two rows, each painted three times: no object keeps the limit."""
    options = {
        "weights": str(folder), "steps": 1, "size": 64, "safety_checker": False, "stage": "swap",
        "attempts": 3,
    }  # fmt: skip
    run = steps(
        "run",
        only=["sources", "masks_sources", "backgrounds"],
        **{
            "block": 2,
            "classes.per_class": 1,
            "backgrounds.editor": "emu2",
            "backgrounds.options": {"emu2": options},
            "backgrounds.agreement": {"network": "none", "min_ssim": 1.0},
        },
    )
    rows = run.table("backgrounds").to_pylist()
    assert [(row["status"], row["attempt"]) for row in rows] == [("rejected", 2)] * 4
    assert (loaded.count("lm"), loaded.count("unet")) == (2, 2)
