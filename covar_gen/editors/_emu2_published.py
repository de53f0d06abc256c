"""The shape of the published Emu2-Gen, for its native file, which holds weights and nothing else.

Numbers of the configuration files in github.com/baaivision/Emu (Emu2/emu/conf), less those that
diffusers and transformers take anyway.
"""

from __future__ import annotations

from typing import Any

REPO = "BAAI/Emu2-Gen"
"""On the Hugging Face Hub."""

VISUAL: dict[str, Any] = {
    "image_size": 448, "patch_size": 14, "width": 1792, "layers": 64, "head_width": 112,
    "mlp_ratio": 8.571428571428571, "qkv_bias": True, "postnorm": True, "n_query": 64,
}  # fmt: skip
"""Of the EVA tower. A head is 112 wide, its block's middle 15360."""

LANGUAGE: dict[str, Any] = {
    "vocab_size": 32272, "hidden_size": 6656, "intermediate_size": 17920,
    "num_hidden_layers": 60, "num_attention_heads": 52, "hidden_act": "silu",
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
"""Of the language model: LLaMA-33B with 272 more tokens."""

UNET: dict[str, Any] = {
    "sample_size": 128, "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2, "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20], "cross_attention_dim": 1792, "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 3328,
}  # fmt: skip
"""Of diffusers' UNet2DConditionModel. What it calls the width of a head is their number."""

VAE: dict[str, Any] = {
    "sample_size": 1024, "in_channels": 3, "out_channels": 3, "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "scaling_factor": 0.13025, "force_upcast": True,
}  # fmt: skip
"""Of diffusers' AutoencoderKL: that of Stable Diffusion XL."""

SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "beta_end": 0.012, "prediction_type": "epsilon", "timestep_spacing": "leading",
    "steps_offset": 1, "interpolation_type": "linear", "use_karras_sigmas": False,
}  # fmt: skip
"""Of diffusers' EulerDiscreteScheduler."""

SAFETY_CHECKER: dict[str, Any] = {
    "projection_dim": 768,
    "vision_config": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "patch_size": 14, "image_size": 224, "hidden_act": "quick_gelu",
        "projection_dim": 512,
    },
}  # fmt: skip
"""Of Stable Diffusion's safety checker: a CLIP of size L/14."""

PARAMETERS = {
    "visual": 4_350_208_256, "lm": 32_317_762_048, "project_up": 11_927_552,
    "project_down": 11_927_552, "unet": 2_525_520_644, "vae": 83_653_863,
    "safety_checker": 303_981_588,
}  # fmt: skip
"""Numbers by part, as networks of these shapes have them; the head for words is not counted."""
