"""How networks of diffusers are run, as the options of a plugin say: refused where they cannot."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import PluginError, first_line

if TYPE_CHECKING:
    import torch

    from covar_gen.neural.diffusion import DiffusionOptions

SHAPES = 64
"""For how many kinds of input PyTorch compiles a block before it gives up. Its own limit, 8, is
used up by the widths of one network of Stable Diffusion and a few sizes of photographs."""


def check_settings(options: DiffusionOptions, device: torch.device, where: str) -> None:
    """Refuse options that a device, or one another, rules out; before anything is loaded.

    Args:
        options: how the networks are to be run.
        device: where they compute.
        where: the option that names their weights, for the error message.

    Raises:
        PluginError: one that cannot be followed.
    """
    if options.compile and options.offload == "sequential":
        what = "blocks whose layers wait in the main memory cannot be compiled"
        raise PluginError(what, where=where, mend="Leave compile out, or set offload = 'model'")
    if options.offload != "none" and device.type == "cpu":
        what = f"there is no GPU to offload from (offload = {options.offload!r})"
        raise PluginError(what, where=where, mend="Leave offload out")
    if options.devices > 1 and device.type == "cpu":
        what = f"there are no GPUs to spread networks over (devices = {options.devices})"
        raise PluginError(what, where=where, mend="Leave devices out")
    if options.devices > 1 and options.offload != "none":
        what = "networks that are spread over GPUs do not wait in the main memory"
        raise PluginError(what, where=where, mend="Leave devices or offload out")


def check_attention(backend: str, where: str) -> Any:
    """A backend of attention by its name, which can be used here.

    Args:
        backend: as diffusers names it.
        where: the option that names the weights, for the error message.

    Returns:
        diffusers' AttentionBackendName.

    Raises:
        PluginError: it cannot be used, or is code that would be fetched from the Hub.
    """
    import diffusers

    if backend.lower().endswith("_hub"):
        what = f"attention backend {backend!r} would run code that is fetched from the Hub"
        raise PluginError(what, where=where, mend="Name one of an installed package, or none")
    names = importlib.import_module("diffusers.models.attention_dispatch").AttentionBackendName
    try:
        found = names(backend.lower())
        # It looks whether what the backend needs is installed.
        with diffusers.attention_backend(found):
            return found
    except (ValueError, RuntimeError, ImportError, AttributeError) as error:
        said = first_line(error)
        what = f"attention backend {backend!r} cannot be used: {said}"
        raise PluginError(what, where=where, mend="Leave attention out") from error


def set_attention(network: Any, backend: str, where: str) -> None:
    """Have one network, and no other of this process, compute its attention by a backend.

    Args:
        network: of diffusers.
        backend: as diffusers names it.
        where: the option that names the weights, for the error message.

    Raises:
        PluginError: it cannot be used here, or the network takes none.
    """
    import diffusers

    found = check_attention(backend, where)
    # diffusers also makes it that of every network which has none of its own: undone at the end.
    with diffusers.attention_backend(found):
        network.set_attention_backend(found.value)
    # What diffusers passes over without a word.
    layers = (getattr(layer, "processor", None) for layer in network.modules())
    if not any(hasattr(layer, "_attention_backend") for layer in layers):
        what = f"{type(network).__name__} takes no attention backend ({backend!r})"
        raise PluginError(what, where=where, mend="Leave attention out")


def compile_blocks(network: Any, where: str) -> None:
    """Have the repeated blocks compiled when they are first used.

    Args:
        network: of diffusers.
        where: the option that names the weights, for the error message.

    Raises:
        PluginError: it has none.
    """
    limits: Any = importlib.import_module("torch._dynamo").config
    limits.recompile_limit = max(limits.recompile_limit, SHAPES)
    try:
        network.compile_repeated_blocks(fullgraph=True)
    except ValueError as error:
        what = f"{type(network).__name__} has no blocks to compile"
        raise PluginError(what, where=where, mend="Leave compile out") from error
