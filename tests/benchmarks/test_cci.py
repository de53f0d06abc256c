"""CCI of ViT-B/16 towers against a plain forward pass and against passes with masked keys."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from covar_gen.evaluation.attribution import get_method
from covar_gen.evaluation.attribution._kmeans import kmeans
from covar_gen.evaluation.attribution._passes import plain_pass
from covar_gen.evaluation.attribution._towers import tower_of
from covar_gen.evaluation.models import Model, wrap

BATCH, CLUSTERS, ROUNDS, THREADS = 8, 7, 3, 1
ALL = {"ViT-B-16-quickgelu": 6.4, "ViT-B-16-SigLIP": 6.8}
"""Most forward passes that `all` may cost, everything included. Without a class token, nothing of
the last block can be left out: 6.8 is what the multiplications alone come to."""
LAST, KMEANS = 1.15, 0.10
"""Most forward passes that `last` and K-means may cost."""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=list(ALL))
def model(request: pytest.FixtureRequest) -> Model:
    """A tower of 12 blocks of 768 channels at 224 pixels with random weights."""
    import open_clip

    torch.manual_seed(0)
    built = open_clip.create_model(request.param, pretrained=None)
    return wrap(built.eval(), name=request.param)


def images(model: Model) -> torch.Tensor:
    """Images with areas and detail, so that clusters are of unequal sizes."""
    grid = model.preprocessing.grid
    size = (grid.height, grid.width)
    coarse = torch.nn.functional.interpolate(torch.randn(BATCH, 3, 7, 7), size, mode="bilinear")
    return coarse + 0.3 * torch.randn(BATCH, 3, *size)


def naive(model: Model, pixels: torch.Tensor, labels: torch.Tensor) -> None:
    """K + 1 passes of the model itself, keys masked by hooks in every block and the pool."""
    visual: Any = model.module.visual
    model.encode_image(pixels)
    classed = model.pooling == "cls"
    readers = (
        [block.attn for block in visual.transformer.resblocks]
        if classed
        else [*visual.trunk.blocks, visual.trunk.attn_pool]
    )
    for cluster in range(CLUSTERS):
        gone = torch.nn.functional.pad(labels == cluster, (int(classed), 0), value=False)
        additive = torch.zeros(gone.shape).masked_fill(gone, -torch.inf)[:, None, None]
        extra = {"key_padding_mask": gone} if classed else {"attn_mask": additive}

        def hook(_: Any, args: Any, kwargs: Any, extra: dict[str, Any] = extra) -> Any:
            return args, {**kwargs, **extra}

        handles = [each.register_forward_pre_hook(hook, with_kwargs=True) for each in readers]
        model.encode_image(pixels)
        for handle in handles:
            handle.remove()


def timed(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def test_cci_costs_less_than_masked_passes(model: Model) -> None:
    pixels = images(model)
    texts = torch.nn.functional.normalize(torch.randn(1, model.dim), dim=-1)
    with torch.no_grad():
        points = plain_pass(tower_of(model), pixels, "last").taken
    labels = kmeans(points, CLUSTERS).labels

    def plain() -> object:
        return model.encode_image(pixels)

    runs: dict[str, Callable[[], object]] = {
        "all": lambda: get_method("cci").explain(model, pixels, texts),
        "naive": lambda: naive(model, pixels, labels),
        "last": lambda: get_method("cci", layers="last").explain(model, pixels, texts),
        "kmeans": lambda: kmeans(points, CLUSTERS),
    }
    ratios: dict[str, list[float]] = {name: [] for name in runs}
    with torch.no_grad():
        for run in (plain, runs["last"]):
            run()
        for _ in range(ROUNDS):
            before = timed(plain)
            for name, run in runs.items():
                took, after = timed(run), timed(plain)
                ratios[name].append(2 * took / (before + after))
                before = after
    found = {name: statistics.median(values) for name, values in ratios.items()}
    said = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    print(f"\n{model.name}: {before:.2f} s for {BATCH} images; {said}")
    assert found["all"] <= ALL[model.name]
    assert found["all"] < 0.9 * found["naive"]
    assert found["last"] <= LAST
    assert found["kmeans"] <= KMEANS
