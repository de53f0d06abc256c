"""Forward passes without some of the tokens: the packed arithmetic of cluster masking.

A key that is masked in every block and head is a token that is not there (each token's own stream
is never read by another one but through its key and value). So masked tokens are left out, and what
remains of many images and clusters is one long list of tokens: everything but attention works on
the list, attention on its sequences. The read-out asks for one row only, the class token's or the
pool's, for which neither keys nor values of the last attention need to be made (`Attention.asked`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from covar_gen.evaluation.attribution._towers import Block, Tower

    Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

ROWS = 1024
"""Tokens that go through a perceptron together on a CPU. Its inner layer is four times as wide as
the tokens: in larger pieces it leaves the caches, and every allocation is new pages. 256 to 1024
rows took 5 % less time for the whole pass than all rows, fewer cost the matrix products more."""


@dataclass(frozen=True)
class Plain:
    """The pass in which nothing is masked.

    Attributes:
        first: (B, L, D), what the first block gets; L = prefix + N.
        projected: queries, keys and values of the first block, (B L, H, D / H) each.
        taken: (B, N, D), the patch tokens that were asked for.
        before: (B, L, D), what the read-out's attention normalises: the input of the last block
            with a class token, the output of the last block with an attention pool.
        features: float32 (B, dim), unit norm.
    """

    first: torch.Tensor
    projected: Three
    taken: torch.Tensor
    before: torch.Tensor
    features: torch.Tensor


def plain_pass(tower: Tower, pixels: torch.Tensor, tokens: str | int) -> Plain:
    """Run a tower with all of its tokens.

    Args:
        tower: by its parts.
        pixels: (B, 3, H, W), of the tower's device and type.
        tokens: which patch tokens are asked for: input, last, normed, projected, or the output of
            a block by its number from 1.

    Returns:
        The pass.
    """
    first = tower.embed(pixels)
    batch, length, _ = first.shape
    lengths = [length] * batch
    x = first.flatten(0, 1)
    projected = tower.blocks[0].attention.project(tower.blocks[0].norm_1(x))
    layer = {"input": 0}.get(str(tokens), len(tower.blocks))
    layer = tokens if isinstance(tokens, int) else layer
    taken, before = x, x
    for number, block in enumerate(tower.blocks, 1):
        before = x
        x = run_block(block, x, lengths, projected if number == 1 else None)
        if number == layer:
            taken = x
    found = tower.norm(taken) if tokens in {"normed", "projected"} else taken
    if tokens == "projected" and tower.project is not None:
        found = tower.project(found)
    patches = found.view(batch, length, -1)[:, tower.prefix :]
    if tower.pool is None:
        features = unit(tower.finish(tower.norm(x.view(first.shape)[:, 0])))
        return Plain(first, projected, patches, before.view(first.shape), features)
    before = x.view(first.shape)
    return Plain(first, projected, patches, before, read_out(tower, before, None)[:, 0])


def removed_passes(
    tower: Tower, plain: Plain, labels: torch.Tensor, clusters: int, packed: int
) -> torch.Tensor:
    """Features of every image without the tokens of each of its clusters.

    Args:
        tower: by its parts.
        plain: the pass with all tokens.
        labels: int64 (B, N), cluster of each patch.
        clusters: K.
        packed: tokens that go through the tower together.

    Returns:
        float32 (B, K, dim), unit norm; of the whole image where the cluster is empty; zero where
        no token is left.
    """
    keep = kept(labels, clusters, tower.prefix)
    lengths = keep.sum(2)
    whole = lengths == keep.shape[2]
    runs = (lengths > 0) & ~whole
    features = plain.features[:, None].repeat(1, clusters, 1)
    features[lengths == 0] = 0
    places = runs.nonzero()
    found = []
    flat = plain.first.flatten(0, 1)
    for part in _parts(lengths[runs].tolist(), packed):
        chosen = keep[places[part, 0], places[part, 1]]
        image, token = chosen.nonzero(as_tuple=True)
        rows = places[part, 0][image] * keep.shape[2] + token
        x, projected = flat[rows], tuple(each[rows] for each in plain.projected)
        found.append(_removed(tower, x, projected, chosen.sum(1).tolist()))  # type: ignore[arg-type]
    if found:
        import torch

        features[runs] = torch.cat(found)
    return features


def read_passes(tower: Tower, plain: Plain, labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """Features of every image with the keys of each of its clusters masked in the read-out alone.

    The read-out is the last block's attention with a class token, the pool's without.

    Args:
        tower: by its parts.
        plain: the pass with all tokens.
        labels: int64 (B, N), cluster of each patch.
        clusters: K.

    Returns:
        float32 (B, K, dim), as of `removed_passes`.
    """
    keep = kept(labels, clusters, tower.prefix)
    features = read_out(tower, plain.before, keep)
    features[~keep.any(2)] = 0
    return features


def kept(labels: torch.Tensor, clusters: int, prefix: int) -> torch.Tensor:
    """Which tokens are left without each cluster: bool (B, K, prefix + N)."""
    import torch

    numbers = torch.arange(clusters, device=labels.device)[:, None]
    return torch.nn.functional.pad(labels[:, None] != numbers, (prefix, 0), value=True)


def run_block(
    block: Block, x: torch.Tensor, lengths: list[int], projected: Three | None = None
) -> torch.Tensor:
    """A block on packed sequences.

    Args:
        block: of the tower.
        x: (M, D), the sequences one after the other; left as it is.
        lengths: of the sequences.
        projected: queries, keys and values, (M, H, D / H), where they are known already.

    Returns:
        (M, D).
    """
    if projected is None:
        projected = block.attention.project(block.norm_1(x))
    x = x + block.scale_1(block.attention.out(attend(projected, lengths)))
    together = ROWS if x.device.type == "cpu" else len(x)
    for start in range(0, len(x), together):
        rows = x[start : start + together]
        rows.add_(block.scale_2(block.perceptron(block.norm_2(rows))))
    return x


def attend(projected: Three, lengths: list[int]) -> torch.Tensor:
    """Softmax attention within each sequence: three of (M, H, E) -> (M, H E)."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    query = projected[0]
    if len(set(lengths)) == 1:
        shape = (len(lengths), lengths[0], *query.shape[1:])
        ready = [each.reshape(shape).transpose(1, 2) for each in projected]
        found = scaled_dot_product_attention(ready[0], ready[1], ready[2])
        return found.transpose(1, 2).reshape(len(query), -1)
    if query.device.type != "cpu":
        return _attend_padded(projected, lengths)
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        ready = [each[part].transpose(0, 1)[None] for each in projected]
        found = scaled_dot_product_attention(ready[0], ready[1], ready[2])
        out[part] = found[0].transpose(0, 1)
        start += length
    return out.flatten(1)


def _attend_padded(projected: Three, lengths: list[int]) -> torch.Tensor:
    """The same with sequences padded to the longest: one kernel instead of one per sequence."""
    from torch.nn.functional import scaled_dot_product_attention

    ready = [pad(each, lengths) for each in projected]
    query, key, value = (padded.transpose(1, 2) for padded, _ in ready)
    there = ready[0][1]
    found = scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None])
    return found.transpose(1, 2)[there].flatten(1)


def pad(x: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed sequences (M, ...) side by side: (S, longest, ...), and bool (S, longest) where."""
    import torch

    count = torch.tensor(lengths, device=x.device)
    there = torch.arange(max(lengths), device=x.device) < count[:, None]
    found = x.new_zeros(*there.shape, *x.shape[1:])
    found[there] = x
    return found, there


def read_out(tower: Tower, x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """Features as the read-out sees some of the tokens.

    Args:
        tower: by its parts.
        x: (B, L, D): `Plain.before`, or the same of fewer tokens.
        keep: bool (B, S, L), S choices of tokens; None for all of them, S = 1.

    Returns:
        float32 (B, S, dim), unit norm.
    """
    batch = len(x)
    if tower.pool is not None:
        tokens = tower.norm(x)
        attention = tower.pool.attention
        asked = attention.asked(tower.pool.latent.to(x.dtype)).expand(batch, -1, -1)
    else:
        last = tower.blocks[-1]
        tokens, attention = last.norm_1(x), last.attention
        asked = attention.asked(tokens[:, 0])
    mixed = _mix(tokens, asked, keep)
    choices = mixed.shape[1]
    told = attention.told(mixed.flatten(0, 1))
    if tower.pool is not None:
        found = told + tower.pool.perceptron(tower.pool.norm(told))
    else:
        stream = x[:, 0].repeat_interleave(choices, 0) + last.scale_1(told)
        stream = stream + last.scale_2(last.perceptron(last.norm_2(stream)))
        found = tower.norm(stream)
    return unit(tower.finish(found)).view(batch, choices, -1)


def _mix(tokens: torch.Tensor, asked: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """Each head's mixture of tokens: (B, L, D), (B, H, D), bool (B, S, L) -> (B, S, H, D)."""
    logits = (asked @ tokens.mT).float()[:, None]
    if keep is not None:
        logits = logits.masked_fill(~keep[:, :, None], -3e38)
    shares = logits.softmax(3).to(tokens.dtype)
    mixed: torch.Tensor = shares.flatten(1, 2) @ tokens
    return mixed.view(*shares.shape[:3], -1)


def _removed(tower: Tower, x: torch.Tensor, projected: Three, lengths: list[int]) -> torch.Tensor:
    """Features (S, dim) of S packed sequences, from the first block's queries, keys, values on."""
    last = len(tower.blocks) - (tower.pool is None)
    for number, block in enumerate(tower.blocks[:last]):
        x = run_block(block, x, lengths, projected if number == 0 else None)
    padded, there = pad(x, lengths)
    return read_out(tower, padded, there[:, None])[:, 0]


def _parts(lengths: list[int], packed: int) -> Iterator[slice]:
    """Consecutive sequences of about `packed` tokens together; at least one sequence."""
    start = total = 0
    for place, length in enumerate(lengths):
        if place > start and total + length > packed:
            yield slice(start, place)
            start, total = place, 0
        total += length
    if start < len(lengths):
        yield slice(start, len(lengths))


def unit(features: torch.Tensor) -> torch.Tensor:
    """float32, unit norm along the last axis."""
    from torch.nn.functional import normalize

    return normalize(features.float(), dim=-1)
