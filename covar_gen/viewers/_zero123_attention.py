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
    """What the passes of one UNet have in common.

    Attributes:
        writing: whether the pass that runs is the reference's.
    """

    def __init__(self) -> None:
        self.writing = False


@contextmanager
def reference_attention(unet: UNet2DConditionModel, backend: Any = None) -> Iterator[Memory]:
    """Give a UNet reference attention; afterwards it has its own attention again.

    Args:
        unet: whose attention.
        backend: diffusers' AttentionBackendName that computes it; None: PyTorch's own function.
    """
    before = dict(unet.attn_processors)
    memory = Memory()
    chosen: dict[str, Any] = {
        name: _WithReference(memory, backend) if name.endswith(SELF) else processor
        for name, processor in before.items()
    }
    unet.set_attn_processor(chosen)
    try:
        yield memory
    finally:
        unet.set_attn_processor(dict(before))


class ByBackend:
    """Attention by one of diffusers' backends, for layers that choose none themselves.

    Args:
        backend: diffusers' AttentionBackendName; None: PyTorch's own function.
    """

    def __init__(self, backend: Any = None) -> None:
        self.backend = backend

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,  # noqa: ARG002 - these networks have none
        temb: torch.Tensor | None = None,  # noqa: ARG002 - nor a spatial norm
    ) -> torch.Tensor:
        """(B, tokens, channels) -> the same."""
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            _heads(rows, attn.heads)
            for rows in (attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source))
        )
        key, value = self.seen(key, value)
        projection, dropout = attn.to_out
        told: torch.Tensor = dropout(projection(self._attended(query, key, value)))
        return told

    def seen(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values that are attended to, (B, heads, tokens, channels / heads)."""
        return key, value

    def _attended(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """(B, tokens, channels)."""
        from torch.nn.functional import scaled_dot_product_attention

        if self.backend is None:
            found = scaled_dot_product_attention(query, key, value)
            return found.transpose(1, 2).flatten(2)
        from diffusers.models.attention_dispatch import dispatch_attention_fn

        # diffusers has tokens before heads.
        turned = (rows.transpose(1, 2) for rows in (query, key, value))
        told: torch.Tensor = dispatch_attention_fn(*turned, backend=self.backend)
        return told.flatten(2)


class _WithReference(ByBackend):
    """Self-attention of one layer, writing or reading.

    Attributes:
        kept: keys and values that the write pass leaves for the read pass.
    """

    def __init__(self, memory: Memory, backend: Any = None) -> None:
        super().__init__(backend)
        self.memory = memory
        self.kept: tuple[torch.Tensor, torch.Tensor] | None = None

    def seen(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the reference, its own; of the image that is made, its own and the reference's."""
        import torch

        if self.memory.writing:
            self.kept = (key, value)
            return key, value
        assert self.kept is not None
        there, self.kept = self.kept, None
        return torch.cat([key, there[0]], 2), torch.cat([value, there[1]], 2)


def _heads(rows: torch.Tensor, number: int) -> torch.Tensor:
    """(B, tokens, channels) -> (B, heads, tokens, channels / heads)."""
    return rows.view(*rows.shape[:2], number, -1).transpose(1, 2)
