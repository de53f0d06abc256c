"""Reference attention: a UNet's self-attention looks at the tokens of a second image too.

Each step runs the UNet twice with the same weights: first on the noised reference ("write"), which
leaves the keys and values of every self-attention here, then on the image being made ("read"),
whose queries attend to its own tokens and to those. Source: Zero123++ (Shi et al., 2023), section
on local conditioning.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import Attention

SELF = "attn1.processor"
"""How the names of a UNet's self-attentions end."""


class Memory:
    """Keys and values that the write pass leaves for the read pass.

    Attributes:
        writing: whether the pass that runs is the reference's.
        kept: per layer, keys and values (B, heads, tokens, channels / heads).
    """

    def __init__(self) -> None:
        self.writing = False
        self.kept: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}


@contextmanager
def reference_attention(unet: UNet2DConditionModel) -> Iterator[Memory]:
    """Give a UNet reference attention; afterwards it has its own attention again."""
    before = dict(unet.attn_processors)
    memory = Memory()
    chosen: dict[str, Any] = {
        name: _WithReference(memory, name) if name.endswith(SELF) else processor
        for name, processor in before.items()
    }
    unet.set_attn_processor(chosen)
    try:
        yield memory
    finally:
        unet.set_attn_processor(dict(before))


class _WithReference:
    """Self-attention of one layer, writing or reading."""

    def __init__(self, memory: Memory, name: str) -> None:
        self.memory = memory
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,  # noqa: ARG002 - none in self-attention
        attention_mask: torch.Tensor | None = None,  # noqa: ARG002 - nor masks
        temb: torch.Tensor | None = None,  # noqa: ARG002 - nor a spatial norm
    ) -> torch.Tensor:
        """(B, tokens, channels) -> the same."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        def heads(rows: torch.Tensor) -> torch.Tensor:
            return rows.view(*rows.shape[:2], attn.heads, -1).transpose(1, 2)

        query = heads(attn.to_q(hidden_states))
        key, value = heads(attn.to_k(hidden_states)), heads(attn.to_v(hidden_states))
        if self.memory.writing:
            self.memory.kept[self.name] = (key, value)
        else:
            there = self.memory.kept.pop(self.name)
            key, value = torch.cat([key, there[0]], 2), torch.cat([value, there[1]], 2)
        found = scaled_dot_product_attention(query, key, value)
        projection, dropout = attn.to_out
        told: torch.Tensor = dropout(projection(found.transpose(1, 2).flatten(2)))
        return told
