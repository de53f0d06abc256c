"""Tiny diffusion pipelines with random weights, saved in the folder layout of the real ones.

    save_stable_diffusion(folder, channels=9)   StableDiffusionInpaintPipeline; 8 channels are
                                                those of InstructPix2Pix, 4 a plain painter
    save_stable_diffusion_xl(folder)            StableDiffusionXLInpaintPipeline
    save_flux_fill(folder)                      FluxFillPipeline
    save_flux_kontext(folder)                   FluxKontextPipeline
    save_flux2_klein(folder)                    Flux2KleinPipeline
    save_qwen_image_edit(folder)                QwenImageEditPipeline, or its Plus

Each writes networks, tokenizers, scheduler and model_index.json with `save_pretrained`, and returns
the folder. Each takes `seed` and depends on nothing else, so two calls make the same bytes. The
parts are to be had one by one: `autoencoder`, `clip_text`, `clip_tokenizer`, `t5_text`,
`t5_tokenizer`, `denoiser`.

The autoencoders shrink by 8, as the real ones do; the tiny painters' own size is SIDE pixels.
Weights of fresh modules are so small that every picture is the same grey. Here they are of size
1 / sqrt(fan in), by which a picture depends on the text, the photograph, the mask and the noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIDE = 64
"""Edge in pixels of the square that the tiny painters paint."""

LATENTS = 4
"""Channels of the tiny autoencoders' latents."""

TOKENS = 77
"""Longest text of CLIP."""


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """What a network draws when it is made depends on the seed; torch's own state does not."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def randomise(network: Any, seed: int) -> Any:
    """The network in evaluation mode, its weights of size 1 / sqrt(fan in), small random biases."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(network.named_parameters()):
            noise = torch.randn(value.shape, generator=draw)
            if value.dim() > 1:
                value.copy_(noise * value[0].numel() ** -0.5)
            elif name.endswith("weight"):
                value.copy_(1 + 0.1 * noise)
            else:
                value.copy_(0.1 * noise)
    return network.eval()


def autoencoder(seed: int = 0, *, shift: float | None = None) -> Any:
    """An autoencoder that shrinks by 8, with LATENTS channels.

    Args:
        seed: of the weights.
        shift: of the latents; None for Stable Diffusion's, which have none.
    """
    import diffusers

    with _seeded(seed):
        network = diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, norm_num_groups=4,
            latent_channels=LATENTS, sample_size=SIDE, scaling_factor=0.18215,
            shift_factor=shift, mid_block_add_attention=False,
        )  # fmt: skip
    network = randomise(network, seed)
    network.encoder.conv_out.weight.data[LATENTS:] *= 0.1  # a log-variance is no latent
    network.encoder.conv_out.bias.data[LATENTS:] = -4
    network.decoder.conv_out.weight.data *= 0.3
    return network


def clip_tokenizer() -> Any:
    """CLIP's tokenizer over single letters: every text has one token per letter."""
    from transformers import CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,.:;-'!?()"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: place for place, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def clip_text(seed: int = 0, *, projection: bool = False) -> Any:
    """CLIP's text encoder, 16 wide; with its projection where that is asked for."""
    import transformers as hf

    tokenizer = clip_tokenizer()
    config = hf.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=TOKENS, projection_dim=16,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    kind = hf.CLIPTextModelWithProjection if projection else hf.CLIPTextModel
    with _seeded(seed):
        return randomise(kind(config), seed)


def t5_tokenizer() -> Any:
    """T5's tokenizer over single letters."""
    from transformers import T5TokenizerFast

    letters = "▁abcdefghijklmnopqrstuvwxyz0123456789,.:;-'!?()"
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((c, -3.0) for c in letters)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=512)


def t5_text(seed: int = 0) -> Any:
    """T5's encoder, 16 wide."""
    import transformers as hf

    config = hf.T5Config(
        vocab_size=len(t5_tokenizer()), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    with _seeded(seed):
        return randomise(hf.T5EncoderModel(config), seed)


def denoiser(channels: int = 9, seed: int = 0, *, xl: bool = False) -> Any:
    """A denoising network of Stable Diffusion for pictures of SIDE pixels.

    Args:
        channels: that it reads: the noisy latents, and what else it is shown.
        seed: of the weights.
        xl: that of Stable Diffusion XL, which is also told sizes and a pooled text.
    """
    import diffusers

    more: dict[str, Any] = {"cross_attention_dim": 16, "attention_head_dim": 4}
    if xl:
        more = {
            "cross_attention_dim": 32, "attention_head_dim": (2, 4), "use_linear_projection": True,
            "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
            "transformer_layers_per_block": (1, 1),
            "projection_class_embeddings_input_dim": 16 + 6 * 8,
        }  # fmt: skip
    with _seeded(seed):
        network = diffusers.UNet2DConditionModel(
            sample_size=SIDE // 8, in_channels=channels, out_channels=LATENTS, layers_per_block=1,
            block_out_channels=(8, 16), norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **more,
        )  # fmt: skip
    network = randomise(network, seed)
    network.conv_out.weight.data *= 0.5
    return network


def save_stable_diffusion(
    folder: Path, channels: int = 9, *, seed: int = 0, scheduler: str = "PNDMScheduler"
) -> Path:
    """A Stable Diffusion pipeline.

    Args:
        folder: to save it in.
        channels: of the denoising network: 9 for inpainting, 8 for InstructPix2Pix, 4 for neither.
        seed: of the weights.
        scheduler: diffusers' class.
    """
    import diffusers

    kinds = {9: "InpaintPipeline", 8: "InstructPix2PixPipeline", 4: "Pipeline"}
    steps = getattr(diffusers, scheduler)(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012,
        beta_schedule="scaled_linear", steps_offset=1,
        **{"PNDMScheduler": {"skip_prk_steps": True}, "DDIMScheduler": {"clip_sample": False}}.get(
            scheduler, {}
        ),
    )  # fmt: skip
    pipe = getattr(diffusers, f"StableDiffusion{kinds[channels]}")(
        vae=autoencoder(seed), text_encoder=clip_text(seed + 1), tokenizer=clip_tokenizer(),
        unet=denoiser(channels, seed + 2), scheduler=steps, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def save_stable_diffusion_xl(folder: Path, *, seed: int = 0) -> Path:
    """Stable Diffusion XL's inpainting pipeline."""
    import diffusers

    steps = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
        timestep_spacing="leading",
    )  # fmt: skip
    pipe = diffusers.StableDiffusionXLInpaintPipeline(
        vae=autoencoder(seed), text_encoder=clip_text(seed + 1),
        text_encoder_2=clip_text(seed + 2, projection=True), tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(), unet=denoiser(9, seed + 3, xl=True), scheduler=steps,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def save_flux_fill(folder: Path, *, seed: int = 0) -> Path:
    """FLUX's pipeline for filling, which takes guidance as a number and no negative prompt."""
    import diffusers

    packed = 4 * LATENTS
    with _seeded(seed):
        network = diffusers.FluxTransformer2DModel(
            in_channels=2 * packed + 4 * 64, out_channels=packed, num_layers=1,
            num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, pooled_projection_dim=16, guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        )  # fmt: skip
    pipe = diffusers.FluxFillPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15
        ),
        vae=autoencoder(seed, shift=0.1159), text_encoder=clip_text(seed + 1),
        tokenizer=clip_tokenizer(), text_encoder_2=t5_text(seed + 2), tokenizer_2=t5_tokenizer(),
        transformer=randomise(network, seed + 3),
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def _flow_steps() -> Any:
    import diffusers

    return diffusers.FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15
    )


def save_flux_kontext(folder: Path, *, seed: int = 0) -> Path:
    """FLUX.1 Kontext's pipeline, which reads the photograph as more tokens beside the noise."""
    import diffusers

    with _seeded(seed):
        network = diffusers.FluxTransformer2DModel(
            in_channels=4 * LATENTS, out_channels=4 * LATENTS, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=16,
            pooled_projection_dim=16, guidance_embeds=True, axes_dims_rope=(4, 4, 8),
        )  # fmt: skip
    network = randomise(network, seed + 3)
    vae = autoencoder(seed, shift=0.1159)
    # The text's 512 tokens, most of them empty, would drown the few of the photograph.
    vae.encoder.conv_out.weight.data[:LATENTS] *= 10
    network.context_embedder.weight.data *= 8
    for block in (*network.transformer_blocks, *network.single_transformer_blocks):
        block.attn.norm_q.weight.data *= 4
        block.attn.to_v.weight.data *= 4
    pipe = diffusers.FluxKontextPipeline(
        scheduler=_flow_steps(), vae=vae,
        text_encoder=clip_text(seed + 1), tokenizer=clip_tokenizer(),
        text_encoder_2=t5_text(seed + 2), tokenizer_2=t5_tokenizer(),
        transformer=network,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
        "<|image_pad|>", "<|video_pad|>")  # fmt: skip
"""Tokens of Qwen's that are no text."""

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""How Qwen's tokenizer writes a conversation."""


def qwen_tokenizer() -> Any:
    """Qwen's tokenizer over single bytes, with its way of writing a conversation."""
    from transformers import Qwen2TokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    words = [*bytes_to_unicode().values(), *QWEN]
    tokenizer = Qwen2TokenizerFast(
        vocab={word: place for place, word in enumerate(words)}, merges=[],
        additional_special_tokens=[*QWEN[1:]], unk_token=QWEN[0], eos_token=QWEN[0],
        pad_token=QWEN[0], model_max_length=4096,
    )  # fmt: skip
    tokenizer.chat_template = CHAT
    return tokenizer


def save_flux2_klein(folder: Path, *, seed: int = 0, distilled: bool = True) -> Path:
    """FLUX.2 klein's pipeline: its text encoder has 28 layers, three of which are read."""
    import diffusers
    import transformers as hf

    tokenizer = qwen_tokenizer()
    text = hf.Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=16, num_hidden_layers=28,
        num_attention_heads=1, num_key_value_heads=1, head_dim=8, max_position_embeddings=1024,
    )  # fmt: skip
    with _seeded(seed):
        encoder = hf.Qwen3ForCausalLM(text)
        network = diffusers.Flux2Transformer2DModel(
            in_channels=4 * LATENTS, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=24, timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
        )  # fmt: skip
        vae = diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4,
            latent_channels=LATENTS, sample_size=SIDE, mid_block_add_attention=False,
        )  # fmt: skip
    pipe = diffusers.Flux2KleinPipeline(
        scheduler=_flow_steps(), vae=randomise(vae, seed), tokenizer=tokenizer,
        text_encoder=randomise(encoder, seed + 1), transformer=randomise(network, seed + 2),
        is_distilled=distilled,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def save_qwen_image_edit(folder: Path, *, seed: int = 0, plus: bool = False) -> Path:
    """Qwen-Image-Edit's pipeline, whose text encoder sees the photograph too."""
    import diffusers
    import transformers as hf

    tokenizer = qwen_tokenizer()
    numbers = dict(zip(QWEN, tokenizer.convert_tokens_to_ids([*QWEN]), strict=True))
    config = hf.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2,
            "out_hidden_size": 16, "fullatt_block_indexes": [0], "window_size": 56,
        },
        image_token_id=numbers["<|image_pad|>"], video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"],
        vision_end_token_id=numbers["<|vision_end|>"],
    )  # fmt: skip
    with _seeded(seed):
        encoder = hf.Qwen2_5_VLForConditionalGeneration(config)
        network = diffusers.QwenImageTransformer2DModel(
            in_channels=4 * LATENTS, out_channels=LATENTS, num_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=(4, 6, 6),
        )  # fmt: skip
        vae = diffusers.AutoencoderKLQwenImage(
            base_dim=8, z_dim=LATENTS, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
            latents_mean=[0.1] * LATENTS, latents_std=[1.5] * LATENTS,
        )  # fmt: skip
    processor = hf.Qwen2VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=56 * 56),
        tokenizer=tokenizer, video_processor=hf.Qwen2VLVideoProcessor(),
    )  # fmt: skip
    kind = "QwenImageEditPlusPipeline" if plus else "QwenImageEditPipeline"
    pipe = getattr(diffusers, kind)(
        scheduler=_flow_steps(),
        vae=randomise(vae, seed),
        tokenizer=tokenizer,
        processor=processor,
        text_encoder=randomise(encoder, seed + 1),
        transformer=randomise(network, seed + 2),
    )
    pipe.save_pretrained(folder)
    return folder
