"""Emu2's language model: what it has read becomes the 64 vectors of the picture that follows.

LLaMA, which reads vectors of photographs among words. The picture is found one vector after the
other: the state of the last position is projected down to a vector of the tower's size, which is
the answer's next vector and, projected up, the next position. The authors' code runs the whole
sequence again for each of the 64; here keys and values of what was read are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from covar_gen.core.errors import WeightsError
from covar_gen.editors._emu2_tokens import QUERIES, Tokens

if TYPE_CHECKING:
    import torch
    from torch import nn


class Writer:
    """A language model that answers with pictures' vectors.

    Attributes:
        evaluated: tokens that the model was run on so far, over all sequences, without padding.

    Args:
        model: LlamaModel of transformers, whose embedding has a row for each id.
        up: from the tower's width to the model's, without bias.
        down: from the model's width to the tower's, without bias.
        tokens: gives ids.
    """

    def __init__(self, model: nn.Module, up: nn.Linear, down: nn.Linear, tokens: Tokens) -> None:
        self.model, self.up, self.down, self.tokens = model, up, down, tokens
        self.evaluated = 0
        self._empty: torch.Tensor | None = None

    def write(
        self, sequences: Sequence[Sequence[int]], pictures: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """The vectors of the picture that follows each sequence.

        Args:
            sequences: ids, of any lengths.
            pictures: for each sequence, (photographs x 64, width): the tower's vectors of its
                photographs, in their order.

        Returns:
            (B, 64, width), in the tower's width. They do not depend on the sequences beside them.
        """
        import torch
        from transformers import DynamicCache

        lengths = [len(sequence) for sequence in sequences]
        longest = max(lengths)
        device = self._embedding.weight.device
        inputs = torch.stack(
            [self._read(*each, longest) for each in zip(sequences, pictures, strict=True)]
        )
        # Shorter ones begin later: behind them all end at the same place.
        before = torch.tensor([longest - length for length in lengths], device=device)
        places = torch.arange(longest, device=device)
        positions = (places[None] - before[:, None]).clamp(min=0)
        cache = DynamicCache(config=self.model.config)
        mask = _mask(before, longest) if longest > min(lengths) else None
        state = self._run(inputs, positions, mask, cache)
        self.evaluated += sum(lengths)
        found = [self.down(state)]
        while len(found) < QUERIES:
            read = longest + len(found)
            mask = None if mask is None else _known(before, read)
            positions = (read - 1 - before)[:, None]
            state = self._run(self.up(found[-1])[:, None], positions, mask, cache)
            self.evaluated += len(sequences)
            found.append(self.down(state))
        return torch.stack(found, dim=1)

    def empty(self) -> torch.Tensor:
        """What follows nothing at all, (1, 64, width): what a picture is guided away from.

        It depends on the weights alone and is written once.
        """
        import torch

        if self._empty is None:
            none = torch.empty(0, self.up.in_features)
            self._empty = self.write([self.tokens.ids([])], [none])
        return self._empty

    def _run(
        self,
        inputs: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor | None,
        cache: Any,
    ) -> torch.Tensor:
        """The last position's state, (B, the model's width), behind the last norm."""
        answer = self.model(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        state: torch.Tensor = answer.last_hidden_state[:, -1]
        return state.to(self.down.weight.device)

    @property
    def _embedding(self) -> nn.Embedding:
        found: nn.Embedding = self.model.get_input_embeddings()  # type: ignore[operator]
        return found

    def _read(self, ids: Sequence[int], vectors: torch.Tensor, longest: int) -> torch.Tensor:
        """What the model is given for a sequence, (longest, width), zeros before it."""
        import torch

        weight = self._embedding.weight
        numbers = torch.tensor(ids, device=weight.device)
        found = self._embedding(numbers)
        slots = numbers == self.tokens.slot
        if slots.any():
            given = vectors.to(self.up.weight.device, self.up.weight.dtype)
            found = found.masked_scatter(slots[:, None], self.up(given).to(found))
        return torch.cat([found.new_zeros(longest - len(ids), found.shape[1]), found])


def _known(before: torch.Tensor, length: int) -> torch.Tensor:
    """Which of the places so far hold something, bool (B, 1, 1, length)."""
    import torch

    places = torch.arange(length, device=before.device)
    return (places[None] >= before[:, None])[:, None, None]


def _mask(before: torch.Tensor, length: int) -> torch.Tensor:
    """What each place looks at, bool (B, 1, length, length).

    Places before a sequence look at themselves, so that no row is empty, and nothing looks at them.
    """
    import torch

    places = torch.arange(length, device=before.device)
    causal = places[None, :] <= places[:, None]
    itself = places[None, :] == places[:, None]
    return (causal & _known(before, length)) | itself


def check_rows(tokens: Tokens, rows: int, where: str) -> None:
    """Refuse a tokenizer whose ids the embedding does not have.

    Args:
        tokens: the tokenizer.
        rows: of the embedding.
        where: the option that names the checkpoint.

    Raises:
        WeightsError: they do not belong together.
    """
    if tokens.rows != rows:
        what = f"the tokenizer has {tokens.rows} tokens with Emu2's, the embedding {rows} rows"
        raise WeightsError(what, where=where, mend="Name files that belong together")
