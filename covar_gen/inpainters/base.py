"""What an inpainter is, and the one place that keeps known pixels exactly as they were.

Outpainting goes in passes, each from a canvas to the one around it. Whatever the passes, a parent
is shrunk once for each factor, and what it says is put back after every pass.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from covar_gen.core.arrays import Image, Json, Mask, Rejected, check_image
from covar_gen.core.imaging import warp, warp_mask
from covar_gen.core.plugins import Plugin
from covar_gen.core.seeds import seed_of
from covar_gen.core.shrinking import between, passes, shrink

Keep = Literal["photograph", "object"]
"""What of a parent stays as it is: all of it, or its object's pixels alone."""

Chain = Literal["separate", "shared"]
"""Whether each factor has passes of its own, or its canvas is one pass from that of the factor
before it, which then is its centre."""


@dataclass(frozen=True)
class FillRequest:
    """One image to complete.

    Attributes:
        key: the row's key, for messages.
        image: uint8 (H, W, 3), RGB; anything where unknown.
        known: bool (H, W), True where the image must stay as it is.
        mask: bool (H, W), True on the object, which should not be continued into the fill.
        prompt: what to paint, in words.
        negative_prompt: what not to paint.
        seed: all randomness of this item.
    """

    key: str
    image: Image
    known: Mask
    mask: Mask
    prompt: str
    negative_prompt: str
    seed: int


@dataclass(frozen=True)
class Filled:
    """A completed image.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        known_pixel_max_diff: largest difference from the request at a known pixel, grey levels.
        params: further factors.
    """

    image: Image
    known_pixel_max_diff: int = 0
    params: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Shrunk:
    """A canvas in which the parent is small.

    Attributes:
        key: the row's key.
        factor: linear; at 8 the parent fills 1/8 of the side.
        seed: all randomness of this canvas, where its passes are its own.
    """

    key: str
    factor: float
    seed: int


@dataclass(frozen=True)
class OutpaintRequest:
    """One parent whose surroundings are painted.

    Attributes:
        key: the parent's key.
        image: uint8 (H, W, 3), RGB; the canvases have its size.
        mask: bool (H, W), True on the object, whose box comes to the canvases' centre.
        prompt: what to paint, in words.
        negative_prompt: what not to paint.
        wanted: the canvases.
        factors: all factors that the recipe asks for: those of a shared chain.
        seed: all randomness of a shared chain.
        keep: what of the parent stays.
        chain: whether passes are shared.
    """

    key: str
    image: Image
    mask: Mask
    prompt: str
    negative_prompt: str
    wanted: tuple[Shrunk, ...]
    factors: tuple[float, ...]
    seed: int
    keep: Keep = "photograph"
    chain: Chain = "separate"


class Inpainter(Plugin, ABC):
    """Paints what is unknown.

    Attributes:
        reach: the largest factor by which one pass of outpainting may shrink what is there.
    """

    reach: ClassVar[float] = math.inf

    @abstractmethod
    def paint(self, batch: Sequence[FillRequest]) -> Sequence[Filled | Rejected]:
        """One completed image per request, in their order; known pixels may still differ."""

    def fill(self, batch: Sequence[FillRequest]) -> Sequence[Filled | Rejected]:
        """`paint`, then every known pixel put back; nothing is painted where all is known.

        Raises:
            ValueError: an answer of another size or dtype.
        """
        wanted = [request for request in batch if not request.known.all()]
        painted = dict(zip((r.key for r in wanted), self.paint(wanted), strict=True))
        return [
            _kept(request, painted[request.key])
            if request.key in painted
            else Filled(request.image)
            for request in batch
        ]

    def outpaint(self, batch: Sequence[OutpaintRequest]) -> list[list[Filled | Rejected]]:
        """Every wanted canvas of every request, in their order.

        The passes of all requests are painted side by side. Where one of a shared chain asks to
        be made again, its whole chain does, so that its canvases stay nested.

        Returns:
            Canvases, with params `passes` and `chain` where they may be more than one, and
            `keep` where not all of the parent stays.
        """
        chains = [chain for request in batch for chain in _chains(request, self.reach)]
        for place in range(max((len(chain.stops) for chain in chains), default=0)):
            active = [chain for chain in chains if chain.goes_on(place)]
            if not active:
                break
            answers = self.fill([chain.asked(place) for chain in active])
            for chain, answer in zip(active, answers, strict=True):
                chain.take(place, answer)
        said = math.isfinite(self.reach)
        found = {
            key: answer for chain in chains for key, answer in chain.answers(said=said).items()
        }
        return [[found[canvas.key] for canvas in request.wanted] for request in batch]


class _Chain:
    """The passes to one canvas, or through several of them.

    Args:
        request: the parent.
        wanted: the canvases, by their factors.
        stops: factors of the passes' canvases, ascending.
    """

    def __init__(
        self, request: OutpaintRequest, wanted: dict[float, Shrunk], stops: list[float]
    ) -> None:
        self.request = request
        self.wanted = wanted
        self.stops = stops
        self.painted: list[Filled] = []
        self.refused: Rejected | None = None

    def goes_on(self, place: int) -> bool:
        return place < len(self.stops) and self.refused is None

    def asked(self, place: int) -> FillRequest:
        """The canvas of a pass: the parent, around it the canvas before, around that nothing."""
        request, factor = self.request, self.stops[place]
        transform, size = shrink(request.mask, factor), request.image.shape
        image, known = warp(request.image, transform, size, "lanczos")
        mask = warp_mask(request.mask, transform, size)
        if request.keep == "object":
            known = known & mask
        if place:
            inner = between(self.stops[place - 1], factor, size)
            before, there = warp(self.painted[-1].image, inner, size, "lanczos")
            image = np.where(known[..., None], image, before)
            known = known | there
        key, seed = self._key_and_seed(factor)
        return FillRequest(key, image, known, mask, request.prompt, request.negative_prompt, seed)

    def _key_and_seed(self, factor: float) -> tuple[str, int]:
        canvas = self.wanted.get(factor)
        if self.request.chain == "shared":
            key = canvas.key if canvas else f"{self.request.key}/pass_{factor:g}"
            return key, seed_of(self.request.seed, "pass", f"{factor:g}")
        if canvas:
            return canvas.key, canvas.seed
        end = self.wanted[self.stops[-1]]
        name = f"{factor:g}"
        return f"{end.key}/pass_{name}", seed_of(end.seed, "pass", name)

    def take(self, place: int, answer: Filled | Rejected) -> None:
        """Go on from what was painted, or stop."""
        if isinstance(answer, Rejected):
            self.refused = answer
            if answer.again:
                self.painted = []
            return
        assert place == len(self.painted)
        self.painted.append(answer)

    def answers(self, *, said: bool) -> dict[str, Filled | Rejected]:
        """Each canvas's, by its key; `said`: with how many passes it took."""
        found: dict[str, Filled | Rejected] = {}
        about: dict[str, Json] = {}
        if self.request.keep != "photograph":
            about["keep"] = self.request.keep
        for place, factor in enumerate(self.stops):
            if factor not in self.wanted:
                continue
            key = self.wanted[factor].key
            if place >= len(self.painted):
                assert self.refused is not None
                found[key] = self.refused
                continue
            if said or self.request.chain == "shared":
                about = {**about, "passes": place + 1, "chain": self.request.chain}
            painted = self.painted[place]
            found[key] = replace(painted, params={**painted.params, **about})
        return found


def _chains(request: OutpaintRequest, reach: float) -> list[_Chain]:
    wanted = {canvas.factor: canvas for canvas in request.wanted}
    if request.chain == "separate":
        return [
            _Chain(request, {factor: canvas}, passes([factor], reach))
            for factor, canvas in wanted.items()
        ]
    last = max(wanted)
    return [_Chain(request, wanted, passes([f for f in request.factors if f <= last], reach))]


def _kept(request: FillRequest, painted: Filled | Rejected) -> Filled | Rejected:
    if isinstance(painted, Rejected):
        return painted
    image = check_image(painted.image, f"inpainter's image of {request.key}")
    if image.shape != request.image.shape:
        msg = (
            f"inpainter's image of {request.key}: expected {request.image.shape}, got {image.shape}"
        )
        raise ValueError(msg)
    image = np.where(request.known[..., None], request.image, image)
    difference = image[request.known].astype(np.int16) - request.image[request.known]
    return Filled(image, int(np.abs(difference).max(initial=0)), painted.params)
