"""Stages whose model is a pipeline of diffusers: Stable Diffusion and InstructPix2Pix."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal
from unittest import mock

import torch
from gpu_checkpoints import beside, save_stable_diffusion
from gpu_stages import Again, Call, Part
from synthetic_runs import Heard, ask_again, singly

from covar_gen.neural.diffusion import LIBRARIES
from covar_gen.neural.quiet import quiet
from covar_gen.neural.running import resolved
from covar_gen.stage_backgrounds import BackgroundsStage
from covar_gen.stage_scale import ScaleStage

WHOLE = "whole network compiled, channels last"
REGIONAL = "repeated blocks compiled, channels last"


class Pipelines(Part):
    """What both have in common.

    Attributes:
        pipeline: diffusers' class.
        channels: that its denoising network reads.
        scheduler: of the tiny checkpoint.
    """

    pipeline: ClassVar[str]
    channels: ClassVar[int]
    scheduler: ClassVar[str]
    hows = ("as loaded", REGIONAL, WHOLE)

    def save(self, folder: Path, *, tiny: bool) -> Path:
        """Stable Diffusion 1.5's networks, or tiny ones."""
        if not tiny:
            return save_stable_diffusion(folder, self.device, self.channels)
        module = beside("tiny_diffusion")
        found: Path = module.save_stable_diffusion(folder, self.channels, scheduler=self.scheduler)
        return found

    @abstractmethod
    def holder(self, stage: Any) -> Any:
        """What has the pipeline as its attribute `pipe`."""

    @contextmanager
    def hearing(self, stage: Any) -> Iterator[Heard]:
        """Remember what is asked of the pipeline."""
        holder = self.holder(stage)
        heard = Heard(holder.pipe)
        with mock.patch.object(holder, "pipe", heard):
            yield heard

    def singly(self, call: Call) -> Iterator[Call]:
        """A list of one prompt, picture and generator each."""
        yield from singly(*call)

    def plain(self, weights: Path) -> Again:
        """The class's own `from_pretrained`, in float16 on a GPU, and nothing else."""
        pipe = self._loaded(weights)
        return lambda call: ask_again(pipe, *call)

    def bare(self, weights: Path, how: str) -> Again:
        """The pipeline, compiled in one way or another; its pictures decoded together."""
        pipe = self._loaded(weights)
        if how in (REGIONAL, WHOLE):
            pipe.unet.to(memory_format=torch.channels_last)
            pipe.vae.to(memory_format=torch.channels_last)
        if how == REGIONAL:
            pipe.unet.compile_repeated_blocks(fullgraph=True)
        elif how == WHOLE:
            pipe.unet.compile(fullgraph=True)

        def again(call: Call) -> Any:
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
                return ask_again(pipe, *call)

        return again

    def _loaded(self, weights: Path) -> Any:
        import diffusers

        dtype = resolved("auto", self.device, "float16")
        with quiet(LIBRARIES):
            pipe = getattr(diffusers, self.pipeline).from_pretrained(
                weights, dtype=dtype, local_files_only=True, safety_checker=None
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(self.device)


class StableDiffusion(Pipelines):
    """The scale stage, every photograph shrunk by 2 in one pass of Stable Diffusion 1.5."""

    name = "stable-diffusion"
    kind = ScaleStage
    section, tool, plugin = "scale", "inpainter", "stable_diffusion"
    more: ClassVar[dict[str, Any]] = {"factors": [2.0]}
    pipeline = "StableDiffusionInpaintPipeline"
    channels = 9
    scheduler = "PNDMScheduler"

    def holder(self, stage: Any) -> Any:
        """The painter."""
        return stage.inpainter.painter


class InstructPix2Pix(Pipelines):
    """The stage of backgrounds with InstructPix2Pix, where the object went measured and all."""

    name = "instruct-pix2pix"
    kind = BackgroundsStage
    section, tool, plugin = "backgrounds", "editor", "instruct_pix2pix"
    last: ClassVar[Literal["sources"]] = "sources"
    pipeline = "StableDiffusionInstructPix2PixPipeline"
    channels = 8
    scheduler = "EulerAncestralDiscreteScheduler"

    def holder(self, stage: Any) -> Any:
        """The editor's pipeline."""
        return stage.editor._instructor
