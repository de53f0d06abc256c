"""How models of transformers, and what prepares images for them, are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covar_gen.core.checkpoints import Checkpoint
from covar_gen.core.errors import WeightsError
from covar_gen.neural.quiet import one_line
from covar_gen.neural.whole import check_files

if TYPE_CHECKING:
    import torch


def load_model(checkpoint: Checkpoint, model: str, device: torch.device) -> Any:
    """A model of transformers with all its weights, in evaluation mode.

    Args:
        checkpoint: of a kind that the class can hold.
        model: name of the class.
        device: where it goes.

    Raises:
        WeightsError: the class is not in this version of transformers, or the files are damaged
            or do not belong together.
    """
    import torch
    import transformers

    kind = getattr(transformers, model, None)
    if kind is None:
        what = f"transformers {transformers.__version__} has no {model}"
        mend = "Type: pip install -U transformers"
        raise WeightsError(what, where=checkpoint.where, mend=mend)
    check_files(checkpoint.files, checkpoint.where)
    with one_line(checkpoint.model, checkpoint.where):
        module, report = kind.from_pretrained(
            checkpoint.folder,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            use_safetensors=True,
        )
    parameters = {name for name, _ in module.named_parameters()}
    missing = sorted(parameters.intersection(report["missing_keys"]))
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = f"the weights of {checkpoint.model} lack {missing[0]}{others}"
        raise WeightsError(
            what, where=checkpoint.where, mend="Fetch them again, or save them again"
        )
    return module.to(device).eval()


def load_images(checkpoint: Checkpoint) -> Any:
    """The image processor of a checkpoint.

    Raises:
        WeightsError: its settings cannot be used.
    """
    import transformers

    with one_line(checkpoint.model, checkpoint.where):
        return transformers.AutoImageProcessor.from_pretrained(
            checkpoint.folder, local_files_only=True
        )
