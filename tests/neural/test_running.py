"""Devices, number types and halves are chosen as described."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from threading import Event
from typing import Any

import pytest
import torch

from covar_gen.core.errors import DeviceMemoryError
from covar_gen.neural.running import exact, in_halves, overlapped, own_device, resolved


@pytest.mark.parametrize(("local", "place"), [("0", "cuda:0"), ("3", "cuda:1")])
def test_each_process_has_its_own_gpu(
    local: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_named: True)
    for name, value in {"RANK": local, "WORLD_SIZE": "4", "LOCAL_RANK": local}.items():
        monkeypatch.setenv(name, value)
    device = own_device()
    assert str(device) == place
    assert resolved("auto", device) is torch.bfloat16
    assert resolved("float16", device) is torch.float16
    assert resolved("auto", device, "float16") is torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_named: False)
    assert resolved("auto", device) is torch.float32


def test_without_a_gpu_everything_is_computed_in_float32() -> None:
    assert resolved("auto", torch.device("cpu")) is torch.float32


def test_a_batch_is_halved_until_it_fits_and_keeps_its_order() -> None:
    asked: list[int] = []

    def work(items: Any) -> list[int]:
        asked.append(len(items))
        if len(items) > 3:
            raise torch.OutOfMemoryError
        return [10 * item for item in items]

    assert in_halves(work, range(10), "tool") == [10 * item for item in range(10)]
    assert asked == [10, 5, 3, 2, 5, 3, 2]

    def never(_items: Any) -> list[int]:
        raise torch.OutOfMemoryError

    with pytest.raises(DeviceMemoryError, match="tool: the device has not enough memory"):
        in_halves(never, range(4), "tool")


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_a_library_without_room_to_compute_in_halves_the_batch_too(said: str) -> None:
    asked: list[int] = []

    def work(items: Any) -> list[int]:
        asked.append(len(items))
        if len(items) > 1:
            raise RuntimeError(said)
        return list(items)

    assert in_halves(work, range(3), "tool") == [0, 1, 2]
    assert asked == [3, 2, 1, 1, 1]

    def never(_items: Any) -> list[int]:
        raise RuntimeError(said)

    with pytest.raises(DeviceMemoryError, match="tool: the device has not enough memory"):
        in_halves(never, range(2), "tool")


@pytest.mark.parametrize("said", ["cuDNN error: CUDNN_STATUS_NOT_SUPPORTED", "shapes differ"])
def test_another_failure_of_the_device_is_not_taken_for_too_little_memory(said: str) -> None:
    asked: list[int] = []

    def work(items: Any) -> list[int]:
        asked.append(len(items))
        raise RuntimeError(said)

    with pytest.raises(RuntimeError, match=said):
        in_halves(work, range(4), "tool")
    assert asked == [4]


def test_what_did_not_fit_is_gone_before_less_is_tried() -> None:
    left: list[weakref.ref[torch.Tensor]] = []

    def work(items: Sequence[int]) -> list[int]:
        if len(items) == 1:
            assert [each() for each in left] == [None]
            return list(items)
        kept = [torch.zeros(8)]
        kept.append(kept)  # type: ignore[arg-type]
        left.append(weakref.ref(kept[0]))
        raise torch.OutOfMemoryError("too small")

    # Nothing else may happen to collect it.
    gc.disable()
    try:
        assert in_halves(work, [1, 2], "tool") == [1, 2]
    finally:
        gc.enable()


def test_exact_arithmetic_leaves_the_settings_as_they_were() -> None:
    before = torch.backends.cudnn.allow_tf32
    with exact():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.is_inference_mode_enabled()
    assert torch.backends.cudnn.allow_tf32 == before
    assert not torch.is_inference_mode_enabled()


def test_pictures_are_prepared_and_finished_while_the_network_works() -> None:
    prepared, finished = Event(), Event()

    def prepare(item: int) -> int:
        if item == 3:
            prepared.set()
        return 10 * item

    def work(items: Any) -> list[int]:
        if items[0] == 10:
            assert prepared.wait(20), "the next batch is prepared meanwhile"
        if items[0] == 30:
            assert finished.wait(20), "the last batch is finished meanwhile"
        return [item + 1 for item in items]

    def finish(item: int, answer: int) -> tuple[int, int]:
        if item == 2:
            finished.set()
        return item, answer

    found = overlapped([[1, 2], [3], [4, 5]], prepare, work, finish)
    assert found == [[(1, 11), (2, 21)], [(3, 31)], [(4, 41), (5, 51)]]
    assert overlapped([], prepare, work, finish) == []


def test_what_fails_beside_the_network_is_not_lost() -> None:
    def broken(_item: int, *_answer: int) -> int:
        raise ValueError("no picture")

    def same(items: Any) -> Any:
        return items

    with pytest.raises(ValueError, match="no picture"):
        overlapped([[1], [2]], broken, same, max)
    with pytest.raises(ValueError, match="no picture"):
        overlapped([[1], [2]], abs, same, broken)
