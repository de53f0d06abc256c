"""Curves of deletion and insertion: photographs explained, perturbed, and classified anew."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from covar_gen.core.arrays import Image
from covar_gen.evaluation.attribution.base import Explanation, Method
from covar_gen.evaluation.computing import Device
from covar_gen.evaluation.images import make_grids
from covar_gen.evaluation.perturbing import Perturbation, perturbed, pixel_order
from covar_gen.evaluation.preprocessing import Grid
from covar_gen.evaluation.towers import Tower

if TYPE_CHECKING:
    import torch

BATCH = 8
"""Images that are explained, and timed, together."""
TOGETHER = 64
"""Perturbed images that go through the tower together."""
ROUNDS = 2
"""How often what is timed is done; the shortest time counts, the first round warms up."""

Item = TypeVar("Item")
Made = TypeVar("Made")


class Picture(NamedTuple):
    """An image and the class that is looked at.

    Attributes:
        key: of the image.
        target: index of the class.
        image: uint8 (H, W, 3), at its own size.
    """

    key: str
    target: int
    image: Image


class Maps(NamedTuple):
    """The maps of B images.

    Attributes:
        maps: float32 (B, h, w), on the patch grid.
        flat: bool (B,), True where the map says nothing.
        seconds: per image, for the map; None where it was not timed.
        forward: per image, for a plain forward timed beside it.
    """

    maps: NDArray[np.float32]
    flat: NDArray[np.bool_]
    seconds: float | None = None
    forward: float | None = None


class Measure:
    """Measures pictures on a device.

    What it finds depends on the pictures, the tower, and how the curves are measured; the number of
    threads changes nothing but the time.
    """

    def __init__(self, device: Device, threads: int, how: Perturbation) -> None:
        """Measure on a device.

        Args:
            device: where the towers are.
            threads: that perturb.
            how: the curves are measured.
        """
        self.device = device
        self.threads = threads
        self.how = how

    def maps(self, tower: Tower, method: Method, pictures: Sequence[Picture]) -> list[Maps]:
        """Maps of pictures for their classes, batch by batch.

        The first batch is explained while this process does nothing else, and timed beside a plain
        forward of the same images.

        Args:
            tower: the model and its classifier, whose rows are the texts.
            method: that makes the maps.
            pictures: at least one.

        Returns:
            One for each BATCH pictures.
        """
        batches = [pictures[at : at + BATCH] for at in range(0, len(pictures), BATCH)]
        first = self.device.submit(self._timed, tower, method, batches[0]).result()
        others = [self.device.submit(self._map, tower, method, batch) for batch in batches[1:]]
        return [first, *(future.result() for future in others)]

    def ranks(
        self, tower: Tower, pictures: Sequence[Picture], maps: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.int64]]:
        """Ranks of the pictures' classes at every point of their curves.

        Args:
            tower: the model and its classifier.
            pictures: of any sizes.
            maps: one for each, float32 (h, w), on the patch grid.

        Returns:
            For each picture int64 (2, P), of deletion and of insertion; 1 = best.
        """
        grid = tower.model.preprocessing.grid
        most = 2 * self.threads

        def changed(pair: tuple[Picture, NDArray[np.float32]]) -> NDArray[np.uint8]:
            return self._changed(*pair, grid)

        found: list[Future[list[torch.Tensor]]] = []
        with ThreadPoolExecutor(self.threads) as hands:
            made = _ahead(hands, changed, zip(pictures, maps, strict=True), most)
            for picture, pixels in zip(pictures, made, strict=True):
                found.append(self.device.submit(self._ranks, tower, pixels, picture.target))
                # Perturbed images that wait for a thread of the CPU take memory.
                found[max(0, len(found) - most)].result()
        pieces = [[np.asarray(each.cpu()) for each in future.result()] for future in found]
        return [np.concatenate(each).reshape(2, -1) for each in pieces]

    def _timed(self, tower: Tower, method: Method, pictures: Sequence[Picture]) -> Maps:
        pixels, texts = self._inputs(tower, pictures)
        mine, plain = [], []
        for _ in range(ROUNDS):
            start = self._now()
            tower.model.encode_image(pixels)
            between = self._now()
            found = method.explain(tower.model, pixels, texts)
            mine.append(self._now() - between)
            plain.append(between - start)
        return _on_host(found, min(mine) / len(pictures), min(plain) / len(pictures))

    def _map(self, tower: Tower, method: Method, pictures: Sequence[Picture]) -> Maps:
        return _on_host(method.explain(tower.model, *self._inputs(tower, pictures)))

    def _inputs(
        self, tower: Tower, pictures: Sequence[Picture]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (B, 3, H, W) and the texts of the classes (B, 1, D)."""
        import torch

        preprocessing = tower.model.preprocessing
        grid = preprocessing.grid
        stacked = np.stack([make_grids(each.image, [grid])[grid] for each in pictures])
        pixels = torch.from_numpy(stacked).to(self.device.place)
        texts = tower.rows[[each.target for each in pictures]][:, None]
        return preprocessing.normalise(pixels), texts

    def _now(self) -> float:
        """Seconds of a clock, when the device has done everything asked of it so far."""
        import torch

        if self.device.place.type == "cuda":
            torch.cuda.synchronize(self.device.place)
        return time.perf_counter()

    def _changed(
        self, picture: Picture, values: NDArray[np.float32], grid: Grid
    ) -> NDArray[np.uint8]:
        """A picture at every point of both curves: uint8 (2, P, 3, h, w)."""
        height, width = picture.image.shape[:2]
        ranked = pixel_order(values, grid, height, width, picture.key, self.how)
        return perturbed(picture.image, ranked, grid, picture.key, self.how)

    def _ranks(self, tower: Tower, made: NDArray[np.uint8], target: int) -> list[torch.Tensor]:
        """Ranks of a class in perturbed images (2, P, 3, h, w), in pieces on the device."""
        import torch

        pixels = torch.from_numpy(made.reshape(-1, *made.shape[2:]))
        found = []
        for start in range(0, len(pixels), TOGETHER):
            part = pixels[start : start + TOGETHER].to(self.device.place)
            labels = torch.full((len(part),), target, device=self.device.place)
            ready = tower.model.preprocessing.normalise(part)
            found.append(tower.see(ready, labels)["true_rank"])
        return found


def _ahead(
    hands: ThreadPoolExecutor, work: Callable[[Item], Made], items: Iterable[Item], most: int
) -> Iterator[Made]:
    """What threads make of items, in their order, at most so many of them ahead."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(hands.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _on_host(
    found: Explanation, seconds: float | None = None, forward: float | None = None
) -> Maps:
    maps, flat = found.maps[:, 0].cpu().numpy(), found.flat[:, 0].cpu().numpy()
    return Maps(maps, flat, seconds, forward)
