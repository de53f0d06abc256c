"""How alike two pictures of an object are to a network that is not evaluated: patch by patch.

Both pictures are cut out around the object, what is not object is filled with the colour that the
network's preparation turns into zeros, and each patch of one is compared with the same patch of the
other: the cosine of the angle between their features, which are the network's last ones, normalised
as it does (`x_norm_patchtokens` of DINOv2: Oquab et al., TMLR 2024). The mean over patches weighs
each by the share of it that is object.

Since the outline is the same in both, unlike objects do not come near 0: look at what your own
accepted and refused images reach before you set a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from covar_gen.core.agreement import NETWORK, NO_NETWORK, Agreement, Beside
from covar_gen.core.arrays import Image, Json
from covar_gen.core.checkpoints import Checkpoint, check_name, find
from covar_gen.core.errors import WeightsError
from covar_gen.core.imaging import object_box
from covar_gen.core.plugins import Plugin, PluginOptions, WeightsName, check_modules
from covar_gen.neural.loading import load_images, load_model
from covar_gen.neural.running import Dtype, arithmetic, device_name, in_halves, own_device, resolved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

WHERE = "backgrounds.agreement.network"

KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit")
"""Kinds of checkpoints whose last features are one per patch, after those of the whole picture."""

PAIRING = (
    "align", "altclip", "blip", "blip-2", "chinese_clip", "clip", "clip_vision_model", "clipseg",
    "metaclip_2", "siglip", "siglip2", "siglip2_vision_model", "siglip_vision_model",
)  # fmt: skip
"""Kinds of checkpoints that were trained to pair images with texts, as those that are evaluated."""

ROOM = 1.1
"""Edge of the square that is cut out over the longer edge of the object's box."""


class Patches(Plugin):
    """Compares objects by the features of a network's patches.

    Attributes:
        network: of transformers, on this process's device, once it is set up.
        images: its image processor.
        side: edge of the pictures that it is shown, pixels.
        cell: edge of a patch, pixels.
    """

    class Options(PluginOptions):
        """Which network, and how it computes; see `core.agreement.Agreement`."""

        network: WeightsName = NETWORK
        batch: int = Field(default=16, ge=1, le=1024)
        dtype: Dtype = "auto"

    options: Options
    requires = ("torch", "torchvision", "transformers", "safetensors")
    extra = "segment"
    network: Any
    images: Any
    side: int
    cell: int

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The network's files, fetched if need be.

        Raises:
            WeightsError: they cannot be had, or are of a kind that cannot be taken.
        """
        try:
            return find(self.options.network, KINDS, WHERE)
        except WeightsError as error:
            raise _said(self.options.network, error) from error

    def check(self) -> None:
        """Look at the network, as far as that needs no other machine.

        Raises:
            MissingExtraError: what it computes with is not installed.
            WeightsError: it is not there, or is of a kind that cannot be taken.
        """
        check_modules(type(self), f"network = {self.options.network!r}", WHERE)
        try:
            check_name(self.options.network, KINDS, WHERE)
        except WeightsError as error:
            raise _said(self.options.network, error) from error

    def identity(self) -> dict[str, Json]:
        """Version and options; for the network, hashes of its content.

        Raises:
            WeightsError: it cannot be had.
        """
        options = self.options.model_dump(mode="json")
        return {**super().identity(), "options": {**options, "network": self.checkpoint.identity()}}

    def setup(self) -> None:
        """Load the network onto this process's device.

        Raises:
            WeightsError: it cannot be had or loaded, or looks at less than one patch.
        """
        self.device = own_device()
        self.dtype = resolved(self.options.dtype, self.device)
        self.network = load_model(self.checkpoint, "AutoModel", self.device)
        self.images = load_images(self.checkpoint)
        self.cell = int(self.network.config.patch_size)
        self.side = self._shown() // self.cell * self.cell
        if not self.side:
            what = f"{self.checkpoint.model} looks at pictures smaller than one of its patches"
            raise WeightsError(what, where=WHERE, mend="Fetch it again, or name another network")
        self.model = self.checkpoint.model

    def _shown(self) -> int:
        """Edge of the pictures that the network's preparation gives it, pixels."""
        sizes = [getattr(self.images, name, None) or {} for name in ("crop_size", "size")]
        edges = [size.get(name) for size in sizes for name in ("height", "shortest_edge")]
        return int(next((edge for edge in edges if edge), self.network.config.image_size))

    def compare(self, pairs: Sequence[Beside]) -> list[tuple[float | None, dict[str, Json]]]:
        """How alike the objects of each pair are.

        Args:
            pairs: of pictures of one size each; sizes may differ between pairs.

        Returns:
            For each its cosine similarity, in [-1, 1], None where nothing of the object is to be
            seen; and the params network, dtype, device, and `batch` if less than the batch fitted
            into memory.

        Raises:
            DeviceMemoryError: the device's memory does not suffice for a single pair.
            FloatingPointError: features are no numbers: the arithmetic has overflowed.
        """
        about: dict[str, Json] = {
            "network": self.checkpoint.model,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": device_name(self.device),
        }
        found: list[tuple[float | None, dict[str, Json]]] = [(None, about) for _ in pairs]
        seen = [place for place, pair in enumerate(pairs) if pair.inside.any()]
        for start in range(0, len(seen), self.options.batch):
            places = seen[start : start + self.options.batch]
            answers = in_halves(self._compared, [pairs[place] for place in places], WHERE)
            for place, (likeness, together) in zip(places, answers, strict=True):
                less: dict[str, Json] = {"batch": together} if together < len(places) else {}
                found[place] = (likeness, {**about, **less})
        return found

    def _compared(self, pairs: Sequence[Beside]) -> list[tuple[float, int]]:
        """Similarities, with the number of pairs that were computed together."""
        import torch

        ground = np.rint(np.asarray(self.images.image_mean) * 255).astype(np.uint8)
        shown = [cut_out(pair, self.side, ground) for pair in pairs]
        pictures = [picture for first, second, _ in shown for picture in (first, second)]
        weights = [coverage(inside, self.cell) for _, _, inside in shown]
        pixels = self.images(pictures, do_resize=False, do_center_crop=False, return_tensors="pt")[
            "pixel_values"
        ].to(self.device)
        with arithmetic(self.device, self.dtype):
            features = self.network(pixel_values=pixels).last_hidden_state
        count = (self.side // self.cell) ** 2
        # What stands for the whole picture comes first.
        patches = features[:, -count:].float()
        if not patches.isfinite().all():
            raise FloatingPointError("the network's features are no numbers")
        cosines = torch.cosine_similarity(patches[0::2], patches[1::2], dim=-1).cpu().numpy()
        return [
            (float(np.clip(np.average(one, weights=weight.ravel()), -1, 1)), len(pairs))
            for one, weight in zip(cosines.astype(np.float64), weights, strict=True)
        ]


def patches_of(section: Agreement | None) -> Patches | None:
    """The network that a recipe's [backgrounds.agreement] names; None where it wants none."""
    if section is None or section.network == NO_NETWORK:
        return None
    given = section.model_dump(include={"network", "batch", "dtype"})
    return Patches(Patches.Options(**given))


def cut_out(pair: Beside, side: int, ground: Image) -> tuple[Image, Image, Plane]:
    """A pair's object, alone and square.

    Args:
        pair: with at least one pixel of an object.
        side: edge of the squares, pixels.
        ground: uint8 (3,), RGB: the colour of what is not object.

    Returns:
        Both pictures, uint8 (side, side, 3), RGB, and how much of each pixel is object, float32
        (side, side), in [0, 1].
    """
    import cv2

    box = object_box(pair.inside)
    assert box is not None
    left, top, right, bottom = box
    edge = max(1, round(ROOM * max(right - left, bottom - top)))
    rows, columns = ((start + stop - edge) // 2 for start, stop in ((top, bottom), (left, right)))
    part = (slice(top, bottom), slice(left, right))
    place = (
        slice(top - rows, bottom - rows),
        slice(left - columns, right - columns),
    )
    inside = np.zeros((edge, edge), np.bool_)
    inside[place] = pair.inside[part]
    way = cv2.INTER_AREA if edge > side else cv2.INTER_LINEAR
    pictures = []
    for image in (pair.expected, pair.found):
        picture = np.empty((edge, edge, 3), np.uint8)
        picture[:] = ground
        picture[inside] = image[part][pair.inside[part]]
        pictures.append(np.asarray(cv2.resize(picture, (side, side), interpolation=way), np.uint8))
    share = cv2.resize(inside.astype(np.float32), (side, side), interpolation=way)
    return pictures[0], pictures[1], np.asarray(share, np.float32)


def coverage(share: Plane, cell: int) -> Plane:
    """The share of each patch that is object.

    Args:
        share: float32 (side, side), of each pixel, in [0, 1].
        cell: edge of a patch, which divides the side, pixels.

    Returns:
        float32 (side / cell, side / cell), in [0, 1].
    """
    count = len(share) // cell
    return np.asarray(share.reshape(count, cell, count, cell).mean((1, 3)), np.float32)


def _said(name: str, error: WeightsError) -> WeightsError:
    """Why a network cannot be taken: more than its kind, where it pairs images with texts."""
    try:
        found = find(name, PAIRING, WHERE)
    except WeightsError:
        return error
    what = (
        f"{found.model} is of the kind {found.kind!r}, which pairs images with texts as the "
        "models do that are evaluated: images that it chooses flatter them"
    )
    return WeightsError(what, where=WHERE, mend=f"Name one of the kind {' or '.join(KINDS)}")
