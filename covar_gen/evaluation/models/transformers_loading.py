"""How transformers' models are found, checked and built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.base import Model, Precision
from covar_gen.evaluation.models.failures import one_line
from covar_gen.evaluation.models.tokenizing import PaddedTexts, Tokenizer, check_tokenizer_files
from covar_gen.evaluation.models.transformers_model import (
    TransformersModel,
    check_kind,
    preprocessing_of,
)
from covar_gen.evaluation.models.weights import restore_scale
from covar_gen.evaluation.preprocessing import Preprocessing

_CLASSES = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}


def from_folder(folder: Path, name: str, repo: str, device: str, precision: Precision) -> Model:
    """A folder with config.json, weights, image processor and tokenizer.

    Args:
        folder: where it is.
        name: the model's name.
        repo: of the Hub, if it was fetched from there; else empty.
        device: where its towers go.
        precision: of their arithmetic.

    Raises:
        ModelError: another class of model, weights missing or damaged, or preprocessing that
            cannot be reproduced.
        MissingExtraError: its tokenizer needs a package that is not installed.
    """
    import torch
    import transformers

    kind = _class_in(folder, name)
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    with one_line(name, "transformers"), _without_bars():
        module, report = getattr(transformers, kind).from_pretrained(
            folder, dtype=types[precision], output_loading_info=True, local_files_only=True
        )
    missing = sorted(report["missing_keys"])
    if missing:
        what = f"its weights lack {missing[0]} and {len(missing) - 1} more"
        raise ModelError(what, where=name, mend="Save the model again, or download it again")
    restore_scale(module, sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")))
    with one_line(name, "transformers"):
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    return TransformersModel(
        module.to(device).eval(),
        name=name,
        source=repo,
        preprocessing=preprocessing_of(processor, module.config.vision_config.image_size, name),
        tokenizer=_tokenizer(folder, module.config, name),
        ours=True,
    )


def from_object(
    model: Any, name: str, preprocessing: object | None, tokenizer: Tokenizer | None
) -> Model:
    """A model object of transformers, as it is.

    Args:
        model: CLIPModel or SiglipModel.
        name: what results are filed under.
        preprocessing: a `Preprocessing`, or the checkpoint's image processor.
        tokenizer: texts -> ids, or the checkpoint's tokenizer.

    Raises:
        ModelError: another class, training mode, or no preprocessing.
    """
    from transformers import PreTrainedTokenizerBase

    check_kind(type(model).__name__, name)
    if preprocessing is None:
        mend = "Pass it: wrap(model, preprocessing=processor.image_processor)"
        raise ModelError("its preprocessing is not known", where=name, mend=mend)
    if not isinstance(preprocessing, Preprocessing):
        edge = int(model.config.vision_config.image_size)
        preprocessing = preprocessing_of(preprocessing, edge, name)
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        tokenizer = padded(tokenizer, model.config, name)
    return TransformersModel(
        model, name=name, source="", preprocessing=preprocessing, tokenizer=tokenizer, ours=False
    )


def padded(tokenizer: Any, config: Any, where: str) -> PaddedTexts:
    """A tokenizer as its model was trained with it: every text padded to the full length.

    SigLIP was trained on lower-case texts. Its own tokenizer sees to that (SiglipTokenizer also
    drops punctuation); the general one, which SigLIP 2 is published with, does not.

    Args:
        tokenizer: of the checkpoint.
        config: of the model.
        where: the model, for the error message.

    Raises:
        ModelError: it pads on the left, or knows more tokens than the model.
    """
    text = config.text_config
    if len(tokenizer) > text.vocab_size:
        what = f"its tokenizer has {len(tokenizer)} tokens, its text tower {text.vocab_size}"
        raise ModelError(what, where=where, mend="Use the tokenizer that belongs to it")
    if tokenizer.padding_side != "right":
        # The towers are called without a mask, as they were trained.
        what = "its tokenizer pads on the left"
        raise ModelError(what, where=where, mend='Set "padding_side": "right" in its settings')
    own = config.model_type == "clip" or type(tokenizer).__name__ == "SiglipTokenizer"
    return PaddedTexts(tokenizer, int(text.max_position_embeddings), lower=not own)


def _tokenizer(folder: Path, config: Any, name: str) -> Tokenizer:
    import transformers

    check_tokenizer_files(folder, name)
    with one_line(name, "transformers"):
        found = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return padded(found, config, name)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the bar that transformers draws for every model: ours counts images."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    if drawn:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def _class_in(folder: Path, name: str) -> str:
    """The class that a folder's config.json asks for, if it is one of ours."""
    try:
        said = json.loads((folder / "config.json").read_bytes())["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        mend = "Save the model again, or download it again"
        raise ModelError("config.json is damaged", where=name, mend=mend) from error
    kind = _CLASSES.get(said, f"{said} (config.json)")
    check_kind(kind, name)
    return kind
