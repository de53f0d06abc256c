"""Weights by hash: what a model's answers depend on, whatever its file was called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from covar_gen.core.arrays import Json

if TYPE_CHECKING:
    import torch

_NOT_ARCHITECTURE = {
    "training", "grad_checkpointing", "gradient_checkpointing", "output_dict", "output_tokens",
    "name_or_path", "fused_attn",
}  # fmt: skip
"""Attributes of modules that change no answer, or name a place."""


def weights_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors, in the order of their names.

    Args:
        state: a state dict, on any device; one tensor at a time is copied to the CPU.

    Returns:
        64 hexadecimal digits; the same on every device.
    """
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        head = [name, str(tensor.dtype), list(tensor.shape)]
        found.update(json.dumps(head).encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    """The tensor's bytes without a copy where it is contiguous on the CPU; numpy knows no bf16."""
    import torch

    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def sides(
    state: Mapping[str, torch.Tensor], is_image: Callable[[str], bool], shared: Iterable[str]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A state dict cut in two.

    Args:
        state: of a whole model.
        is_image: true for names of the image side; the others are the text side.
        shared: names that belong to neither: scale and bias.

    Returns:
        The image side and the text side.
    """
    left_out = set(shared)
    image = {k: v for k, v in state.items() if k not in left_out and is_image(k)}
    text = {k: v for k, v in state.items() if k not in left_out and not is_image(k)}
    return image, text


def architecture_hash(parts: Mapping[str, object]) -> str:
    """SHA-256 over what modules are besides their weights: classes, heads, activations, pooling.

    The same weights under another activation are another model.

    Args:
        parts: modules by name; plain values and None count as they are.
    """
    import torch

    found: list[Json] = []
    for name in sorted(parts):
        part = parts[name]
        if isinstance(part, torch.nn.Module):
            found += [[name, *_facts(path, each)] for path, each in part.named_modules()]
        elif isinstance(part, torch.Tensor):
            found.append([name, list(part.shape)])
        else:
            found.append([name, repr(part)])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _facts(path: str, module: torch.nn.Module) -> list[Json]:
    """Where a module stands, its class, and its attributes that are plain values."""
    plain: dict[str, Json] = {
        key: repr(value)
        for key, value in sorted(vars(module).items())
        if not key.startswith("_") and key not in _NOT_ARCHITECTURE and _is_plain(value)
    }
    return [path, type(module).__name__, plain]


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, (bool, int, float, str))


def exponential(number: torch.Tensor) -> float:
    """The exponential of a stored number in float32: the same on every device.

    Devices' own exponentials differ in the last bit, by which one model would be two.

    Args:
        number: one element, of any shape, type and device.

    Returns:
        The power, computed in double precision on the CPU and rounded once to float32.
    """
    return float(number.detach().cpu().double().exp().float())


def restore_scale(module: torch.nn.Module, files: Iterable[Path]) -> None:
    """Give a model of lower precision its scale and bias back as they were stored.

    They are two numbers: rounded to bf16, a scale is off by up to a per cent or so.

    Args:
        module: with `logit_scale` and perhaps `logit_bias`.
        files: its weights.
    """
    import torch

    wanted = {"logit_scale", "logit_bias"}
    rounded = {
        name: parameter
        for name, parameter in module.named_parameters(recurse=False)
        if name in wanted and parameter.dtype != torch.float32
    }
    for file in files if rounded else ():
        for name, value in _stored(file, rounded).items():
            exact = value.to(rounded[name].device, torch.float32)
            rounded[name].data = exact.reshape(rounded[name].shape)


def _stored(file: Path, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Tensors of a file of weights by name, those of them that are there."""
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, "pt") as weights:
            there = set(weights.keys()) & set(names)
            return {name: weights.get_tensor(name) for name in there}
    import open_clip

    state = open_clip.factory.load_state_dict(str(file), weights_only=True)
    return {name: state[name] for name in names if name in state}
