"""Tiny random checkpoints in the original formats, and the same weights under transformers' names.

The originals are made by the packages' own constructors. Which name stands for which array is a
fact about both libraries, read off their models.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

WORDS = ["a", "cat", "dog", "gnu", "red", "blue", "bird", "car", "foreground", "object", "objects"]
SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
MARKS = {",": 1010, ".": 1012, "?": 1029}
"""Where BERT's vocabulary has them: transformers' Grounding DINO knows these numbers by heart."""
SWIN = {"embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "window_size": 3}
SAM = {"width": 32, "depth": 2, "heads": 4, "prompt": 32, "window": 3, "edge": 64, "mlp": 64}


def bert_folder(folder: Path) -> Path:
    """A tiny BERT with its tokenizer, its special words where the published one has them."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = [f"[unused{number}]" for number in range(1100)]
    for word, number in (SPECIAL | MARKS).items():
        words[number] = word
    for number, word in enumerate(WORDS, 1040):
        words[number] = word
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer({word: number for number, word in enumerate(words)})
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def published_configuration(**other: Any) -> SimpleNamespace:
    """The package's own configuration of Swin-T, with some values changed."""
    from groundingdino.config import GroundingDINO_SwinT_OGC as config

    values = {name: value for name, value in vars(config).items() if not name.startswith("_")}
    return SimpleNamespace(**{**values, **other})


def tiny_configuration(bert: Path) -> SimpleNamespace:
    """The package's own configuration with fewer and smaller parts; its width is built in."""
    return published_configuration(
        enc_layers=2,
        dec_layers=2,
        dim_feedforward=64,
        num_queries=20,
        text_encoder_type=str(bert),
        # Saves memory in training, and warns when nothing is trained.
        use_checkpoint=False,
        use_transformer_ckpt=False,
    )


def original_grounding_dino(configuration: Any, swin: dict[str, Any] | None = None) -> Any:
    """Grounding DINO by the package's own constructor.

    Only what transformers 5 has no more is replaced, for as long as the constructor runs.
    """
    from groundingdino.models.GroundingDINO import groundingdino
    from groundingdino.models.GroundingDINO.backbone import backbone, swin_transformer
    from transformers import BertConfig, BertModel

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groundingdino, "BertModelWarper", lambda bert_model: bert_model)
        if torch.get_default_device().type == "meta":
            # Weights cannot be read there, and need not be.
            text = configuration.text_encoder_type
            fresh = BertModel(BertConfig.from_pretrained(text))
            patch.setattr(
                groundingdino.get_tokenlizer, "get_pretrained_language_model", lambda _: fresh
            )
        if swin is not None:
            build = swin_transformer.SwinTransformer
            patch.setattr(
                backbone,
                "build_swin_transformer",
                lambda _name, pretrain_img_size, **more: build(
                    pretrain_img_size, **{**more, **swin}
                ),
            )
        return groundingdino.build_groundingdino(configuration)


def tiny_grounding_dino(bert: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of a tiny Grounding DINO in which no array is zero or constant."""
    configuration = tiny_configuration(bert)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = stirred(original_grounding_dino(configuration, SWIN), seed)
    with torch.no_grad():
        # Boxes of many places and sizes.
        model.bbox_embed[0].layers[2].weight *= 4
        model.bbox_embed[0].layers[2].bias[2:] += 0.7
    return model.state_dict()


def tiny_sam(seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of a tiny SAM in which no array is zero or constant."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return stirred(_fresh_sam(), seed).state_dict()


def _fresh_sam() -> Any:
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    grid = SAM["edge"] // 16
    image = ImageEncoderViT(
        img_size=SAM["edge"],
        embed_dim=SAM["width"],
        depth=SAM["depth"],
        num_heads=SAM["heads"],
        out_chans=SAM["prompt"],
        use_rel_pos=True,
        window_size=SAM["window"],
        global_attn_indexes=(1,),
    )
    prompts = PromptEncoder(SAM["prompt"], (grid, grid), (SAM["edge"],) * 2, 16)
    transformer = TwoWayTransformer(2, SAM["prompt"], 8, SAM["mlp"])
    masks = MaskDecoder(
        transformer_dim=SAM["prompt"], transformer=transformer, iou_head_hidden_dim=24
    )
    return Sam(image, prompts, masks)


def stirred(model: Any, seed: int) -> Any:
    """The model with noise on every weight: a part that is zero would hide what is wrong."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=made))
    return model


_DINO = [
    # Swin
    (r"^backbone\.0\.patch_embed\.proj\.", "SWIN.embeddings.patch_embeddings.projection."),
    (r"^backbone\.0\.patch_embed\.norm\.", "SWIN.embeddings.norm."),
    (r"^backbone\.0\.layers\.", "SWIN.encoder.layers."),
    (r"(SWIN\..*\.)attn\.proj\.", r"\1attention.o_proj."),
    (r"(SWIN\..*\.)attn\.qkv\.", r"\1attention.{qkv}_proj."),
    (
        r"(SWIN\..*\.)attn\.relative_position_bias_table",
        r"\1attention.relative_position_bias.relative_position_bias_table",
    ),
    (r"(SWIN\..*\.)norm1\.", r"\1layernorm_before."),
    (r"(SWIN\..*\.)norm2\.", r"\1layernorm_after."),
    (r"^SWIN\.", "model.backbone.conv_encoder.model.swin."),
    (
        r"^backbone\.0\.norm(\d)\.",
        "model.backbone.conv_encoder.model.hidden_states_norms.stage{n}.",
    ),
    # text
    (r"^bert\.", "model.text_backbone."),
    (r"^feat_map\.", "model.text_projection."),
    # encoder
    (r"^transformer\.encoder\.layers\.(\d+)\.self_attn\.", r"ENC.\1.deformable_layer.self_attn."),
    (r"^transformer\.encoder\.layers\.(\d+)\.linear", r"ENC.\1.deformable_layer.fc"),
    (
        r"^transformer\.encoder\.layers\.(\d+)\.norm1\.",
        r"ENC.\1.deformable_layer.self_attn_layer_norm.",
    ),
    (
        r"^transformer\.encoder\.layers\.(\d+)\.norm2\.",
        r"ENC.\1.deformable_layer.final_layer_norm.",
    ),
    (r"^transformer\.encoder\.text_layers\.(\d+)\.", r"ENC.\1.text_enhancer_layer."),
    (r"(text_enhancer_layer\.)norm1\.", r"\1layer_norm_before."),
    (r"(text_enhancer_layer\.)norm2\.", r"\1layer_norm_after."),
    (r"(text_enhancer_layer\.)linear", r"\1fc"),
    (r"^transformer\.encoder\.fusion_layers\.(\d+)\.", r"ENC.\1.fusion_layer."),
    (r"(fusion_layer\.)gamma_v", r"\1vision_param"),
    (r"(fusion_layer\.)gamma_l", r"\1text_param"),
    (r"(fusion_layer\.layer_norm)_v\.", r"\1_vision."),
    (r"(fusion_layer\.layer_norm)_l\.", r"\1_text."),
    (r"(fusion_layer\.attn\.\w*?)v_proj\.", r"\1vision_proj."),
    (r"(fusion_layer\.attn\.\w*?)l_proj\.", r"\1text_proj."),
    (r"^ENC\.", "model.encoder.layers."),
    # decoder
    (r"^transformer\.decoder\.layers\.", "DEC."),
    (r"(DEC\.\d+\.)ca_text\.", r"\1encoder_attn_text."),
    (r"(DEC\.\d+\.)catext_norm\.", r"\1encoder_attn_text_layer_norm."),
    (r"(DEC\.\d+\.)cross_attn\.", r"\1encoder_attn."),
    (r"(DEC\.\d+\.)norm1\.", r"\1encoder_attn_layer_norm."),
    (r"(DEC\.\d+\.)norm2\.", r"\1self_attn_layer_norm."),
    (r"(DEC\.\d+\.)norm3\.", r"\1final_layer_norm."),
    (r"(DEC\.\d+\.)linear", r"\1fc"),
    (r"^DEC\.", "model.decoder.layers."),
    (r"\.in_proj_(weight|bias)$", r".{query,key,value}.\1"),
    (r"^transformer\.decoder\.norm\.", "model.decoder.layer_norm."),
    (r"^transformer\.decoder\.ref_point_head\.", "model.decoder.reference_points_head."),
    (r"^transformer\.decoder\.bbox_embed\.", "model.decoder.bbox_embed."),
    # queries
    (r"^transformer\.level_embed", "model.level_embed"),
    (r"^transformer\.tgt_embed\.", "model.query_position_embeddings."),
    (r"^transformer\.enc_output", "model.enc_output"),
    (r"^transformer\.enc_out_bbox_embed\.", "model.encoder_output_bbox_embed."),
    (r"^input_proj\.", "model.input_proj_vision."),
]


def dino_for_transformers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An original Grounding DINO's weights under the names of GroundingDinoForObjectDetection."""
    found: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        if "relative_position_index" in name or name.startswith("bert.pooler."):
            continue
        now = renamed(name, _DINO)
        if "{n}" in now:
            # Stages count from 1 there.
            now = now.format(n=int(re.findall(r"norm(\d)", name)[0]) + 1)
        if "{qkv}" in now:
            parts = ["q", "k", "v"]
            found |= {
                now.replace("{qkv}", p): v for p, v in zip(parts, value.chunk(3), strict=True)
            }
        elif "{query,key,value}" in now:
            parts = ["query", "key", "value"]
            old = "{query,key,value}"
            found |= {now.replace(old, p): v for p, v in zip(parts, value.chunk(3), strict=True)}
        else:
            found[now] = value
    return found


_SAM = [
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^(vision_encoder\.layers\.\d+\.)norm", r"\1layer_norm"),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix", ".shared_embedding.positional_embedding"),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"^(mask_decoder\.transformer\.layers\.\d+\.)norm", r"\1layer_norm"),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
]


def sam_for_transformers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An original SAM's weights under the names of SamModel."""
    found = {renamed(name, _SAM): value for name, value in weights.items()}
    shared = found["prompt_encoder.shared_embedding.positional_embedding"]
    return {**found, "shared_image_embedding.positional_embedding": shared}


def renamed(name: str, table: list[tuple[str, str]]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def transformers_dino(bert: Path, weights: dict[str, torch.Tensor]) -> Any:
    """GroundingDinoForObjectDetection of the tiny size with these weights."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            embed_dim=SWIN["embed_dim"],
            depths=SWIN["depths"],
            num_heads=SWIN["num_heads"],
            window_size=SWIN["window_size"],
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig.from_pretrained(bert),
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=20,
    )
    model = GroundingDinoForObjectDetection(config)
    report = model.load_state_dict(dino_for_transformers(weights), strict=False)
    # Swin's last layer norm is used by neither.
    left = [name for name in report.missing_keys if ".swin.layernorm." not in name]
    assert not left, left
    assert not report.unexpected_keys, report.unexpected_keys
    return model.eval()


def transformers_sam(weights: dict[str, torch.Tensor]) -> Any:
    """SamModel of the tiny size with these weights."""
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": SAM["width"],
            "output_channels": SAM["prompt"],
            "num_hidden_layers": SAM["depth"],
            "num_attention_heads": SAM["heads"],
            "image_size": SAM["edge"],
            "window_size": SAM["window"],
            "global_attn_indexes": [1],
            "num_pos_feats": SAM["prompt"] // 2,
            "mlp_dim": SAM["width"] * 4,
            "layer_norm_eps": 1e-6,
        },
        prompt_encoder_config={
            "hidden_size": SAM["prompt"],
            "image_size": SAM["edge"],
            "mask_input_channels": 16,
        },
        mask_decoder_config={
            "hidden_size": SAM["prompt"],
            "mlp_dim": SAM["mlp"],
            "num_attention_heads": 8,
            "iou_head_hidden_dim": 24,
        },
    )
    model = SamModel(config)
    model.load_state_dict(sam_for_transformers(weights), strict=True)
    return model.eval()
