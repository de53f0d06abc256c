"""Concept Cluster Importance: how much the fit to a text drops without each cluster of patches.

The patch tokens of an image are clustered by K-means; each cluster in turn is masked as attention
keys; its importance is the drop of cosine(image, text), divided by the sum over the clusters. The
map gives every patch the importance of its cluster. Source: the paper, section on CCI; what it
leaves open is an option here, and docs/validation.md says what the choices do.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from covar_gen.core.errors import PluginError
from covar_gen.core.plugins import PluginOptions
from covar_gen.evaluation.attribution.base import Explanation, Method, check_inputs

if TYPE_CHECKING:
    import torch

    from covar_gen.evaluation.attribution._towers import Tower
    from covar_gen.evaluation.models.base import Model

NOISE = 1e-6
"""Differences of cosines that are no larger are rounding, not importance."""

TOGETHER = {"cpu": 4096}
TOGETHER_ELSEWHERE = 32768
"""Tokens that go through the tower together: 1024 to 8192 made no difference on a CPU."""

Tokens = Literal["last", "normed", "projected", "input"]
Normalisation = Literal["positive", "paper"]


@dataclass(frozen=True)
class ClusterExplanation(Explanation):
    """What CCI found, for B images, T texts and K clusters.

    Attributes:
        labels: int64 (B, h, w), cluster of each patch, in [0, K), numbered as they appear in
            reading order.
        sizes: int64 (B, K), patches of each cluster; 0 for the last ones where an image has fewer
            than K distinct patch tokens.
        cosines: float32 (B, T), of the whole image with the text.
        drops: float32 (B, T, K), by how much the cosine falls without the cluster; 0 for an empty
            one. Without any token an image has no direction and its cosine counts as 0.
        weights: float32 (B, T, K), drops after the normalisation; 0 where that is impossible.
        doubtful: bool (B, T), True where the sum of the drops is not above rounding, so that
            dividing by it (`normalisation="paper"`) is impossible or turns the map upside down.
    """

    labels: torch.Tensor
    sizes: torch.Tensor
    cosines: torch.Tensor
    drops: torch.Tensor
    weights: torch.Tensor
    doubtful: torch.Tensor


class Cci(Method):
    """The text is usually the zero-shot classifier's row of a class, but can be any.

    The same images, texts, options and weights give the same clusters and drops whatever else is in
    the batch, up to the rounding of the towers.
    """

    class Options(PluginOptions):
        """CCI's own options.

        Attributes:
            clusters: K of K-means.
            layers: where a cluster's keys are masked: `all` blocks and heads, and the attention
                pool of SigLIP (the paper's text); or only in the `last` attention that is read, of
                the last block's class token or of SigLIP's pool (the paper's supplement), for
                little more than one pass.
            tokens: which patch tokens are clustered, a choice that the paper leaves open: `last`,
                output of the last block; `normed`, the same after the final layer norm;
                `projected`, the same in the common space (towers with a class token only);
                `input`, what the first block gets; or the output of a block by its number from 1.
            unit_tokens: scale each token to length 1 before clustering.
            normalisation: `positive`, drops below 0 count as 0; `paper`, drops are divided by
                their plain sum, which is a map turned upside down where that is negative.
            seed: of k-means++; the same draws for every image.
            restarts: of K-means; the one of the least inertia is taken.
            packed: tokens that go through the tower together in `all`; more need more memory.
                Left out, what suits the device.
        """

        clusters: int = Field(7, ge=1, le=20)
        layers: Literal["all", "last"] = "all"
        tokens: Tokens | Annotated[int, Field(ge=1)] = "last"
        unit_tokens: bool = False
        normalisation: Normalisation = "positive"
        seed: int = Field(0, ge=0)
        restarts: int = Field(20, ge=1, le=100)
        packed: int | None = Field(None, ge=1)

    options: Options

    def explain(
        self, model: Model, pixels: torch.Tensor, texts: torch.Tensor
    ) -> ClusterExplanation:
        """Explain how well each image fits each text: see `Method.explain`.

        All texts share the clusters and the passes.

        Raises:
            ModelError: the image tower cannot be taken apart, or pixels or texts are not its.
            PluginError: more clusters than patches, or tokens that the tower does not have.
        """
        import torch

        from covar_gen.evaluation.attribution._towers import tower_of, verify

        pixels, wanted = check_inputs(model, pixels, texts)
        tower = tower_of(model)
        self._check(model, tower)
        with torch.no_grad():
            labels, features = self._masked(tower, pixels)
            verify(model, pixels[:1], features[:1, 0])
            cosines = (features @ wanted.mT).mT  # (B, T, 1 + K)
            return self._explained(tower, pixels, labels, cosines)

    def _check(self, model: Model, tower: Tower) -> None:
        rows, columns = tower.grid
        if self.options.clusters > rows * columns:
            what = f"{self.options.clusters} clusters of {rows * columns} patches"
            mend = f"Choose at most {rows * columns} for {model.name}"
            raise PluginError(what, where="method cci.clusters", mend=mend)
        tokens, blocks = self.options.tokens, len(tower.blocks)
        if isinstance(tokens, int) and tokens > blocks:
            mend = f"Choose from 1 to {blocks}"
            what = f"{model.name} has {blocks} blocks, not {tokens}"
            raise PluginError(what, where="method cci.tokens", mend=mend)
        if tokens == "projected" and tower.project is None:
            what = f"{model.name} has no projection of single patches into the common space"
            raise PluginError(what, where="method cci.tokens", mend="Choose last or normed")

    def _masked(self, tower: Tower, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Labels, int64 (B, N), and features, float32 (B, 1 + K, dim): whole, then masked."""
        import torch

        from covar_gen.evaluation.attribution._kmeans import kmeans
        from covar_gen.evaluation.attribution._passes import (
            plain_pass,
            read_passes,
            removed_passes,
        )

        options = self.options
        dtype = next(each for each in _weights(tower)).dtype
        plain = plain_pass(tower, pixels.to(dtype), options.tokens)
        points = plain.taken.float()
        if options.unit_tokens:
            points = torch.nn.functional.normalize(points, dim=-1)
        found = kmeans(points, options.clusters, seed=options.seed, restarts=options.restarts)
        if options.layers == "last":
            masked = read_passes(tower, plain, found.labels, options.clusters)
        else:
            packed = options.packed or TOGETHER.get(pixels.device.type, TOGETHER_ELSEWHERE)
            masked = removed_passes(tower, plain, found.labels, options.clusters, packed)
        return found.labels, torch.cat([plain.features[:, None], masked], 1)

    def _explained(
        self, tower: Tower, pixels: torch.Tensor, labels: torch.Tensor, cosines: torch.Tensor
    ) -> ClusterExplanation:
        """Labels (B, N) and cosines (B, T, 1 + K) as drops, weights and maps."""
        import torch

        numbers = torch.arange(self.options.clusters, device=labels.device)
        sizes = (labels[..., None] == numbers).sum(1)
        drops = cosines[..., :1] - cosines[..., 1:]
        drops = drops.masked_fill(sizes[:, None] == 0, 0)
        # Where all patches of an image are the same, positions are all that was clustered.
        blank = (pixels.flatten(2).amax(2) == pixels.flatten(2).amin(2)).all(1)[:, None]
        weights, doubtful = self._normalised(drops)
        weights = weights.masked_fill(blank[..., None], 0)
        places = labels[:, None].expand(-1, cosines.shape[1], -1)
        maps = weights.gather(2, places)
        flat = maps.amax(2) == maps.amin(2)
        return ClusterExplanation(
            maps=maps.reshape(*maps.shape[:2], *tower.grid),
            flat=flat,
            labels=labels.reshape(-1, *tower.grid),
            sizes=sizes,
            cosines=cosines[..., 0],
            drops=drops,
            weights=weights,
            doubtful=doubtful,
        )

    def _normalised(self, drops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights of drops (B, T, K), and where their plain sum is not above rounding."""
        sums = drops.sum(2)
        doubtful = sums <= NOISE
        if self.options.normalisation == "positive":
            drops = drops.clamp_min(0)
            sums = drops.sum(2)
        elif bool(doubtful.any()):
            what = f"the drops of {int(doubtful.sum())} of {doubtful.numel()} maps do not sum to"
            mend = 'a positive number; `doubtful` marks them, normalisation="positive" is defined'
            warnings.warn(f"{what} {mend}", stacklevel=3)
        possible = sums.abs() > NOISE
        weights = drops / sums.where(possible, 1)[..., None]
        return weights.masked_fill(~possible[..., None], 0), doubtful


def _weights(tower: Tower) -> list[torch.Tensor]:
    """The first block's attention weights, of the type that the tower computes in."""
    return list(tower.blocks[0].attention.weights)
