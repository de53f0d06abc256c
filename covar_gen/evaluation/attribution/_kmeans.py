"""K-means over the patch tokens of many images at once, on the device that they are on.

All images and all restarts go through each step together. Whatever K-means asks about N points of D
channels can be answered from their N x N inner products, and N patches are usually fewer than D
channels: the products are made once, and a step costs N channels instead of D.

Sources: Arthur & Vassilvitskii, k-means++ (2007), with several candidates per centre as they
propose; Lloyd (1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from covar_gen.core.seeds import generator, uniform

if TYPE_CHECKING:
    import torch

ITERATIONS = 100
"""At most, of Lloyd's; a dozen or two are usual."""

SAME = 1e-10
"""Squared distance below which points are the same, in units of the points' mean square."""


@dataclass(frozen=True)
class Clusters:
    """K-means of B images.

    Attributes:
        labels: int64 (B, N), in [0, K); numbered in the order in which the points meet them, so
            that empty clusters come last.
        sizes: int64 (B, K), points of each cluster; 0 where there are fewer distinct points than K.
        inertia: float64 (B,) (float32 where the device has no other), sum over the points of the
            squared distance to their cluster's mean.
    """

    labels: torch.Tensor
    sizes: torch.Tensor
    inertia: torch.Tensor


def kmeans(points: torch.Tensor, clusters: int, *, seed: int = 0, restarts: int = 20) -> Clusters:
    """Cluster each image's points; the result of an image does not depend on the others.

    Args:
        points: (B, N, D), of any floating type.
        clusters: K, at least 1 and at most N.
        seed: of the draws, which are the same for every image.
        restarts: of each image, of which the one of the least inertia is taken.

    Returns:
        The clusters.

    Raises:
        ValueError: K is not in [1, N].
    """
    batch, count, _ = points.shape
    if not 1 <= clusters <= count:
        msg = f"expected 1 to {count} clusters of {count} points, got {clusters}"
        raise ValueError(msg)
    cloud = _Cloud(points)
    labels = _first_labels(cloud, clusters, seed, restarts)
    labels = _refined(cloud, labels, clusters)
    inertia = _inertia(cloud, labels, clusters)
    best = inertia.argmin(1)
    chosen = labels.gather(2, best[:, None, None].expand(batch, count, 1))[..., 0]
    numbered = _in_order(chosen, clusters)
    sizes = _one_hot(numbered, clusters).sum(1).long()
    return Clusters(numbered, sizes, inertia.gather(1, best[:, None])[:, 0])


class _Cloud:
    """Points of B images, centred, of which only inner products are asked.

    Attributes:
        squares: (B, N), squared norms.
        scale: (B,), their mean; at least a tiny number.
    """

    def __init__(self, points: torch.Tensor) -> None:
        import torch

        # In 32 bits, differences of inner products would be noise for tokens of large norm.
        wide = torch.float32 if points.device.type == "mps" else torch.float64
        found = points.detach()
        found = found.float() if found.dtype.itemsize < 4 else found  # noqa: PLR2004 - bytes
        centred = (found - found.mean(1, keepdim=True)).to(wide)
        self._points = centred if centred.shape[2] < centred.shape[1] else None
        self._products = None if self._points is not None else centred @ centred.mT
        self.squares = centred.square().sum(2)
        self.scale = self.squares.mean(1).clamp_min(torch.finfo(wide).tiny)

    def times(self, weights: torch.Tensor) -> torch.Tensor:
        """Inner products of each point with weighted sums of points: (B, N, C) -> (B, N, C)."""
        if self._products is not None:
            return self._products @ weights
        assert self._points is not None
        return self._points @ (self._points.mT @ weights)

    def to_points(self, chosen: torch.Tensor) -> torch.Tensor:
        """Squared distances of each point to chosen points: int64 (B, C) -> (B, N, C)."""
        if self._products is not None:
            places = chosen[:, None].expand(-1, self._products.shape[1], -1)
            found = self._products.gather(2, places)
        else:
            assert self._points is not None
            places = chosen[..., None].expand(-1, -1, self._points.shape[2])
            found = self._points @ self._points.gather(1, places).mT
        theirs = self.squares.gather(1, chosen)[:, None]
        return (self.squares[..., None] - 2 * found + theirs).clamp_min_(0)


def _first_labels(cloud: _Cloud, clusters: int, seed: int, restarts: int) -> torch.Tensor:
    """k-means++: int64 (B, N, R), the nearest of K centres drawn in proportion to their distance.

    Of several candidates for a centre, the one that leaves the least inertia is kept.
    """
    import torch

    batch, count = cloud.squares.shape
    draws = torch.tensor(_draws(seed, restarts, clusters), dtype=torch.float64)
    draws = draws.to(cloud.squares)  # (K, R, candidates)
    trials = draws.shape[2]
    first = (draws[0, :, 0] * count).long().clamp_max(count - 1).expand(batch, restarts)
    nearest = cloud.to_points(first)
    labels = torch.zeros(batch, count, restarts, dtype=torch.int64, device=nearest.device)
    for centre in range(1, clusters):
        # A draw falls on the point at which the sum of the distances passes it.
        sums = nearest.cumsum(1).mT.contiguous()
        wanted = draws[centre] * sums[..., -1:]
        drawn = torch.searchsorted(sums, wanted.contiguous(), right=True).clamp_max(count - 1)
        there = cloud.to_points(drawn.flatten(1)).reshape(batch, count, restarts, trials)
        closer = torch.minimum(there, nearest[..., None])
        best = closer.sum(1).argmin(2)[:, None, :, None].expand(batch, count, restarts, 1)
        won = closer.gather(3, best)[..., 0]
        labels[won < nearest] = centre
        nearest = won
    return labels


@lru_cache(maxsize=16)
def _draws(seed: int, restarts: int, clusters: int) -> list[list[list[float]]]:
    """Uniform numbers in [0, 1), (K, R, candidates); those of a restart are the same for all R."""
    trials = 2 + int(math.log(clusters))
    rng = generator(seed)
    found = [
        [[uniform(rng, 0, 1) for _ in range(trials)] for _ in range(clusters)]
        for _ in range(restarts)
    ]
    return [[found[restart][centre] for restart in range(restarts)] for centre in range(clusters)]


def _refined(cloud: _Cloud, labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """Lloyd's iterations on (B, N, R) labels until none changes."""
    for _ in range(ITERATIONS):
        distances = _distances(cloud, labels, clusters)
        moved = distances.argmin(3)
        moved = _without_empty(cloud, moved, distances, clusters)
        if bool((moved == labels).all()):
            break
        labels = moved
    return labels


def _one_hot(labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """Which cluster each label is: bool (..., K)."""
    import torch

    return labels[..., None] == torch.arange(clusters, device=labels.device)


def _distances(cloud: _Cloud, labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """Squared distance of each point to each cluster's mean, (B, N, R, K); inf to empty ones."""
    batch, count, restarts = labels.shape
    inside = _one_hot(labels, clusters).to(cloud.squares.dtype)
    sizes = inside.sum(1)
    means = (inside / sizes.clamp_min(1)[:, None]).flatten(2)
    products = cloud.times(means)
    norms = (means * products).sum(1).reshape(batch, 1, restarts, clusters)
    norms = norms.masked_fill(sizes[:, None] == 0, math.inf)
    found = products.mul_(-2).reshape(batch, count, restarts, clusters)
    return found.add_(norms).add_(cloud.squares[:, :, None, None]).clamp_min_(0)


def _without_empty(
    cloud: _Cloud, labels: torch.Tensor, distances: torch.Tensor, clusters: int
) -> torch.Tensor:
    """Labels with each empty cluster given the point that is farthest from its own mean.

    A cluster stays empty where no point lies off its mean: there are fewer distinct points than K.
    """
    there = _one_hot(labels, clusters).any(1)
    if bool(there.all()):
        return labels
    own = distances.gather(3, labels[..., None])[..., 0]
    for image, restart, cluster in (~there).nonzero().tolist():
        mine = own[image, :, restart]
        farthest = int(mine.argmax())
        if float(mine[farthest]) <= SAME * float(cloud.scale[image]):
            continue
        labels[image, farthest, restart] = cluster
        mine[farthest] = 0
    return labels


def _inertia(cloud: _Cloud, labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """(B, R)."""
    distances = _distances(cloud, labels, clusters)
    return distances.gather(3, labels[..., None])[..., 0].sum(1)


def _in_order(labels: torch.Tensor, clusters: int) -> torch.Tensor:
    """Labels (B, N) numbered anew, in the order of each cluster's first point; empty ones last."""
    import torch

    count = labels.shape[1]
    inside = _one_hot(labels, clusters)
    places = torch.arange(count, device=labels.device)[:, None]
    first = torch.where(inside, places, count).amin(1)
    return first.argsort(dim=1, stable=True).argsort(dim=1).gather(1, labels)
