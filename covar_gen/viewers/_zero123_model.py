"""Zero123++: six views of an object from one image, native on diffusers and transformers.

Loads the official checkpoint folders (v1.1, v1.2) without their pipeline file, which needs remote
code, draws its noise from the global generator and cannot take a batch of different images. Here
all noise is drawn per item, so that an image's views do not depend on the batch they are made in.
Source: Zero123++ (Shi et al., 2023) and its released weights' configuration; agreement with the
official pipeline is tested on recorded cases.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from covar_gen.core.seeds import seed_of
from covar_gen.neural.running import exact
from covar_gen.viewers._zero123_attention import reference_attention

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import (
        AutoencoderKL,
        ControlNetModel,
        SchedulerMixin,
        UNet2DConditionModel,
    )
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

WIDTH, HEIGHT = 640, 960
"""Pixels of the canvas: two columns and three rows of views."""

LATENT_SHIFT, LATENT_SCALE = 0.22, 0.75
"""The UNet works on (latent - shift) x scale, of latents already scaled as the VAE says."""

IMAGE_SCALE = 0.5 / 0.8
"""The VAE's images are those of [-1, 1] times this."""


class Noise(Protocol):
    """Where one item's noise comes from."""

    def generator(self, what: str, step: int) -> torch.Generator:
        """A fresh CPU generator for one draw: the same each time it is asked for."""

    def draw(self, what: str, step: int, shape: Sequence[int]) -> torch.Tensor:
        """float32, standard normal, on the CPU."""


class Seeded:
    """Noise that an item's seed decides, draw by draw, whatever was drawn before."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, what: str, step: int) -> torch.Generator:
        """A generator seeded by the item, what is drawn, and the step."""
        import torch

        return torch.Generator().manual_seed(seed_of(self.seed, what, str(step)))

    def draw(self, what: str, step: int, shape: Sequence[int]) -> torch.Tensor:
        """The generator's first numbers."""
        import torch

        return torch.randn(tuple(shape), generator=self.generator(what, step))


@dataclass(frozen=True)
class Asked:
    """What is asked of the model, alike for every image of a batch.

    Attributes:
        steps: of denoising.
        guidance: classifier-free guidance; up to 1: none.
        width: of the canvas, pixels.
        height: of the canvas, pixels.
        prompt: text, usually none.
        negative_prompt: text of the unconditional half.
        control_scale: weight of the ControlNet.
    """

    steps: int = 75
    guidance: float = 4.0
    width: int = WIDTH
    height: int = HEIGHT
    prompt: str = ""
    negative_prompt: str = ""
    control_scale: float = 1.0

    @property
    def guided(self) -> bool:
        """Whether the unconditional half is computed."""
        return self.guidance > 1


@dataclass
class Zero123:
    """The networks of a checkpoint folder, on one device, of one type.

    Attributes:
        vae: images to latents and back.
        unet: denoises the canvas.
        text_encoder: for the (empty) prompt.
        tokenizer: its own.
        vision_encoder: gives the image's global embedding.
        scheduler: as the folder configures it, its timesteps spaced `trailing`, as every official
            example does.
        ramp: float32 (77, 1), how much of the global embedding each text token gets.
        for_vae: makes the reference's pixels.
        for_vision: makes the vision encoder's pixels.
        device: where they compute.
        control: a ControlNet on a canvas, if one is used.
        waiting: networks are on the device only while they are needed, else in the main memory.
        attention: diffusers' AttentionBackendName for the UNet's self-attention; None: PyTorch's.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    vision_encoder: CLIPVisionModelWithProjection
    scheduler: SchedulerMixin
    ramp: torch.Tensor
    for_vae: Any
    for_vision: Any
    device: torch.device
    control: ControlNetModel | None = None
    waiting: bool = False
    attention: Any = None

    @property
    def dtype(self) -> torch.dtype:
        """Of all networks."""
        found: torch.dtype = self.unet.dtype
        return found

    def make(
        self,
        images: Sequence[Picture],
        noises: Sequence[Noise],
        asked: Asked,
        canvases: Sequence[Picture] | None = None,
    ) -> NDArray[np.float32]:
        """The canvas of every image.

        Args:
            images: RGB pictures of the object, or RGBA ones, which are laid over mid grey.
            noises: one per image.
            asked: how.
            canvases: what the ControlNet is given: a picture of the canvas' size for each image.

        Returns:
            float32 (B, height, width, 3), RGB in [0, 1].
        """
        with exact():
            pictures = [on_grey(image) for image in images]
            with self._at_work(self.vae):
                reference = self._reference(pictures, noises, asked)
            with self._at_work(self.vision_encoder, self.text_encoder):
                contexts = self._contexts(pictures, asked)
            with self._at_work(self.unet, None if canvases is None else self.control):
                control = None if canvases is None else self._control(canvases, asked)
                latents = self._denoised(reference, contexts, control, noises, asked)
            with self._at_work(self.vae):
                return self._decoded(latents)

    @contextmanager
    def _at_work(self, *networks: Any) -> Iterator[None]:
        """Have networks on the device while they are needed."""
        moved = [network for network in networks if self.waiting and network is not None]
        try:
            for network in moved:
                network.to(self.device)
            yield
        finally:
            for network in moved:
                network.to("cpu")

    def _denoised(
        self,
        reference: torch.Tensor,
        contexts: torch.Tensor,
        control: torch.Tensor | None,
        noises: Sequence[Noise],
        asked: Asked,
    ) -> torch.Tensor:
        """Latents of the canvases, float32."""
        with reference_attention(self.unet, self.attention) as memory:
            scheduler: Any = copy.deepcopy(self.scheduler)
            scheduler.set_timesteps(asked.steps, device=self.device)
            shape = (4, asked.height // 8, asked.width // 8)
            latents: torch.Tensor = self._drawn(noises, "latents", 0, shape)
            latents = latents * scheduler.init_noise_sigma
            for step, time in enumerate(scheduler.timesteps):
                memory.writing = True
                noised = self._noised(reference, scheduler, time, noises, step, asked)
                self.unet(noised.to(self.dtype), time, contexts)
                memory.writing = False
                velocity = self._velocity(latents, scheduler, time, contexts, control, asked)
                extra = {}
                if "generator" in inspect.signature(scheduler.step).parameters:
                    extra["generator"] = [noise.generator("ancestral", step) for noise in noises]
                latents = scheduler.step(velocity, time, latents, **extra, return_dict=False)[0]
            return latents

    def _reference(
        self, pictures: Sequence[Picture], noises: Sequence[Noise], asked: Asked
    ) -> torch.Tensor:
        """Latents of the reference, float32; with guidance those of mid grey come first.

        They are samples of the posterior and are not scaled: the model was trained so.
        """
        import torch

        pixels = self._pixels(self.for_vae, pictures)
        found = [self._encoded(pixels, noises, "reference")]
        if asked.guided:
            found.insert(0, self._encoded(torch.zeros_like(pixels), noises, "grey"))
        return torch.cat(found)

    def _encoded(self, pixels: torch.Tensor, noises: Sequence[Noise], what: str) -> torch.Tensor:
        posterior = self.vae.encode(pixels).latent_dist
        noise = self._drawn(noises, what, 0, posterior.mean.shape[1:])
        drawn: torch.Tensor = posterior.mean.float() + posterior.std.float() * noise
        return drawn

    def _contexts(self, pictures: Sequence[Picture], asked: Asked) -> torch.Tensor:
        """(2 B or B, 77, C): the text's states, plus the image's embedding along the ramp."""
        import torch

        embedding = self.vision_encoder(self._pixels(self.for_vision, pictures)).image_embeds
        text = self._text(asked.prompt)
        found = [text + self.ramp.to(text) * embedding[:, None]]
        if asked.guided:
            found.insert(0, self._text(asked.negative_prompt).expand_as(found[0]))
        return torch.cat(found)

    def _text(self, prompt: str) -> torch.Tensor:
        ids = self.tokenizer(
            prompt,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        found: torch.Tensor = self.text_encoder(ids.to(self.device)).last_hidden_state
        return found

    def _pixels(self, processor: Any, pictures: Sequence[Picture]) -> torch.Tensor:
        found = processor(images=list(pictures), return_tensors="pt").pixel_values
        ready: torch.Tensor = found.to(self.device, self.dtype)
        return ready

    def _control(self, canvases: Sequence[Picture], asked: Asked) -> torch.Tensor:
        """The canvases as the ControlNet takes them, in [-1, 1], for both halves."""
        import numpy as np
        import torch

        stack = np.stack([np.asarray(on_grey(canvas)) for canvas in canvases])
        pixels = torch.from_numpy(stack).permute(0, 3, 1, 2) / 127.5 - 1
        ready: torch.Tensor = pixels.to(self.device, self.dtype)
        return torch.cat([ready] * (1 + asked.guided))

    def _noised(
        self,
        reference: torch.Tensor,
        scheduler: Any,
        time: torch.Tensor,
        noises: Sequence[Noise],
        step: int,
        asked: Asked,
    ) -> torch.Tensor:
        """The reference as noisy as the canvas is at this step."""
        import torch

        kinds = ["noise_on_grey", "noise_on_reference"][1 - asked.guided :]
        shape = reference.shape[1:]
        noise = torch.cat([self._drawn(noises, kind, step, shape) for kind in kinds])
        left = scheduler.alphas_cumprod[int(time)].to(reference)
        noised: torch.Tensor = left.sqrt() * reference + (1 - left).sqrt() * noise
        return noised

    def _velocity(
        self,
        latents: torch.Tensor,
        scheduler: Any,
        time: torch.Tensor,
        contexts: torch.Tensor,
        control: torch.Tensor | None,
        asked: Asked,
    ) -> torch.Tensor:
        """What the UNet says of the canvas, float32, guided."""
        import torch

        given = torch.cat([latents] * (1 + asked.guided))
        given = scheduler.scale_model_input(given, time).to(self.dtype)
        extra: dict[str, Any] = {}
        if control is not None:
            assert self.control is not None
            down, middle = self.control(
                given, time, contexts, control, asked.control_scale, return_dict=False
            )
            extra["down_block_additional_residuals"] = down
            extra["mid_block_additional_residual"] = middle
        found: torch.Tensor = self.unet(given, time, contexts, **extra).sample.float()
        if not asked.guided:
            return found
        without, with_it = found.chunk(2)
        guided: torch.Tensor = without + asked.guidance * (with_it - without)
        return guided

    def _decoded(self, latents: torch.Tensor) -> NDArray[np.float32]:
        scaled = latents / LATENT_SCALE + LATENT_SHIFT
        scaled = (scaled / self.vae.config.scaling_factor).to(self.dtype)
        images = self.vae.decode(scaled).sample.float() / IMAGE_SCALE
        shown = (images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        found: NDArray[np.float32] = shown.cpu().numpy()
        return found

    def _drawn(
        self, noises: Sequence[Noise], what: str, step: int, shape: Sequence[int]
    ) -> torch.Tensor:
        import torch

        return torch.stack([noise.draw(what, step, shape) for noise in noises]).to(self.device)


def on_grey(picture: Picture) -> Picture:
    """RGB as it is; what is transparent laid over mid grey (127), by 8-bit blending."""
    from PIL import Image

    if picture.mode != "RGBA":
        return picture.convert("RGB")
    ground = Image.new("RGB", picture.size, (127, 127, 127))
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground
