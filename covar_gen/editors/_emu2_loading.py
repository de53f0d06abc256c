"""Emu2-Gen's networks, made from a checkpoint's settings and given its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covar_gen.editors._emu2_checker import Checker
from covar_gen.editors._emu2_language import Writer, check_rows
from covar_gen.editors._emu2_model import ENCODER, PAINTER, Networks
from covar_gen.editors._emu2_painting import Painter
from covar_gen.editors._emu2_placing import Placement, Staged, bare
from covar_gen.editors._emu2_tokens import load_tokens
from covar_gen.editors._emu2_tower import TowerShape, build_tower
from covar_gen.neural.diffusion import LIBRARIES
from covar_gen.neural.quiet import one_line

if TYPE_CHECKING:
    from torch import nn

    from covar_gen.editors._emu2_names import Part
    from covar_gen.editors._emu2_weights import Weights


def load(weights: Weights, placement: Placement) -> Networks:
    """The networks of a checkpoint; their weights are read when they are first needed.

    Args:
        weights: of `_emu2_layouts.find`; the safety checker is asked if they have it.
        placement: where they go.

    Raises:
        WeightsError: settings, tokenizer and weights do not belong together.
        MissingExtraError: a language model in 4 bits is wanted without bitsandbytes.
    """
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from torch.nn import Linear

    configs = weights.configs
    tokens = load_tokens(weights.tokenizer, weights.where)
    check_rows(tokens, configs["lm"]["vocab_size"], weights.where)
    shape = TowerShape.of(configs["visual"])
    with one_line(weights.model, weights.where, LIBRARIES), bare():
        language = transformers.LlamaConfig(**configs["lm"], attn_implementation="sdpa")
        model = transformers.LlamaModel(language)
        up = Linear(shape.width, language.hidden_size, bias=False)
        down = Linear(language.hidden_size, shape.width, bias=False)
        tower = build_tower(shape)
        unet = diffusers.UNet2DConditionModel.from_config(configs["unet"])
        vae = diffusers.AutoencoderKL.from_config(configs["vae"])
        checker = None
        if "safety_checker" in configs:
            settings = transformers.CLIPConfig.from_dict(configs["safety_checker"])
            checker = StableDiffusionSafetyChecker(settings)
    groups: dict[str, dict[Part, nn.Module]] = {
        ENCODER: {"visual": tower, "lm": model, "project_up": up, "project_down": down},
        PAINTER: {"unet": unet, "vae": vae},
    }
    if checker is not None:
        groups[PAINTER]["safety_checker"] = checker
    return Networks(
        tower,
        shape,
        Writer(model, up, down, tokens),
        Painter(unet, vae, configs["scheduler"]),
        None if checker is None else Checker(checker),
        Staged(weights, groups, placement),
    )
