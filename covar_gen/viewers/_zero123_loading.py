"""Zero123++ from its official checkpoint folders, run as the options say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import WeightsError
from covar_gen.neural.diffusion import INDEX, LIBRARIES, DiffusionOptions, Folder, weights_of
from covar_gen.neural.quiet import one_line
from covar_gen.neural.room import check_room
from covar_gen.neural.settings import check_attention, check_settings, compile_blocks
from covar_gen.viewers._zero123_attention import ByBackend
from covar_gen.viewers._zero123_model import Zero123

if TYPE_CHECKING:
    import torch


def load(
    folder: Folder,
    device: torch.device,
    dtype: torch.dtype,
    control: Folder | None = None,
    options: DiffusionOptions | None = None,
) -> Zero123:
    """The networks of an official checkpoint folder.

    Args:
        folder: with model_index.json and a folder per part.
        device: where they compute.
        dtype: of all networks.
        control: a ControlNet.
        options: how they run; None: on the device, as they are.

    Raises:
        WeightsError: a file is damaged, or not what its name says.
        PluginError: an attention backend, compiling, or offloading, that cannot be had here.
        DeviceMemoryError: the device cannot hold the weights.
    """
    import diffusers
    import torch
    import transformers

    if options is not None:
        check_settings(options, device, folder.where)
        parts = weights_of(folder) | ({"control": weights_of(control)["."]} if control else {})
        check_room(
            parts, (device,), dtype, options.offload, (folder.where, folder.model, folder.repo)
        )
    place = torch.device("cpu") if options and options.offload != "none" else device

    def network(kind: Any, path: Path) -> Any:
        found = kind.from_pretrained(path, dtype=dtype, local_files_only=True)
        return found.to(place).eval().requires_grad_(requires_grad=False)

    ramp = torch.tensor(_ramp(folder), dtype=torch.float32)
    with one_line(folder.model, folder.where, LIBRARIES):
        images = transformers.CLIPImageProcessorPil
        found = Zero123(
            vae=network(diffusers.AutoencoderKL, folder.path / "vae"),
            unet=network(diffusers.UNet2DConditionModel, folder.path / "unet"),
            text_encoder=network(transformers.CLIPTextModel, folder.path / "text_encoder"),
            tokenizer=transformers.CLIPTokenizer.from_pretrained(folder.path / "tokenizer"),
            vision_encoder=network(
                transformers.CLIPVisionModelWithProjection, folder.path / "vision_encoder"
            ),
            scheduler=_scheduler(folder.path / "scheduler"),
            ramp=ramp[:, None].to(device),
            for_vae=images.from_pretrained(folder.path / "feature_extractor_vae"),
            for_vision=images.from_pretrained(folder.path / "feature_extractor_clip"),
            device=device,
        )
    if control is not None:
        with one_line(control.model, control.where, LIBRARIES):
            found.control = network(diffusers.ControlNetModel, control.path)
    if options is not None:
        settle(found, options, folder.where)
    return found


def _ramp(folder: Folder) -> list[float]:
    """How much of the picture's embedding each token of the text gets.

    Raises:
        WeightsError: the folder does not say.
    """
    found = folder.index().get("ramping_coefficients")
    if not isinstance(found, list):
        what = f"{folder.path / INDEX} has no ramping_coefficients: this is no Zero123++"
        mend = "Name the weights of Zero123++, or copy model_index.json as it is published"
        raise WeightsError(what, where=folder.where, mend=mend)
    return found


def settle(networks: Zero123, options: DiffusionOptions, where: str) -> None:
    """Have networks run as the options say.

    Args:
        networks: as they were loaded; in the main memory, where they are to wait there.
        options: how they run.
        where: the option that names the weights, for the error message.

    Raises:
        PluginError: an attention backend, or compiling, that cannot be had here.
    """
    if options.attention is not None:
        networks.attention = check_attention(options.attention, where)
        for each in filter(None, (networks.unet, networks.control)):
            each.set_attn_processor(ByBackend(networks.attention))
    if options.vae_slicing:
        networks.vae.enable_slicing()
    if options.compile:
        compile_blocks(networks.unet, where)
    networks.waiting = options.offload == "model"
    if options.offload == "sequential":
        _layer_by_layer(networks)


def _layer_by_layer(networks: Zero123) -> None:
    """Have layers wait in the main memory until they compute, as diffusers' pipelines do."""
    from accelerate import cpu_offload

    every = (networks.vae, networks.unet, networks.text_encoder, networks.vision_encoder)
    for network in filter(None, (*every, networks.control)):
        own = bool(network._parameters)  # noqa: SLF001 - as diffusers tells it
        cpu_offload(network, networks.device, offload_buffers=own)


def _scheduler(folder: Path) -> Any:
    """The scheduler that the folder names, its timesteps spaced from the last one down."""
    import diffusers

    config = json.loads((folder / "scheduler_config.json").read_text(encoding="utf-8"))
    kind = getattr(diffusers, config["_class_name"])
    return kind.from_config(config, timestep_spacing="trailing")
