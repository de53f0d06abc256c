"""K-means of many images at once: as good as scikit-learn's, the same whatever is beside it."""

from __future__ import annotations

import pytest
import torch

from covar_gen.evaluation.attribution import _kmeans
from covar_gen.evaluation.attribution._kmeans import kmeans


def points(
    images: int, count: int, channels: int, seed: int = 0, loose: float = 1.0
) -> torch.Tensor:
    """Some blobs per image, more or less apart."""
    source = torch.Generator().manual_seed(seed)
    centres = torch.randn(images, 9, channels, generator=source)
    member = torch.randint(0, 9, (images, count), generator=source)
    found = centres.gather(1, member[..., None].expand(-1, -1, channels))
    return found + loose * torch.randn(images, count, channels, generator=source)


def inertia(cloud: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of squared distances to the clusters' means, (B,)."""
    found = []
    for image, own in zip(cloud.double(), labels, strict=True):
        parts = [image[own == label] for label in own.unique()]
        found.append(sum(((part - part.mean(0)) ** 2).sum() for part in parts))
    return torch.stack([torch.as_tensor(each) for each in found])


@pytest.mark.parametrize(
    ("count", "channels", "clusters"),
    [(196, 64, 7), (64, 300, 3), (64, 300, 20), (50, 2, 5), (49, 48, 12)],
)
def test_its_inertia_is_within_a_per_cent_of_scikit_learns(
    count: int, channels: int, clusters: int, one_thread: None
) -> None:
    from sklearn.cluster import KMeans

    cloud = points(8, count, channels, seed=clusters, loose=0.4)
    found = kmeans(cloud, clusters)
    assert torch.allclose(found.inertia, inertia(cloud, found.labels), rtol=1e-5)
    theirs = [
        KMeans(clusters, n_init=10, random_state=0).fit(each.numpy()).inertia_ for each in cloud
    ]
    ratio = found.inertia / torch.tensor(theirs)
    assert ratio.mean() < 1.002
    # Either may miss the best of many near minima in one image.
    assert ratio.amax() < 1.02


def test_blobs_that_lie_apart_are_found() -> None:
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    truth = torch.tensor([0, 1, 1, 2, 0, 3, 2, 3, 3, 1])
    jitter = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    found = kmeans((centres[truth] + jitter)[None], 4)
    assert found.labels.tolist() == [truth.tolist()]
    assert found.sizes.tolist() == [[2, 3, 2, 3]]


@pytest.mark.parametrize("channels", [4, 100])
def test_an_image_is_clustered_the_same_alone_and_among_others(channels: int) -> None:
    cloud = points(7, 40, channels)
    together = kmeans(cloud, 6, seed=3)
    order = torch.tensor([3, 0, 6, 1])
    some = kmeans(cloud[order], 6, seed=3)
    assert torch.equal(some.labels, together.labels[order])
    for image in range(7):
        alone = kmeans(cloud[image : image + 1], 6, seed=3)
        assert torch.equal(alone.labels[0], together.labels[image])


def test_both_ways_of_computing_distances_agree() -> None:
    few = points(4, 30, 12)
    # Zeros in further channels change nothing but the way: more channels than points.
    many = torch.nn.functional.pad(few, (0, 40))
    for clusters in (1, 5, 20):
        one, other = kmeans(few, clusters), kmeans(many, clusters)
        assert torch.equal(one.labels, other.labels)
        assert torch.allclose(one.inertia, other.inertia)


def test_where_the_points_lie_and_how_far_apart_is_irrelevant() -> None:
    cloud = points(3, 40, 64)
    usual = kmeans(cloud, 7)
    assert torch.equal(kmeans(cloud * 256, 7).labels, usual.labels)
    assert torch.equal(kmeans(cloud / 1024, 7).labels, usual.labels)
    assert torch.equal(kmeans(cloud + 64, 7).labels, usual.labels)


def test_seeds_matter_and_restarts_help() -> None:
    cloud = points(12, 60, 8, loose=0.7)
    single = [kmeans(cloud, 9, seed=seed, restarts=1).inertia for seed in range(4)]
    assert not torch.allclose(single[0], single[1])
    assert (kmeans(cloud, 9, restarts=30).inertia.sum() < 0.995 * torch.stack(single).sum(1)).all()


def test_clusters_are_numbered_in_the_order_in_which_points_meet_them() -> None:
    for row in kmeans(points(5, 30, 6), 8).labels.tolist():
        assert list(dict.fromkeys(row)) == list(range(8))


@pytest.mark.parametrize("clusters", range(1, 21))
def test_every_number_of_clusters_is_used_up(clusters: int) -> None:
    found = kmeans(points(3, 24, 5), clusters, restarts=3)
    assert (found.sizes > 0).all()
    assert found.sizes.sum(1).tolist() == [24, 24, 24]
    assert found.labels.amax() == clusters - 1
    whole = kmeans(points(3, 20, 5), 20, restarts=1)
    assert whole.inertia.amax() < 1e-9


def test_fewer_distinct_points_than_clusters_leave_the_last_ones_empty() -> None:
    three = torch.eye(3)[torch.tensor([2, 0, 0, 1, 2, 1, 1])]
    found = kmeans(torch.stack([three, torch.ones(7, 3)]), 5)
    assert found.sizes.tolist() == [[2, 2, 3, 0, 0], [7, 0, 0, 0, 0]]
    assert found.labels[0].tolist() == [0, 1, 1, 2, 0, 2, 2]
    assert found.inertia.tolist() == pytest.approx([0, 0], abs=1e-12)


def test_a_cluster_that_runs_empty_gets_the_farthest_point(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = torch.tensor([[[0.0], [1.0], [2.0], [3.0], [100.0]]])
    start = torch.tensor([0, 0, 0, 1, 1])[None, :, None]
    monkeypatch.setattr(_kmeans, "_first_labels", lambda *_: start.clone())
    found = kmeans(cloud, 3, restarts=1)
    assert (found.sizes > 0).all()
    assert found.labels[0, 4] not in found.labels[0, :4]


def test_clusters_that_run_empty_together_get_points_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = torch.tensor([[[0.0], [1.0], [-90.0], [2.0], [100.0]]])
    own = torch.zeros(1, 5, 1, dtype=torch.int64)
    monkeypatch.setattr(_kmeans, "_first_labels", lambda *_: own.clone())
    monkeypatch.setattr(_kmeans, "ITERATIONS", 1)
    assert kmeans(cloud, 3, restarts=1).labels.tolist() == [[0, 0, 1, 0, 2]]


@pytest.mark.parametrize("clusters", [0, -1, 6])
def test_more_clusters_than_points_are_refused(clusters: int) -> None:
    with pytest.raises(ValueError, match=f"expected 1 to 5 clusters of 5 points, got {clusters}"):
        kmeans(torch.zeros(1, 5, 2), clusters)
