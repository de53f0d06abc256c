"""Pictures filled by diffusion models that are shown the picture, its hole and a text.

Any pipeline of diffusers that takes a picture and a mask: Stable Diffusion 1.5 and XL, FLUX fill,
and those that AutoPipelineForInpainting makes of painters without a mask of their own. Inpainters
and editors share this; `covar_gen.neural.holes` has what is done to pixels before and after.

Noise is drawn on the CPU, from one generator per picture: a picture does not depend on those
painted beside it, but for the last digits of a GPU's sums.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydantic import Field

from covar_gen.core.arrays import Image, Json, Mask, Rejected
from covar_gen.core.errors import WeightsError
from covar_gen.core.plugins import WeightsName
from covar_gen.neural.diffusion import LIBRARIES, DiffusionOptions, Folder, load_pipeline
from covar_gen.neural.holes import Canvas, canvas_of
from covar_gen.neural.quiet import quiet
from covar_gen.neural.reading import Reader
from covar_gen.neural.running import device_name, exact, in_halves, overlapped, own_device, resolved

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS = "stable-diffusion-v1-5/stable-diffusion-inpainting"
"""Stable Diffusion 1.5 for inpainting, where it has been since its first owner removed it."""

BLACK = 1
"""A picture whose brightest level is at most this is black."""


class InpaintingOptions(DiffusionOptions):
    """How holes are filled. The defaults are the paper's guidance and steps.

    Attributes:
        weights: a pipeline that takes a picture and a mask, in diffusers' layout.
        steps: of denoising, each of which is really made.
        guidance: how strongly the text is followed; 7.5 in the paper. FLUX fill wants 30.
        strength: 1: the fill starts from noise alone; less: from the colours around the hole,
            continued into it, under that much noise.
        native: shortest edge in pixels at which the model paints; left out: the one that it was
            trained at. Larger and smaller pictures are resized to it, and their fill back.
        overlap: by how much the model's hole reaches into what is known, in pixels of its
            canvas, rounded up to its latents; what is known is put back afterwards.
        feather: width of the zone of the fill, in pixels, in which its colours are drawn towards
            the known ones beside it; 0: none. The object's colours draw nothing.
    """

    weights: WeightsName = WEIGHTS
    steps: int = Field(default=30, ge=1, le=1000)
    guidance: float = Field(default=7.5, ge=0, le=100)
    strength: float = Field(default=1.0, gt=0, le=1)
    native: int | None = Field(default=None, ge=32, le=4096)
    overlap: int = Field(default=8, ge=0, le=64)
    feather: int = Field(default=16, ge=0, le=256)


@dataclass(frozen=True)
class Hole:
    """One picture to fill.

    Attributes:
        key: for messages.
        image: uint8 (H, W, 3), RGB; anything in the hole.
        fill: bool (H, W), True in the hole.
        mask: bool (H, W), True on the object, whose known pixels are always shown to the model
            and whose colours are not continued into the hole.
        prompt: what to paint.
        negative_prompt: what not to paint; models that take none are not told.
        seed: of all noise.
    """

    key: str
    image: Image
    fill: Mask
    mask: Mask
    prompt: str
    negative_prompt: str
    seed: int


@dataclass(frozen=True)
class Filling:
    """A filled picture.

    Attributes:
        image: uint8 (H, W, 3), RGB; exactly as before outside the hole.
        params: steps, guidance, strength, scheduler, dtype, device (`devices`, if more than one),
            and the model's canvas (height, width); `batch` if less than the batch fitted into
            memory; `text_cut` where the model reads the beginning of a text only.
    """

    image: Image
    params: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class _Shown:
    """A hole and what the model is shown of it: the picture, and what to paint."""

    hole: Hole
    canvas: Canvas
    picture: Image
    mask: Mask


_Answer: TypeAlias = tuple[int, Filling | Rejected]
"""Place of a hole, and what became of it."""


class Painter:
    """A pipeline on this process's device.

    Args:
        folder: the pipeline's files.
        options: how it paints.

    Raises:
        WeightsError: the folder is not that of a pipeline which fills holes.
        PluginError: an attention backend, or offloading, that cannot be had here.
    """

    def __init__(self, folder: Folder, options: InpaintingOptions) -> None:
        self.options = options
        self.where = folder.where
        device = own_device()
        if "vae" not in folder.parts:
            what = f"{folder.model} has no autoencoder (vae)"
            mend = "Name a pipeline that paints in latents, such as Stable Diffusion"
            raise WeightsError(what, where=folder.where, mend=mend)
        kind = _kind(str(folder.index().get("_class_name", "")))
        newer = "transformer" in folder.parts
        dtype = resolved(options.dtype, device, "bfloat16" if newer else "float16")
        self.pipe = load_pipeline(folder, kind, options, device, dtype)
        self.takes = set(inspect.signature(type(self.pipe).__call__).parameters)
        network = getattr(self.pipe, "unet", None)
        self.factor = int(self.pipe.vae_scale_factor)
        # Transformers join two by two latents; networks of convolutions take any number.
        self.multiple = self.factor * (2 if network is None else 1)
        trained = self.pipe.default_sample_size if network is None else network.config.sample_size
        self.native = options.native or int(trained) * self.factor
        self.reader = Reader(self.pipe)
        self.about: dict[str, Json] = {
            "steps": options.steps,
            "guidance": options.guidance,
            "strength": options.strength,
            "scheduler": type(self.pipe.scheduler).__name__,
            "dtype": str(dtype).removeprefix("torch."),
            "device": device_name(device),
            **({"devices": options.devices} if options.devices > 1 else {}),
        }

    def paint(self, holes: Sequence[Hole]) -> list[Filling | Rejected]:
        """Fill the holes, those of one size of canvas together.

        Args:
            holes: pictures of any sizes.

        Returns:
            One answer per picture, in their order. Rejected, to be made again: bad_output, where
            the model's picture has values that are no numbers, or is all black.

        Raises:
            DeviceMemoryError: the device's memory does not suffice for a single picture.
        """
        canvases = [canvas_of(hole.fill, self.native, self.multiple, self.factor) for hole in holes]
        batches = self._batches(canvases)

        def prepare(place: int) -> _Shown:
            return self._shown(holes[place], canvases[place])

        def finish(place: int, painted: tuple[NDArray[np.float32], dict[str, Json]]) -> _Answer:
            return place, self._filling(holes[place], canvases[place], *painted)

        answers = overlapped(batches, prepare, self._filled, finish)
        found = dict(answer for batch in answers for answer in batch)
        return [found[place] for place in range(len(holes))]

    def _batches(self, canvases: Sequence[Canvas]) -> list[list[int]]:
        """Places of pictures that are painted together: of one size, in their order."""
        sizes: dict[tuple[int, int], list[int]] = {}
        for place, canvas in enumerate(canvases):
            sizes.setdefault(canvas.size, []).append(place)
        most = self.options.batch
        return [
            places[start : start + most]
            for places in sizes.values()
            for start in range(0, len(places), most)
        ]

    def _shown(self, hole: Hole, canvas: Canvas) -> _Shown:
        picture, mask = canvas.shown(hole.image, hole.fill, hole.mask, self.options.overlap)
        return _Shown(hole, canvas, picture, mask)

    def _filled(self, items: Sequence[_Shown]) -> list[tuple[NDArray[np.float32], dict[str, Json]]]:
        """The model's pictures; and `batch`, if less than all of them fitted into memory."""

        def some(part: Sequence[_Shown]) -> list[tuple[NDArray[np.float32], dict[str, Json]]]:
            about: dict[str, Json] = {"batch": len(part)} if len(part) < len(items) else {}
            return [
                (picture, about | self._said_of(item.hole))
                for item, picture in zip(part, self._painted(part), strict=True)
            ]

        return in_halves(some, items, self.where)

    def _said_of(self, hole: Hole) -> dict[str, Json]:
        told = [hole.prompt]
        told += [hole.negative_prompt] if "negative_prompt" in self.takes else []
        cut = any(map(self.reader.cuts, told))
        return {"text_cut": True} if cut else {}

    def _painted(self, items: Sequence[_Shown]) -> list[NDArray[np.float32]]:
        """The model's pictures, float32 (height, width, 3) in [0, 1]."""
        import torch
        from PIL import Image as Pillow

        height, width = items[0].canvas.size
        asked: dict[str, Any] = {
            "prompt": [item.hole.prompt for item in items],
            "negative_prompt": [item.hole.negative_prompt for item in items],
            "image": [Pillow.fromarray(item.picture) for item in items],
            "mask_image": [Pillow.fromarray(item.mask.astype(np.uint8) * 255) for item in items],
            "height": height,
            "width": width,
            "num_inference_steps": self._scheduled(),
            "guidance_scale": self.options.guidance,
            "strength": self.options.strength,
            "generator": [torch.Generator().manual_seed(item.hole.seed) for item in items],
            "output_type": "np",
        }
        asked = {name: value for name, value in asked.items() if name in self.takes}
        with exact(), quiet(LIBRARIES):
            pictures = self.pipe(**asked).images
        return [np.asarray(picture, np.float32) for picture in pictures]

    def _scheduled(self) -> int:
        whole = "unet" not in self.pipe.components
        return steps_to_ask(self.options.steps, self.options.strength, transformer=whole)

    def _filling(
        self, hole: Hole, canvas: Canvas, picture: NDArray[np.float32], about: dict[str, Json]
    ) -> Filling | Rejected:
        params: dict[str, Json] = {**self.about, "canvas": list(canvas.size), **about}
        if not np.isfinite(picture).all():
            return Rejected("bad_output", {**params, "output": "not_finite"}, again=True)
        if float(picture.max()) * 255 <= BLACK:
            return Rejected("bad_output", {**params, "output": "black"}, again=True)
        image = canvas.back(picture, hole.image, hole.fill, hole.mask, self.options.feather)
        return Filling(image, params)


def steps_to_ask(steps: int, strength: float, *, transformer: bool) -> int:
    """How many steps to ask for, so that `steps` are left when the first are skipped.

    Args:
        steps: that are to be made.
        strength: share of the steps that is made, in (0, 1].
        transformer: True for classes with a transformer, which round down what they skip; the
            others round down what they make.

    Returns:
        Of the numbers that leave so many, the one at which their share is nearest to `strength`.
    """
    if not transformer:
        return next(n for n in count(steps) if int(n * strength) >= steps)
    # As the classes compute it, to the last digit.
    return next(n for n in count(steps) if n - int(max(n - min(n * strength, n), 0)) > steps) - 1


def _kind(own: str) -> str:
    """The class that fills holes with a folder's networks: its own, or else diffusers' choice.

    FLUX fill is not among those that AutoPipelineForInpainting knows.
    """
    import diffusers

    cls = getattr(diffusers, own, None) if own else None
    if cls is not None and "mask_image" in inspect.signature(cls.__call__).parameters:
        return own
    with warnings.catch_warnings():
        # It imports every pipeline there is, some of which call what PyTorch calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return str(diffusers.AutoPipelineForInpainting.__name__)
