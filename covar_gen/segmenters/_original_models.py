"""The original Grounding DINO and SAM, put together from their packages for today's transformers.

Both are built to the sizes of the checkpoint's arrays, so no configuration has to be named and a
checkpoint of another model is noticed at once. What sizes do not show (numbers of heads, the
position embedding's temperature) stands in the packages' published configurations.

groundingdino-py 0.4.0 takes its text encoder apart with methods that BertModel had before
transformers 5. Its constructor is therefore not called: the same parts are put together here under
the same names around a plain BertModel. Everything that computes is the packages' own code.

groundingdino-py 0.4.0 has no compiled extension (`_C`): on the CPU and on GPUs alike, multi-scale
deformable attention is the package's `multi_scale_deformable_attn_pytorch`, built on
`torch.nn.functional.grid_sample`.
"""

from __future__ import annotations

import warnings
from functools import partial
from math import isqrt
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import WeightsError, first_line
from covar_gen.segmenters._original_weights import Weights, other_kind

if TYPE_CHECKING:
    import torch

SAM_HEADS = 8
"""Heads of SAM's mask decoder in all published sizes; not to be seen in its arrays."""


def quieten() -> None:
    """Let the packages' calls of deprecated functions pass without a warning; the filters stay."""
    for message in (
        "Importing from timm.models.layers is deprecated",
        "torch.meshgrid: in an upcoming release",
        r"`torch.cuda.amp.autocast\(args...\)` is deprecated",
    ):
        warnings.filterwarnings("ignore", message=message)


def grounding_dino(weights: Weights, tokenizer: Any, text_config: Any, where: str) -> Any:
    """Grounding DINO with a checkpoint's weights, ready to detect.

    Args:
        weights: of a checkpoint in the original format.
        tokenizer: of the text encoder.
        text_config: BertConfig of the text encoder; its weights are in the checkpoint.
        where: the option that names the checkpoint.

    Returns:
        A groundingdino.models.GroundingDINO.groundingdino.GroundingDINO in evaluation mode.

    Raises:
        WeightsError: the weights are another model's.
    """
    detector = _detector(_detector_sizes(weights, where), tokenizer, text_config)
    # What is in the published files and in no model: the original loads it leniently, too.
    missing = _loaded(detector, weights, where)
    if missing:
        raise other_kind(where, f"of Grounding DINO lacks {missing[0]}")
    return detector.eval()


def sam(weights: Weights, where: str) -> Any:
    """SAM with a checkpoint's weights, ready to segment.

    Args:
        weights: of a checkpoint in the original format, of any size.
        where: the option that names the checkpoint.

    Returns:
        A segment_anything.modeling.Sam in evaluation mode.

    Raises:
        WeightsError: the weights are another model's.
    """
    model = _segmenter(_sam_sizes(weights, where))
    missing = _loaded(model, weights, where)
    if missing:
        raise other_kind(where, f"of SAM lacks {missing[0]}")
    return model.eval()


def _loaded(model: torch.nn.Module, weights: Weights, where: str) -> list[str]:
    try:
        return list(model.load_state_dict(dict(weights), strict=False).missing_keys)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:200]
        raise other_kind(where, f"does not fit together: {said}") from error


def _detector_sizes(weights: Weights, where: str) -> SimpleNamespace:
    """The published configuration with the sizes of a checkpoint's arrays."""
    from groundingdino.config import GroundingDINO_SwinT_OGC as published

    values = {name: value for name, value in vars(published).items() if not name.startswith("_")}
    args = SimpleNamespace(**values)
    # These save memory in training.
    args.use_checkpoint = args.use_transformer_ckpt = False
    swin, encoder = "backbone.0", "transformer.encoder.layers"
    try:
        args.num_feature_levels, args.hidden_dim = weights["transformer.level_embed"].shape
        args.num_queries = len(weights["transformer.tgt_embed.weight"])
        args.enc_layers = _count(weights, f"{encoder}.")
        args.dec_layers = _count(weights, "transformer.decoder.layers.")
        args.dim_feedforward = len(weights[f"{encoder}.0.linear1.weight"])
        offsets = args.nheads * args.num_feature_levels * 2
        name = "sampling_offsets.bias"
        args.enc_n_points = len(weights[f"{encoder}.0.self_attn.{name}"]) // offsets
        args.dec_n_points = (
            len(weights[f"transformer.decoder.layers.0.cross_attn.{name}"]) // offsets
        )
        stages = range(_count(weights, f"{swin}.layers."))
        blocks = [f"{swin}.layers.{stage}.blocks." for stage in stages]
        tables = [weights[f"{block}0.attn.relative_position_bias_table"] for block in blocks]
        args.swin = {
            "embed_dim": len(weights[f"{swin}.patch_embed.proj.weight"]),
            "depths": [_count(weights, block) for block in blocks],
            "num_heads": [table.shape[1] for table in tables],
            # A window of n x n has (2n - 1)^2 relative positions.
            "window_size": (isqrt(len(tables[0])) + 1) // 2,
            "out_indices": tuple(i for i in stages if f"{swin}.norm{i}.weight" in weights),
        }
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise other_kind(where, f"is not one of Grounding DINO: no {error}") from error
    return args


def _detector(args: SimpleNamespace, tokenizer: Any, text_config: Any) -> Any:
    """Grounding DINO of those sizes, under the names that its checkpoints use."""
    from groundingdino.models.GroundingDINO.backbone.backbone import Joiner
    from groundingdino.models.GroundingDINO.backbone.position_encoding import (
        build_position_encoding,
    )
    from groundingdino.models.GroundingDINO.backbone.swin_transformer import SwinTransformer
    from groundingdino.models.GroundingDINO.groundingdino import (
        MLP,
        ContrastiveEmbed,
        GroundingDINO,
    )
    from groundingdino.models.GroundingDINO.transformer import build_transformer
    from torch import nn
    from transformers import BertModel

    width, layers = args.hidden_dim, args.dec_layers
    model = GroundingDINO.__new__(GroundingDINO)
    nn.Module.__init__(model)
    model.num_feature_levels, model.max_text_len = args.num_feature_levels, args.max_text_len
    model.sub_sentence_present = args.sub_sentence_present
    model.tokenizer = tokenizer
    # The package's own spelling.
    model.specical_tokens = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"])
    model.bert = BertModel(text_config)
    model.bert.register_forward_pre_hook(_for_all_heads, with_kwargs=True)
    model.feat_map = nn.Linear(text_config.hidden_size, width)
    model.backbone = Joiner(SwinTransformer(**args.swin), build_position_encoding(args))
    model.transformer = build_transformer(args)
    model.input_proj = nn.ModuleList(_projections(args))
    # One head for boxes and one for words, shared by all layers of the decoder.
    boxes, words = MLP(width, width, 4, 3), ContrastiveEmbed(args.max_text_len)
    model.bbox_embed = nn.ModuleList([boxes] * layers)
    model.class_embed = nn.ModuleList([words] * layers)
    model.transformer.decoder.bbox_embed = model.bbox_embed
    model.transformer.decoder.class_embed = model.class_embed
    # The encoder's proposals have heads of their own.
    model.transformer.enc_out_bbox_embed = MLP(width, width, 4, 3)
    model.transformer.enc_out_class_embed = ContrastiveEmbed(args.max_text_len)
    return model


def _projections(args: SimpleNamespace) -> list[Any]:
    """What brings every level of the image's features to the transformer's width."""
    from torch import nn

    sizes = [args.swin["embed_dim"] * 2**stage for stage in args.swin["out_indices"]]
    width, parts = args.hidden_dim, []
    for level in range(args.num_feature_levels):
        if level < len(sizes):
            convolution = nn.Conv2d(sizes[level], width, 1)
        else:
            # Further levels are halved from the last one.
            before = sizes[-1] if level == len(sizes) else width
            convolution = nn.Conv2d(before, width, 3, stride=2, padding=1)
        parts.append(nn.Sequential(convolution, nn.GroupNorm(32, width)))
    return parts


def _for_all_heads(
    _module: Any, given: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The package's attention mask (batch, words, words) as BertModel takes it: for every head."""
    return given, {**named, "attention_mask": named["attention_mask"][:, None]}


def _sam_sizes(weights: Weights, where: str) -> SimpleNamespace:
    """The sizes of SAM's parts, read off a checkpoint's arrays."""
    image, masks = "image_encoder", "mask_decoder"
    try:
        _, grid, _, width = weights[f"{image}.pos_embed"].shape
        depth = _count(weights, f"{image}.blocks.")
        tables = [weights[f"{image}.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
        # n x n places have 2n - 1 relative positions along each side.
        reaches = [(len(table) + 1) // 2 for table in tables]
        layer = f"{masks}.transformer.layers.0"
        sizes = SimpleNamespace(
            grid=grid,
            patch=weights[f"{image}.patch_embed.proj.weight"].shape[-1],
            width=width,
            depth=depth,
            heads=width // tables[0].shape[1],
            mlp_ratio=len(weights[f"{image}.blocks.0.mlp.lin1.weight"]) / width,
            window=min(reaches),
            everywhere=tuple(i for i, reach in enumerate(reaches) if reach == grid),
            prompt=len(weights[f"{image}.neck.0.weight"]),
            mask_in=len(weights["prompt_encoder.mask_downscaling.3.weight"]),
            outputs=len(weights[f"{masks}.mask_tokens.weight"]) - 1,
            layers=_count(weights, f"{masks}.transformer.layers."),
            mlp=len(weights[f"{layer}.mlp.lin1.weight"]),
            inner=len(weights[f"{layer}.cross_attn_token_to_image.q_proj.weight"]),
            iou_depth=_count(weights, f"{masks}.iou_prediction_head.layers."),
            iou_width=len(weights[f"{masks}.iou_prediction_head.layers.0.weight"]),
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise other_kind(where, f"is not one of SAM: no {error}") from error
    return sizes


def _segmenter(sizes: SimpleNamespace) -> Any:
    """SAM of those sizes."""
    import torch
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    edge = sizes.grid * sizes.patch
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=edge,
            patch_size=sizes.patch,
            embed_dim=sizes.width,
            depth=sizes.depth,
            num_heads=sizes.heads,
            mlp_ratio=sizes.mlp_ratio,
            out_chans=sizes.prompt,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=sizes.window,
            global_attn_indexes=sizes.everywhere,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=sizes.prompt,
            image_embedding_size=(sizes.grid, sizes.grid),
            input_image_size=(edge, edge),
            mask_in_chans=sizes.mask_in,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=sizes.prompt,
            transformer=TwoWayTransformer(
                depth=sizes.layers,
                embedding_dim=sizes.prompt,
                num_heads=SAM_HEADS,
                mlp_dim=sizes.mlp,
                attention_downsample_rate=sizes.prompt // sizes.inner,
            ),
            num_multimask_outputs=sizes.outputs,
            iou_head_depth=sizes.iou_depth,
            iou_head_hidden_dim=sizes.iou_width,
        ),
    )


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered parts there are whose names start so."""
    start = len(prefix)
    numbers = {name[start:].partition(".")[0] for name in weights if name.startswith(prefix)}
    if not numbers:
        raise KeyError(prefix)
    return len(numbers)


def text_parts(folder: Any, where: str) -> tuple[Any, Any]:
    """Tokenizer and BertConfig in a folder; the weights that may be there are not read.

    Raises:
        WeightsError: there are none, or they are another model's.
    """
    from transformers import AutoTokenizer, BertConfig

    try:
        config = BertConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = "Name a folder with the config.json and the tokenizer of a BERT"
        what = f"no text encoder in {folder}: {first_line(error)}"
        raise WeightsError(what, where=where, mend=mend) from error
    unknown = tokenizer.unk_token_id
    if unknown in tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"]):
        what = f"the tokenizer in {folder} does not know [CLS], [SEP], full stop and question mark"
        raise WeightsError(what, where=where, mend="Name the folder of a BERT")
    return tokenizer, config
