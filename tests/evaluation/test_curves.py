"""Pictures explained, perturbed and classified anew: the same numbers as one by one, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from covar_gen.core.seeds import seed_of
from covar_gen.evaluation.attribution.base import Explanation
from covar_gen.evaluation.computing import device_of
from covar_gen.evaluation.curves import BATCH, Measure, Picture
from covar_gen.evaluation.images import make_grids
from covar_gen.evaluation.metrics.deletion_insertion import mixtures, noise
from covar_gen.evaluation.perturbing import DELETION, INSERTION, Perturbation, pixel_order
from covar_gen.evaluation.preprocessing import Grid, Preprocessing
from covar_gen.evaluation.towers import Tower

GRID = Grid(8, 8, "squash")


class Bright:
    """Stands for a model: its two classes are how bright the left and the right half are."""

    preprocessing = Preprocessing(GRID, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    logit_scale, logit_bias = 1.0, 0.0
    name = "bright"

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        halves = pixels.mean(1).reshape(len(pixels), 8, 2, 4).mean((1, 3))
        return torch.nn.functional.normalize(halves + 1e-6, dim=1)


class Left:
    """Stands for a method: the left half is everything; it remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, torch.Tensor]] = []

    def explain(self, _model: Any, pixels: torch.Tensor, texts: torch.Tensor) -> Explanation:
        self.asked.append((len(pixels), texts))
        maps = torch.zeros(len(pixels), 1, 4, 4)
        maps[..., :2] = 1
        return Explanation(maps, torch.zeros(len(pixels), 1, dtype=torch.bool))


def tower() -> Tower:
    rows = torch.eye(2)
    return Tower(Bright(), rows, torch.arange(2))  # type: ignore[arg-type]


def left_pictures(count: int) -> list[Picture]:
    """Bright on the left, darker on the right, of several sizes; class 0 is seen."""
    found = []
    for number in range(count):
        image = np.random.default_rng(number).integers(60, 90, (16 + number, 20, 3), np.uint8)
        image[:, :10] += 130
        found.append(Picture(f"p{number}", 0, image))
    return found


def test_taking_the_right_pixels_changes_the_answer_and_giving_them_makes_it() -> None:
    how = Perturbation(points=3, ties="centre")
    with device_of("cpu", 0, 2) as device:
        measure = Measure(device, 2, how)
        pictures = left_pictures(3)
        maps = measure.maps(tower(), Left(), pictures)  # type: ignore[arg-type]
        left = [each for found in maps for each in found.maps]
        ranks = measure.ranks(tower(), pictures, left)
        wrong = measure.ranks(tower(), pictures, [1 - each for each in left])
    # Noise is brighter than the right half on average (127 against 75), less bright than the left;
    # with the right half gone, the left one stays the brighter one.
    for found, other in zip(ranks, wrong, strict=True):
        assert found.shape == (2, 3)
        assert found[INSERTION].tolist() == [1, 1, 1]
        assert other[INSERTION].tolist() == [1, 2, 2]
        assert found[DELETION, 0] == other[DELETION, 0] == other[DELETION, 2] == 1


def test_ranks_are_those_of_every_image_made_and_seen_alone() -> None:
    how = Perturbation(points=5)
    (picture,) = left_pictures(1)
    values = np.random.default_rng(0).random((4, 4)).astype(np.float32)
    with device_of("cpu", 0, 1) as device:
        (found,) = Measure(device, 1, how).ranks(tower(), [picture], [values])
    height, width = picture.image.shape[:2]
    ranked = pixel_order(values, GRID, height, width, picture.key, how)
    random = noise(height, width, seed_of(0, "noise", picture.key))
    black = np.zeros_like(picture.image)
    for kind, start, other in (
        (DELETION, picture.image, random),
        (INSERTION, black, picture.image),
    ):
        changed = how.changed(height * width)
        for point, image in enumerate(mixtures(start, other, ranked, changed)):
            pixels = torch.from_numpy(make_grids(image, [GRID])[GRID])[None]
            seen = Bright().encode_image(Bright.preprocessing.normalise(pixels))
            assert found[kind, point] == 1 + int(seen[0, 1] > seen[0, 0])


def test_the_first_batch_is_timed_beside_a_plain_forward() -> None:
    method = Left()
    with device_of("cpu", 0, 2) as device:
        found = Measure(device, 2, Perturbation()).maps(
            tower(),
            method,  # type: ignore[arg-type]
            left_pictures(2 * BATCH + 1),
        )
    assert [len(maps.flat) for maps in found] == [BATCH, BATCH, 1]
    assert found[0].seconds is not None
    assert found[0].forward is not None
    assert min(found[0].seconds, found[0].forward) > 0
    assert [(maps.seconds, maps.forward) for maps in found[1:]] == [(None, None)] * 2
    assert sorted(count for count, _ in method.asked) == [1, BATCH, BATCH, BATCH]
    assert all(torch.equal(texts[:, 0], torch.eye(2)[[0] * n]) for n, texts in method.asked)


@pytest.mark.parametrize("points", [2, 40])
def test_many_points_go_through_the_tower_in_pieces(points: int) -> None:
    sizes = []

    class Counting(Bright):
        def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
            sizes.append(len(pixels))
            return super().encode_image(pixels)

    counting = Tower(Counting(), torch.eye(2), torch.arange(2))  # type: ignore[arg-type]
    with device_of("cpu", 0, 1) as device:
        (found,) = Measure(device, 1, Perturbation(points=points)).ranks(
            counting, left_pictures(1), [np.eye(4, dtype=np.float32)]
        )
    assert found.shape == (2, points)
    assert sizes == ([4] if points == 2 else [64, 16])
