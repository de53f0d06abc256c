"""Emu2's networks on their devices: built empty, filled tensor by tensor, swapped where need be.

In bfloat16 the encoder takes 73 GB and the painter 5: what is loaded has to go from the files to
the device without a second copy, and on a card of 80 GB one has to make room for the other.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from covar_gen.core.errors import WeightsError, some
from covar_gen.editors import _emu2_packing as packing
from covar_gen.editors._emu2_names import NAMED, canonical
from covar_gen.editors._emu2_room import HALF, Language, Loads, Stage, chosen, size
from covar_gen.editors._emu2_spreading import follow

if TYPE_CHECKING:
    import torch
    from torch import nn

    from covar_gen.editors._emu2_names import Part
    from covar_gen.editors._emu2_weights import Stream, Weights

__all__ = ["Language", "Placement", "Stage", "Staged", "bare", "empty", "fill", "shapes"]


@contextmanager
def bare() -> Iterator[None]:
    """Networks made within have no weights yet: their parameters take no memory.

    What is no weight, such as the frequencies of rotary positions, is there as it should be.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        yield


def fill(
    module: nn.Module,
    stream: Stream,
    device: torch.device,
    dtype: torch.dtype,
    *,
    language: Language = "full",
    places: Mapping[str, torch.device] | None = None,
) -> None:
    """Give an empty network its weights, one by one, each copied straight to its device.

    Buffers that are no weights keep their type: rotary frequencies stay float32.

    Args:
        module: made within `bare`, or emptied.
        stream: its weights.
        device: where it computes.
        dtype: of its weights.
        language: int4: matrices of its Linear layers are quantised on the way.
        places: devices of parts of it by the start of their names, where not all is on `device`.

    Raises:
        WeightsError: names or shapes differ from the network's; nothing was loaded then.
        MissingExtraError: bitsandbytes is not installed.
    """
    if language == "int4":
        packing.pack_linears(module, dtype)
    _check(shapes(module), stream)
    called = {canonical(name): name for name in shapes(module)}
    for name, tensor in stream:
        _put(module, called[name], tensor, _place(name, places, device), dtype)
    for name, buffer in list(module.named_buffers()):
        if not buffer.is_meta:
            _set(module, name, buffer.to(_place(name, places, device)))
    module.eval().requires_grad_(requires_grad=False)


def empty(module: nn.Module) -> None:
    """Take a network's weights off its device; its other buffers stay."""
    import torch

    for name, shape in shapes(module).items():
        nothing = torch.empty(shape, device="meta")
        _set(module, name, nothing)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's weights by name, also of those that are packed into 4 bits."""
    weights = {name: tuple(value.shape) for name, value in module.named_parameters()}
    kept = module.state_dict(keep_vars=True)
    weights |= {name: tuple(value.shape) for name, value in module.named_buffers() if name in kept}
    for name, layer in module.named_modules():
        if packing.is_packed(layer):
            weights[f"{name}.weight"] = (int(layer.out_features), int(layer.in_features))
    return weights


def _set(module: nn.Module, name: str, value: torch.Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer."""
    import torch

    owner, _, last = name.rpartition(".")
    layer = module.get_submodule(owner)
    if last in dict(layer.named_parameters(recurse=False)) and not isinstance(
        value, torch.nn.Parameter
    ):
        value = torch.nn.Parameter(value, requires_grad=False)
    setattr(layer, last, value)


def _check(wanted: Mapping[str, tuple[int, ...]], stream: Stream) -> None:
    """See that a part's files have exactly the network's weights."""
    there, where = stream.shapes, stream.weights.where
    wanted = {canonical(name): shape for name, shape in wanted.items()}
    missing = [name for name in wanted if name not in there]
    unknown = [name for name in there if name not in wanted]
    other = [
        f"{name} {there[name]} instead of {shape}"
        for name, shape in wanted.items()
        if there.get(name, shape) != shape
    ]
    said = [
        f"{what} {some(names, NAMED)}"
        for what, names in (("lacks", missing), ("has besides", unknown), ("has", other))
        if names
    ]
    if said:
        what = f"the part {stream.part} of {stream.weights.path} {'; it '.join(said)}"
        mend = "Name the weights of Emu2-Gen and the settings that belong to them"
        raise WeightsError(what, where=where, mend=mend)


def _put(
    module: nn.Module, name: str, tensor: torch.Tensor, device: torch.device, dtype: torch.dtype
) -> None:
    # A copy, also on the same device: the file's pages are not the network's to keep.
    owner, _, last = name.rpartition(".")
    if last == "weight" and packing.is_packed(module.get_submodule(owner)):
        _set(module, name, packing.packed(tensor.to(dtype), device))
        return
    _set(module, name, tensor.to(device=device, dtype=dtype, copy=True))


def _place(
    name: str, places: Mapping[str, torch.device] | None, device: torch.device
) -> torch.device:
    for start, place in (places or {}).items():
        if name.startswith(start):
            return place
    return device


@dataclass(frozen=True)
class Placement:
    """Where and how the networks are kept.

    Attributes:
        devices: of this process. The language model's layers are spread over all of them;
            everything else, and what goes in and comes out, is on the first.
        dtype: of the weights.
        stage: which networks are there at the same time.
        language: how the language model is kept.
    """

    devices: tuple[torch.device, ...]
    dtype: torch.dtype
    stage: Stage = "auto"
    language: Language = "full"


class Staged:
    """Networks in groups of which each works by itself.

    Under `swap` the weights of a group are read anew whenever its turn comes, from the machine's
    memory if its file cache has them, else from the disk: let a group do all of its work before
    the next has its turn.

    Attributes:
        stage: resident or swap.
    """

    stage: Stage

    def __init__(
        self,
        weights: Weights,
        groups: Mapping[str, Mapping[Part, nn.Module]],
        placement: Placement,
    ) -> None:
        """See that everything fits, names and shapes as well as memory; nothing is loaded yet.

        Args:
            weights: of all networks.
            groups: networks made within `bare`, by part, by the name of their group.
            placement: where they go.

        Raises:
            WeightsError: names or shapes differ from those of the files.
            MissingExtraError: bitsandbytes is wanted and not installed.
            DeviceMemoryError: the devices cannot hold them.
        """
        self.weights, self.groups, self.placement = weights, groups, placement
        self._filled: set[str] = set()
        if placement.language == "int4":
            packing.check_int4()
        for group in groups.values():
            for part, module in group.items():
                _check(shapes(module), weights.stream(part))
        itemsize, kept = placement.dtype.itemsize, placement.language
        loads = {language: self._loads(language, itemsize) for language in get_args(Language)}
        half = self._loads(kept, HALF) if itemsize > HALF else None
        named = (weights.where, weights.model)
        self.stage = chosen(loads, placement.stage, kept, placement.devices, named, half)
        numbers = loads[placement.language].dealt(self.stage, len(placement.devices))
        self._layers = {
            f"layers.{layer}.": placement.devices[number] for layer, number in enumerate(numbers)
        }
        if len(placement.devices) > 1:
            self._connect()

    def ready(self, group: str) -> None:
        """Have a group's networks on their devices; under `swap` only them.

        Args:
            group: its name.

        Raises:
            WeightsError: a file can no longer be read.
        """
        if group in self._filled:
            return
        if self.stage == "swap":
            self.release()
        place = self.placement
        for part, module in self.groups[group].items():
            kept: Language = place.language if part == "lm" else "full"
            layers = self._layers if part == "lm" else None
            stream = self.weights.stream(part)
            fill(module, stream, place.devices[0], place.dtype, language=kept, places=layers)
        self._filled.add(group)

    def release(self) -> None:
        """Take all networks off their devices."""
        import torch

        # Of all groups: one that did not fit is there in part.
        for group in self.groups.values():
            for module in group.values():
                empty(module)
        self._filled.clear()
        gc.collect()
        if any(device.type == "cuda" for device in self.placement.devices):
            torch.cuda.empty_cache()

    @property
    def can_give_way(self) -> bool:
        """True if all groups are kept loaded without having been asked for."""
        return self.placement.stage == "auto" and self.stage == "resident"

    def give_way(self) -> None:
        """From now on, have groups make room for each other."""
        self.release()
        self.stage = "swap"

    def _connect(self) -> None:
        """Have what the language model's layers are given follow them to their devices."""
        model = next(group["lm"] for group in self.groups.values() if "lm" in group)
        first = self.placement.devices[0]
        for name, device in self._layers.items():
            if device != first:
                follow(model.get_submodule(name.removesuffix(".")), device)
        follow(model.get_submodule("norm"), first)

    def _loads(self, language: Language, each: int) -> Loads:
        """Bytes of the weights on their devices, numbers that are not packed taking so many."""
        groups: dict[str, int] = {}
        layers: dict[int, float] = {}
        home = ""
        for name, group in self.groups.items():
            found = 0.0
            for part in group:
                for tensor, shape in self.weights.stream(part).shapes.items():
                    count = math.prod(shape)
                    if part == "lm" and tensor.startswith("layers."):
                        layer = int(tensor.split(".")[1])
                        kept = size(tensor, count, each, language)
                        layers[layer] = layers.get(layer, 0.0) + kept
                    else:
                        found += count * each
            groups[name] = int(found)
            home = name if "lm" in group else home
        return Loads(groups, home, [int(layers[layer]) for layer in sorted(layers)])
