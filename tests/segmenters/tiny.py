"""Tiny detectors and segmenters with random weights, saved as the real libraries save them.

    save_detector(folder, mm=False)   GroundingDinoForObjectDetection (mm: MMGroundingDino...)
    save_sam(folder)                  SamModel
    save_sam2(folder)                 Sam2Model
    save_sam3(folder)                 Sam3Model
    save_clip(folder)                 CLIPModel: a checkpoint of the wrong kind

Each writes weights, configuration, image processor and, where there is one, tokenizer, with
`save_pretrained`, and returns the folder. Each takes `seed` and depends on nothing else, so two
calls make the same bytes. `detector(mm)`, `sam()`, `sam2()`, `sam3()` give the models as objects,
`bert_tokenizer()` the detector's tokenizer, for those who want to convert them.

Weights of fresh modules are so small that every answer is the same. Here they are of size
1 / sqrt(fan in), by which the answers depend on the text, the image and the box; and scores are
shifted so that a few of the detectors' 12 queries pass the threshold of 0.3.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORDS = ["foreground", "object", "objects", "cat", "dog", "bird", "red", "disc", "st", "bernard"]
"""Whole words of the tiny vocabularies; all others are spelt."""

WIDTH = 32
"""Of the tiny detector: GroupNorm wants a multiple of 32."""

SHORTEST, LONGEST = 96, 160
"""Edges in pixels to which the tiny detector's images are resized (800 and 1333 in earnest)."""

SAM_SIDE, SAM3_SIDE = 64, 56
"""Edges in pixels of the square that the tiny SAM and SAM 2 look at, and the tiny SAM 3."""


def bert_vocabulary() -> list[str]:
    """A vocabulary in which the special tokens have BERT's own ids, which Grounding DINO knows."""
    tokens = [f"[unused{place}]" for place in range(1100)]
    for place, token in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]",
                         1010: ",", 1012: ".", 1029: "?"}.items():  # fmt: skip
        tokens[place] = token
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens[200 : 200 + len(WORDS)] = WORDS
    tokens[300:326] = list(letters)
    tokens[400:426] = [f"##{letter}" for letter in letters]
    return tokens


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Buffers that a model draws when it is made depend on the seed; torch's own state does not."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def randomise(model: Any, seed: int) -> Any:
    """The model in evaluation mode, its weights of size 1 / sqrt(fan in), small random biases.

    Where deformable attention looks, and the frequencies of positions, stay as they were made.
    """
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            noise = torch.randn(value.shape, generator=draw)
            if name.endswith(
                ("sampling_offsets.bias", "shared_image_embedding.positional_embedding")
            ):
                continue
            if value.dim() > 1:
                value.copy_(noise * value[0].numel() ** -0.5)
            elif name.endswith("weight"):
                value.copy_(1 + 0.1 * noise)
            elif name.endswith(("vision_param", "text_param")):
                value.copy_(0.5 + 0.1 * noise)
            else:
                value.copy_(0.1 * noise)
    return model.eval()


def detector(*, mm: bool = False, seed: int = 0) -> Any:
    """The tiny detector.

    Args:
        mm: MM Grounding DINO instead of Grounding DINO.
        seed: of the weights.
    """
    import torch
    import transformers as hf

    backbone = hf.SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4],
        window_size=4, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = hf.BertConfig(
        vocab_size=len(bert_vocabulary()), hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    kind = "MMGroundingDino" if mm else "GroundingDino"
    config = getattr(hf, f"{kind}Config")(
        backbone_config=backbone, text_config=text, d_model=WIDTH, encoder_layers=2,
        decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=12, max_text_len=64,
    )  # fmt: skip
    with _seeded(seed):
        model = randomise(getattr(hf, f"{kind}ForObjectDetection")(config), seed)
    with torch.no_grad():
        for head in model.bbox_embed:
            head.layers[2].bias[2:] = 1  # boxes wide enough to be seen
        if mm:
            for score in model.class_embed:
                score.bias.fill_(-2.3)
        else:
            # Outputs of layer norms have no mean: the product of these biases shifts all scores.
            model.model.decoder.layer_norm.weight.mul_(0.3)
            model.model.decoder.layer_norm.bias.add_(0.36)
            last = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
            last.bias.sub_(0.36)
    return model


def bert_tokenizer() -> Any:
    """The tiny detector's tokenizer: lower case, WordPiece."""
    from transformers import BertTokenizerFast

    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(bert_vocabulary()), encoding="utf-8")
        return BertTokenizerFast.from_pretrained(folder)


def save_detector(folder: Path, *, mm: bool = False, seed: int = 0) -> Path:
    """Save the tiny detector, its image processor and its tokenizer."""
    from transformers import GroundingDinoImageProcessor, GroundingDinoProcessor

    detector(mm=mm, seed=seed).save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": SHORTEST, "longest_edge": LONGEST})
    GroundingDinoProcessor(images, bert_tokenizer()).save_pretrained(folder)
    return folder


def sam(*, seed: int = 0) -> Any:
    """The tiny SAM: images of 64 pixels, masks of 32."""
    import transformers as hf

    config = hf.SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": SAM_SIDE, "patch_size": 8, "window_size": 4,
            "global_attn_indexes": [1], "num_pos_feats": 16, "mlp_dim": 64,
        },
        prompt_encoder_config={
            "hidden_size": 32, "image_size": SAM_SIDE, "patch_size": 8, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
    )  # fmt: skip
    with _seeded(seed):
        return randomise(hf.SamModel(config), seed)


def save_sam(folder: Path, *, seed: int = 0) -> Path:
    """Save the tiny SAM and its image processor."""
    from transformers import SamImageProcessor, SamProcessor

    sam(seed=seed).save_pretrained(folder)
    square = {"height": SAM_SIDE, "width": SAM_SIDE}
    images = SamImageProcessor(
        size={"longest_edge": SAM_SIDE}, pad_size=square, mask_size={"longest_edge": SAM_SIDE // 2}
    )
    SamProcessor(images).save_pretrained(folder)
    return folder


def sam2(*, seed: int = 0) -> Any:
    """The tiny SAM 2: images of 64 pixels, masks of 16."""
    import transformers as hf

    config = hf.Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
                "image_size": [SAM_SIDE, SAM_SIDE], "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64], "window_size_per_stage": [4, 4, 4, 4],
                "num_attention_heads_per_stage": [1, 1, 2, 2], "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [2, 2],
            },
            "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        prompt_encoder_config={
            "hidden_size": 32, "image_size": SAM_SIDE, "patch_size": 16, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
    )  # fmt: skip
    with _seeded(seed):
        return randomise(hf.Sam2Model(config), seed)


def save_sam2(folder: Path, *, seed: int = 0) -> Path:
    """Save the tiny SAM 2 and its image processor."""
    from transformers import Sam2ImageProcessor, Sam2Processor

    sam2(seed=seed).save_pretrained(folder)
    square = {"height": SAM_SIDE, "width": SAM_SIDE}
    mask = {"height": SAM_SIDE // 4, "width": SAM_SIDE // 4}
    Sam2Processor(Sam2ImageProcessor(size=square, mask_size=mask)).save_pretrained(folder)
    return folder


def clip_vocabulary() -> dict[str, int]:
    """Letters, digits and some signs, inside and at the end of a word; no merges."""
    signs = "abcdefghijklmnopqrstuvwxyz0123456789,.?!-'"
    tokens = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    return {token: place for place, token in enumerate(tokens)}


def clip_tokenizer() -> Any:
    """The tiny SAM 3's tokenizer: lower case, every word spelt."""
    from transformers import CLIPTokenizerFast

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vocab.json").write_text(json.dumps(clip_vocabulary()), encoding="utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        return CLIPTokenizerFast.from_pretrained(folder)


def sam3(*, seed: int = 0) -> Any:
    """The tiny SAM 3: images of 56 pixels, 12 queries."""
    import torch
    import transformers as hf

    ids = clip_vocabulary()
    part = {"hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 64}
    config = hf.Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 64,
                "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SAM3_SIDE,
                "window_size": 2, "global_attn_indexes": [1], "pretrain_image_size": 28,
            },
            "fpn_hidden_size": WIDTH, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            "model_type": "clip_text_model", "vocab_size": len(ids), "hidden_size": 32,
            "intermediate_size": 64, "projection_dim": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 32, "hidden_act": "gelu",
            "bos_token_id": ids["<|startoftext|>"], "eos_token_id": ids["<|endoftext|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        geometry_encoder_config={**part, "num_layers": 1},
        detr_encoder_config={**part, "num_layers": 1},
        detr_decoder_config={**part, "num_layers": 2, "num_queries": 12},
        mask_decoder_config={"hidden_size": WIDTH, "num_attention_heads": 2},
    )  # fmt: skip
    with _seeded(seed):
        model = randomise(hf.Sam3Model(config), seed)
    with torch.no_grad():
        model.detr_decoder.presence_head.layer3.bias.fill_(3)
        # The product of these biases shifts all scores.
        model.dot_product_scoring.text_proj.bias.add_(0.2)
        model.dot_product_scoring.query_proj.bias.add_(0.2)
    return model


def save_sam3(folder: Path, *, seed: int = 0) -> Path:
    """Save the tiny SAM 3, its image processor and its tokenizer."""
    from transformers import Sam3ImageProcessor, Sam3Processor

    sam3(seed=seed).save_pretrained(folder)
    images = Sam3ImageProcessor(size={"height": SAM3_SIDE, "width": SAM3_SIDE})
    Sam3Processor(images, clip_tokenizer()).save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """Save a CLIP of transformers: weights that no detector and no segmenter can use."""
    import transformers as hf

    part = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2}  # fmt: skip
    config = hf.CLIPConfig(
        text_config={**part, "vocab_size": 100, "max_position_embeddings": 16},
        vision_config={**part, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    hf.CLIPModel(config).save_pretrained(folder)
    return folder
