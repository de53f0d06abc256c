"""How Emu2's 64 vectors become a picture: a UNet like Stable Diffusion XL's, and its VAE.

The vectors stand where the text's would; their mean, the size and the published 1024 x 1024 are
told besides. Neither the photograph nor its mask is: what does not change is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from covar_gen.neural.quiet import quiet

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from numpy.typing import NDArray

ORIGINAL = (1024, 1024, 0, 0)
"""What the model is told of every picture's original size and of what was cut off, pixels."""


@dataclass(frozen=True)
class Canvas:
    """What is asked of the painter, alike for every picture of a batch.

    Attributes:
        height: pixels, a multiple of what `Painter.multiple` says.
        width: likewise.
        steps: of denoising.
        guidance: how strongly the vectors are followed, against those of nothing; 1: those of
            nothing are not looked at, and it takes half the time.
    """

    height: int = 1024
    width: int = 1024
    steps: int = 50
    guidance: float = 3.0


@dataclass(frozen=True)
class Painter:
    """The networks that paint, on one device.

    Attributes:
        unet: denoises.
        vae: decodes.
        settings: of the scheduler, EulerDiscreteScheduler.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    settings: dict[str, Any]

    @property
    def shrinks(self) -> int:
        """Pixels of a picture per number of its latents, along an edge."""
        return 1 << (len(self.vae.config.block_out_channels) - 1)

    @property
    def multiple(self) -> int:
        """Of a canvas's edges, pixels: what the UNet halves is even."""
        return self.shrinks << (len(self.unet.config.block_out_channels) - 1)

    def paint(
        self,
        wanted: torch.Tensor,
        unwanted: torch.Tensor,
        seeds: Sequence[int],
        canvas: Canvas,
    ) -> NDArray[np.float32]:
        """A picture for each of a batch; it does not depend on those beside it.

        Args:
            wanted: (B, 64, width), what is painted.
            unwanted: (B, 64, width), what it is guided away from.
            seeds: of each picture's noise, drawn on the CPU.
            canvas: how large and how.

        Returns:
            float32 (B, height, width, 3), RGB in [0, 1]; not a number where the networks gave none.
        """
        latents = self.denoised(wanted, unwanted, self.noise(seeds, canvas), canvas)
        return self.decoded(latents)

    def noise(self, seeds: Sequence[int], canvas: Canvas) -> torch.Tensor:
        """Standard normal, float32 (B, C, h, w), on the CPU."""
        import torch

        size = (canvas.height // self.shrinks, canvas.width // self.shrinks)
        shape = (self.unet.config.in_channels, *size)
        return torch.stack(
            [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )

    def denoised(
        self, wanted: torch.Tensor, unwanted: torch.Tensor, noise: torch.Tensor, canvas: Canvas
    ) -> torch.Tensor:
        """Latents without noise, float32 on the UNet's device; see `paint` and `noise`."""
        import torch
        from diffusers import EulerDiscreteScheduler

        device, dtype = self.unet.device, self.unet.dtype
        guided = canvas.guidance != 1
        states = (torch.cat([wanted, unwanted]) if guided else wanted).to(device, dtype)
        told = torch.tensor([*ORIGINAL, canvas.height, canvas.width], device=device)
        beside = {
            "text_embeds": states.mean(dim=1),
            "time_ids": told.expand(len(states), -1),
        }
        scheduler: Any = EulerDiscreteScheduler.from_config(self.settings)
        scheduler.set_timesteps(canvas.steps, device=device)
        latents = noise.to(device) * scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            given = scheduler.scale_model_input(latents, time).to(dtype)
            found = self.unet(
                torch.cat([given, given]) if guided else given,
                time,
                encoder_hidden_states=states,
                added_cond_kwargs=beside,
            ).sample.float()
            if guided:
                with_it, without = found.chunk(2)
                found = without + canvas.guidance * (with_it - without)
            latents = scheduler.step(found, time, latents, return_dict=False)[0]
        finished: torch.Tensor = latents
        return finished

    def decoded(self, latents: torch.Tensor) -> NDArray[np.float32]:
        """The pictures of latents, one by one: a decoder takes more memory than the UNet."""
        import torch

        if self.vae.config.force_upcast and self.vae.dtype == torch.float16:
            # Its numbers are too large for float16: the picture would be black.
            with quiet(("diffusers",)):
                self.vae.to(torch.float32)
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.device, self.vae.dtype)
        pictures = [self.vae.decode(each[None]).sample.float().cpu() for each in scaled]
        shown = (torch.cat(pictures) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        found: NDArray[np.float32] = shown.contiguous().numpy()
        return found
