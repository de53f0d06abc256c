"""One view of the image towers of open_clip, timm and transformers: their own weights, by role.

All of them are vision transformers of the same arithmetic: tokens, blocks of attention and a
perceptron, and a read-out by the class token or by an attention pool. Nothing of a model is changed
or copied, and no hook is set: the towers' own modules are called on fewer tokens. A tower that does
anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from covar_gen.core.errors import ModelError
from covar_gen.evaluation.models.base import Model

if TYPE_CHECKING:
    import torch

    Layer = Callable[[torch.Tensor], torch.Tensor]

SUPPORTED = (
    "open_clip's VisionTransformer read at its class token, timm's VisionTransformer with an "
    "attention pool (SigLIP), transformers' CLIPModel and SiglipModel"
)


@dataclass(frozen=True)
class Attention:
    """Weights of a multi-head attention over tokens of D channels.

    Attributes:
        heads: H.
        weights: of queries, keys and values, (D, D) each.
        biases: the same, (D,) each; None without.
        joint: the three of them in one (3 D, D), and its bias, where the module has them so.
        out: what the heads' results go through.
    """

    heads: int
    weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    biases: tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]
    joint: tuple[torch.Tensor, torch.Tensor | None] | None
    out: Layer

    def project(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of tokens: (M, D) -> three of (M, H, D / H)."""
        from torch.nn.functional import linear

        if self.joint is not None:
            parts = linear(x, *self.joint).chunk(3, -1)
        else:
            pairs = zip(self.weights, self.biases, strict=True)
            parts = tuple(linear(x, weight, bias) for weight, bias in pairs)
        query, key, value = (part.view(len(x), self.heads, -1) for part in parts)
        return query, key, value

    def asked(self, x: torch.Tensor) -> torch.Tensor:
        """What the queries of tokens ask of other tokens themselves, scaled: (M, D) -> (M, H, D).

        The inner product of a query with a key is, but for a number that softmax drops, that of
        the query led back through the keys' weights with the token that the key is made of.
        """
        from torch.nn.functional import linear

        query = linear(x, self.weights[0], self.biases[0]).view(len(x), self.heads, -1)
        back = self.weights[1].view(self.heads, -1, x.shape[-1])
        asked: torch.Tensor = (query.transpose(0, 1) @ back).transpose(0, 1)
        scale: float = query.shape[-1] ** -0.5
        return asked * scale

    def told(self, mixed: torch.Tensor) -> torch.Tensor:
        """The attention's result for each head's mixture of tokens: (M, H, D) -> (M, D)."""
        forth = self.weights[2].view(self.heads, -1, mixed.shape[-1])
        found = (mixed.transpose(0, 1) @ forth.mT).transpose(0, 1).flatten(1)
        if self.biases[2] is not None:
            found = found + self.biases[2]
        return self.out(found)


@dataclass(frozen=True)
class Block:
    """A transformer block that normalises first: x + attention(x), then x + perceptron(x)."""

    norm_1: Layer
    attention: Attention
    scale_1: Layer
    norm_2: Layer
    perceptron: Layer
    scale_2: Layer


@dataclass(frozen=True)
class Pool:
    """An attention pool: a learned query over all tokens, then a perceptron.

    Attributes:
        latent: (1, D), what the query is made of.
        attention: over the normalised tokens.
        norm: before the perceptron.
        perceptron: whose result is added.
    """

    latent: torch.Tensor
    attention: Attention
    norm: Layer
    perceptron: Layer


@dataclass(frozen=True)
class Tower:
    """An image tower by its parts.

    Attributes:
        grid: rows and columns of patches.
        prefix: tokens before the patches: 1 with a class token, else 0.
        embed: (B, 3, H, W) -> (B, prefix + N, D), what the first block gets.
        blocks: in their order.
        norm: of tokens, after the last block.
        pool: that reads out; None if the class token does.
        finish: what was read out, (M, D) -> (M, dim), of any norm.
        project: the same for single patches, normalised; None if the tower has no such thing.
    """

    grid: tuple[int, int]
    prefix: int
    embed: Layer
    blocks: Sequence[Block]
    norm: Layer
    pool: Pool | None
    finish: Layer
    project: Layer | None


def tower_of(model: Model) -> Tower:
    """A model's image tower by its parts.

    Raises:
        ModelError: it does something that the parts do not say.
    """
    from covar_gen.evaluation.models.open_clip_model import OpenClipModel
    from covar_gen.evaluation.models.transformers_model import TransformersModel

    module: Any = model.module
    found: Tower | None = None
    if isinstance(model, OpenClipModel):
        found = _open_clip(module.visual) or _timm(module.visual)
    elif isinstance(model, TransformersModel):
        found = _transformers(module)
    if found is None or found.grid != tuple(model.patches):
        raise _refusal(model)
    return found


_verified: WeakSet[torch.nn.Module] = WeakSet()
"""Models whose own answer was seen to be the parts'."""


def verify(model: Model, pixels: torch.Tensor, features: torch.Tensor) -> None:
    """Compare what the parts make of an image with what the model does, once per model.

    Args:
        model: whose image tower was taken for its parts.
        pixels: (1, 3, H, W).
        features: (1, dim), unit norm, of the parts.

    Raises:
        ModelError: they differ: there are hooks or adapters, or the class was changed.
    """
    if model.module in _verified:
        return
    cosine = float((model.encode_image(pixels) * features).sum())
    tolerance = 1e-4 if model.precision == "fp32" else 0.02
    if not cosine > 1 - tolerance:
        raise _refusal(model)
    _verified.add(model.module)


def _refusal(model: Model) -> ModelError:
    what = "its image tower cannot be taken apart exactly"
    return ModelError(what, where=model.name, mend=f"Known are {SUPPORTED}, as they were built")


def _plain(module: Any, *kinds: type) -> bool:
    """True if the module is of just that class: a subclass may compute something else."""
    return type(module) in kinds


def _linears(*layers: Any, out: Layer, heads: int) -> Attention | None:
    """Attention of three linear layers."""
    import torch

    if not all(_plain(layer, torch.nn.Linear) for layer in layers):
        return None
    query, key, value = layers
    weights = (query.weight, key.weight, value.weight)
    return Attention(heads, weights, (query.bias, key.bias, value.bias), None, out)


def _joint(weight: torch.Tensor, bias: torch.Tensor | None, out: Layer, heads: int) -> Attention:
    """Attention of one matrix of (3 D, D)."""
    query, key, value = weight.chunk(3)
    of_query, of_key, of_value = (None, None, None) if bias is None else bias.chunk(3)
    biases = (of_query, of_key, of_value)
    return Attention(heads, (query, key, value), biases, (weight, bias), out)


def _multihead(module: Any) -> Attention | None:
    """Attention of torch's own module, of one width throughout."""
    import torch

    known = (
        _plain(module, torch.nn.MultiheadAttention)
        and module.in_proj_weight is not None
        and module.bias_k is None
        and not module.add_zero_attn
    )
    if not known:
        return None
    return _joint(module.in_proj_weight, module.in_proj_bias, module.out_proj, module.num_heads)


def _open_clip(visual: Any) -> Tower | None:
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    if not _plain(visual, VisionTransformer) or visual.pool_type != "tok":
        return None
    if visual.attn_pool is not None:
        return None
    blocks = []
    for block in visual.transformer.resblocks:
        attention = _multihead(getattr(block, "attn", None))
        if not _plain(block, ResidualAttentionBlock) or attention is None:
            return None
        blocks.append(Block(block.ln_1, attention, block.ls_1, block.ln_2, block.mlp, block.ls_2))

    def finish(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = x if visual.proj is None else x @ visual.proj
        return found

    grid = (int(visual.grid_size[0]), int(visual.grid_size[1]))
    return Tower(grid, 1, visual._embeds, blocks, visual.ln_post, None, finish, finish)  # noqa: SLF001 - the step has no other name


def _timm(visual: Any) -> Tower | None:
    from open_clip.timm_model import TimmModel
    from timm.layers import AttentionPoolLatent
    from timm.models.vision_transformer import VisionTransformer

    trunk = getattr(visual, "trunk", None)
    if not _plain(visual, TimmModel) or not _plain(trunk, VisionTransformer):
        return None
    assert trunk is not None
    pool = trunk.attn_pool
    if trunk.num_prefix_tokens or not _plain(pool, AttentionPoolLatent):
        return None
    if pool.latent_len != 1 or pool.pos_embed is not None or pool.mlp is None:
        return None
    found = [_timm_block(block) for block in trunk.blocks]
    blocks = [block for block in found if block is not None]
    read = _timm_pool(pool)
    if len(blocks) < len(found) or read is None:
        return None

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        x = trunk._pos_embed(trunk.patch_embed(pixels))  # noqa: SLF001 - the step has no other name
        tokens: torch.Tensor = trunk.norm_pre(trunk.patch_drop(x))
        return tokens

    def finish(x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = visual.head(trunk.head(trunk.fc_norm(x)))
        return features

    rows, columns = trunk.patch_embed.grid_size
    return Tower((rows, columns), 0, embed, blocks, trunk.norm, read, finish, None)


def _timm_block(block: Any) -> Block | None:
    import torch
    from timm.layers.attention import Attention as TimmAttention
    from timm.models.vision_transformer import Block as TimmBlock

    if not _plain(block, TimmBlock) or not _plain(block.attn, TimmAttention):
        return None
    inner = block.attn
    same = ("q_norm", "k_norm", "norm")
    bare = all(_plain(getattr(inner, name, None), torch.nn.Identity, type(None)) for name in same)
    if not bare or getattr(inner, "gate", None) is not None:
        return None
    if not _plain(inner.qkv, torch.nn.Linear):
        return None
    attention = _joint(inner.qkv.weight, inner.qkv.bias, inner.proj, inner.num_heads)
    return Block(block.norm1, attention, block.ls1, block.norm2, block.mlp, block.ls2)


def _timm_pool(pool: Any) -> Pool | None:
    import torch

    bare = all(_plain(each, torch.nn.Identity) for each in (pool.q_norm, pool.k_norm))
    if not bare or not all(_plain(each, torch.nn.Linear) for each in (pool.q, pool.kv)):
        return None
    key, value = pool.kv.weight.chunk(2)
    biases = (None, None) if pool.kv.bias is None else pool.kv.bias.chunk(2)
    weights = (pool.q.weight, key, value)
    attention = Attention(pool.num_heads, weights, (pool.q.bias, *biases), None, pool.proj)
    return Pool(pool.latent[0], attention, pool.norm, pool.mlp)


def _transformers(module: Any) -> Tower | None:
    import torch

    vision = module.vision_model
    clip = type(module).__name__ == "CLIPModel"
    blocks = []
    for layer in vision.encoder.layers:
        inner = layer.self_attn
        layers = (inner.q_proj, inner.k_proj, inner.v_proj)
        attention = _linears(*layers, out=inner.out_proj, heads=inner.num_heads)
        if attention is None:
            return None
        same = torch.nn.Identity()
        blocks.append(Block(layer.layer_norm1, attention, same, layer.layer_norm2, layer.mlp, same))
    rows = int(vision.config.image_size) // int(vision.config.patch_size)
    grid = (rows, rows)
    if clip:

        def embed(pixels: torch.Tensor) -> torch.Tensor:
            tokens: torch.Tensor = vision.pre_layrnorm(vision.embeddings(pixels))
            return tokens

        norm, last = vision.post_layernorm, module.visual_projection
        return Tower(grid, 1, embed, blocks, norm, None, last, last)
    head = vision.head
    inside = _multihead(head.attention)
    if inside is None:
        return None
    pool = Pool(head.probe[0], inside, head.layernorm, head.mlp)
    same = torch.nn.Identity()
    return Tower(grid, 0, vision.embeddings, blocks, vision.post_layernorm, pool, same, None)
