"""From embeddings to what is stored of a prediction: the best classes, the true one, the rest.

A logit is scale x cosine + bias in float32, as open_clip's zero-shot classification has it. Ties
are real (two pairs of ImageNet's names are equal), so the lower index always stands first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from covar_gen.core.rows import OK, REJECTED
from covar_gen.evaluation.rows import PREDICTIONS, TOP

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Scores:
    """Scores of B images, on the tower's device.

    Attributes:
        top_ids: int64 (B, k), best first.
        top_logits: float32 (B, k).
        true_logit: float32 (B,).
        true_rank: int64 (B,), 1 = best.
        logsumexp: float32 (B,).
    """

    top_ids: torch.Tensor
    top_logits: torch.Tensor
    true_logit: torch.Tensor
    true_rank: torch.Tensor
    logsumexp: torch.Tensor


def logits(embeddings: torch.Tensor, rows: torch.Tensor, scale: float, bias: float) -> torch.Tensor:
    """Logits of images against classes.

    Args:
        embeddings: float32 (B, D), unit norm.
        rows: float32 (C, D), unit norm.
        scale: what a cosine is multiplied with.
        bias: what is added.

    Returns:
        float32 (B, C).
    """
    return scale * (embeddings @ rows.T) + bias


def scores(found: torch.Tensor, labels: torch.Tensor, top: int = TOP) -> Scores:
    """What is kept of logits.

    Args:
        found: float32 (B, C), logits.
        labels: int64 (B,), true classes.
        top: how many classes to keep; no more than there are.
    """
    import torch

    order = torch.argsort(found, dim=1, descending=True, stable=True)[:, :top]
    true = found.gather(1, labels[:, None])
    lower = torch.arange(found.shape[1], device=found.device)[None] < labels[:, None]
    before = (found > true) | ((found == true) & lower)
    return Scores(
        order,
        found.gather(1, order),
        true[:, 0],
        1 + before.sum(dim=1),
        torch.logsumexp(found, dim=1),
    )


def part(
    keys: pa.Array,
    labels: pa.Array,
    reasons: list[str | None],
    columns: dict[str, Any],
) -> pa.Table:
    """Rows of a block of images.

    Args:
        keys: of N images.
        labels: int32, their true classes.
        reasons: why an image was rejected, None where it was not.
        columns: name -> N values (or N rows of values) of the columns of PREDICTIONS; those of
            rejected images are replaced by null.
    """
    rejected = [reason is not None for reason in reasons]
    found: dict[str, pa.Array] = {
        "key": keys,
        "label": labels,
        "status": pa.array([REJECTED if bad else OK for bad in rejected]),
        "reason": pa.array(reasons, pa.string()),
        "content": pa.array(columns["content"], pa.int64()),
        "batch": pa.array(columns["batch"], pa.int32()),
    }
    absent = pa.array(rejected)
    for name in ("true_logit", "true_rank", "logsumexp"):
        found[name] = _without(pa.array(columns[name], PREDICTIONS.field(name).type), rejected)
    for name in ("top_ids", "top_logits", "embedding"):
        kind = PREDICTIONS.field(name).type
        values = columns.get(name)
        if values is None:
            found[name] = pa.nulls(len(reasons), kind)
            continue
        flat = pa.array(values.reshape(-1), kind.value_type)
        width = values.shape[1]
        offsets = pa.array(range(0, width * len(reasons) + 1, width), pa.int32())
        lists = pa.ListArray.from_arrays(offsets, flat, type=kind)
        found[name] = pc.if_else(absent, pa.scalar(None, kind), lists)
    return pa.table({name: found[name] for name in PREDICTIONS.names}, schema=PREDICTIONS)


def _without(values: pa.Array, rejected: list[bool]) -> pa.Array:
    return pc.if_else(pa.array(rejected), pa.scalar(None, values.type), values)
