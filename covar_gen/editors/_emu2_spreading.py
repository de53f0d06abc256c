"""A language model over several GPUs: its layers dealt out in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


def spread(layers: Sequence[int], fixed: int, count: int) -> list[int]:
    """Which device each layer goes to: in their order, the fullest device as empty as can be.

    Args:
        layers: bytes of each.
        fixed: bytes that the first device has to hold besides.
        count: of devices.

    Returns:
        By layer, the number of its device, from 0 up.
    """

    def dealt(limit: int) -> list[int] | None:
        found, device, load = [], 0, fixed
        for size in layers:
            while load + size > limit:
                device, load = device + 1, 0
                if device == count or size > limit:
                    return None
            load += size
            found.append(device)
        return found

    low, high = max([fixed, *layers]), fixed + sum(layers)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if dealt(middle) is not None else (middle + 1, high)
    return dealt(high) or []


def follow(layer: nn.Module, device: torch.device) -> None:
    """Have everything that a layer is called with brought to its device."""

    def brought(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return _moved(args, device), _moved(kwargs, device)

    layer.register_forward_pre_hook(brought, with_kwargs=True)


def _moved(given: Any, device: torch.device) -> Any:
    import torch

    if isinstance(given, torch.Tensor):
        return given.to(device)
    if isinstance(given, tuple | list):
        return type(given)(_moved(each, device) for each in given)
    if isinstance(given, dict):
        return {name: _moved(each, device) for name, each in given.items()}
    return given
