"""Matrices in 4 bits, by bitsandbytes, for a language model that would not fit otherwise.

NF4 with quantised scales (Dettmers et al., QLoRA, 2023): a number takes 4.13 bits. Only matrices
of Linear layers are packed; embeddings and norms stay as they are.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import MissingExtraError

if TYPE_CHECKING:
    import torch
    from torch import nn

BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a packed number: a byte for every 64 of them, and four for every 256 of those."""


def is_packed(layer: Any) -> bool:
    """True for a layer that keeps its matrix in 4 bits."""
    return type(layer).__name__ == "Linear4bit"


def check_int4() -> None:
    """See that a language model in 4 bits can be had.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        what = (
            "a language model in 4 bits (language = 'int4') needs bitsandbytes, not installed here"
        )
        raise MissingExtraError(what, mend="Type: pip install 'covar-gen[int4]'")


def pack_linears(module: nn.Module, dtype: torch.dtype) -> None:
    """Have an empty network's Linear layers keep their matrices in 4 bits, still empty."""
    import torch

    check_int4()
    from bitsandbytes.nn import Linear4bit

    for name, layer in list(module.named_modules()):
        if type(layer) is torch.nn.Linear:
            owner, _, last = name.rpartition(".")
            packed = Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=layer.bias is not None,
                compute_dtype=dtype,
                quant_type="nf4",
                device="meta",
            )
            # On processors that have it, another arithmetic, which not all shapes fit.
            packed.support_avx512bf16_for_cpu = False
            setattr(module.get_submodule(owner), last, packed)


def packed(matrix: torch.Tensor, device: torch.device) -> torch.nn.Parameter:
    """A matrix in 4 bits.

    Args:
        matrix: float, in the type that is computed with.
        device: that packs it and keeps it.
    """
    from bitsandbytes.nn import Params4bit

    given = Params4bit(matrix, requires_grad=False, quant_type="nf4", compress_statistics=True)
    found: torch.nn.Parameter = given.to(device)
    return found
