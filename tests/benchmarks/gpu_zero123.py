"""The stage of viewpoints with Zero123++, beside loops that compute as its authors' pipeline does.

Their pipeline is remote code and takes one picture at a time. What it computes is written down
here anew, from the paper's formulas: the states of the reference are kept by every self-attention,
and keys and values of both are made again from them; noise is drawn where the networks are. A test
has these loops agree with the viewer, given the same noise.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from gpu_checkpoints import TESTS, save_zero123plus
from gpu_stages import Again, Call, Part

from covar_gen.neural.diffusion import find_pipeline
from covar_gen.neural.running import resolved
from covar_gen.neural.settings import compile_blocks
from covar_gen.stage_viewpoints import ViewpointsStage
from covar_gen.viewers._zero123_loading import load
from covar_gen.viewers._zero123_model import IMAGE_SCALE, LATENT_SCALE, LATENT_SHIFT
from covar_gen.viewers.zero123plus import PARTS

PLAIN = "the authors' computation, in batches"
AUTHORS = "the authors' computation, repeated blocks compiled"
OWN = "the viewer's networks without stage and viewer, repeated blocks compiled"


class Heard:
    """What the viewer asked of its networks.

    Attributes:
        asked: pictures, their noises, and how they are painted.
    """

    def __init__(self, networks: Any) -> None:
        self.make = networks.make
        self.asked: list[Call] = []

    def __call__(self, pictures: Any, noises: Any, asked: Any, depths: Any = None) -> Any:
        found = self.make(pictures, noises, asked, depths)
        self.asked.append((pictures, noises, asked))
        return found

    @property
    def sizes(self) -> list[int]:
        """Pictures of each call."""
        return [len(pictures) for pictures, _, _ in self.asked]


class Zero123plus(Part):
    """Two of the six views of every photograph, as in the paper's recipe."""

    name = "zero123plus"
    kind = ViewpointsStage
    section, tool, plugin = "viewpoints", "viewer", "zero123plus"
    rows = 2
    more: ClassVar[dict[str, Any]] = {"views": rows}
    hows = (PLAIN, AUTHORS, OWN)

    def save(self, folder: Path, *, tiny: bool) -> Path:
        """Zero123++ 1.2's networks, or the tiny ones of the tests."""
        if not tiny:
            return save_zero123plus(folder, self.device)
        shutil.copytree(TESTS / "data" / "zero123plus" / "components", folder)
        return folder

    @contextmanager
    def hearing(self, stage: Any) -> Iterator[Heard]:
        """Remember what is asked of the networks."""
        networks = stage.viewer._networks
        heard = Heard(networks)
        with mock.patch.object(networks, "make", heard):
            yield heard

    def singly(self, call: Call) -> Iterator[Call]:
        """A list of one picture each."""
        pictures, noises, asked = call
        for picture, noise in zip(pictures, noises, strict=True):
            yield [picture], [noise], asked

    def plain(self, weights: Path) -> Again:
        """One picture at a time."""
        networks = self._loaded(weights)
        return lambda call: canvases(networks, call[0], call[2])

    def bare(self, weights: Path, how: str) -> Again:
        """The authors' computation on several pictures at once, or the viewer's networks alone."""
        networks = self._loaded(weights)
        if how != PLAIN:
            compile_blocks(networks.unet, self.name)
        if how == OWN:
            return lambda call: networks.make(*call)
        return lambda call: canvases(networks, call[0], call[2])

    def _loaded(self, weights: Path) -> Any:
        folder = find_pipeline(str(weights), self.name, PARTS)
        return load(folder, self.device, resolved("auto", self.device, "float16"))


class WithStates:
    """Self-attention of one layer that also attends to the reference's states.

    Attributes:
        states: of the reference, which a pass over it leaves for the next.
    """

    def __init__(self, passes: dict[str, bool]) -> None:
        self.passes = passes
        self.attend = AttnProcessor2_0()
        self.states: torch.Tensor | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, tokens, channels) -> the same."""
        if self.passes["reference"]:
            self.states = hidden_states
            return self.attend(attn, hidden_states)
        assert self.states is not None
        there, self.states = self.states, None
        return self.attend(attn, hidden_states, torch.cat([hidden_states, there], 1))


@contextmanager
def with_states(unet: Any) -> Iterator[dict[str, bool]]:
    """Have a network's self-attentions attend to a reference; afterwards as before."""
    before = dict(unet.attn_processors)
    passes = {"reference": False}
    unet.set_attn_processor(
        {
            name: WithStates(passes) if name.endswith("attn1.processor") else each
            for name, each in before.items()
        }
    )
    try:
        yield passes
    finally:
        unet.set_attn_processor(before)


class Draws:
    """Noise: the device's own, or that of items, where it is to be compared.

    Args:
        count: pictures.
        device: where it is needed.
        dtype: of the networks.
        noises: one per picture; None: the device's.
    """

    def __init__(
        self,
        count: int,
        device: torch.device,
        dtype: torch.dtype,
        noises: Sequence[Any] | None = None,
    ) -> None:
        self.count, self.device, self.dtype, self.noises = count, device, dtype, noises

    def draw(self, what: str, step: int, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal, (B, *shape)."""
        if self.noises is None:
            return torch.randn(self.count, *shape, device=self.device, dtype=self.dtype)
        found = torch.stack([each.draw(what, step, shape) for each in self.noises])
        return found.to(self.device, self.dtype)

    def generators(self, what: str, step: int) -> Any:
        """For a scheduler that draws its own noise."""
        return None if self.noises is None else [n.generator(what, step) for n in self.noises]


@torch.inference_mode()
def canvases(
    networks: Any, pictures: Sequence[Any], asked: Any, noises: Sequence[Any] | None = None
) -> Any:
    """Canvases of six views, as the authors' pipeline computes them.

    Args:
        networks: of a checkpoint; nothing but its networks, tokenizer and scheduler is used.
        pictures: RGB.
        asked: steps, guidance above 1, and the canvas's size.
        noises: one per picture; None: drawn where the networks are.

    Returns:
        float32 (B, height, width, 3), RGB in [0, 1].
    """
    unet, vae, device, dtype = networks.unet, networks.vae, networks.device, networks.unet.dtype
    draws = Draws(len(pictures), device, dtype, noises)

    def pixels(processor: Any) -> torch.Tensor:
        found = processor(images=list(pictures), return_tensors="pt").pixel_values
        ready: torch.Tensor = found.to(device, dtype)
        return ready

    def encoded(given: torch.Tensor, what: str) -> torch.Tensor:
        posterior = vae.encode(given).latent_dist
        shape = posterior.mean.shape[1:]
        sample: torch.Tensor = posterior.mean + posterior.std * draws.draw(what, 0, shape)
        return sample

    seen = pixels(networks.for_vae)
    reference = torch.cat([encoded(torch.zeros_like(seen), "grey"), encoded(seen, "reference")])
    ids = networks.tokenizer(
        "", padding="max_length", max_length=networks.tokenizer.model_max_length,
        truncation=True, return_tensors="pt",
    ).input_ids  # fmt: skip
    text = networks.text_encoder(ids.to(device)).last_hidden_state
    embedding = networks.vision_encoder(pixels(networks.for_vision)).image_embeds
    shown = text + networks.ramp.to(text) * embedding[:, None]
    contexts = torch.cat([text.expand_as(shown), shown])
    scheduler = copy.deepcopy(networks.scheduler)
    scheduler.set_timesteps(asked.steps, device=device)
    latents = draws.draw("latents", 0, (4, asked.height // 8, asked.width // 8))
    latents = latents * scheduler.init_noise_sigma
    with with_states(unet) as passes:
        for step, time in enumerate(scheduler.timesteps):
            kinds = ("noise_on_grey", "noise_on_reference")
            noise = torch.cat([draws.draw(kind, step, reference.shape[1:]) for kind in kinds])
            noised = scheduler.add_noise(reference, noise, time.expand(len(reference)))
            passes["reference"] = True
            unet(scheduler.scale_model_input(noised, time).to(dtype), time, contexts)
            passes["reference"] = False
            given = scheduler.scale_model_input(torch.cat([latents, latents]), time).to(dtype)
            without, with_it = unet(given, time, contexts).sample.chunk(2)
            velocity = without + asked.guidance * (with_it - without)
            own = draws.generators("ancestral", step)
            latents = scheduler.step(velocity, time, latents, generator=own).prev_sample
    found = (latents / LATENT_SCALE + LATENT_SHIFT) / vae.config.scaling_factor
    images = vae.decode(found.to(dtype)).sample.float() / IMAGE_SCALE
    return (images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
